//! Finite logits at the ends of what floats hold, and the labels' probability near 0 and 1.

use super::edge::{Edge, INF, LN_2, LN_3, edge};
use crate::bound::{Precision, compare};
use crate::support::{Case, How, Settings, Upstream, bits, kernels, run, run_in_place, widened};
use sparse_xent::{Element, Kernel, bf16, f16};

/// The gradient of three equal logits.
const THIRDS: [f64; 3] = [-2.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0];

#[test]
fn the_largest_difference_is_inf_in_f32_and_6e38_in_f64() {
    let row = edge(&[3e38, -3e38, 0.0], 1).predicts(0);
    row.clone().gives(INF, &[1.0, -1.0, 0.0]).holds_in::<f32>();
    row.clone().gives(INF, &[1.0, -1.0, 0.0]).holds_in::<bf16>();
    row.gives(6e38, &[1.0, -1.0, 0.0]).holds_in::<f64>();
    // Just below the largest float it is a number.
    let row = edge(&[1e38, -1e38, 0.0], 1).predicts(0).gives(2e38, &[1.0, -1.0, 0.0]);
    row.holds();
}

/// What rounding takes from such a difference is itself large, and times a vanished exponential was a number.
#[test]
fn of_a_logit_far_below_nothing_is_left() {
    for (ahead, behind) in [(1e9, 0.266), (-0.1, -1e9), (3.3e19, 26.0), (5e37, -2.6e38), (2.2e38, -104.0)] {
        let sure = edge(&[behind, ahead], 1).predicts(1).gives(0.0, &[0.0, 0.0]);
        sure.holds();
        sure.holds_in::<bf16>();
        let outputs = Case::new(
            "far",
            [3, 2, 1],
            &[behind, ahead, 1.0, 0.5, behind, ahead],
            &[1, 1, 1],
            Settings::none(),
        );
        let outputs = outputs.rounded::<f32>();
        for kernel in kernels() {
            let got = run::<f32, f32>(&outputs, How::with(kernel).with_outputs()).expect("a call");
            let got = (got.out.losses[0].to_bits(), got.out.losses[2].to_bits(), got.grad[0].to_bits());
            assert_eq!(got, (0, 0, 0), "{kernel:?}: {ahead} and {behind}");
        }
    }
}

#[test]
fn large_and_equal_logits_are_ln_2() {
    let row = edge(&[1e38, 1e38, 0.0], 0).predicts(0).gives(LN_2, &[-0.5, 0.5, 0.0]);
    row.holds();
    row.holds_in::<bf16>();
    edge(&[65504.0, 65504.0, 0.0], 0).predicts(0).gives(LN_2, &[-0.5, 0.5, 0.0]).holds_in::<f16>();
}

#[test]
fn f16_extremes_give_the_f32_loss_131008_69() {
    let row = edge(&[65504.0, 65504.0, -65504.0], 2).predicts(0);
    row.gives(131_008.693_147_180_56, &[0.5, 0.5, -1.0]).holds_in::<f16>();
    let case = Case::new("f16", [1, 3, 1], &[65504.0, 65504.0, -65504.0], &[2], Settings::none());
    for kernel in kernels() {
        let got = run::<f16, f32>(&case, How::with(kernel)).expect("a call");
        assert_eq!(bits(&got.out.losses), bits(&[131_008.695_f32]), "{kernel:?}");
        assert_eq!(got.grad, [0.5, 0.5, -1.0], "{kernel:?}");
    }
}

#[test]
fn equal_logits_are_ln_c() {
    const LN_9: f64 = 2.1972245773362196;
    for value in [0.0, 7.0, -1.5] {
        let mut grad = [1.0 / 9.0; 9];
        grad[4] -= 1.0;
        edge(&[value; 9], 4).predicts(0).gives(LN_9, &grad).holds_in_every_dtype();
    }
}

