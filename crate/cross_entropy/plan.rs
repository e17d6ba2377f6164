//! The options of a call, checked against its shape and resolved to what the units need.

use super::{fits, zeros};
use crate::element::{Element, Source};
use crate::kernels::double::Probs;
use crate::kernels::softcap::Softcap;
use crate::kernels::{Bias, MomentOf};
use crate::labels::{LabelRule, Labels};
use crate::objective::{Coefficients, Objective, RowWeights};
use crate::options::{self, CrossEntropy, Input, RowValues, SmoothingWeights, Weights};
use crate::simd::MOST_LANES;
use crate::{Error, Shape};

pub(crate) struct Plan<'a> {
    pub(super) options: &'a CrossEntropy<'a>,
    pub(super) shape: Shape,
    pub(super) objective: Objective,
    pub(super) probs: Option<Probs>,
    pub(super) softcap: Option<Softcap>,
    /// The kept classes, where a class mask removes some and keeps some.
    pub(super) kept: Option<Kept>,
    /// Whether the mask keeps no class. Every row is then ignored or invalid, and every gradient is 0.
    pub(super) keeps_none: bool,
    /// Class weights of the kept classes in single precision, where smoothing carries them; padded.
    smoothing_vector: Vec<f32>,
    /// Their sum, or the number of kept classes.
    smoothing_total: f64,
    /// The sums of the label matrix's lines over the kept classes.
    matrix_totals: Option<Vec<f64>>,
}

/// The classes that a mask keeps, and where each class went.
pub(super) struct Kept {
    pub(super) classes: Vec<u32>,
    position: Vec<i32>,
}

/// What a row is; see [`Plan::kind`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Ignored,
    Nan,
    Inactive,
    Row,
}

impl Kind {
    /// Tells it by a row's class, or by one of the codes of [`crate::labels`].
    #[inline(always)]
    pub(super) fn of(class: i32, is_active: bool) -> Self {
        match class {
            0.. if is_active => Self::Row,
            0.. => Self::Inactive,
            crate::labels::IGNORED => Self::Ignored,
            _ => Self::Nan,
        }
    }
}

/// What one row is to be, with all that a row by itself needs: see [`Plan::fate`].
pub(super) enum Fate {
    /// Ignored: loss 0 and gradient 0, the logits are not looked at.
    Ignored,
    /// The row weighs nothing: its loss and gradient are 0, and its logits are read only for outputs that were asked for. Holds the
    /// label's place among the kept classes.
    Inactive(usize),
    /// Loss and gradient NaN.
    Nan,
    /// Computed.
    Row(RowPlan),
}

/// A row that counts.
pub(super) struct RowPlan {
    pub(super) class: usize,
    /// Its place among the kept classes.
    pub(super) label: usize,
    pub(super) weights: RowWeights,
}

