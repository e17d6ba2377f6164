//! Classes that a mask takes out have no part in the products: a call has the bits of the layer that has the others alone, in both forms.

use super::problem::{Grads, Layer};
use super::{LAYOUTS, drawn_of_halves, halves_have_the_bits_of_single};
use crate::draw::option_list;
use crate::support::{How, bits, kernels};
use sparse_xent::{EmptyMean, Executor, Input, InvalidLabel, Kernel, Reduction, WeightLayout};

/// Every class in turn: which of them are kept.
type Keeps = fn(usize, usize) -> bool;

const MASKS: [(&str, Keeps); 7] = [
    ("all but the last", |class, all| class + 1 < all),
    ("the first half", |class, all| 2 * class < all),
    ("all but the first 100", |class, _| class >= 100),
    ("every third", |class, _| class.is_multiple_of(3)),
    ("all but every 50th", |class, _| !class.is_multiple_of(50)),
    ("two", |class, all| class == 7 || class + 2 == all),
    ("one", |class, _| class == 300),
];

/// The layer under a mask, and the one that has the kept classes alone.
struct Pair {
    masked: Layer,
    alone: Layer,
    kept: Vec<usize>,
}

impl Pair {
    /// Labels are those of kept classes, and a few codes for none.
    fn new(mut layer: Layer, keeps: Keeps) -> Self {
        let [rows, all, _] = layer.case.shape;
        let kept: Vec<usize> = (0..all).filter(|class| keeps(*class, all)).collect();
        let of = |label: i64| usize::try_from(label).ok().map(|label| label % kept.len());
        let places: Vec<Option<usize>> = layer.case.labels.iter().map(|label| of(*label)).collect();
        let signed = |class: usize| i64::try_from(class).unwrap();
        for (label, place) in layer.case.labels.iter_mut().zip(&places) {
            *label = place.map_or(*label, |place| signed(kept[place]));
        }
        let labels: Vec<i64> = layer
            .case
            .labels
            .iter()
            .zip(&places)
            .map(|(label, place)| place.map_or(*label, signed))
            .collect();
        let rows_of = |class: &usize| layer.weight[class * layer.depth..][..layer.depth].to_vec();
        let weight = kept.iter().flat_map(rows_of).collect();
        let bias = kept.iter().map(|class| layer.bias[*class]).collect();
        let dims = [rows, layer.depth, kept.len()];
        let mut alone = Layer::new(dims, layer.hidden.clone(), weight, bias, &labels);
        alone.case.set = layer.case.set.clone();
        alone.case.set.class_mask = None;
        if let Some(weights) = &mut alone.case.set.class_weight {
            *weights = kept.iter().map(|class| weights[*class]).collect();
        }
        layer.case.set.class_mask = Some((0..all).map(|class| u8::from(keeps(class, all))).collect());
        Self { masked: layer, alone, kept }
    }

    fn recomputing(mut self, recompute: bool) -> Self {
        (self.masked.recompute, self.alone.recompute) = (recompute, recompute);
        self
    }

    /// What a gradient of the layer alone is among all classes.
    fn spread(&self, layout: WeightLayout, alone: &Grads, others: f32) -> [Vec<f32>; 3] {
        let (all, depth, count) = (self.masked.case.shape[1], self.masked.depth, self.kept.len());
        let (mut weight, mut bias) = (vec![others; all * depth], vec![others; all]);
        for (place, class) in self.kept.iter().enumerate() {
            bias[*class] = alone.bias[place];
            for step in 0..depth {
                match layout {
                    WeightLayout::Vd => weight[class * depth + step] = alone.weight[place * depth + step],
                    WeightLayout::Dv => weight[step * all + class] = alone.weight[step * count + place],
                }
            }
        }
        [alone.hidden.clone(), weight, bias]
    }

