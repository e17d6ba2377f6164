//! Where cases come from: seeded numbers that TypeScript can draw too, the list of options that tests go through one by
//! one, and options drawn at random, which proptest shrinks to none.
#![expect(unreachable_pub, reason = "a module of a program")]

use crate::support::{Case, Settings, Upstream};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sparse_xent::{Denominator, EmptyMean, Input, InvalidLabel, ProbsNormalize, Reduction, SmoothingWeights};

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

    fn pick(&mut self, from: &[f64]) -> f64 {
        from[self.below(from.len())]
    }

    pub fn logits(&mut self, count: usize, magnitude: f64) -> Vec<f64> {
        (0..count).map(|_| self.unit() * magnitude).collect()
    }
}

fn signed(class: usize) -> i64 {
    i64::try_from(class).expect("a small class")
}

/// Rows with classes side by side, one of each label.
pub fn rows(classes: usize, magnitude: f64, seed: u32) -> Case {
    let labels: Vec<i64> = (0..classes).map(signed).collect();
    let logits = Draw(seed).logits(classes * classes, magnitude);
    let name = format!("{classes} rows of as many classes, magnitude {magnitude}");
    Case::new(&name, [classes, classes, 1], &logits, &labels, Settings::none())
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
        ("generalised 0.7", |case| case.set.gce_q = 0.7),
        ("generalised 1", |case| case.set.gce_q = 1.0),
        ("generalised 0.3 with smoothing, class weights, z-loss and scale", |case| {
            class_weights(case);
            smooth(case);
            (case.set.gce_q, case.set.z_loss, case.set.logit_scale) = (0.3, 0.01, 0.5);
        }),
        ("capped at 3", |case| case.set.softcap = 3.0),
        ("capped at 1.5 and scaled, with smoothing, class weights, z-loss and a mask", |case| {
            mask(case);
            smooth(case);
            class_weights(case);
            (case.set.softcap, case.set.z_loss, case.set.logit_scale) = (1.5, 0.01, 2.0);
        }),
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

/// What the numbers of a case depend on besides its shape. The numbers themselves are drawn with `seed`.
#[derive(Clone, Debug)]
pub struct Choices {
    pub seed: u32,
    pub magnitude: f64,
    pub class_weight: bool,
    pub sample_weight: bool,
    /// Whether weights may be negative.
    pub signed: bool,
    pub label_smoothing: f64,
    pub smoothing_weights: SmoothingWeights,
    pub z_loss: f64,
    pub focal_gamma: f64,
    pub poly1_epsilon: f64,
    /// Where it is not 0, focal and poly-1 are left out.
    pub gce_q: f64,
    pub softcap: f64,
    pub logit_scale: f64,
    pub ignores: bool,
    /// What some labels that name no class mean; under `Throw` there are none.
    pub invalid_label: InvalidLabel,
    pub masks: bool,
    pub matrix: bool,
    /// `None`: one per row.
    pub upstream: Option<f64>,
    pub input: Input,
    pub normalize: ProbsNormalize,
}

fn sometimes<T: Clone + core::fmt::Debug + 'static>(
    one_in: u32,
    otherwise: T,
    values: &'static [T],
) -> impl Strategy<Value = T> {
    prop_oneof![one_in - 1 => Just(otherwise), 1 => select(values)]
}

fn one_in(count: u32) -> impl Strategy<Value = bool> {
    prop::bool::weighted(1.0 / f64::from(count))
}

