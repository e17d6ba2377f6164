//! Options that are one of a few named choices, with the names of the TypeScript package's strings.

#[cfg(doc)]
use crate::Error;

/// What the losses of the rows become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// One loss per row.
    None,
    /// Their sum.
    Sum,
    /// Their sum over the [`Denominator`].
    #[default]
    Mean,
}

/// What [`Reduction::Mean`] divides by. Sums run over the valid (not ignored) rows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Denominator {
    /// The sum of the row weights (PyTorch, ONNX).
    #[default]
    Weights,
    /// The number of valid rows (Keras).
    Valid,
    /// The number of all rows.
    All,
    /// The number of valid rows whose weight is not 0 (tf.compat.v1, TensorFlow.js).
    NonZero,
    /// This number; finite and above 0.
    Count(f64),
}

/// What happens to a row whose label is neither a class nor ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InvalidLabel {
    /// The call fails with [`Error::LabelOutOfRange`] (or [`Error::TargetMasked`]).
    #[default]
    Throw,
    /// Its loss and gradient are NaN; it counts as valid, with its sample weight.
    Nan,
    /// It is ignored.
    Ignore,
}

/// How class weights enter label smoothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SmoothingWeights {
    /// Each class's share carries that class's weight (PyTorch).
    #[default]
    Class,
    /// The whole row carries its label's weight (Keras on one-hot labels).
    Row,
}

/// What a mean over nothing is: the denominator is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyMean {
    /// Loss 0, gradient 0.
    #[default]
    Zero,
    /// Loss NaN, gradient NaN in valid rows and 0 in ignored ones.
    Nan,
}

/// What the logits array holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Input {
    /// Unnormalised scores.
    #[default]
    Logits,
    /// Log-probabilities, not checked to be normalised; the loss is `-x[y]`.
    LogProbs,
    /// Probabilities; see [`ProbsNormalize`].
    Probs,
}

/// How [`Input::Probs`] are normalised and clipped to `[eps, 1 - eps]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProbsNormalize {
    /// Divided by their sum, then clipped (Keras on JAX and PyTorch).
    #[default]
    Before,
    /// Clipped, then normalised again by a softmax of their logarithms (Keras on TensorFlow).
    After,
    /// Clipped only.
    None,
}
