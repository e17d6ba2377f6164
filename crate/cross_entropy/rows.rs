//! Rows whose classes lie side by side, unit by unit; and one row of any kind, which the strided layout borrows.

use super::deliver::gather;
use super::group::Group;
use super::plan::{Fate, PADDING, Plan, RowPlan};
use super::scan::{UNIT, Upstream};
use super::single::{BlockRow, LOGITS};
use super::{Access, Call, Results, zeros};
use crate::Error;
use crate::element::{Element, GradElement};
use crate::kernels::planes::PlainRows;
use crate::kernels::{double, rows};
use crate::objective::RowResult;
use crate::options::Wanted;
use crate::parallel::PerWorker;
use crate::simd::Isa;
use core::ops::Range;

/// Logits of a unit of work: tens of microseconds, and far below the ten milliseconds that the executor allows.
const UNIT_ELEMENTS: usize = 1 << 16;

/// What a row gives beside its gradient.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowValues {
    pub(super) loss: f64,
    pub(super) log_prob: f64,
    pub(super) log_sum_exp: f64,
    pub(super) prediction: i32,
}

impl RowValues {
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
type ResultPart<'a, L> = (&'a mut [L], Option<&'a mut [L]>, Option<&'a mut [L]>, Option<&'a mut [i32]>);

/// What some rows give beside their gradient: a slice of each result, one entry per row.
pub(super) struct Columns<'a, L> {
    pub(super) losses: &'a mut [L],
    pub(super) log_sum_exp: Option<&'a mut [L]>,
    pub(super) log_probs: Option<&'a mut [L]>,
    pub(super) predictions: Option<&'a mut [i32]>,
}

impl<'a, L: Element> Columns<'a, L> {
    /// The parts of a unit, as [`Results::by_rows`] cut them.
    pub(super) fn new((losses, log_sum_exp, log_probs, predictions): ResultPart<'a, L>) -> Self {
        Self { losses, log_sum_exp, log_probs, predictions }
    }

    /// Some of the rows.
    pub(super) fn rows(&mut self, range: Range<usize>) -> Columns<'_, L> {
        Columns {
            losses: &mut self.losses[range.clone()],
            log_sum_exp: self.log_sum_exp.as_deref_mut().map(|slice| &mut slice[range.clone()]),
            log_probs: self.log_probs.as_deref_mut().map(|slice| &mut slice[range.clone()]),
            predictions: self.predictions.as_deref_mut().map(|slice| &mut slice[range]),
        }
    }

    /// All rows of a tile, but for their predictions.
    pub(super) fn put_all(&mut self, rows: &PlainRows) {
        L::narrow(&rows.loss[..self.losses.len()], self.losses);
        for (slots, line) in
            [(&mut self.log_sum_exp, &rows.log_sum_exp), (&mut self.log_probs, &rows.log_prob)]
        {
            if let Some(slots) = slots {
                L::narrow(&line[..slots.len()], slots);
            }
        }
    }

    #[inline(always)]
    pub(super) fn put(&mut self, row: usize, values: &RowValues) {
        self.losses[row] = L::from_f64(values.loss);
        if let Some(slice) = &mut self.log_sum_exp {
            slice[row] = L::from_f64(values.log_sum_exp);
        }
        if let Some(slice) = &mut self.log_probs {
            slice[row] = L::from_f64(values.log_prob);
        }
        if let Some(slice) = &mut self.predictions {
            slice[row] = values.prediction;
        }
    }
}

/// What all rows of a call share.
pub(super) struct Rules<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) upstream: Upstream<'a>,
    pub(super) wants: Wanted,
    pub(super) accumulate: bool,
    pub(super) scale: f32,
}

/// Scratch of one thread, as long as [`Rules::scratch_lengths`] says.
pub(super) struct Scratch<'a> {
    /// Logits in single precision, and behind them a row of exponentials, or a group of rows.
    pub(super) single: &'a mut [f32],
    /// A row in double precision.
    pub(super) double: &'a mut [f64],
    /// What is known of a row's blocks.
    pub(super) blocks: &'a mut [BlockRow],
}

