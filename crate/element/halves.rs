//! The types of 16 bits: how slices of them are widened and narrowed, and how a gradient is written in them.

use super::{Element, to_odd};
#[cfg(not(target_arch = "wasm32"))]
use crate::simd::by_best;
#[cfg(target_arch = "wasm32")]
use crate::simd::halves;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// A gradient that is the exponentials times a positive number for each row, but for the elements of the labels.
pub(crate) struct ScaledRows<'a> {
    /// Positive numbers, neither infinite nor NaN, in rows of `width`, which is 8 or more.
    pub(crate) exponentials: &'a [f32],
    pub(crate) width: usize,
    /// One for each row, and at most [`ScaledRows::MOST`].
    pub(crate) scales: &'a [f32],
    /// The place of each row's label; negative in a row that has none.
    pub(crate) labels: &'a [i32],
    /// The elements at the labels.
    pub(crate) own: &'a [f32],
}

impl ScaledRows<'_> {
    /// The most rows.
    pub(crate) const MOST: usize = 128;
}

/// What both types of 16 bits can do.
pub(crate) trait Half: Element {
    /// Rounds the products to single precision, sets `to` to the numbers nearest to them, and returns the smallest exponential. It returns
    /// nothing if a product is too large for the type: then the caller writes the gradient in another way.
    fn narrow_rows(rows: &ScaledRows<'_>, to: &mut [Self]) -> Option<f32>;
    /// Adds `from` to `to`, rounding each sum once.
    fn add(from: &[f32], to: &mut [Self]);
}

/// Sets the element of each row's label.
#[inline(never)]
fn put_own(to: &mut [u16], width: usize, labels: &[i32], own: &[u16]) {
    for (row, (label, own)) in labels.iter().zip(own).enumerate() {
        if let Some(slot) = usize::try_from(*label).ok().and_then(|label| to.get_mut(row * width + label)) {
            *slot = *own;
        }
    }
}

/// Implements a type of 16 bits. In wasm `simd::halves` converts its slices. Natively plain loops do, of which the compiler makes vectors
/// of four lanes, or of eight where [`by_best`] finds AVX2; for that the functions for one number have no branch.
macro_rules! half_element {
    ($type:ident, $name:literal, $format:ident, $widened:ident, $narrowed:ident) => {
        impl Element for $type {
            type PerRow = f32;
            const NAME: &'static str = $name;

            #[inline(always)]
            fn to_f64(self) -> f64 {
                $type::to_f64(self)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                $type::from_bits($narrowed(&CONSTANTS, to_odd(value)))
            }
            #[inline(never)]
            fn widen(from: &[$type], to: &mut [f32]) {
                #[cfg(target_arch = "wasm32")]
                halves::widen::<halves::$format>(from.reinterpret_cast(), to);
                #[cfg(not(target_arch = "wasm32"))]
                by_best(
                    #[inline(always)]
                    || {
                        for (to, from) in to.iter_mut().zip(from) {
                            *to = $widened(&CONSTANTS, from.to_bits());
                        }
                    },
                );
            }
            #[inline(never)]
            fn narrow(from: &[f32], to: &mut [$type]) {
                #[cfg(target_arch = "wasm32")]
                halves::narrow::<halves::$format>(from, to.reinterpret_cast_mut());
                #[cfg(not(target_arch = "wasm32"))]
                by_best(
                    #[inline(always)]
                    || {
                        for (to, from) in to.iter_mut().zip(from) {
                            *to = $type::from_bits($narrowed(&CONSTANTS, *from));
                        }
                    },
                );
            }
        }

        impl Half for $type {
            #[inline(never)]
            fn add(from: &[f32], to: &mut [$type]) {
                #[cfg(target_arch = "wasm32")]
                halves::add::<halves::$format>(from, to.reinterpret_cast_mut());
                #[cfg(not(target_arch = "wasm32"))]
                by_best(
                    #[inline(always)]
                    || {
                        for (to, from) in to.iter_mut().zip(from) {
                            let sum = odd_sum($widened(&CONSTANTS, to.to_bits()), *from);
                            *to = $type::from_bits($narrowed(&CONSTANTS, sum));
                        }
                    },
                );
            }
            fn narrow_rows(rows: &ScaledRows<'_>, to: &mut [$type]) -> Option<f32> {
                #[cfg(target_arch = "wasm32")]
                let least = halves::narrow_rows::<halves::$format>(
                    (rows.exponentials, rows.width, rows.scales),
                    to.reinterpret_cast_mut(),
                )?;
                #[cfg(not(target_arch = "wasm32"))]
                let least = by_best(
                    #[inline(always)]
                    || {
                        let (mut least, width) = (u32::MAX, rows.width);
                        let each = rows.exponentials.chunks_exact(width).zip(to.chunks_exact_mut(width));
                        for ((from, to), scale) in each.zip(rows.scales) {
                            for (to, from) in to.iter_mut().zip(from) {
                                least = least.min(from.to_bits());
                                *to = $type::from_bits($narrowed(&CONSTANTS, from * scale));
                            }
                        }
                        f32::from_bits(least)
                    },
                );
                let mut own = [$type::ZERO; ScaledRows::MOST];
                let own = &mut own[..rows.own.len()];
                $type::narrow(rows.own, own);
                put_own(to.reinterpret_cast_mut(), rows.width, rows.labels, own.reinterpret_cast());
                Some(least)
            }
        }
    };
}

/// The numbers of the conversions; bits where no other type is given.
#[derive(Clone, Copy)]
struct Constants {
    /// All but the sign of a single, and its infinity.
    magnitude: u32,
    infinity: u32,
    /// The bits of a single that a widened `f16` uses, and the power of two by which the biases of the exponents differ.
    f16_places: u32,
    f16_bias: f32,
    /// The number whose bits `f16` uses for infinity, and the smallest normal `f16`.
    f16_infinity: f32,
    f16_normal: u32,
    /// The number of places that a single has and `f16` lacks, as an exponent; and what [`f16_narrowed`] subtracts at the end.
    f16_lift: u32,
    f16_excess: u32,
    f16_sign: u32,
    f16_nan: u32,
    bf16_below_half: u32,
    bf16_last_place: u32,
    bf16_nan: u32,
}

static CONSTANTS: Constants = Constants {
    magnitude: 0x7fff_ffff,
    infinity: 0x7f80_0000,
    f16_places: 0x8fff_e000,
    f16_bias: f32::from_bits((127 + 112) << 23), // 2^112
    f16_infinity: 65_536.0,
    f16_normal: 0x3880_0000, // 2^-14
    f16_lift: 13 << 23,
    f16_excess: (13 + 112 + 1) << 10,
    f16_sign: 0x8000,
    f16_nan: 0x7e00,
    bf16_below_half: 0x7fff,
    bf16_last_place: 1,
    bf16_nan: 0x7fc0,
};

half_element!(f16, "f16", F16, f16_widened, f16_narrowed);
half_element!(bf16, "bf16", Bf16, bf16_widened, bf16_narrowed);

/// All ones where true, so that a loop has no branch.
#[inline(always)]
fn mask(truth: bool) -> u32 {
    u32::from(truth).wrapping_neg()
}

/// The sum as a single that rounds to the same number of 16 bits as the exact sum does; see [`to_odd`]. Knuth's sum of two numbers finds
/// exactly what rounding took from it.
#[cfg(not(target_arch = "wasm32"))]
#[inline(always)]
fn odd_sum(a: f32, b: f32) -> f32 {
    let sum = a + b;
    let part = sum - a;
    let error = (a - (sum - part)) + (b - part);
    let is_less = (error.to_bits() ^ sum.to_bits()) >> 31;
    // Infinities and NaN have a NaN for an error.
    if error.abs() > 0.0 { f32::from_bits((sum.to_bits() - is_less) | 1) } else { sum }
}

/// All ones where the magnitude is a NaN's. The numbers are compared as signed ones: SIMD on x86 compares no unsigned ones.
#[inline(always)]
fn is_nan(c: &Constants, magnitude: u32) -> u32 {
    mask(magnitude.cast_signed() > c.infinity.cast_signed())
}

#[inline(always)]
fn bf16_widened(_: &Constants, bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest, ties to even; a NaN becomes a quiet one.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "16 bits are the result")]
fn bf16_narrowed(c: &Constants, x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(c.bf16_below_half + ((bits >> 16) & c.bf16_last_place)) >> 16;
    (rounded | (is_nan(c, bits & c.magnitude) & c.bf16_nan)) as u16
}

