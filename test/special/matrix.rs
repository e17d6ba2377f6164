//! Losses under a label matrix: as small as the probability of all classes but the largest, and never below 0.

use crate::bound::{Precision, compare};
use crate::support::{Case, How, Settings, Upstream, kernels, run, run_in_place, widened};
use fastrand::Rng;
use sparse_xent::{Element, bf16, f16};

/// Outer and inner sizes that take every way: one row, rows side by side, part of a tile, tiles.
const FRAMES: [(usize, usize); 4] = [(1, 1), (5, 1), (1, 3), (2, 130)];

fn holds<E: Element>(case: &Case) -> Vec<f64> {
    let case = &case.clone().rounded::<E>();
    let mut losses = Vec::new();
    for kernel in kernels() {
        let name = format!("{} {:?} {} {kernel:?}", case.name, case.shape, E::NAME);
        let got = run::<E, E>(case, How::with(kernel)).expect(&name);
        let in_place = run_in_place::<E>(case, How::with(kernel)).expect(&name);
        losses = widened(&got.out.losses);
        for grad in [&got.grad, &in_place.grad] {
            compare(case, &losses, &widened(grad), Precision::of::<E, E>())
                .unwrap_or_else(|far| panic!("{far}: {name}"));
        }
    }
    losses
}

/// Every row has these logits and this label.
fn rows_of((outer, inner): (usize, usize), logits: &[f64], label: i64, matrix: &[f64]) -> Case {
    let set = Settings { label_matrix: Some(matrix.to_vec()), ..Settings::none() };
    let shape = [outer, logits.len(), inner];
    let mut case = Case::new(
        "matrix",
        shape,
        &vec![0.0; outer * logits.len() * inner],
        &vec![label; outer * inner],
        set,
    );
    for row in 0..outer * inner {
        for (class, x) in logits.iter().enumerate() {
            let place = case.place(row, class);
            case.logits[place] = *x;
        }
    }
    case
}

#[test]
fn a_matrix_that_picks_a_sure_class_that_is_not_the_label_keeps_the_digits_of_its_loss() {
    // ln(1 + R) with R = e^-20 + e^-21, where ln S - (x - max) has 0, or -2e-8 in single precision.
    let matrix = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    for frame in FRAMES {
        for logits in [[20.0, 0.0, -1.0], [50.0, 30.0, 29.0], [-20.0, -40.0, -41.0]] {
            let case = rows_of(frame, &logits, 1, &matrix);
            for losses in
                [holds::<f32>(&case), holds::<f64>(&case), holds::<f16>(&case), holds::<bf16>(&case)]
            {
                let far = losses.iter().find(|loss| (**loss / 2.819_409_661_255_214e-9 - 1.0).abs() > 2e-7);
                assert_eq!(far, None, "{logits:?}");
            }
        }
    }
}

#[test]
fn no_loss_under_a_matrix_without_negative_numbers_is_negative() {
    let mut rng = Rng::with_seed(12);
    let mut sure = 0;
    for _ in 0..400 {
        let classes = rng.usize(1..12);
        let frame = FRAMES[rng.usize(..FRAMES.len())];
        let mut logits: Vec<f64> = (0..classes).map(|_| 8.0 * rng.f64() - 4.0).collect();
        logits[rng.usize(..classes)] += 40.0 * rng.f64();
        let matrix: Vec<f64> =
            (0..classes * classes).map(|_| f64::from(u8::from(rng.usize(..classes) == 0))).collect();
        let case = rows_of(frame, &logits, i64::try_from(rng.usize(..classes)).expect("a class"), &matrix);
        for losses in [holds::<f32>(&case), holds::<f64>(&case)] {
            assert_eq!(losses.iter().find(|loss| **loss < 0.0), None, "{logits:?} {matrix:?}");
            sure += usize::from(losses[0] > 0.0 && losses[0] < 1e-7);
        }
    }
    assert!(sure > 10, "only {sure} losses are small");
}

#[test]
fn a_large_step_times_a_matrix_is_a_number_where_the_gradient_is() {
    for frame in FRAMES {
        let mut case = rows_of(frame, &[-62.0, -40.0], 0, &[0.0, 1.5, 0.0, 0.0]);
        case.set.upstream = Upstream::One(1e37);
        // 1.5e37 p with p = 1 / (1 + e^22), and the same with the other sign.
        for kernel in kernels() {
            let grad = run::<f32, f32>(&case, How::with(kernel)).expect("a call").grad;
            let [first, second] = [grad[case.place(0, 0)], grad[case.place(0, 1)]].map(f64::from);
            let is_near = |got: f64, want: f64| (got / want - 1.0).abs() < 1e-6;
            assert!(
                is_near(first, 4.184_202_139_6e27) && is_near(second, -4.184_202_139_6e27),
                "{first} {second}"
            );
        }
        holds::<f32>(&case);
    }
}