/// Every option but the reduction.
pub fn choices() -> impl Strategy<Value = Choices> {
    let weights = (one_in(3), one_in(3), one_in(4), sometimes(3, 0.0, &[0.1, 0.15, 0.5, 1.0]), one_in(2));
    let terms = (
        sometimes(4, 0.0, &[1e-4, 0.01]),
        sometimes(5, 0.0, &[0.5, 1.0, 2.0, 2.5]),
        sometimes(5, 0.0, &[-1.0, -0.5, 1.0, 2.0]),
        sometimes(5, 1.0, &[0.5, 0.25, 2.0]),
        sometimes(6, 0.0, &[0.7, 1.0, 0.3, 1e-3, 1e-30]),
        sometimes(6, 0.0, &[30.0, 50.0, 1.0]),
    );
    let classes = (one_in(3), sometimes(8, InvalidLabel::Throw, &INVALID), one_in(5), one_in(12));
    let input = (sometimes(8, Input::Logits, &INPUTS), select(&NORMALIZE[..]));
    let upstream = sometimes(2, Some(1.0), &[Some(-0.5), Some(0.0), None, None]);
    (any::<u32>(), select(&MAGNITUDES[..]), weights, terms, classes, upstream, input).prop_map(
        |(seed, magnitude, weights, terms, classes, upstream, (input, normalize))| Choices {
            seed,
            magnitude,
            class_weight: weights.0,
            sample_weight: weights.1,
            signed: weights.2,
            label_smoothing: weights.3,
            smoothing_weights: if weights.4 { SmoothingWeights::Row } else { SmoothingWeights::Class },
            z_loss: terms.0,
            focal_gamma: terms.1,
            poly1_epsilon: terms.2,
            logit_scale: terms.3,
            gce_q: terms.4,
            softcap: terms.5,
            ignores: classes.0,
            invalid_label: classes.1,
            masks: classes.2,
            matrix: classes.3,
            upstream,
            input,
            normalize,
        },
    )
}

const MAGNITUDES: [f64; 7] = [1.0, 0.1, 1e-3, 4.0, 20.0, 100.0, 1e4];
const INVALID: [InvalidLabel; 2] = [InvalidLabel::Nan, InvalidLabel::Ignore];
const INPUTS: [Input; 2] = [Input::LogProbs, Input::Probs];
const NORMALIZE: [ProbsNormalize; 3] = [ProbsNormalize::Before, ProbsNormalize::After, ProbsNormalize::None];
/// Exact in every dtype, and so are their products and sums.
const WEIGHTS: [f64; 7] = [1.0, 0.0, 0.25, 0.5, 1.5, 2.0, 3.0];
const SIGNED_WEIGHTS: [f64; 7] = [1.0, 0.0, -0.25, 0.5, -1.5, 2.0, -3.0];
/// The label matrix has C^2 entries.
const MATRIX_CLASSES: usize = 130;

