//! What a call does on its way that its results do not show.

use super::Logits;
use crate::options::{CrossEntropy, Input};
use crate::parallel::STEP;
use crate::parallel::tests::PROGRESS;
use crate::{Element, GradElement, Shape, bf16, f16};

/// Signs of life that a call of one row of these options gives, for each [`STEP`] of its classes.
fn signs<E: Element, G: GradElement<E>>(op: &CrossEntropy<'_>, inner: usize, steps: usize) -> f64 {
    let classes = steps * STEP + 3;
    let logits: Vec<E> = (0..classes * inner).map(|at| E::from_f64((at % 251) as f64 / 16.0)).collect();
    let mut grad = vec![G::from_f64(0.0); classes * inner];
    let shape = Shape::new(&[1, classes, inner], 1).expect("a shape");
    let logits = Logits::new(&logits, shape).expect("as many");
    let before = PROGRESS.get();
    op.forward_backward(&logits, &vec![7_u32; inner], &mut grad).expect("a loss");
    (PROGRESS.get() - before) as f64 / steps as f64
}

#[test]
fn a_long_row_gives_signs_of_life_whatever_computes_it() {
    let steps = if cfg!(miri) { 1 } else { 4 };
    let mut mask = vec![1; steps * STEP + 3];
    mask[0] = 0;
    let plain = CrossEntropy::new();
    let options = [
        ("plain", plain.clone()),
        ("accumulated", plain.clone().accumulate(true)),
        ("masked", plain.clone().class_mask(&mask)),
        ("smoothed, with predictions", plain.clone().label_smoothing(0.1).with_predictions()),
        ("log-probabilities", plain.clone().input(Input::LogProbs).label_smoothing(0.1)),
        ("probabilities", plain.clone().input(Input::Probs)),
    ];
    for (name, op) in &options {
        let found = [
            ("f32", signs::<f32, f32>(op, 1, steps)),
            ("f64", signs::<f64, f64>(op, 1, steps)),
            ("f16", signs::<f16, f32>(op, 1, steps)),
            ("bf16", signs::<bf16, bf16>(op, 1, steps)),
            ("f32, strided", signs::<f32, f32>(op, 3, steps)),
            ("f64, strided", signs::<f64, f64>(op, 3, steps)),
        ];
        for (dtype, signs) in found {
            // The sweep over the logits and the one that writes the gradient.
            assert!(signs >= 1.5, "{name}, {dtype}: {signs} for each {STEP} classes");
        }
    }
}
