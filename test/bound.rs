//! How far a result may be from the definition, and the comparison that every other test goes through.
//!
//! The bound on a plain row, with m the distance of the label's logit to the largest other one and
//! T = C^2 2^-124 (2^-1020 for f64), the licence to treat tiny exponentials as 0:
//!
//! ```text
//! loss, 1 - p_y:  U (32 + m) |value| + T          p_i:  U (32 + 2 m + s (max - x_i)) p_i + T
//! ```
//!
//! With options on, the logit scale among them: the same on the sum of the magnitudes of the terms, times 2 + gamma, and T^gamma for
//! gamma below 1. Where a term is the logarithm of the sum of all exponentials by itself, under z-loss or weights of few classes, an error
//! of that sum relative to it is one of its logarithm, whatever that is: near 0 such a term keeps an absolute error. The
//! generalised loss has its own value and slope in place of the target term's.
#![expect(unreachable_pub, reason = "a module of a program")]

use crate::support::{Case, widened};
use core::cmp::Ordering;
use core::fmt::Debug;
use sparse_xent::reference::{
    Answer, Input, InvalidLabel, Kind, Normalize, Options, Problem, RowStats, SmoothingWeights, kind_of,
};
use sparse_xent::{Element, Output};

/// What a number type allows.
#[derive(Clone, Copy, Debug)]
pub struct Precision {
    /// Unit roundoff of the type that is computed in.
    unit: f64,
    /// The exponent of T without C^2.
    tiny: i32,
    /// Largest finite value of the type that is computed in.
    largest: f64,
    /// Unit roundoff and half the smallest step of the type the gradient is stored in, where that is narrower.
    store: (f64, f64),
    /// Largest finite value of that type.
    stored: f64,
}

impl Precision {
    /// Of logits `E` and a gradient stored as `G`.
    pub fn of<E: Element, G: Element>() -> Self {
        let store = match G::NAME {
            "f16" => (2_f64.powi(-11), 2_f64.powi(-25)),
            "bf16" => (2_f64.powi(-8), 2_f64.powi(-134)),
            _ => (0.0, 0.0),
        };
        let stored = if G::NAME == "f16" { 65504.0 } else { f64::INFINITY };
        if E::NAME == "f64" {
            Precision { unit: 2_f64.powi(-53), tiny: -1020, largest: f64::MAX, store, stored }
        } else {
            Precision { unit: 2_f64.powi(-24), tiny: -124, largest: f64::from(f32::MAX), store, stored }
        }
    }

    fn tiny(&self, classes: usize) -> f64 {
        (classes as f64).powi(2) * 2_f64.powi(self.tiny)
    }
}

/// The allowed error of every row loss and gradient element.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub losses: Vec<f64>,
    pub grad: Vec<f64>,
}

/// Bounds of all rows. `answer` gives the denominator.
pub fn bounds(case: &Case, answer: &Answer, precision: Precision) -> Bounds {
    let (problem, options) = (case.problem(), case.set.reference());
    let mut bounds = Bounds { losses: vec![0.0; case.rows()], grad: vec![0.0; case.logits.len()] };
    for row in 0..case.rows() {
        if kind_of(&problem, &options, row) != Kind::Active {
            continue;
        }
        let factor = match options.upstream {
            sparse_xent::reference::PerRow::Same(upstream) => upstream,
            sparse_xent::reference::PerRow::Each(upstream) => upstream[row],
        } / answer.denominator;
        let Some((loss, grad, coefficient)) = row_bounds(&problem, &options, row, precision) else {
            continue;
        };
        bounds.losses[row] = loss;
        // Coefficients are rounded to the type that is computed in: one beyond it is infinite.
        let is_beyond = factor.abs() * coefficient > 0.99 * precision.largest;
        for (class, bound) in grad.into_iter().enumerate() {
            let place = case.place(row, class);
            let stored = answer.grad[place].abs() * precision.store.0 + precision.store.1;
            bounds.grad[place] = match options.input {
                _ if is_beyond => f64::INFINITY,
                Input::Logits | Input::LogProbs if factor.is_nan() => 0.0,
                _ => bound * factor.abs() + precision.tiny(problem.classes) + stored,
            };
        }
    }
    bounds
}

