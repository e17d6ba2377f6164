//! The options of the operation as a builder, with the names, defaults and ranges that the TypeScript package has.

mod builder;
mod check;
mod choices;
mod outputs;
mod weights;

pub(crate) use check::check;
pub use choices::{Denominator, EmptyMean, Input, InvalidLabel, ProbsNormalize, Reduction, SmoothingWeights};
pub(crate) use weights::{RowValues, is_positive_weight};
pub use weights::{Upstream, Weights};

#[cfg(doc)]
use crate::Error;
pub(crate) use crate::objective::Terms;
use crate::parallel::Executor;
use crate::simd::Kernel;
use std::borrow::Cow;

/// Sparse softmax cross-entropy with its options: `CrossEntropy::new()` is the mean over rows, and each method sets one
/// option. Run it with [`forward`](Self::forward), [`forward_backward`](Self::forward_backward) or
/// [`forward_backward_in_place`](Self::forward_backward_in_place), as often as wanted.
///
/// # What is computed
///
/// Per row, with label `y`, class weight `v`, sample weight `omega`, row weight `w = v[y] * omega`, smoothing `e`, z-loss
/// `l`, focal `g`, poly-1 `p` and generalised cross-entropy `q`, over the `K` classes that `class_mask` keeps and `z = logit_scale * x`, or `logit_scale * cap(x)` under `softcap`:
///
/// ```text
/// nll  = -ln softmax(z)[y]       r = 1 - softmax(z)[y]       lse = ln sum exp z
/// f    = r^g (nll + p r)                             under gce_q instead (1 - softmax(z)[y]^q) / q
/// u    = mean over k of -ln softmax(z)[k]           each times v[k] under SmoothingWeights::Class
/// loss = (1 - e) w f + e omega u + l w lse^2        e w u under SmoothingWeights::Row
/// ```
///
/// Losses are in nats. The mean is the sum of the row losses over a [`Denominator`]; the gradient is that of `upstream`
/// times the reduced loss with respect to `x`. [`derivation`](crate::derivation) explains the formulas and names the
/// function of each. The loss of a row and its gradient are within `2^-24 (32 + d)` of their value, `d` being the label's
/// distance from the largest other logit (`2^-53` for `f64`), as long as they are normal numbers.
///
/// # Which rows count
///
/// Decided per row in this order:
///
/// | row | loss, gradient | logits |
/// |---|---|---|
/// | ignored: its label was given to [`ignore_index`](Self::ignore_index) | 0, 0 | not read |
/// | invalid: its label is no class, or one that [`class_mask`](Self::class_mask) takes out | [`invalid_label`](Self::invalid_label) decides | not read |
/// | of weight 0, and smoothing puts no weight on it | 0, 0 | read for outputs that were asked for |
/// | every other | as above | read |
///
/// # Infinities, NaN, nothing
///
/// | a row's logits | what comes |
/// |---|---|
/// | NaN or +inf among those of kept classes, or -inf alone | loss and gradient of the row are NaN; no other row is touched |
/// | -inf at another class than the label | probability 0, gradient 0 (with smoothing: loss +inf) |
/// | -inf at the label | loss +inf, gradient -1 at the label before weights |
/// | one class | loss 0, gradient 0 |
/// | no class that is kept: a mask of zeros | every row is ignored or invalid; gradient 0, the loss of invalid rows as [`invalid_label`](Self::invalid_label) says |
/// | no rows, all ignored, all weights 0 | a mean is what [`empty_mean`](Self::empty_mean) says; no error |
///
/// # Errors
///
/// Every call first checks lengths ([`Error::Length`]), ranges ([`Error::OptionRange`]), exclusions
/// ([`Error::OptionConflict`]), labels ([`Error::LabelNotInteger`], [`Error::LabelOutOfRange`], [`Error::TargetMasked`])
/// and weights ([`Error::WeightValue`]), in this order, and writes nothing where it fails.
///
/// # Examples
///
/// Here and at the methods, three rows of four classes. The values in comments are those of the systems named.
///
/// ```
/// use sparse_xent::{CrossEntropy, Logits, Reduction, Shape};
///
/// let x = [0.5_f64, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
/// let logits = Logits::new(&x, Shape::new(&[3, 4], -1)?)?;
/// let labels = [2_u8, 0, 3];
///
/// // torch.nn.functional.cross_entropy with weight: the sum of v[y] nll over the sum of v[y].
/// let op = CrossEntropy::new().class_weight(&[1.0, 0.5, 2.0, 0.25]);
/// let out = op.forward(&logits, &labels)?;
/// assert!((out.loss - 0.907700869116).abs() < 1e-12);
///
/// // tf.nn.sparse_softmax_cross_entropy_with_logits: a loss per row, and its second output.
/// let mut grad = [0.0_f64; 12];
/// let op = CrossEntropy::new().reduction(Reduction::None);
/// let out = op.forward_backward(&logits, &labels, &mut grad)?;
/// assert_eq!(out.losses.len(), 3);
/// assert!(grad.chunks(4).all(|row| row.iter().sum::<f64>().abs() < 1e-15));
/// # Ok::<(), sparse_xent::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct CrossEntropy<'a> {
    pub(crate) reduction: Reduction,
    pub(crate) denominator: Denominator,
    /// The labels to skip, each once.
    pub(crate) ignore: Cow<'a, [i128]>,
    pub(crate) invalid_label: InvalidLabel,
    pub(crate) class_weight: Option<Weights<'a>>,
    pub(crate) sample_weight: RowValues<'a>,
    pub(crate) terms: Terms,
    pub(crate) smoothing_weights: SmoothingWeights,
    pub(crate) empty_mean: EmptyMean,
    pub(crate) upstream: RowValues<'a>,
    pub(crate) accumulate: bool,
    pub(crate) softcap: f64,
    pub(crate) logit_scale: f64,
    pub(crate) input: Input,
    pub(crate) probs_epsilon: f64,
    pub(crate) probs_normalize: ProbsNormalize,
    pub(crate) class_mask: Option<&'a [u8]>,
    pub(crate) label_matrix: Option<Weights<'a>>,
    pub(crate) outputs: Wanted,
    pub(crate) executor: Executor,
    pub(crate) kernel: Kernel,
}

