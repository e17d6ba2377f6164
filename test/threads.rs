//! `same_bits_any_threads`: threads change the time and no bit.

use crate::draw::{Cases, planes};
use crate::support::{Case, How, Settings, bits, kernels, run, run_in_place};
use sparse_xent::{Element, Kernel, Reduction, bf16};

/// Large enough for eight threads: each needs 100 µs of work, by the estimate of `Plan::work`.
const SHAPES: [[usize; 3]; 4] = [[33_000, 33, 1], [1900, 1000, 1], [2, 33, 16_641], [350_001, 3, 1]];

fn same_bits<E: Element>(case: &Case) {
    for kernel in kernels() {
        let how = How::with(kernel).with_outputs();
        let want = run::<E, E>(case, how).expect(&case.name);
        for threads in 1..=8 {
            let name = format!("{} {} {kernel:?} {threads} threads", case.name, E::NAME);
            let got = run::<E, E>(case, how.on(threads)).expect(&name);
            assert_eq!(bits(&got.grad), bits(&want.grad), "{name}: grad");
            assert_eq!(bits(&got.out.losses), bits(&want.out.losses), "{name}: losses");
            assert_eq!(bits(&[got.out.loss]), bits(&[want.out.loss]), "{name}: loss");
            assert_eq!(got.out.weight_sum.to_bits(), want.out.weight_sum.to_bits(), "{name}: weight sum");
            assert_eq!(got.out.predictions, want.out.predictions, "{name}: predictions");
            assert_eq!(bits(&got.out.log_sum_exp), bits(&want.out.log_sum_exp), "{name}: log-sum-exp");
            assert_eq!(
                format!("{:?}", got.out.per_class),
                format!("{:?}", want.out.per_class),
                "{name}: per class"
            );
        }
        let over = run_in_place::<E>(case, how.on(5)).expect(&case.name);
        assert_eq!(bits(&over.grad), bits(&want.grad), "{} {kernel:?}: grad in place", case.name);
    }
}

#[test]
fn same_bits_any_threads() {
    let mut cases = Cases::new(61);
    for shape in SHAPES {
        same_bits::<f32>(&cases.reduced(shape).rounded::<f32>());
    }
}

#[test]
fn same_bits_any_threads_for_other_dtypes() {
    let mut cases = Cases::new(62);
    same_bits::<f64>(&cases.case([20_000, 33, 1]));
    same_bits::<bf16>(&cases.case([33_000, 33, 1]).rounded::<bf16>());
}

/// Without further results, two classes have a way of their own. So many rows that threads share the sums over them too.
#[test]
fn same_bits_any_threads_for_two_classes() {
    let mut case = planes(1_100_001, 2, 1, 8.0, 63).rounded::<f32>();
    case.set.reduction = Reduction::Mean;
    let how = How::with(Kernel::Best);
    let want = run::<f32, f32>(&case, how).expect(&case.name);
    for threads in 2..=5 {
        let got = run::<f32, f32>(&case, how.on(threads)).expect(&case.name);
        assert_eq!(bits(&got.grad), bits(&want.grad), "{threads} threads: grad");
        assert_eq!(bits(&[got.out.loss]), bits(&[want.out.loss]), "{threads} threads: loss");
        let over = run_in_place::<f32>(&case, how.on(threads)).expect(&case.name);
        assert_eq!(bits(&over.grad), bits(&want.grad), "{threads} threads: grad in place");
    }
}

#[test]
fn same_bits_where_threads_share_a_row() {
    let mut cases = Cases::new(63);
    for shape in [[1, 1_300_001, 1], [3, 220_003, 1]] {
        same_bits::<f32>(&cases.reduced(shape).rounded::<f32>());
    }
}

/// What only one block of a shared row has: its label, a logit that is no number, large ones, none above -inf.
#[test]
fn same_bits_where_one_block_differs() {
    const CLASSES: usize = 620_001;
    let mut cases = Cases::new(64);
    for label in [16_384, CLASSES - 1] {
        let plain = cases.case([1, CLASSES, 1]).rounded::<f32>();
        for (what, from, count, value) in [
            ("nothing", 0, 0, 0.0),
            ("NaN", 70_000, 1, f64::NAN),
            ("inf", CLASSES - 1, 1, f64::INFINITY),
            ("-inf", 20_000, 10_000, f64::NEG_INFINITY),
            ("-inf first", 0, 2048, f64::NEG_INFINITY),
            ("one 500 above", 16_384, 1, 500.0),
            ("one 500 below", 16_385, 1, -500.0),
            ("all 30 below", 0, CLASSES, -30.0),
        ] {
            let mut logits = plain.logits.clone();
            logits[from..from + count].fill(value);
            let name = format!("{what}, label {label}");
            let labels = [i64::try_from(label).expect("a class")];
            same_bits::<f32>(&Case::new(&name, [1, CLASSES, 1], &logits, &labels, Settings::none()));
        }
    }
}
