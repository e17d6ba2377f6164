//! The words that the ways of a call share: what all rows have in common, what a row gives, and where that goes.

use super::plan::Plan;
use super::route::Route;
use super::scan::Upstream;
use super::scratch::streams;
use super::{Access, Call, Results};
use crate::element::{Element, Target};
use crate::kernels::objective::RowLines;
use crate::kernels::rows::{self, Asked, Small};
use crate::objective::RowResult;
use crate::options::Wanted;
use core::ops::Range;

/// What a row gives beside its gradient.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowOutputs {
    pub(super) loss: f64,
    pub(super) log_prob: f64,
    pub(super) log_sum_exp: f64,
    pub(super) prediction: i32,
}

impl RowOutputs {
    /// A row that is not looked at.
    pub(super) fn unread(loss: f64) -> Self {
        Self { loss, log_prob: f64::NAN, log_sum_exp: f64::NAN, prediction: -1 }
    }

    pub(super) fn new(result: &RowResult, prediction: Option<i32>) -> Self {
        Self {
            loss: result.loss,
            log_prob: result.log_prob,
            log_sum_exp: result.log_sum_exp,
            prediction: prediction.unwrap_or(-1),
        }
    }
}

/// One unit's slices of the per-row results.
type ResultPart<'a> = (Target<'a>, Option<Target<'a>>, Option<Target<'a>>, Option<&'a mut [i32]>);

/// What some rows give beside their gradient: a slice of each result, one entry per row.
pub(super) struct Columns<'a> {
    pub(super) losses: Target<'a>,
    pub(super) log_sum_exp: Option<Target<'a>>,
    pub(super) log_probs: Option<Target<'a>>,
    pub(super) predictions: Option<&'a mut [i32]>,
}

impl<'a> Columns<'a> {
    /// The parts of a unit, as [`Results::by_rows`] cut them.
    pub(super) fn new((losses, log_sum_exp, log_probs, predictions): ResultPart<'a>) -> Self {
        Self { losses, log_sum_exp, log_probs, predictions }
    }

    /// Of all rows of a call.
    #[inline]
    pub(super) fn all<'r: 'a>(results: &'a mut Results<'r>) -> Self {
        Self {
            losses: results.losses.whole(),
            log_sum_exp: results.log_sum_exp.as_mut().map(Target::whole),
            log_probs: results.target_log_prob.as_mut().map(Target::whole),
            predictions: results.predictions.as_deref_mut(),
        }
    }

    /// Some of the rows.
    pub(super) fn rows(&mut self, range: Range<usize>) -> Columns<'_> {
        Columns {
            losses: self.losses.part(range.clone()),
            log_sum_exp: self.log_sum_exp.as_mut().map(|numbers| numbers.part(range.clone())),
            log_probs: self.log_probs.as_mut().map(|numbers| numbers.part(range.clone())),
            predictions: self.predictions.as_deref_mut().map(|slice| &mut slice[range]),
        }
    }

    /// Up to [`WIDTH`](crate::kernels::objective::WIDTH) rows, but for their predictions.
    pub(super) fn put_all(&mut self, rows: &RowLines) {
        let count = self.losses.len();
        self.losses.narrow(&rows.loss[..count]);
        if let Some(numbers) = &mut self.log_sum_exp {
            numbers.narrow(&rows.log_sum_exp[..count]);
        }
        if let Some(numbers) = &mut self.log_probs {
            numbers.narrow(&rows.log_prob[..count]);
        }
    }

    pub(super) fn put(&mut self, row: usize, values: &RowOutputs) {
        self.losses.set(row, values.loss);
        if let Some(numbers) = &mut self.log_sum_exp {
            numbers.set(row, values.log_sum_exp);
        }
        if let Some(numbers) = &mut self.log_probs {
            numbers.set(row, values.log_prob);
        }
        if let Some(slice) = &mut self.predictions {
            slice[row] = values.prediction;
        }
    }
}

/// What all rows of a call share.
pub(super) struct Rules<'a> {
    pub(super) plan: &'a Plan<'a>,
    /// Whether rows are computed in single precision.
    pub(super) in_single: bool,
    pub(super) upstream: Upstream<'a>,
    pub(super) wants: Wanted,
    pub(super) accumulate: bool,
    pub(super) scale: f32,
    /// The weight and the step of each row that counts, where all have the same.
    pub(super) alike: Option<(f32, f32)>,
}

/// A step in single precision. One that is too small for it does not become 0, since a row with NaN would then have a gradient of 0.
#[inline(always)]
pub(super) fn step(step: f64) -> f32 {
    let single = f32::from_f64(step);
    if single == 0.0 && step != 0.0 { f32::from_bits(1).copysign(single) } else { single }
}

impl<'a> Rules<'a> {
    pub(super) fn new(call: &Call<'a>, route: Route, results: &Results<'_>) -> Self {
        let (plan, upstream) = (call.plan, call.scan.upstream(call.plan));
        let alike = match (plan.uniform_weight(), upstream.uniform(), &plan.kept) {
            (Some(weight), Some(upstream), None) if upstream != 0.0 => {
                Some((f32::from_f64(weight), step(upstream * plan.objective.scale * weight)))
            }
            _ => None,
        };
        Self {
            plan,
            in_single: route.is_single(),
            upstream,
            alike,
            wants: Wanted {
                log_sum_exp: results.log_sum_exp.is_some(),
                target_log_prob: results.target_log_prob.is_some(),
                predictions: results.predictions.is_some(),
                per_class: results.per_class.is_some(),
                ..Wanted::default()
            },
            accumulate: call.plan.options.accumulate,
            scale: f32::from_f64(call.plan.options.logit_scale),
        }
    }

    /// What is computed of each row; small ones are those of `counted` classes.
    pub(super) fn asked(&self, counted: usize) -> Asked<'_> {
        let (classes, moment) = (self.plan.classes(), self.plan.moment());
        let small = Small::new(&self.plan.objective, counted, moment);
        Asked { classes, scale: self.scale, moment, small }
    }

    /// Reads the gradient that will be added to, so that it comes from memory to the caches at full speed: adding takes a read, a product
    /// and a write in turn.
    pub(super) fn read_ahead(&self, access: &mut Access<'_>) {
        if self.accumulate
            && streams(self.plan)
            && let Some(gradient) = access.gradient().and_then(Target::single)
        {
            rows::read_ahead(gradient);
        }
    }

    /// Whether requested outputs make the logits of an inactive row worth a look.
    pub(super) fn looks_at_inactive(&self) -> bool {
        self.wants.log_sum_exp || self.wants.target_log_prob || self.wants.predictions
    }
}