    fn assert_same(&self, name: &str, how: How, layout: WeightLayout, rows: Option<usize>) {
        let (mut want, alone) = self.alone.run::<f32, f32>(how, layout, rows);
        let (mut got, grads) = self.masked.run::<f32, f32>(how, layout, rows);
        for prediction in &mut want.predictions {
            let place = usize::try_from(*prediction);
            *prediction = place.map_or(-1, |place| i32::try_from(self.kept[place]).unwrap());
        }
        if let (Some(got), Some(want)) = (got.per_class.take(), want.per_class.take()) {
            for (what, got, want) in [
                ("loss", got.loss, want.loss),
                ("weight", got.weight, want.weight),
                ("count", got.count, want.count),
                ("correct", got.correct, want.correct),
            ] {
                let kept: Vec<f64> = self.kept.iter().map(|class| got[*class]).collect();
                assert_eq!(format!("{kept:?}"), format!("{want:?}"), "{name}: {what} of each class");
            }
        }
        // Losses may be NaN, whose text is always the same.
        assert_eq!(format!("{got:?}"), format!("{want:?}"), "{name}");
        let want = self.spread(layout, &alone, 0.0);
        for ((what, got), want) in ["hidden", "weight", "bias"].into_iter().zip(grads.all()).zip(&want) {
            assert_eq!(bits(got), bits(want), "{name}: grad.{what}");
        }
    }
}

#[test]
fn a_mask_has_the_bits_of_the_kept_classes_alone() {
    for kernel in kernels() {
        for (name, keeps) in MASKS {
            for layout in LAYOUTS {
                let pair = Pair::new(Layer::drawn(40, 9, 700, 3), keeps);
                let name = format!("{name}, {kernel:?}, {layout:?}");
                pair.assert_same(&name, How::with(kernel), layout, None);
                pair.assert_same(&name, How::with(kernel).with_outputs(), layout, Some(16));
            }
        }
    }
}

#[test]
fn every_option_has_the_bits_of_the_kept_classes_alone() {
    let mut checked = 0;
    for (name, set) in option_list() {
        let mut layer = Layer::drawn(13, 7, 50, 5);
        set(&mut layer.case);
        let set = &layer.case.set;
        if set.input != Input::Logits || set.label_matrix.is_some() || set.class_mask.is_some() {
            continue;
        }
        checked += 1;
        // Labels that are no class stay as they are.
        layer.case.labels.iter_mut().filter(|label| **label >= 50).for_each(|label| *label = -9);
        let pair = Pair::new(layer, |class, _| class % 4 != 1);
        for layout in LAYOUTS {
            pair.assert_same(&format!("{name}, {layout:?}"), How::with(Kernel::Best), layout, Some(4));
            let how = How::with(Kernel::Best).with_outputs();
            pair.assert_same(&format!("{name}, {layout:?}, results"), how, layout, None);
        }
    }
    assert!(checked > 22, "{checked} options");
}

/// Strips are cut from the kept classes: two and more from 4,096 of them on, and one below.
#[test]
fn strips_under_a_mask_have_the_bits_of_whole_rows() {
    let masks: [(usize, Keeps); 5] = [
        (4_097, |class, _| class != 5),
        (4_097, |class, _| class != 5 && class != 4_000),
        (8_200, |class, _| class % 2 == 1),
        (9_001, |class, _| !(2_000..4_500).contains(&class)),
        (6_400, |class, _| class < 6_207),
    ];
    for (all, keeps) in masks {
        for layout in LAYOUTS {
            for kernel in kernels() {
                let mut layer = Layer::drawn(9, 5, all, 7);
                layer.case.set.label_smoothing = 0.1;
                layer.case.set.class_weight = Some((0..all).map(|class| 0.5 + (class % 3) as f64).collect());
                layer.case.set.softcap = if kernel == Kernel::Best { 3.0 } else { 0.0 };
                let pair = Pair::new(layer, keeps);
                let name = format!("{} of {all} classes, {kernel:?}, {layout:?}", pair.kept.len());
                let how = How::with(kernel).with_outputs();
                let (whole, grads) = pair.masked.run::<f32, f32>(how, layout, Some(4));
                let pair = pair.recomputing(true);
                let (strips, others) = pair.masked.run::<f32, f32>(how, layout, Some(4));
                assert_eq!(whole, strips, "{name}");
                assert_eq!(grads.bits(), others.bits(), "{name}");
                pair.assert_same(&name, how, layout, Some(4));
            }
        }
    }
}

