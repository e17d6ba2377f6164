//! Weights that are 0, negative, cancel, or are no numbers; means over nothing.

use super::edge::{INF, LN_2, NAN, edge};
use crate::bound::{Precision, compare};
use crate::support::{
    Case, How, PAINT, Settings, Upstream, bits, kernels, raw, run, run_in_place, run_loss, widened,
};
use sparse_xent::{Denominator, Element, EmptyMean, Error, Kernel, Logits, Reduction, bf16, f16};

/// Shapes that take every kernel path: (classes, inner).
const PATHS: [(usize, usize); 6] = [(3, 1), (64, 1), (67, 1), (3, 2), (5, 130), (70, 3)];
const SUMS: [Denominator; 3] = [Denominator::Weights, Denominator::Valid, Denominator::NonZero];

/// Runs a case in and out of place by every kernel; all of the gradient must be as `want` says of its row and class,
/// to the bit.
fn gives<E: Element>(case: &Case, loss: f64, want: impl Fn(usize, usize) -> f64) {
    for kernel in kernels() {
        let how = How::with(kernel);
        let name = format!("{} {:?} {} {kernel:?} {:?}", case.name, case.shape, E::NAME, case.set);
        let got = run::<E, E>(case, how).expect(&name);
        assert_eq!(raw(got.out.loss), raw(loss), "loss {}, expected {loss}: {name}", got.out.loss);
        for row in 0..case.rows() {
            for class in 0..case.shape[1] {
                let (got, want) = (got.grad[case.place(row, class)], want(row, class));
                let want = E::from_f64(want);
                assert_eq!(
                    raw(got),
                    raw(want),
                    "row {row}, class {class}: {got:?}, expected {want:?}: {name}"
                );
            }
        }
        assert_eq!(
            bits(&run_in_place::<E>(case, how).expect(&name).grad),
            bits(&got.grad),
            "in place: {name}"
        );
        assert_eq!(raw(run_loss::<E>(case, how).expect(&name).loss), raw(loss), "loss alone: {name}");
    }
}

fn gives_in_every_dtype(case: &Case, loss: f64, want: impl Fn(usize, usize) -> f64) {
    gives::<f32>(case, loss, &want);
    gives::<f64>(case, loss, &want);
    gives::<f16>(case, loss, &want);
    gives::<bf16>(case, loss, &want);
}

/// What the mean over nothing is: as loss, and as gradient of valid rows.
const EMPTY: [(EmptyMean, f64); 2] = [(EmptyMean::Zero, 0.0), (EmptyMean::Nan, NAN)];

#[test]
fn no_rows_are_an_empty_mean_and_a_sum_of_0() {
    for (classes, inner) in PATHS {
        for shape in [[0, classes, inner], [3, classes, 0], [0, classes, 0]] {
            let no_rows = |set| Case::new("no rows", shape, &[], &[], set);
            for (empty_mean, loss) in EMPTY {
                for denominator in SUMS.into_iter().chain([Denominator::All]) {
                    let set = Settings { empty_mean, denominator, ..Settings::default() };
                    gives_in_every_dtype(&no_rows(set), loss, |_, _| unreachable!("no rows"));
                }
            }
            for reduction in [Reduction::Sum, Reduction::None] {
                let case = no_rows(Settings { reduction, ..Settings::default() });
                gives_in_every_dtype(&case, 0.0, |_, _| unreachable!("no rows"));
                let out = run::<f32, f32>(&case, How::with(Kernel::Best).with_outputs()).expect("a call").out;
                assert_eq!((out.losses.len(), out.predictions.len(), out.row_count), (0, 0, 0), "empty");
                assert_eq!((out.valid_count, out.weight_sum, out.denominator), (0, 0.0, 1.0), "counts");
            }
        }
    }
}

#[test]
fn all_ignored_is_an_empty_mean_with_a_gradient_of_0() {
    for (classes, inner) in PATHS {
        let rows = 2 * inner;
        for (empty_mean, loss) in EMPTY {
            for denominator in SUMS {
                let set = Settings { empty_mean, denominator, ignore: vec![-1], ..Settings::default() };
                let logits = vec![NAN; rows * classes];
                let case = Case::new("all ignored", [2, classes, inner], &logits, &vec![-1; rows], set);
                gives_in_every_dtype(&case, loss, |_, _| 0.0);
                let out = run::<f32, f32>(&case, How::with(Kernel::Best)).expect("a call").out;
                assert_eq!((out.valid_count, out.weight_sum, out.non_finite_count), (0, 0.0, 0), "counts");
            }
        }
    }
}

