//! The outputs about a row's distribution: the largest classes, the label's rank, the entropy and the log-probabilities. That they agree
//! with the definition in every way to make a call is the fuzzer's; here are single facts, with numbers of PyTorch where it has them.

use crate::bound::{Precision, compare_outputs};
use crate::draw::planes;
use crate::support::{Case, How, PAINT, Settings, kernels, raw};
use sparse_xent::{
    CrossEntropy, Element, Error, Executor, Input, InvalidLabel, Kernel, Logits, LogitsMut, Output, Shape,
    bf16, f16,
};

fn asking(op: CrossEntropy<'_>, k: usize) -> CrossEntropy<'_> {
    op.with_top_k(k).with_target_rank().with_entropy().with_log_probs()
}

/// One row, all outputs, `k` of its largest.
fn row(x: &[f64], label: usize, k: usize) -> Output<f64> {
    let logits = Logits::new(x, Shape::new(&[x.len()], -1).expect("a shape")).expect("as many");
    asking(CrossEntropy::new(), k)
        .forward(&logits, &[u32::try_from(label).expect("small")])
        .expect("an answer")
}

fn near(got: &[f64], want: &[f64], relative: f64) {
    assert_eq!(got.len(), want.len(), "as many: {got:?}, {want:?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got == want || (got - want).abs() <= relative * want.abs(), "got {got:e}, expected {want:e}");
    }
}

#[test]
fn equals_come_in_the_order_of_their_classes() {
    let out = row(&[1.0, 3.0, -0.0, 3.0, 0.0, 3.0], 3, 6);
    let top = out.top_k.expect("asked for");
    assert_eq!((top.k, &top.classes[..]), (6, &[1, 3, 5, 0, 2, 4][..]));
    assert_eq!(out.target_rank, [1], "behind class 1, before class 5");
    let ranks =
        [0, 1, 2, 3, 4, 5].map(|label| row(&[1.0, 3.0, -0.0, 3.0, 0.0, 3.0], label, 1).target_rank[0]);
    assert_eq!(ranks, [3, 0, 4, 1, 5, 2]);
}

#[test]
fn a_rank_of_0_is_a_prediction_that_is_right() {
    for case in [planes(3, 5, 1, 1.0, 1), planes(2, 33, 7, 4.0, 2), planes(9, 4100, 1, 2.0, 3)] {
        let op = case.set.operation(Kernel::Best).with_predictions().with_target_rank();
        let x = case.logits_as::<f32>();
        let out = op
            .forward(&Logits::new(&x, case.crate_shape()).expect("as many"), &case.labels)
            .expect("an answer");
        let right = out.target_rank.iter().filter(|rank| **rank == 0).count();
        assert_eq!(Some(right), out.correct_count, "{}", case.name);
    }
}

#[test]
fn a_sure_row_keeps_its_digits() {
    // mpmath, 60 digits: [t, 0, 0, -1].
    for (t, entropy, log_prob) in [
        (20.0, 1.032_500_845_918_17e-7, -4.880_563_275_758_36e-9),
        (50.0, 2.336_289_501_362e-20, -4.567_047_112_156_31e-22),
    ] {
        let out = row(&[t, 0.0, 0.0, -1.0], 0, 1);
        near(&out.entropy, &[entropy], 1e-13);
        near(&out.top_k.expect("asked for").values, &[log_prob], 1e-13);
        near(&out.log_probs[..1], &[log_prob], 1e-13);
        // An offset changes nothing.
        let far = row(&[t + 1e6, 1e6, 1e6, 1e6 - 1.0], 0, 1);
        assert_eq!(far.entropy, out.entropy);
        assert_eq!(far.log_probs, out.log_probs);
    }
}

#[test]
fn equal_logits_have_the_logarithm_of_their_number() {
    for classes in [1, 2, 3, 33, 1000, 5000] {
        let out = row(&vec![7.25; classes], classes - 1, 1);
        let ln = libm::log(classes as f64);
        near(&out.entropy, &[ln], 1e-14);
        near(&out.log_probs, &vec![-ln; classes], 1e-14);
        assert_eq!(out.target_rank[0], i32::try_from(classes).expect("small") - 1);
    }
}

#[test]
fn rows_that_are_nan_or_not_read_say_so() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    #[rustfmt::skip]
    let x = [1.0, nan, 0.0,   inf, 0.0, 1.0,   -inf, -inf, -inf,   -inf, 2.0, 2.0,   1.0, 2.0, 3.0,   1.0, 2.0, 3.0];
    let logits = Logits::new(&x, Shape::new(&[6, 3], -1).expect("a shape")).expect("as many");
    let op = CrossEntropy::new().ignore_index(-1).invalid_label(InvalidLabel::Nan);
    let out = asking(op, 2).forward(&logits, &[0, 2, 1, 1, -1, 9]).expect("an answer");
    let top = out.top_k.expect("asked for");
    assert_eq!(top.classes, [-1, -1, 0, 2, 0, 1, 1, 2, -1, -1, -1, -1], "an order needs no probability");
    assert_eq!(out.target_rank, [-1, 1, 1, 0, -1, -1]);
    let known = |values: &[f64]| values.iter().map(|x| !x.is_nan()).collect::<Vec<_>>();
    assert_eq!(known(&out.entropy), [false, false, false, true, false, false]);
    let ln2 = core::f64::consts::LN_2;
    near(&out.entropy[3..4], &[ln2], 1e-15);
    near(&top.values[6..8], &[-ln2, -ln2], 1e-15);
    near(&out.log_probs[9..12], &[-inf, -ln2, -ln2], 1e-15);
    let rest = [&out.log_probs[..9], &out.log_probs[12..], &top.values[..6], &top.values[8..]].concat();
    assert!(rest.iter().all(|x| x.is_nan()), "{rest:?}");
}

