//! What goes wrong, and what is nothing: refusals write nothing, and a mean over nothing has the gradient that its option says.

use super::LAYOUTS;
use super::problem::{Grads, Layer};
use crate::support::How;
use sparse_xent::{
    CrossEntropy, EmptyMean, Error, Input, InvalidLabel, Kernel, LinearCrossEntropy, LinearGrad, Matrix,
    Reduction, WeightLayout,
};

/// Three rows of depth 2 over four classes.
const HIDDEN: [f32; 6] = [1.0, 0.5, -1.0, 2.0, 0.0, 1.0];
const WEIGHT: [f32; 8] = [0.5, 1.0, -0.5, 0.25, 1.0, -1.0, 0.0, 2.0];

fn states() -> Matrix<'static> {
    Matrix::new(&HIDDEN, [3, 2]).unwrap()
}

fn weights() -> Matrix<'static> {
    Matrix::new(&WEIGHT, [4, 2]).unwrap()
}

/// The error of a call, whose gradients must then be as they were.
fn refused(op: &LinearCrossEntropy<'_>, weight: &Matrix<'_>, labels: &[i64], lengths: [usize; 3]) -> Error {
    let [mut hidden, mut weights, mut bias] = lengths.map(|length| vec![Grads::PAINT; length]);
    let grad = LinearGrad { hidden: Some(&mut hidden), weight: Some(&mut weights), bias: Some(&mut bias) };
    let error = op.forward_backward(&states(), weight, labels, grad).unwrap_err();
    for gradient in [hidden, weights, bias] {
        assert!(gradient.iter().all(|x| *x == Grads::PAINT), "{error}: something was written");
    }
    error
}

#[test]
fn what_does_not_fit_is_refused_and_writes_nothing() {
    let op = CrossEntropy::new().linear();
    let fine = [6, 8, 4];
    let length = |what, got, expected| Error::Length { what, got, expected };
    let conflict = |option| Error::OptionConflict { option, with: "a linear layer" };
    let three = Matrix::new(&WEIGHT[..6], [2, 3]).unwrap();
    let matrix = [0.0; 16];
    let bias = [0.0_f32; 5];
    let dv = op.clone().weight_layout(WeightLayout::Dv);
    let cases = [
        (refused(&op, &three, &[0, 1, 1], fine), length("weight row", 3, 2)),
        (refused(&dv, &weights(), &[0, 1, 1], fine), length("weight column", 4, 2)),
        (refused(&op, &weights(), &[0, 1], fine), length("labels", 2, 3)),
        (refused(&op, &weights(), &[0, 1, 1], [5, 8, 4]), length("grad.hidden", 5, 6)),
        (refused(&op, &weights(), &[0, 1, 1], [6, 9, 4]), length("grad.weight", 9, 8)),
        (refused(&op, &weights(), &[0, 1, 1], [6, 8, 3]), length("grad.bias", 3, 4)),
        (refused(&op.clone().bias(&bias), &weights(), &[0, 1, 1], fine), length("bias", 5, 4)),
        (
            refused(&op.clone().chunk_rows(0), &weights(), &[0, 1, 1], fine),
            Error::OptionRange { option: "chunkRows", got: 0.0, expected: "1 or more" },
        ),
        (
            refused(&CrossEntropy::new().label_matrix(&matrix).linear(), &weights(), &[0, 1, 1], fine),
            conflict("labelMatrix"),
        ),
        (
            refused(&CrossEntropy::new().input(Input::LogProbs).linear(), &weights(), &[0, 1, 1], fine),
            conflict("input"),
        ),
        (
            refused(&op, &weights(), &[0, 4, 1], fine),
            Error::LabelOutOfRange { index: 1, got: 4, classes: 4, count: 1, rows: 3 },
        ),
        (
            refused(
                &CrossEntropy::new().sample_weight(&[1.0, f64::NAN, 1.0]).linear(),
                &weights(),
                &[0, 1, 1],
                fine,
            ),
            Error::WeightValue { what: "sampleWeight", index: 1, got: f64::NAN },
        ),
    ];
    for (got, want) in cases {
        // NaN is not itself, but its text is.
        assert_eq!(got.to_string(), want.to_string());
    }
    let empty: [f32; 0] = [];
    let none = Matrix::new(&empty, [3, 0]).unwrap();
    let weight = Matrix::new(&empty, [4, 0]).unwrap();
    let error = op.forward(&none, &weight, &[0, 1, 1]).unwrap_err();
    assert_eq!(error, Error::Shape { what: "hidden depth", got: 0, expected: "1 or more" });
    assert_eq!(Matrix::new(&HIDDEN, [2, 2]).unwrap_err(), length("matrix", 6, 4));
}

