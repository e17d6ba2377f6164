//! Rows whose classes lie side by side, unit by unit; and one row of any kind, which the strided layout borrows.

use super::deliver::gather;
use super::plan::{Fate, PADDING, Plan, RowPlan};
use super::scan::{UNIT, Upstream};
use super::{Access, Call, Results, zeros};
use crate::Error;
use crate::element::{Element, GradElement};
use crate::kernels::planes::PlainRows;
use crate::kernels::rows::{Apart, BLOCK, Block, BlockStats, InPlace, ReadOnly};
use crate::kernels::{Bias, MomentOf, double, rows};
use crate::objective::{Coefficients, RowResult, RowStats};
use crate::options::Wanted;
use crate::parallel::PerWorker;
use crate::simd::Isa;
use core::ops::Range;

/// Logits of a unit of work: tens of microseconds, and far below the ten milliseconds that the executor allows.
pub(super) const UNIT_ELEMENTS: usize = 1 << 16;

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
    /// A block of logits in single precision, and behind it a row of exponentials.
    pub(super) single: &'a mut [f32],
    /// A row in double precision.
    pub(super) double: &'a mut [f64],
    /// What is known of a row's blocks.
    pub(super) blocks: &'a mut [BlockRow],
}

/// What the first sweep finds in a block.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BlockRow {
    stats: BlockStats,
    /// Where predictions are wanted: the largest logit, or NaN, and its place in the row; the place is known where no block
    /// before, as far as one thread went through them, has as large a logit.
    largest: (f32, usize),
}

/// What one block may tell the next; no result depends on it.
#[derive(Debug, Clone, Copy)]
struct Hints {
    /// Whether to look at the logits before the sweep.
    wary: bool,
    /// The largest logit so far.
    best: f32,
}

impl Hints {
    const NONE: Self = Self { wary: false, best: f32::NEG_INFINITY };
}

/// What a row comes to once all of its blocks are known.
struct Concluded {
    stats: Option<RowStats>,
    gradient: Coefficients,
    /// The label's own element.
    target: f32,
    values: RowValues,
}

