//! Slices of 16-bit numbers to single precision and back, by the wasm instructions: eight numbers at a time. Every result is the nearest
//! number, ties to even, as of the plain functions in `element/halves.rs`.
//!
//! Infinities, NaN and, on the way to `f16`, numbers too large for it need more instructions than the others. They are found when a slice
//! has been converted, and it is then converted again by all instructions.

use super::{Best, Isa, inlined};
use core::arch::wasm32::*;
use core::hint::black_box;

/// A format of 16 bits, with its constants in vectors.
///
/// The constants come through [`black_box`]: V8 makes a constant vector whose value it knows anew in each turn of a loop.
pub(crate) trait Format: Copy {
    fn new() -> Self;
    /// The lower and the upper four numbers of eight. `most` is told of each, for [`Format::is_widened`].
    fn widened<const FULL: bool>(self, x: v128, most: &mut v128) -> [v128; 2];
    /// Whether numbers that were widened without `FULL` are right.
    fn is_widened(self, most: v128) -> bool;
    /// Eight numbers in 16 bits.
    fn narrowed(self, x: [v128; 2]) -> v128;
    /// As [`Format::narrowed`], of positive numbers that are not NaN. `most` is told of each, for [`Format::is_narrowed`].
    fn positive(self, x: [v128; 2], most: &mut v128) -> v128;
    /// Whether the results for positive numbers are right.
    fn is_narrowed(self, most: v128) -> bool;
}

#[derive(Clone, Copy)]
pub(crate) struct F16 {
    magnitude: v128,
    infinity: v128,
    /// The bits of a single that a widened number uses, and 2^112, by which the biases of the exponents differ.
    places: v128,
    bias: v128,
    /// The number whose bits are those of infinity.
    end: v128,
    /// The smallest normal number, 2^-14, and 2^-13: a single has 13 places more.
    normal: v128,
    drop: v128,
    /// What `i32x4.dot_i16x8_s` multiplies the lower and the upper 16 bits by, and what its sum is too large by.
    join: v128,
    excess: v128,
    half_sign: v128,
    half_magnitude: v128,
    half_infinity: v128,
    half_nan: v128,
}

#[derive(Clone, Copy)]
pub(crate) struct Bf16 {
    below_half: v128,
    last_place: v128,
    nan: v128,
}

/// The same number four times.
#[inline(always)]
fn splat(bits: u32) -> v128 {
    u32x4_splat(bits)
}

/// The numbers' bits as the upper ones of 32, the lower being 0.
#[inline(always)]
fn as_upper(x: v128) -> [v128; 2] {
    let zero = u32x4_splat(0);
    [i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(zero, x), i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(zero, x)]
}

impl Format for F16 {
    #[inline(always)]
    fn new() -> Self {
        let bits: [u32; 13] = *black_box(&[
            0x7fff_ffff,         // magnitude
            0x7f80_0000,         // infinity
            0x8fff_e000,         // places
            ((127 + 112) << 23), // bias
            0x4780_0000,         // end
            ((127 - 14) << 23),  // normal
            ((127 - 13) << 23),  // drop
            0x0008_0001,         // join
            ((127 - 14) << 10),  // excess
            0x8000_8000,         // half_sign
            0x7fff_7fff,         // half_magnitude
            0x7c00_7c00,         // half_infinity
            0x7e00_7e00,         // half_nan
        ]);
        let [
            magnitude,
            infinity,
            places,
            bias,
            end,
            normal,
            drop,
            join,
            excess,
            half_sign,
            half_magnitude,
            half_infinity,
            half_nan,
        ] = bits.map(splat);
        Self {
            magnitude,
            infinity,
            places,
            bias,
            end,
            normal,
            drop,
            join,
            excess,
            half_sign,
            half_magnitude,
            half_infinity,
            half_nan,
        }
    }

    /// The bits are read as singles with the exponent's bias of `f16`. The product corrects it, exactly, subnormal numbers included.
    #[inline(always)]
    fn widened<const FULL: bool>(self, x: v128, most: &mut v128) -> [v128; 2] {
        if !FULL {
            *most = i16x8_max(*most, v128_and(x, self.half_magnitude));
        }
        as_upper(x).map(
            #[inline(always)]
            |bits| {
                let x = f32x4_mul(v128_and(i32x4_shr(bits, 3), self.places), self.bias);
                if !FULL {
                    return x;
                }
                v128_or(x, v128_and(f32x4_ge(f32x4_abs(x), self.end), self.infinity))
            },
        )
    }

    #[inline(always)]
    fn is_widened(self, most: v128) -> bool {
        !v128_any_true(i16x8_ge(most, self.half_infinity))
    }

