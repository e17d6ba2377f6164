//! The number types of logits and gradients: how each is widened to what the kernels compute in, and narrowed back.

mod arrays;
mod halves;

use crate::simd::arrays::combine;
pub(crate) use arrays::{Source, Target, typed};
use half::{bf16, f16};
pub(crate) use halves::ScaledRows;

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
        combine(to, from, |_, from| f32::from_f64(from));
    }
    fn narrow(from: &[f32], to: &mut [f64]) {
        combine(to, from, |_, from| f64::from(from));
    }
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

/// A number type that the gradient of `E` logits may be written in: `E` itself, or `f32` under `f16` and `bf16`.
pub trait GradElement<E: Element>: Element {}

impl<E: Element> GradElement<E> for E {}
impl GradElement<f16> for f32 {}
impl GradElement<bf16> for f32 {}
