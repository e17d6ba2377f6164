//! From the statistics of a row to its loss and to the coefficients of its gradient. Here and in [`terms`] stands the arithmetic of
//! every option that shapes a loss: weights, the logit scale and the label matrix here, in f64; the others in [`terms`], in f64 and for a
//! vector of rows. With `p` the softmax of a row, whatever the options,
//!
//! ```text
//! d loss / d x[i] = a p[i] + b[i] + c [i == label]
//! ```
//!
//! The label's own element is computed in closed form and stored once: forming `p - 1` would lose its digits.

mod terms;

use terms::Smoothed;
pub(crate) use terms::{Functions, Outcomes, SingleTerms, Spread, Terms};

/// What a sweep over a row gathers. Differences are of logits and are scaled by `logit_scale` after they are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowStats {
    /// What was subtracted from each logit before `exp`: the largest logit, or the largest of the classes other than the
    /// label; any number where all of those are -inf.
    pub(crate) shift: f64,
    /// The label's logit.
    pub(crate) label: f64,
    /// The sum of `exp(scale (x[j] - shift))` over the classes other than the label.
    pub(crate) rest: f64,
    /// The sum of `t[k] scale (x[k] - shift)` over the classes other than the label, with `t` 1, the class weights, or the
    /// label's row of the label matrix; 0 where no option asks for it.
    pub(crate) moment: f64,
}

/// The weights of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowWeights {
    /// Class weight of the label times sample weight.
    pub(crate) row: f64,
    /// Sample weight.
    pub(crate) sample: f64,
    /// Class weight of the label.
    pub(crate) class: f64,
    /// The sum of `t` of [`RowStats::moment`] over the classes.
    pub(crate) moment_total: f64,
}

impl RowWeights {
    pub(crate) const NONE: Self = Self { row: 0.0, sample: 0.0, class: 0.0, moment_total: 0.0 };
}

/// The options that shape a row's loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Objective {
    /// The number of kept classes.
    pub(crate) classes: f64,
    pub(crate) scale: f64,
    pub(crate) terms: Terms,
    /// Whether smoothing carries class weights, if there are any.
    pub(crate) smoothing_by_class: bool,
    /// Whether a label matrix takes the place of labels.
    pub(crate) matrix: bool,
}

/// What a row comes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowResult {
    pub(crate) loss: f64,
    /// `ln softmax(z)[label]`.
    pub(crate) log_prob: f64,
    pub(crate) log_sum_exp: f64,
    pub(crate) gradient: Coefficients,
}

impl RowResult {
    pub(crate) const NAN: Self = Self {
        loss: f64::NAN,
        log_prob: f64::NAN,
        log_sum_exp: f64::NAN,
        gradient: Coefficients { scale: f64::NAN, bias: f64::NAN, target: Some(f64::NAN) },
    };
}

/// The gradient of a row, relative to the exponentials of the sweep:
/// `d x[i] = scale e[i] + bias` (times `t[i]` where the bias is per class), and `target` at the label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coefficients {
    pub(crate) scale: f64,
    pub(crate) bias: f64,
    /// `None`: the label's element is like the others.
    pub(crate) target: Option<f64>,
}

/// The label's part in a row's softmax: what an objective needs to know of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// `-ln softmax(z)[label]`.
    pub(crate) nll: f64,
    pub(crate) log_sum_exp: f64,
    /// The logarithm of the sum of all exponentials, relative to the shift; of use for a moment.
    pub(crate) ln_total: f64,
    /// The probability of the other classes, and the label's.
    pub(crate) miss: f64,
    pub(crate) hit: f64,
    /// What the exponentials are multiplied by to be probabilities.
    pub(crate) factor: f64,
}

impl Objective {
    /// Whether nothing but weights and the logit scale shapes the loss.
    pub(crate) fn is_plain(&self) -> bool {
        !self.matrix && self.terms.are_off()
    }

    /// Whether a sweep must gather [`RowStats::moment`].
    pub(crate) fn needs_moment(&self) -> bool {
        self.terms.label_smoothing > 0.0 || self.matrix
    }

    /// The row's loss and the coefficients of `upstream` times its gradient.
    ///
    /// With `R`, the sum of `exp(scale (x[j] - x[label]))` over the other classes, the loss is `ln_1p(R)` and the label's
    /// probability `1 / (1 + R)`. `R` never contains the label's own 1, so a confident row keeps its digits. Under a label matrix
    /// it is the largest class that `stats` leave out of the sum and whose weight `weights` have, and all of this is of that class.
    pub(crate) fn row(&self, stats: &RowStats, weights: &RowWeights, upstream: f64) -> RowResult {
        let outcome = Outcome::new(self.scale, stats);
        let step = upstream * self.scale;
        if self.matrix {
            return self.matrix_row(&outcome, stats.moment, weights, step);
        }
        self.terms.row(&outcome, self.smoothed(), stats.moment, weights, step)
    }

