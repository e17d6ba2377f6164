//! Rows whose classes lie side by side, a group at a time: all are swept, then concluded together, then their gradient is written while
//! their exponentials are in the first cache. What is not in single precision, has masked classes or is shorter than a vector is copied
//! to scratch before and back after.

use super::batch::Batch;
use super::deliver::{Values, gather, scatter};
use super::distribution::{Lying, Telling};
use super::route::Route;
use super::rules::{Columns, Rules};
use super::totals::UNIT;
use super::{Access, Call, Results, zeros};
use crate::Error;
use crate::element::{ScaledRows, Source, Target};
use crate::kernels::objective::WIDTH;
use crate::kernels::rows::{self, Asked, Cells, Found, Small, To};
use crate::parallel::PerWorker;
use crate::simd::{Isa, MOST_LANES};

/// The most logits of a group. With as many exponentials they take half of a second cache of 512 KiB. While a group is concluded nothing
/// is read from memory, so a few large groups are faster than many small ones.
const LOGITS: usize = 32_768;

/// The most logits of a group whose logits are copied. The copy and the exponentials take 64 KiB: they leave the first cache, but are near
/// in the second one when they are read again. Half as many make the gradient of 1,000 classes slower again.
const COPIED: usize = 8_192;

/// A group of rows on its way.
struct Group {
    rows: Batch,
    found: Found,
    /// Whether the last group had rows that are not small, so that the next one's rows are looked at one by one from the start. Results do
    /// not depend on it.
    wary: bool,
    predictions: [i32; WIDTH],
}

impl Call<'_> {
    pub(super) fn groups<I: Isa>(
        &self,
        access: Access<'_>,
        results: &mut Results<'_>,
        telling: Option<&mut Telling<'_>>,
    ) -> Result<(), Error> {
        let rules = Rules::new(self, Route::Groups, results);
        let (rows, classes) = (self.plan.shape.rows(), self.plan.shape.classes());
        let together = rules.together::<I>(&access);
        let per_unit = (self.unit_elements() / classes).clamp(1, UNIT).next_multiple_of(together);
        let units = rows.div_ceil(per_unit);
        let turns = rules.turns(&access, rules.scratch_length::<I>(&access, together));
        let mut scratch = zeros(turns.length() * self.executor.workers(units))?;
        let (logits, gradient) = access.by_rows(classes, per_unit);
        let cut = telling.map(|telling| telling.cut(rows, per_unit));
        let scratch = PerWorker::new(&mut scratch, turns.length());
        let outputs = (gradient, results.by_rows(per_unit), scratch, cut.as_ref());
        self.executor.run(
            units,
            self.cancel,
            outputs,
            |_, unit, (mut gradient, columns, scratch, told)| {
                let mut columns = Columns::new(columns);
                let mut pairs = rules.pairs();
                let mut group = const { Group::new() };
                let end = columns.losses.len();
                if let Some(told) = told {
                    let first_row = unit * per_unit;
                    let labels = &self.scan.classes[first_row..][..end];
                    let access =
                        Access::in_unit(logits, &mut gradient, first_row * classes, 0..end * classes);
                    rules.tell::<I>(told, labels, Lying::Rows(access.logits()));
                }
                for start in (0..end).step_by(together) {
                    let rows = start..end.min(start + together);
                    let cells = rows.start * classes..rows.end * classes;
                    let first_row = unit * per_unit + start;
                    let mut access = Access::in_unit(logits, &mut gradient, first_row * classes, cells);
                    let labels = &self.scan.classes[first_row..][..rows.len()];
                    let mut columns = columns.rows(rows);
                    if let Some(pairs) = &mut pairs
                        && pairs.compute::<I>(&rules, first_row, labels, &mut access, &mut columns.losses)
                    {
                        continue;
                    }
                    let scratch = turns.take(scratch, first_row / together);
                    rules.group::<I>(first_row, labels, access, &mut columns, &mut group, scratch);
                }
            },
        )?;
        Ok(())
    }
}

impl Group {
    const fn new() -> Self {
        Self { rows: Batch::new(), found: Found::new(), wary: false, predictions: [0; WIDTH] }
    }
}

