//! The number types of logits and gradients: how each is widened to what the kernels compute in, and narrowed back.

mod arrays;

use crate::simd::by_best;
pub(crate) use arrays::{Source, Target, typed};
use core::hint::black_box;
use half::{bf16, f16};

mod sealed {
    use super::{Source, Target};

    /// Hands a slice to code that knows its type only at run time. Sealed: the crate's own types alone can be handed on.
    pub trait Sealed: Sized {
        fn source(slice: &[Self]) -> Source<'_>;
        fn target(slice: &mut [Self]) -> Target<'_>;
    }

    macro_rules! sealed {
        ($($type:ty, $variant:ident;)*) => {$(
            impl Sealed for $type {
                fn source(slice: &[Self]) -> Source<'_> {
                    Source::$variant(slice)
                }
                fn target(slice: &mut [Self]) -> Target<'_> {
                    Target::$variant(slice)
                }
            }
        )*};
    }

    sealed! { f32, F32; f64, F64; half::f16, F16; half::bf16, Bf16; }
}

/// A number type that logits may have: `f32`, [`f16`](struct@f16) and [`bf16`] are computed in single precision, `f64` in double.
///
/// The half types are widened exactly, and the gradient is rounded once when it is stored. The gradient of a mean over many
/// rows may be too small for `f16`: give it an [`upstream`](crate::CrossEntropy::upstream) as loss scale, or an `f32` array.
///
/// ```
/// use sparse_xent::{CrossEntropy, Logits, Shape, bf16, f16};
///
/// let shape = Shape::new(&[1, 3], -1)?;
/// let x = [65504.0, 65504.0, -65504.0].map(f16::from_f32);
/// let out = CrossEntropy::new().forward(&Logits::new(&x, shape)?, &[2])?;
/// assert!((out.loss - 131_008.693).abs() < 0.01); // losses are f32: no f16 could hold it
///
/// let x = [1.0, 2.0, 4.0].map(bf16::from_f32);
/// let (mut half, mut single) = ([bf16::ZERO; 3], [0.0_f32; 3]);
/// CrossEntropy::new().forward_backward(&Logits::new(&x, shape)?, &[1], &mut half)?;
/// CrossEntropy::new().forward_backward(&Logits::new(&x, shape)?, &[1], &mut single)?;
/// assert_eq!(half, single.map(bf16::from_f32));
/// # Ok::<(), sparse_xent::Error>(())
/// ```
pub trait Element: sealed::Sealed + Copy + core::fmt::Debug + Default + Send + Sync + 'static {
    /// The type of per-row results: `f64` for `f64` logits, otherwise `f32`.
    type PerRow: Element;
    /// The name the dtype goes by.
    const NAME: &'static str;

    /// The value, exactly.
    fn to_f64(self) -> f64;
    /// The nearest value.
    fn from_f64(value: f64) -> Self;

    /// Copies `from` to `to`, widening each value exactly.
    #[doc(hidden)]
    fn widen(from: &[Self], to: &mut [f32]);
    /// Copies `from` to `to`, rounding each value to the nearest.
    #[doc(hidden)]
    fn narrow(from: &[f32], to: &mut [Self]);
}

impl Element for f32 {
    type PerRow = f32;
    const NAME: &'static str = "f32";

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest single is the purpose")]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn widen(from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
    }
    fn narrow(from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
    }
}

impl Element for f64 {
    type PerRow = f64;
    const NAME: &'static str = "f64";

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    fn widen(from: &[f64], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = f32::from_f64(*from);
        }
    }
    fn narrow(from: &[f32], to: &mut [f64]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = f64::from(*from);
        }
    }
}

/// The conversions of slices are branch-free functions of this file and not `half`'s, so that the compiler makes vectors of the loops.
/// Their constants are read through a pointer that the compiler cannot follow: a wasm compiler makes a constant vector that it knows
/// anew in each turn. What 16-bit logits cost beside f32 is in `bench/record` (part `dtypes`).
///
/// Natively they run by [`by_best`]: every x86-64 has four lanes, and AVX2 has eight.
macro_rules! half_element {
    ($type:ident, $name:literal, $widened:ident, $narrowed:ident) => {
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
                let constants = *black_box(&CONSTANTS);
                by_best(
                    #[inline(always)]
                    || {
                        for (to, from) in to.iter_mut().zip(from) {
                            *to = $widened(&constants, from.to_bits());
                        }
                    },
                );
            }
            #[inline(never)]
            fn narrow(from: &[f32], to: &mut [$type]) {
                let constants = *black_box(&CONSTANTS);
                by_best(
                    #[inline(always)]
                    || {
                        for (to, from) in to.iter_mut().zip(from) {
                            *to = $type::from_bits($narrowed(&constants, *from));
                        }
                    },
                );
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

half_element!(f16, "f16", f16_widened, f16_narrowed);
half_element!(bf16, "bf16", bf16_widened, bf16_narrowed);

/// All ones where true, so that a loop has no branch.
#[inline(always)]
fn mask(truth: bool) -> u32 {
    u32::from(truth).wrapping_neg()
}

/// A single that rounds to the same number of 16 bits as the double does. A double between two singles becomes the one whose last
/// bit is odd, which lies on no boundary between numbers of fewer digits. (`half` takes the upper 32 bits of a double instead.)
#[inline(always)]
fn to_odd(value: f64) -> f32 {
    let near = f32::from_f64(value);
    if f64::from(near) == value || near.is_nan() {
        return near;
    }
    let towards_0 = near.to_bits() - u32::from(f64::from(near).abs() > value.abs());
    f32::from_bits(towards_0 | 1)
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

/// A number type that the gradient of `E` logits may be written in: `E` itself, or `f32` under `f16` and `bf16`.
pub trait GradElement<E: Element>: Element {}

impl<E: Element> GradElement<E> for E {}
impl GradElement<f16> for f32 {}
impl GradElement<bf16> for f32 {}

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
}
