//! The types of 16 bits: how slices of them are widened and narrowed, and how a gradient is written in them.

use super::{Element, to_odd};
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

/// Implements a type of 16 bits, whose slices `simd::halves` converts.
macro_rules! half_element {
    ($type:ident, $name:literal, $format:ident, $narrowed:ident) => {
        impl Element for $type {
            type PerRow = f32;
            const NAME: &'static str = $name;

            #[inline(always)]
            fn to_f64(self) -> f64 {
                $type::to_f64(self)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                $type::from_bits(halves::$narrowed(to_odd(value)))
            }
            #[inline(never)]
            fn widen(from: &[$type], to: &mut [f32]) {
                halves::widen::<halves::$format>(from.reinterpret_cast(), to);
            }
            #[inline(never)]
            fn narrow(from: &[f32], to: &mut [$type]) {
                halves::narrow::<halves::$format>(from, to.reinterpret_cast_mut());
            }
        }

        impl Half for $type {
            #[inline(never)]
            fn add(from: &[f32], to: &mut [$type]) {
                halves::add::<halves::$format>(from, to.reinterpret_cast_mut());
            }
            fn narrow_rows(rows: &ScaledRows<'_>, to: &mut [$type]) -> Option<f32> {
                let from = (rows.exponentials, rows.width, rows.scales);
                let least = halves::narrow_rows::<halves::$format>(from, to.reinterpret_cast_mut())?;
                let mut own = [$type::ZERO; ScaledRows::MOST];
                let own = &mut own[..rows.own.len()];
                $type::narrow(rows.own, own);
                put_own(to.reinterpret_cast_mut(), rows.width, rows.labels, own.reinterpret_cast());
                Some(least)
            }
        }
    };
}

half_element!(f16, "f16", F16, f16_narrowed);
half_element!(bf16, "bf16", Bf16, bf16_narrowed);

#[cfg(test)]
mod tests {
    use super::*;

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
        fn check<E: Half>(numbers: &[E]) {
            let steps = [
                0.0,
                -0.0,
                1.0,
                -1.0,
                0.5,
                1.0 / 512.0,
                1.0 / 4096.0,
                -1.0 / 4096.0,
                1e-30,
                3e38,
                f32::INFINITY,
            ];
            for step in steps {
                let each: [fn(f32, f32) -> f32; 4] = [
                    |_, step| step,
                    |a, step| a * step,
                    |a, step| (a * step).next_up(),
                    |a, step| -a * step * 1.000_000_1,
                ];
                for term in each {
                    let terms: Vec<f32> =
                        numbers.iter().map(|a| term(f32::from_f64(a.to_f64()), step)).collect();
                    let mut sums = numbers.to_vec();
                    E::add(&terms, &mut sums);
                    for ((a, b), got) in numbers.iter().zip(&terms).zip(&sums) {
                        let (a, b, got) = (a.to_f64(), f64::from(*b), got.to_f64());
                        let sum = a + b;
                        let is_exact = sum - a == b && sum - b == a || !sum.is_finite();
                        let want = E::from_f64(sum).to_f64();
                        let is_right = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                        assert!(!is_exact || is_right, "{a:e} + {b:e} in {}: {got:e}, not {want:e}", E::NAME);
                    }
                }
            }
        }
        let bits = || (0..=u16::MAX).step_by(7);
        check(&bits().map(f16::from_bits).collect::<Vec<_>>());
        check(&bits().map(bf16::from_bits).collect::<Vec<_>>());
    }
}
