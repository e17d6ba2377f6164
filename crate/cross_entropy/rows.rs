//! Rows whose classes lie side by side, unit by unit; and one row of any kind, which the strided layout borrows.

use super::deliver::{Values, gather_double};
use super::distribution::{Lying, Telling};
use super::plan::{Fate, RowPlan};
use super::route::Route;
use super::rules::{BLOCK_LOGITS, Columns, RowOutputs, Rules, Scratch};
use super::totals::UNIT;
use super::{Access, Call, Results, zeros};
use crate::Error;
use crate::kernels::{double, rows};
use crate::objective::RowResult;
use crate::parallel::PerWorker;
use crate::simd::{Isa, MOST_LANES};

/// The logits of a unit of work. They take tens of microseconds, far less than the ten milliseconds that the executor allows.
const UNIT_ELEMENTS: usize = 1 << 16;

impl Rules<'_> {
    /// How long each scratch of a thread is.
    pub(super) fn scratch_lengths(&self, access: &Access<'_>) -> (usize, usize, usize) {
        let padded = self.plan.classes().next_multiple_of(MOST_LANES);
        if !self.in_single {
            return (0, padded, 0);
        }
        let keeps = self.keeps(access);
        let exponentials = if keeps { 0 } else { padded.max(BLOCK_LOGITS) };
        (self.logits_length(access, keeps) + exponentials, 0, rows::blocks(self.plan.classes()))
    }

    /// Computes one row: its gradient goes to `access`, everything else is returned.
    pub(super) fn row<I: Isa>(
        &self,
        row: usize,
        class: i32,
        mut access: Access<'_>,
        scratch: &mut Scratch<'_>,
    ) -> RowOutputs {
        let plan = self.plan;
        match plan.fate(class, plan.options.sample_weight.get(row)) {
            Fate::Ignored => {
                access.set_zero(self.accumulate);
                RowOutputs::unread(0.0)
            }
            Fate::Nan => {
                if self.upstream.is_empty_zero() {
                    access.set_zero(self.accumulate);
                } else {
                    access.set_nan(plan.kept.as_ref(), self.accumulate);
                }
                RowOutputs::unread(f64::NAN)
            }
            Fate::Inactive(label) => {
                let mut values = RowOutputs::unread(0.0);
                if self.looks_at_inactive() {
                    let row = RowPlan::unweighted(label);
                    values = self.compute::<I>(&row, 0.0, Access::Loss(access.logits()), scratch);
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
                if upstream == 0.0 && access.wants_gradient() {
                    let values = self.compute::<I>(&planned, 0.0, Access::Loss(access.logits()), scratch);
                    access.set_zero(self.accumulate);
                    return values;
                }
                self.compute::<I>(&planned, upstream, access, scratch)
            }
        }
    }

    fn compute<I: Isa>(
        &self,
        row: &RowPlan,
        upstream: f64,
        access: Access<'_>,
        scratch: &mut Scratch<'_>,
    ) -> RowOutputs {
        if self.in_single {
            self.compute_single::<I>(row, upstream, access, scratch)
        } else {
            self.compute_double(row, upstream, access, scratch.double)
        }
    }

    fn compute_double(
        &self,
        row: &RowPlan,
        upstream: f64,
        mut access: Access<'_>,
        scratch: &mut [f64],
    ) -> RowOutputs {
        let (plan, objective) = (self.plan, &self.plan.objective);
        let x = &mut scratch[..plan.classes()];
        gather_double(access.logits(), plan.kept.as_ref(), x);
        let largest = (self.wants.predictions || objective.matrix).then(|| double::argmax(x)).flatten();
        let prediction = largest.filter(|_| self.wants.predictions).map(|largest| plan.class_at(largest));
        if let Some(softcap) = &plan.softcap {
            softcap.cap_double(x);
        }
        if let Some(probs) = plan.probs {
            let (loss, log_prob) = probs.row(x, row.label, row.weights.row, upstream);
            access.put(Values::Double(x), plan.kept.as_ref(), self.accumulate);
            return RowOutputs {
                loss,
                log_prob,
                log_sum_exp: f64::NAN,
                prediction: prediction.unwrap_or(-1),
            };
        }
        let wanted = row.weights.sample != 0.0 && objective.needs_moment();
        // Under a label matrix the sum leaves out the largest class, as it otherwise leaves out the label. So a loss that is as small as
        // the others' probability keeps its digits, and so does the gradient at that class.
        let (mut apart, mut weights) = (row.label, row.weights);
        let result = if plan.reads_logits() {
            let mut lag = 0.0;
            if let Some(largest) = largest.filter(|_| objective.matrix) {
                lag = objective.scale * (x[largest] - x[row.label]);
                (apart, weights.class) = (largest, plan.share(row.class, largest));
            }
            match double::stats(x, apart, objective.scale, wanted.then(|| plan.shares(row.class))) {
                Some(stats) => {
                    let result = objective.row(&stats, &weights, upstream);
                    RowResult { log_prob: result.log_prob - lag, ..result }
                }
                None => RowResult::NAN,
            }
        } else {
            let shares = wanted.then(|| plan.shares(row.class));
            double::log_probs(x, row.label, objective, &row.weights, upstream, shares)
        };
        if result.gradient.scale.is_nan() {
            x.fill(f64::NAN);
        } else {
            double::write_grad(x, &result.gradient, apart, plan.shares(row.class));
        }
        if let Some(softcap) = plan.softcap.filter(|_| access.wants_gradient()) {
            let logits = access.logits();
            let class = |position| usize::try_from(plan.class_at(position)).unwrap_or_default();
            softcap.chain_double(x, |position| logits.get(class(position)));
        }
        access.put(Values::Double(x), plan.kept.as_ref(), self.accumulate);
        RowOutputs::new(&result, prediction)
    }
}

