//! The options that shape the loss of a row, with their arithmetic in two forms: in f64, which defines it, and in single precision for
//! a vector of rows. The test below compares the two over a grid of rows, weights and options.
//!
//! An option of the target term needs the two functions named [`target`](Terms::target), and nothing else here.

use super::{Coefficients, Outcome, RowResult, RowWeights, times};
use crate::Element;
use crate::math::{Exp, Expm1, FLOOR, Ln};
use crate::simd::Isa;

/// The options, each 0 where it is off.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Terms {
    pub(crate) label_smoothing: f64,
    pub(crate) z_loss: f64,
    pub(crate) focal_gamma: f64,
    pub(crate) poly1_epsilon: f64,
    pub(crate) gce_q: f64,
}

/// How the weights of a row enter smoothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Smoothed {
    /// Whether each class has its own weight.
    pub(crate) by_class: bool,
    /// The number of kept classes.
    pub(crate) classes: f64,
}

impl Terms {
    /// Whether all are off.
    pub(crate) fn are_off(&self) -> bool {
        *self == Self::default()
    }

    /// The largest logit that a row may have, and the smallest that its label may have, if its exponentials are to be taken without a
    /// shift. Within these bounds single precision holds the factor of the row's gradient. A focal loss makes the factor small only where
    /// the other classes' exponentials are small too, so that what is lost counts as 0. The generalised loss makes it small where they are
    /// large: for 4,096 classes and the smallest step that such rows may have, 1e-15, it is at least e^-81.
    pub(crate) fn small_logits(&self) -> (f32, f32) {
        if self.gce_q != 0.0 {
            (10.0, -10.0)
        } else if self.focal_gamma != 0.0 {
            (16.0, -32.0)
        } else {
            (40.0, -32.0)
        }
    }