#[test]
fn an_error_says_what_was_given_and_what_fits() {
    let three = Matrix::new(&WEIGHT[..6], [2, 3]).unwrap();
    let error = refused(&CrossEntropy::new().linear(), &three, &[0, 1, 1], [6, 8, 4]);
    assert_eq!(error.to_string(), "weight row length got 3, expected 2");
}

#[test]
fn a_mean_over_nothing_is_what_its_option_says() {
    for layout in LAYOUTS {
        for (mean, loss) in [(EmptyMean::Zero, 0.0), (EmptyMean::Nan, f64::NAN)] {
            let mut layer = Layer::drawn(5, 3, 4, 1);
            layer.case.set.reduction = Reduction::Mean;
            layer.case.set.empty_mean = mean;
            layer.case.set.ignore = vec![-100];
            let how = How::with(Kernel::Best);
            // All rows ignored: no gradient has a row to come from.
            let mut ignored = layer.clone();
            ignored.case.labels.fill(-100);
            let (out, grads) = ignored.run::<f32, f32>(how, layout, None);
            assert_eq!(out.loss.to_bits(), loss.to_bits(), "{mean:?}");
            assert!(grads.all().into_iter().flatten().all(|x| x.to_bits() == 0), "{mean:?}, {layout:?}");
            // Weights that cancel: valid rows have the gradient of the option, an ignored one has none.
            layer.case.labels[2] = -100;
            layer.case.set.sample_weight = Some(vec![1.0, -1.0, 1.0, 2.0, -2.0]);
            let (out, grads) = layer.run::<f32, f32>(how, layout, None);
            assert_eq!(out.loss.to_bits(), loss.to_bits(), "{mean:?}");
            let want = if loss.is_nan() { f32::NAN } else { 0.0 };
            let same = |x: &f32| x.to_bits() == want.to_bits() || x.is_nan() && want.is_nan();
            assert!(grads.weight.iter().chain(&grads.bias).all(same), "{mean:?}, {layout:?}");
            for (row, values) in grads.hidden.chunks_exact(3).enumerate() {
                let right =
                    if row == 2 { values.iter().all(|x| x.to_bits() == 0) } else { values.iter().all(same) };
                assert!(right, "{mean:?}, {layout:?}, row {row}");
            }
        }
    }
}

#[test]
fn a_mean_over_nothing_leaves_the_weights_of_masked_classes_out() {
    let mask = [1, 0, 1, 1];
    let loss = CrossEntropy::new().sample_weight(&[0.0_f64; 3]).empty_mean(EmptyMean::Nan).class_mask(&mask);
    for layout in LAYOUTS {
        for accumulates in [false, true] {
            let dims = if layout == WeightLayout::Vd { [4, 2] } else { [2, 4] };
            let (mut weight, mut bias) = ([1.5_f32; 8], [1.5_f32; 4]);
            let grad = LinearGrad { hidden: None, weight: Some(&mut weight), bias: Some(&mut bias) };
            let op = loss.clone().accumulate(accumulates).linear().weight_layout(layout);
            op.forward_backward(&states(), &Matrix::new(&WEIGHT, dims).unwrap(), &[0_i64, 2, 3], grad)
                .unwrap();
            let masked = if accumulates { 1.5 } else { 0.0 };
            let is_met = |class: usize, x: f32| if class == 1 { x == masked } else { x.is_nan() };
            let class_of = |at: usize| if layout == WeightLayout::Vd { at / 2 } else { at % 4 };
            assert!(
                (0..8).all(|at| is_met(class_of(at), weight[at])),
                "{layout:?}, {accumulates}: {weight:?}"
            );
            assert!((0..4).all(|at| is_met(at, bias[at])), "{layout:?}, {accumulates}: {bias:?}");
        }
    }
}