/// Magnitudes of the terms of a row: what rounding errors are relative to.
struct Terms {
    /// m.
    margin: f64,
    /// |-ln p_k| as the sum of its two parts.
    surprise: Vec<f64>,
    /// s (max - x_k).
    depth: Vec<f64>,
    /// |s max| + ln S.
    lse: f64,
    /// What rounding takes from softly capped logits, in units: 12 of the label's magnitude and the largest.
    capped: f64,
    /// By how much a logit is above the cap, and the slope there.
    cap: Vec<(f64, f64)>,
    p: Vec<f64>,
    loss: f64,
    rest: f64,
}

fn finite_or_0(x: f64) -> f64 {
    if x.is_finite() { x } else { 0.0 }
}

/// How many times the cap a logit is, and the slope of the cap there.
fn above_cap(x: f64, options: &Options<'_>) -> (f64, f64) {
    if options.softcap == 0.0 {
        return (0.0, 1.0);
    }
    ((x / options.softcap).abs().min(50.0), options.slope_of_cap(x))
}

fn terms(x: &[f64], label: usize, options: &Options<'_>) -> Option<Terms> {
    if options.input == Input::LogProbs {
        return Some(Terms {
            margin: 0.0,
            surprise: x.iter().map(|x| finite_or_0(x.abs())).collect(),
            depth: vec![0.0; x.len()],
            lse: 0.0,
            capped: 0.0,
            cap: vec![(0.0, 1.0); x.len()],
            p: x.iter().map(|x| x.exp()).collect(),
            loss: finite_or_0(x[label].abs()),
            rest: -x[label].exp_m1(),
        });
    }
    let scale = options.logit_scale;
    let cap: Vec<(f64, f64)> = x.iter().map(|x| above_cap(*x, options)).collect();
    let x = &options.capped(x)[..];
    let keeps = |class: usize| options.class_mask.is_none_or(|mask| mask[class] != 0);
    let stats = RowStats::of(x, label, scale, keeps)?;
    let depth: Vec<f64> = x.iter().map(|x| finite_or_0(scale * (stats.max - x))).collect();
    // Under a label matrix the classes that count may be others than the label: the largest is as far ahead of the next as any is.
    let ahead = options.label_matrix.map_or(0.0, |_| {
        let mut kept: Vec<f64> = (0..x.len()).filter(|class| keeps(*class)).map(|class| x[class]).collect();
        kept.sort_by(f64::total_cmp);
        kept.iter().rev().nth(1).map_or(0.0, |next| finite_or_0(scale * (stats.max - next)))
    });
    Some(Terms {
        margin: finite_or_0(stats.lead.abs()).max(ahead),
        surprise: depth.iter().map(|depth| stats.ln_sum + depth).collect(),
        depth,
        lse: (scale * stats.max).abs() + stats.ln_sum,
        capped: if options.softcap == 0.0 {
            0.0
        } else {
            12.0 * scale
                * (finite_or_0(x[label].abs())
                    + x.iter().fold(0.0, |most: f64, x| most.max(finite_or_0(x.abs()))))
        },
        cap,
        loss: finite_or_0(stats.surprise[label]),
        rest: stats.rest,
        p: stats.p,
    })
}

