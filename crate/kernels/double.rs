//! One row in f64, copied to scratch beforehand: for f64 logits, and for inputs that are log-probabilities or
//! probabilities already. Scalar code; the mathematics is that of the objective.
//!
//! Sums are made of runs of [`RUN`] terms, whose sums are then added with what rounding takes from them, so that the rounding error of a
//! long row stays at that of a short one.
use crate::objective::{Coefficients, Objective, RowResult, RowStats, RowWeights};
use crate::parallel::{STEP, progress, steps};
use crate::simd::arrays;

/// Terms added one after the other before their sum joins the row's: of equal terms, whose roundings all go one way, 64 are off by up
/// to 14 units of rounding, and 256 by 62.
const RUN: usize = 64;

pub(super) fn summed(terms: impl ExactSizeIterator<Item = f64>) -> f64 {
    let (mut total, mut lost, mut run, mut left) = (0.0, 0.0, 0.0, RUN);
    let mut runs = 0;
    for term in terms {
        run += term;
        left -= 1;
        if left == 0 {
            let sum: f64 = total + run;
            let added = sum - total;
            lost += (total - (sum - added)) + (run - added);
            (total, run, left) = (sum, 0.0, RUN);
            runs += 1;
            if runs % (STEP / RUN) == 0 {
                progress();
            }
        }
    }
    let sum = total + run;
    // Where the sum is infinite the differences are NaN.
    if sum.is_finite() { sum + lost } else { sum }
}

/// The sum of `map(x)`, each times its class's weight; an entry of weight 0 is left out, even where it is infinite.
fn moment(x: &[f64], weight_of: Option<impl Fn(usize) -> f64>, map: impl Fn(f64) -> f64) -> f64 {
    let Some(weight_of) = weight_of else { return 0.0 };
    summed(x.iter().enumerate().map(|(class, x)| match weight_of(class) {
        0.0 => 0.0,
        weight => weight * map(*x),
    }))
}

/// The statistics of a row of logits, which its exponentials replace; `None` for a row whose loss is NaN. `weight_of`
/// gives the weights of the moment, where one is wanted.
#[inline(never)] // as those below: compiled once for all dtypes
pub(crate) fn stats(
    x: &mut [f64],
    label: usize,
    scale: f64,
    weight_of: Option<impl Fn(usize) -> f64>,
) -> Option<RowStats> {
    let mut shift = f64::NEG_INFINITY;
    for cells in steps(x.len()) {
        for x in &x[cells] {
            if x.is_nan() {
                return None;
            }
            shift = shift.max(*x);
        }
    }
    if !shift.is_finite() {
        return None;
    }
    let own = x[label];
    let others = weight_of.map(|weight_of| move |class| if class == label { 0.0 } else { weight_of(class) });
    let moment = moment(x, others, |x| scale * (x - shift));
    for cells in steps(x.len()) {
        for x in &mut x[cells] {
            *x = libm::exp(scale * (*x - shift));
        }
    }
    let rest = summed(x.iter().enumerate().map(|(class, e)| if class == label { 0.0 } else { *e }));
    Some(RowStats { shift, label: own, rest, moment })
}

/// The first of the largest; `None` where one is NaN.
#[inline(never)]
pub(crate) fn argmax(x: &[f64]) -> Option<usize> {
    let mut best = 0;
    for cells in steps(x.len()) {
        for class in cells {
            let value = x[class];
            if value.is_nan() {
                return None;
            }
            if value > x[best] {
                best = class;
            }
        }
    }
    Some(best)
}

/// Turns exponentials into the gradient; `bias_of` gives a class's share of the bias.
#[inline(never)]
pub(crate) fn write_grad(e: &mut [f64], c: &Coefficients, label: usize, bias_of: impl Fn(usize) -> f64) {
    for cells in steps(e.len()) {
        for (class, e) in cells.clone().zip(&mut e[cells]) {
            // + 0.0 turns the -0 of an exact zero times a negative number into +0.
            *e = c.scale * *e + c.bias * bias_of(class) + 0.0;
        }
    }
    if let Some(target) = c.target {
        e[label] = target;
    }
}

/// A row of log-probabilities: `nll = -x[label]`, taken as it is. Only the label's entry is read unless smoothing or a
/// label matrix asks for the others. The gradient is `b[i] + c [i == label]`: `x` is left as zeros, which
/// [`write_grad`] maps to that.
#[inline(never)]
pub(crate) fn log_probs(
    x: &mut [f64],
    label: usize,
    objective: &Objective,
    weights: &RowWeights,
    upstream: f64,
    weight_of: Option<impl Fn(usize) -> f64>,
) -> RowResult {
    let log_prob = x[label];
    let others = moment(x, weight_of, |x| x);
    x.fill(0.0);
    objective.row_of_log_probs(log_prob, others, weights, upstream)
}

/// Which formula a row of probabilities follows; `bound` clips to `[bound, 1 - bound]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probs {
    pub(crate) bound: f64,
    pub(crate) normalize: crate::options::ProbsNormalize,
}

impl Probs {
    fn clip(&self, x: f64) -> f64 {
        if x.is_nan() { x } else { x.clamp(self.bound, 1.0 - self.bound) }
    }

    /// The loss of a row of probabilities times `weight`. If there is an `upstream`, its product with the gradient replaces `x`.
    ///
    /// ```text
    /// Before   n = x[y] / sum x     loss = -ln clip(n)               grad[i] = 1 / sum x - [i == y] / x[y] where n is not clipped
    /// After    c = clip(x)          loss = ln sum c - ln c[y]        grad[i] = 1 / sum c - [i == y] / c[y] where x[i] is not
    /// None                          loss = -ln clip(x[y])            grad[i] = -[i == y] / x[y] where x[y] is not
    /// ```
    #[inline(never)]
    pub(crate) fn row(&self, x: &mut [f64], label: usize, weight: f64, upstream: Option<f64>) -> (f64, f64) {
        use crate::options::ProbsNormalize;
        let own = x[label];
        let step = upstream.map(|upstream| upstream * weight);
        let inside = |x: f64| (self.bound..=1.0 - self.bound).contains(&x);
        let nll = match self.normalize {
            ProbsNormalize::Before => {
                let sum = summed(x.iter().copied());
                let share = own / sum;
                if let Some(step) = step {
                    let flat = if inside(share) || share.is_nan() { step } else { 0.0 };
                    let gradient = |gather: f64| if flat == 0.0 { 0.0 } else { flat * (1.0 / sum - gather) };
                    let others = gradient(0.0);
                    steps(x.len()).for_each(|cells| arrays::fill(&mut x[cells], others));
                    x[label] = gradient(1.0 / own);
                }
                -libm::log(self.clip(share))
            }
            ProbsNormalize::After => {
                let sum = summed(x.iter().map(|x| self.clip(*x)));
                if let Some(step) = step {
                    for cells in steps(x.len()) {
                        for (class, x) in cells.clone().zip(&mut x[cells]) {
                            let gather = if class == label { 1.0 / *x } else { 0.0 };
                            *x = if inside(*x) || x.is_nan() { step * (1.0 / sum - gather) } else { 0.0 };
                        }
                    }
                }
                libm::log(sum) - libm::log(self.clip(own))
            }
            ProbsNormalize::None => {
                if let Some(step) = step {
                    x.fill(0.0);
                    if inside(own) || own.is_nan() {
                        x[label] = -step / own;
                    }
                }
                -libm::log(self.clip(own))
            }
        };
        (weight * nll + 0.0, -nll)
    }
}