#[test]
fn rows_of_weight_0_are_looked_at() {
    let x = [1.0, 2.0, 0.5_f64];
    let logits = Logits::new(&x, Shape::new(&[1, 3], -1).expect("a shape")).expect("as many");
    let op = asking(CrossEntropy::new(), 1);
    let (plain, out) = (op.forward(&logits, &[0]), op.sample_weight(&[0.0_f64]).forward(&logits, &[0]));
    let (plain, out) = (plain.expect("an answer"), out.expect("an answer"));
    assert_eq!((out.loss, out.top_k, out.entropy), (0.0, plain.top_k, plain.entropy));
    assert_eq!((out.target_rank, out.log_probs), (plain.target_rank, plain.log_probs));
}

#[test]
fn masked_classes_have_no_rank_and_no_probability() {
    let x = [9.0, 1.0, 2.0, 3.0, f64::NAN];
    let mask = [0, 1, 1, 1, 0];
    let logits = Logits::new(&x, Shape::new(&[1, 5], -1).expect("a shape")).expect("as many");
    let out = asking(CrossEntropy::new().class_mask(&mask), 5).forward(&logits, &[2]).expect("an answer");
    let alone = row(&x[1..4], 1, 3);
    let (top, of_alone) = (out.top_k.expect("asked for"), alone.top_k.expect("asked for"));
    assert_eq!(top.classes, [3, 2, 1, -1, -1]);
    assert_eq!(top.values[..3], of_alone.values);
    assert_eq!(top.values[3..], [f64::NEG_INFINITY; 2]);
    assert_eq!((out.target_rank, out.entropy), (vec![1], alone.entropy));
    assert_eq!(out.log_probs[1..4], alone.log_probs);
    assert_eq!([out.log_probs[0], out.log_probs[4]], [f64::NEG_INFINITY; 2]);
}

#[test]
fn a_softcap_ties_values_and_not_the_order() {
    let x = [100.0_f32, 300.0, 200.0];
    let logits = Logits::new(&x, Shape::new(&[1, 3], -1).expect("a shape")).expect("as many");
    let out = asking(CrossEntropy::new().softcap(2.0), 3).forward(&logits, &[2]).expect("an answer");
    let top = out.top_k.expect("asked for");
    assert_eq!((&top.classes[..], &out.target_rank[..]), (&[1, 2, 0][..], &[1][..]));
    assert_eq!(top.values, [-libm::logf(3.0); 3]);
}