impl Rules<'_> {
    /// How many rows go together at most.
    fn together<I: Isa>(&self, access: &Access<'_>) -> usize {
        let logits = if self.lie::<I>(access.logits()) { LOGITS } else { COPIED };
        (logits / self.stride::<I>() / 4 * 4).clamp(4, WIDTH)
    }

    fn stride<I: Isa>(&self) -> usize {
        rows::stride::<I>(self.plan.classes())
    }

    /// Whether the kernel takes the rows of these numbers as they lie.
    fn lie<I: Isa>(&self, numbers: Source<'_>) -> bool {
        numbers.single().is_some() && self.plan.takes_as_given() && self.plan.classes() >= I::LANES
    }

    /// Whether the first sweep writes its exponentials to the memory of the gradient, and not to scratch.
    fn keeps_there<I: Isa>(&self, access: &Access<'_>) -> bool {
        let Access::Apart(x, grad) = access else { return false };
        self.lie::<I>(*x) && self.lie::<I>(grad.read()) && !self.accumulate
    }

    /// Floats of scratch for a group: for logits, and for exponentials.
    fn scratch_length<I: Isa>(&self, access: &Access<'_>, together: usize) -> usize {
        let copies = !self.lie::<I>(access.logits());
        let keeps = access.wants_gradient() && !self.keeps_there::<I>(access);
        together * self.stride::<I>() * (usize::from(copies) + usize::from(keeps))
    }

    /// What is computed of each row; small ones are those of `counted` classes.
    pub(super) fn asked(&self, counted: usize) -> Asked<'_> {
        let (classes, moment) = (self.plan.classes(), self.plan.moment());
        let small = Small::new(&self.plan.objective, counted, moment);
        Asked { classes, scale: self.scale, moment, small }
    }

    /// Computes rows that begin with `first_row` and have these classes.
    fn group<I: Isa>(
        &self,
        first_row: usize,
        labels: &[i32],
        mut access: Access<'_>,
        columns: &mut Columns<'_>,
        group: &mut Group,
        scratch: &mut [f32],
    ) {
        let length = labels.len() * self.stride::<I>();
        let all_count = self.prepare(first_row, labels, &mut group.rows);
        let wants_gradient = access.wants_gradient();
        let (lies, is_there) = (self.lie::<I>(access.logits()), self.keeps_there::<I>(&access));
        let (copied, kept) = scratch.split_at_mut(if lies { 0 } else { length });
        if !lies {
            self.fill::<I>(access.logits(), copied);
            if let Some(softcap) = &self.plan.softcap {
                // A cap keeps the order of logits, but different ones may be rounded to the same number.
                if self.wants.predictions {
                    self.predict::<I>(group.rows.labels(labels), copied, &mut group.predictions);
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
        self.sweep_group::<I>(labels, cells, group);
        self.read_ahead(&mut access);
        let stats = group.found.stats::<I>(labels.len());
        self.come_to::<I>(first_row, labels, &stats, (all_count, wants_gradient), columns, &mut group.rows);
        if let Some(slots) = columns.predictions.as_deref_mut() {
            slots.copy_from_slice(&group.predictions[..slots.len()]);
        }
        if self.plan.softcap.is_some() && wants_gradient {
            // The logits are copied once more, since the chain rule needs them as they were before the cap.
            self.fill::<I>(access.logits(), copied);
        }
        if let Some(grad) = access.gradient() {
            self.write::<I>(grad, labels, group, (copied, kept), is_there);
        }
    }

    /// Copies the kept classes of some rows to scratch.
    #[inline(never)]
    fn fill<I: Isa>(&self, x: Source<'_>, scratch: &mut [f32]) {
        let (classes, stride) = (self.plan.shape.classes(), self.stride::<I>());
        let kept = self.plan.kept.as_ref();
        match x.single() {
            _ if kept.is_none() && classes == stride => x.widen(&mut scratch[..x.len()]),
            Some(x) if kept.is_none() => rows::pad::<I>(x, classes, scratch),
            _ => {
                let count = self.plan.classes();
                for (row, slots) in scratch.chunks_exact_mut(stride).enumerate() {
                    gather(x.part(row * classes..(row + 1) * classes), kept, &mut slots[..count]);
                    slots[count..].fill(0.0);
                }
            }
        }
    }

    /// Gathers what the rows' objective is computed from.
    #[inline(never)]
    fn sweep_group<I: Isa>(&self, classes: &[i32], mut cells: Cells<'_>, group: &mut Group) {
        let labels = group.rows.labels(classes);
        let asked = self.asked(self.plan.classes());
        let stride = self.stride::<I>();
        let predicts = self.wants.predictions && self.plan.softcap.is_none();
        let rows = &group.rows.rows;
        let both = rows.both_steps(asked.moment);
        let steps = both.as_ref().unwrap_or(&rows.step);
        if !group.wary && rows::sweep_small::<I>(&mut cells, labels, steps, &asked, &mut group.found) {
            if predicts {
                self.predict_small::<I>(labels, cells.logits(), &mut group.predictions);
            }
            return;
        }
        if predicts {
            self.predict::<I>(labels, cells.logits(), &mut group.predictions);
        }
        group.found.begin();
        let mut all_small = true;
        for (row, label) in labels.iter().enumerate().filter(|(_, label)| **label >= 0) {
            let cells = &mut cells.part(row * stride..(row + 1) * stride);
            let found = rows::row::<I>(cells, *label, steps[row], &asked);
            all_small &= found.is_small();
            group.found.put(row, &found);
        }
        group.wary = !all_small;
    }

    /// The classes of the largest logits; -1 for a row with NaN.
    fn predict<I: Isa>(&self, labels: &[i32], x: &[f32], predictions: &mut [i32; WIDTH]) {
        let rows = x.chunks_exact(self.stride::<I>()).zip(labels).zip(predictions);
        for ((x, label), prediction) in rows {
            let (largest, place) = match label {
                0.. => rows::largest::<I>(&x[..self.plan.classes()], f32::NEG_INFINITY),
                _ => (f32::NAN, 0),
            };
            *prediction = if largest.is_nan() { -1 } else { self.plan.class_at(place) };
        }
    }

    /// As [`Rules::predict`], of rows without NaN.
    fn predict_small<I: Isa>(&self, labels: &[i32], x: &[f32], predictions: &mut [i32; WIDTH]) {
        rows::places::<I>(x, self.plan.classes(), &mut predictions[..labels.len()]);
        for (label, prediction) in labels.iter().zip(predictions) {
            let place = usize::try_from(*prediction).unwrap_or_default();
            *prediction = if *label < 0 { -1 } else { self.plan.class_at(place) };
        }
    }

    /// From the exponentials, which lie in the gradient or in scratch, to the gradient.
    fn write<I: Isa>(
        &self,
        grad: &mut Target<'_>,
        classes: &[i32],
        group: &Group,
        (copied, e): (&mut [f32], &mut [f32]),
        is_there: bool,
    ) {
        let length = classes.len() * self.stride::<I>();
        let lies = self.lie::<I>(grad.read());
        if let Some(g) = grad.single().filter(|_| lies) {
            let to = match (is_there, self.accumulate) {
                (true, false) => To::Over(g),
                (_, false) => To::From(&e[..length], g),
                (_, true) => To::Add(&e[..length], g),
            };
            return self.write_group::<I>(to, classes, group);
        }
        let e = &mut e[..length];
        if self.write_rows_half::<I>(grad, classes, group, e) {
            return;
        }
        self.write_group::<I>(To::Over(e), classes, group);
        if let Some(softcap) = &self.plan.softcap {
            softcap.chain::<I>(&copied[..length], e);
        }
        self.hand_back::<I>(grad, group, copied, e);
    }

    /// Writes the gradient if it has 16 bits and is the exponentials times a positive number for each row, and tells whether it did.
    #[inline(never)]
    fn write_rows_half<I: Isa>(
        &self,
        grad: &mut Target<'_>,
        classes: &[i32],
        group: &Group,
        e: &[f32],
    ) -> bool {
        const { assert!(WIDTH <= ScaledRows::MOST, "a group is handed on as a whole") }
        let (width, rows, count) = (self.plan.classes(), &group.rows.rows, classes.len());
        let applies = self.plan.takes_as_given() && !self.accumulate && width >= MOST_LANES;
        if !applies
            || self.plan.smoothing_vector().is_some()
            || rows::simple_bias::<I>(rows, count, group.found.least) != Some(false)
        {
            return false;
        }
        let mut own = [0.0; WIDTH];
        // A sum with +0 is never -0.
        own.iter_mut().zip(&rows.target).take(count).for_each(|(own, target)| *own += target);
        let scaled = ScaledRows {
            exponentials: e,
            width,
            scales: &rows.scale[..count],
            labels: group.rows.labels(classes),
            own: &own[..count],
        };
        grad.narrow_rows(&scaled).is_some()
    }

    /// Hands the gradient of some rows from scratch to where it belongs.
    #[inline(never)]
    fn hand_back<I: Isa>(&self, grad: &mut Target<'_>, group: &Group, copied: &mut [f32], e: &[f32]) {
        let (count, stride) = (self.plan.classes(), self.stride::<I>());
        let kept = self.plan.kept.as_ref();
        // A row that has nothing to add is left as it is.
        let is_left = |row: usize| self.accumulate && group.rows.rows.is_off(row);
        if kept.is_none() && !(0..e.len() / stride).any(is_left) {
            let close = if count == stride {
                e
            } else {
                // The logits have been read: their copy has room for rows side by side.
                let close = &mut copied[..grad.len()];
                rows::unpad::<I>(e, count, close);
                close
            };
            return if self.accumulate { grad.add(close) } else { grad.narrow(close) };
        }
        let all = self.plan.shape.classes();
        for (row, e) in e.chunks_exact(stride).enumerate().filter(|(row, _)| !is_left(*row)) {
            let grad = &mut grad.part(row * all..(row + 1) * all);
            scatter(Values::Single(&e[..count]), kept, grad, self.accumulate);
        }
    }

    #[inline(never)]
    fn write_group<I: Isa>(&self, to: To<'_>, classes: &[i32], group: &Group) {
        let count = self.plan.classes();
        let (labels, least) = (group.rows.labels(classes), group.found.least);
        rows::write_rows::<I>(to, count, labels, &group.rows.rows, self.plan.smoothing_vector(), least);
    }
}