impl Call<'_> {
    /// Logits of a unit of work.
    pub(super) fn unit_elements(&self) -> usize {
        let shape = &self.plan.shape;
        self.executor.unit(shape.rows() * shape.classes(), UNIT_ELEMENTS)
    }

    pub(super) fn rows<I: Isa>(
        &self,
        route: Route,
        mut access: Access<'_>,
        results: &mut Results<'_>,
        telling: Option<&mut Telling<'_>>,
    ) -> Result<(), Error> {
        let rules = Rules::new(self, route, results);
        if telling.is_none() && self.split::<I>(&rules, &mut access, results)? {
            return Ok(());
        }
        let (rows, classes) = (self.plan.shape.rows(), self.plan.shape.classes());
        let per_unit = (self.unit_elements() / classes).clamp(1, UNIT);
        let units = rows.div_ceil(per_unit);
        let workers = self.executor.workers(units);
        let (single, double, blocks) = rules.scratch_lengths(&access);
        let turns = rules.turns(&access, single);
        let (mut singles, mut doubles) = (zeros(turns.length() * workers)?, zeros(double * workers)?);
        let mut all_blocks = zeros(blocks * workers)?;
        let (logits, gradient) = access.by_rows(classes, per_unit);
        let cut = telling.map(|telling| telling.cut(rows, per_unit));
        let scratch = (
            PerWorker::new(&mut singles, turns.length()),
            PerWorker::new(&mut doubles, double),
            PerWorker::new(&mut all_blocks, blocks),
        );
        let outputs = (gradient, results.by_rows(per_unit), scratch, cut.as_ref());
        self.executor.run(
            units,
            self.cancel,
            outputs,
            |_, unit, (mut gradient, columns, (singles, double, blocks), told)| {
                let mut columns = Columns::new(columns);
                let end = columns.losses.len();
                let labels = &self.scan.classes[unit * per_unit..][..end];
                if let Some(told) = told {
                    let first = unit * per_unit * classes;
                    let access = Access::in_unit(logits, &mut gradient, first, 0..end * classes);
                    rules.tell::<I>(told, labels, Lying::Rows(access.logits()));
                }
                for (offset, label) in labels.iter().enumerate() {
                    let row = unit * per_unit + offset;
                    let cells = offset * classes..(offset + 1) * classes;
                    let access = Access::in_unit(logits, &mut gradient, row * classes, cells);
                    let single = turns.take(singles, row);
                    let scratch = &mut Scratch { single, double, blocks };
                    columns.put(offset, &rules.row::<I>(row, *label, access, scratch));
                }
            },
        )?;
        Ok(())
    }
}
