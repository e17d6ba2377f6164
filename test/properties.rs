//! What holds for every input, tried on inputs that proptest draws and, where one fails, makes smaller.

use crate::bound::{Precision, compare};
use crate::draw::{Choices, Draw, choices};
use crate::support::{Case, How, Settings, Upstream, bits, kernels, run, run_in_place, widened};
use proptest::prelude::*;
use sparse_xent::{Element, Input, InvalidLabel, Kernel, bf16, f16};

/// Classes on both sides of every change of kernel, rows side by side or in planes.
fn shapes() -> impl Strategy<Value = [usize; 3]> {
    let classes = prop_oneof![1..12_usize, 30..36_usize, 60..70_usize, 94..100_usize, 120..135_usize];
    (1..4_usize, classes, prop_oneof![Just(1_usize), 2..6_usize, 126..131_usize])
        .prop_map(|(outer, classes, inner)| [outer, classes, inner])
}

fn kernel() -> impl Strategy<Value = Kernel> {
    prop::sample::select(kernels().collect::<Vec<_>>())
}

/// A case whose logits are small enough for differences, and whose rows all have a loss that is a number.
fn smooth(shape: [usize; 3], options: &Choices, seed: u32) -> Case {
    let mut draw = Draw(seed);
    let mut case = options.case(shape);
    case.logits.iter_mut().for_each(|x| *x = 3.0 * draw.unit());
    case.set.upstream = Upstream::One(1.0);
    case.set.input = Input::Logits;
    if case.set.invalid_label == InvalidLabel::Nan {
        case.set.invalid_label = InvalidLabel::Ignore;
    }
    case
}

fn loss_sum(case: &Case, kernel: Kernel) -> f64 {
    run::<f64, f64>(case, How::with(kernel)).expect("a sound case").out.losses.iter().sum()
}

