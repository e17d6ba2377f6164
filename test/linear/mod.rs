//! The last layer and its loss in one operation: against the definition in f64, against the route with logits, against the values of
//! PyTorch and JAX, and bit by bit against itself. The products alone are tested beside them, in the crate.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that fails, and numbers rounded on purpose"
)]

mod digests;
mod edges;
mod golden;
mod masks;
mod problem;
mod recompute;

use crate::draw::{Draw, option_list};
use crate::support::{How, Upstream, bits, kernels};
use problem::{Grads, Layer, norm};
use sparse_xent::{CrossEntropy, Executor, Input, Kernel, Logits, Shape, WeightLayout, bf16, f16};

const LAYOUTS: [WeightLayout; 2] = [WeightLayout::Vd, WeightLayout::Dv];

/// What a difference of these norms may be: products in single precision, and what the loss itself may be off by.
fn assert_close(name: &str, got: &[f32], want: &[f64], scale: f64, bound: f64) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (got, want) in got.iter().zip(want) {
        assert_eq!(got.is_nan(), want.is_nan(), "{name}: {got}, expected {want}");
    }
    let difference = got.iter().zip(want).map(|(got, want)| f64::from(*got) - want);
    let error = norm(difference.filter(|x| !x.is_nan()));
    assert!(error <= bound * scale, "{name}: an error of {error:e} on {scale:e}");
}

/// Every option, alone and with those that meet it.
fn each_option(check: impl Fn(&str, &Layer)) {
    for (name, set) in option_list() {
        let mut layer = Layer::drawn(13, 7, 20, 5);
        set(&mut layer.case);
        if layer.case.set.input == Input::Logits && layer.case.set.label_matrix.is_none() {
            layer.refresh();
            check(name, &layer);
        }
    }
}

#[test]
fn every_option_matches_the_definition() {
    let checked = std::cell::Cell::new(0);
    each_option(|name, layer| {
        checked.set(checked.get() + 1);
        let want = layer.reference();
        for kernel in kernels() {
            for layout in LAYOUTS {
                for chunk_rows in [None, Some(1), Some(4)] {
                    let name = format!("{name}, {kernel:?}, {layout:?}, chunks of {chunk_rows:?}");
                    let (out, grads) =
                        layer.run::<f32, f32>(How::with(kernel).with_outputs(), layout, chunk_rows);
                    let losses: Vec<f32> =
                        if out.losses.is_empty() { vec![out.loss as f32] } else { out.losses };
                    let expected = if losses.len() == 1 { vec![want.loss] } else { want.losses.clone() };
                    let scale = norm(expected.iter().map(|x| if x.is_nan() { 0.0 } else { x.abs() + 1.0 }));
                    assert_close(&format!("{name}: loss"), &losses, &expected, scale, 1e-6);
                    assert_close(
                        &format!("{name}: hidden"),
                        &grads.hidden,
                        &want.hidden,
                        want.scale[0],
                        2e-6,
                    );
                    let weight = layer.in_layout(&want.weight, layout);
                    assert_close(&format!("{name}: weight"), &grads.weight, &weight, want.scale[1], 2e-6);
                    assert_close(&format!("{name}: bias"), &grads.bias, &want.bias, want.scale[2], 2e-6);
                }
            }
        }
    });
    assert!(checked.get() > 25, "{} options", checked.get());
}

/// The same logits through the operation that stores them: what a caller would do without this one.
#[test]
fn every_result_matches_the_route_with_logits() {
    each_option(|name, layer| {
        let how = How::with(Kernel::Lanes4).with_outputs();
        let (out, _) = layer.run::<f32, f32>(how, WeightLayout::Vd, None);
        let logits: Vec<f32> = layer.case.logits.iter().map(|x| *x as f32).collect();
        let [rows, classes, _] = layer.case.shape;
        let logits = Logits::new(&logits, Shape::new(&[rows, classes], -1).unwrap()).unwrap();
        let other = how.operation(&layer.case.set).forward(&logits, &layer.case.labels).unwrap();
        let near = |what: &str, one: f64, two: f64| {
            let same =
                one == two || one.is_nan() && two.is_nan() || (one - two).abs() <= 4e-6 * (1.0 + two.abs());
            assert!(same, "{name}: {what} {one}, expected {two}");
        };
        let all = |what: &str, one: &[f32], two: &[f32]| {
            assert_eq!(one.len(), two.len(), "{name}: {what}");
            one.iter().zip(two).for_each(|(one, two)| near(what, (*one).into(), (*two).into()));
        };
        near("loss", out.loss, other.loss);
        near("loss_sum", out.loss_sum, other.loss_sum);
        all("losses", &out.losses, &other.losses);
        all("log_sum_exp", &out.log_sum_exp, &other.log_sum_exp);
        all("target_log_prob", &out.target_log_prob, &other.target_log_prob);
        assert_eq!(out.predictions, other.predictions, "{name}");
        assert_eq!(out.correct_count, other.correct_count, "{name}");
        let counts = |out: &sparse_xent::Output<f32>| {
            let per_class = out.per_class.clone().unwrap();
            let sums = [out.weight_sum.to_bits(), out.denominator.to_bits()];
            let rows = [out.valid_count, out.invalid_count, out.row_count, out.non_finite_count];
            (rows, sums, per_class.count, per_class.weight, per_class.correct)
        };
        assert_eq!(counts(&out), counts(&other), "{name}");
    });
}