/// Bounds of one active row before upstream and denominator, and the largest factor in the gradient that is rounded to the type of a
/// row; `None` where the row is NaN.
fn row_bounds(
    problem: &Problem<'_>,
    options: &Options<'_>,
    row: usize,
    precision: Precision,
) -> Option<(f64, Vec<f64>, f64)> {
    let x = problem.row(row);
    let label = usize::try_from(problem.labels[row]).expect("an active row has a class");
    if let Input::Probs(..) = options.input {
        let (loss, grad) = probs_bounds(&x, label, options, row, precision);
        return Some((loss, grad, 0.0));
    }
    let t = terms(&x, label, options)?;
    let classes = x.len();
    let keeps = |class: usize| options.class_mask.is_none_or(|mask| mask[class] != 0);
    let class_weight = |class: usize| options.class_weight.map_or(1.0, |weights| weights[class]);
    let kept = (0..classes).filter(|class| keeps(*class)).count() as f64;
    let sample = sample_weight(options, row);
    let (gamma, pi) = (options.focal_gamma, options.poly1_epsilon.abs());
    let weight = (class_weight(label) * sample).abs();
    let is_plain = options.logit_scale == 1.0
        && options.label_smoothing == 0.0
        && options.z_loss == 0.0
        && gamma == 0.0
        && pi == 0.0
        && options.gce_q == 0.0
        && options.label_matrix.is_none();

    let spread: Vec<f64> = (0..classes)
        .map(|class| match (options.label_matrix, options.smoothing_weights) {
            _ if !keeps(class) => 0.0,
            (Some(matrix), _) => (sample * matrix[label * classes + class]).abs(),
            (None, SmoothingWeights::Class) => {
                options.label_smoothing * (sample * class_weight(class)).abs() / kept
            }
            (None, SmoothingWeights::Row) => options.label_smoothing * weight / kept,
        })
        .collect();
    let target = if options.label_matrix.is_some() { 0.0 } else { (1.0 - options.label_smoothing) * weight };
    let q = t.p[label];
    let power = if gamma == 0.0 { 1.0 } else { t.rest.powf(gamma) };
    let rho = if t.rest == 0.0 { 1.0 } else { t.loss / t.rest };
    let slope = if is_plain { 1.0 } else { power * (1.0 + pi * q + gamma * q * (rho + pi)) };
    let (value, slope) = match options.gce_q {
        0.0 => (power * (t.loss + pi * t.rest), slope),
        exponent if q == 0.0 && t.loss == 0.0 => (1.0 / exponent, 0.0),
        exponent if exponent * t.loss < 1e-20 => (t.loss, 1.0),
        exponent => (-(-exponent * t.loss).exp_m1() / exponent, (-exponent * t.loss).exp()),
    };
    let pull = options.z_loss * weight;
    let tilt = 2.0 * pull * t.lse;
    let all_spread: f64 = spread.iter().sum();
    // What the sum of all exponentials may be off by, relative to it.
    let base = 32.0 + t.capped;
    let off = base * precision.unit;

    // A scaled difference rounds twice, and a focal loss of a sure row holds its exponential 1 + gamma times.
    let roundings = match options.logit_scale {
        1.0 => 2.0 + gamma,
        _ => 2.0 * (1.0 + gamma),
    };
    let unit = precision.unit * if is_plain { 1.0 } else { roundings };
    let tiny = precision.tiny(classes);
    let tiny = if gamma > 0.0 && gamma < 1.0 { tiny.powf(gamma) } else { tiny };
    let tiny = tiny * (target * (1.0 + gamma) * (1.0 + pi) + all_spread + tilt).max(1.0);

    let spread_loss: f64 = spread.iter().zip(&t.surprise).map(|(spread, surprise)| spread * surprise).sum();
    // Weights of the smoothing that pick few classes may ask for that logarithm alone, and for it less a logit: what rounding takes from
    // these is relative to them. Under a matrix no digit is lost.
    let alone = if options.label_matrix.is_some() { 0.0 } else { all_spread * (1.0 + t.lse) };
    let loss_terms = target * value + spread_loss + pull * t.lse * t.lse;
    // Before it is weighed, a loss may overflow, and before it is divided by the number of classes what options weigh them by.
    let moment: f64 = (0..classes)
        .map(|class| match options.label_matrix {
            None if keeps(class) && all_spread > 0.0 => class_weight(class).abs().max(1.0) * t.depth[class],
            _ => 0.0,
        })
        .sum();
    let unscaled = moment.max(t.loss) / options.logit_scale.min(1.0);
    let may_overflow = options.label_matrix.is_none() && unscaled > 0.5 * precision.largest;
    let overflow = if may_overflow { f64::INFINITY } else { 0.0 };
    let loss = unit * ((base + t.margin) * loss_terms + (4.0 + t.capped) * alone)
        + off * 2.0 * pull * t.lse
        + tiny
        + overflow;

    let a = if options.input == Input::Logits { target * slope + all_spread + tilt } else { 0.0 };
    let mut grad: Vec<f64> = (0..classes)
        .map(|k| {
            if keeps(k) {
                let bound = unit * (base + 2.0 * t.margin + t.depth[k]) * (a * t.p[k] + spread[k]);
                bound + off * 2.0 * pull * t.p[k] + tiny
            } else {
                0.0
            }
        })
        .collect();
    grad[label] = tiny
        + off * 2.0 * pull
        + if t.rest < 0.5 || is_plain {
            unit * (base + t.margin) * (all_spread - spread[label] + tilt + a * t.rest)
        } else {
            let depth = t.depth[label];
            unit * (base + 2.0 * t.margin + depth) * (a * q + spread[label] + target * slope)
        };
    if a == 0.0 {
        grad[label] += unit * (base + t.margin) * (target * slope + spread[label]);
    }
    // The slope of a cap has an error of its own, which grows as the logit is above it; it is 4 times an exponential, which may vanish.
    let grad = grad.into_iter().zip(&t.cap).map(|(bound, (above, slope))| {
        let chained =
            if options.softcap == 0.0 { bound } else { bound * (1.5 + above / 2.0) * slope + 4.0 * tiny };
        chained * options.logit_scale
    });
    let grad = grad.collect();
    let in_single = options.input == Input::Logits && options.label_matrix.is_none();
    Some((loss, grad, if in_single { a.abs() * options.logit_scale } else { 0.0 }))
}