impl RowPlan {
    /// A row whose outputs are wanted though its weight is 0.
    pub(super) fn unweighted(label: usize) -> Self {
        Self { class: 0, label, weights: RowWeights::NONE }
    }
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        options: &'a CrossEntropy<'a>,
        shape: Shape,
        labels: &Labels<'_>,
    ) -> Result<Self, Error> {
        let classes = shape.classes();
        fits(labels.len(), shape.rows(), "labels")?;
        if let Some(weights) = options.class_weight {
            fits(weights.len(), classes, "classWeight")?;
        }
        for (values, what) in [(options.sample_weight, "sampleWeight"), (options.upstream, "upstream")] {
            if let RowValues::PerRow(values) = values {
                fits(values.len(), shape.rows(), what)?;
            }
        }
        if let Some(mask) = options.class_mask {
            fits(mask.len(), classes, "classMask")?;
        }
        if let Some(matrix) = options.label_matrix {
            fits(matrix.len(), classes.saturating_mul(classes), "labelMatrix")?;
        }
        options::check(options)?;
        let k = options.outputs.top_k;
        if k > classes {
            let expected = "at most as many as there are classes";
            return Err(Error::OptionRange { option: "k", got: k as f64, expected });
        }
        let kept = options.class_mask.map(Kept::new).transpose()?.flatten();
        let keeps_none = options.class_mask.is_some_and(|mask| mask.iter().all(|keep| *keep == 0));
        let count = kept.as_ref().map_or(classes, |kept| kept.classes.len());
        let each = |position: usize| kept.as_ref().map_or(position, |kept| kept.classes[position] as usize);
        let by_class = options.smoothing_weights == SmoothingWeights::Class;
        let carries_weights = options.terms.label_smoothing > 0.0 && by_class;
        let mut smoothing_vector = Vec::new();
        let mut smoothing_total = count as f64;
        if let Some(weights) = options.class_weight.filter(|_| carries_weights) {
            smoothing_total = (0..count).map(|position| weights.get(each(position))).sum();
            smoothing_vector = padded(count, |position| weights.get(each(position)))?;
        }
        let matrix_totals =
            options.label_matrix.map(|matrix| totals(matrix, classes, count, each)).transpose()?;
        Ok(Self {
            options,
            shape,
            objective: Objective {
                classes: count as f64,
                scale: options.logit_scale,
                terms: options.terms,
                smoothing_by_class: by_class,
                matrix: matrix_totals.is_some(),
            },
            probs: (options.input == Input::Probs)
                .then_some(Probs { bound: options.probs_epsilon, normalize: options.probs_normalize }),
            softcap: Softcap::new(options.softcap),
            kept,
            keeps_none,
            smoothing_vector,
            smoothing_total,
            matrix_totals,
        })
    }

    /// The number of kept classes.
    pub(super) fn classes(&self) -> usize {
        self.kept.as_ref().map_or(self.shape.classes(), |kept| kept.classes.len())
    }

    pub(super) fn label_rule(&self) -> LabelRule<'_> {
        LabelRule {
            classes: self.shape.classes(),
            ignore: &self.options.ignore,
            kept: self.options.class_mask,
        }
    }

    /// The class weight of a label.
    pub(super) fn class_weight(&self, class: usize) -> f64 {
        self.options.class_weight.map_or(1.0, |weights| weights.get(class))
    }

    /// The class weights of rows with these classes; 1 for codes.
    pub(super) fn class_weights(&self, classes: &[i32], into: &mut [f64]) {
        match self.options.class_weight {
            Some(weights) => weights.gather(classes, into),
            None => into.fill(1.0),
        }
    }

    /// The one weight that all rows have which are not ignored, where it is not 0.
    pub(super) fn uniform_weight(&self) -> Option<f64> {
        match (self.options.class_weight, self.options.sample_weight) {
            (None, RowValues::Scalar(weight)) if weight != 0.0 => Some(weight),
            _ => None,
        }
    }

    /// Whether each row weighs 1.
    pub(super) fn is_unweighted(&self) -> bool {
        self.uniform_weight() == Some(1.0)
    }

    /// Whether the input is scores, not probabilities or their logarithms.
    pub(super) fn reads_logits(&self) -> bool {
        self.options.input == Input::Logits
    }

    /// Whether kernels may read the logits where they are: all classes, and as they were given.
    pub(super) fn takes_as_given(&self) -> bool {
        self.kept.is_none() && self.softcap.is_none()
    }

    /// Whether a kernel of this many lanes takes the rows of these numbers as they lie.
    #[inline(never)]
    pub(super) fn takes(&self, numbers: Source<'_>, lanes: usize) -> bool {
        numbers.single().is_some() && self.takes_as_given() && self.classes() >= lanes
    }

    /// The class at a position among the kept ones.
    pub(super) fn class_at(&self, position: usize) -> i32 {
        let class = self.kept.as_ref().map_or(position, |kept| kept.classes[position] as usize);
        i32::try_from(class).unwrap_or(i32::MAX)
    }

    /// The weight, in full precision, that a position has in the moment and in the bias of a row with this class.
    pub(super) fn share(&self, class: usize, position: usize) -> f64 {
        let column = self.kept.as_ref().map_or(position, |kept| kept.classes[position] as usize);
        match self.options.label_matrix {
            Some(matrix) => matrix.get(class * self.shape.classes() + column),
            None if self.objective.smoothing_by_class => self.class_weight(column),
            None => 1.0,
        }
    }

    /// [`Plan::share`] for the rows of one class. All callers get one type, so that what takes it is compiled once.
    pub(super) fn shares(&self, class: usize) -> impl Fn(usize) -> f64 {
        move |position| self.share(class, position)
    }

    /// Class weights that smoothing carries, where it does.
    pub(super) fn smoothing_vector(&self) -> Option<&[f32]> {
        (!self.smoothing_vector.is_empty()).then_some(&self.smoothing_vector[..])
    }

    /// What a sweep in single precision adds up.
    pub(super) fn moment(&self) -> MomentOf<'_> {
        if !self.objective.needs_moment() {
            return MomentOf::Nothing;
        }
        self.smoothing_vector().map_or(MomentOf::Ones, MomentOf::Weights)
    }

    /// What is added to each element of a row's gradient. Where the scale is negative, a probability that vanished gives -0, and
    /// adding +0 makes it +0.
    pub(super) fn bias(&self, gradient: &Coefficients) -> Bias<'_> {
        let bias = f32::from_f64(gradient.bias);
        match self.smoothing_vector() {
            Some(weights) if bias != 0.0 => Bias::PerClass(bias, weights),
            None if bias != 0.0 => Bias::Uniform(bias),
            _ if gradient.scale < 0.0 => Bias::Uniform(0.0),
            _ => Bias::None,
        }
    }

    /// What a row is by its class, or by one of the codes of [`crate::labels`], its sample weight and its row weight: all ways of a call
    /// ask here. Where smoothing carries class weights, a row has a loss even if its label's class weighs nothing.
    #[inline(always)]
    pub(super) fn kind(&self, class: i32, sample: f64, row: f64) -> Kind {
        let spread = self.objective.terms.label_smoothing > 0.0 && self.objective.smoothing_by_class;
        Kind::of(class, row != 0.0 || (spread && sample != 0.0))
    }

    /// The sum of the weights that smoothing carries.
    pub(super) fn smoothing_total(&self) -> f64 {
        self.smoothing_total
    }

    /// What a row with this class (or one of the codes of [`crate::labels`]) and sample weight is to be.
    #[inline(never)]
    pub(super) fn fate(&self, code: i32, sample: f64) -> Fate {
        let class = usize::try_from(code).unwrap_or_default();
        let label = self.kept.as_ref().map_or(class, |kept| kept.position(class).unwrap_or_default());
        let weight = self.class_weight(class);
        let row = weight * sample;
        match self.kind(code, sample, row) {
            Kind::Ignored => Fate::Ignored,
            Kind::Nan => Fate::Nan,
            Kind::Inactive => Fate::Inactive(label),
            Kind::Row => {
                let totals = self.matrix_totals.as_ref();
                let moment_total = totals.map_or(self.smoothing_total, |totals| totals[class]);
                Fate::Row(RowPlan {
                    class,
                    label,
                    weights: RowWeights { row, sample, class: weight, moment_total },
                })
            }
        }
    }
}