#[test]
fn same_bits_any_threads() {
    for (name, layer) in [
        ("many classes", Layer::drawn(150, 70, 3000, 1)),
        ("few classes", Layer::drawn(2000, 40, 30, 2)),
        ("one class more than a stripe", Layer::drawn(300, 257, 513, 3)),
    ] {
        for layout in LAYOUTS {
            for kernel in kernels() {
                let how = How::with(kernel).with_outputs();
                let (alone, grads) = layer.run::<f32, f32>(how, layout, None);
                for threads in [2, 3] {
                    let (shared, others) = layer.run::<f32, f32>(how.on(threads), layout, None);
                    assert_eq!(shared, alone, "{name}, {kernel:?}, {layout:?}, {threads} threads");
                    assert_eq!(
                        grads.bits(),
                        others.bits(),
                        "{name}, {kernel:?}, {layout:?}, {threads} threads"
                    );
                }
            }
        }
    }
}

#[test]
fn half_precision_gives_the_bits_of_the_same_numbers_in_single() {
    halves_have_the_bits_of_single(&drawn_of_halves(40));
}

/// A layer of so many classes whose numbers every half-precision type holds.
fn drawn_of_halves(classes: usize) -> Layer {
    let mut layer = Layer::drawn(9, 33, classes, 7);
    for x in layer.hidden.iter_mut().chain(&mut layer.weight).chain(&mut layer.bias) {
        *x = f64::from(bf16::from_f64(f64::from(f16::from_f64(*x))));
    }
    layer.refresh();
    layer
}

fn halves_have_the_bits_of_single(layer: &Layer) {
    for layout in LAYOUTS {
        let how = How::with(Kernel::Best).with_outputs();
        let (out, grads) = layer.run::<f32, f32>(how, layout, None);
        for (other, others) in
            [layer.run::<f16, bf16>(how, layout, None), layer.run::<bf16, f16>(how, layout, None)]
        {
            assert_eq!((&out, grads.bits()), (&other, others.bits()), "{layout:?}");
        }
    }
}

/// The bounds that are promised, at a size where sums are long; and the digits of confident rows.
#[test]
fn errors_stay_within_what_is_promised() {
    for kernel in kernels() {
        let layer = Layer::drawn(200, 300, 1500, 11);
        let want = layer.reference();
        let (out, grads) = layer.run::<f32, f32>(How::with(kernel), WeightLayout::Vd, None);
        let error = (out.loss / want.loss - 1.0).abs();
        assert!(error < 1e-7, "{kernel:?}: the loss is off by {error:e}");
        for (what, got, want) in [
            ("hidden", &grads.hidden, &want.hidden),
            ("weight", &grads.weight, &want.weight),
            ("bias", &grads.bias, &want.bias),
        ] {
            let scale = norm(want.iter().copied());
            assert_close(&format!("{kernel:?}: {what}"), got, want, scale, 5e-7);
        }
    }
}

#[test]
fn small_losses_keep_their_digits() {
    for kernel in kernels() {
        for margin in [17.0, 30.0, 60.0] {
            let layer = Layer::confident(20, margin);
            let want = layer.reference();
            let (out, grads) = layer.run::<f32, f32>(How::with(kernel), WeightLayout::Vd, None);
            for (got, want) in out.losses.iter().zip(&want.losses) {
                let error = (f64::from(*got) / want - 1.0).abs();
                assert!(*want > 0.0 && error < 1e-5, "{kernel:?}, margin {margin}: {got}, expected {want}");
            }
            let scale = norm(want.hidden.iter().copied());
            assert_close(&format!("{kernel:?}, margin {margin}"), &grads.hidden, &want.hidden, scale, 1e-5);
        }
    }
}

