//! One row: its statistics, then its loss and gradient.

use super::{Input, Normalize, Options, SmoothingWeights};

/// Statistics of a row; vectors have one element per class and are only meaningful at kept classes.
#[derive(Clone, Debug)]
pub struct RowStats {
    /// Largest kept logit, unscaled.
    pub max: f64,
    /// ln of the sum of exp(scale (x - max)).
    pub ln_sum: f64,
    /// scale (largest other logit - logit of the label).
    pub lead: f64,
    /// -ln p of every class.
    pub surprise: Vec<f64>,
    /// Probability of every class.
    pub p: Vec<f64>,
    /// 1 - p of the label, without the subtraction.
    pub rest: f64,
}

impl RowStats {
    /// Passes one and two. `None` if the row is NaN: a NaN, a +inf, or nothing but -inf.
    pub fn of(x: &[f64], label: usize, scale: f64, keeps: impl Fn(usize) -> bool) -> Option<RowStats> {
        let kept = || (0..x.len()).filter(|k| keeps(*k));
        if kept().any(|k| x[k].is_nan() || x[k] == f64::INFINITY) {
            return None;
        }
        // Pass one: the largest logit and where it is, and the largest of the classes other than the label.
        let top = kept().reduce(|best, k| if x[k] > x[best] { k } else { best })?;
        let max = x[top];
        if max == f64::NEG_INFINITY {
            return None;
        }
        let others = || kept().filter(|k| *k != label);
        let other_max = others().map(|k| x[k]).fold(f64::NEG_INFINITY, f64::max);
        // Pass two: sums of exponentials. The largest term is 1 and stays out, so that ln_1p sees the small rest.
        let smaller_sum = sum(kept().filter(|k| *k != top).map(|k| power(scale, x[k], max)));
        let ln_sum = smaller_sum.ln_1p();
        let lead = if other_max == f64::NEG_INFINITY { other_max } else { scale * (other_max - x[label]) };
        // delta: ln of the odds against the label. Of the odds and their inverse, the one that is at most 1 is computed.
        let other_sum = sum(others().map(|k| power(scale, x[k], other_max)));
        let delta = if lead.is_infinite() { lead } else { lead + other_sum.ln() };
        let (odds, inverse) = match delta {
            f64::NEG_INFINITY => (0.0, f64::INFINITY),
            f64::INFINITY => (f64::INFINITY, 0.0),
            ..=0.0 => (other_sum * power(scale, other_max, x[label]), 1.0),
            _ => (1.0, power(scale, x[label], other_max) / other_sum),
        };
        let mut surprise: Vec<f64> = x.iter().map(|x| ln_sum - scale * (x - max)).collect();
        surprise[label] = if delta <= 0.0 { odds.ln_1p() } else { delta + inverse.ln_1p() };
        let mut p: Vec<f64> = x.iter().map(|x| power(scale, *x, max) / (1.0 + smaller_sum)).collect();
        let (hit, miss) = if delta <= 0.0 { (1.0, odds) } else { (inverse, 1.0) };
        p[label] = hit / (hit + miss);
        Some(RowStats { max, ln_sum, lead, surprise, p, rest: miss / (hit + miss) })
    }

    /// The statistics as `Input::LogProbs` has them: nothing is normalised.
    pub(super) fn of_log_probs(x: &[f64], label: usize) -> Option<RowStats> {
        let surprise: Vec<f64> = x.iter().map(|x| -x).collect();
        let p = x.iter().map(|x| x.exp()).collect();
        let rest = -x[label].exp_m1();
        (!x[label].is_nan()).then_some(RowStats { max: 0.0, ln_sum: 0.0, lead: 0.0, surprise, p, rest })
    }
}

/// `exp(scale (x - max))`, with what rounding takes from the difference and from the product.
fn power(scale: f64, x: f64, max: f64) -> f64 {
    let difference = x - max;
    let back = x - difference;
    let taken = (x - (difference + back)) + (back - max);
    let z = scale * difference;
    let lost = scale.mul_add(difference, -z) + scale * taken;
    // Of an infinite difference nothing is lost.
    if lost.is_finite() { z.exp() * (1.0 + lost) } else { z.exp() }
}