    /// What the target term makes of `nll`, and its derivative with respect to `nll`, by `d miss / d nll = hit`:
    ///
    /// ```text
    /// generalised    (1 - hit^q) / q                      hit^q
    /// otherwise      miss^gamma (nll + poly miss)
    /// ```
    pub(super) fn target(&self, nll: f64, miss: f64, hit: f64) -> (f64, f64) {
        let (gamma, poly, q) = (self.focal_gamma, self.poly1_epsilon, self.gce_q);
        if q != 0.0 {
            let t = q * nll; // hit^q = exp(-t)
            let value = match t {
                0.0 => nll,
                f64::INFINITY => 1.0 / q,
                _ => nll * (-libm::expm1(-t) / t),
            };
            return (value, libm::exp(-t));
        }
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

    /// A row's loss and the coefficients of `step` times its gradient, where there is no label matrix.
    pub(super) fn row(
        &self,
        outcome: &Outcome,
        smoothed: Smoothed,
        moment: f64,
        weights: &RowWeights,
        step: f64,
    ) -> RowResult {
        let Outcome { nll, log_sum_exp, ln_total, miss, hit, factor } = *outcome;
        let (value, slope) = self.target(nll, miss, hit);
        let kept = (1.0 - self.label_smoothing) * weights.row;
        let mut loss = if kept == 0.0 { 0.0 } else { kept * value };
        let mut a = if kept == 0.0 { 0.0 } else { kept * slope };
        let c = -a;
        let mut bias = 0.0;
        let mut label_bias = 0.0;
        let mut closed = 0.0; // a + label_bias + c, in a form that does not cancel
        if self.label_smoothing > 0.0 {
            // The weight of a class's share is v[k] * outside, of the label's share v_y * outside.
            let (outside, v_label) = smoothed.of(weights);
            let v_total = if smoothed.by_class { weights.moment_total } else { smoothed.classes };
            let share = self.label_smoothing * outside / smoothed.classes;
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

    /// The same of a row of log-probabilities: those other than the label's matter under smoothing alone, which adds up all in `moment`.
    pub(super) fn row_of_log_probs(
        &self,
        log_prob: f64,
        smoothed: Smoothed,
        moment: f64,
        weights: &RowWeights,
        step: f64,
    ) -> RowResult {
        let (miss, hit) = (-libm::expm1(log_prob), libm::exp(log_prob));
        let (value, slope) = self.target(-log_prob, miss, hit);
        let kept = (1.0 - self.label_smoothing) * weights.row;
        let (mut loss, c) = if kept == 0.0 { (0.0, 0.0) } else { (kept * value, -kept * slope) };
        let (outside, v_label) = smoothed.of(weights);
        let share = self.label_smoothing * outside / smoothed.classes;
        if share != 0.0 {
            loss -= share * moment;
        }
        let target = step * (c - share * v_label) + 0.0;
        let gradient = Coefficients { scale: 0.0, bias: -step * share, target: Some(target) };
        RowResult { loss: loss + 0.0, log_prob, log_sum_exp: 0.0, gradient }
    }
}

impl Smoothed {
    /// What the shares of all classes are multiplied by, and the label's own share.
    fn of(self, weights: &RowWeights) -> (f64, f64) {
        if self.by_class { (weights.sample, weights.class) } else { (weights.row, 1.0) }
    }
}

/// [`Terms`] in single precision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SingleTerms {
    /// 1 - smoothing.
    kept: f32,
    /// Smoothing / classes.
    share: f32,
    /// The number of classes other than the label.
    others: f32,
    by_class: bool,
    z_loss: f32,
    focal_gamma: f32,
    poly1_epsilon: f32,
    gce_q: f32,
}

/// The exponential and the logarithm, with their constants.
pub(crate) type Functions<I> = (Exp<I>, Ln<I>);

/// The label's part in the softmax of a vector of rows; as [`Outcome`].
#[derive(Clone, Copy)]
pub(crate) struct Outcomes<I: Isa> {
    pub(crate) nll: I::V,
    pub(crate) log_sum_exp: I::V,
    pub(crate) ln_total: I::V,
    pub(crate) miss: I::V,
    pub(crate) hit: I::V,
    pub(crate) factor: I::V,
    /// The label's exponential and those of the others, relative to the same number.
    pub(crate) label: I::V,
    pub(crate) others: I::V,
}

/// What smoothing needs to know of a vector of rows.
#[derive(Clone, Copy)]
pub(crate) struct Spread<I: Isa> {
    pub(crate) moment: I::V,
    /// Where smoothing carries class weights: the sample weights, these times the step, and the sum of the weights of the classes
    /// other than the label.
    pub(crate) sample: I::V,
    pub(crate) sample_step: I::V,
    pub(crate) others: I::V,
}

/// What a vector of rows comes to; as [`RowResult`].
#[derive(Clone, Copy)]
pub(crate) struct Results<I: Isa> {
    pub(crate) loss: I::V,
    pub(crate) scale: I::V,
    pub(crate) bias: I::V,
    pub(crate) target: I::V,
}

impl SingleTerms {
    /// `None` where some option is too small for single precision. `by_class` says whether smoothing carries class weights.
    pub(crate) fn new(terms: &Terms, classes: f64, by_class: bool) -> Option<Self> {
        let single = f32::from_f64;
        let terms_of = Self {
            kept: single(1.0 - terms.label_smoothing),
            share: single(terms.label_smoothing / classes),
            others: single(classes - 1.0),
            by_class,
            z_loss: single(terms.z_loss),
            focal_gamma: single(terms.focal_gamma),
            poly1_epsilon: single(terms.poly1_epsilon),
            gce_q: single(terms.gce_q),
        };
        let fits = |(given, single): (f64, f32)| given == 0.0 || single.is_normal();
        let each = [
            (terms.label_smoothing, terms_of.share),
            (terms.z_loss, terms_of.z_loss),
            (terms.focal_gamma, terms_of.focal_gamma),
            (terms.poly1_epsilon, terms_of.poly1_epsilon),
            (terms.gce_q, terms_of.gce_q),
        ];
        each.into_iter().all(fits).then_some(terms_of)
    }

    /// [`Terms::target`] of a vector of rows.
    #[inline(always)]
    fn target<I: Isa>(&self, (exp, ln): &Functions<I>, part: &Outcomes<I>) -> (I::V, I::V) {
        let (zero, one) = (I::splat(0.0), I::splat(1.0));
        let &Outcomes { nll, miss, hit, label, others, .. } = part;
        if self.gce_q != 0.0 {
            let t = I::mul(I::splat(self.gce_q), nll);
            let minus = I::sub(zero, t);
            let ratio = I::select(I::eq(t, zero), one, I::div(Expm1::<I>::new().expm1(minus), minus));
            let power = exp.exp(minus);
            return (I::mul(nll, ratio), I::and_not(power, I::le(power, I::splat(FLOOR))));
        }
        if self.focal_gamma == 0.0 && self.poly1_epsilon == 0.0 {
            return (nll, one);
        }
        let (gamma, poly) = (I::splat(self.focal_gamma), I::splat(self.poly1_epsilon));
        let never = I::eq(miss, zero);
        let mut value = I::add(nll, I::mul(poly, miss));
        let mut slope = I::add(one, I::mul(poly, hit));
        if self.focal_gamma != 0.0 {
            // 1 / miss = 1 + hit / miss, which keeps the digits of a miss near 1.
            let surprise = ln.ln_1p(I::div(label, others));
            let power = exp.exp(I::sub(zero, I::mul(gamma, surprise)));
            let power = I::and_not(I::and_not(power, I::le(power, I::splat(FLOOR))), never);
            let ratio = I::select(never, one, I::div(nll, miss));
            slope = I::add(slope, I::mul(I::mul(gamma, hit), I::add(ratio, poly)));
            (value, slope) = (I::mul(power, value), I::mul(power, slope));
        }
        (value, slope)
    }

    /// [`Terms::row`] of a vector of rows, in single precision. What it cannot hold shows as a result that is not finite.
    #[inline(always)]
    pub(crate) fn rows<I: Isa>(
        &self,
        functions: &Functions<I>,
        part: &Outcomes<I>,
        (weight, step): (I::V, I::V),
        spread: impl FnOnce() -> Spread<I>,
    ) -> Results<I> {
        let (zero, half) = (I::splat(0.0), I::splat(0.5));
        let (value, slope) = self.target(functions, part);
        let kept = I::splat(self.kept);
        let mut loss = I::mul(I::mul(kept, weight), value);
        let mut a = I::mul(I::mul(kept, step), slope);
        // This is a + the label's bias + c, in a form that does not cancel, and its last two terms.
        let mut closed = zero;
        let mut at_label = I::sub(zero, a);
        let mut bias = zero;
        if self.share > 0.0 {
            let spread = spread();
            let each = I::splat(self.share);
            let own_step = I::mul(each, step);
            let (outside, outside_step, others) = if self.by_class {
                (spread.sample, spread.sample_step, spread.others)
            } else {
                (weight, step, I::splat(self.others))
            };
            let (outside, outside_step) = (I::mul(each, outside), I::mul(each, outside_step));
            let apart = I::sub(I::mul(others, part.ln_total), spread.moment);
            loss = I::add(loss, I::add(I::mul(I::mul(each, weight), part.nll), I::mul(outside, apart)));
            closed = I::mul(outside_step, others);
            a = I::add(a, I::add(own_step, closed));
            at_label = I::sub(at_label, own_step);
            bias = I::sub(zero, outside_step);
        }
        if self.z_loss > 0.0 {
            let pull = I::mul(I::splat(self.z_loss), part.log_sum_exp);
            loss = I::add(loss, I::mul(I::mul(weight, pull), part.log_sum_exp));
            let tilt = I::mul(step, I::add(pull, pull));
            a = I::add(a, tilt);
            closed = I::add(closed, tilt);
        }
        let target = I::select(
            I::le(half, part.miss),
            I::add(I::mul(a, part.hit), at_label),
            I::sub(closed, I::mul(a, part.miss)),
        );
        Results { loss, scale: I::mul(a, part.factor), bias, target }
    }
}

#[cfg(test)]
mod tests;
