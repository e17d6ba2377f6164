//! A call whose logits are made chunk by chunk: labels, weights and options are judged for all rows at once, then the loss runs over
//! chunks of some of the rows, in place, and the sums run over all rows at the end. What an operation that makes its logits needs
//! of this module.

use super::plan::{self, Plan};
use super::scan::{Scan, Upstream};
use super::totals::Room;
use super::{Access, Call, Results, Summary, zeros};
use crate::element::{Source, Target};
use crate::labels::Labels;
use crate::options::{CrossEntropy, Ignore, InvalidLabel, Reduction, RowValues, Wanted, Weights};
use crate::{Error, Shape};
use core::sync::atomic::AtomicI32;

/// What a row needs of its logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing: its loss and gradient are 0.
    Dropped,
    /// Results, but its gradient is 0.
    Silent,
    /// Loss and gradient.
    Counted,
}

/// A judged call.
pub(crate) struct ByChunk<'a> {
    pub(super) plan: Plan<'a>,
    pub(super) scan: Scan,
    pub(super) cancel: Option<&'a AtomicI32>,
}

/// Scratch of [`ByChunk::run`]: what each row of a chunk is given and gives.
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
        let (plan, scan) = options.judge(shape, labels, options.executor, cancel)?;
        Ok(Self { plan, scan, cancel })
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

    /// What dropped rows have as results; to be called before the chunks.
    pub(crate) fn begin(results: &mut Results<'_>) {
        results.losses.fill(0.0);
        for numbers in [&mut results.log_sum_exp, &mut results.target_log_prob].into_iter().flatten() {
            numbers.fill(f64::NAN);
        }
        if let Some(slice) = &mut results.predictions {
            slice.fill(-1);
        }
    }

    /// The losses of some rows, whose logits lie side by side; with their gradient in place of them.
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
            per_row.labels[index] = self.scan.classes[row];
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
            ignore: Ignore::default(),
            // What is no class has been judged: its row is NaN.
            invalid_label: InvalidLabel::Nan,
            sample_weight,
            upstream,
            accumulate: false,
            outputs: Wanted::default(),
            ..options.clone()
        };
        let into = Results {
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
        let shape = Shape::of_rows(count, self.plan.shape.classes())?;
        let labels = Labels::I32(&per_row.labels[..count]);
        chunk.execute(access, shape, labels, into, self.cancel)?;
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
                slice[row] = per_row.predictions[index];
            }
        }
        Ok(())
    }

    /// The memory that [`ByChunk::totals`] needs.
    pub(crate) fn room(&self, results: &Results<'_>) -> Result<Room, Error> {
        self.call().room(results)
    }

    /// The sums over all rows.
    pub(crate) fn totals(&self, results: Results<'_>, room: Room) -> Result<Summary, Error> {
        self.call().totals(results, room)
    }

    pub(super) fn call(&self) -> Call<'_> {
        Call { plan: &self.plan, scan: &self.scan, executor: self.plan.options.executor, cancel: self.cancel }
    }
}
