//! Every twin, dtype, layout and option against the definition, within the accuracy bound.
//!
//! Options are drawn in an order that a seed fixes; sizes have n-1, n, n+1 at every lane, stream and block edge,
//! magnitudes go from 1e-3 to 1e4.

use crate::bound::{Precision, compare, compare_outputs};
use crate::draw::{Cases, Choices, choices};
use crate::support::{Case, How, Settings, Upstream, bits, kernels, run, run_in_place, run_loss, widened};
use sparse_xent::{Element, GradElement, Input, Logits, ProbsNormalize, Reduction, bf16, f16};

fn sizes() -> impl Iterator<Item = usize> {
    (1..=65).chain([129, 130, 255, 256, 257, 1023, 1024, 1025, 4095, 4096, 4097])
}

/// Loss and gradient, all else that a call gives, and the same bits however it is called.
fn agrees<E: Element>(case: &Case, how: How) -> Result<(), String> {
    let error = |error| format!("{}: {error}", case.name);
    let precision = Precision::of::<E, E>();
    let got = run::<E, E>(case, how.with_outputs()).map_err(error)?;
    compare(case, &widened(&got.out.losses), &widened(&got.grad), precision)?;
    compare_outputs(case, &got.out, precision)?;
    let over = run_in_place::<E>(case, how).map_err(error)?;
    let alone = run_loss::<E>(case, how).map_err(error)?;
    let same = bits(&over.grad) == bits(&got.grad)
        && bits(&over.out.losses) == bits(&got.out.losses)
        && bits(&alone.losses) == bits(&got.out.losses)
        && bits(&[alone.loss, over.out.loss]) == bits(&[got.out.loss; 2]);
    if same { Ok(()) } else { Err(format!("{}: other bits in place, or loss alone", case.name)) }
}

fn check<E: Element>(case: &Case) {
    let case = case.clone().rounded::<E>();
    for kernel in kernels() {
        let how = How::with(kernel);
        if let Err(message) = agrees::<E>(&case, how) {
            panic!("{kernel:?} {} {message}\n{:?}", E::NAME, case.set);
        }
    }
}

/// Cases of each size, as `alter` changes the choices.
fn agree<E: Element>(inner: usize, seed: u8, rounds: usize, alter: impl Fn(&mut Choices, usize)) {
    let mut cases = Cases::new(seed);
    for classes in sizes() {
        if inner > 100 && classes > 300 && classes % 2 == 0 {
            continue;
        }
        for round in 0..if classes > 300 || inner > 100 { rounds.div_ceil(6) } else { rounds } {
            let outer = match (inner, classes) {
                (1, ..=300) => cases.draw(1..10_usize),
                (_, 301..) if inner > 1 => 1,
                _ => 2,
            };
            let mut choices = cases.draw(choices());
            alter(&mut choices, round);
            check::<E>(&choices.case([outer, classes, inner]));
        }
    }
}

