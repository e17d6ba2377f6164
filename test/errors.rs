//! Every error that a call can meet, by its variant and message, with nothing written.

use sparse_xent::{CrossEntropy, Denominator, Error, Input, Logits, LogitsMut, Shape, WeightedSigmoid};

fn message(result: Result<impl core::fmt::Debug, Error>) -> String {
    result.expect_err("a call that must be refused").to_string()
}

#[test]
fn shapes_that_do_not_exist() {
    for (dims, axis, want) in [
        (&[][..], 0, "logits rank got 0, expected 1 or more"),
        (&[2, 3], 2, "axis got 2, expected -rank..rank"),
        (&[2, 3], -3, "axis got -3, expected -rank..rank"),
        (&[2, 0], -1, "classes got 0, expected 1 or more"),
        (&[1 << 31, 1], -1, "rows got 2147483648, expected at most 2147483647"),
        (&[1, 1 << 31], -1, "classes got 2147483648, expected at most 2147483647"),
    ] {
        assert_eq!(message(Shape::new(dims, axis)), want, "{dims:?} axis {axis}");
    }
    let large = message(Shape::new(&[1 << 40, 1 << 40, 3], -1));
    assert!(large.starts_with("logits elements got"), "{large}");
}

/// Two rows of three classes; the gradient must stay as it was painted.
fn refused(op: &CrossEntropy<'_>, labels: &[i64]) -> String {
    let shape = Shape::new(&[2, 3], -1).expect("a shape");
    let mut grad = [251.0_f32; 6];
    let logits = [0.5_f32; 6];
    let result = op.forward_backward(&Logits::new(&logits, shape).expect("six"), labels, &mut grad);
    assert_eq!(grad, [251.0; 6], "nothing is written");
    message(result)
}

#[test]
fn calls_that_are_refused_write_nothing() {
    let op = CrossEntropy::new;
    for (op, labels, want) in [
        (
            op(),
            &[0, 3][..],
            "labels[1] got 3, expected 0..2; 1 such labels of 2; set ignore_index: 3 to skip them",
        ),
        (
            op(),
            &[-1, -1],
            "labels[0] got -1, expected 0..2; 2 such labels of 2; set ignore_index: -1 to skip them",
        ),
        (
            op(),
            &[1 << 32, 0],
            "labels[0] got 4294967296, expected 0..2; 1 such labels of 2; set ignore_index: 4294967296 to skip them",
        ),
        (op(), &[0], "labels length got 1, expected 2"),
        (op().class_weight(&[1.0; 2]), &[0, 1], "classWeight length got 2, expected 3"),
        (op().sample_weight(&[1.0; 3]), &[0, 1], "sampleWeight length got 3, expected 2"),
        (op().class_mask(&[1; 2]), &[0, 1], "classMask length got 2, expected 3"),
        (op().class_mask(&[1, 0, 1]), &[0, 1], "labels[1] got 1, expected a class kept by classMask"),
        (
            op().class_weight(&[1.0, f64::NAN, 1.0]),
            &[0, 0],
            "classWeight[1] got NaN, expected a finite number",
        ),
        (
            op().sample_weight(&[1.0, f64::INFINITY]),
            &[0, 0],
            "sampleWeight[1] got inf, expected a finite number",
        ),
        (
            op().z_loss(0.1).input(Input::LogProbs),
            &[0, 0],
            "zLoss got a value, expected none with input logProbs",
        ),
        (
            op().upstream(&[1.0, 1.0]),
            &[0, 0],
            "upstream per row got a value, expected none with a reduction other than none",
        ),
    ] {
        assert_eq!(refused(&op, labels), want);
    }
}

