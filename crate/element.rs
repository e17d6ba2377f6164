//! The number types of logits and gradients: how each is widened to what the kernels compute in, and narrowed back.

use half::{bf16, f16};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
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
    /// Whether the kernels compute in f64.
    #[doc(hidden)]
    const DOUBLE: bool;

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
    /// The slice itself where the kernels can work on it as it lies.
    #[doc(hidden)]
    fn as_f32(slice: &[Self]) -> Option<&[f32]> {
        let _ = slice;
        None
    }
    /// The slice itself where the kernels can work on it as it lies.
    #[doc(hidden)]
    fn as_f32_mut(slice: &mut [Self]) -> Option<&mut [f32]> {
        let _ = slice;
        None
    }
}

impl Element for f32 {
    type PerRow = f32;
    const NAME: &'static str = "f32";
    const DOUBLE: bool = false;

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
    #[inline(always)]
    fn as_f32(slice: &[f32]) -> Option<&[f32]> {
        Some(slice)
    }
    #[inline(always)]
    fn as_f32_mut(slice: &mut [f32]) -> Option<&mut [f32]> {
        Some(slice)
    }
}

impl Element for f64 {
    type PerRow = f64;
    const NAME: &'static str = "f64";
    const DOUBLE: bool = true;

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

/// The conversions of slices are branch-free functions of this file and not `half`'s, so that the compiler makes vectors of
/// the loops: a value at a time they cost more than the exponentials.
macro_rules! half_element {
    ($type:ident, $name:literal, $widened:ident, $narrowed:ident) => {
        impl Element for $type {
            type PerRow = f32;
            const NAME: &'static str = $name;
            const DOUBLE: bool = false;

            #[inline(always)]
            fn to_f64(self) -> f64 {
                $type::to_f64(self)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                $type::from_bits($narrowed(to_odd(value)))
            }
            #[inline(never)]
            fn widen(from: &[$type], to: &mut [f32]) {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = $widened(from.to_bits());
                }
            }
            #[inline(never)]
            fn narrow(from: &[f32], to: &mut [$type]) {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = $type::from_bits($narrowed(*from));
                }
            }
        }
    };
}

half_element!(f16, "f16", f16_widened, f16_narrowed);
half_element!(bf16, "bf16", bf16_widened, bf16_narrowed);

/// What a choice between two numbers is in a loop without branches.
#[inline(always)]
fn choose(truth: bool, a: u32, b: u32) -> u32 {
    let mask = u32::from(truth).wrapping_neg();
    (a & mask) | (b & !mask)
}

/// The single that rounds to what the double rounds to, in any type with fewer digits: where the double lies between two
/// singles the one with an odd last bit, which is on no boundary. (`half` takes the upper 32 bits of a double instead.)
#[inline(always)]
fn to_odd(value: f64) -> f32 {
    let near = f32::from_f64(value);
    if f64::from(near) == value || near.is_nan() {
        return near;
    }
    let towards_0 = near.to_bits() - u32::from(f64::from(near).abs() > value.abs());
    f32::from_bits(towards_0 | 1)
}

#[inline(always)]
fn bf16_widened(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest, ties to even; a NaN keeps its upper bits and becomes quiet.
#[inline(always)]
fn bf16_narrowed(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    (choose(bits & 0x7fff_ffff > 0x7f80_0000, bits | 0x0040_0000, rounded) >> 16) as u16
}

#[inline(always)]
fn f16_widened(bits: u16) -> f32 {
    const SMALLEST_NORMAL: u32 = 0x3880_0000; // 2^-14
    let (sign, magnitude) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff));
    // Moves the exponent's bias from 15 to 127, and that of infinity and NaN to the top.
    let normal = (magnitude << 13) + choose(magnitude >= 0x7c00, 0x7000_0000, 0x3800_0000);
    // A subnormal number is a fraction of 2^-14, to which 2^-14 was added.
    let fraction = f32::from_bits(SMALLEST_NORMAL | (magnitude << 13)) - f32::from_bits(SMALLEST_NORMAL);
    f32::from_bits(sign | choose(magnitude < 0x0400, fraction.to_bits(), normal))
}

/// The nearest, ties to even; infinity from 65520 on; a NaN keeps its upper bits and becomes quiet.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "16 bits are the result")]
fn f16_narrowed(x: f32) -> u16 {
    let (sign, magnitude) = ((x.to_bits() >> 16) & 0x8000, x.to_bits() & 0x7fff_ffff);
    // Moves the exponent's bias from 127 to 15 and rounds; a carry goes into the exponent, up to infinity.
    let rounded = (magnitude.wrapping_add(0xc800_0fff + ((magnitude >> 13) & 1)) >> 13).min(0x7c00);
    let normal = choose(magnitude >= 0x477f_f000, 0x7c00, rounded);
    // Adding 1/2, whose last place is 2^-24, rounds to a whole number of the smallest f16.
    let small = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5_f32.to_bits());
    let finite = choose(magnitude < 0x3880_0000, small, normal);
    let nan = 0x7e00 | ((magnitude >> 13) & 0x03ff);
    (sign | choose(magnitude > 0x7f80_0000, nan, finite)) as u16
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
        for bits in 0..=u16::MAX {
            let (a, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            for (got, want, back, is_nan) in [
                (f16_widened(bits), a.to_f32(), f16_narrowed(f16_widened(bits)), a.is_nan()),
                (bf16_widened(bits), b.to_f32(), bf16_narrowed(bf16_widened(bits)), b.is_nan()),
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
                assert!(f16::from_bits(f16_narrowed(x)).is_nan(), "{bits:#x}");
                assert!(bf16::from_bits(bf16_narrowed(x)).is_nan(), "{bits:#x}");
                continue;
            }
            assert_eq!(f16_narrowed(x), f16::from_f32(x).to_bits(), "{x:e} as f16");
            assert_eq!(bf16_narrowed(x), bf16::from_f32(x).to_bits(), "{x:e} as bf16");
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
