//! How slices of `f16` and `bf16` are converted to single precision and back: exactly, or to the nearest number, ties to even. Here are the
//! functions for one number; each of `wasm` and `native` converts eight at a time, with the same results.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(target_arch = "x86_64")]
pub(super) use native::Eight;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{Bf16, F16, add, narrow, narrow_rows, widen};
#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::{Bf16, F16, add, narrow, narrow_rows, widen};

/// All bits of a single but its sign, and its infinity.
const MAGNITUDE: u32 = 0x7fff_ffff;
const INFINITY: u32 = 0x7f80_0000;

/// All ones where true, so that a loop has no branch.
#[inline(always)]
fn mask(truth: bool) -> u32 {
    u32::from(truth).wrapping_neg()
}

/// All ones where the magnitude is a NaN's. The numbers are compared as signed ones: SIMD on x86 compares no unsigned ones.
#[inline(always)]
fn is_nan(magnitude: u32) -> u32 {
    mask(magnitude.cast_signed() > INFINITY.cast_signed())
}

/// The nearest, ties to even; a NaN becomes a quiet one.
#[inline(always)]
pub(crate) fn bf16_narrowed(x: f32) -> u16 {
    bf16_rounded(x) | (is_nan(x.to_bits() & MAGNITUDE) & 0x7fc0) as u16
}

/// As [`bf16_narrowed`], but for NaN.
#[inline(always)]
fn bf16_rounded(x: f32) -> u16 {
    let bits = x.to_bits();
    // Half of a step less one bit, and the last bit that is kept.
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// The nearest, ties to even; infinity from 65520 on; a NaN becomes a quiet one.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "16 bits are the result")]
pub(crate) fn f16_narrowed(x: f32) -> u16 {
    /// The number whose bits `f16` uses for infinity, and the smallest normal `f16`.
    const END: f32 = 65_536.0;
    const NORMAL: u32 = (127 - 14) << 23;
    /// The number of places that a single has and `f16` lacks, as an exponent.
    const LIFT: u32 = 13 << 23;
    let (sign, magnitude) = ((x.to_bits() >> 16) & 0x8000, x.to_bits() & MAGNITUDE);
    let most = magnitude.min(END.to_bits());
    // The sum with 2^13 times the number's power of two is rounded to the places that `f16` has: they are its last ones.
    let lift = (most & INFINITY).max(NORMAL) + LIFT;
    let places = (f32::from_bits(most) + f32::from_bits(lift)).to_bits().wrapping_sub(lift);
    // The places begin with the leading 1 of a normal number. It counts as one step of the exponent, and a carry as one more. The biases
    // of the exponents differ by 112.
    let rounded = (lift >> 13).wrapping_add(places).wrapping_sub((13 + 112 + 1) << 10);
    (sign | rounded | (is_nan(magnitude) & 0x7e00)) as u16
}

/// Less than eight numbers, with zeros behind them. They are copied one by one, since V8 calls C for the copy of a slice.
#[inline(always)]
fn padded<T: Copy + Default>(numbers: &[T]) -> [T; 8] {
    let mut all = [T::default(); 8];
    all.iter_mut().zip(numbers).for_each(|(slot, number)| *slot = *number);
    all
}

#[inline(always)]
fn put<T: Copy>(all: &[T; 8], to: &mut [T]) {
    to.iter_mut().zip(all).for_each(|(slot, number)| *slot = *number);
}
