//! Every twin, dtype, layout and option against the definition, within the accuracy bound.
//!
//! Cases are drawn from a generator with a fixed seed: sizes with n-1, n, n+1 at every lane, stream and block edge,
//! magnitudes 1e-3..1e4, and options at random.

mod bound;
mod random;
mod support;

use bound::{Precision, compare};
use random::Draw;
use sparse_xent::{Element, Kernel, Reduction, bf16, f16};
use support::{Case, Got, How, bits, run, run_in_place, run_loss, widened};

const TWINS: [Kernel; 2] = [Kernel::Lanes4, Kernel::Lanes4Fused];

fn sizes() -> impl Iterator<Item = usize> {
    (1..=65).chain([129, 130, 255, 256, 257, 1023, 1024, 1025, 4095, 4096, 4097])
}

fn check<E: Element>(case: &Case, how: How) -> Got<E::PerRow, E> {
    let got = run::<E, E>(case, how).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let verdict = compare(case, &widened(&got.out.losses), &widened(&got.grad), Precision::of::<E, E>());
    if let Err(message) = verdict {
        panic!("{how:?} {} {message}\n{:?}", E::NAME, case.set);
    }
    got
}

fn rows_for(classes: usize, draw: &mut Draw) -> usize {
    if classes > 300 { 2 } else { 1 + draw.below(9) }
}

fn agree<E: Element>(inner: usize, seed: u64) {
    let mut draw = Draw::new(seed);
    for classes in sizes() {
        let shape = if inner == 1 {
            [rows_for(classes, &mut draw), classes, 1]
        } else {
            [if classes > 300 { 1 } else { 2 }, classes, inner]
        };
        if inner > 100 && classes > 300 && classes % 2 == 0 {
            continue;
        }
        for _ in 0..if classes > 300 || inner > 100 { 2 } else { 12 } {
            let case = draw.case(shape).rounded::<E>();
            for kernel in TWINS {
                let how = How::with(kernel);
                let got = check::<E>(&case, how);
                in_place_equals_out_of_place::<E>(&case, how, &got);
                let alone = run_loss::<E>(&case, how).expect(&case.name);
                assert_eq!(bits(&alone.losses), bits(&got.out.losses), "{}: loss only, {how:?}", case.name);
                assert_eq!(alone.loss.to_bits(), got.out.loss.to_bits(), "{}: loss only, {how:?}", case.name);
            }
        }
    }
}

fn in_place_equals_out_of_place<E: Element>(case: &Case, how: How, got: &Got<E::PerRow, E>) {
    let over = run_in_place::<E>(case, how).expect(&case.name);
    assert_eq!(bits(&over.grad), bits(&got.grad), "{}: grad in place, {how:?}", case.name);
    assert_eq!(bits(&over.out.losses), bits(&got.out.losses), "{}: losses in place, {how:?}", case.name);
}

macro_rules! agreements {
    ($($name:ident: $type:ty, $inner:literal, $seed:literal;)*) => {$(
        #[test]
        fn $name() {
            agree::<$type>($inner, $seed);
        }
    )*};
}
agreements! {
    f32_rows_agree: f32, 1, 1;
    f32_three_columns_agree: f32, 3, 2;
    f32_130_columns_agree: f32, 130, 3;
    f16_rows_agree: f16, 1, 4;
    f16_three_columns_agree: f16, 3, 5;
    f16_130_columns_agree: f16, 130, 6;
    bf16_rows_agree: bf16, 1, 7;
    bf16_three_columns_agree: bf16, 3, 8;
    bf16_130_columns_agree: bf16, 130, 9;
    f64_rows_agree: f64, 1, 10;
    f64_three_columns_agree: f64, 3, 11;
    f64_130_columns_agree: f64, 130, 12;
}

