//! NaN and infinities among the logits.

use super::edge::{INF, LN_2, NAN, edge};
use crate::support::{Case, How, Settings, Upstream, bits, kernels, raw, run};
use sparse_xent::{Element, Logits, LogitsMut, Shape, SmoothingWeights, bf16, f16};

#[test]
fn nan_at_the_label_makes_the_row_nan() {
    edge(&[NAN, 1.0, 2.0], 0).gives_nan().holds_in_every_dtype();
}

#[test]
fn nan_elsewhere_makes_the_row_nan() {
    edge(&[1.0, NAN, 2.0], 0).gives_nan().holds_in_every_dtype();
    edge(&[NAN, INF, -INF], 1).gives_nan().holds_in_every_dtype();
    edge(&[NAN], 0).gives_nan().holds_in_every_dtype();
}

#[test]
fn plus_inf_at_the_label_makes_the_row_nan() {
    edge(&[INF, 1.0, 2.0], 0).predicts(0).gives_nan().holds_in_every_dtype();
    edge(&[INF], 0).predicts(0).gives_nan().holds_in_every_dtype();
}

#[test]
fn plus_inf_elsewhere_makes_the_row_nan() {
    edge(&[0.0, INF, 2.0], 0).predicts(1).gives_nan().holds_in_every_dtype();
    edge(&[-INF, INF], 0).predicts(1).gives_nan().holds_in_every_dtype();
}

#[test]
fn two_plus_infs_make_the_row_nan() {
    edge(&[INF, INF, 2.0], 2).predicts(0).gives_nan().holds_in_every_dtype();
    edge(&[1.0, INF, INF], 2).predicts(1).gives_nan().holds_in_every_dtype();
}

#[test]
fn minus_inf_elsewhere_is_probability_0() {
    let row = edge(&[0.0, -INF, 0.0], 0).predicts(0);
    row.clone().gives(LN_2, &[-0.5, 0.0, 0.5]).holds_in_every_dtype();
    // A negative weight turns the sign of every element but of the zeros.
    let negative = Settings { sample_weight: Some(vec![-2.0]), ..Settings::none() };
    row.under(negative).gives(-2.0 * LN_2, &[1.0, 0.0, -1.0]).holds_in_every_dtype();
}

#[test]
fn minus_inf_elsewhere_with_smoothing_is_an_infinite_loss_and_a_finite_gradient() {
    for smoothing_weights in [SmoothingWeights::Class, SmoothingWeights::Row] {
        let set = Settings { label_smoothing: 0.1, smoothing_weights, ..Settings::none() };
        // p + b, and at the label p + b + c, with b = -0.1/3 and c = -0.9.
        let grad = [-0.4 - 0.1 / 3.0, -0.1 / 3.0, 0.5 - 0.1 / 3.0];
        edge(&[0.0, -INF, 0.0], 0).under(set).predicts(0).gives(INF, &grad).holds_in_every_dtype();
    }
    // Where the class's share is weighed by 0 there is no infinite term: ln 2 (0.9 + 0.1 (1 + 1) / 3).
    let class_weight = Some(vec![1.0, 0.0, 1.0]);
    let set = Settings { label_smoothing: 0.1, class_weight, ..Settings::none() };
    let loss = LN_2 * (0.9 + 0.2 / 3.0);
    let half = (0.9 + 0.2 / 3.0) / 2.0;
    let grad = [half - 0.1 / 3.0 - 0.9, 0.0, half - 0.1 / 3.0];
    edge(&[0.0, -INF, 0.0], 0).under(set).predicts(0).gives(loss, &grad).holds_in_every_dtype();
}

#[test]
fn minus_inf_at_the_label_is_an_infinite_loss_and_a_finite_gradient() {
    edge(&[-INF, 0.0, 0.0], 0).predicts(1).gives(INF, &[-1.0, 0.5, 0.5]).holds_in_every_dtype();
    edge(&[-INF, 7.0], 0).predicts(1).gives(INF, &[-1.0, 1.0]).holds_in_every_dtype();
}