/// Weighted loss of a row and its gradient, both before upstream and denominator.
pub(super) fn active(x: &[f64], label: usize, sample: f64, options: &Options<'_>) -> (f64, Vec<f64>) {
    let row = match options.input {
        Input::Logits => RowStats::of(x, label, options.logit_scale, |class| options.keeps(class))
            .map(|stats| finish(&stats, label, sample, options)),
        Input::LogProbs => {
            RowStats::of_log_probs(x, label).map(|stats| finish(&stats, label, sample, options))
        }
        Input::Probs(normalize, epsilon) => {
            let weight = sample * options.class_weight_of(label);
            Some(probs(x, label, normalize, epsilon).times(weight))
        }
    };
    row.map_or_else(|| (f64::NAN, vec![f64::NAN; x.len()]), |row| (row.loss, row.grad))
}

/// Compensated sum (Neumaier): the definition should not be what limits a comparison.
pub(super) fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    let (mut total, mut lost) = (0.0_f64, 0.0);
    for term in terms {
        let next = total + term;
        lost += if total.abs() >= term.abs() { (total - next) + term } else { (term - next) + total };
        total = next;
    }
    if total.is_finite() { total + lost } else { total }
}

/// `factor * value`, where a factor of 0 switches the term off even if the value is infinite.
fn term(factor: f64, value: f64) -> f64 {
    if factor == 0.0 { 0.0 } else { factor * value }
}

/// Weighted loss of one row and its gradient, upstream and denominator left out.
pub(super) struct Row {
    pub(super) loss: f64,
    pub(super) grad: Vec<f64>,
}

impl Row {
    pub(super) fn times(self, weight: f64) -> Row {
        Row { loss: weight * self.loss, grad: self.grad.iter().map(|grad| weight * grad).collect() }
    }
}

/// Pass three of an active row: the loss and `a * p + b + c [k = label]` from the statistics.
pub(super) fn finish(stats: &RowStats, label: usize, sample: f64, o: &Options<'_>) -> Row {
    let classes = stats.p.len();
    let kept = || (0..classes).filter(|k| o.keeps(*k));
    let count = kept().count() as f64;
    let (weight, scale, epsilon) = (o.class_weight_of(label) * sample, o.logit_scale, o.label_smoothing);
    let lse = scale * stats.max + stats.ln_sum;

    // The weight of -ln p_k in the loss, apart from the target term. `a` is the sum of all weights.
    let spread: Vec<f64> = (0..classes)
        .map(|k| match (o.label_matrix, o.smoothing_weights) {
            _ if !o.keeps(k) => 0.0,
            (Some(matrix), _) => sample * matrix[label * classes + k],
            (None, SmoothingWeights::Class) => epsilon * sample * o.class_weight_of(k) / count,
            (None, SmoothingWeights::Row) => epsilon * weight / count,
        })
        .collect();
    let target = if o.label_matrix.is_some() { 0.0 } else { (1.0 - epsilon) * weight };

    let (loss, slope) = match o.gce_q {
        0.0 => modulate(stats, label, o.focal_gamma, o.poly1_epsilon),
        q => generalise(stats.surprise[label], q),
    };
    let spread_loss = sum(kept().map(|k| term(spread[k], stats.surprise[k])));
    let h = term(target, loss) + spread_loss + term(o.z_loss * weight, lse * lse);

    let normalised = o.input == Input::Logits;
    let tilt = term(2.0 * o.z_loss * weight, lse);
    let c = -target * slope;
    let a = if normalised { -c + sum(spread.iter().copied()) + tilt } else { 0.0 };
    // Of log-probabilities those are looked at that have a weight.
    let p = |k: usize| if normalised { a * stats.p[k] } else { 0.0 };
    let mut grad: Vec<f64> = (0..classes).map(|k| p(k) - spread[k]).collect();
    grad[label] = if normalised && stats.rest < 0.5 {
        // a + b + c without the cancellation, less a * rest.
        let others = sum((0..classes).filter(|k| *k != label).map(|k| spread[k]));
        others + tilt - a * stats.rest
    } else {
        grad[label] + c
    };
    if !normalised && h.is_nan() {
        return Row { loss: h, grad: (0..classes).map(|k| if o.keeps(k) { h } else { 0.0 }).collect() };
    }
    // d z / d x is the scale; classes that are not kept are not read either.
    let grad = (0..classes).map(|k| if o.keeps(k) { scale * grad[k] } else { 0.0 }).collect();
    Row { loss: h, grad }
}

