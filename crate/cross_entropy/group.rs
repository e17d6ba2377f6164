//! Rows of one block each under an objective that needs no moment, several at a time: all are swept, then concluded together, then
//! their gradients are written while their exponentials are in the first cache.
//!
//! One after the other, a row of 128 classes waits longer for its own logarithm and divisions than its sweep takes: 65536 rows of 97
//! classes under class weights, relaxed, one thread, take 1.62 ns a logit so and 0.73 in groups (loss), and 40000 rows of them under
//! z-loss, poly-1 or a focal loss 1.76 to 1.83 and 0.70 to 0.73.

use super::Access;
use super::rows::{Columns, RowValues, Rules};
use super::single::{Floats, LOGITS};
use crate::element::{Element, GradElement};
use crate::kernels::MomentOf;
use crate::kernels::rows::{self, Apart, Block, GROUP, LoneRows, ReadOnly};
use crate::objective::RowWeights;
use crate::simd::Isa;

/// Logits of a group at most whose gradient is added to another: to more, adding waits for memory, which the sweep over the
/// next row may do meanwhile.
const ADDED: usize = 1024;

/// The weights and the upstreams of the rows of a group.
#[derive(Debug)]
pub(super) struct Group {
    weights: [f64; GROUP],
    upstreams: [f64; GROUP],
}

impl Group {
    pub(super) const fn new() -> Self {
        Self { weights: [0.0; GROUP], upstreams: [0.0; GROUP] }
    }
}

impl Rules<'_> {
    /// How many rows go together at most; one where they do not.
    pub(super) fn together<E: Element>(&self) -> usize {
        let classes = self.plan.classes();
        let logits = if self.accumulate { ADDED } else { LOGITS };
        let is_swept = !self.plan.objective.needs_moment() && !self.wants.predictions;
        let is_fit = self.in_single::<E>() && self.plan.kept.is_none() && is_swept;
        if is_fit && rows::blocks(classes) == 1 { (logits / classes).clamp(1, GROUP) } else { 1 }
    }

    /// How many of the rows that begin with `first_row` and have these classes can go together: up to one that is not computed.
    #[inline(never)]
    pub(super) fn gather_group(&self, first_row: usize, labels: &[i32], group: &mut Group) -> usize {
        let slots = group.weights.iter_mut().zip(&mut group.upstreams);
        for (index, (label, (weight, upstream))) in labels.iter().zip(slots).enumerate() {
            let Ok(class) = usize::try_from(*label) else { return index };
            let sample = self.plan.options.sample_weight.get(first_row + index);
            *weight = self.plan.class_weight(class) * sample;
            *upstream = self.upstream.of(first_row + index);
            if *upstream == 0.0 || *weight == 0.0 {
                return index;
            }
        }
        labels.len()
    }

    /// Computes rows that [`Rules::gather_group`] found.
    #[inline(never)]
    pub(super) fn group<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        group: &Group,
        labels: &[i32],
        mut access: Access<'_, E, G>,
        scratch: &mut [f32],
        columns: &mut Columns<'_, E::PerRow>,
    ) {
        let cells = 0..labels.len() * self.plan.classes();
        let (logits, exponentials) = scratch.split_at_mut(self.logits_length::<E>());
        let mut state = LoneRows::new();
        let floats = self.floats::<I, E, G>(access.part(cells.clone()), &cells, logits, exponentials);
        self.sweep_group::<I>(labels, floats, &mut state);
        let keeps = exponentials.is_empty();
        let e = if keeps { access.single() } else { exponentials.get_mut(cells.clone()) };
        self.write_group::<I, _>(group, labels, e, &state, columns);
        if !keeps {
            access.put(&exponentials[cells], None, self.accumulate);
        }
    }

    #[inline(never)]
    fn sweep_group<I: Isa>(&self, labels: &[i32], (x, mut e): Floats<'_>, state: &mut LoneRows) {
        let classes = self.plan.classes();
        let mut wary = false;
        for (row, label) in labels.iter().enumerate() {
            let label = usize::try_from(*label).unwrap_or_default();
            let block = Block { classes, label: Some(label), scale: self.scale, moment: MomentOf::Nothing };
            let cells = row * classes..(row + 1) * classes;
            let x = &x.unwrap_or_default()[cells.clone()];
            let stats = match &mut e {
                None => rows::stats::<I, _>(&mut ReadOnly(x), &block, &mut wary),
                Some(e) => rows::stats::<I, _>(&mut Apart(x, &mut e[cells]), &block, &mut wary),
            };
            state.put(row, &stats, x[label], f64::from(self.scale));
        }
        state.conclude::<I>(labels.len());
    }

    #[inline(never)]
    fn write_group<I: Isa, L: Element>(
        &self,
        group: &Group,
        labels: &[i32],
        mut e: Option<&mut [f32]>,
        state: &LoneRows,
        columns: &mut Columns<'_, L>,
    ) {
        let classes = self.plan.classes();
        let rows = labels.iter().zip(group.weights.iter().zip(&group.upstreams)).enumerate();
        for (row, (label, (weight, upstream))) in rows {
            let weights = RowWeights { row: *weight, ..RowWeights::NONE };
            let result = state.result(row, &self.plan.objective, &weights, *upstream);
            columns.put(row, &RowValues::new(&result, None));
            let Some(e) = &mut e else { continue };
            let gradient = result.gradient;
            let class = usize::try_from(*label).unwrap_or_default();
            let target = Some((class, f32::from_f64(gradient.target.unwrap_or(f64::NAN))));
            let cells = row * classes..(row + 1) * classes;
            let bias = self.plan.bias(&gradient, class);
            rows::write_grad::<I>(&mut e[cells], classes, gradient.scale, bias, target);
        }
    }
}