impl<'a> Rules<'a> {
    pub(super) fn new<L>(call: &Call<'a>, results: &Results<'_, L>) -> Self {
        Self {
            plan: call.plan,
            upstream: call.scan.upstream(call.plan),
            wants: Wanted {
                log_sum_exp: results.log_sum_exp.is_some(),
                target_log_prob: results.target_log_prob.is_some(),
                predictions: results.predictions.is_some(),
                per_class: results.per_class.is_some(),
            },
            accumulate: call.plan.options.accumulate,
            scale: f32::from_f64(call.plan.options.logit_scale),
        }
    }

    /// Whether requested outputs make the logits of an inactive row worth a look.
    pub(super) fn looks_at_inactive(&self) -> bool {
        self.wants.log_sum_exp || self.wants.target_log_prob || self.wants.predictions
    }

    pub(super) fn in_single<E: Element>(&self) -> bool {
        !E::DOUBLE && self.plan.reads_logits()
    }

    /// How long each scratch of a thread is.
    pub(super) fn scratch_lengths<E: Element, G: GradElement<E>>(
        &self,
        access: &Access<'_, E, G>,
    ) -> (usize, usize, usize) {
        let padded = self.plan.classes().next_multiple_of(PADDING);
        if !self.in_single::<E>() {
            return (0, padded, 0);
        }
        let exponentials = if self.keeps(access) { 0 } else { padded.max(LOGITS) };
        (self.logits_length::<E>() + exponentials, 0, rows::blocks(self.plan.classes()))
    }

    /// One row: its gradient goes to `access`, everything else is returned.
    pub(super) fn row<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        row: usize,
        class: i32,
        mut access: Access<'_, E, G>,
        scratch: &mut Scratch<'_>,
    ) -> RowValues {
        let plan = self.plan;
        match plan.fate(class, plan.options.sample_weight.get(row)) {
            Fate::Ignored => {
                access.set_zero(self.accumulate);
                RowValues::unread(0.0)
            }
            Fate::Nan => {
                if self.upstream.is_empty_zero() {
                    access.set_zero(self.accumulate);
                } else {
                    access.set_nan(plan.kept.as_ref(), self.accumulate);
                }
                RowValues::unread(f64::NAN)
            }
            Fate::Inactive(label) => {
                let mut values = RowValues::unread(0.0);
                if self.looks_at_inactive() {
                    let row = RowPlan::unweighted(label);
                    let looked = Access::<E, G>::Loss(access.logits());
                    values = self.compute::<I, E, G>(&row, 0.0, looked, scratch);
                    values.loss = 0.0;
                }
                if self.upstream.is_empty_nan() {
                    access.set_nan(plan.kept.as_ref(), self.accumulate);
                } else {
                    access.set_zero(self.accumulate);
                }
                values
            }
            Fate::Row(planned) => {
                let upstream = self.upstream.of(row);
                if upstream == 0.0 && !matches!(access, Access::Loss(_)) {
                    let looked = Access::<E, G>::Loss(access.logits());
                    let values = self.compute::<I, E, G>(&planned, 0.0, looked, scratch);
                    access.set_zero(self.accumulate);
                    return values;
                }
                self.compute::<I, E, G>(&planned, upstream, access, scratch)
            }
        }
    }

    fn compute<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        row: &RowPlan,
        upstream: f64,
        access: Access<'_, E, G>,
        scratch: &mut Scratch<'_>,
    ) -> RowValues {
        if self.in_single::<E>() {
            self.compute_single::<I, E, G>(row, upstream, access, scratch)
        } else {
            self.compute_double(row, upstream, access, scratch.double)
        }
    }

    fn compute_double<E: Element, G: GradElement<E>>(
        &self,
        row: &RowPlan,
        upstream: f64,
        mut access: Access<'_, E, G>,
        scratch: &mut [f64],
    ) -> RowValues {
        let (plan, objective) = (self.plan, &self.plan.objective);
        let x = &mut scratch[..plan.classes()];
        gather(access.logits(), plan.kept.as_ref(), x);
        let prediction = self.wants.predictions.then(|| double::argmax(x)).flatten();
        let prediction = prediction.map(|prediction| plan.class_at(prediction));
        if let Some(probs) = plan.probs {
            let (loss, log_prob) = probs.row(x, row.label, row.weights.row, upstream);
            access.put(x, plan.kept.as_ref(), self.accumulate);
            return RowValues { loss, log_prob, log_sum_exp: f64::NAN, prediction: prediction.unwrap_or(-1) };
        }
        let wanted = row.weights.sample != 0.0 && objective.needs_moment();
        let result = if plan.reads_logits() {
            match double::stats(x, row.label, objective.scale, wanted.then(|| plan.shares(row.class))) {
                Some(stats) => objective.row(&stats, &row.weights, upstream),
                None => RowResult::NAN,
            }
        } else {
            let shares = wanted.then(|| plan.shares(row.class));
            double::log_probs(x, row.label, objective, &row.weights, upstream, shares)
        };
        if result.gradient.scale.is_nan() {
            x.fill(f64::NAN);
        } else {
            double::write_grad(x, &result.gradient, row.label, plan.shares(row.class));
        }
        access.put(x, plan.kept.as_ref(), self.accumulate);
        RowValues::new(&result, prediction)
    }
}