fn sample_weight(options: &Options<'_>, row: usize) -> f64 {
    match options.sample_weight {
        sparse_xent::reference::PerRow::Same(weight) => weight,
        sparse_xent::reference::PerRow::Each(weights) => weights[row],
    }
}

/// Probabilities have no exponentials: a few roundings of each term.
fn probs_bounds(
    x: &[f64],
    label: usize,
    options: &Options<'_>,
    row: usize,
    precision: Precision,
) -> (f64, Vec<f64>) {
    let Input::Probs(normalize, epsilon) = options.input else { unreachable!("only for probabilities") };
    let clip = |x: f64| x.clamp(epsilon, 1.0 - epsilon);
    let weight =
        (sample_weight(options, row) * options.class_weight.map_or(1.0, |weights| weights[label])).abs();
    let total: f64 = match normalize {
        Normalize::Before => x.iter().sum(),
        Normalize::After => x.iter().map(|x| clip(*x)).sum(),
        Normalize::Never => 1.0,
    };
    let unit = 32.0 * precision.unit * weight;
    let loss = unit * (1.0 + total.ln().abs() + clip(x[label]).ln().abs());
    let gather = |k: usize| if k == label && x[k] != 0.0 { 1.0 / x[k].abs() } else { 0.0 };
    (loss, (0..x.len()).map(|k| unit * (1.0 / total + gather(k))).collect())
}

/// Whether `got` is `want` within `bound`: NaN for NaN, the same infinity, and infinity where `want` is beyond `largest`.
pub fn agrees(got: f64, want: f64, bound: f64, largest: f64) -> bool {
    if !bound.is_finite() {
        // Factors beyond the type: what is infinite is not finite; which of the infinities or NaN, and what comes of zeros, follows from
        // the order of products.
        return !want.is_infinite() || !got.is_finite();
    }
    if want.is_nan() || got.is_nan() {
        return want.is_nan() && got.is_nan();
    }
    if got == want {
        return true;
    }
    if want.abs() + bound >= largest {
        let is_beyond = got.is_infinite() && (got.signum() == want.signum() || bound >= largest);
        return is_beyond || (got - want).abs() <= bound;
    }
    (got - want).abs() <= bound
}

/// The definition's answer to a case and how far from it a result may be.
#[derive(Debug)]
pub struct Judge<'a> {
    case: &'a Case,
    pub answer: Answer,
    pub bounds: Bounds,
    precision: Precision,
}

/// What a call gives for rows and classes beside losses and gradient; empty where it was not asked for.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    pub log_sum_exp: &'a [f64],
    pub target_log_prob: &'a [f64],
    pub predictions: &'a [i32],
    /// Loss, weight, count, correct.
    pub per_class: [&'a [f64]; 4],
    pub distribution: Distribution<'a>,
}

