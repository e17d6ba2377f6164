//! Seeded numbers that TypeScript can draw too, named sizes, and the list of options that the tests go through.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test uses its part of this module"
)]

use crate::support::{Case, Settings, Upstream};
use sparse_xent::{Denominator, InvalidLabel, Reduction, SmoothingWeights};

/// The generator of Numerical Recipes on u32: the same sequence in TypeScript with `Math.imul`.
#[derive(Clone, Debug)]
pub struct Draw(pub u32);

impl Draw {
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0
    }

    /// In -1..1, a multiple of 2^-23, so exact in f32.
    pub fn unit(&mut self) -> f64 {
        (f64::from(self.next() >> 8) - 8_388_608.0) / 8_388_608.0
    }

    /// In 0..bound. The upper bits are the random ones.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a small bound");
        usize::try_from((u64::from(self.next()) * bound) >> 32).expect("below the bound")
    }

    pub fn logits(&mut self, count: usize, magnitude: f64) -> Vec<f64> {
        (0..count).map(|_| self.unit() * magnitude).collect()
    }
}

fn signed(class: usize) -> i64 {
    i64::try_from(class).expect("a small class")
}

/// Logits with period 251, a prime: a swapped or shifted block never matches.
pub fn painted(count: usize) -> Vec<f64> {
    (0..count).map(|i| ((i * 83 % 251) as f64 - 125.0) / 16.0).collect()
}

/// Classes around every edge: one lane to sixteen vectors, the switch to the long-row kernel, the flush to f64.
pub fn class_counts() -> Vec<usize> {
    let edges =
        [96, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 2048, 4095, 4096, 4097, 8191, 8192, 8193];
    (1..=67).chain(edges).collect()
}

/// Labels at the edges of vectors, of the tail and of the row, as rows are few when classes are many.
pub fn labels_everywhere(classes: usize) -> Vec<i64> {
    let last = classes - 1;
    let mut labels: Vec<usize> = if classes <= 67 {
        (0..classes).collect()
    } else {
        vec![
            0,
            1,
            3,
            4,
            7,
            classes / 2,
            1023.min(last),
            1024.min(last),
            last - 4,
            last - 3,
            last - 2,
            last - 1,
            last,
        ]
    };
    labels.push(last / 3);
    labels.into_iter().map(signed).collect()
}

/// Rows with classes side by side, a label at every place.
pub fn rows(classes: usize, magnitude: f64, seed: u32) -> Case {
    let labels = labels_everywhere(classes);
    let logits = Draw(seed).logits(labels.len() * classes, magnitude);
    let name = format!("{} rows of {classes} classes, magnitude {magnitude}", labels.len());
    Case::new(&name, [labels.len(), classes, 1], &logits, &labels, Settings::none())
}

/// Planes of `inner` positions, labels drawn.
pub fn planes(outer: usize, classes: usize, inner: usize, magnitude: f64, seed: u32) -> Case {
    let mut draw = Draw(seed);
    let logits = draw.logits(outer * classes * inner, magnitude);
    let labels: Vec<i64> = (0..outer * inner).map(|_| signed(draw.below(classes))).collect();
    let name = format!("{outer} x {classes} planes of {inner}, magnitude {magnitude}");
    Case::new(&name, [outer, classes, inner], &logits, &labels, Settings::none())
}

/// A way to set options for a case of any size.
pub type Setter = fn(&mut Case);

fn weights(count: usize, seed: u32) -> Vec<f64> {
    let mut draw = Draw(seed);
    (0..count).map(|_| 1.25 + draw.unit()).collect()
}

fn class_weights(case: &mut Case) {
    case.set.class_weight = Some(weights(case.shape[1], 7));
}

fn sample_weights(case: &mut Case) {
    let mut values = weights(case.rows(), 8);
    values.iter_mut().step_by(5).for_each(|weight| *weight = 0.0);
    case.set.sample_weight = Some(values);
}

fn smooth(case: &mut Case) {
    case.set.label_smoothing = 0.1;
}

fn ignore_some(case: &mut Case) {
    case.set.ignore = vec![0, -100];
    case.labels.iter_mut().skip(1).step_by(4).for_each(|label| *label = -100);
}

fn everything(case: &mut Case) {
    (class_weights as Setter)(case);
    sample_weights(case);
    smooth(case);
    ignore_some(case);
    case.set.z_loss = 0.01;
    case.set.focal_gamma = 2.0;
    case.set.poly1_epsilon = 1.0;
    case.set.logit_scale = 0.5;
}

