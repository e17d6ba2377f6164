//! The definition agrees with its own finite differences and keeps its digits; everything else is compared with it.
//! (That it agrees with other systems is in vectors.rs.)

use crate::draw::{option_list, planes, rows};
use crate::support::{Case, Settings, Upstream};
use sparse_xent::reference::Answer;
use sparse_xent::{Denominator, InvalidLabel, Reduction};

fn answer(case: &Case) -> Answer {
    case.reference().unwrap_or_else(|bad| panic!("{}: {bad:?}", case.name))
}

#[test]
fn matches_finite_difference() {
    const STEP: f64 = 1e-5;
    for (name, set_options) in option_list() {
        for mut case in [rows(5, 2.0, 1), planes(2, 4, 3, 2.0, 2)] {
            set_options(&mut case);
            // Summed so that the loss of every row depends on the differentiated number; NaN rows have no slope.
            if case.set.invalid_label == InvalidLabel::Nan {
                continue;
            }
            let scalar = |case: &Case| match (&case.set.upstream, case.set.reduction) {
                (Upstream::Each(upstream), _) => answer(case)
                    .losses
                    .iter()
                    .zip(upstream)
                    .map(|(loss, upstream)| loss * upstream)
                    .sum::<f64>(),
                (Upstream::One(upstream), _) => upstream * answer(case).loss,
            };
            let grad = answer(&case).grad;
            let size = grad.iter().fold(1.0, |size: f64, grad| size.max(grad.abs()));
            for (place, expected) in grad.iter().enumerate() {
                let mut moved = case.clone();
                moved.logits[place] += STEP;
                let above = scalar(&moved);
                moved.logits[place] -= 2.0 * STEP;
                let slope = (above - scalar(&moved)) / (2.0 * STEP);
                let error = (expected - slope).abs() / size;
                assert!(error < 1e-8, "{name}, {}: grad[{place}] {expected}, slope {slope}", case.name);
            }
        }
    }
}

#[test]
fn small_losses_keep_their_digits() {
    // ln(1 + 2 e^-t + e^-(t + 1)) is 2 e^-t + e^-(t + 1) once its square is below the last digit.
    for top in [40.0_f64, 80.0, 200.0, 700.0] {
        let case = Case::new("margin", [1, 4, 1], &[top, 0.0, 0.0, -1.0], &[0], Settings::none());
        let want = 2.0 * (-top).exp() + (-top - 1.0).exp();
        let answer = answer(&case);
        assert!((answer.losses[0] / want - 1.0).abs() < 1e-13, "loss at {top}: {}", answer.losses[0]);
        assert!((-answer.grad[0] / want - 1.0).abs() < 1e-13, "grad at {top}: {}", answer.grad[0]);
    }
}

#[test]
fn counts_and_outputs_of_a_small_case() {
    let logits = [0.0, 2.0, 1.0, 5.0, 5.0, 1.0, f64::NAN, 0.0, 0.0, 1.0, 0.0, 3.0, 0.0, 0.0, 0.0];
    let set = Settings {
        reduction: Reduction::Mean,
        denominator: Denominator::NonZero,
        ignore: vec![9],
        invalid_label: InvalidLabel::Nan,
        sample_weight: Some(vec![2.0, 0.0, 1.0, 3.0, 1.0]),
        ..Settings::default()
    };
    let case = Case::new("counts", [5, 3, 1], &logits, &[1, 0, 9, 2, 5], set);
    let answer = answer(&case);
    assert_eq!((answer.row_count, answer.valid_count, answer.invalid_count), (5, 4, 1), "rows");
    assert_eq!((answer.weight_sum, answer.denominator, answer.non_finite_count), (6.0, 3.0, 1), "sums");
    assert_eq!(answer.predictions, [1, 0, -1, 2, -1], "first of equals; none for ignored and invalid rows");
    assert_eq!(answer.correct_count, 3, "an inactive row may be correct");
    assert_eq!(answer.per_class[0], [0.0, 0.0, 1.0, 1.0], "class 0: weight 0");
    assert_eq!(answer.per_class[2][1..], [3.0, 1.0, 1.0], "class 2");
    assert!(
        (answer.log_sum_exp[1] - (5.0 + (2.0 + (-4_f64).exp()).ln())).abs() < 1e-14,
        "lse of an inactive row"
    );
    assert!(answer.log_sum_exp[2].is_nan() && answer.target_log_prob[4].is_nan(), "ignored and invalid rows");
}

#[test]
fn identity_label_matrix_is_the_plain_loss_and_a_diagonal_one_the_class_weights() {
    let plain = rows(4, 3.0, 5);
    let weights = vec![1.0, 0.5, 2.0, 0.25];
    let diagonal = |values: &[f64]| {
        let mut matrix = vec![0.0; 16];
        values.iter().enumerate().for_each(|(class, value)| matrix[class * 5] = *value);
        Some(matrix)
    };
    for (weight, matrix) in [(None, diagonal(&[1.0; 4])), (Some(weights.clone()), diagonal(&weights))] {
        let mut by_weight = plain.clone();
        by_weight.set.class_weight = weight;
        let mut by_matrix = plain.clone();
        by_matrix.set.label_matrix = matrix;
        let (a, b) = (answer(&by_weight), answer(&by_matrix));
        for (a, b) in a.losses.iter().chain(&a.grad).zip(b.losses.iter().chain(&b.grad)) {
            assert!((a - b).abs() < 1e-14, "{a} by weight, {b} by matrix");
        }
    }
}

#[test]
fn bad_labels_are_named() {
    let mut case = rows(3, 1.0, 6);
    case.labels = vec![0, -1, 3];
    let bad = case.reference().expect_err("labels outside 0..3");
    assert_eq!((bad.row, bad.label, bad.count), (1, -1, 2), "the first, and how many");
}