/// Rows are computed in blocks of 2,048 classes: one of them may hold nothing, or nothing but the label.
#[test]
fn minus_inf_in_a_whole_block_of_a_row_is_probability_0() {
    for classes in [4096_usize, 4100, 6200] {
        let last = i64::try_from(classes).expect("few") - 1;
        for level in [-200.0, 0.0, 300.0] {
            let logits: Vec<f64> = (0..classes).map(|class| if class < 4 { level } else { -INF }).collect();
            let mut grad: Vec<f64> = (0..classes).map(|class| if class < 4 { 0.25 } else { 0.0 }).collect();
            grad[1] = -0.75;
            edge(&logits, 1).predicts(0).gives(2.0 * LN_2, &grad).holds_in_every_dtype();
            // The label's own logit is -inf, in a block of its kind.
            grad[1] = 0.25;
            grad[classes - 1] = -1.0;
            edge(&logits, last).predicts(0).gives(INF, &grad).holds_in_every_dtype();
        }
        edge(&vec![-INF; classes], last).predicts(0).gives_nan().holds_in_every_dtype();
    }
}

#[test]
fn minus_inf_at_the_label_costs_one_over_q_under_the_generalised_loss() {
    let set = Settings { gce_q: 0.5, ..Settings::none() };
    edge(&[-INF, 0.0, 0.0], 0).under(set).predicts(1).gives(2.0, &[0.0; 3]).holds_in_every_dtype();
}

#[test]
fn infinite_logits_are_the_cap_with_a_gradient_of_0() {
    let with = |logits: &[f64], softcap: f64| {
        let set = Settings { softcap, label_smoothing: 0.1, ..Settings::none() };
        Case::new("capped", [1, 4, 1], logits, &[3], set)
    };
    let (capped, plain) = (with(&[INF, -INF, 0.0, 0.0], 2.0), with(&[2.0, -2.0, 0.0, 0.0], 0.0));
    for kernel in kernels() {
        let how = How::with(kernel).with_outputs();
        let (got, want) = (run::<f32, f32>(&capped, how), run::<f32, f32>(&plain, how));
        let (got, want) = (got.expect("an answer"), want.expect("an answer"));
        assert_eq!(got.out.losses, want.out.losses, "{kernel:?}");
        assert_eq!(got.out.log_sum_exp, want.out.log_sum_exp, "{kernel:?}");
        assert_eq!((got.out.predictions[0], got.grad[0], got.grad[1]), (0, 0.0, 0.0), "{kernel:?}");
        assert_eq!(got.grad[2..], want.grad[2..], "a slope of 1 at 0, {kernel:?}");
    }
}

#[test]
fn nothing_but_minus_inf_makes_the_row_nan() {
    edge(&[-INF; 3], 0).gives_nan().predicts(0).holds_in_every_dtype();
    edge(&[-INF; 3], 2).gives_nan().predicts(0).holds_in_every_dtype();
    edge(&[-INF], 0).gives_nan().predicts(0).holds_in_every_dtype();
}

#[test]
fn only_the_label_finite_is_loss_plus_0() {
    edge(&[-INF, 2.0, -INF], 1).predicts(1).gives_zero().holds_in_every_dtype();
    edge(&[3.0], 0).predicts(0).gives_zero().holds_in_every_dtype();
    let negative = Settings { sample_weight: Some(vec![-2.0]), ..Settings::none() };
    edge(&[-INF, 2.0, -INF], 1).predicts(1).under(negative.clone()).gives_zero().holds_in_every_dtype();
    edge(&[3.0], 0).predicts(0).under(negative).gives_zero().holds_in_every_dtype();
    let every = Settings { label_smoothing: 0.3, focal_gamma: 2.0, poly1_epsilon: 1.0, ..Settings::none() };
    edge(&[3.0], 0).predicts(0).under(every).gives_zero().holds_in_every_dtype();
}

#[test]
fn a_nan_upstream_makes_the_gradient_nan_and_not_the_loss() {
    let set = Settings { upstream: Upstream::Each(vec![NAN]), ..Settings::none() };
    edge(&[0.0, 0.0], 0).under(set).gives(LN_2, &[NAN, NAN]).predicts(0).holds_in_every_dtype();
}

/// NaNs of both signs, quiet and signalling, with the smallest and largest payloads.
trait Nans: Element {
    fn nans() -> Vec<Self>;
}