impl Call<'_> {
    /// Logits of a unit of work.
    pub(super) fn unit_elements(&self) -> usize {
        let shape = &self.plan.shape;
        self.executor.unit(shape.rows() * shape.classes(), UNIT_ELEMENTS)
    }

    pub(super) fn rows<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        mut access: Access<'_, E, G>,
        results: &mut Results<'_, E::PerRow>,
    ) -> Result<(), Error> {
        let rules = Rules::new(self, results);
        // The type alone says so for others, which then need no such code.
        if E::as_f32(&[]).is_some() && self.split::<I, E, G>(&rules, &mut access, results)? {
            return Ok(());
        }
        let (rows, classes) = (self.plan.shape.rows(), self.plan.shape.classes());
        let per_unit = (self.unit_elements() / classes).clamp(1, UNIT);
        let units = rows.div_ceil(per_unit);
        let workers = self.executor.workers(units);
        let (single, double, blocks) = rules.scratch_lengths(&access);
        let (mut singles, mut doubles) = (zeros(single * workers)?, zeros(double * workers)?);
        let mut all_blocks = zeros(blocks * workers)?;
        let together = rules.together::<E>();
        let (logits, gradient) = access.by_rows(classes, per_unit);
        let scratch = (
            PerWorker::new(&mut singles, single),
            PerWorker::new(&mut doubles, double),
            PerWorker::new(&mut all_blocks, blocks),
        );
        let outputs = (gradient, results.by_rows(per_unit), scratch);
        self.executor.run(
            units,
            self.cancel,
            outputs,
            |_, unit, (mut gradient, columns, (single, double, blocks))| {
                let mut scratch = Scratch { single, double, blocks };
                let mut columns = Columns::new(columns);
                let labels = &self.scan.classes[unit * per_unit..][..columns.losses.len()];
                let mut group = Group::new();
                let mut offset = 0;
                while offset < labels.len() {
                    let row = unit * per_unit + offset;
                    // The type alone says so for others, as above.
                    if !E::DOUBLE && together > 1 {
                        let labels = &labels[offset..labels.len().min(offset + together)];
                        let labels = &labels[..rules.gather_group(row, labels, &mut group)];
                        if labels.len() > 1 {
                            let rows = offset..offset + labels.len();
                            let cells = rows.start * classes..rows.end * classes;
                            let access = Access::in_unit(logits, &mut gradient, row * classes, cells);
                            offset = rows.end;
                            let mut columns = columns.rows(rows);
                            rules.group::<I, E, G>(&group, labels, access, scratch.single, &mut columns);
                            continue;
                        }
                    }
                    let cells = offset * classes..(offset + 1) * classes;
                    let access = Access::in_unit(logits, &mut gradient, row * classes, cells);
                    columns.put(offset, &rules.row::<I, E, G>(row, labels[offset], access, &mut scratch));
                    offset += 1;
                }
            },
        )?;
        Ok(())
    }
}