#[test]
fn no_rows_have_gradients_of_zero() {
    let empty: [f32; 0] = [];
    let labels: [i32; 0] = [];
    let states = Matrix::new(&empty, [0, 2]).unwrap();
    let mut weight = [Grads::PAINT; 8];
    let grad = LinearGrad { weight: Some(&mut weight), ..LinearGrad::default() };
    let out = CrossEntropy::new().linear().forward_backward(&states, &weights(), &labels, grad).unwrap();
    assert_eq!((out.loss, out.row_count), (0.0, 0));
    assert_eq!(weight, [0.0; 8]);
}

#[test]
fn all_rows_ignored_have_gradients_of_zero_under_every_reduction() {
    for layout in LAYOUTS {
        for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
            for rows in [0, 1, 5] {
                let mut layer = Layer::drawn(rows, 3, 4, 1);
                layer.case.set.reduction = reduction;
                layer.case.set.ignore = vec![-100];
                layer.case.labels.fill(-100);
                let (out, grads) =
                    layer.run::<f32, f32>(How::with(Kernel::Best).with_outputs(), layout, None);
                assert_eq!((out.loss, out.valid_count, out.row_count), (0.0, 0, rows), "{reduction:?}");
                let all = grads.all();
                assert_eq!(all.map(<[f32]>::len), [rows * 3, 12, 4]);
                assert!(all.into_iter().flatten().all(|x| x.to_bits() == 0), "{reduction:?}, {layout:?}");
            }
        }
    }
}

#[test]
fn one_class_has_loss_and_gradient_zero() {
    let (hidden, weight) = ([1.0_f32, 2.0], [3.0_f32, 4.0]);
    let (states, weights) = (Matrix::new(&hidden, [1, 2]).unwrap(), Matrix::new(&weight, [1, 2]).unwrap());
    let (mut one, mut two) = ([Grads::PAINT; 2], [Grads::PAINT; 2]);
    let grad = LinearGrad { hidden: Some(&mut one), weight: Some(&mut two), bias: None };
    let out = CrossEntropy::new().linear().forward_backward(&states, &weights, &[0_i32], grad).unwrap();
    assert_eq!((out.loss, one, two), (0.0, [0.0; 2], [0.0; 2]));
}

#[test]
fn nan_in_a_row_that_counts_is_counted_and_stays_in_its_row() {
    for layout in LAYOUTS {
        let mut layer = Layer::drawn(6, 4, 9, 3);
        layer.hidden[2 * 4 + 1] = f64::NAN;
        let (out, grads) = layer.run::<f32, f32>(How::with(Kernel::Best), layout, None);
        assert_eq!(out.non_finite_count, 1);
        for (row, (loss, values)) in out.losses.iter().zip(grads.hidden.chunks_exact(4)).enumerate() {
            assert_eq!(loss.is_nan(), row == 2, "row {row}");
            assert!(values.iter().all(|x| x.is_nan() == (row == 2)), "row {row}");
        }
        assert!(grads.weight.iter().all(|x| x.is_nan()), "every weight had a part in it");
    }
}

#[test]
fn a_label_that_is_no_class_makes_its_row_nan_where_it_may() {
    let mut layer = Layer::drawn(6, 4, 9, 3);
    layer.case.labels[1] = 77;
    layer.case.set.invalid_label = InvalidLabel::Nan;
    let (out, grads) = layer.run::<f32, f32>(How::with(Kernel::Best), WeightLayout::Vd, None);
    assert_eq!((out.invalid_count, out.non_finite_count), (1, 1));
    assert!(grads.hidden[4..8].iter().all(|x| x.is_nan()) && grads.hidden[8..].iter().all(|x| x.is_finite()));
}