#[test]
fn matches_finite_differences() {
    let layer = Layer::drawn(6, 5, 9, 13);
    let how = How::with(Kernel::Best);
    let (_, grads) = layer.run::<f32, f32>(how, WeightLayout::Vd, None);
    let step = 2e-2;
    let sum = |layer: &Layer| layer.run::<f32, f32>(how, WeightLayout::Vd, None).0.loss_sum;
    let mut draw = Draw(99);
    for which in 0..3 {
        let parts = |layer: &mut Layer| match which {
            0 => core::mem::take(&mut layer.hidden),
            1 => core::mem::take(&mut layer.weight),
            _ => core::mem::take(&mut layer.bias),
        };
        let gradient = [&grads.hidden, &grads.weight, &grads.bias][which];
        let direction: Vec<f64> = (0..gradient.len()).map(|_| draw.unit()).collect();
        let moved = |by: f64| {
            let mut other = layer.clone();
            let values = parts(&mut other);
            let values = values.iter().zip(&direction).map(|(x, along)| x + by * along).collect();
            match which {
                0 => other.hidden = values,
                1 => other.weight = values,
                _ => other.bias = values,
            }
            other
        };
        let slope = (sum(&moved(step)) - sum(&moved(-step))) / (2.0 * step);
        let along: f64 = gradient.iter().zip(&direction).map(|(g, along)| f64::from(*g) * along).sum();
        assert!((slope - along).abs() < 2e-3 * (1.0 + along.abs()), "{which}: {along}, expected {slope}");
    }
}

/// Rows whose hidden states must not be looked at hold NaN; everything else comes out as if they held nothing.
#[test]
fn ignored_rows_are_never_read() {
    let mut layer = Layer::drawn(40, 30, 50, 17);
    layer.case.set.ignore = vec![-100];
    layer.case.labels.iter_mut().step_by(3).for_each(|label| *label = -100);
    layer.case.set.sample_weight = Some((0..40).map(|row| f64::from(row % 4)).collect());
    layer.case.set.upstream = Upstream::Each((0..40).map(|row| f64::from(row % 5)).collect());
    let counts = |row: usize| [3, 4, 5].iter().all(|step| !row.is_multiple_of(*step));
    let with = |filling: f64| {
        let mut other = layer.clone();
        for (row, states) in other.hidden.chunks_exact_mut(30).enumerate().filter(|(row, _)| !counts(*row)) {
            // A row without upstream has a loss all the same.
            states.fill(if row.is_multiple_of(3) || row.is_multiple_of(4) { filling } else { 0.5 });
        }
        other
    };
    for layout in LAYOUTS {
        let how = How::with(Kernel::Best);
        let (out, grads) = with(0.0).run::<f32, f32>(how, layout, None);
        let (other, others) = with(f64::NAN).run::<f32, f32>(how, layout, None);
        assert_eq!((out, grads.bits()), (other, others.bits()), "{layout:?}");
        // Those of weight 0 are looked at for the results that were asked for, and still leave no trace in a gradient.
        let (_, others) = with(f64::NAN).run::<f32, f32>(how.with_outputs(), layout, None);
        assert_eq!(grads.bits(), others.bits(), "{layout:?}, with results");
        let (out, _) = with(0.0).run::<f32, f32>(how.with_outputs(), layout, None);
        assert!(out.log_sum_exp[4].is_finite(), "row 4 weighs nothing and was looked at");
        let rows = grads.hidden.chunks_exact(30).enumerate();
        for (row, values) in rows.filter(|(row, _)| !counts(*row)) {
            assert!(values.iter().all(|x| x.to_bits() == 0), "{layout:?}: row {row} has a gradient of +0");
        }
    }
}

#[test]
fn bits_do_not_depend_on_what_else_is_asked_for() {
    let layer = Layer::drawn(70, 20, 400, 19);
    let how = How::with(Kernel::Best);
    let (out, grads) = layer.run::<f32, f32>(how, WeightLayout::Vd, None);
    for wanted in [[true, false, false], [false, true, false], [false, false, true], [false; 3]] {
        let (other, others) =
            layer.run_some::<f32, f32>(how.operation(&layer.case.set), WeightLayout::Vd, None, wanted);
        assert_eq!(bits(&out.losses), bits(&other.losses), "{wanted:?}");
        for (index, (all, some)) in grads.bits().into_iter().zip(others.bits()).enumerate() {
            assert!(
                if wanted[index] { all == some } else { some.is_empty() },
                "{wanted:?}: gradient {index}"
            );
        }
    }
}

#[test]
fn accumulates_over_what_is_there() {
    let layer = Layer::drawn(150, 6, 10, 23);
    let op = CrossEntropy::new().executor(Executor::Serial);
    for layout in LAYOUTS {
        let (_, grads) = layer.run_some::<f32, f32>(op.clone(), layout, None, [true; 3]);
        let (_, sums) = layer.run_some::<f32, f32>(op.clone().accumulate(true), layout, None, [true; 3]);
        let paint = f64::from(Grads::PAINT);
        for (sums, grads) in sums.all().into_iter().zip(grads.all()) {
            let want: Vec<f64> = grads.iter().map(|x| paint + f64::from(*x)).collect();
            assert_close("sum", sums, &want, norm(want.iter().copied()), 1e-6);
        }
    }
}
