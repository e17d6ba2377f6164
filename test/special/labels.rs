//! Labels that name no class, ignored rows, and shapes that fit no labels.

use super::edge::{INF, LN_2, NAN, edge};
use crate::bound::{Precision, compare, compare_outputs};
use crate::support::{Case, How, PAINT, Settings, bits, kernels, raw, run, run_in_place, run_loss, widened};
use sparse_xent::{CrossEntropy, Element, Error, GradElement, Input, InvalidLabel, Logits, Shape, bf16, f16};

/// A call on six equal logits, two rows of three classes, that must be refused with nothing written.
fn refused(op: &CrossEntropy<'_>, labels: &[i64]) -> Error {
    let shape = Shape::new(&[2, 3], -1).expect("a shape");
    let mut grad = [251.0_f32; 6];
    let logits = [0.5_f32; 6];
    let result = op.forward_backward(&Logits::new(&logits, shape).expect("six"), labels, &mut grad);
    assert_eq!(grad, [251.0; 6], "nothing is written");
    result.expect_err("a call that must be refused")
}

/// The three things that a label which names no class can mean.
fn is_invalid(label: i64, set: &Settings) {
    let with = |invalid_label| Settings { invalid_label, ..set.clone() };
    let row = |invalid_label| edge(&[0.5, 1.0, -INF], label).under(with(invalid_label));
    row(InvalidLabel::Nan).gives_nan_where_kept().holds_in_every_dtype();
    row(InvalidLabel::Ignore).gives_zero().holds_in_every_dtype();
}

#[test]
fn a_label_of_c_or_more_is_invalid() {
    for (label, count) in [(3, 1), (1 << 32, 1)] {
        let error = refused(&CrossEntropy::new(), &[0, label]);
        let got = i128::from(label);
        assert_eq!(error, Error::LabelOutOfRange { index: 1, got, classes: 3, count, rows: 2 });
    }
    is_invalid(3, &Settings::none());
    is_invalid(1 << 32, &Settings::none());
}

#[test]
fn label_minus_1_is_invalid_and_never_the_last_class() {
    let error = refused(&CrossEntropy::new(), &[-1, 0]);
    assert_eq!(error, Error::LabelOutOfRange { index: 0, got: -1, classes: 3, count: 1, rows: 2 });
    is_invalid(-1, &Settings::none());
}

#[test]
fn label_minus_100_is_invalid_unless_ignored_and_the_message_hints() {
    let error = refused(&CrossEntropy::new(), &[-100, -100]);
    assert_eq!(error, Error::LabelOutOfRange { index: 0, got: -100, classes: 3, count: 2, rows: 2 });
    assert!(error.to_string().ends_with("set ignore_index: -100 to skip them"), "{error}");
    is_invalid(-100, &Settings::none());
    let ignoring = Settings { ignore: vec![-100], ..Settings::none() };
    edge(&[0.5, 1.0, 0.0], -100).under(ignoring).gives_zero().holds_in_every_dtype();
}

#[test]
fn a_bad_label_of_weight_0_is_still_bad() {
    let error = refused(&CrossEntropy::new().sample_weight(&[1.0, 0.0]), &[0, 7]);
    assert_eq!(error, Error::LabelOutOfRange { index: 1, got: 7, classes: 3, count: 1, rows: 2 });
    is_invalid(7, &Settings { sample_weight: Some(vec![0.0]), ..Settings::none() });
}

#[test]
fn a_masked_label_is_invalid() {
    let error = refused(&CrossEntropy::new().class_mask(&[1, 1, 0]), &[0, 2]);
    assert_eq!(error, Error::TargetMasked { index: 1, got: 2 });
    is_invalid(2, &Settings { class_mask: Some(vec![1, 1, 0]), ..Settings::none() });
    // Masked and ignored is ignored.
    let set = Settings { class_mask: Some(vec![1, 1, 0]), ignore: vec![2], ..Settings::none() };
    edge(&[0.5, 1.0, NAN], 2).under(set).gives_zero().holds_in_every_dtype();
}

