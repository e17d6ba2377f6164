//! Logits made block by block, and again for the gradient: the bits of the form that has whole rows of them.

use super::problem::Layer;
use super::{LAYOUTS, assert_close};
use crate::draw::option_list;
use crate::support::{How, kernels};
use sparse_xent::{CrossEntropy, Executor, Input, Kernel, WeightLayout, bf16, f16};

/// Two strips and one class more; the second strip is longer than the first.
const CLASSES: usize = 2 * 2048 + 1;

fn in_strips(layer: &Layer) -> Layer {
    Layer { recompute: true, ..layer.clone() }
}

/// The same call in both forms, by chunks of as many rows.
fn assert_same(name: &str, layer: &Layer, how: How, layout: WeightLayout, rows: usize) {
    let (whole, grads) = layer.run::<f32, f32>(how, layout, Some(rows));
    let (strips, others) = in_strips(layer).run::<f32, f32>(how, layout, Some(rows));
    // Losses may be NaN, whose text is always the same.
    assert_eq!(format!("{whole:?}"), format!("{strips:?}"), "{name}");
    assert_eq!(grads.bits(), others.bits(), "{name}");
}

#[test]
fn every_option_has_the_bits_of_whole_rows() {
    let mut checked = 0;
    for (name, set) in option_list() {
        let mut layer = Layer::drawn(13, 3, CLASSES, 5);
        set(&mut layer.case);
        let set = &layer.case.set;
        if set.input != Input::Logits || set.label_matrix.is_some() {
            continue;
        }
        checked += 1;
        layer.refresh();
        for layout in LAYOUTS {
            for outputs in [false, true] {
                let how = How::with(Kernel::Best);
                let how = if outputs { how.with_outputs() } else { how };
                assert_same(&format!("{name}, {layout:?}, results {outputs}"), &layer, how, layout, 4);
            }
        }
    }
    assert!(checked > 25, "{checked} options");
}

#[test]
fn every_kernel_and_any_number_of_classes_has_the_bits_of_whole_rows() {
    for kernel in kernels() {
        for classes in [1, 3, 300, 4095, 4096, 4097, 6143, 6144, 8200] {
            let layer = Layer::drawn(7, 5, classes, 3);
            let how = How::with(kernel).with_outputs();
            assert_same(&format!("{kernel:?}, {classes} classes"), &layer, how, WeightLayout::Vd, 7);
        }
    }
}

#[test]
fn one_strip_has_the_chunks_of_the_default() {
    // More rows than a chunk has: gradients of weights are added chunk by chunk.
    let layer = Layer::drawn(300, 3, 1000, 5);
    let how = How::with(Kernel::Lanes4);
    let (_, grads) = layer.run::<f32, f32>(how, WeightLayout::Vd, None);
    let (_, others) = in_strips(&layer).run::<f32, f32>(how, WeightLayout::Vd, None);
    assert_eq!(grads.bits(), others.bits());
}

#[test]
fn matches_the_definition() {
    let mut layer = Layer::drawn(9, 40, 6200, 29);
    layer.case.set.label_smoothing = 0.1;
    layer.case.set.z_loss = 1e-3;
    layer.recompute = true;
    let want = layer.reference();
    for layout in LAYOUTS {
        let (out, grads) = layer.run::<f32, f32>(How::with(Kernel::Best), layout, None);
        assert!((out.loss / want.loss - 1.0).abs() < 1e-6, "{} expected {}", out.loss, want.loss);
        assert_close("hidden", &grads.hidden, &want.hidden, want.scale[0], 2e-6);
        assert_close("weight", &grads.weight, &layer.in_layout(&want.weight, layout), want.scale[1], 2e-6);
        assert_close("bias", &grads.bias, &want.bias, want.scale[2], 2e-6);
    }
}

#[test]
fn same_bits_any_threads_in_strips() {
    // Several chunks, the last of which is shorter.
    let mut layer = Layer::drawn(600, 12, CLASSES, 7);
    layer.recompute = true;
    layer.case.labels[3] = 4096;
    for layout in LAYOUTS {
        let how = How::with(Kernel::Best).with_outputs();
        let (alone, grads) = layer.run::<f32, f32>(how, layout, None);
        for threads in [2, 3] {
            let (shared, others) = layer.run::<f32, f32>(how.on(threads), layout, None);
            assert_eq!(shared, alone, "{layout:?}, {threads} threads");
            assert_eq!(grads.bits(), others.bits(), "{layout:?}, {threads} threads");
        }
    }
}

#[test]
fn rows_are_of_every_kind() {
    let mut layer = Layer::drawn(40, 6, CLASSES, 17);
    layer.case.set.ignore = vec![-100];
    layer.case.labels.iter_mut().step_by(3).for_each(|label| *label = -100);
    layer.case.set.sample_weight = Some((0..40).map(|row| f64::from(row % 4)).collect());
    // Far apart, so that no row is small; one of infinite logits, one of NaN.
    layer.hidden[6..12].fill(200.0);
    layer.hidden[13 * 6] = f64::INFINITY;
    layer.hidden[14 * 6 + 2] = f64::NAN;
    // Ignored: never read.
    layer.hidden[3 * 6] = f64::NAN;
    for layout in LAYOUTS {
        for kernel in kernels() {
            let how = How::with(kernel);
            assert_same(&format!("{kernel:?}, {layout:?}"), &layer, how, layout, 16);
            assert_same(&format!("{kernel:?}, {layout:?}, results"), &layer, how.with_outputs(), layout, 16);
        }
    }
    let (out, grads) = in_strips(&layer).run::<f32, f32>(How::with(Kernel::Best), WeightLayout::Vd, None);
    assert_eq!(out.non_finite_count, 2);
    assert!(grads.hidden[3 * 6..4 * 6].iter().all(|x| x.to_bits() == 0), "the ignored row");
    assert!(grads.hidden[14 * 6..15 * 6].iter().all(|x| x.is_nan()), "the row of NaN");
}

#[test]
fn halves_and_accumulation_have_the_bits_of_whole_rows() {
    let mut layer = Layer::drawn(9, 33, CLASSES, 7);
    for x in layer.hidden.iter_mut().chain(&mut layer.weight).chain(&mut layer.bias) {
        *x = f64::from(bf16::from_f64(f64::from(f16::from_f64(*x))));
    }
    layer.refresh();
    for layout in LAYOUTS {
        let op = CrossEntropy::new().executor(Executor::Serial).accumulate(true);
        let (out, grads) = layer.run_some::<f32, f32>(op.clone(), layout, Some(4), [true; 3]);
        let strips = in_strips(&layer);
        for (other, others) in [
            strips.run_some::<f32, f32>(op.clone(), layout, Some(4), [true; 3]),
            strips.run_some::<f16, bf16>(op.clone(), layout, Some(4), [true; 3]),
            strips.run_some::<bf16, f16>(op.clone(), layout, Some(4), [true; 3]),
        ] {
            assert_eq!((&out, grads.bits()), (&other, others.bits()), "{layout:?}");
        }
    }
}
