//! Rows of two classes that lie side by side, under no option beyond weights: most need no group.

use super::Access;
use super::plan::Fate;
use super::rules::Rules;
use crate::element::{Element, Target};
use crate::kernels::objective::WIDTH;
use crate::kernels::pairs::Pairs;
use crate::simd::Isa;

/// The batches of a unit that [`Pairs`] can compute.
pub(super) struct PairBatches {
    kernel: Pairs,
    /// The weights and steps are those of all rows.
    filled: bool,
}

impl PairBatches {
    /// `None` where no row of the call can go this way: the call has more than two classes or an option beyond weights, or it wants
    /// other results than the losses and a gradient.
    pub(super) fn new(rules: &Rules<'_>) -> Option<Self> {
        let plan = rules.plan;
        let plain = plan.shape.classes() == 2 && plan.takes_as_given() && plan.objective.is_plain();
        if !plain || rules.looks_at_inactive() {
            return None;
        }
        let mut batches = Self { kernel: Pairs::new(), filled: false };
        if let (Some(weight), Some(upstream)) = (plan.uniform_weight(), rules.upstream.uniform()) {
            let (weight, step) = weigh(rules, weight, upstream)?;
            (batches.kernel.weight, batches.kernel.step) = ([weight; WIDTH], [step; WIDTH]);
            batches.filled = true;
        }
        Some(batches)
    }

    /// Computes the rows that begin with `first_row` and have these classes, or leaves them as they are. Whether it did.
    pub(super) fn compute<I: Isa>(
        &mut self,
        rules: &Rules<'_>,
        first_row: usize,
        classes: &[i32],
        access: &mut Access<'_>,
        losses: &mut Target<'_>,
    ) -> bool {
        let (Some(x), Some(losses)) = (access.logits().single(), losses.single()) else {
            return false;
        };
        if !self.fill(rules, first_row, classes) || !self.kernel.sweep::<I>(x, classes, rules.scale) {
            return false;
        }
        self.kernel.losses::<I>(losses);
        match access.gradient().and_then(Target::single) {
            Some(grad) if rules.accumulate => {
                let mut values = [0.0; 2 * WIDTH];
                self.kernel.gradient::<I>(classes, &mut values[..grad.len()]);
                let values = values.as_chunks::<2>().0;
                // A row with nothing to add keeps its gradient as it is.
                let rows = grad
                    .as_chunks_mut::<2>()
                    .0
                    .iter_mut()
                    .zip(values)
                    .filter(|(_, values)| **values != [0.0; 2]);
                rows.for_each(|(row, values)| *row = [row[0] + values[0], row[1] + values[1]]);
            }
            Some(grad) => self.kernel.gradient::<I>(classes, grad),
            None => {}
        }
        true
    }

    /// Sets the weight and the step of each row. Whether every row counts and has a step that single precision holds.
    #[inline(never)]
    fn fill(&mut self, rules: &Rules<'_>, first_row: usize, classes: &[i32]) -> bool {
        if self.filled {
            return true;
        }
        let slots = self.kernel.weight.iter_mut().zip(&mut self.kernel.step);
        for ((row, class), (weight, step)) in (first_row..).zip(classes).zip(slots) {
            let Fate::Row(planned) = rules.plan.fate(*class, rules.plan.options.sample_weight.get(row))
            else {
                return false;
            };
            let Some(both) = weigh(rules, planned.weights.row, rules.upstream.of(row)) else {
                return false;
            };
            (*weight, *step) = both;
        }
        true
    }
}

/// The row weight and the step in single precision. `None` where the step is neither 0 nor a normal number.
fn weigh(rules: &Rules<'_>, weight: f64, upstream: f64) -> Option<(f32, f32)> {
    let exact = upstream * rules.plan.objective.scale * weight;
    let step = f32::from_f64(exact);
    (step.is_normal() || exact == 0.0).then(|| (f32::from_f64(weight), step))
}