    /// The sum of 2^-13 times a number and its own power of two (from 2^-14 on) is rounded to the places that `f16` has. In its bits they
    /// are the last ones, with the leading 1 of a normal number, and the upper 16 bits are the exponent. Joined, they are the result, but
    /// for a constant; the leading 1 counts as one step of the exponent, and a carry as one more.
    ///
    /// The product is exact, or too small to change the sum: it makes no difference whether the two round once or twice.
    #[inline(always)]
    fn narrowed(self, x: [v128; 2]) -> v128 {
        let magnitudes = x.map(
            #[inline(always)]
            |x| v128_and(x, self.magnitude),
        );
        let half = self.positive(magnitudes, &mut u32x4_splat(0));
        let nan = i16x8_narrow_i32x4(f32x4_ne(x[0], x[0]), f32x4_ne(x[1], x[1]));
        let half = v128_or(i16x8_min(half, self.half_infinity), v128_and(nan, self.half_nan));
        // The sign of what saturates is that of the number.
        v128_or(half, v128_and(i16x8_narrow_i32x4(x[0], x[1]), self.half_sign))
    }

    /// What is too large saturates.
    #[inline(always)]
    fn positive(self, x: [v128; 2], most: &mut v128) -> v128 {
        let [low, high] = x.map(
            #[inline(always)]
            |x| {
                let power = i32x4_max(v128_and(x, self.infinity), self.normal);
                let sum = Best::mul_add(x, self.drop, power);
                i32x4_sub(i32x4_dot_i16x8(sum, self.join), self.excess)
            },
        );
        let half = i16x8_narrow_i32x4(low, high);
        *most = i16x8_max(*most, half);
        half
    }

    #[inline(always)]
    fn is_narrowed(self, most: v128) -> bool {
        !v128_any_true(i16x8_gt(most, self.half_infinity))
    }
}

impl Format for Bf16 {
    #[inline(always)]
    fn new() -> Self {
        let [below_half, last_place, nan] = black_box(&[0x7fff_u32, 1, 0x7fc0]).map(splat);
        Self { below_half, last_place, nan }
    }

    #[inline(always)]
    fn widened<const FULL: bool>(self, x: v128, _: &mut v128) -> [v128; 2] {
        as_upper(x)
    }

    #[inline(always)]
    fn is_widened(self, _: v128) -> bool {
        true
    }

    #[inline(always)]
    fn narrowed(self, x: [v128; 2]) -> v128 {
        let [low, high] = x.map(
            #[inline(always)]
            |x| v128_or(self.rounded(x), v128_and(f32x4_ne(x, x), self.nan)),
        );
        u16x8_narrow_i32x4(low, high)
    }

    #[inline(always)]
    fn positive(self, [low, high]: [v128; 2], _: &mut v128) -> v128 {
        u16x8_narrow_i32x4(self.rounded(low), self.rounded(high))
    }

    #[inline(always)]
    fn is_narrowed(self, _: v128) -> bool {
        true
    }
}

impl Bf16 {
    /// The nearest, ties to even, in the lower 16 bits.
    #[inline(always)]
    fn rounded(self, x: v128) -> v128 {
        let last = v128_and(u32x4_shr(x, 16), self.last_place);
        u32x4_shr(i32x4_add(i32x4_add(x, self.below_half), last), 16)
    }
}

#[inline(always)]
fn load(x: &[u16; 8]) -> v128 {
    // As numbers of 32 bits: the compiler makes one load of them, and of the others eight.
    let pair = |at: usize| u32::from(x[at]) | u32::from(x[at + 1]) << 16;
    u32x4(pair(0), pair(2), pair(4), pair(6))
}

#[inline(always)]
fn store(to: &mut [u16; 8], x: v128) {
    *to = [
        u16x8_extract_lane::<0>(x),
        u16x8_extract_lane::<1>(x),
        u16x8_extract_lane::<2>(x),
        u16x8_extract_lane::<3>(x),
        u16x8_extract_lane::<4>(x),
        u16x8_extract_lane::<5>(x),
        u16x8_extract_lane::<6>(x),
        u16x8_extract_lane::<7>(x),
    ];
}

#[inline(always)]
fn load_singles(x: &[f32; 8]) -> [v128; 2] {
    [Best::load(&[x[0], x[1], x[2], x[3]]), Best::load(&[x[4], x[5], x[6], x[7]])]
}

#[inline(always)]
fn store_singles(to: &mut [f32; 8], [low, high]: [v128; 2]) {
    let (to, _) = to.as_chunks_mut();
    if let [first, second] = to {
        Best::store(first, low);
        Best::store(second, high);
    }
}