/// Which results beside the loss a call is to give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) log_sum_exp: bool,
    pub(crate) target_log_prob: bool,
    pub(crate) predictions: bool,
    pub(crate) per_class: bool,
    /// How many of the largest classes; 0 for none.
    pub(crate) top_k: usize,
    pub(crate) target_rank: bool,
    pub(crate) entropy: bool,
    pub(crate) log_probs: bool,
}

impl Wanted {
    /// Whether any of those that need the logits of a row at once.
    pub(crate) fn of_distribution(self) -> bool {
        self.target_rank || self.needs_logits()
    }

    /// Whether any of those that are probabilities.
    pub(crate) fn needs_logits(self) -> bool {
        self.top_k > 0 || self.entropy || self.log_probs
    }
}

impl Default for CrossEntropy<'_> {
    fn default() -> Self {
        Self {
            reduction: Reduction::Mean,
            denominator: Denominator::Weights,
            ignore: Cow::Borrowed(&[]),
            invalid_label: InvalidLabel::Throw,
            class_weight: None,
            sample_weight: RowValues::Scalar(1.0),
            terms: Terms::default(),
            smoothing_weights: SmoothingWeights::Class,
            empty_mean: EmptyMean::Zero,
            upstream: RowValues::Scalar(1.0),
            accumulate: false,
            softcap: 0.0,
            logit_scale: 1.0,
            input: Input::Logits,
            probs_epsilon: 1e-7,
            probs_normalize: ProbsNormalize::Before,
            class_mask: None,
            label_matrix: None,
            outputs: Wanted::default(),
            executor: Executor::Serial,
            kernel: Kernel::Best,
        }
    }
}