/// Rows 0, 2, 4... of one label and weight, rows 1, 3, 5... of another; every fifth row is ignored.
fn by_turns(classes: usize, inner: usize, weights: [f64; 2], set: Settings) -> Case {
    let rows = 20 * inner;
    let set = Settings {
        ignore: vec![-1],
        sample_weight: Some((0..rows).map(|row| weights[row % 2]).collect()),
        ..set
    };
    let logits: Vec<f64> = (0..rows * classes).map(|at| (at % 7) as f64 / 4.0).collect();
    let labels: Vec<i64> = (0..rows).map(|row| if row % 10 > 7 { -1 } else { 1 }).collect();
    Case::new("weights that sum to 0", [20, classes, inner], &logits, &labels, set)
}

#[test]
fn weights_that_are_all_0_or_cancel_are_an_empty_mean() {
    for (classes, inner) in PATHS {
        for weights in [[0.0, 0.0], [1.5, -1.5]] {
            for (empty_mean, loss) in EMPTY {
                let set = Settings { empty_mean, ..Settings::default() };
                let mut case = by_turns(classes, inner, weights, set);
                let is_ignored = |row: usize| row % 10 > 7;
                let want = |row: usize, _| if is_ignored(row) { 0.0 } else { loss };
                gives_in_every_dtype(&case, loss, want);
                let out = run::<f32, f32>(&case, How::with(Kernel::Best)).expect("a call").out;
                assert_eq!(
                    (out.weight_sum, out.denominator, out.valid_count),
                    (0.0, 0.0, 16 * inner),
                    "sums"
                );
                // Rows that would be NaN or infinite make no difference.
                for row in [0, 3, 8] {
                    for class in 0..classes {
                        let place = case.place(row, class);
                        case.logits[place] = [NAN, INF, -INF][(row + class) % 3];
                    }
                }
                gives_in_every_dtype(&case, loss, want);
            }
        }
    }
}

#[test]
fn no_row_with_a_weight_is_an_empty_mean_over_nonzero() {
    for (empty_mean, loss) in EMPTY {
        let set = Settings { empty_mean, denominator: Denominator::NonZero, ..Settings::default() };
        let case = by_turns(3, 1, [0.0, 0.0], set);
        gives_in_every_dtype(&case, loss, |row, _| if row % 10 > 7 { 0.0 } else { loss });
        // A mean over the valid ones is 0 / 16.
        let set = Settings { empty_mean, denominator: Denominator::Valid, ..Settings::default() };
        gives_in_every_dtype(&by_turns(3, 1, [0.0, 0.0], set), 0.0, |_, _| 0.0);
    }
}

#[test]
fn class_weights_that_cancel_are_an_empty_mean() {
    for (empty_mean, loss) in EMPTY {
        let set = Settings { empty_mean, class_weight: Some(vec![2.0, -2.0]), ..Settings::default() };
        let case = Case::new("two classes", [2, 2, 1], &[1.0, 0.0, 0.0, 3.0], &[0, 1], set);
        gives_in_every_dtype(&case, loss, |_, _| loss);
    }
}

#[test]
fn a_row_of_weight_0_is_exactly_0_and_unread() {
    let sample = Settings { sample_weight: Some(vec![0.0]), ..Settings::none() };
    let class = Settings { class_weight: Some(vec![0.0, 1.0, 2.0]), ..Settings::none() };
    for set in [sample, class] {
        for (logits, prediction) in [
            ([NAN, NAN, NAN], -1),
            ([0.0, INF, 0.0], 1),
            ([-INF, 0.0, 0.0], 1), // a loss of +inf, were it weighed by anything
            ([-INF, -INF, -INF], 0),
        ] {
            edge(&logits, 0).under(set.clone()).predicts(prediction).gives_zero().holds_in_every_dtype();
        }
    }
    // Row smoothing is weighed by the row, so it is 0 too.
    let smoothing_weights = sparse_xent::SmoothingWeights::Row;
    let class_weight = Some(vec![0.0, 1.0, 2.0]);
    let set = Settings { label_smoothing: 0.1, smoothing_weights, class_weight, ..Settings::none() };
    edge(&[NAN; 3], 0).under(set).gives_zero().holds_in_every_dtype();
}