impl Choices {
    /// The case of these choices, row losses by no reduction. Options that the input excludes are left out.
    pub fn case(&self, shape: [usize; 3]) -> Case {
        let [outer, classes, inner] = shape;
        let (rows, mut draw) = (outer * inner, Draw(self.seed));
        let mut logits = draw.logits(rows * classes, self.magnitude);
        match self.input {
            Input::Logits => {}
            Input::LogProbs => logits.iter_mut().for_each(|x| *x = -x.abs()),
            Input::Probs => logits.iter_mut().for_each(|x| *x = (x.abs() / self.magnitude).min(1.0)),
        }
        let from = if self.signed { &SIGNED_WEIGHTS } else { &WEIGHTS };
        let mut weights =
            |count, wanted: bool| wanted.then(|| (0..count).map(|_| draw.pick(from)).collect::<Vec<f64>>());
        let mut set = Settings {
            class_weight: weights(classes, self.class_weight),
            sample_weight: weights(rows, self.sample_weight),
            input: self.input,
            probs_normalize: self.normalize,
            invalid_label: self.invalid_label,
            upstream: match self.upstream {
                Some(one) => Upstream::One(one),
                None => Upstream::Each((0..rows).map(|_| draw.pick(&SIGNED_WEIGHTS)).collect()),
            },
            ..Settings::none()
        };
        let mut labels: Vec<i64> = (0..rows).map(|_| signed(draw.below(classes))).collect();
        if self.input != Input::Probs {
            (set.label_smoothing, set.smoothing_weights) = (self.label_smoothing, self.smoothing_weights);
            if self.gce_q == 0.0 {
                (set.focal_gamma, set.poly1_epsilon) = (self.focal_gamma, self.poly1_epsilon);
            }
            set.gce_q = self.gce_q;
            if self.masks {
                let mask: Vec<u8> = (0..classes).map(|_| u8::from(draw.below(4) > 0)).collect();
                self.keep_labels(&labels, set.class_mask.insert(mask));
            }
            if self.matrix && classes <= MATRIX_CLASSES {
                set.label_matrix = Some((0..classes * classes).map(|_| 0.25 * draw.pick(from)).collect());
                set.class_weight = None;
                (set.label_smoothing, set.focal_gamma, set.poly1_epsilon) = (0.0, 0.0, 0.0);
                set.gce_q = 0.0;
            }
        }
        if self.input == Input::Logits {
            (set.z_loss, set.logit_scale) = (self.z_loss, self.logit_scale);
            set.softcap = self.softcap;
        }
        if self.ignores {
            set.ignore = vec![-100, 2];
            labels.iter_mut().filter(|_| draw.below(5) == 0).for_each(|label| *label = -100);
        }
        if self.invalid_label != InvalidLabel::Throw {
            let outside = [-1, signed(classes), signed(classes) + 7];
            labels.iter_mut().filter(|_| draw.below(6) == 0).for_each(|label| {
                *label = outside[usize::try_from(label.unsigned_abs()).expect("a class") % outside.len()];
            });
        }
        Case::new(&format!("{shape:?} {self:?}"), shape, &logits, &labels, set)
    }

    /// Keeps a class at least, and that of every label where masked ones are an error.
    fn keep_labels(&self, labels: &[i64], mask: &mut [u8]) {
        let of_labels = labels.iter().filter(|_| self.invalid_label == InvalidLabel::Throw);
        for label in of_labels.chain(&[0]) {
            mask[usize::try_from(*label).expect("a class")] = 1;
        }
    }
}

/// A sum or mean with a denominator, as what it makes of a case.
pub fn reductions() -> impl Strategy<Value = Reduced> {
    let reduction = select(&[Reduction::Mean, Reduction::Mean, Reduction::Sum][..]);
    let denominator = select(&DENOMINATORS[..]);
    let empty_mean = select(&[EmptyMean::Zero, EmptyMean::Nan][..]);
    (reduction, denominator, empty_mean, select(&[1.0, -2.0, 0.0][..])).prop_map(Reduced)
}

const DENOMINATORS: [Denominator; 5] = [
    Denominator::Weights,
    Denominator::Valid,
    Denominator::All,
    Denominator::NonZero,
    Denominator::Count(12.0),
];

/// A reduction, its denominator, what it is over nothing, and the upstream gradient.
#[derive(Clone, Copy, Debug)]
pub struct Reduced((Reduction, Denominator, EmptyMean, f64));

impl Reduced {
    pub fn of(self, mut case: Case) -> Case {
        let (reduction, denominator, empty_mean, upstream) = self.0;
        let upstream = Upstream::One(upstream);
        case.set = Settings { reduction, denominator, empty_mean, upstream, ..case.set };
        case
    }
}

/// Draws from strategies in an order that a seed fixes, for tests that go through a list of sizes.
#[derive(Debug)]
pub struct Cases(TestRunner);

impl Cases {
    pub fn new(seed: u8) -> Self {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        Cases(TestRunner::new_with_rng(Config::default(), rng))
    }

    pub fn draw<S: Strategy>(&mut self, strategy: S) -> S::Value {
        strategy.new_tree(&mut self.0).expect("nothing is rejected").current()
    }

    pub fn case(&mut self, shape: [usize; 3]) -> Case {
        self.draw(choices()).case(shape)
    }

    pub fn reduced(&mut self, shape: [usize; 3]) -> Case {
        let case = self.case(shape);
        self.draw(reductions()).of(case)
    }
}
