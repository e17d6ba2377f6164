//! Rows of one block each under the plain objective, several at a time: all are swept, then concluded together, then their
//! gradients are written while their exponentials are in the first cache.
//!
//! One after the other, a row of 128 classes waits longer for its own logarithm and divisions than its sweep takes.

use super::Access;
use super::rows::{Columns, RowValues, Rules};
use super::single::{Floats, LOGITS};
use crate::element::{Element, GradElement};
use crate::kernels::MomentOf;
use crate::kernels::rows::{self, Apart, Block, GROUP, LoneRows, ReadOnly};
use crate::simd::Isa;

/// Logits of a group at most whose gradient is added to another: to more, adding waits for memory, which the sweep over the
/// next row may do meanwhile.
const ADDED: usize = 1024;

/// The weight and the upstream that all rows of a call have which are not ignored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alike {
    weight: f64,
    upstream: f64,
    /// Rows of a group.
    pub(super) rows: usize,
}

impl Rules<'_> {
    /// How rows go together, if they do.
    pub(super) fn alike<E: Element>(&self) -> Option<Alike> {
        let classes = self.plan.classes();
        let logits = if self.accumulate { ADDED } else { LOGITS };
        let rows = (logits / classes).min(GROUP);
        let is_plain = self.plan.objective.is_plain() && !self.wants.predictions;
        let is_fit = self.in_single::<E>() && self.plan.kept.is_none() && is_plain;
        let weight = self.plan.uniform_weight()?;
        let upstream = self.upstream.uniform().filter(|upstream| *upstream != 0.0)?;
        (is_fit && rows > 1 && rows::blocks(classes) == 1).then_some(Alike { weight, upstream, rows })
    }

    /// Computes rows that all count.
    #[inline(never)]
    pub(super) fn group<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        alike: &Alike,
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
        self.write_group::<I, _>(alike, labels, e, &state, columns);
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
        alike: &Alike,
        labels: &[i32],
        mut e: Option<&mut [f32]>,
        state: &LoneRows,
        columns: &mut Columns<'_, L>,
    ) {
        let classes = self.plan.classes();
        for (row, label) in labels.iter().enumerate() {
            let result = state.result(row, &self.plan.objective, alike.weight, alike.upstream);
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
