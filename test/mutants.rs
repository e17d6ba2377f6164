//! Tests the tester: results that are wrong in known ways must be caught by the comparison of `conformance.rs`.

use crate::bound::{Precision, compare};
use crate::draw::Draw;
use crate::support::{Case, How, PAINT, Settings, run, widened};
use sparse_xent::{Element, Kernel};

/// Rows of 37 classes (a tail of one after whole vectors); row 1 is ignored.
fn case() -> Case {
    let mut draw = Draw(31);
    let logits: Vec<f64> = (0..5 * 37).map(|_| 4.0 * draw.unit()).collect();
    let set = Settings { ignore: vec![-100], ..Settings::none() };
    Case::new("mutant", [5, 37, 1], &logits, &[3, -100, 36, 0, 20], set).rounded::<f32>()
}

/// The results of a case, right or wrong.
struct Result {
    losses: Vec<f64>,
    grad: Vec<f64>,
}

fn right(case: &Case) -> Result {
    let got = run::<f32, f32>(case, How::with(Kernel::Lanes4)).expect(&case.name);
    Result { losses: widened(&got.out.losses), grad: widened(&got.grad) }
}

fn verdict(case: &Case, result: &Result) -> std::result::Result<(), String> {
    compare(case, &result.losses, &result.grad, Precision::of::<f32, f32>())
}

fn caught(name: &str, case: &Case, result: &Result) {
    assert!(verdict(case, result).is_err(), "not caught: {name}");
}

/// The results of another problem passed off as this one's.
fn passed_off(change: impl Fn(&mut Case)) -> Result {
    let mut other = case();
    change(&mut other);
    right(&other)
}

#[test]
fn the_right_result_passes() {
    verdict(&case(), &right(&case())).expect("nothing is wrong with it");
}

#[test]
fn a_dropped_tail_is_caught() {
    let dropped = passed_off(|case| (0..5).for_each(|row| case.logits[row * 37 + 36] = -1e4));
    caught("the last class left out of the sum", &case(), &dropped);
    let mut unwritten = right(&case());
    unwritten.grad[36] = PAINT;
    caught("the last gradient not written", &case(), &unwritten);
}

#[test]
fn a_label_subtracted_late_is_caught() {
    let mut confident = case();
    confident.logits[3] = 30.0;
    confident = confident.rounded::<f32>();
    let mut textbook = right(&confident);
    let sum: f32 = confident.logits[..37].iter().map(|x| (f32::from_f64(*x) - 30.0).exp()).sum();
    textbook.losses[0] = f64::from(sum.ln());
    textbook.grad[3] = f64::from(1.0 / sum - 1.0);
    caught("loss and gradient rounded to 0 by the 1 of the label", &confident, &textbook);
    let mut late = right(&case());
    late.grad[3] += 1.0;
    caught("the label not subtracted", &case(), &late);
}

#[test]
fn an_eaten_nan_is_caught() {
    for class in 0..37 {
        let mut poisoned = case();
        poisoned.logits[class] = f64::NAN;
        caught("NaN taken for a number", &poisoned, &right(&case()));
        let mut half = right(&poisoned);
        verdict(&poisoned, &half).expect("NaN is right");
        half.grad[(class + 1) % 37] = 0.0;
        caught("NaN in part of the row", &poisoned, &half);
    }
}

#[test]
fn an_ignored_row_that_is_read_is_caught() {
    caught("an ignored row computed", &case(), &passed_off(|case| case.labels[1] = 4));
    let mut negative = right(&case());
    negative.grad[37] = -0.0;
    caught("-0 in an ignored row", &case(), &negative);
    negative = right(&case());
    negative.losses[1] = -0.0;
    caught("-0 as the loss of an ignored row", &case(), &negative);
}

#[test]
fn swapped_blocks_are_caught() {
    let mut lanes = right(&case());
    (0..4).for_each(|lane| lanes.grad.swap(4 + lane, 8 + lane));
    caught("two vectors swapped", &case(), &lanes);
    let mut rows = right(&case());
    rows.losses.swap(2, 3);
    caught("two losses swapped", &case(), &rows);
}

#[test]
fn a_generalised_loss_by_another_formula_is_caught() {
    let mut generalised = case();
    generalised.logits[3] = 25.0; // a label that is sure
    generalised.set.gce_q = 0.7;
    generalised = generalised.rounded::<f32>();
    verdict(&generalised, &right(&generalised)).expect("nothing is wrong with it");
    let other = |change: fn(&mut Case)| {
        let mut other = generalised.clone();
        change(&mut other);
        right(&other)
    };
    caught("the plain loss in its place", &generalised, &other(|case| case.set.gce_q = 0.0));
    caught("another exponent", &generalised, &other(|case| case.set.gce_q = 0.701));
    let plain = other(|case| case.set.gce_q = 0.0);
    let slope = Result { losses: right(&generalised).losses, grad: plain.grad };
    caught("a gradient without its p^q", &generalised, &slope);
    let mut cancelled = right(&generalised);
    let p = f32::from_f64((-plain.losses[0]).exp());
    cancelled.losses[0] = f64::from((1.0 - p.powf(0.7)) / 0.7);
    caught("1 - p^q, which cancels where p is near 1", &generalised, &cancelled);
}

#[test]
fn a_cap_without_its_chain_rule_is_caught() {
    let mut capped = case();
    capped.set.softcap = 3.0;
    let answer = right(&capped);
    verdict(&capped, &answer).expect("nothing is wrong with it");
    let without = |change: fn(&mut Case)| {
        let mut other = capped.clone();
        change(&mut other);
        right(&other)
    };
    caught("logits that are not capped", &capped, &without(|case| case.set.softcap = 0.0));
    let mut unchained = without(|case| {
        case.logits.iter_mut().for_each(|x| *x = 3.0 * (*x / 3.0).tanh());
        case.set.softcap = 0.0;
    });
    caught("the gradient of the capped logits", &capped, &unchained);
    unchained.grad = answer.grad;
    verdict(&capped, &unchained).expect("the losses are those of the capped logits");
    let scaled_first = |case: &mut Case| (case.set.logit_scale, case.set.softcap) = (1.0, 1.5);
    let mut scaled = capped.clone();
    scaled.set.logit_scale = 0.5;
    let mut other = scaled.clone();
    scaled_first(&mut other);
    other.logits.iter_mut().for_each(|x| *x *= 0.5);
    caught("another order of cap and scale", &scaled, &right(&other));
}

#[test]
fn an_error_of_a_few_bounds_is_caught() {
    for factor in [1.0 + 1e-4, 1.0 - 1e-4] {
        let mut off = right(&case());
        off.losses[4] *= factor;
        caught("a loss off by 1e-4", &case(), &off);
        let mut off = right(&case());
        off.grad[4 * 37] *= factor;
        caught("a gradient off by 1e-4", &case(), &off);
    }
}
