//! `same_bits_any_threads`: threads change the time and no bit.

mod draw;
mod support;

use draw::{Cases, planes};
use sparse_xent::{Element, Kernel, Reduction, bf16};
use support::{Case, How, bits, kernels, run, run_in_place};

/// Large enough for eight threads: each needs 131,072 logits.
const SHAPES: [[usize; 3]; 4] = [[33_000, 33, 1], [1100, 1000, 1], [2, 33, 16_641], [350_001, 3, 1]];

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
    same_bits::<bf16>(&cases.case([20_000, 33, 1]).rounded::<bf16>());
}

/// Without further results, two classes have a way of their own.
#[test]
fn same_bits_any_threads_for_two_classes() {
    let mut case = planes(350_001, 2, 1, 8.0, 63).rounded::<f32>();
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
