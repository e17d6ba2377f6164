//! Rows whose classes lie side by side, a group at a time: all are swept, then concluded together, then their gradient is written while
//! their exponentials are in the first cache. What is not in single precision, has masked classes or is shorter than a vector is copied
//! to scratch before and back after.

use super::batch::Batch;
use super::deliver::{Values, gather, scatter};
use super::distribution::{Lying, Telling, tell};
use super::pairs::PairBatches;
use super::route::{Route, keeps_group, together};
use super::rules::{Columns, Rules};
use super::totals::UNIT;
use super::{Access, Call, Results, Spare};
use crate::Error;
use crate::element::{ScaledRows, Source, Target};
use crate::kernels::objective::WIDTH;
use crate::kernels::rows::{self, Cells, Found, To};
use crate::parallel::PerWorker;
use crate::simd::{Isa, MOST_LANES, arrays};

/// A group of rows on its way.
struct Group {
    rows: Batch,
    found: Found,
    /// Whether the last group had rows that are not small, so that the next one's rows are looked at one by one from the start. Results do
    /// not depend on it.
    wary: bool,
    predictions: [i32; WIDTH],
}

/// Computes a call of whole groups.
pub(super) fn run<I: Isa>(
    call: &Call<'_>,
    access: Access<'_>,
    results: &mut Results<'_>,
    telling: Option<&mut Telling<'_>>,
) -> Result<(), Error> {
    let rules = Rules::new(call, Route::Groups, results);
    let (rows, classes) = (call.plan.shape.rows(), call.plan.shape.classes());
    let together = together::<I>(call.plan, &access);
    let per_unit = (call.unit_elements() / classes).clamp(1, UNIT).next_multiple_of(together);
    let units = rows.div_ceil(per_unit);
    let turns = Route::Groups.scratch::<I>(call.plan, &access).single;
    let mut scratch = Spare::new(turns.length() * call.executor.workers(units))?;
    let (logits, gradient) = access.by_rows(classes, per_unit);
    let cut = telling.map(|telling| telling.cut(rows, per_unit));
    let scratch = PerWorker::new(&mut scratch, turns.length());
    let outputs = (gradient, results.by_rows(per_unit), scratch, cut.as_ref());
    call.executor.run(units, call.cancel, outputs, |_, unit, (mut gradient, columns, scratch, told)| {
        let mut columns = Columns::new(columns);
        let mut pairs = PairBatches::new(&rules);
        let mut group = const { Group::new() };
        let end = columns.losses.len();
        if let Some(told) = told {
            let first_row = unit * per_unit;
            let labels = &call.scan.classes[first_row..][..end];
            let access = Access::in_unit(logits, &mut gradient, first_row * classes, 0..end * classes);
            tell::<I>(rules.plan, told, labels, Lying::Rows(access.logits()));
        }
        for start in (0..end).step_by(together) {
            let rows = start..end.min(start + together);
            let cells = rows.start * classes..rows.end * classes;
            let first_row = unit * per_unit + start;
            let mut access = Access::in_unit(logits, &mut gradient, first_row * classes, cells);
            let labels = &call.scan.classes[first_row..][..rows.len()];
            let mut columns = columns.rows(rows);
            if let Some(pairs) = &mut pairs
                && pairs.compute::<I>(&rules, first_row, labels, &mut access, &mut columns.losses)
            {
                continue;
            }
            let scratch = turns.take(scratch, first_row / together);
            group.compute::<I>(&rules, first_row, labels, access, &mut columns, scratch);
        }
    })?;
    Ok(())
}

fn stride<I: Isa>(rules: &Rules<'_>) -> usize {
    rows::stride::<I>(rules.plan.classes())
}

impl Group {
    const fn new() -> Self {
        Self { rows: Batch::new(), found: Found::new(), wary: false, predictions: [0; WIDTH] }
    }

