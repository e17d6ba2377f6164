//! A call whose logits are made chunk by chunk, as those of the last layer are. First the call judges labels, weights and options for all
//! rows. Then it computes one chunk of rows after the other, in place. At the end it adds up the losses of all rows.

use super::plan::{self, Plan};
use super::scan::{Scan, Upstream, scan};
use super::totals::Room;
use super::{Access, Call, Results, Summary, zeros};
use crate::element::{Source, Target};
use crate::labels::Labels;
use crate::options::{CrossEntropy, InvalidLabel, Reduction, RowValues, Wanted, Weights};
use crate::{Error, Shape};
use core::sync::atomic::AtomicI32;
use std::borrow::Cow;

/// What a row gives, and so whether its logits are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing: its loss and gradient are 0, whatever its logits are.
    Dropped,
    /// Results, but its gradient is 0.
    Silent,
    /// Loss and gradient.
    Counted,
}

/// A call whose labels, weights and options have been judged.
pub(crate) struct ByChunk<'a> {
    pub(super) plan: Plan<'a>,
    pub(super) scan: Scan,
    pub(super) cancel: Option<&'a AtomicI32>,
    /// Class weights of the kept classes, where a mask takes some out.
    class_weight: Vec<f64>,
}

/// Scratch of [`ByChunk::run`]: the labels, weights and results of the rows of a chunk.
pub(crate) struct PerRow {
    labels: Vec<i32>,
    sample_weight: Vec<f64>,
    upstream: Vec<f64>,
    losses: Vec<f32>,
    log_sum_exp: Vec<f32>,
    target_log_prob: Vec<f32>,
    predictions: Vec<i32>,
}

/// The first of some slots, where they are wanted.
fn column(is_wanted: bool, slots: &mut [f32], count: usize) -> Option<Target<'_>> {
    is_wanted.then(|| Target::F32(&mut slots[..count]))
}

impl<'a> ByChunk<'a> {
    pub(crate) fn new(
        options: &'a CrossEntropy<'a>,
        rows: usize,
        classes: usize,
        labels: &Labels<'_>,
        cancel: Option<&'a AtomicI32>,
    ) -> Result<Self, Error> {
        let shape = Shape::of_rows(rows, classes)?;
        let plan = Plan::new(options, shape, labels)?;
        let scan = scan(&plan, labels, options.executor, cancel)?;
        let mut class_weight = Vec::new();
        if let (Some(kept), Some(weights)) = (&plan.kept, options.class_weight) {
            class_weight = zeros(kept.classes.len())?;
            class_weight
                .iter_mut()
                .zip(&kept.classes)
                .for_each(|(x, class)| *x = weights.get(*class as usize));
        }
        Ok(Self { plan, scan, cancel, class_weight })
    }

    /// The classes that take part, where a mask takes some out and leaves some.
    pub(crate) fn kept(&self) -> Option<&[u32]> {
        self.plan.kept.as_ref().map(|kept| &kept.classes[..])
    }

    /// How many classes take part: so many logits a row is to have.
    pub(crate) fn classes(&self) -> usize {
        self.plan.classes()
    }

    #[inline(never)] // it is asked for in many places
    pub(crate) fn fate(&self, row: usize, results: &Results<'_>) -> Fate {
        match self.plan.fate(self.scan.classes[row], self.plan.options.sample_weight.get(row)) {
            plan::Fate::Ignored => Fate::Dropped,
            plan::Fate::Inactive(_) if Self::looks_at_inactive(results) => Fate::Silent,
            plan::Fate::Inactive(_) => Fate::Dropped,
            plan::Fate::Row(_) if self.upstream_of(row) == 0.0 => Fate::Silent,
            plan::Fate::Nan | plan::Fate::Row(_) => Fate::Counted,
        }
    }

    fn looks_at_inactive(results: &Results<'_>) -> bool {
        results.log_sum_exp.is_some() || results.target_log_prob.is_some() || results.predictions.is_some()
    }

    /// Whether a row is not ignored.
    pub(crate) fn is_valid(&self, row: usize) -> bool {
        self.scan.classes[row] != crate::labels::IGNORED
    }

    /// Whether any row is not ignored.
    pub(crate) fn counts_any(&self) -> bool {
        self.scan.valid > 0
    }

    pub(crate) fn accumulates(&self) -> bool {
        self.plan.options.accumulate
    }

    /// Whether a class is not masked.
    pub(crate) fn keeps(&self, class: usize) -> bool {
        self.plan.options.class_mask.is_none_or(|mask| mask[class] != 0)
    }

    /// The gradient of a mean over nothing, which is the same in every valid row: 0 or NaN. `None` for any other loss.
    pub(crate) fn gradient_of_nothing(&self) -> Option<f32> {
        match self.scan.upstream(&self.plan) {
            Upstream::Empty(value) if value.is_nan() => Some(f32::NAN),
            Upstream::Empty(_) => Some(0.0),
            Upstream::Row(..) => None,
        }
    }