#[test]
fn same_bits_any_threads_under_a_mask() {
    for recompute in [false, true] {
        let keeps: Keeps = |class, _| !(500..1_000).contains(&class) && class % 5 != 0;
        let pair = Pair::new(Layer::drawn(200, 40, 6_000, 9), keeps).recomputing(recompute);
        for layout in LAYOUTS {
            let how = How::with(Kernel::Best).with_outputs();
            let (alone, grads) = pair.masked.run::<f32, f32>(how, layout, None);
            for threads in [2, 3] {
                let (shared, others) = pair.masked.run::<f32, f32>(how.on(threads), layout, None);
                assert_eq!(shared, alone, "{layout:?}, recompute {recompute}, {threads} threads");
                assert_eq!(
                    grads.bits(),
                    others.bits(),
                    "{layout:?}, recompute {recompute}, {threads} threads"
                );
            }
        }
    }
}

/// What masked classes hold is nowhere; their gradient is 0, or what it was where gradients are added.
#[test]
fn weights_of_masked_classes_are_never_read() {
    for (all, recompute) in [(70, false), (70, true), (6_000, true)] {
        let pair = Pair::new(Layer::drawn(20, 12, all, 11), |class, _| class % 7 != 2).recomputing(recompute);
        let mut poisoned = pair.masked.clone();
        for class in (0..all).filter(|class| class % 7 == 2) {
            poisoned.weight[class * 12..][..12].fill(f64::NAN);
            poisoned.bias[class] = f64::INFINITY;
        }
        for layout in LAYOUTS {
            let how = How::with(Kernel::Best).with_outputs();
            let (out, grads) = pair.masked.run::<f32, f32>(how, layout, None);
            for (other, others) in [
                poisoned.run::<f32, f32>(how, layout, None),
                poisoned.run::<f32, f32>(how.on(2), layout, None),
            ] {
                assert_eq!((&out, grads.bits()), (&other, others.bits()), "{layout:?}, {all} classes");
            }
            let op = how.operation(&pair.alone.case.set).executor(Executor::Serial).accumulate(true);
            let (_, sums) = pair.alone.run_some::<f32, f32>(op, layout, None, [true; 3]);
            let want = pair.spread(layout, &sums, Grads::PAINT);
            let op = how.operation(&poisoned.case.set).executor(Executor::Serial).accumulate(true);
            let (_, sums) = poisoned.run_some::<f32, f32>(op, layout, None, [true; 3]);
            for (got, want) in sums.all().into_iter().zip(&want) {
                assert_eq!(bits(got), bits(want), "{layout:?}, {all} classes, added");
            }
        }
    }
}

#[test]
fn halves_under_a_mask_have_the_bits_of_the_same_numbers_in_single() {
    let pair = Pair::new(drawn_of_halves(120), |class, _| class < 40 || class % 3 == 0);
    halves_have_the_bits_of_single(&pair.masked);
}

/// No class to multiply by: every row is ignored or NaN, and no gradient is anything but 0.
#[test]
fn a_mask_of_zeros_has_gradients_of_zero() {
    for recompute in [false, true] {
        for empty_mean in [EmptyMean::Zero, EmptyMean::Nan] {
            for invalid_label in [InvalidLabel::Nan, InvalidLabel::Ignore] {
                for layout in LAYOUTS {
                    let mut layer = Layer::drawn(6, 4, 4_200, 3);
                    layer.recompute = recompute;
                    layer.case.set.class_mask = Some(vec![0; 4_200]);
                    layer.case.set.reduction = Reduction::Mean;
                    (layer.case.set.invalid_label, layer.case.set.empty_mean) = (invalid_label, empty_mean);
                    let how = How::with(Kernel::Best).with_outputs();
                    let (out, grads) = layer.run::<f32, f32>(how, layout, Some(4));
                    assert_eq!(out.invalid_count, 6);
                    let all = grads.all();
                    assert!(
                        all.into_iter().flatten().all(|x| x.to_bits() == 0),
                        "{layout:?}, {invalid_label:?}"
                    );
                }
            }
        }
    }
}
