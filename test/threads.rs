//! `same_bits_any_threads`: threads change the time and no bit.

mod random;
mod support;

use random::Draw;
use sparse_xent::{Element, Kernel, bf16};
use support::{Case, How, bits, run, run_in_place};

/// Large enough for eight threads: each needs 131,072 logits.
const SHAPES: [[usize; 3]; 4] = [[33_000, 33, 1], [1100, 1000, 1], [2, 33, 16_641], [350_001, 3, 1]];

fn same_bits<E: Element>(case: &Case) {
    for kernel in [Kernel::Lanes4, Kernel::Lanes4Fused] {
        let how = How::with(kernel).with_outputs();
        let want = run::<E, E>(case, how).expect(&case.name);
        for threads in 1..=8 {
            let name = format!("{} {} {kernel:?} {threads} threads", case.name, E::NAME);
            let got = run::<E, E>(case, how.on(threads)).expect(&name);
            assert_eq!(bits(&got.grad), bits(&want.grad), "{name}: grad");
            assert_eq!(bits(&got.out.losses), bits(&want.out.losses), "{name}: losses");
            assert_eq!(got.out.loss.to_bits(), want.out.loss.to_bits(), "{name}: loss");
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
    let mut draw = Draw::new(21);
    for shape in SHAPES {
        let mut case = draw.case(shape).rounded::<f32>();
        draw.reduce(&mut case);
        same_bits::<f32>(&case);
    }
}

#[test]
fn same_bits_any_threads_for_other_dtypes() {
    let mut draw = Draw::new(22);
    same_bits::<f64>(&draw.case([20_000, 33, 1]));
    same_bits::<bf16>(&draw.case([20_000, 33, 1]).rounded::<bf16>());
}