#[inline(always)]
fn f16_widened(c: &Constants, bits: u16) -> f32 {
    // The bits are read as a single that has the exponent's bias of `f16`. The product corrects it, exactly, subnormal numbers included.
    let biased = (i32::from(bits.cast_signed()) << 13).cast_unsigned() & c.f16_places;
    let x = f32::from_bits(biased) * c.f16_bias;
    f32::from_bits(x.to_bits() | (mask(x.abs() >= c.f16_infinity) & c.infinity))
}

/// The nearest, ties to even; infinity from 65520 on; a NaN becomes a quiet one.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "16 bits are the result")]
fn f16_narrowed(c: &Constants, x: f32) -> u16 {
    let (sign, magnitude) = ((x.to_bits() >> 16) & c.f16_sign, x.to_bits() & c.magnitude);
    let most = magnitude.min(c.f16_infinity.to_bits());
    // The sum with 2^13 times the number's power of two is rounded to the places that `f16` has: they are its last ones.
    let lift = (most & c.infinity).max(c.f16_normal) + c.f16_lift;
    let places = (f32::from_bits(most) + f32::from_bits(lift)).to_bits().wrapping_sub(lift);
    // The places begin with the leading 1 of a normal number. It counts as one step of the exponent, and a carry as one more.
    let rounded = (lift >> 13).wrapping_add(places).wrapping_sub(c.f16_excess);
    (sign | rounded | (is_nan(c, magnitude) & c.f16_nan)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value of 16 bits widens as `half` widens it, and comes back.
    #[test]
    fn half_numbers_widen_exactly_and_come_back() {
        let c = &CONSTANTS;
        for bits in 0..=u16::MAX {
            let (a, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            for (got, want, back, is_nan) in [
                (f16_widened(c, bits), a.to_f32(), f16_narrowed(c, f16_widened(c, bits)), a.is_nan()),
                (bf16_widened(c, bits), b.to_f32(), bf16_narrowed(c, bf16_widened(c, bits)), b.is_nan()),
            ] {
                if is_nan {
                    assert!(got.is_nan(), "{bits:#06x} is NaN, not {got}");
                } else {
                    assert_eq!(got.to_bits(), want.to_bits(), "{bits:#06x}");
                    assert_eq!(back, bits, "{bits:#06x} and back");
                }
            }
        }
    }

    /// Near every boundary between two values of 16 bits, and at a prime stride over all singles.
    #[test]
    fn singles_narrow_to_the_nearest_as_half_narrows_them() {
        let near = (0..=u16::MAX).flat_map(|bits| {
            let (a, b) = (f16::from_bits(bits).to_f32().to_bits(), u32::from(bits) << 16);
            let step = |bits: u32, half: u32| {
                (0..5).map(move |by| bits.wrapping_add(half).wrapping_add(by).wrapping_sub(2))
            };
            step(a, 0).chain(step(a, 0x1000)).chain(step(b, 0x8000)).collect::<Vec<_>>()
        });
        for bits in near.chain((0..u32::MAX).step_by(4099)) {
            let x = f32::from_bits(bits);
            if x.is_nan() {
                assert!(f16::from_bits(f16_narrowed(&CONSTANTS, x)).is_nan(), "{bits:#x}");
                assert!(bf16::from_bits(bf16_narrowed(&CONSTANTS, x)).is_nan(), "{bits:#x}");
                continue;
            }
            assert_eq!(f16_narrowed(&CONSTANTS, x), f16::from_f32(x).to_bits(), "{x:e} as f16");
            assert_eq!(bf16_narrowed(&CONSTANTS, x), bf16::from_f32(x).to_bits(), "{x:e} as bf16");
        }
    }

    /// Between any two neighbours of 16 bits, at the boundary and one double to each side.
    #[test]
    fn doubles_narrow_to_the_nearest() {
        fn check<E: Element>(bits: u16, of: fn(u16) -> E, infinity: u16, largest_step: f64) {
            let (below, next) = (of(bits).to_f64(), of(bits + 1).to_f64());
            // Infinity begins half a step above the largest number.
            let above = if bits + 1 == infinity { below + largest_step } else { next };
            let even = if bits.is_multiple_of(2) { below } else { next };
            let middle = 0.5 * (below + above);
            for (value, want) in [
                (below, below),
                (middle.next_down(), below),
                (middle, even),
                (middle.next_up(), next),
                (next, next),
            ] {
                for (value, want) in [(value, want), (-value, -want)] {
                    let got = E::from_f64(value).to_f64();
                    assert_eq!(got.to_bits(), want.to_bits(), "{value:e} as {}", E::NAME);
                }
            }
        }
        (0..0x7c00).for_each(|bits| check(bits, f16::from_bits, 0x7c00, 32.0));
        (0..0x7f80).for_each(|bits| check(bits, bf16::from_bits, 0x7f80, 2_f64.powi(120)));
        let tiny = f64::from_bits(1);
        for (value, want) in
            [(tiny, 0.0), (-tiny, -0.0), (f64::MAX, f64::INFINITY), (-f64::MAX, f64::NEG_INFINITY)]
        {
            assert_eq!(<f16 as Element>::from_f64(value).to_f64().to_bits(), want.to_bits(), "{value:e}");
            assert_eq!(<bf16 as Element>::from_f64(value).to_f64().to_bits(), want.to_bits(), "{value:e}");
        }
        assert!(
            <f16 as Element>::from_f64(f64::NAN).is_nan() && <bf16 as Element>::from_f64(f64::NAN).is_nan()
        );
    }

    /// Beside doubles, where these hold the sum exactly.
    #[test]
    fn sums_of_singles_are_rounded_once() {
        let numbers = || {
            (0..0x10000_u32).step_by(7).map(|upper| f32::from_bits(upper << 16)).chain([
                f32::NAN,
                -0.0,
                65_520.0,
            ])
        };
        let steps =
            [0.0, -0.0, 1.0, -1.0, 0.5, 1.0 / 512.0, 1.0 / 4096.0, -1.0 / 4096.0, 1e-30, 3e38, f32::INFINITY];
        for a in numbers() {
            for step in steps {
                for b in [step, a * step, (a * step).next_up(), -a * step * 1.000_000_1] {
                    let (wide_a, wide_b) = (f64::from(a), f64::from(b));
                    let sum = wide_a + wide_b;
                    let (want, got) = (to_odd(sum), odd_sum(a, b));
                    let half = |x: f32| {
                        let (x, y) = (f16::from_f32(x), bf16::from_f32(x));
                        if x.is_nan() { None } else { Some((x.to_bits(), y.to_bits())) }
                    };
                    let is_exact = sum - wide_a == wide_b && sum - wide_b == wide_a || !sum.is_finite();
                    assert!(!is_exact || half(got) == half(want), "{a:e} + {b:e}: {got:e}, not {want:e}");
                }
            }
        }
    }
}