macro_rules! nans {
    ($($type:ident, $quiet:literal, $sign:literal, $infinity:literal;)*) => {$(
        impl Nans for $type {
            fn nans() -> Vec<Self> {
                [$quiet, $quiet | $sign, $quiet | 5, $infinity | 1, $infinity | $sign | 1, !0, !$sign]
                    .map($type::from_bits)
                    .to_vec()
            }
        }
    )*};
}
nans! {
    f32, 0x7fc0_0000, 0x8000_0000, 0x7f80_0000;
    f64, 0x7ff8_0000_0000_0000, 0x8000_0000_0000_0000, 0x7ff0_0000_0000_0000;
    f16, 0x7e00, 0x8000, 0x7c00;
    bf16, 0x7fc0, 0x8000, 0x7f80;
}

/// A NaN at every class in turn, in the middle row of three times `inner`: that row is NaN and no other.
fn nan_everywhere<E: Nans>(classes: usize, inner: usize) {
    let (rows, shape) = (3 * inner, Shape::new(&[3, classes, inner], 1).expect("a shape"));
    let (bad_row, column) = (inner + inner / 2, inner / 2);
    let labels: Vec<usize> = (0..rows).map(|row| row * 7 % classes).collect();
    let labels: Vec<i32> = labels.into_iter().map(|class| i32::try_from(class).expect("a class")).collect();
    let nan = raw(E::from_f64(NAN));
    let set = Settings::none();
    for kernel in kernels() {
        let op = How::with(kernel).with_outputs().operation(&set);
        let clean = vec![E::from_f64(0.5); rows * classes];
        let mut clean_grad = clean.clone();
        let clean_out = op
            .forward_backward(&Logits::new(&clean, shape).expect("a length"), &labels, &mut clean_grad)
            .expect("a call");
        for place in 0..classes {
            let mut logits = clean.clone();
            let nans = E::nans();
            logits[(classes + place) * inner + column] = nans[place % nans.len()];
            let name = format!("{} {kernel:?}, {classes} x {inner}, NaN at {place}", E::NAME);
            let mut grad = clean.clone();
            let out = op
                .forward_backward(&Logits::new(&logits, shape).expect("a length"), &labels, &mut grad)
                .expect(&name);
            op.forward_backward_in_place(&mut LogitsMut::new(&mut logits, shape).expect("a length"), &labels)
                .expect(&name);
            assert_eq!(bits(&logits), bits(&grad), "in place: {name}");
            for (index, (got, clean)) in grad.iter().zip(&clean_grad).enumerate() {
                let row = index / (classes * inner) * inner + index % inner;
                let want = if row == bad_row { nan } else { raw(*clean) };
                assert_eq!(raw(*got), want, "gradient {index}: {name}");
            }
            for row in 0..rows {
                let per_row = [
                    (out.losses[row], clean_out.losses[row]),
                    (out.log_sum_exp[row], clean_out.log_sum_exp[row]),
                    (out.target_log_prob[row], clean_out.target_log_prob[row]),
                ];
                for (got, clean) in per_row {
                    let want = if row == bad_row { raw(E::PerRow::from_f64(NAN)) } else { raw(clean) };
                    assert_eq!(raw(got), want, "row {row}: {name}");
                }
                let want = if row == bad_row { -1 } else { 0 };
                assert_eq!(out.predictions[row], want, "prediction of row {row}: {name}");
            }
            assert_eq!(raw(out.loss), raw(NAN), "the sum: {name}");
            assert_eq!(out.non_finite_count, 1, "rows that are not finite: {name}");
        }
    }
}

fn nan_everywhere_of_every_size<E: Nans>() {
    for classes in (1..=35).chain([63, 64, 65, 66, 67, 68, 127, 128, 129, 133]) {
        nan_everywhere::<E>(classes, 1);
    }
    for (classes, inner) in [(1, 2), (5, 3), (7, 130), (66, 3)] {
        nan_everywhere::<E>(classes, inner);
    }
}

#[test]
fn nan_of_any_sign_and_payload_in_every_lane_and_tail_in_f32() {
    nan_everywhere_of_every_size::<f32>();
    // Behind the point where sums move to f64.
    nan_everywhere::<f32>(1030, 1);
}

#[test]
fn nan_of_any_sign_and_payload_in_every_lane_and_tail_in_f64() {
    nan_everywhere_of_every_size::<f64>();
}

#[test]
fn nan_of_any_sign_and_payload_in_every_lane_and_tail_in_f16() {
    nan_everywhere_of_every_size::<f16>();
}

#[test]
fn nan_of_any_sign_and_payload_in_every_lane_and_tail_in_bf16() {
    nan_everywhere_of_every_size::<bf16>();
}
