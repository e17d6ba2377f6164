//! The options of the operation as a builder, with the names, defaults and ranges that the TypeScript package has.

mod choices;
mod weights;

pub use choices::{Denominator, EmptyMean, Input, InvalidLabel, ProbsNormalize, Reduction, SmoothingWeights};
pub(crate) use weights::{RowValues, is_positive_weight};
pub use weights::{Upstream, Weights};

use crate::Error;
use crate::parallel::Executor;
use crate::simd::Kernel;

/// Sparse softmax cross-entropy with its options: `CrossEntropy::new()` is the mean over rows, and each method sets one
/// option. Run it with `forward`, `forward_backward` or `forward_backward_in_place`.
///
/// Per row, with label `y`, class weight `v`, sample weight `omega`, row weight `w = v[y] * omega`, smoothing `e`, z-loss
/// `l`, focal `g` and poly-1 `p`, over the `K` classes that `class_mask` keeps and `z = logit_scale * x`:
///
/// ```text
/// nll  = -ln softmax(z)[y]          r = 1 - softmax(z)[y]         lse = ln sum exp z
/// f    = r^g (nll + p r)            u = mean over k of -ln softmax(z)[k], each times v[k] under SmoothingWeights::Class
/// loss = (1 - e) w f + e omega u + l w lse^2                       (e w u under SmoothingWeights::Row)
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct CrossEntropy<'a> {
    pub(crate) reduction: Reduction,
    pub(crate) denominator: Denominator,
    pub(crate) ignore: Ignore,
    pub(crate) invalid_label: InvalidLabel,
    pub(crate) class_weight: Option<Weights<'a>>,
    pub(crate) sample_weight: RowValues<'a>,
    pub(crate) label_smoothing: f64,
    pub(crate) smoothing_weights: SmoothingWeights,
    pub(crate) empty_mean: EmptyMean,
    pub(crate) upstream: RowValues<'a>,
    pub(crate) accumulate: bool,
    pub(crate) z_loss: f64,
    pub(crate) focal_gamma: f64,
    pub(crate) poly1_epsilon: f64,
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

/// The labels to skip; at most 16 different ones.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ignore {
    values: [i128; Ignore::MOST],
    count: usize,
    /// How many labels there was no room for.
    pub(crate) beyond: usize,
}

impl Ignore {
    pub(crate) const MOST: usize = 16;

    pub(crate) fn push(&mut self, value: i128) {
        if self.values().contains(&value) {
            return;
        }
        match self.values.get_mut(self.count) {
            Some(slot) => {
                *slot = value;
                self.count += 1;
            }
            None => self.beyond += 1,
        }
    }

    pub(crate) fn values(&self) -> &[i128] {
        &self.values[..self.count]
    }
}

/// Which results beside the loss a call is to give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) log_sum_exp: bool,
    pub(crate) target_log_prob: bool,
    pub(crate) predictions: bool,
    pub(crate) per_class: bool,
}

impl Default for CrossEntropy<'_> {
    fn default() -> Self {
        Self {
            reduction: Reduction::Mean,
            denominator: Denominator::Weights,
            ignore: Ignore::default(),
            invalid_label: InvalidLabel::Throw,
            class_weight: None,
            sample_weight: RowValues::Scalar(1.0),
            label_smoothing: 0.0,
            smoothing_weights: SmoothingWeights::Class,
            empty_mean: EmptyMean::Zero,
            upstream: RowValues::Scalar(1.0),
            accumulate: false,
            z_loss: 0.0,
            focal_gamma: 0.0,
            poly1_epsilon: 0.0,
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

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        }
    )*};
}