/// Copies `from` to `to`, widening each number exactly.
pub(crate) fn widen<F: Format>(from: &[u16], to: &mut [f32]) {
    let format = F::new();
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks(), to.as_chunks_mut());
    let mut most = u32x4_splat(0);
    for (from, to) in from.iter().zip(&mut *to) {
        store_singles(to, format.widened::<false>(load(from), &mut most));
    }
    if !format.is_widened(most) {
        widen_all::<F>(from, to);
    }
    if !from_rest.is_empty() {
        let mut wide = [[0.0; 8]];
        widen_all::<F>(&[padded(from_rest)], &mut wide);
        put(&wide[0], to_rest);
    }
}

#[inline(never)]
fn widen_all<F: Format>(from: &[[u16; 8]], to: &mut [[f32; 8]]) {
    let (format, mut most) = (F::new(), u32x4_splat(0));
    for (from, to) in from.iter().zip(to) {
        store_singles(to, format.widened::<true>(load(from), &mut most));
    }
}

/// Copies `from` to `to`, rounding each number to the nearest.
pub(crate) fn narrow<F: Format>(from: &[f32], to: &mut [u16]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks(), to.as_chunks_mut());
    narrow_all::<F>(from, to);
    if !from_rest.is_empty() {
        let mut half = [[0; 8]];
        narrow_all::<F>(&[padded(from_rest)], &mut half);
        put(&half[0], to_rest);
    }
}

/// Copies positive numbers in rows of `width`, from eight on, each times its row's scale; the product is rounded, and then its nearest
/// number of 16 bits taken. What none of the numbers is below; nothing where the results are wrong, since one is too large.
#[inline(never)]
pub(crate) fn narrow_rows<F: Format>(
    (from, width, scales): (&[f32], usize, &[f32]),
    to: &mut [u16],
) -> Option<f32> {
    let format = F::new();
    let (mut most, mut least) = (u32x4_splat(0), u32x4_splat(u32::MAX));
    let each = from.chunks_exact(width).zip(to.chunks_exact_mut(width));
    for ((from, to), scale) in each.zip(scales) {
        let scale = f32x4_splat(*scale);
        let mut put = inlined(
            #[inline(always)]
            |from: &[f32; 8], to: &mut [u16; 8]| {
                let x = load_singles(from);
                least = u32x4_min(least, u32x4_min(x[0], x[1]));
                let products = x.map(
                    #[inline(always)]
                    |x| f32x4_mul(x, scale),
                );
                store(to, format.positive(products, &mut most));
            },
        );
        for (from, to) in from.as_chunks().0.iter().zip(to.as_chunks_mut().0) {
            put(from, to);
        }
        if !width.is_multiple_of(8)
            && let (Some(from), Some(to)) = (from.last_chunk(), to.last_chunk_mut())
        {
            put(from, to);
        }
    }
    let least = Best::lanes(least).into_iter().map(f32::to_bits).min().map(f32::from_bits);
    least.filter(|_| format.is_narrowed(most))
}

#[inline(never)]
fn narrow_all<F: Format>(from: &[[f32; 8]], to: &mut [[u16; 8]]) {
    let format = F::new();
    for (from, to) in from.iter().zip(to) {
        store(to, format.narrowed(load_singles(from)));
    }
}

/// Adds `from` to `to`. The sums are rounded once.
pub(crate) fn add<F: Format>(from: &[f32], to: &mut [u16]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks(), to.as_chunks_mut());
    add_all::<F>(from, to);
    if !from_rest.is_empty() {
        let mut half = [padded(to_rest)];
        add_all::<F>(&[padded(from_rest)], &mut half);
        put(&half[0], to_rest);
    }
}

#[inline(never)]
fn add_all<F: Format>(from: &[[f32; 8]], to: &mut [[u16; 8]]) {
    let (format, mut most) = (F::new(), u32x4_splat(0));
    for (from, to) in from.iter().zip(to) {
        let ([a, b], [c, d]) = (format.widened::<true>(load(to), &mut most), load_singles(from));
        store(to, format.narrowed([odd_sum(a, c), odd_sum(b, d)]));
    }
}

/// A sum that is rounded to the neighbour whose last bit is odd, unless it is exact: from there it rounds to fewer places as the exact sum
/// does. What its rounding took is exact, as Knuth's sum of two numbers finds it; of infinities and NaN it is a NaN.
#[inline(always)]
fn odd_sum(a: v128, b: v128) -> v128 {
    let sum = f32x4_add(a, b);
    let part = f32x4_sub(sum, a);
    let error = f32x4_add(f32x4_sub(a, f32x4_sub(sum, part)), f32x4_sub(b, part));
    let is_less = u32x4_shr(v128_xor(error, sum), 31);
    let odd = v128_or(i32x4_sub(sum, is_less), u32x4_splat(1));
    v128_bitselect(odd, sum, f32x4_gt(f32x4_abs(error), u32x4_splat(0)))
}

/// Less than eight numbers, with zeros behind them. (A copy of a slice would be a call that V8 makes in C.)
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