#[test]
fn options_out_of_range() {
    let op = CrossEntropy::new;
    for (op, want) in [
        (op().label_smoothing(1.5), "labelSmoothing got 1.5, expected 0..1"),
        (op().label_smoothing(f64::NAN), "labelSmoothing got NaN, expected 0..1"),
        (op().z_loss(-1.0), "zLoss got -1, expected a finite number of at least 0"),
        (op().focal_gamma(-0.5), "focalGamma got -0.5, expected a finite number of at least 0"),
        (op().poly1_epsilon(f64::INFINITY), "poly1Epsilon got inf, expected a finite number"),
        (op().gce_q(1.5), "gceQ got 1.5, expected 0..1"),
        (op().gce_q(f64::NAN), "gceQ got NaN, expected 0..1"),
        (op().softcap(-1.0), "softcap got -1, expected a finite number of at least 0"),
        (op().logit_scale(0.0), "logitScale got 0, expected a finite number above 0"),
        (op().probs_epsilon(0.5), "probsEpsilon got 0.5, expected a number above 0 and below 0.5"),
        (op().denominator(Denominator::Count(0.0)), "denominator got 0, expected a finite number above 0"),
        (
            (0..20).fold(op(), |op, label| op.ignore_index(label)),
            "ignoreIndex got 20, expected at most 16 labels",
        ),
    ] {
        assert_eq!(refused(&op, &[0, 0]), want);
    }
}

#[test]
fn positive_weights_of_the_sigmoid_below_zero() {
    let shape = Shape::new(&[2, 3], -1).expect("a shape");
    let refused = |op: &WeightedSigmoid<'_>| {
        let mut grad = [251.0_f32; 6];
        let logits = [0.5_f32; 6];
        let logits = Logits::new(&logits, shape).expect("six");
        let result = op.forward_backward(&logits, &[1.0_f32; 6], &mut grad);
        assert_eq!(grad, [251.0; 6], "nothing is written");
        message(result)
    };
    let op = WeightedSigmoid::new;
    let range = "a finite number of at least 0";
    for (weight, got) in [(-0.5, "-0.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let one = format!("posWeight got {got}, expected {range}");
        assert_eq!(refused(&op().pos_weight(weight)), one);
        let each = format!("posWeight[1] got {got}, expected {range}");
        assert_eq!(refused(&op().pos_weights(&[1.0, weight, 1.0])), each);
    }
    let logits = [0.5_f32; 6];
    let logits = Logits::new(&logits, shape).expect("six");
    let zero = op().pos_weights(&[0.0, -0.0, 1.0]).forward(&logits, &[1.0_f32; 6]);
    assert!(zero.is_ok(), "0 of either sign is a weight: {zero:?}");
}

#[test]
fn labels_that_are_no_integers() {
    let shape = Shape::new(&[2, 3], -1).expect("a shape");
    let logits = [0.5_f32; 6];
    let logits = Logits::new(&logits, shape).expect("six");
    let half = message(CrossEntropy::new().forward(&logits, &[0.0_f32, 2.5]));
    assert_eq!(half, "labels[1] got 2.5, expected an integer below 16777216");
    let nan = message(CrossEntropy::new().forward(&logits, &[f64::NAN, 0.0]));
    assert_eq!(nan, "labels[0] got NaN, expected an integer below 9007199254740992");
}

#[test]
fn lengths_and_accumulation() {
    let shape = Shape::new(&[2, 3], -1).expect("a shape");
    let mut logits = [0.5_f32; 6];
    assert_eq!(message(Logits::new(&logits[..5], shape)), "logits length got 5, expected 6");
    let short = CrossEntropy::new().forward_backward(
        &Logits::new(&logits, shape).expect("six"),
        &[0, 0],
        &mut [0.0_f32; 5],
    );
    assert_eq!(message(short), "grad length got 5, expected 6");
    let mut over = LogitsMut::new(&mut logits, shape).expect("six");
    let twice = CrossEntropy::new().accumulate(true).forward_backward_in_place(&mut over, &[0, 0]);
    assert_eq!(message(twice), "accumulate got a value, expected none with a gradient in place");
}
