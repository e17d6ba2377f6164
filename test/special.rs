//! The table of edge cases, a named row each, in f32 and f64 by both twins, in place and out of place.

mod bound;
mod support;

use bound::{Precision, compare};
use sparse_xent::{Denominator, Element, EmptyMean, InvalidLabel, Kernel, Logits, Reduction};
use support::{Case, How, Settings, bits, run, run_in_place, widened};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

fn row(name: &str, logits: &[f64], label: i64, set: Settings) -> Case {
    Case::new(name, [1, logits.len(), 1], logits, &[label], set)
}

/// Cases and the loss of their first row, where it is a round number.
fn table() -> Vec<(Case, f64)> {
    let none = Settings::none;
    let smooth = || Settings { label_smoothing: 0.1, ..none() };
    vec![
        (row("NaN at the label", &[NAN, 1.0, 2.0], 0, none()), NAN),
        (row("NaN elsewhere", &[1.0, NAN, 2.0], 0, none()), NAN),
        (row("+inf at the label", &[INF, 1.0, 2.0], 0, none()), NAN),
        (row("+inf elsewhere", &[0.0, INF, 2.0], 0, none()), NAN),
        (row("two +inf", &[INF, INF, 2.0], 2, none()), NAN),
        (row("-inf elsewhere", &[0.0, -INF, 0.0], 0, none()), 2_f64.ln()),
        (row("-inf elsewhere, smoothing", &[0.0, -INF, 0.0], 0, smooth()), INF),
        (row("-inf at the label", &[-INF, 0.0, 0.0], 0, none()), INF),
        (row("all -inf", &[-INF; 3], 0, none()), NAN),
        (row("one class of -inf", &[-INF], 0, none()), NAN),
        (row("one class", &[3.0], 0, none()), 0.0),
        (row("only the label finite", &[-INF, 2.0, -INF], 1, none()), 0.0),
        (row("the largest difference", &[1e38, -1e38, 0.0], 1, none()), f64::from(1e38_f32) * 2.0),
        (row("large and equal", &[1e38, 1e38, 0.0], 0, none()), 2_f64.ln()),
        (row("equal logits", &[7.0; 9], 4, none()), 9_f64.ln()),
        (row("subnormal logits", &[1e-40, 0.0, -1e-40], 0, none()), 3_f64.ln()),
        (row("label above, nan", &[0.0; 3], 3, Settings { invalid_label: InvalidLabel::Nan, ..none() }), NAN),
        (
            row(
                "label -1, ignore",
                &[0.0; 3],
                -1,
                Settings { invalid_label: InvalidLabel::Ignore, ..none() },
            ),
            0.0,
        ),
        (row("ignored with NaN", &[NAN; 3], -100, Settings { ignore: vec![-100], ..none() }), 0.0),
        (row("ignored class", &[1.0; 3], 1, Settings { ignore: vec![1], ..none() }), 0.0),
        (row("weight 0 with NaN", &[NAN; 3], 1, Settings { sample_weight: Some(vec![0.0]), ..none() }), 0.0),
        (
            row(
                "class weight 0, +inf",
                &[INF; 2],
                1,
                Settings { class_weight: Some(vec![1.0, 0.0]), ..none() },
            ),
            0.0,
        ),
        (
            row("negative weight", &[1.0, 1.0], 1, Settings { sample_weight: Some(vec![-2.0]), ..none() }),
            -2.0 * 2_f64.ln(),
        ),
        (
            row(
                "class weight 0, smoothing",
                &[1.0, 1.0],
                1,
                Settings { class_weight: Some(vec![1.0, 0.0]), ..smooth() },
            ),
            0.05 * 2_f64.ln(),
        ),
        (
            row("masked NaN", &[NAN, 1.0, 1.0], 1, Settings { class_mask: Some(vec![0, 1, 1]), ..none() }),
            2_f64.ln(),
        ),
    ]
}

fn check<E: Element>() {
    for (case, loss) in table() {
        let case = case.rounded::<E>();
        for kernel in [Kernel::Lanes4, Kernel::Lanes4Fused, Kernel::Best] {
            let name = format!("{} {} {kernel:?}", case.name, E::NAME);
            let how = How::with(kernel);
            let got = run::<E, E>(&case, how).expect(&name);
            let losses = widened(&got.out.losses);
            compare(&case, &losses, &widened(&got.grad), Precision::of::<E, E>()).expect(&name);
            let same = losses[0] == loss || (losses[0].is_nan() && loss.is_nan());
            assert!(
                same || (losses[0] - loss).abs() <= 1e-6 * loss.abs(),
                "{name}: loss {} is not {loss}",
                losses[0]
            );
            assert!(loss != 0.0 || losses[0].to_bits() == 0, "{name}: loss -0");
            let over = run_in_place::<E>(&case, how).expect(&name);
            assert_eq!(bits(&over.grad), bits(&got.grad), "{name}: in place");
        }
    }
}

