//! What the weighted sigmoid cross-entropy makes of factors of 0 and of means over nothing is what the softmax cross-entropy makes of them.

use crate::support::bits;
use sparse_xent::{CrossEntropy, EmptyMean, Logits, LogitsMut, Reduction, Shape, WeightedSigmoid};

/// As many logits as elements.
fn logits(x: &[f32]) -> Logits<'_, f32> {
    Logits::new(x, Shape::new(&[x.len()], -1).expect("a shape")).expect("as many as the shape says")
}

#[test]
fn a_factor_of_0_is_no_part_of_the_loss_whatever_the_logit() {
    let x = [f32::NAN, f32::INFINITY, 2.0, f32::NAN];
    let upstream = [0.0, 0.0, 0.0, 1.0];
    let mut grad = [9.0_f32; 4];
    let op = WeightedSigmoid::new().reduction(Reduction::None).upstream(&upstream);
    let out = op.forward_backward(&logits(&x), &[0.0_f32; 4], &mut grad).expect("a call");
    assert!(out.losses[0].is_nan(), "the loss is not multiplied: {:?}", out.losses);
    assert_eq!(bits(&grad[..3]), [0; 3], "{grad:?}");
    assert!(grad[3].is_nan(), "{grad:?}");

    let mut over = x;
    let mut in_place =
        LogitsMut::new(&mut over, Shape::new(&[4], -1).expect("a shape")).expect("four logits");
    op.forward_backward_in_place(&mut in_place, &[0.0_f32; 4]).expect("a call");
    assert_eq!(bits(&over[..3]), [0; 3], "{over:?}");

    // The softmax of rows of two classes, a logit against 0.
    let pairs: Vec<f32> = x.iter().flat_map(|x| [0.0, *x]).collect();
    let rows = Logits::new(&pairs, Shape::new(&[4, 2], -1).expect("a shape")).expect("four rows");
    let mut softmax = [9.0_f32; 8];
    let op = CrossEntropy::new().reduction(Reduction::None).upstream(&upstream);
    op.forward_backward(&rows, &[0_u8; 4], &mut softmax).expect("a call");
    assert_eq!(bits(&softmax[..6]), [0; 6], "{softmax:?}");
    assert!(softmax[7].is_nan(), "{softmax:?}");
}

#[test]
fn a_mean_over_nothing_is_what_empty_mean_says_in_every_element() {
    let weights = [0.0, 0.0];
    for (empty_mean, want) in [(EmptyMean::Zero, 0.0_f32), (EmptyMean::Nan, f32::NAN)] {
        for x in [[1.0_f32, -2.0], [f32::NAN, f32::INFINITY]] {
            let mut grad = [9.0_f32; 2];
            let op = WeightedSigmoid::new().sample_weight(&weights).empty_mean(empty_mean);
            let out = op.forward_backward(&logits(&x), &[1.0_f32, 0.0], &mut grad).expect("a call");
            let is_met =
                |got: f64| got.to_bits() == f64::from(want).to_bits() || (got.is_nan() && want.is_nan());
            assert!(is_met(out.loss), "{empty_mean:?}: {}", out.loss);
            assert!(grad.iter().all(|grad| is_met(f64::from(*grad))), "{empty_mean:?}: {grad:?}");

            let mut softmax = [9.0_f32; 2];
            let row = Logits::new(&x, Shape::new(&[1, 2], -1).expect("a shape")).expect("one row");
            let op = CrossEntropy::new().sample_weight(&weights[..1]).empty_mean(empty_mean);
            let out = op.forward_backward(&row, &[0_u8], &mut softmax).expect("a call");
            assert!(is_met(out.loss), "{empty_mean:?}: {}", out.loss);
            assert!(softmax.iter().all(|grad| is_met(f64::from(*grad))), "{empty_mean:?}: {softmax:?}");
        }
    }
}
