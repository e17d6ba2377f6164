//! The sweeps over logits: [`rows`] where the classes of a row lie side by side, [`planes`] where they are strided, and
//! [`pairs`] where there are two of them, in single precision over an [`Isa`](crate::simd::Isa); [`double`] in f64, for f64
//! logits and for inputs that are probabilities already. They gather [`RowStats`](crate::objective::RowStats) and write an
//! affine map of the softmax (of two classes, the losses and gradient themselves). What options do to a row is in
//! [`crate::objective`], which [`objective`] calls for a vector of rows. Two options change the input before a sweep reads it: [`softcap`]
//! caps logits, and [`double`] clips probabilities. Entropies, ranks and the largest classes are found in [`distribution`]. Kernels use no
//! `unsafe`.
#![forbid(unsafe_code)]

pub(crate) mod distribution;
pub(crate) mod double;
pub(crate) mod objective;
mod odds;
pub(crate) mod pairs;
pub(crate) mod planes;
pub(crate) mod rows;
pub(crate) mod softcap;

use crate::math::FLOOR;

/// What is added to each element of a row's gradient.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bias<'a> {
    /// Nothing.
    None,
    /// One number.
    Uniform(f32),
    /// A number times the class's entry of a vector.
    PerClass(f32, &'a [f32]),
}

/// Which weighted sum of the shifted logits a sweep gathers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MomentOf<'a> {
    /// None.
    Nothing,
    /// The plain sum.
    Ones,
    /// The sum weighted by this vector; an entry of 0 leaves its class out, even at -inf.
    Weights(&'a [f32]),
}

impl MomentOf<'_> {
    /// Of the classes from this one on.
    pub(crate) fn from(self, start: usize) -> Self {
        match self {
            Self::Weights(weights) => Self::Weights(&weights[start..]),
            other => other,
        }
    }
}

/// The exponential at or below which an element of the gradient is exactly 0: what `exp` gives for clamped
/// arguments, or what would make `exponential * scale` subnormal, on which processors are slow.
pub(crate) fn zero_threshold(scale: f32) -> f32 {
    FLOOR.max(MIN_SCALED / scale.abs())
}

/// Just above the smallest normal number.
const MIN_SCALED: f32 = 1.2e-38;