/// Focal and poly-1: `f = rest^gamma (loss + pi rest)` and df / d loss.
fn modulate(stats: &RowStats, label: usize, gamma: f64, pi: f64) -> (f64, f64) {
    let (loss, rest, q) = (stats.surprise[label], stats.rest, stats.p[label]);
    if gamma == 0.0 && pi == 0.0 {
        return (loss, 1.0);
    }
    let factor = if gamma == 0.0 { 1.0 } else { rest.powf(gamma) };
    let rho = if rest == 0.0 { 1.0 } else { loss / rest };
    let slope = factor * (1.0 + pi * q + gamma * q * (rho + pi));
    (factor * (loss + pi * rest), if loss == f64::INFINITY { 1.0 } else { slope })
}

/// Generalised cross-entropy: `(1 - p^q) / q` and its derivative by `loss`, `p^q`. Where `q loss` is below 1e-20 they are `loss` and 1 to
/// the last digit, and the quotient might be one of numbers that are too small.
fn generalise(loss: f64, q: f64) -> (f64, f64) {
    let power = -q * loss;
    (if power.abs() < 1e-20 { loss } else { -power.exp_m1() / q }, power.exp())
}

/// `Input::Probs`: loss and gradient for weight 1.
pub(super) fn probs(x: &[f64], label: usize, normalize: Normalize, epsilon: f64) -> Row {
    let clip = |n: f64| if n.is_nan() { n } else { n.clamp(epsilon, 1.0 - epsilon) };
    // A NaN passes through the clip, and so does its gradient.
    let inside = |n: f64| n.is_nan() || (epsilon..=1.0 - epsilon).contains(&n);
    let hit = |k: usize| if k == label { 1.0 } else { 0.0 };
    let classes = 0..x.len();
    match normalize {
        Normalize::Before => {
            let total = sum(x.iter().copied());
            let n = x[label] / total;
            let grad = |k| if inside(n) { 1.0 / total - hit(k) / x[label] } else { 0.0 };
            Row { loss: -clip(n).ln(), grad: classes.map(grad).collect() }
        }
        Normalize::After => {
            let total = sum(x.iter().map(|x| clip(*x)));
            let grad = |k: usize| if inside(x[k]) { 1.0 / total - hit(k) / x[k] } else { 0.0 };
            Row { loss: total.ln() - clip(x[label]).ln(), grad: classes.map(grad).collect() }
        }
        Normalize::Never => {
            let grad = |k: usize| if inside(x[k]) { -hit(k) / x[k] } else { 0.0 };
            Row { loss: -clip(x[label]).ln(), grad: classes.map(grad).collect() }
        }
    }
}

impl Options<'_> {
    /// The logits of a row as the softmax sees them, before they are scaled.
    pub fn capped(&self, x: &[f64]) -> Vec<f64> {
        let capped =
            |x: &f64| if self.softcap == 0.0 { *x } else { self.softcap * (x / self.softcap).tanh() };
        x.iter().map(capped).collect()
    }

    /// The derivative of what a logit becomes in [`Options::capped`].
    pub fn slope_of_cap(&self, x: f64) -> f64 {
        if self.softcap == 0.0 { 1.0 } else { (x / self.softcap).cosh().powi(-2) }
    }
}