    /// The same of a row of log-probabilities, by that of the label, and the sum of those that [`Objective::needs_moment`] asks for, each
    /// times its weight.
    pub(crate) fn row_of_log_probs(
        &self,
        log_prob: f64,
        moment: f64,
        weights: &RowWeights,
        upstream: f64,
    ) -> RowResult {
        if log_prob.is_nan() || moment.is_nan() {
            return RowResult { log_prob, ..RowResult::NAN };
        }
        if self.matrix {
            let loss = -weights.sample * moment + 0.0;
            let gradient = Coefficients { scale: 0.0, bias: -upstream * weights.sample, target: None };
            return RowResult { loss, log_prob, log_sum_exp: 0.0, gradient };
        }
        self.terms.row_of_log_probs(log_prob, self.smoothed(), moment, weights, upstream)
    }

    /// The terms in single precision; `None` where that does not hold them. `by_class` says whether smoothing carries class weights.
    pub(crate) fn in_single(&self, by_class: bool) -> Option<SingleTerms> {
        SingleTerms::new(&self.terms, self.classes, by_class)
    }

    fn smoothed(&self) -> Smoothed {
        Smoothed { by_class: self.smoothing_by_class, classes: self.classes }
    }

    /// `loss = -omega sum over k of H[label][k] ln p[k] + z_loss omega lse^2`.
    fn matrix_row(&self, outcome: &Outcome, moment: f64, weights: &RowWeights, step: f64) -> RowResult {
        let Outcome { nll, log_sum_exp, ln_total, miss, factor, .. } = *outcome;
        let pull = self.terms.z_loss * weights.sample;
        let squared = if pull == 0.0 { 0.0 } else { pull * log_sum_exp * log_sum_exp };
        let tilt = if pull == 0.0 { 0.0 } else { 2.0 * pull * log_sum_exp };
        let a = weights.sample * weights.moment_total + tilt;
        // This is a + bias of the class that the sum leaves out, in a form that does not cancel.
        let closed = weights.sample * (weights.moment_total - weights.class) + tilt;
        let target = (miss < 0.5).then_some(step * (closed - a * miss) + 0.0);
        let others = (weights.moment_total - weights.class) * ln_total;
        RowResult {
            loss: weights.sample * (times(weights.class, nll) + others - moment) + squared + 0.0,
            log_prob: -nll,
            log_sum_exp,
            gradient: Coefficients { scale: step * a * factor + 0.0, bias: -step * weights.sample, target },
        }
    }
}

/// A product that is 0 where the weight is 0, even if the loss is infinite.
fn times(weight: f64, loss: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { weight * loss }
}

impl Outcome {
    /// `lead` is how far the label's scaled logit is above the shift, and `rest` the sum of the others' exponentials. That sum is 0 or at
    /// least 1; small logits are not shifted, and for them it is at least e^-40.
    fn new(scale: f64, stats: &RowStats) -> Self {
        let (lead, rest, shift) = (scale * (stats.label - stats.shift), stats.rest, scale * stats.shift);
        if rest == 0.0 {
            let log_sum_exp = shift + lead;
            return Self { nll: 0.0, log_sum_exp, ln_total: lead, miss: 0.0, hit: 1.0, factor: 0.0 };
        }
        if lead > 0.0 || rest < 1.0 {
            let near = libm::exp(-lead);
            let (others, total) = (rest * near, 1.0 + rest * near);
            let nll = libm::log1p(others);
            let ln_total = lead + nll;
            return Self {
                nll,
                log_sum_exp: shift + ln_total,
                ln_total,
                miss: others / total,
                hit: 1.0 / total,
                factor: near / total,
            };
        }
        // The shift is the maximum and is among the others: rest >= 1, and the two terms of the loss are positive.
        // Otherwise the label is the maximum itself, and `own` is exactly 1.
        let own = libm::exp(lead);
        let (total, ln_total) = (rest + own, libm::log1p(rest + (own - 1.0)));
        Self {
            nll: ln_total - lead,
            log_sum_exp: shift + ln_total,
            ln_total,
            miss: rest / total,
            hit: own / total,
            factor: 1.0 / total,
        }
    }
}