/// Equal logits of a whole vocabulary, where a sum of exponentials in f16 would be infinite. `classes` is a power of 2,
/// so that every dtype holds 1/C.
fn equal_logits<E: Element>(classes: usize, inner: usize, loss: f64) {
    let logits = vec![0.5; classes * inner];
    let label = i64::try_from(classes - 1).expect("a class");
    let case = Case::new("equal", [1, classes, inner], &logits, &vec![label; inner], Settings::none());
    for kernel in kernels() {
        let name = format!("{classes} x {inner} in {}, {kernel:?}", E::NAME);
        let got = run::<E, E>(&case, How::with(kernel)).expect(&name);
        compare(&case, &widened(&got.out.losses), &widened(&got.grad), Precision::of::<E, E>()).expect(&name);
        for got in &got.out.losses {
            assert!((got.to_f64() / loss - 1.0).abs() < 1e-6, "{name}: loss {got:?}");
        }
        let share = 1.0 / classes as f64;
        let (others, targets) = got.grad.split_at((classes - 1) * inner);
        // An exponential that is not shifted is not exactly 1, and the roundings of a sum of equal terms add up.
        assert!(others.iter().all(|grad| (grad.to_f64() / share - 1.0).abs() < 1e-6), "{name}: 1/C");
        // Rounded once, of a number that is this one but for the roundings of single precision.
        let [least, most] = [-1e-6, 1e-6].map(|by| E::from_f64(share - 1.0 + by).to_f64());
        assert!(targets.iter().all(|grad| (least..=most).contains(&grad.to_f64())), "{name}: 1/C - 1");
        let over = run_in_place::<E>(&case, How::with(kernel)).expect(&name);
        assert_eq!(bits(&over.grad), bits(&got.grad), "{name}: in place");
    }
}

fn equal_logits_in_every_dtype(classes: usize, inner: usize, loss: f64) {
    equal_logits::<f32>(classes, inner, loss);
    equal_logits::<f64>(classes, inner, loss);
    equal_logits::<f16>(classes, inner, loss);
    equal_logits::<bf16>(classes, inner, loss);
}

#[test]
fn equal_logits_of_131072_classes_are_11_7835() {
    equal_logits_in_every_dtype(131_072, 1, 11.78350206951907);
    // And where classes are strided.
    equal_logits_in_every_dtype(4096, 2, 8.317766166719343);
}

/// A confident row, and what 60-digit arithmetic makes of it: loss, gradient.
fn margin(by: f64, loss: f64, grad: [f64; 4]) -> Edge {
    assert_eq!(grad[1], grad[2], "two logits of 0");
    edge(&[by, 0.0, 0.0, -1.0], 0).predicts(0).gives(loss, &grad)
}

#[test]
fn margin_20_keeps_its_digits() {
    let other = 2.061153612378967e-09;
    margin(20.0, 4.880563275758358e-09, [-4.8805632638484086e-09, other, other, 7.58256039090474e-10])
        .holds();
}

#[test]
fn margin_50_keeps_its_digits() {
    let (loss, other) = (4.567047112156306e-22, 1.9287498479639178e-22);
    margin(50.0, loss, [-loss, other, other, 7.095474162284704e-23]).holds();
}

#[test]
fn margin_90_keeps_its_digits_or_is_0_in_f32() {
    let (loss, other) = (1.9402434033046405e-39, 8.194012623990515e-40);
    let grad = [-loss, other, other, 3.0144087850653746e-40];
    margin(90.0, loss, grad).holds_in::<f64>();
    // The licence to take such exponentials for 0.
    let tiny = 16.0 * 2_f64.powi(-124);
    let case = Case::new("margin 90", [1, 4, 1], &[90.0, 0.0, 0.0, -1.0], &[0], Settings::none());
    for kernel in kernels() {
        let got = run::<f32, f32>(&case, How::with(kernel)).expect("a call");
        assert!((f64::from(got.out.losses[0]) - loss).abs() <= tiny, "{kernel:?}: {:?}", got.out.losses);
        for (got, want) in got.grad.iter().zip(grad) {
            assert!((f64::from(*got) - want).abs() <= tiny, "{kernel:?}: {got:e}, expected {want:e}");
        }
    }
}

