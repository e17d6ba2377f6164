//! One strip of rows through the planes' kernel.

use super::batch::Batch;
use super::rules::{Columns, Rules};
use crate::kernels::objective::WIDTH;
use crate::kernels::planes::{Planes, STRIP, Strip};
use crate::simd::Isa;

impl Rules<'_> {
    /// Computes a strip of rows that begin with `first_row` and have these classes. Returns whether the next strip should be wary: some row
    /// of this one was not small. A `wary` strip looks at its rows first, in place of a sweep that takes all for small. No result depends
    /// on it.
    #[expect(clippy::too_many_arguments, reason = "what goes in, what comes out, and scratch")]
    pub(super) fn strip<I: Isa>(
        &self,
        (first_row, classes): (usize, &[i32]),
        planes: &mut dyn Planes,
        wants_gradient: bool,
        columns: &mut Columns<'_>,
        state: &mut Batch,
        strip: &mut Strip<'_>,
        wary: bool,
    ) -> bool {
        let has_bias = self.plan.objective.needs_moment();
        // Two classes are summed like more; `Small` has bounds from three classes on. But under smoothing they are not taken for small, so
        // that it stays exact where both logits are equal.
        let asked = self.asked(if has_bias { self.plan.classes() } else { self.plan.classes().max(3) });
        let mut positions;
        let labels = match &self.plan.kept {
            None => classes,
            Some(kept) => {
                positions = [0; STRIP];
                let positions = &mut positions[..classes.len()];
                positions.iter_mut().zip(classes).for_each(|(slot, class)| *slot = kept.label(*class));
                positions
            }
        };
        strip.begin(labels.len(), I::LANES);
        let fits = !wary && strip.sweep::<I>(planes, &asked);
        let mut all_small = true;
        for (index, classes) in classes.chunks(WIDTH).enumerate() {
            let rows = index * WIDTH..index * WIDTH + classes.len();
            let part = rows.start..rows.start + WIDTH;
            let first_row = first_row + rows.start;
            let all_count = self.prepare(first_row, classes, state);
            let labels = &labels[rows.clone()];
            strip.find_labels::<I>(&part, labels, planes, asked.classes);
            let both = state.rows.both_steps(asked.moment);
            let steps = both.as_ref().unwrap_or(&state.rows.step);
            if !(fits && strip.is_small::<I>(&part, steps, &asked)) {
                all_small &= strip.look_and_sweep::<I>(&part, labels, planes, steps, &asked);
            }
            strip.add_up::<I>(&part, labels, planes, &asked);
            let columns = &mut columns.rows(rows);
            let counted = (all_count, wants_gradient);
            self.come_to::<I>(first_row, classes, &strip.stats(&part), counted, columns, state);
            if let Some(slots) = columns.predictions.as_deref_mut() {
                let found = strip.predict::<I>(&part, planes, asked.classes);
                for ((slot, place), label) in slots.iter_mut().zip(found).zip(state.labels(classes)) {
                    *slot = match usize::try_from(place) {
                        Ok(place) if *label >= 0 => self.plan.class_at(place),
                        _ => -1,
                    };
                }
            }
            if wants_gradient {
                let kind = (self.plan.objective.is_plain(), has_bias);
                strip.keep::<I>(&part, &state.rows, kind, self.accumulate);
            }
        }
        if wants_gradient {
            strip.write::<I>(labels, planes, asked.classes, self.plan.smoothing_vector(), has_bias);
            planes.clear();
        }
        !all_small
    }
}
