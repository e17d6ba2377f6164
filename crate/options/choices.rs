//! Options that are one of a few named choices, with the names of the TypeScript package's strings.

#[cfg(doc)]
use crate::Error;

/// What the losses of the rows become, and so what the gradient is the gradient of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// One weighted loss per row. The gradient is that of their sum, each row times its upstream.
    None,
    /// Their sum.
    Sum,
    /// Their sum over the [`Denominator`].
    #[default]
    Mean,
}

/// What [`Reduction::Mean`] divides by. Sums run over the valid (not ignored) rows.
///
/// Frameworks differ here; all are the same where every weight is 1 and no row is ignored. A denominator of 0 is a mean
/// over nothing, [`EmptyMean`]; a negative one (of negative weights) is used as it is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Denominator {
    /// The sum of the row weights (PyTorch, ONNX; Keras's `mean_with_sample_weight`).
    #[default]
    Weights,
    /// The number of valid rows (Keras's `sum_over_batch_size`).
    Valid,
    /// The number of all rows, ignored ones too (Caffe's `FULL`).
    All,
    /// The number of valid rows whose weight is not 0 (tf.compat.v1, TensorFlow.js).
    NonZero,
    /// This number; finite and above 0. The rows of a whole batch, when this call has a part of it.
    Count(f64),
}

/// What happens to a row whose label is neither a class nor ignored, or whose class the mask takes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InvalidLabel {
    /// The call fails with [`Error::LabelOutOfRange`] or [`Error::TargetMasked`] (TensorFlow on a CPU).
    #[default]
    Throw,
    /// Its loss and gradient are NaN; it counts as valid, with its sample weight (TensorFlow on a GPU, optax).
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
    /// Loss 0, gradient 0 (Keras, tf.compat.v1).
    #[default]
    Zero,
    /// Loss NaN, gradient NaN in valid rows and 0 in ignored ones (PyTorch, ONNX).
    Nan,
}

/// What the logits array holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Input {
    /// Unnormalised scores.
    #[default]
    Logits,
    /// Log-probabilities, not checked to be normalised; the loss is `-x[y]`, the gradient -1 at the label and 0 elsewhere
    /// before weights (PyTorch's `nll_loss`, ONNX's `NegativeLogLikelihoodLoss`). Without smoothing nothing but `x[y]` is
    /// read. Excludes z-loss, logit scale and the log-sum-exp.
    LogProbs,
    /// Probabilities; see [`ProbsNormalize`]. Combines with weights, ignored labels and reductions only.
    Probs,
}

/// How [`Input::Probs`] are normalised and clipped to `[eps, 1 - eps]`. Where a number is clipped, its gradient is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProbsNormalize {
    /// Divided by their sum, then clipped (Keras on JAX and PyTorch): `-ln clip(x[y] / sum of x)`.
    #[default]
    Before,
    /// Clipped, then normalised again by a softmax of their logarithms (Keras on TensorFlow):
    /// `ln(sum of clip(x)) - ln clip(x[y])`.
    After,
    /// Clipped only: `-ln clip(x[y])`.
    None,
}