/// Every way that a row can take, each beside the definition, and in place the same bits.
#[test]
fn every_route_and_dtype_agrees_with_the_definition() {
    fn check<E: Element>(case: &Case, kernel: Kernel) {
        let case = case.clone().rounded::<E>();
        let k = case.shape[1].min(5);
        let how = How::with(kernel).with_outputs();
        let x = case.logits_as::<E>();
        let view = Logits::new(&x, case.crate_shape()).expect("as many");
        let ask = |how: How| asking(how.operation(&case.set), k);
        let out = ask(how).forward(&view, &case.labels).expect(&case.name);
        compare_outputs(&case, &out, Precision::of::<E, E>())
            .unwrap_or_else(|what| panic!("{kernel:?}: {what}"));
        let mut over = x.clone();
        let mut over_view = LogitsMut::new(&mut over, case.crate_shape()).expect("as many");
        let in_place =
            ask(how.on(3)).forward_backward_in_place(&mut over_view, &case.labels).expect(&case.name);
        let mut grad = vec![E::from_f64(PAINT); x.len()];
        let plain =
            how.operation(&case.set).forward_backward(&view, &case.labels, &mut grad).expect(&case.name);
        let bits = |values: &[E]| values.iter().map(|x| raw(*x)).collect::<Vec<_>>();
        assert_eq!(
            bits(&over),
            bits(&grad),
            "{}: a gradient does not depend on what else is told",
            case.name
        );
        let words = |out: &Output<E::PerRow>| {
            let numbers = [&out.entropy, &out.log_probs, &out.top_k.as_ref().expect("asked for").values]
                .map(|x| x.iter().map(|x| raw(*x)).collect::<Vec<_>>());
            (numbers, out.target_rank.clone(), out.top_k.as_ref().expect("asked for").classes.clone())
        };
        assert_eq!(words(&in_place), words(&out), "{}: in place, on three threads", case.name);
        assert_eq!(in_place.loss.to_bits(), plain.loss.to_bits(), "{}: loss", case.name);
    }
    let shapes =
        [[3, 2, 1], [5, 7, 1], [3, 33, 1], [2, 1000, 1], [2, 5000, 1], [2, 3, 5], [2, 33, 40], [1, 300, 19]];
    for (index, shape) in shapes.into_iter().enumerate() {
        let rows = shape[0] * shape[2];
        let mut draw = crate::draw::Draw(u32::try_from(index).expect("small") + 1);
        let logits: Vec<f64> = (0..rows * shape[1]).map(|_| 12.0 * draw.unit() - 6.0).collect();
        let labels: Vec<i64> = (0..rows)
            .map(|row| if row % 5 == 4 { -1 } else { i64::try_from(draw.below(shape[1])).expect("small") })
            .collect();
        let mask: Vec<u8> = (0..shape[1])
            .map(|class| u8::from(class % 3 != 1 || labels.contains(&i64::try_from(class).expect("small"))))
            .collect();
        let ignoring = Settings { ignore: vec![-1], ..Settings::none() };
        let sets = [
            ignoring.clone(),
            Settings { logit_scale: 0.7, class_mask: Some(mask), ..ignoring.clone() },
            Settings { softcap: 3.0, ..ignoring.clone() },
        ];
        for set in sets {
            let case = Case::new(&format!("{shape:?}"), shape, &logits, &labels, set);
            for kernel in kernels() {
                check::<f32>(&case, kernel);
            }
            check::<f64>(&case, Kernel::Best);
            check::<f16>(&case, Kernel::Best);
            check::<bf16>(&case, Kernel::Best);
        }
    }
}

#[test]
fn all_of_many_classes_are_sorted() {
    let classes = 70_001;
    // Rising, falling and mixed: every logit, or none, takes the place of the least.
    for step in [1, classes - 1, 7919] {
        let x: Vec<f32> = (0..classes).map(|class| (class * step % classes / 3) as f32).collect();
        let logits = Logits::new(&x, Shape::new(&[1, classes], -1).expect("a shape")).expect("as many");
        let mut want: Vec<usize> = (0..classes).collect();
        want.sort_by(|one, other| x[*other].total_cmp(&x[*one]).then(one.cmp(other)));
        for k in [1, 10, classes] {
            let out = CrossEntropy::new().with_top_k(k).forward(&logits, &[5]).expect("an answer");
            let got = out.top_k.expect("asked for").classes;
            assert!(
                got.iter().zip(&want).all(|(got, want)| usize::try_from(*got) == Ok(*want)),
                "step {step}, k {k}"
            );
        }
    }
}

#[test]
fn what_is_refused() {
    let x = [1.0, 2.0, 0.5_f64];
    let logits = Logits::new(&x, Shape::new(&[1, 3], -1).expect("a shape")).expect("as many");
    let refused = CrossEntropy::new().with_top_k(4).forward(&logits, &[0]).unwrap_err();
    assert!(matches!(refused, Error::OptionRange { option: "k", got: 4.0, .. }), "{refused}");
    for input in [Input::LogProbs, Input::Probs] {
        let op = CrossEntropy::new().input(input);
        for op in [op.clone().with_top_k(1), op.clone().with_entropy(), op.clone().with_log_probs()] {
            let refused = op.forward(&logits, &[0]).unwrap_err();
            assert!(matches!(refused, Error::OptionConflict { .. }), "{refused}");
        }
        // An order is one of any numbers.
        assert_eq!(op.with_target_rank().forward(&logits, &[0]).expect("an answer").target_rank, [1]);
    }
}

#[test]
fn threads_share_them() {
    let (rows, classes) = (4000, 100);
    let x: Vec<f32> = (0..rows * classes).map(|at| (at * 7919 % 1009) as f32 / 64.0).collect();
    let labels: Vec<u32> = (0..rows).map(|row| u32::try_from(row % classes).expect("small")).collect();
    for dims in [[rows, classes, 1], [4, classes, rows / 4]] {
        let logits = Logits::new(&x, Shape::new(&dims, 1).expect("a shape")).expect("as many");
        let run = |executor| {
            let op = asking(CrossEntropy::new().executor(executor), 3);
            op.forward(&logits, &labels).expect("an answer")
        };
        assert!(run(Executor::Rayon { threads: 4 }) == run(Executor::Serial), "{dims:?}");
    }
}