    /// Computes rows that begin with `first_row` and have these classes.
    fn compute<I: Isa>(
        &mut self,
        rules: &Rules<'_>,
        first_row: usize,
        labels: &[i32],
        mut access: Access<'_>,
        columns: &mut Columns<'_>,
        scratch: &mut [f32],
    ) {
        let length = labels.len() * stride::<I>(rules);
        let all_count = self.rows.prepare(rules, first_row, labels);
        let wants_gradient = access.wants_gradient();
        let (lies, is_there) =
            (rules.plan.takes(access.logits(), I::LANES), keeps_group::<I>(rules.plan, &access));
        let (copied, kept) = scratch.split_at_mut(if lies { 0 } else { length });
        if !lies {
            fill::<I>(rules, access.logits(), copied);
            if let Some(softcap) = &rules.plan.softcap {
                // A cap keeps the order of logits, but different ones may be rounded to the same number.
                if rules.wants.predictions {
                    predict::<I>(rules, self.rows.labels(labels), copied, &mut self.predictions);
                }
                softcap.cap::<I>(copied);
            }
        }
        let cells = match &mut access {
            Access::Loss(x) => Cells::Loss(x.single().filter(|_| lies).unwrap_or(copied)),
            Access::Apart(x, grad) => {
                let there = if is_there { grad.single() } else { None };
                let x = x.single().filter(|_| lies).unwrap_or(copied);
                Cells::Apart(x, there.unwrap_or_else(|| &mut kept[..length]))
            }
            Access::InPlace(x) => {
                let x = x.read().single().filter(|_| lies).unwrap_or(copied);
                Cells::Apart(x, &mut kept[..length])
            }
        };
        self.sweep::<I>(rules, labels, cells);
        rules.read_ahead(&mut access);
        let stats = self.found.stats::<I>(labels.len());
        self.rows.come_to::<I>(rules, first_row, labels, &stats, (all_count, wants_gradient), columns);
        if let Some(slots) = columns.predictions.as_deref_mut() {
            slots.copy_from_slice(&self.predictions[..slots.len()]);
        }
        if rules.plan.softcap.is_some() && wants_gradient {
            // The logits are copied once more, since the chain rule needs them as they were before the cap.
            fill::<I>(rules, access.logits(), copied);
        }
        if let Some(grad) = access.gradient() {
            self.write::<I>(rules, grad, labels, (copied, kept), is_there);
        }
    }

    /// Gathers what the rows' objective is computed from.
    #[inline(never)]
    fn sweep<I: Isa>(&mut self, rules: &Rules<'_>, classes: &[i32], mut cells: Cells<'_>) {
        let labels = self.rows.labels(classes);
        let asked = rules.asked(rules.plan.classes());
        let stride = stride::<I>(rules);
        let predicts = rules.wants.predictions && rules.plan.softcap.is_none();
        let rows = &self.rows.rows;
        let both = rows.both_steps(asked.moment);
        let steps = both.as_ref().unwrap_or(&rows.step);
        if !self.wary && rows::sweep_small::<I>(&mut cells, labels, steps, &asked, &mut self.found) {
            if predicts {
                predict_small::<I>(rules, labels, cells.logits(), &mut self.predictions);
            }
            return;
        }
        if predicts {
            predict::<I>(rules, labels, cells.logits(), &mut self.predictions);
        }
        self.found.begin();
        let mut all_small = true;
        for (row, label) in labels.iter().enumerate().filter(|(_, label)| **label >= 0) {
            let cells = &mut cells.part(row * stride..(row + 1) * stride);
            let found = rows::row::<I>(cells, *label, steps[row], &asked);
            all_small &= found.is_small();
            self.found.put(row, &found);
        }
        self.wary = !all_small;
    }

    /// From the exponentials, which lie in the gradient or in scratch, to the gradient.
    fn write<I: Isa>(
        &self,
        rules: &Rules<'_>,
        grad: &mut Target<'_>,
        classes: &[i32],
        (copied, e): (&mut [f32], &mut [f32]),
        is_there: bool,
    ) {
        let length = classes.len() * stride::<I>(rules);
        let lies = rules.plan.takes(grad.read(), I::LANES);
        if let Some(g) = grad.single().filter(|_| lies) {
            let to = match (is_there, rules.accumulate) {
                (true, false) => To::Over(g),
                (_, false) => To::From(&e[..length], g),
                (_, true) => To::Add(&e[..length], g),
            };
            return self.write_all::<I>(rules, to, classes);
        }
        let e = &mut e[..length];
        if self.write_half::<I>(rules, grad, classes, e) {
            return;
        }
        self.write_all::<I>(rules, To::Over(e), classes);
        if let Some(softcap) = &rules.plan.softcap {
            softcap.chain::<I>(&copied[..length], e);
        }
        self.hand_back::<I>(rules, grad, copied, e);
    }

