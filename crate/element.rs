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

macro_rules! half_element {
    ($type:ident, $name:literal) => {
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
                $type::from_f64(value)
            }
            fn widen(from: &[$type], to: &mut [f32]) {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = from.to_f32();
                }
            }
            fn narrow(from: &[f32], to: &mut [$type]) {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = $type::from_f32(*from);
                }
            }
        }
    };
}

half_element!(f16, "f16");
half_element!(bf16, "bf16");

/// A number type that the gradient of `E` logits may be written in: `E` itself, or `f32` under `f16` and `bf16`.
pub trait GradElement<E: Element>: Element {}

impl<E: Element> GradElement<E> for E {}
impl GradElement<f16> for f32 {}
impl GradElement<bf16> for f32 {}