/// A name and how to set it: every option alone, and those that meet in one formula together.
pub fn option_list() -> Vec<(&'static str, Setter)> {
    vec![
        ("mean", |case| case.set.reduction = Reduction::Mean),
        ("sum", |case| case.set.reduction = Reduction::Sum),
        ("mean over all", |case| {
            case.set.reduction = Reduction::Mean;
            case.set.denominator = Denominator::All;
        }),
        ("mean over a number", |case| {
            case.set.reduction = Reduction::Mean;
            case.set.denominator = Denominator::Count(7.5);
        }),
        ("class weights", class_weights),
        ("sample weights, some 0", sample_weights),
        ("class and sample weights, mean", |case| {
            class_weights(case);
            sample_weights(case);
            case.set.reduction = Reduction::Mean;
        }),
        ("mean over nonzero weights", |case| {
            sample_weights(case);
            case.set.reduction = Reduction::Mean;
            case.set.denominator = Denominator::NonZero;
        }),
        ("negative weights", |case| {
            case.set.sample_weight =
                Some(weights(case.rows(), 9).into_iter().map(|weight| weight - 1.3).collect());
        }),
        ("ignored rows, mean over valid", |case| {
            ignore_some(case);
            case.set.reduction = Reduction::Mean;
            case.set.denominator = Denominator::Valid;
        }),
        ("invalid labels are NaN", |case| {
            case.labels.iter_mut().step_by(3).for_each(|label| *label = -7);
            case.set.invalid_label = InvalidLabel::Nan;
        }),
        ("invalid labels are ignored", |case| {
            case.labels.iter_mut().step_by(3).for_each(|label| *label = 1 << 40);
            case.set.invalid_label = InvalidLabel::Ignore;
            case.set.reduction = Reduction::Mean;
        }),
        ("upstream per row", |case| {
            case.set.upstream =
                Upstream::Each(weights(case.rows(), 10).into_iter().map(|x| x - 1.0).collect());
        }),
        ("upstream -3", |case| case.set.upstream = Upstream::One(-3.0)),
        ("smoothing", smooth),
        ("smoothing 1", |case| case.set.label_smoothing = 1.0),
        ("smoothing with class weights", |case| {
            class_weights(case);
            smooth(case);
        }),
        ("smoothing with a class weight of 0", |case| {
            class_weights(case);
            smooth(case);
            case.set.class_weight.as_mut().expect("set above")[0] = 0.0;
        }),
        ("row smoothing with class weights", |case| {
            class_weights(case);
            smooth(case);
            case.set.smoothing_weights = SmoothingWeights::Row;
        }),
        ("z-loss", |case| case.set.z_loss = 0.01),
        ("focal 2", |case| case.set.focal_gamma = 2.0),
        ("focal 0.5", |case| case.set.focal_gamma = 0.5),
        ("poly-1 of 2", |case| case.set.poly1_epsilon = 2.0),
        ("poly-1 of -1", |case| case.set.poly1_epsilon = -1.0),
        ("logit scale 0.25", |case| case.set.logit_scale = 0.25),
        ("logit scale 3", |case| case.set.logit_scale = 3.0),
        ("class mask", mask),
        ("class mask with smoothing", |case| {
            mask(case);
            smooth(case);
            class_weights(case);
        }),
        ("label matrix", |case| {
            case.set.label_matrix = Some(weights(case.shape[1] * case.shape[1], 11));
        }),
        ("everything", everything),
        ("everything, row smoothing, mean", |case| {
            everything(case);
            case.set.smoothing_weights = SmoothingWeights::Row;
            case.set.reduction = Reduction::Mean;
        }),
        ("everything masked, mean over valid", |case| {
            mask(case);
            everything(case);
            case.set.reduction = Reduction::Mean;
            case.set.denominator = Denominator::Valid;
        }),
    ]
}

/// Takes out every third class; labels there become the first class, which stays.
fn mask(case: &mut Case) {
    let keep: Vec<u8> = (0..case.shape[1]).map(|class| u8::from(class % 3 != 2)).collect();
    for label in &mut case.labels {
        let is_masked = usize::try_from(*label).is_ok_and(|class| keep.get(class) == Some(&0));
        if is_masked {
            *label = 0;
        }
    }
    case.set.class_mask = Some(keep);
}