    /// Writes the gradient if it has 16 bits and is the exponentials times a positive number for each row, and tells whether it did.
    #[inline(never)]
    fn write_half<I: Isa>(
        &self,
        rules: &Rules<'_>,
        grad: &mut Target<'_>,
        classes: &[i32],
        e: &[f32],
    ) -> bool {
        const { assert!(WIDTH <= ScaledRows::MOST, "a group is handed on as a whole") }
        let (width, rows, count) = (rules.plan.classes(), &self.rows.rows, classes.len());
        let applies = rules.plan.takes_as_given() && !rules.accumulate && width >= MOST_LANES;
        if !applies
            || rules.plan.smoothing_vector().is_some()
            || rows::simple_bias::<I>(rows, count, self.found.least) != Some(false)
        {
            return false;
        }
        let mut own = [0.0; WIDTH];
        // A sum with +0 is never -0.
        arrays::combine(&mut own, &rows.target, |own, target| own + target);
        let scaled = ScaledRows {
            exponentials: e,
            width,
            scales: &rows.scale[..count],
            labels: self.rows.labels(classes),
            own: &own[..count],
        };
        grad.narrow_rows(&scaled).is_some()
    }

    /// Hands the gradient of some rows from scratch to where it belongs.
    #[inline(never)]
    fn hand_back<I: Isa>(&self, rules: &Rules<'_>, grad: &mut Target<'_>, copied: &mut [f32], e: &[f32]) {
        let (count, stride) = (rules.plan.classes(), stride::<I>(rules));
        let kept = rules.plan.kept.as_ref();
        // A row that has nothing to add is left as it is.
        let is_left = |row: usize| rules.accumulate && self.rows.rows.is_off(row);
        if kept.is_none() && !(0..e.len() / stride).any(is_left) {
            let close = if count == stride {
                e
            } else {
                // The logits have been read: their copy has room for rows side by side.
                let close = &mut copied[..grad.len()];
                rows::unpad::<I>(e, count, close);
                close
            };
            return if rules.accumulate { grad.add(close) } else { grad.narrow(close) };
        }
        let all = rules.plan.shape.classes();
        for (row, e) in e.chunks_exact(stride).enumerate().filter(|(row, _)| !is_left(*row)) {
            let grad = &mut grad.part(row * all..(row + 1) * all);
            scatter(Values::Single(&e[..count]), kept, grad, rules.accumulate);
        }
    }

    #[inline(never)]
    fn write_all<I: Isa>(&self, rules: &Rules<'_>, to: To<'_>, classes: &[i32]) {
        let count = rules.plan.classes();
        let (labels, least) = (self.rows.labels(classes), self.found.least);
        rows::write_rows::<I>(to, count, labels, &self.rows.rows, rules.plan.smoothing_vector(), least);
    }
}

/// Copies the kept classes of some rows to scratch.
#[inline(never)]
fn fill<I: Isa>(rules: &Rules<'_>, x: Source<'_>, scratch: &mut [f32]) {
    let (classes, stride) = (rules.plan.shape.classes(), stride::<I>(rules));
    let kept = rules.plan.kept.as_ref();
    match x.single() {
        _ if kept.is_none() && classes == stride => x.widen(&mut scratch[..x.len()]),
        Some(x) if kept.is_none() => rows::pad::<I>(x, classes, scratch),
        _ => {
            let count = rules.plan.classes();
            for (row, slots) in scratch.chunks_exact_mut(stride).enumerate() {
                gather(x.part(row * classes..(row + 1) * classes), kept, &mut slots[..count]);
                slots[count..].fill(0.0);
            }
        }
    }
}

/// The classes of the largest logits; -1 for a row with NaN.
fn predict<I: Isa>(rules: &Rules<'_>, labels: &[i32], x: &[f32], predictions: &mut [i32; WIDTH]) {
    let rows = x.chunks_exact(stride::<I>(rules)).zip(labels).zip(predictions);
    for ((x, label), prediction) in rows {
        let (largest, place) = match label {
            0.. => rows::largest::<I>(&x[..rules.plan.classes()], f32::NEG_INFINITY),
            _ => (f32::NAN, 0),
        };
        *prediction = if largest.is_nan() { -1 } else { rules.plan.class_at(place) };
    }
}

/// As [`predict`], of rows without NaN.
fn predict_small<I: Isa>(rules: &Rules<'_>, labels: &[i32], x: &[f32], predictions: &mut [i32; WIDTH]) {
    rows::places::<I>(x, rules.plan.classes(), &mut predictions[..labels.len()]);
    for (label, prediction) in labels.iter().zip(predictions) {
        let place = usize::try_from(*prediction).unwrap_or_default();
        *prediction = if *label < 0 { -1 } else { rules.plan.class_at(place) };
    }
}