/// Every third row is ignored, the others are invalid; in each route, each way to call, and under the options that look at classes.
fn a_mask_of_zeros_is_defined<E: Element, G: GradElement<E>>() {
    let routes = [
        (0, 5, 1),
        (1, 1, 1),
        (6, 2, 1),
        (130, 7, 1),
        (5, 96, 1),
        (7, 97, 1),
        (2, 5000, 1),
        (2, 5, 130),
        (3, 2, 3),
    ];
    type Set = fn(&mut Case);
    let options: [(&str, Set); 5] = [
        ("plain", |_| {}),
        ("smoothing", |case| case.set.label_smoothing = 0.25),
        ("focal", |case| case.set.focal_gamma = 2.0),
        ("matrix", |case| case.set.label_matrix = Some(vec![0.5; case.shape[1] * case.shape[1]])),
        ("logarithms", |case| case.set.input = Input::LogProbs),
    ];
    for (outer, classes, inner) in routes {
        for (option, set) in options.iter().filter(|(option, _)| classes < 5000 || *option != "matrix") {
            for invalid_label in [InvalidLabel::Nan, InvalidLabel::Ignore, InvalidLabel::Throw] {
                let rows = outer * inner;
                // Where invalid labels are refused, no row has one.
                let is_ignored = |row: usize| row % 3 == 1 || invalid_label == InvalidLabel::Throw;
                let labels: Vec<i64> = (0..rows).map(|row| if is_ignored(row) { -100 } else { 0 }).collect();
                let class_mask = Some(vec![0; classes]);
                let zeros = Settings { class_mask, invalid_label, ignore: vec![-100], ..Settings::none() };
                let name = format!("a mask of zeros, {option}");
                let mut case =
                    Case::new(&name, [outer, classes, inner], &vec![NAN; rows * classes], &labels, zeros);
                set(&mut case);
                for kernel in kernels() {
                    for threads in [1, 2] {
                        let how = How::with(kernel).on(threads);
                        let name = format!("{}, {:?} {how:?} {}", case.name, case.shape, E::NAME);
                        let precision = Precision::of::<E, G>();
                        let apart = run::<E, G>(&case, how.with_outputs()).expect(&name);
                        compare(&case, &widened(&apart.out.losses), &widened(&apart.grad), precision)
                            .expect(&name);
                        compare_outputs(&case, &apart.out, precision).expect(&name);
                        let over = run_in_place::<E>(&case, how).expect(&name);
                        compare(&case, &widened(&over.out.losses), &widened(&over.grad), precision)
                            .expect(&name);
                        let alone = run_loss::<E>(&case, how).expect(&name);
                        assert_eq!(bits(&alone.losses), bits(&apart.out.losses), "{name}: loss alone");
                        let mut grad = vec![G::from_f64(PAINT); rows * classes];
                        let logits = case.logits_as::<E>();
                        let logits = Logits::new(&logits, case.crate_shape()).expect("as many");
                        let op = how.operation(&case.set).accumulate(true);
                        op.forward_backward(&logits, &case.labels, &mut grad).expect(&name);
                        assert!(grad.iter().all(|x| x.to_f64() == PAINT), "nothing is added: {name}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_mask_of_zeros_leaves_no_class_in_every_route_and_dtype() {
    a_mask_of_zeros_is_defined::<f32, f32>();
    a_mask_of_zeros_is_defined::<f64, f64>();
    a_mask_of_zeros_is_defined::<f16, f16>();
    a_mask_of_zeros_is_defined::<bf16, f32>();
    let error = refused(&CrossEntropy::new().class_mask(&[0, 0, 0]), &[1, 2]);
    assert_eq!(error, Error::TargetMasked { index: 0, got: 1 });
}

#[test]
fn masked_logits_are_unread_and_their_gradient_is_plus_0() {
    for masked in [NAN, INF, -INF, 9.0] {
        let set = Settings { class_mask: Some(vec![0, 1, 1]), ..Settings::none() };
        let row = edge(&[masked, 1.0, 1.0], 1).under(set).predicts(1);
        row.gives(LN_2, &[0.0, -0.5, 0.5]).holds_in_every_dtype();
    }
}

#[test]
fn an_ignored_row_with_nan_is_exactly_0() {
    for logits in [[NAN; 3], [INF, -INF, 0.0], [-INF; 3]] {
        let ignoring = |label| Settings { ignore: vec![label], ..Settings::none() };
        edge(&logits, -100).under(ignoring(-100)).gives_zero().holds_in_every_dtype();
        edge(&logits, 1).under(ignoring(1)).gives_zero().holds_in_every_dtype();
        edge(&logits, 255).under(ignoring(255)).gives_zero().holds_in_every_dtype();
    }
}

/// Poison in rows that do not count changes no bit of anything. `change` makes every third row one of them.
fn never_read<E: Element>(what: &str, change: impl Fn(&mut Case, usize)) {
    for (classes, inner) in [(1, 1), (4, 1), (33, 1), (64, 1), (70, 1), (1025, 1), (5, 130), (67, 3)] {
        let rows = 12 * inner;
        let logits: Vec<f64> = (0..rows * classes).map(|at| (at % 5) as f64 / 4.0).collect();
        let labels = vec![0; rows];
        let mut case = Case::new(what, [12, classes, inner], &logits, &labels, Settings::default());
        let skipped = || (0..rows).filter(|row| row % 3 == 1);
        skipped().for_each(|row| change(&mut case, row));
        let mut poisoned = case.clone();
        for row in skipped() {
            for class in 0..classes {
                poisoned.logits[case.place(row, class)] = [NAN, INF][class % 2];
            }
        }
        for kernel in kernels() {
            let name = format!("{what}, {classes} x {inner}, {} {kernel:?}", E::NAME);
            let clean = run::<E, E>(&case, How::with(kernel)).expect(&name);
            let poisoned = run::<E, E>(&poisoned, How::with(kernel)).expect(&name);
            assert_eq!(bits(&poisoned.grad), bits(&clean.grad), "gradient: {name}");
            assert_eq!(format!("{:?}", poisoned.out), format!("{:?}", clean.out), "all else: {name}");
        }
    }
}

fn never_read_in_every_dtype(what: &str, change: impl Fn(&mut Case, usize)) {
    never_read::<f32>(what, &change);
    never_read::<f64>(what, &change);
    never_read::<f16>(what, &change);
    never_read::<bf16>(what, &change);
}

#[test]
fn ignored_rows_are_never_read() {
    never_read_in_every_dtype("ignored", |case, row| {
        case.set.ignore = vec![-100];
        case.labels[row] = -100;
    });
}

#[test]
fn invalid_rows_that_count_as_ignored_are_never_read() {
    never_read_in_every_dtype("invalid", |case, row| {
        case.set.invalid_label = InvalidLabel::Ignore;
        case.labels[row] = -7;
    });
}

#[test]
fn rows_of_weight_0_are_never_read() {
    never_read_in_every_dtype("weight 0", |case, row| {
        let rows = case.rows();
        case.set.sample_weight.get_or_insert_with(|| vec![1.0; rows])[row] = 0.0;
    });
}

#[test]
fn one_label_for_two_rows_is_an_error() {
    let error = refused(&CrossEntropy::new(), &[0]);
    assert_eq!(error, Error::Length { what: "labels", got: 1, expected: 2 });
}

#[test]
fn no_classes_is_an_error_whatever_the_rows() {
    for dims in [&[2, 0][..], &[0, 0], &[1, 0], &[0]] {
        let error = Shape::new(dims, -1).expect_err("no classes");
        assert_eq!(error, Error::Shape { what: "classes", got: 0, expected: "1 or more" }, "{dims:?}");
    }
    assert!(Shape::new(&[2, 0, 3], 1).is_err(), "not at the end either");
}

#[test]
fn smoothing_outside_0_to_1_is_an_error() {
    for bad in [1.5, 1.0 + f64::EPSILON, -0.1, -f64::MIN_POSITIVE, NAN, INF] {
        let error = refused(&CrossEntropy::new().label_smoothing(bad), &[0, 0]);
        let Error::OptionRange { option: "labelSmoothing", got, .. } = error else {
            panic!("{bad}: {error:?}")
        };
        assert_eq!(raw(got), raw(bad), "what it got");
    }
    // The ends are inside.
    for good in [0.0, -0.0, 1.0] {
        let set = Settings { label_smoothing: good, ..Settings::none() };
        let row = edge(&[1.0, 1.0], 0).under(set).predicts(0);
        let target = -0.5 * (1.0 - good) + 0.0;
        row.gives(LN_2, &[target, -target + 0.0]).holds_in_every_dtype();
    }
}
