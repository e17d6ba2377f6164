//! One strip of rows through the planes' kernel.

use super::batch::Batch;
use super::rules::{Columns, Rules};
use crate::kernels::objective::WIDTH;
use crate::kernels::planes::{self, Planes, STRIP, Strip};
use crate::simd::Isa;

/// The rows of a strip on their way.
pub(super) struct StripRows<'a> {
    rows: Batch,
    sums: Strip<'a>,
    /// Whether some row of the last strip was not small, so that the next one's rows are looked at first, in place of a sweep that takes
    /// all for small. Results do not depend on it.
    wary: bool,
}

impl<'a> StripRows<'a> {
    pub(super) fn new(sums: Strip<'a>) -> Self {
        Self { rows: Batch::new(), sums, wary: false }
    }

    /// Computes the rows of a strip, which begin with `first_row` and have these classes.
    pub(super) fn compute<I: Isa>(
        &mut self,
        rules: &Rules<'_>,
        (first_row, classes): (usize, &[i32]),
        planes: &mut dyn Planes,
        wants_gradient: bool,
        columns: &mut Columns<'_>,
    ) {
        let sums = &mut self.sums;
        let has_bias = rules.plan.objective.needs_moment();
        // Two classes are summed like more; `Small` has bounds from three classes on. But under smoothing they are not taken for small, so
        // that it stays exact where both logits are equal.
        let asked = rules.asked(if has_bias { rules.plan.classes() } else { rules.plan.classes().max(3) });
        let mut positions;
        let labels = match &rules.plan.kept {
            None => classes,
            Some(kept) => {
                positions = [0; STRIP];
                let positions = &mut positions[..classes.len()];
                positions.iter_mut().zip(classes).for_each(|(slot, class)| *slot = kept.label(*class));
                positions
            }
        };
        sums.begin(labels.len(), I::LANES);
        let fits = !self.wary && planes::sweep::<I>(sums, planes, &asked);
        let mut all_small = true;
        for (index, classes) in classes.chunks(WIDTH).enumerate() {
            let rows = index * WIDTH..index * WIDTH + classes.len();
            let part = rows.start..rows.start + WIDTH;
            let first_row = first_row + rows.start;
            let all_count = self.rows.prepare(rules, first_row, classes);
            let labels = &labels[rows.clone()];
            planes::find_labels::<I>(sums, &part, labels, planes, asked.classes);
            let both = self.rows.rows.both_steps(asked.moment);
            let steps = both.as_ref().unwrap_or(&self.rows.rows.step);
            if !(fits && planes::is_small::<I>(sums, &part, steps, &asked)) {
                all_small &= planes::look_and_sweep::<I>(sums, &part, labels, planes, steps, &asked);
            }
            planes::add_up::<I>(sums, &part, labels, planes, &asked);
            let columns = &mut columns.rows(rows);
            let counted = (all_count, wants_gradient);
            self.rows.come_to::<I>(rules, first_row, classes, &sums.stats(&part), counted, columns);
            if let Some(slots) = columns.predictions.as_deref_mut() {
                let found = planes::predict::<I>(sums, &part, planes, asked.classes);
                for ((slot, place), label) in slots.iter_mut().zip(found).zip(self.rows.labels(classes)) {
                    *slot = match usize::try_from(place) {
                        Ok(place) if *label >= 0 => rules.plan.class_at(place),
                        _ => -1,
                    };
                }
            }
            if wants_gradient {
                let kind = (rules.plan.objective.is_plain(), has_bias);
                planes::keep::<I>(sums, &part, &self.rows.rows, kind, rules.accumulate);
            }
        }
        if wants_gradient {
            planes::write::<I>(sums, labels, planes, asked.classes, rules.plan.smoothing_vector(), has_bias);
            planes.clear();
        }
        self.wary = !all_small;
    }
}