    pub(super) fn upstream_of(&self, row: usize) -> f64 {
        self.scan.upstream(&self.plan).of(row)
    }

    /// Scratch for chunks of at most so many rows.
    pub(crate) fn per_row(&self, rows: usize, results: &Results<'_>) -> Result<PerRow, Error> {
        let each = |is_wanted: bool| if is_wanted { rows } else { 0 };
        Ok(PerRow {
            labels: zeros(rows)?,
            sample_weight: zeros(rows)?,
            upstream: zeros(rows)?,
            losses: zeros(rows)?,
            log_sum_exp: zeros(each(results.log_sum_exp.is_some()))?,
            target_log_prob: zeros(each(results.target_log_prob.is_some()))?,
            predictions: zeros(each(results.predictions.is_some()))?,
        })
    }

    /// Sets all results to those of dropped rows. To be called before the chunks.
    pub(crate) fn begin(results: &mut Results<'_>) {
        results.losses.fill(0.0);
        for numbers in [&mut results.log_sum_exp, &mut results.target_log_prob].into_iter().flatten() {
            numbers.fill(f64::NAN);
        }
        if let Some(slice) = &mut results.predictions {
            slice.fill(-1);
        }
    }

    /// Computes the losses of some rows, whose logits of the classes that take part lie side by side. On request it puts their gradient in the
    /// logits' place.
    pub(crate) fn run(
        &self,
        rows: &[u32],
        logits: &mut [f32],
        with_gradient: bool,
        results: &mut Results<'_>,
        per_row: &mut PerRow,
    ) -> Result<(), Error> {
        let options = self.plan.options;
        let count = rows.len();
        for (index, row) in rows.iter().enumerate() {
            let row = *row as usize;
            let class = self.scan.classes[row];
            per_row.labels[index] = self.plan.kept.as_ref().map_or(class, |kept| kept.label(class));
            per_row.sample_weight[index] = options.sample_weight.get(row);
            per_row.upstream[index] = self.upstream_of(row);
        }
        let sample_weight = match options.sample_weight {
            RowValues::Scalar(weight) => RowValues::Scalar(weight),
            RowValues::PerRow(_) => RowValues::PerRow(Weights::F64(&per_row.sample_weight[..count])),
        };
        let upstream = match options.upstream {
            RowValues::Scalar(_) => RowValues::Scalar(per_row.upstream.first().copied().unwrap_or_default()),
            RowValues::PerRow(_) => RowValues::PerRow(Weights::F64(&per_row.upstream[..count])),
        };
        let chunk = CrossEntropy {
            reduction: Reduction::None,
            ignore: Cow::Borrowed(&[]),
            // Labels that are no class were judged before. They are rows of NaN here.
            invalid_label: InvalidLabel::Nan,
            sample_weight,
            upstream,
            class_mask: None,
            class_weight: match options.class_weight {
                Some(_) if self.plan.kept.is_some() => Some(Weights::F64(&self.class_weight)),
                weights => weights,
            },
            accumulate: false,
            outputs: Wanted::default(),
            ..options.clone()
        };
        let mut into = Results {
            losses: Target::F32(&mut per_row.losses[..count]),
            log_sum_exp: column(results.log_sum_exp.is_some(), &mut per_row.log_sum_exp, count),
            target_log_prob: column(results.target_log_prob.is_some(), &mut per_row.target_log_prob, count),
            predictions: results.predictions.is_some().then(|| &mut per_row.predictions[..count]),
            per_class: None,
            distribution: None,
        };
        let access = match with_gradient {
            true => Access::InPlace(Target::F32(logits)),
            false => Access::Loss(Source::F32(logits)),
        };
        let shape = Shape::of_rows(count, self.classes())?;
        let labels = Labels::I32(&per_row.labels[..count]);
        chunk.execute(access, shape, labels, &mut into, self.cancel)?;
        for (index, row) in rows.iter().enumerate() {
            let row = *row as usize;
            results.losses.set(row, per_row.losses[index].into());
            if let Some(numbers) = &mut results.log_sum_exp {
                numbers.set(row, per_row.log_sum_exp[index].into());
            }
            if let Some(numbers) = &mut results.target_log_prob {
                numbers.set(row, per_row.target_log_prob[index].into());
            }
            if let Some(slice) = &mut results.predictions {
                let position = usize::try_from(per_row.predictions[index]);
                slice[row] = position.map_or(-1, |position| self.plan.class_at(position));
            }
        }
        Ok(())
    }

    /// The memory that [`ByChunk::totals`] needs.
    pub(crate) fn room(&self, results: &Results<'_>) -> Result<Room, Error> {
        Room::new(&self.call(), results)
    }

    /// The sums over all rows.
    pub(crate) fn totals(&self, mut results: Results<'_>, room: Room) -> Result<Summary, Error> {
        room.totals(&self.call(), &mut results)
    }

    pub(super) fn call(&self) -> Call<'_> {
        Call { plan: &self.plan, scan: &self.scan, executor: self.plan.options.executor, cancel: self.cancel }
    }
}