/// What a call tells of the rows' distributions; empty where it was not asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Distribution<'a> {
    /// As many for each row as there are for all rows together.
    pub top_values: &'a [f64],
    pub top_classes: &'a [i32],
    pub target_rank: &'a [i32],
    pub entropy: &'a [f64],
    pub log_probs: &'a [f64],
}

impl<'a> Judge<'a> {
    /// Fails where the definition refuses the case.
    pub fn new(case: &'a Case, precision: Precision) -> Result<Self, String> {
        let mut answer = case.reference().map_err(|bad| format!("{}: {bad:?}", case.name))?;
        let bounds = bounds(case, &answer, precision);
        // A loss beyond the type it is stored in is infinite, and what is added up is what is stored.
        let beyond = |loss: &f64| loss.is_finite() && loss.abs() > precision.largest;
        if answer.losses.iter().any(beyond) {
            answer.non_finite_count += answer.losses.iter().filter(|loss| beyond(loss)).count();
            let infinite = |loss: &f64| if beyond(loss) { loss * f64::INFINITY } else { *loss };
            answer.loss_sum = answer.losses.iter().map(infinite).sum();
            let nothing = answer.denominator == 0.0;
            answer.loss = if nothing { answer.loss } else { answer.loss_sum / answer.denominator };
        }
        Ok(Judge { case, answer, bounds, precision })
    }