#[test]
fn reductions_are_the_sums_of_the_rows() {
    let mut draw = Draw::new(13);
    for round in 0..200 {
        let rows = 1 + draw.below(700);
        let mut case = draw.case([rows, 5, 1]).rounded::<f32>();
        draw.reduce(&mut case);
        for kernel in TWINS {
            let got = run::<f32, f32>(&case, How::with(kernel)).expect(&case.name);
            let want = case.reference().expect("valid labels");
            let by_row = Case {
                set: support::Settings { reduction: Reduction::None, ..case.set.clone() },
                ..case.clone()
            };
            let by_row = Case {
                set: support::Settings { upstream: support::Upstream::One(1.0), ..by_row.set },
                ..by_row
            };
            let rows = run_loss::<f32>(&by_row, How::with(kernel)).expect(&case.name);
            let sum: f64 = widened(&rows.losses).iter().sum();
            let magnitude: f64 = widened(&rows.losses).iter().map(|loss| loss.abs()).sum();
            let name = format!("round {round} {}", case.name);
            if sum.is_finite() {
                assert!(
                    (got.out.loss_sum - sum).abs() <= 1e-13 * magnitude,
                    "{name}: sum {} {sum}",
                    got.out.loss_sum
                );
            }
            let weights: f64 = 1e-12 * case.rows() as f64 * 4.0;
            assert!((got.out.weight_sum - want.weight_sum).abs() <= weights, "{name}: weight sum");
            assert!((got.out.denominator - want.denominator).abs() <= weights, "{name}: denominator");
            assert_eq!(got.out.valid_count, want.valid_count, "{name}: valid rows");
            assert_eq!(got.out.invalid_count, want.invalid_count, "{name}: invalid rows");
            compare(&case, &[], &widened(&got.grad), Precision::of::<f32, f32>()).expect(&name);
        }
    }
}

#[test]
fn rows_are_independent() {
    let mut draw = Draw::new(14);
    for classes in [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 64, 65, 130, 257] {
        for rows in [2, 5, 9, 20] {
            let case = draw.case([rows, classes, 1]).rounded::<f32>();
            let single = |row: usize| {
                let mut one = case.clone();
                one.shape = [1, classes, 1];
                one.logits = case.logits[row * classes..][..classes].to_vec();
                one.labels = vec![case.labels[row]];
                one.set.sample_weight = case.set.sample_weight.as_ref().map(|weights| vec![weights[row]]);
                if let support::Upstream::Each(upstream) = &case.set.upstream {
                    one.set.upstream = support::Upstream::Each(vec![upstream[row]]);
                }
                one
            };
            for kernel in TWINS {
                let how = How::with(kernel);
                let all = run::<f32, f32>(&case, how).expect(&case.name);
                for row in 0..rows {
                    let one = run::<f32, f32>(&single(row), how).expect(&case.name);
                    let name = format!("row {row} of {rows}, {classes} classes, {how:?}, {:?}", case.set);
                    assert_eq!(bits(&one.grad), bits(&all.grad[row * classes..][..classes]), "grad {name}");
                    assert_eq!(bits(&one.out.losses), bits(&all.out.losses[row..=row]), "loss {name}");
                }
            }
        }
    }
}

#[test]
fn accumulating_adds_the_gradient_with_one_rounding() {
    use sparse_xent::Logits;
    let mut draw = Draw::new(15);
    for shape in [[5, 3, 1], [5, 33, 1], [2, 257, 1], [2, 7, 3], [1, 5, 130]] {
        let case = draw.case(shape).rounded::<f32>();
        for kernel in TWINS {
            let fresh = run::<f32, f32>(&case, How::with(kernel)).expect(&case.name);
            let mut grad = vec![0.75_f32; case.logits.len()];
            let logits = case.logits_as::<f32>();
            let logits = Logits::new(&logits, case.crate_shape()).expect("a shape of a test");
            let op = case.set.operation(kernel).accumulate(true);
            op.forward_backward(&logits, &case.labels, &mut grad).expect(&case.name);
            let want: Vec<f32> = fresh.grad.iter().map(|grad| 0.75 + grad).collect();
            assert_eq!(bits(&grad), bits(&want), "{shape:?} {kernel:?}");
        }
    }
}