impl<'a> CrossEntropy<'a> {
    /// The mean over all rows, unweighted.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// What the row losses become; [`Reduction::Mean`] unless set.
        reduction: Reduction;
        /// What the mean divides by; [`Denominator::Weights`] unless set.
        denominator: Denominator;
        /// What an invalid label does; [`InvalidLabel::Throw`] unless set.
        invalid_label: InvalidLabel;
        /// The share of each target spread evenly over the kept classes, in `[0, 1]`; 0 unless set.
        label_smoothing: f64;
        /// How class weights enter smoothing; [`SmoothingWeights::Class`] unless set.
        smoothing_weights: SmoothingWeights;
        /// The mean over nothing; [`EmptyMean::Zero`] unless set.
        empty_mean: EmptyMean;
        /// Whether the gradient is added to what `grad` holds; out of place only.
        accumulate: bool;
        /// The factor of the squared log-sum-exp, at least 0; 0 unless set.
        z_loss: f64;
        /// The focal exponent, at least 0; 0 unless set.
        focal_gamma: f64;
        /// The poly-1 coefficient; 0 unless set.
        poly1_epsilon: f64;
        /// What logits are multiplied by before the softmax (the inverse temperature), above 0; 1 unless set.
        logit_scale: f64;
        /// What the logits array holds; [`Input::Logits`] unless set.
        input: Input;
        /// The clipping bound of [`Input::Probs`]; 1e-7 unless set.
        probs_epsilon: f64;
        /// How [`Input::Probs`] are normalised; [`ProbsNormalize::Before`] unless set.
        probs_normalize: ProbsNormalize;
        /// Who runs the call; [`Executor::Serial`] unless set. Results have the same bits whatever it is.
        executor: Executor;
        /// Which implementation of the kernels runs; the fastest unless set.
        kernel: Kernel;
    }

    /// Adds a label to skip: such rows have loss 0 and gradient 0, and their logits are not read. Up to 16 labels, which
    /// may lie inside or outside `0..classes`.
    pub fn ignore_index(mut self, label: impl Into<i128>) -> Self {
        self.ignore.push(label.into());
        self
    }

    /// A weight per class (finite, of any sign).
    pub fn class_weight(mut self, weights: impl Into<Weights<'a>>) -> Self {
        self.class_weight = Some(weights.into());
        self
    }

    /// A weight per row (finite, of any sign; entries of ignored rows are not looked at), times the class weight.
    pub fn sample_weight(mut self, weights: impl Into<Weights<'a>>) -> Self {
        self.sample_weight = RowValues::PerRow(weights.into());
        self
    }

    /// What the gradient is multiplied by: a number, or one per row under [`Reduction::None`]. Not validated: NaN and
    /// infinities propagate.
    pub fn upstream(mut self, upstream: impl Into<Upstream<'a>>) -> Self {
        self.upstream = upstream.into().0;
        self
    }

    /// A byte per class, 0 for a class that is taken out: its logits are not read, its gradient is 0.
    pub fn class_mask(mut self, keep: &'a [u8]) -> Self {
        self.class_mask = Some(keep);
        self
    }

    /// `classes` x `classes` numbers `H`, row-major: the loss of a row becomes `-omega * sum over k of H[y][k] ln p[k]`.
    pub fn label_matrix(mut self, matrix: impl Into<Weights<'a>>) -> Self {
        self.label_matrix = Some(matrix.into());
        self
    }

    /// Also gives the log-sum-exp of each row.
    pub fn with_log_sum_exp(mut self) -> Self {
        self.outputs.log_sum_exp = true;
        self
    }

    /// Also gives the log-probability of each row's label.
    pub fn with_target_log_prob(mut self) -> Self {
        self.outputs.target_log_prob = true;
        self
    }

    /// Also gives the arg-max of each row (the first of equals) and the number of correct rows.
    pub fn with_predictions(mut self) -> Self {
        self.outputs.predictions = true;
        self
    }

    /// Also gives loss, weight, count and correct rows per class.
    pub fn with_per_class(mut self) -> Self {
        self.outputs.per_class = true;
        self
    }

    /// The ranges and exclusions of the options, but for lengths.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let range = |ok: bool, option: &'static str, got: f64, expected: &'static str| {
            if ok { Ok(()) } else { Err(Error::OptionRange { option, got, expected }) }
        };
        let not_negative = |got: f64, option: &'static str| {
            range(got >= 0.0 && got.is_finite(), option, got, "a finite number of at least 0")
        };
        let positive = |got: f64, option: &'static str| {
            range(got > 0.0 && got.is_finite(), option, got, "a finite number above 0")
        };
        let smoothing = self.label_smoothing;
        range((0.0..=1.0).contains(&smoothing), "labelSmoothing", smoothing, "0..1")?;
        not_negative(self.z_loss, "zLoss")?;
        not_negative(self.focal_gamma, "focalGamma")?;
        range(self.poly1_epsilon.is_finite(), "poly1Epsilon", self.poly1_epsilon, "a finite number")?;
        positive(self.logit_scale, "logitScale")?;
        let clip = self.probs_epsilon;
        range(clip > 0.0 && clip < 0.5, "probsEpsilon", clip, "a number above 0 and below 0.5")?;
        let labels = self.ignore.count + self.ignore.beyond;
        range(self.ignore.beyond == 0, "ignoreIndex", labels as f64, "at most 16 labels")?;
        if let Denominator::Count(count) = self.denominator {
            positive(count, "denominator")?;
        }
        if let Some((option, with)) = self.conflict() {
            return Err(Error::OptionConflict { option, with });
        }
        Ok(())
    }

    fn conflict(&self) -> Option<(&'static str, &'static str)> {
        let set = [
            ("zLoss", self.z_loss != 0.0),
            ("logitScale", self.logit_scale != 1.0),
            ("outputs logSumExp", self.outputs.log_sum_exp),
            ("focalGamma", self.focal_gamma != 0.0),
            ("poly1Epsilon", self.poly1_epsilon != 0.0),
            ("labelSmoothing", self.label_smoothing != 0.0),
            ("classMask", self.class_mask.is_some()),
            ("labelMatrix", self.label_matrix.is_some()),
        ];
        let first = |excluded: &[&str]| {
            set.iter().find(|(name, on)| *on && excluded.contains(name)).map(|(name, _)| *name)
        };
        let excluded = match self.input {
            Input::Logits => None,
            Input::LogProbs => Some(("input logProbs", first(&["zLoss", "logitScale", "outputs logSumExp"]))),
            Input::Probs => Some(("input probs", first(&set.map(|(name, _)| name)))),
        };
        if let Some((with, Some(option))) = excluded {
            return Some((option, with));
        }
        if self.label_matrix.is_some() {
            if self.class_weight.is_some() {
                return Some(("classWeight", "labelMatrix"));
            }
            let option = first(&["labelSmoothing", "focalGamma", "poly1Epsilon"])?;
            return Some((option, "labelMatrix"));
        }
        let per_row = matches!(self.upstream, RowValues::PerRow(_));
        (per_row && self.reduction != Reduction::None)
            .then_some(("upstream per row", "a reduction other than none"))
    }
}