    /// Compares row losses and gradient; the message says where and by how many bounds they differ.
    ///
    /// `losses` may be empty where a reduction keeps them back. Rows that are not active and classes that are masked must
    /// be exactly +0.
    pub fn rows(&self, losses: &[f64], grad: &[f64]) -> Result<(), String> {
        let Judge { case, answer, bounds, precision } = self;
        let far = |got: f64, want: f64, bound: f64, largest: f64| {
            (!agrees(got, want, bound, largest)).then(|| {
                format!("got {got:e}, expected {want:e} +- {bound:e} ({} bounds)", (got - want).abs() / bound)
            })
        };
        let (problem, options) = (case.problem(), case.set.reference());
        for row in 0..case.rows() {
            let kind = kind_of(&problem, &options, row);
            let is_zero = match kind {
                Kind::Ignored => true,
                Kind::Inactive => {
                    (0..problem.classes).all(|class| !answer.grad[case.place(row, class)].is_nan())
                }
                Kind::Invalid => options.invalid_label == InvalidLabel::Ignore,
                Kind::Active => false,
            };
            if let Some(got) = losses.get(row) {
                if let Some(far) = far(*got, answer.losses[row], bounds.losses[row], precision.largest) {
                    return Err(format!("{}: loss of row {row}: {far}", case.name));
                }
                if is_zero && got.to_bits() != 0 {
                    return Err(format!(
                        "{}: loss of row {row} ({kind:?}) is {got:e}, expected +0",
                        case.name
                    ));
                }
            }
            for class in 0..problem.classes {
                let place = case.place(row, class);
                let (got, want) = (grad[place], answer.grad[place]);
                let largest = precision.largest.min(precision.stored);
                if let Some(far) = far(got, want, bounds.grad[place], largest) {
                    return Err(format!("{}: grad of row {row}, class {class}: {far}", case.name));
                }
                let is_masked = options.class_mask.is_some_and(|mask| mask[class] == 0);
                if (is_zero || is_masked) && got.to_bits() != 0 {
                    return Err(format!(
                        "{}: grad of row {row} ({kind:?}), class {class} is {got:e}, expected +0",
                        case.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// Compares what a call gives for rows and classes beside losses and gradient.
    pub fn beside(&self, got: Beside<'_>) -> Result<(), String> {
        let Judge { case, answer, bounds, precision } = self;
        let (problem, options) = (case.problem(), case.set.reference());
        for row in 0..case.rows() {
            let bound = output_bounds(&problem, &options, row, answer.target_log_prob[row], *precision);
            let numbers = [
                ("log-sum-exp", got.log_sum_exp.get(row), answer.log_sum_exp[row], bound.0),
                (
                    "log-probability of the label",
                    got.target_log_prob.get(row),
                    answer.target_log_prob[row],
                    bound.1,
                ),
            ];
            for (what, got, want, bound) in numbers {
                if let Some(got) = got.filter(|got| !agrees(**got, want, bound, precision.largest)) {
                    return self.differ(&format!("{what} of row {row}, to {bound:e}"), got, &want);
                }
            }
            let prediction = got.predictions.get(row);
            if let Some(got) = prediction.filter(|got| i64::from(**got) != answer.predictions[row]) {
                return self.differ(&format!("prediction of row {row}"), got, &answer.predictions[row]);
            }
        }
        self.distribution(&got.distribution)?;
        let [losses, ..] = got.per_class;
        for (class, [loss, weight, count, correct]) in answer.per_class.iter().enumerate() {
            let Some(got_loss) = losses.get(class) else { break };
            let label = i64::try_from(class).expect("a class");
            let own = || (0..case.rows()).filter(|row| case.labels[*row] == label);
            let bound = |row: usize| match answer.losses[row].abs() {
                loss if loss.is_finite() && loss > precision.largest => f64::INFINITY,
                loss => bounds.losses[row] + self.rounding() * finite_or_0(loss),
            };
            let bound: f64 = own().map(bound).sum();
            if !agrees(*got_loss, *loss, bound, precision.largest) {
                return self.differ(&format!("loss of class {class}, to {bound:e}"), got_loss, loss);
            }
            let got = got.per_class.map(|column| column[class]);
            // Weights of the tests and their sums are exact.
            if got[1..] != [*weight, *count, *correct] {
                return self.differ(&format!("class {class}"), &got, &[*weight, *count, *correct]);
            }
        }
        Ok(())
    }

    /// Compares what a call tells of the rows' distributions.
    fn distribution(&self, got: &Distribution<'_>) -> Result<(), String> {
        let Judge { case, answer, precision, .. } = self;
        let (problem, options) = (case.problem(), case.set.reference());
        let is_told = [got.entropy.len(), got.log_probs.len(), got.top_classes.len()] != [0; 3];
        for row in 0..case.rows() {
            let rank = got.target_rank.get(row);
            if let Some(got) = rank.filter(|got| i64::from(**got) != answer.target_rank[row]) {
                return self.differ(
                    &format!("rank of the label of row {row}"),
                    got,
                    &answer.target_rank[row],
                );
            }
            if !is_told {
                continue;
            }
            let bound = distribution_bounds(&problem, &options, row, *precision);
            let far = |got: f64, want: f64, bound: f64| !agrees(got, want, bound, precision.largest);
            if let Some(got) = got.entropy.get(row).filter(|got| far(**got, answer.entropy[row], bound.0)) {
                let what = format!("entropy of row {row}, to {:e}", bound.0);
                return self.differ(&what, got, &answer.entropy[row]);
            }
            if let Some(got) = got.entropy.get(row).filter(|got| **got < 0.0) {
                return self.differ(&format!("entropy of row {row}"), got, &"at least 0");
            }
            for class in (0..problem.classes).filter(|_| !got.log_probs.is_empty()) {
                let place = case.place(row, class);
                let (got, want) = (got.log_probs[place], answer.log_probs[place]);
                if far(got, want, bound.1[class]) || got > 0.0 {
                    let what = format!("log-probability {class} of row {row}, to {:e}", bound.1[class]);
                    return self.differ(&what, &got, &want);
                }
            }
            let k = got.top_classes.len() / case.rows();
            // A row that is looked at has its kept classes first; where none are left, classes without probability.
            let is_known = answer.target_rank[row] >= 0;
            let ranking = if k > 0 && is_known { ranking(&problem.row(row), &options) } else { Vec::new() };
            let nothing =
                if is_known && !answer.entropy[row].is_nan() { f64::NEG_INFINITY } else { f64::NAN };
            for place in 0..k {
                let (own, value) = (got.top_classes[row * k + place], got.top_values[row * k + place]);
                let class = ranking.get(place).filter(|_| is_known);
                let want = class.map_or(nothing, |class| answer.log_probs[case.place(row, *class)]);
                let bound = class.map_or(0.0, |class| bound.1[*class]);
                let is_own = usize::try_from(own).ok() == class.copied() && (own >= 0 || own == -1);
                if !is_own || far(value, want, bound) {
                    let what = format!("place {place} of row {row}, to {bound:e}");
                    return self.differ(&what, &(own, value), &(class, want));
                }
            }
        }
        Ok(())
    }

    /// Whether a loss may be the largest number of its type as well as infinite.
    pub fn has_loss_at_the_end(&self) -> bool {
        let largest = self.precision.largest;
        let is_at_the_end = |(loss, bound): (&f64, &f64)| {
            bound.is_infinite()
                || (loss.is_finite() && (loss.abs() - largest).abs() <= bound + largest * self.precision.unit)
        };
        self.answer.losses.iter().zip(&self.bounds.losses).any(is_at_the_end)
    }

    /// Compares the counts: rows, valid, invalid and not finite ones.
    pub fn counts(&self, got: [usize; 4]) -> Result<(), String> {
        let Answer { row_count, valid_count, invalid_count, mut non_finite_count, .. } = self.answer;
        if self.has_loss_at_the_end() {
            non_finite_count = got[3];
        }
        let want = [row_count, valid_count, invalid_count, non_finite_count];
        if got == want { Ok(()) } else { self.differ("rows, valid, invalid, not finite", &got, &want) }
    }

    /// Compares one number of the whole call.
    pub fn number(&self, what: &str, got: f64, want: f64, bound: f64) -> Result<(), String> {
        if agrees(got, want, bound, f64::MAX) { Ok(()) } else { self.differ(what, &got, &want) }
    }

    /// What storing the losses and adding them up may take from their sum, relative to that of their magnitudes.
    pub fn rounding(&self) -> f64 {
        self.precision.unit + self.case.rows() as f64 * 2_f64.powi(-53)
    }

    fn differ(&self, what: &str, got: &dyn Debug, want: &dyn Debug) -> Result<(), String> {
        Err(format!("{}: {what}: got {got:?}, expected {want:?}", self.case.name))
    }
}

/// Compares row losses and gradient with the definition.
pub fn compare(case: &Case, losses: &[f64], grad: &[f64], precision: Precision) -> Result<(), String> {
    Judge::new(case, precision)?.rows(losses, grad)
}

/// Compares what a call gives beside losses and gradient with the definition.
pub fn compare_outputs<L: Element>(case: &Case, out: &Output<L>, precision: Precision) -> Result<(), String> {
    let judge = Judge::new(case, precision)?;
    judge.counts([out.row_count, out.valid_count, out.invalid_count, out.non_finite_count])?;
    let columns = out.per_class.as_ref().map(|by| [&by.loss, &by.weight, &by.count, &by.correct]);
    judge.beside(Beside {
        log_sum_exp: &widened(&out.log_sum_exp),
        target_log_prob: &widened(&out.target_log_prob),
        predictions: &out.predictions,
        per_class: columns.map_or([&[]; 4], |columns| columns.map(|column| &column[..])),
        distribution: Distribution {
            top_values: &out.top_k.as_ref().map(|top| widened(&top.values)).unwrap_or_default(),
            top_classes: out.top_k.as_ref().map(|top| &top.classes[..]).unwrap_or_default(),
            target_rank: &out.target_rank,
            entropy: &widened(&out.entropy),
            log_probs: &widened(&out.log_probs),
        },
    })?;
    if out.correct_count.is_some_and(|got| got != judge.answer.correct_count) {
        return judge.differ("correct rows", &out.correct_count, &judge.answer.correct_count);
    }
    Ok(())
}

/// All kept classes of a row, the largest logit first, of equals (-0 and +0 too) the first class.
fn ranking(x: &[f64], options: &Options<'_>) -> Vec<usize> {
    let keeps = |class: &usize| options.class_mask.is_none_or(|mask| mask[*class] != 0);
    let mut classes: Vec<usize> = (0..x.len()).filter(keeps).collect();
    classes.sort_by(|one, other| x[*other].partial_cmp(&x[*one]).unwrap_or(Ordering::Equal));
    classes
}

/// The bounds on the entropy of a row and on the log-probability of each class: the bound of a loss whose label is that class, with the
/// distance of the two largest in place of the label's. Of an entropy, that on each of its terms `p (1 + d)`, d being the distance from
/// the largest; the exponentials that count as 0 are times such a distance there.
fn distribution_bounds(
    problem: &Problem<'_>,
    options: &Options<'_>,
    row: usize,
    precision: Precision,
) -> (f64, Vec<f64>) {
    let given = problem.row(row);
    let nothing = (0.0, vec![0.0; given.len()]);
    let label = usize::try_from(problem.labels[row]).ok().filter(|label| *label < given.len());
    let Some(label) = label.filter(|_| options.input == Input::Logits) else { return nothing };
    let Some(t) = terms(&given, label, options) else { return nothing };
    let x = options.capped(&given);
    let scale = options.logit_scale;
    let keeps = |class: usize| options.class_mask.is_none_or(|mask| mask[class] != 0);
    let largest =
        (0..x.len()).filter(|class| keeps(*class)).fold(f64::NEG_INFINITY, |most, class| most.max(x[class]));
    let top = (0..x.len()).find(|class| keeps(*class) && x[*class] == largest);
    let others = (0..x.len()).filter(|class| keeps(*class) && Some(*class) != top);
    let second = others.fold(f64::NEG_INFINITY, |most, class| most.max(x[class]));
    let margin = finite_or_0(scale * (largest - second));
    let unit = precision.unit * if scale == 1.0 { 1.0 } else { 2.0 };
    let tiny = precision.tiny(x.len());
    // What a cap rounds is relative to the capped logits, not to their differences. Of the largest logit the difference is 0.
    let capped = |class: usize| match options.softcap {
        0.0 => 0.0,
        _ if Some(class) == top => 0.0,
        _ => 12.0 * scale * (finite_or_0(x[class].abs()) + finite_or_0(largest.abs())),
    };
    // And what that adds up to in the sum of all exponentials.
    let capped_sum: f64 =
        (0..x.len()).filter(|class| keeps(*class)).map(|class| t.p[class] * capped(class)).sum();
    // A difference may overflow before it is scaled.
    let beyond = 0.5 * precision.largest * scale.min(1.0);
    let log_probs = (0..x.len()).map(|class| {
        let size = finite_or_0(t.surprise[class]);
        if size > beyond {
            return f64::INFINITY;
        }
        unit * ((32.0 + 2.0 * margin) * size + capped(class) + capped_sum) + tiny
    });
    let entropy: f64 = (0..x.len())
        .filter(|class| keeps(*class) && Some(*class) != top)
        .map(|class| t.p[class] * (1.0 + t.depth[class]) * (36.0 + 2.0 * t.depth[class] + capped(class)))
        .sum();
    let log_probs = log_probs.collect();
    (unit * entropy + 100.0 * tiny, log_probs)
}

/// The bounds on the log-sum-exp of a row, and on the log-probability of its label.
fn output_bounds(
    problem: &Problem<'_>,
    options: &Options<'_>,
    row: usize,
    log_prob: f64,
    precision: Precision,
) -> (f64, f64) {
    let x = problem.row(row);
    let Some(label) = usize::try_from(problem.labels[row]).ok().filter(|label| *label < x.len()) else {
        return (0.0, 0.0);
    };
    let (tiny, log_prob) = (precision.tiny(x.len()), finite_or_0(log_prob.abs()));
    if options.input != Input::Logits {
        return (0.0, 32.0 * precision.unit * (1.0 + log_prob));
    }
    let Some(terms) = terms(&x, label, options) else { return (0.0, 0.0) };
    let is_scaled = options.logit_scale != 1.0;
    let base = 32.0 + terms.capped;
    let unit = precision.unit * if is_scaled { 2.0 } else { 1.0 } * (base + terms.margin);
    // The logarithm that is taken may be the loss, to which the label's logit is added: both are as large as the label's distance from
    // the largest logit, and so are their rounding errors, however small the sum.
    let sum = precision.unit * (base + 2.0 * terms.margin);
    (sum + unit * terms.lse + tiny, unit * log_prob + tiny)
}