#[test]
fn a_gradient_factor_of_0_is_a_gradient_of_0() {
    let set = Settings { upstream: Upstream::Each(vec![0.0]), ..Settings::none() };
    edge(&[-INF, 0.0, 0.0], 0).under(set.clone()).predicts(1).gives(INF, &[0.0; 3]).holds_in_every_dtype();
    edge(&[NAN, 0.0, 0.0], 0).under(set).gives(NAN, &[0.0; 3]).holds_in_every_dtype();
}

#[test]
fn class_weight_0_at_the_label_leaves_class_smoothing() {
    let set = Settings { class_weight: Some(vec![1.0, 0.0]), label_smoothing: 0.1, ..Settings::none() };
    // 0.1 / 2 ln 2; a p + b_0 = 0.05 / 2 - 0.05, and a p at the label.
    let row = edge(&[1.0, 1.0], 1).under(set.clone());
    row.predicts(0).gives(0.05 * LN_2, &[-0.025, 0.025]).holds_in_every_dtype();
    edge(&[NAN, 1.0], 1).under(set).gives_nan().holds_in_every_dtype();
}

#[test]
fn negative_weights_are_used_and_so_is_a_negative_denominator() {
    let negative = Settings { sample_weight: Some(vec![-2.0]), ..Settings::none() };
    let row = edge(&[1.0, 1.0], 1).under(negative);
    row.predicts(0).gives(-2.0 * LN_2, &[-1.0, 1.0]).holds_in_every_dtype();
    let negative = Settings { class_weight: Some(vec![1.0, -0.5]), ..Settings::none() };
    let row = edge(&[1.0, 1.0], 1).under(negative);
    row.predicts(0).gives(-0.5 * LN_2, &[-0.25, 0.25]).holds_in_every_dtype();

    // D = -3: the mean of equal losses is that loss, and the rows' shares of the gradient are 1/3 and 2/3.
    let set = Settings { sample_weight: Some(vec![-1.0, -2.0]), ..Settings::default() };
    let case = Case::new("D = -3", [2, 2, 1], &[0.0; 4], &[0, 1], set);
    for kernel in kernels() {
        let got = run::<f64, f64>(&case, How::with(kernel)).expect("a call");
        assert_eq!((got.out.denominator, got.out.weight_sum, got.out.loss_sum), (-3.0, -3.0, -3.0 * LN_2));
        assert!((got.out.loss - LN_2).abs() < 1e-15, "{kernel:?}: loss {}", got.out.loss);
        for (got, want) in got.grad.iter().zip([-1.0, 1.0, 2.0, -2.0].map(|share| share / 6.0)) {
            assert!((got - want).abs() < 1e-15, "{kernel:?}: {got}, expected {want}");
        }
    }
}

#[test]
fn a_weight_that_is_no_number_is_an_error() {
    for (classes, inner) in PATHS {
        let rows = 2 * inner;
        let logits = vec![0.5_f32; rows * classes];
        let shape = sparse_xent::Shape::new(&[2, classes, inner], 1).expect("a shape");
        let logits = Logits::new(&logits, shape).expect("a length");
        let mut labels = vec![0_i64; rows];
        labels[rows - 1] = -100;
        for bad in [NAN, INF, -INF] {
            let refuses = |set: &Settings, what, index| {
                let mut grad =
                    vec![PAINT; rows * classes].iter().map(|x| f32::from_f64(*x)).collect::<Vec<_>>();
                let result = set.operation(Kernel::Best).forward_backward(&logits, &labels, &mut grad);
                let Err(Error::WeightValue { what: of, index: at, got }) = result else {
                    panic!("{bad} as {what}: {result:?}");
                };
                assert_eq!((of, at, raw(got)), (what, index, raw(bad)), "which weight");
                assert!(grad.iter().all(|x| f64::from(*x) == PAINT), "nothing is written");
            };
            let with = |at: usize, count: usize| {
                let mut weights = vec![1.0; count];
                weights[at] = bad;
                Some(weights)
            };
            let ignore = vec![-100];
            let base = Settings { ignore, ..Settings::none() };
            // Every class, those no label names too.
            let set = Settings { class_weight: with(classes - 1, classes), ..base.clone() };
            refuses(&set, "classWeight", classes - 1);
            refuses(&Settings { sample_weight: with(0, rows), ..base.clone() }, "sampleWeight", 0);
            // The weight of an ignored row is not looked at.
            let set = Settings { sample_weight: with(rows - 1, rows), ..base };
            let out = set.operation(Kernel::Best).forward(&logits, &labels).expect("an ignored row");
            assert_eq!(out.weight_sum, (rows - 1) as f64, "valid rows");
        }
    }
}