fn agrees<E: Element>(case: Case, kernel: Kernel) -> Result<(), TestCaseError> {
    let (case, how) = (case.rounded::<E>(), How::with(kernel));
    let got = run::<E, E>(&case, how).map_err(|error| TestCaseError::fail(error.to_string()))?;
    compare(&case, &widened(&got.out.losses), &widened(&got.grad), Precision::of::<E, E>())
        .map_err(TestCaseError::fail)?;
    let over = run_in_place::<E>(&case, how).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(bits(&over.grad), bits(&got.grad), "in place");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_options_shape_and_dtype_agree_with_the_definition(
        shape in shapes(), options in choices(), kernel in kernel(), dtype in 0..4_usize,
    ) {
        let case = options.case(shape);
        match dtype {
            0 => agrees::<f32>(case, kernel)?,
            1 => agrees::<f64>(case, kernel)?,
            2 => agrees::<f16>(case, kernel)?,
            _ => agrees::<bf16>(case, kernel)?,
        }
    }

    /// Logits in 64ths, so that the sums are exact in f32 and nothing but the offset differs. Small logits are not shifted, and the
    /// last digits of sums in single precision may tell.
    #[test]
    fn an_offset_changes_nothing_but_rounding(
        shape in shapes(), seed in any::<u32>(), kernel in kernel(), offset in -100_000..100_000_i32,
    ) {
        let mut draw = Draw(seed);
        let [outer, classes, inner] = shape;
        let logits: Vec<f64> = (0..outer * classes * inner).map(|_| draw.below(1024) as f64 / 64.0 - 8.0).collect();
        let labels: Vec<i64> = (0..outer * inner).map(|_| i64::try_from(draw.below(classes)).expect("small")).collect();
        let moved: Vec<f64> = logits.iter().map(|x| x + f64::from(offset)).collect();
        let at = Case::new("as drawn", shape, &logits, &labels, Settings::none());
        let away = Case::new("moved", shape, &moved, &labels, Settings::none());
        let (a, b) = (run::<f32, f32>(&at, How::with(kernel)), run::<f32, f32>(&away, How::with(kernel)));
        let (a, b) = (a.expect("a sound case"), b.expect("a sound case"));
        for (a, b) in a.out.losses.iter().chain(&a.grad).zip(b.out.losses.iter().chain(&b.grad)) {
            prop_assert!((a - b).abs() <= 4e-6 * b.abs(), "{a:e} and {b:e}");
        }
    }

    /// `2 upstream scale z_loss w lse`, which is 0 without z-loss. So it is of logits that are not capped.
    #[test]
    fn the_gradient_of_a_row_adds_up_to_that_of_its_z_loss(
        shape in shapes(), options in choices(), seed in any::<u32>(), kernel in kernel(), z_loss in prop_oneof![Just(0.0), Just(0.01)],
    ) {
        let mut case = smooth(shape, &options, seed);
        case.set.label_matrix = None;
        (case.set.z_loss, case.set.softcap) = (z_loss, 0.0);
        let got = run::<f64, f64>(&case, How::with(kernel).with_outputs()).expect("a sound case");
        for row in 0..case.rows() {
            let elements: Vec<f64> = (0..shape[1]).map(|class| got.grad[case.place(row, class)]).collect();
            let weight = usize::try_from(case.labels[row]).ok().and_then(|label| {
                let class = case.set.class_weight.as_ref().map_or(Some(1.0), |weights| weights.get(label).copied());
                let sample = case.set.sample_weight.as_ref().map_or(1.0, |weights| weights[row]);
                class.map(|class| class * sample)
            });
            let lse = got.out.log_sum_exp[row];
            let pull = if lse.is_nan() { 0.0 } else { 2.0 * case.set.logit_scale * z_loss * weight.unwrap_or(0.0) * lse };
            let sum: f64 = elements.iter().sum();
            let size: f64 = elements.iter().map(|x| x.abs()).sum::<f64>() + pull.abs() + 1.0;
            prop_assert!((sum - pull).abs() <= 1e-12 * size, "row {}: {} is not {}", row, sum, pull);
        }
    }

    #[test]
    fn exchanging_classes_exchanges_the_gradient(shape in shapes(), seed in any::<u32>(), kernel in kernel()) {
        let [outer, classes, inner] = shape;
        let mut draw = Draw(seed);
        let logits: Vec<f64> = (0..outer * classes * inner).map(|_| 6.0 * draw.unit()).collect();
        let labels: Vec<i64> = (0..outer * inner).map(|_| i64::try_from(draw.below(classes)).expect("small")).collect();
        let mut to: Vec<usize> = (0..classes).collect();
        (1..classes).rev().for_each(|last| to.swap(last, draw.below(last + 1)));
        let case = Case::new("as drawn", shape, &logits, &labels, Settings::none());
        let mut exchanged = logits.clone();
        for row in 0..outer * inner {
            for (class, to) in to.iter().enumerate() {
                exchanged[case.place(row, *to)] = logits[case.place(row, class)];
            }
        }
        let new = |label: &i64| i64::try_from(to[usize::try_from(*label).expect("a class")]).expect("small");
        let labels: Vec<i64> = labels.iter().map(new).collect();
        let other = Case::new("exchanged", shape, &exchanged, &labels, Settings::none());
        let a = run::<f64, f64>(&case, How::with(kernel)).expect("a sound case");
        let b = run::<f64, f64>(&other, How::with(kernel)).expect("a sound case");
        for row in 0..outer * inner {
            prop_assert!((a.out.losses[row] - b.out.losses[row]).abs() <= 1e-13 * (1.0 + a.out.losses[row].abs()));
            for (class, to) in to.iter().enumerate() {
                let (before, after) = (a.grad[case.place(row, class)], b.grad[case.place(row, *to)]);
                prop_assert!((before - after).abs() <= 1e-13, "row {} class {}: {} {}", row, class, before, after);
            }
        }
    }

    /// Central differences of the loss, in f64, at one element of each case.
    #[test]
    fn the_gradient_is_the_slope_of_the_loss(
        shape in shapes(), options in choices(), seed in any::<u32>(), kernel in kernel(), element in any::<prop::sample::Index>(),
    ) {
        let case = smooth(shape, &options, seed);
        let got = run::<f64, f64>(&case, How::with(kernel)).expect("a sound case");
        let place = element.index(case.logits.len());
        const STEP: f64 = 1e-4;
        let loss_at = |x: f64| {
            let mut moved = case.clone();
            moved.logits[place] = x;
            loss_sum(&moved, kernel)
        };
        let x = case.logits[place];
        let slope = (loss_at(x + STEP) - loss_at(x - STEP)) / (2.0 * STEP);
        let size = 1.0 + slope.abs() + loss_at(x).abs();
        prop_assert!((slope - got.grad[place]).abs() <= 2e-7 * size, "slope {}, gradient {}", slope, got.grad[place]);
    }
}