#[test]
fn an_offset_changes_nothing_but_the_rounding_of_the_inputs() {
    let at = |offset: f64| edge(&[2.0, -1.0, 0.5].map(|x| x + offset), 0).predicts(0);
    let grad = [-0.21440296541072415, 0.03911257327068745, 0.1752903921400367];
    let apart = |offset| at(offset).gives(0.24131129665715706, &grad);
    let equal = |offset| at(offset).gives(LN_3, &THIRDS);
    for offset in [0.0, 1e2, 1e4, 1e6] {
        apart(offset).holds();
    }
    apart(1e8).holds_in::<f64>();
    equal(1e8).holds_in::<f32>();
    // The 16-bit types hold the three logits to 1e2; at 1e4 they round to one.
    apart(1e2).holds_in_every_dtype();
    equal(1e4).holds_in::<f16>();
    for offset in [1e4, 1e6, 1e8] {
        equal(offset).holds_in::<bf16>();
    }
}

/// Subnormal logits one apart once they are scaled: flushed to 0 on input they would be equal.
fn subnormal_logits<E: Element>(exponent: i32) {
    let tiny = 2_f64.powi(-exponent);
    let set =
        Settings { logit_scale: 2_f64.powi(exponent), upstream: Upstream::One(tiny), ..Settings::none() };
    // ln(1 + 1/e + 1/e^2); the upstream takes the scale out of the gradient.
    let grad = [-0.3347590442251781, 0.24472847105479764, 0.09003057317038046];
    edge(&[tiny, 0.0, -tiny], 0).under(set).predicts(0).gives(0.4076059644443803, &grad).holds_in::<E>();
    edge(&[tiny, 0.0, -tiny], 0).predicts(0).gives(LN_3, &THIRDS).holds_in::<E>();
    edge(&[-tiny, 0.0, -tiny], 0).predicts(1).gives(LN_3, &THIRDS).holds_in::<E>();
}

#[test]
fn subnormal_logits_are_numbers_like_others() {
    subnormal_logits::<f32>(127);
    subnormal_logits::<f64>(1023);
    subnormal_logits::<f16>(24);
    subnormal_logits::<bf16>(127);
}

/// Pairs of equal largest logits at every two places.
fn ties<E: Element>(classes: usize, inner: usize, kernel: Kernel) {
    let how = How::with(kernel).with_outputs();
    let places: Vec<usize> = (0..classes).step_by(if classes > 40 { 5 } else { 1 }).collect();
    for first in &places {
        for second in places.iter().filter(|second| *second > first) {
            let mut logits = vec![-0.5; classes * inner];
            for column in 0..inner {
                logits[first * inner + column] = 1.5;
                logits[second * inner + column] = 1.5;
            }
            let labels = vec![i64::try_from(*second).expect("a class"); inner];
            let case = Case::new("tie", [1, classes, inner], &logits, &labels, Settings::none());
            let got = run::<E, E>(&case, how).expect("a call");
            let want = vec![i32::try_from(*first).expect("a class"); inner];
            assert_eq!(got.out.predictions, want, "{} {classes} x {inner}: {first}, {second}", E::NAME);
            assert_eq!(got.out.correct_count, Some(0), "the label is the second of the tie");
        }
    }
}

#[test]
fn a_tie_predicts_the_first() {
    for kernel in kernels() {
        for (classes, inner) in
            [(2, 1), (9, 1), (33, 1), (64, 1), (67, 1), (133, 1), (3, 2), (9, 130), (70, 3)]
        {
            ties::<f32>(classes, inner, kernel);
            ties::<f64>(classes, inner, kernel);
            ties::<f16>(classes, inner, kernel);
        }
    }
    // Zeros of both signs are equal.
    edge(&[-0.0, 0.0], 1).predicts(0).gives(LN_2, &[0.5, -0.5]).holds_in_every_dtype();
}

/// The sums of a long row are of so many terms that their roundings, if they all go one way, would be beyond the bound.
#[test]
fn equal_terms_of_long_rows_in_f64_keep_their_digits() {
    for classes in [258, 5_000, 60_000] {
        for part in 0..4 {
            let mut logits = vec![-0.1 - f64::from(part) / 31.0; classes];
            (logits[0], logits[1]) = (0.0, -60.0);
            for label in [0, 1, 2] {
                let case = Case::new("equal terms", [1, classes, 1], &logits, &[label], Settings::none());
                let got = run::<f64, f64>(&case, How::with(Kernel::Best)).expect("a call");
                compare(&case, &got.out.losses, &got.grad, Precision::of::<f64, f64>())
                    .expect("within the bound");
            }
        }
    }
}