macro_rules! agreements {
    ($($name:ident: $type:ty, $inner:literal, $seed:literal;)*) => {$(
        #[test]
        fn $name() {
            agree::<$type>($inner, $seed, 12, |choices, _| choices.input = Input::Logits);
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

/// In every dtype, classes side by side and strided.
fn inputs_agree(rounds: usize, alter: impl Fn(&mut Choices, usize) + Copy) {
    agree::<f32>(1, 21, rounds, alter);
    agree::<f32>(3, 22, rounds, alter);
    agree::<f64>(1, 23, rounds, alter);
    agree::<f64>(3, 24, rounds, alter);
    agree::<f16>(1, 25, rounds, alter);
    agree::<bf16>(3, 26, rounds, alter);
}

#[test]
fn log_probabilities_agree() {
    inputs_agree(4, |choices, _| choices.input = Input::LogProbs);
}

#[test]
fn probabilities_agree() {
    let normalize = [ProbsNormalize::Before, ProbsNormalize::After, ProbsNormalize::None];
    inputs_agree(6, |choices, round| {
        (choices.input, choices.normalize) = (Input::Probs, normalize[round % normalize.len()]);
    });
}

/// Probabilities at and beyond the clip: 0, 1, and what is just inside.
#[test]
fn clipped_probabilities_agree() {
    let values = [0.0, 1.0, 0.5, 0.125, 0.875, 0.0625];
    for probs_normalize in [ProbsNormalize::Before, ProbsNormalize::After, ProbsNormalize::None] {
        for probs_epsilon in [1e-7, 0.1] {
            for classes in [1, 2, 5, 67] {
                for inner in [1, 2] {
                    let logits: Vec<f64> = (0..36 * classes * inner).map(|at| values[at * 7 % 6]).collect();
                    let label = |row| i64::try_from(row * 5 % classes).expect("a class");
                    let labels: Vec<i64> = (0..36 * inner).map(label).collect();
                    let set =
                        Settings { input: Input::Probs, probs_normalize, probs_epsilon, ..Settings::none() };
                    let case = Case::new("clipped", [36, classes, inner], &logits, &labels, set);
                    check::<f32>(&case);
                    check::<f64>(&case);
                    check::<f16>(&case);
                }
            }
        }
    }
}

#[test]
fn of_log_probabilities_the_label_alone_is_read() {
    let mut cases = Cases::new(27);
    for shape in [[5, 3, 1], [5, 67, 1], [2, 7, 3]] {
        let mut choices = cases.draw(choices());
        (choices.input, choices.label_smoothing, choices.matrix) = (Input::LogProbs, 0.0, false);
        let case = choices.case(shape).rounded::<f32>();
        let mut poisoned = case.clone();
        for row in 0..case.rows() {
            let label = usize::try_from(case.labels[row]).unwrap_or(usize::MAX);
            for class in (0..shape[1]).filter(|class| *class != label) {
                poisoned.logits[case.place(row, class)] = f64::NAN;
            }
        }
        for kernel in kernels() {
            let clean = run::<f32, f32>(&case, How::with(kernel)).expect(&case.name);
            let poisoned = run::<f32, f32>(&poisoned, How::with(kernel)).expect(&case.name);
            assert_eq!(bits(&poisoned.grad), bits(&clean.grad), "{} {kernel:?}", case.name);
            assert_eq!(bits(&poisoned.out.losses), bits(&clean.out.losses), "{} {kernel:?}", case.name);
        }
    }
}

/// A gradient in f32 under a narrower dtype: within the bound, and what the narrow one is rounded from.
fn f32_gradients_agree<E: Element>(seed: u8)
where
    f32: GradElement<E>,
{
    let mut cases = Cases::new(seed);
    for shape in
        [[5, 3, 1], [9, 33, 1], [3, 64, 1], [3, 67, 1], [2, 1025, 1], [2, 7, 3], [1, 5, 130], [1, 70, 3]]
    {
        for _ in 0..20 {
            let case = cases.case(shape).rounded::<E>();
            for kernel in kernels() {
                let how = How::with(kernel);
                let got = run::<E, f32>(&case, how).expect(&case.name);
                let (losses, grad) = (widened(&got.out.losses), widened(&got.grad));
                let verdict = compare(&case, &losses, &grad, Precision::of::<E, f32>());
                assert!(verdict.is_ok(), "{kernel:?} {} {:?}", E::NAME, verdict);
                let narrow = run::<E, E>(&case, how).expect(&case.name);
                let rounded: Vec<E> = grad.iter().map(|grad| E::from_f64(*grad)).collect();
                assert_eq!(bits(&narrow.grad), bits(&rounded), "{} {kernel:?}: one rounding", case.name);
                assert_eq!(bits(&narrow.out.losses), bits(&got.out.losses), "{} {kernel:?}", case.name);
            }
        }
    }
}

#[test]
fn f32_gradients_of_f16_logits_agree() {
    f32_gradients_agree::<f16>(31);
}

#[test]
fn f32_gradients_of_bf16_logits_agree() {
    f32_gradients_agree::<bf16>(32);
}

/// The gradient added to what is there: `before + value`, rounded once. `value` is the gradient as type `V`, or in f64
/// for inputs that are computed in it.
fn accumulates<E: Element, G: GradElement<E>, V: GradElement<E>>(seed: u8) {
    let mut cases = Cases::new(seed);
    for shape in
        [[5, 3, 1], [5, 33, 1], [3, 64, 1], [2, 70, 1], [2, 257, 1], [2, 7, 3], [1, 5, 130], [1, 70, 3]]
    {
        for _ in 0..20 {
            let case = cases.case(shape).rounded::<E>();
            for kernel in kernels() {
                let name = format!("{} {} {kernel:?}", case.name, E::NAME);
                let how = How::with(kernel);
                let value = match case.is_in_double() {
                    false => widened(&run::<E, V>(&case, how).expect(&name).grad),
                    true => run::<f64, f64>(&case, how).expect(&name).grad,
                };
                let before: Vec<G> = (0..value.len()).map(|at| G::from_f64((at % 9) as f64 - 4.25)).collect();
                let mut grad = before.clone();
                let logits = case.logits_as::<E>();
                let logits = Logits::new(&logits, case.crate_shape()).expect("a shape of a test");
                let op = case.set.operation(kernel).accumulate(true);
                let out = op.forward_backward(&logits, &case.labels, &mut grad).expect(&name);
                let alone = run_loss::<E>(&case, how).expect(&name);
                assert_eq!(bits(&out.losses), bits(&alone.losses), "losses: {name}");
                let sum = |(before, value): (&G, &f64)| G::from_f64(before.to_f64() + value);
                let want: Vec<G> = before.iter().zip(&value).map(sum).collect();
                assert_eq!(bits(&grad), bits(&want), "{name}");
            }
        }
    }
}

#[test]
fn accumulating_adds_the_gradient_with_one_rounding() {
    accumulates::<f32, f32, f32>(41);
    accumulates::<f64, f64, f64>(42);
    accumulates::<f16, f16, f32>(43);
    accumulates::<bf16, bf16, f32>(44);
    accumulates::<f16, f32, f32>(45);
    accumulates::<bf16, f32, f32>(46);
}

#[test]
fn reductions_are_the_sums_of_the_rows() {
    let mut cases = Cases::new(13);
    for round in 0..200 {
        let rows = cases.draw(1..700_usize);
        let case = cases.reduced([rows, 5, 1]).rounded::<f32>();
        for kernel in kernels() {
            let name = format!("round {round} {} {:?}", case.name, case.set);
            let got = run::<f32, f32>(&case, How::with(kernel).with_outputs()).expect(&name);
            let want = case.reference().expect("valid labels");
            let set =
                Settings { reduction: Reduction::None, upstream: Upstream::One(1.0), ..case.set.clone() };
            let rows = run_loss::<f32>(&Case { set, ..case.clone() }, How::with(kernel)).expect(&name);
            let sum: f64 = widened(&rows.losses).iter().sum();
            let magnitude: f64 = widened(&rows.losses).iter().map(|loss| loss.abs()).sum();
            if sum.is_finite() {
                assert!(
                    (got.out.loss_sum - sum).abs() <= 1e-13 * magnitude,
                    "sum {}, not {sum}: {name}",
                    got.out.loss_sum
                );
                let loss =
                    if want.denominator == 0.0 { want.loss } else { got.out.loss_sum / want.denominator };
                assert_eq!(bits(&[got.out.loss]), bits(&[loss]), "loss: {name}");
            }
            assert_eq!(got.out.weight_sum, want.weight_sum, "weights are exact: {name}");
            assert_eq!(got.out.denominator, want.denominator, "denominator: {name}");
            compare(&case, &[], &widened(&got.grad), Precision::of::<f32, f32>()).expect(&name);
            compare_outputs(&case, &got.out, Precision::of::<f32, f32>()).expect(&name);
        }
    }
}

/// A case of one of the rows of another, at column `column` of `inner`.
fn alone(case: &Case, row: usize, inner: usize, column: usize) -> Case {
    let classes = case.shape[1];
    let mut one = case.clone();
    one.shape = [1, classes, inner];
    one.logits = vec![0.25; classes * inner];
    one.labels = vec![case.labels[row]; inner];
    one.set.sample_weight = case.set.sample_weight.as_ref().map(|weights| vec![weights[row]; inner]);
    if let Upstream::Each(upstream) = &case.set.upstream {
        one.set.upstream = Upstream::Each(vec![upstream[row]; inner]);
    }
    for class in 0..classes {
        one.logits[class * inner + column] = case.logits[case.place(row, class)];
    }
    one
}

fn independent<E: Element>(seed: u8) {
    let mut cases = Cases::new(seed);
    for classes in [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 64, 65, 130, 257] {
        for (outer, inner) in [(2, 1), (5, 1), (9, 1), (20, 1), (2, 3), (1, 133)] {
            let case = cases.case([outer, classes, inner]).rounded::<E>();
            for kernel in kernels() {
                let how = How::with(kernel);
                let all = run::<E, E>(&case, how).expect(&case.name);
                for row in (0..case.rows()).step_by(if inner > 100 { 33 } else { 1 }) {
                    // The layouts with 1 and with more columns may differ in bits.
                    let (width, column) = if inner == 1 { (1, 0) } else { (5, row % 5) };
                    let one = alone(&case, row, width, column);
                    let got = run::<E, E>(&one, how).expect(&case.name);
                    let name = format!("row {row} of {} {} {kernel:?}, {:?}", case.name, E::NAME, case.set);
                    let own = |case: &Case, grad: &[E], row| {
                        bits(&(0..classes).map(|class| grad[case.place(row, class)]).collect::<Vec<E>>())
                    };
                    assert_eq!(own(&one, &got.grad, column), own(&case, &all.grad, row), "grad of {name}");
                    assert_eq!(
                        bits(&[got.out.losses[column]]),
                        bits(&[all.out.losses[row]]),
                        "loss of {name}"
                    );
                }
            }
        }
    }
}

#[test]
fn rows_are_independent() {
    independent::<f32>(51);
    independent::<f64>(52);
    independent::<f16>(53);
    independent::<bf16>(54);
}