#[test]
fn a_step_too_small_for_single_precision_leaves_a_row_with_nan_nan_and_others_their_bounds() {
    for (classes, inner) in PATHS {
        let rows = 2 * inner;
        let mut case = Case::new(
            "step",
            [2, classes, inner],
            &vec![1.0; rows * classes],
            &vec![1; rows],
            Settings::none(),
        );
        let place = case.place(1, 2);
        case.logits[place] = NAN;
        for upstream in [1e-46, -1e-44, 1e-300] {
            case.set.upstream = Upstream::One(upstream);
            for kernel in kernels() {
                let grad = run::<f32, f32>(&case, How::with(kernel)).expect("a call").grad;
                let is_nan = |row: usize| (0..classes).all(|class| grad[case.place(row, class)].is_nan());
                assert!(is_nan(1) && !is_nan(0), "{upstream}, {classes} classes, {inner}, {kernel:?}");
            }
        }
    }
    // The factor of the gradient is as large as the log-sum-exp.
    let set = Settings {
        z_loss: 0.01,
        upstream: Upstream::One(1e-44),
        class_weight: Some(vec![0.0625; 3]),
        ..Settings::none()
    };
    for inner in [1, 2, 130] {
        let logits = vec![2.755_689_939_825_223_3e19; 3 * inner];
        let case = Case::new("large log-sum-exp", [1, 3, inner], &logits, &vec![1; inner], set.clone())
            .rounded::<f32>();
        for kernel in kernels() {
            let got = run::<f32, f32>(&case, How::with(kernel)).expect("a call");
            compare(&case, &widened(&got.out.losses), &widened(&got.grad), Precision::of::<f32, f32>())
                .expect("within the bound");
        }
    }
}

#[test]
fn a_gradient_that_vanishes_is_the_same_zero_in_a_full_tile_and_in_others() {
    let set = Settings {
        class_weight: Some(vec![1.0, -0.25]),
        label_smoothing: 0.125,
        upstream: Upstream::One(1e-44),
        poly1_epsilon: 1e-40,
        logit_scale: 0.25,
        ..Settings::none()
    };
    for kernel in kernels() {
        let first = |inner: usize| {
            let case = Case::new("zeros", [1, 2, inner], &vec![0.0; 2 * inner], &vec![1; inner], set.clone());
            let grad = run::<f32, f32>(&case, How::with(kernel)).expect("a call").grad;
            [grad[0], grad[inner]].map(raw)
        };
        assert_eq!(first(128), first(3), "{kernel:?}");
    }
}

#[test]
fn the_others_share_of_a_label_that_weighs_nothing_may_be_as_large_as_single_precision_holds() {
    let set = Settings {
        label_smoothing: 0.5,
        class_weight: Some(vec![1.5, 1.5, 0.0]),
        upstream: Upstream::One(1e37),
        logit_scale: 2.0,
        denominator: Denominator::Valid,
        ..Settings::none()
    };
    // Without a shift the exponentials' common factor would be e^6 times what it is.
    for (inner, layout) in [(1, "rows"), (2, "planes")] {
        let case = Case::new(layout, [1, 3, inner], &vec![-3.0; 3 * inner], &vec![2; inner], set.clone());
        for kernel in kernels() {
            let got = run::<f32, f32>(&case, How::with(kernel)).expect("a gradient");
            let want = [-1e37 / 6.0, -1e37 / 6.0, 1e37 / 3.0];
            for (place, got) in got.grad.iter().enumerate() {
                let want = want[place / inner];
                let is_near = (f64::from(*got) / want - 1.0).abs() < 1e-6;
                assert!(is_near, "{got:e}, not {want:e}, in {layout} by {kernel:?}");
            }
        }
    }
}

#[test]
fn a_step_below_the_normal_range_gives_two_classes_the_same_bits_whatever_else_is_asked_for() {
    let set = Settings {
        upstream: Upstream::One(1e-44),
        denominator: Denominator::All,
        reduction: Reduction::Mean,
        ..Settings::none()
    };
    let mut logits = [0.0; 30];
    logits[26] = 2.0;
    let case = Case::new("a tiny step", [15, 2, 1], &logits, &[0; 15], set);
    for kernel in kernels() {
        let of = |how| bits(&run::<f32, f32>(&case, how).expect("a gradient").grad);
        assert_eq!(of(How::with(kernel)), of(How::with(kernel).with_outputs()), "{kernel:?}");
    }
}