#[test]
fn the_table_holds_in_f32() {
    check::<f32>();
}

#[test]
fn the_table_holds_in_f64() {
    check::<f64>();
}

#[test]
fn a_nan_at_any_place_with_any_payload_makes_its_row_nan_and_no_other() {
    let payloads = [0x7fc0_0000, 0xffc0_0000, 0x7fc0_1234, 0xffff_ffff, 0x7f80_0001, 0xff80_0001_u32];
    for kernel in [Kernel::Lanes4, Kernel::Lanes4Fused] {
        for (classes, inner) in
            [(1, 1), (2, 1), (3, 1), (5, 1), (16, 1), (21, 1), (33, 1), (67, 1), (133, 1), (7, 3), (5, 130)]
        {
            for place in 0..classes {
                let rows = 3 * inner;
                let mut logits = vec![0.5_f32; rows * classes];
                let (bad_row, column) = (inner + inner / 2, inner / 2);
                logits[(classes + place) * inner + column] = f32::from_bits(payloads[place % payloads.len()]);
                let labels = vec![0_i32; rows];
                let mut grad = vec![0.0_f32; logits.len()];
                let shape = sparse_xent::Shape::new(&[3, classes, inner], 1).expect("a shape");
                let logits = Logits::new(&logits, shape).expect("a shape");
                let op = Settings::none();
                let out = op.operation(kernel).forward_backward(&logits, &labels, &mut grad).expect("valid");
                for (row, loss) in out.losses.iter().enumerate() {
                    assert_eq!(
                        loss.is_nan(),
                        row == bad_row,
                        "loss of row {row}, {classes} x {inner}, NaN at {place}"
                    );
                }
                for (index, grad) in grad.iter().enumerate() {
                    let row = index / (classes * inner) * inner + index % inner;
                    assert_eq!(
                        grad.is_nan(),
                        row == bad_row,
                        "grad {index}, {classes} x {inner}, NaN at {place}"
                    );
                }
                assert_eq!(out.non_finite_count, 1, "rows that are not finite");
            }
        }
    }
}

#[test]
fn ignored_rows_are_never_read() {
    for kernel in [Kernel::Lanes4, Kernel::Lanes4Fused] {
        for (classes, inner) in [(1, 1), (4, 1), (33, 1), (70, 1), (1025, 1), (5, 130)] {
            let labels: Vec<i64> = (0..12 * inner).map(|row| if row % 3 == 1 { -100 } else { 0 }).collect();
            let set = Settings { ignore: vec![-100], ..Settings::default() };
            let mut case =
                Case::new("clean", [12, classes, inner], &vec![0.25; 12 * inner * classes], &labels, set);
            let clean = run::<f32, f32>(&case, How::with(kernel)).expect("valid");
            for row in (0..case.rows()).filter(|row| row % 3 == 1) {
                for class in 0..classes {
                    let place = case.place(row, class);
                    case.logits[place] = NAN;
                }
            }
            let poisoned = run::<f32, f32>(&case, How::with(kernel)).expect("valid");
            assert_eq!(bits(&poisoned.grad), bits(&clean.grad), "{classes} x {inner}: grad");
            assert_eq!(poisoned.out.loss.to_bits(), clean.out.loss.to_bits(), "{classes} x {inner}: loss");
        }
    }
}

#[test]
fn a_mean_over_nothing_is_zero_or_nan() {
    for (empty_mean, want) in [(EmptyMean::Zero, 0.0), (EmptyMean::Nan, NAN)] {
        let set = |denominator| Settings { empty_mean, ignore: vec![-1], denominator, ..Settings::default() };
        for denominator in [Denominator::Weights, Denominator::Valid, Denominator::NonZero] {
            for case in [
                Case::new("no rows", [0, 3, 1], &[], &[], set(denominator)),
                Case::new("all ignored", [2, 2, 1], &[1.0; 4], &[-1, -1], set(denominator)),
            ] {
                let got = run::<f32, f32>(&case, How::with(Kernel::Lanes4)).expect(&case.name);
                assert_eq!(got.out.loss.to_bits(), want.to_bits(), "{} {denominator:?}", case.name);
                assert_eq!(got.out.valid_count, 0, "{}: valid rows", case.name);
                assert!(got.grad.iter().all(|grad| grad.to_bits() == 0), "{}: grad +0", case.name);
            }
        }
    }
    let sum = Settings { reduction: Reduction::Sum, ..Settings::default() };
    let got = run::<f32, f32>(&Case::new("no rows", [0, 3, 1], &[], &[], sum), How::with(Kernel::Lanes4));
    assert_eq!(got.expect("no rows").out.loss.to_bits(), 0, "the sum of no rows");
}