/// A block's part of a row of scratch, padded to a vector.
#[inline(always)]
fn whole<'a, I: Isa>(row: &'a mut [f32], range: &Range<usize>) -> &'a mut [f32] {
    &mut row[range.start..][..range.len().max(I::LANES)]
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

    /// Whether the kernel takes logits of this type as they lie.
    fn takes<E: Element>(&self) -> bool {
        self.plan.kept.is_none() && self.plan.classes() >= PADDING && E::as_f32(&[]).is_some()
    }

    /// Whether it may keep its exponentials where the gradient goes.
    fn keeps<E: Element, G: GradElement<E>>(&self, access: &Access<'_, E, G>) -> bool {
        match access {
            Access::Loss(_) => true,
            Access::Apart(_, _) => self.takes::<G>() && !self.accumulate,
            Access::InPlace(_) => self.takes::<E>(),
        }
    }

    /// Floats of scratch for a block of logits.
    fn block_length<E: Element>(&self) -> usize {
        if self.takes::<E>() { 0 } else { self.plan.classes().next_multiple_of(PADDING).min(2 * BLOCK) }
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
        let row = if self.keeps(access) { 0 } else { padded };
        (self.block_length::<E>() + row, 0, rows::blocks(self.plan.classes()))
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

    #[inline(never)]
    fn compute<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        row: &RowPlan,
        upstream: f64,
        mut access: Access<'_, E, G>,
        scratch: &mut Scratch<'_>,
    ) -> RowValues {
        if !self.in_single::<E>() {
            return self.compute_double(row, upstream, access, scratch.double);
        }
        let classes = self.plan.classes();
        let label = self.label_logit(row, access.logits());
        let (logits, exponentials) = scratch.single.split_at_mut(self.block_length::<E>());
        let blocks = &mut scratch.blocks[..rows::blocks(classes)];
        let mut hints = Hints::NONE;
        for (index, block) in blocks.iter_mut().enumerate() {
            let range = rows::block(classes, index);
            let cells = self.cells_of(&range);
            *block =
                self.sweep::<I, E, G>(row, &range, access.part(cells), (logits, exponentials), &mut hints);
        }
        let concluded = self.conclude(row, upstream, blocks, label);
        if !matches!(access, Access::Loss(_)) {
            for (index, block) in blocks.iter().enumerate() {
                let range = rows::block(classes, index);
                let cells = self.cells_of(&range);
                self.write_block::<I, E, G>(row, &concluded, block, &range, access.part(cells), exponentials);
            }
            if self.plan.kept.is_some() {
                access.put(&exponentials[..classes], self.plan.kept.as_ref(), self.accumulate);
            }
        }
        concluded.values
    }

    /// The label's logit, which a sweep in place overwrites.
    fn label_logit<E: Element>(&self, row: &RowPlan, logits: &[E]) -> f32 {
        let class = self.plan.kept.as_ref().map_or(row.label, |kept| kept.classes[row.label] as usize);
        f32::from_f64(logits[class].to_f64())
    }

    /// Where a block of the kept classes lies among all of the row: anywhere, under a class mask.
    fn cells_of(&self, range: &Range<usize>) -> Range<usize> {
        if self.plan.kept.is_none() { range.clone() } else { 0..self.plan.shape.classes() }
    }

    /// The first sweep over a block: its exponentials go to where the gradient will be, or to scratch.
    fn sweep<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        row: &RowPlan,
        range: &Range<usize>,
        access: Access<'_, E, G>,
        (logits, exponentials): (&mut [f32], &mut [f32]),
        hints: &mut Hints,
    ) -> BlockRow {
        let moment = match self.plan.moment(row.class) {
            _ if row.weights.sample == 0.0 => MomentOf::Nothing,
            MomentOf::Weights(weights) => MomentOf::Weights(&weights[range.start..]),
            other => other,
        };
        let label = row.label.checked_sub(range.start).filter(|label| *label < range.len());
        let block = Block { classes: range.len(), label, scale: self.scale, moment };
        let (keeps, takes) = (self.keeps(&access), self.takes::<E>());
        let is_loss = matches!(access, Access::Loss(_));
        let (x, grad) = match access {
            Access::InPlace(x) if takes => {
                let x = E::as_f32_mut(x).unwrap_or_default();
                let largest = self.largest::<I>(x, range.start, hints);
                return BlockRow {
                    stats: rows::stats::<I, _>(&mut InPlace(x), &block, &mut hints.wary),
                    largest,
                };
            }
            Access::InPlace(x) => (&*x, None),
            Access::Apart(x, grad) => (x, G::as_f32_mut(grad).filter(|_| keeps)),
            Access::Loss(x) => (x, None),
        };
        let x = match E::as_f32(x) {
            Some(x) if takes => x,
            _ => {
                match &self.plan.kept {
                    None => E::widen(x, &mut logits[..range.len()]),
                    Some(kept) => {
                        for (slot, class) in logits.iter_mut().zip(&kept.classes[range.clone()]) {
                            *slot = f32::from_f64(x[*class as usize].to_f64());
                        }
                    }
                }
                &logits[..range.len().max(I::LANES)]
            }
        };
        let largest = self.largest::<I>(&x[..range.len()], range.start, hints);
        let wary = &mut hints.wary;
        let stats = if is_loss {
            rows::stats::<I, _>(&mut ReadOnly(x), &block, wary)
        } else {
            let e = grad.unwrap_or_else(|| whole::<I>(exponentials, range));
            rows::stats::<I, _>(&mut Apart(x, e), &block, wary)
        };
        BlockRow { stats, largest }
    }

    /// The largest logit of a block, where predictions are wanted.
    fn largest<I: Isa>(&self, x: &[f32], start: usize, hints: &mut Hints) -> (f32, usize) {
        if !self.wants.predictions {
            return (0.0, 0);
        }
        let (largest, place) = rows::largest::<I>(x, hints.best);
        hints.best = hints.best.max(largest);
        (largest, start + place)
    }

    /// What the row comes to, from all of its blocks.
    #[inline(never)]
    fn conclude(&self, row: &RowPlan, upstream: f64, blocks: &[BlockRow], label: f32) -> Concluded {
        let (scale, objective) = (f64::from(self.scale), &self.plan.objective);
        let stats = rows::combine(blocks.iter().map(|block| &block.stats), label, scale);
        let result = stats.map_or(RowResult::NAN, |stats| objective.row(&stats, &row.weights, upstream));
        let own = || {
            let e = stats.map_or(f64::NAN, |stats| libm::exp(scale * (stats.label - stats.shift)));
            let bias = match self.plan.bias(&result.gradient, row.class) {
                Bias::None => 0.0,
                Bias::Uniform(bias) => bias,
                Bias::PerClass(bias, weights) => bias * weights[row.label],
            };
            result.gradient.scale * e + f64::from(bias)
        };
        let target = f32::from_f64(result.gradient.target.unwrap_or_else(own));
        let (mut best, mut prediction) = (f32::NEG_INFINITY, Some(0));
        for (largest, place) in blocks.iter().map(|block| block.largest) {
            if largest.is_nan() {
                prediction = None;
                break;
            }
            if largest > best {
                (best, prediction) = (largest, Some(place));
            }
        }
        let prediction = prediction.filter(|_| self.wants.predictions);
        let values = RowValues::new(&result, prediction.map(|prediction| self.plan.class_at(prediction)));
        Concluded { stats, gradient: result.gradient, target, values }
    }

    /// The second sweep over a block: its exponentials become its gradient, which goes to where it belongs unless a class
    /// mask scatters it.
    fn write_block<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        row: &RowPlan,
        concluded: &Concluded,
        block: &BlockRow,
        range: &Range<usize>,
        mut access: Access<'_, E, G>,
        exponentials: &mut [f32],
    ) {
        let keeps = self.keeps(&access);
        let there = if keeps { access.single() } else { None };
        let e = there.unwrap_or_else(|| whole::<I>(exponentials, range));
        match &concluded.stats {
            Some(stats) if !concluded.gradient.scale.is_nan() => {
                let scale = concluded.gradient.scale * block.stats.factor(stats, f64::from(self.scale));
                let bias = match self.plan.bias(&concluded.gradient, row.class) {
                    Bias::PerClass(bias, weights) => Bias::PerClass(bias, &weights[range.start..]),
                    other => other,
                };
                rows::write_grad::<I>(e, range.len(), scale, bias);
                if range.contains(&row.label) {
                    e[row.label - range.start] = concluded.target;
                }
            }
            // One canonical NaN, whatever makes the row NaN: which NaN a product is depends on the engine.
            _ => e[..range.len()].fill(f32::NAN),
        }
        if !keeps && self.plan.kept.is_none() {
            access.put(&exponentials[range.clone()], None, self.accumulate);
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
        let share = |position| plan.share(row.class, position);
        let result = if plan.reads_logits() {
            match double::stats(x, row.label, objective.scale, wanted.then_some(share)) {
                Some(stats) => objective.row(&stats, &row.weights, upstream),
                None => RowResult::NAN,
            }
        } else {
            double::log_probs(x, row.label, objective, &row.weights, upstream, wanted.then_some(share))
        };
        if result.gradient.scale.is_nan() {
            x.fill(f64::NAN);
        } else {
            double::write_grad(x, &result.gradient, row.label, share);
        }
        access.put(x, plan.kept.as_ref(), self.accumulate);
        RowValues::new(&result, prediction)
    }
}

impl Call<'_> {
    pub(super) fn rows<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        access: Access<'_, E, G>,
        results: &mut Results<'_, E::PerRow>,
    ) -> Result<(), Error> {
        let rules = Rules::new(self, results);
        let (rows, classes) = (self.plan.shape.rows(), self.plan.shape.classes());
        let per_unit = (UNIT_ELEMENTS / classes).clamp(1, UNIT);
        let units = rows.div_ceil(per_unit);
        let workers = self.executor.workers(units);
        let (single, double, blocks) = rules.scratch_lengths(&access);
        let (mut singles, mut doubles) = (zeros(single * workers)?, zeros(double * workers)?);
        let mut all_blocks = zeros(blocks * workers)?;
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
                for offset in 0..columns.losses.len() {
                    let row = unit * per_unit + offset;
                    let cells = offset * classes..(offset + 1) * classes;
                    let access = Access::in_unit(logits, &mut gradient, row * classes, cells);
                    let values = rules.row::<I, E, G>(row, self.scan.classes[row], access, &mut scratch);
                    columns.put(offset, &values);
                }
            },
        )?;
        Ok(())
    }
}
