//! From the statistics of a row to its loss and to the coefficients of its gradient. Scalar, in f64, and where the arithmetic
//! of every option is defined; [`rows_with`](crate::kernels::objective::Stats::rows_with) has the same for a vector of rows. With
//! `p` the softmax of a row, whatever the options,
//!
//! ```text
//! d loss / d x[i] = a p[i] + b[i] + c [i == label]
//! ```
//!
//! The label's own element is computed in closed form and stored once: forming `p - 1` would lose its digits.

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
    pub(crate) smoothing: f64,
    pub(crate) smoothing_by_class: bool,
    pub(crate) z_loss: f64,
    pub(crate) focal_gamma: f64,
    pub(crate) poly1_epsilon: f64,
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
        let terms = [self.smoothing, self.z_loss, self.focal_gamma, self.poly1_epsilon];
        !self.matrix && terms.iter().all(|term| *term == 0.0)
    }

    /// Whether a sweep must gather [`RowStats::moment`].
    pub(crate) fn needs_moment(&self) -> bool {
        self.smoothing > 0.0 || self.matrix
    }

    /// The row's loss and the coefficients of `upstream` times its gradient.
    ///
    /// With `R`, the sum of `exp(scale (x[j] - x[label]))` over the other classes, the loss is `ln_1p(R)` and the label's
    /// probability `1 / (1 + R)`. `R` never contains the label's own 1, so a confident row keeps its digits.
    pub(crate) fn row(&self, stats: &RowStats, weights: &RowWeights, upstream: f64) -> RowResult {
        let outcome = Outcome::new(self.scale, stats);
        if self.matrix {
            return self.matrix_row(&outcome, stats.moment, weights, upstream * self.scale);
        }
        self.row_of(&outcome, stats.moment, weights, upstream)
    }

    /// The same of a row whose part in the softmax is known, unless there is a matrix.
    pub(crate) fn row_of(
        &self,
        outcome: &Outcome,
        moment: f64,
        weights: &RowWeights,
        upstream: f64,
    ) -> RowResult {
        let Outcome { nll, log_sum_exp, ln_total, miss, hit, factor } = *outcome;
        let step = upstream * self.scale;
        let (value, slope) = self.modulated(nll, miss, hit);
        let kept = (1.0 - self.smoothing) * weights.row;
        let mut loss = if kept == 0.0 { 0.0 } else { kept * value };
        let mut a = if kept == 0.0 { 0.0 } else { kept * slope };
        let c = -a;
        let mut bias = 0.0;
        let mut label_bias = 0.0;
        let mut closed = 0.0; // a + label_bias + c, without its cancellation
        if self.smoothing > 0.0 {
            // The weight of a class's share is v[k] * outside, of the label's share v_y * outside.
            let outside = if self.smoothing_by_class { weights.sample } else { weights.row };
            let (v_total, v_label) = if self.smoothing_by_class {
                (weights.moment_total, weights.class)
            } else {
                (self.classes, 1.0)
            };
            let share = self.smoothing * outside / self.classes;
            if share != 0.0 {
                loss += share * (times(v_label, nll) + (v_total - v_label) * ln_total - moment);
                a += share * v_total;
                bias = -share;
                label_bias = -share * v_label;
                closed = share * (v_total - v_label);
            }
        }
        let pull = self.z_loss * weights.row;
        if pull != 0.0 {
            loss += pull * log_sum_exp * log_sum_exp;
            a += 2.0 * pull * log_sum_exp;
            closed += 2.0 * pull * log_sum_exp;
        }
        let target = if miss < 0.5 { closed - a * miss } else { a * hit + label_bias + c };
        RowResult {
            loss: loss + 0.0,
            log_prob: -nll,
            log_sum_exp,
            gradient: Coefficients {
                scale: step * a * factor + 0.0,
                bias: step * bias,
                target: Some(step * target + 0.0),
            },
        }
    }

    /// `f(nll) = miss^gamma (nll + poly miss)` and its derivative, by `d miss / d nll = hit`.
    pub(crate) fn modulated(&self, nll: f64, miss: f64, hit: f64) -> (f64, f64) {
        let (gamma, poly) = (self.focal_gamma, self.poly1_epsilon);
        if gamma == 0.0 && poly == 0.0 {
            return (nll, 1.0);
        }
        let power = if gamma == 0.0 { 1.0 } else { libm::pow(miss, gamma) };
        let value = power * (nll + poly * miss);
        if nll == f64::INFINITY {
            return (value, 1.0);
        }
        let ratio = if miss == 0.0 { 1.0 } else { nll / miss };
        (value, power * (1.0 + poly * hit + gamma * hit * (ratio + poly)))
    }

    /// `loss = -omega sum over k of H[label][k] ln p[k] + z_loss omega lse^2`.
    fn matrix_row(&self, outcome: &Outcome, moment: f64, weights: &RowWeights, step: f64) -> RowResult {
        let Outcome { nll, log_sum_exp, ln_total, miss, factor, .. } = *outcome;
        let pull = self.z_loss * weights.sample;
        let squared = if pull == 0.0 { 0.0 } else { pull * log_sum_exp * log_sum_exp };
        let tilt = if pull == 0.0 { 0.0 } else { 2.0 * pull * log_sum_exp };
        let a = weights.sample * weights.moment_total + tilt;
        // a + bias without its cancellation, so that a confident row keeps its digits.
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

/// A product in which a weight of 0 takes an infinite loss out.
fn times(weight: f64, loss: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { weight * loss }
}

impl Outcome {
    /// Of a label whose scaled logit is above the shift by some lead, where the others' exponentials add up to `rest`: either 0 or at
    /// least 1, or, of small logits and without a shift, anything from e^-40 on.
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