fn padded(count: usize, entry: impl Fn(usize) -> f64) -> Result<Vec<f32>, Error> {
    let mut vector = zeros(count.max(MOST_LANES))?;
    for (position, slot) in vector[..count].iter_mut().enumerate() {
        *slot = f32::from_f64(entry(position));
    }
    Ok(vector)
}

impl Kept {
    /// How many classes there are, kept or not.
    pub(super) fn all(&self) -> usize {
        self.position.len()
    }

    /// Where a class is among the kept ones.
    pub(super) fn position(&self, class: usize) -> Option<usize> {
        usize::try_from(self.position[class]).ok()
    }

    /// Where the class of a row is among the kept ones; negative for the codes of [`crate::labels`].
    #[inline(always)]
    pub(super) fn label(&self, class: i32) -> i32 {
        usize::try_from(class).map_or(-1, |class| self.position[class].max(0))
    }

    /// `None` where the mask keeps every class. Also where it keeps none, since no row is then computed.
    fn new(mask: &[u8]) -> Result<Option<Self>, Error> {
        let count = mask.iter().filter(|keep| **keep != 0).count();
        if count == mask.len() || count == 0 {
            return Ok(None);
        }
        let mut classes = zeros(count)?;
        let mut position = zeros(mask.len())?;
        position.fill(-1);
        let kept = (0_u32..).zip(mask).filter(|(_, keep)| **keep != 0);
        for ((next, slot), (class, _)) in (0_i32..).zip(&mut classes).zip(kept) {
            *slot = class;
            position[class as usize] = next;
        }
        Ok(Some(Self { classes, position }))
    }
}

/// The sums of a label matrix's lines over the kept classes.
fn totals(
    matrix: Weights<'_>,
    classes: usize,
    count: usize,
    each: impl Fn(usize) -> usize,
) -> Result<Vec<f64>, Error> {
    let mut totals = zeros(classes)?;
    for (class, total) in totals.iter_mut().enumerate() {
        *total = (0..count).map(|position| matrix.get(class * classes + each(position))).sum();
    }
    Ok(totals)
}
