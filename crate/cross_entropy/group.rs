//! Rows of one block each under the plain objective, several at a time: all are swept, then concluded together, then their
//! gradients are written while their exponentials are in the first cache.
//!
//! One after the other, a row of 128 classes waits longer for its own logarithm and divisions than its sweep takes.

use super::Access;
use super::rows::{Columns, RowValues, Rules};
use crate::element::{Element, GradElement};
use crate::kernels::MomentOf;
use crate::kernels::rows::{self, Apart, Block, GROUP, InPlace, LoneRows, ReadOnly};
use crate::simd::Isa;

/// Logits of a group, at most: 16 KiB of them, and as much of gradient.
const LOGITS: usize = 4096;

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
    pub(super) fn alike<E: Element, G: GradElement<E>>(&self, access: &Access<'_, E, G>) -> Option<Alike> {
        let classes = self.plan.classes();
        let rows = (LOGITS / classes).min(GROUP);
        let is_fit = self.shares(access) && self.plan.objective.is_plain() && !self.wants.predictions;
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
        columns: &mut Columns<'_, E::PerRow>,
    ) {
        let classes = self.plan.classes();
        let mut state = LoneRows::new();
        let mut wary = false;
        for (row, label) in labels.iter().enumerate() {
            let label = usize::try_from(*label).unwrap_or_default();
            let block = Block { classes, label: Some(label), scale: self.scale, moment: MomentOf::Nothing };
            let part = access.part(row * classes..(row + 1) * classes);
            let logit = f32::from_f64(part.logits()[label].to_f64());
            let stats = match part {
                Access::Loss(x) => {
                    rows::stats::<I, _>(&mut ReadOnly(E::as_f32(x).unwrap_or_default()), &block, &mut wary)
                }
                Access::Apart(x, grad) => {
                    let e = G::as_f32_mut(grad).unwrap_or_default();
                    rows::stats::<I, _>(&mut Apart(E::as_f32(x).unwrap_or_default(), e), &block, &mut wary)
                }
                Access::InPlace(x) => {
                    rows::stats::<I, _>(&mut InPlace(E::as_f32_mut(x).unwrap_or_default()), &block, &mut wary)
                }
            };
            state.put(row, &stats, logit, f64::from(self.scale));
        }
        state.conclude::<I>(labels.len());
        for (row, label) in labels.iter().enumerate() {
            let result = state.result(row, &self.plan.objective, alike.weight, alike.upstream);
            columns.put(row, &RowValues::new(&result, None));
            let mut part = access.part(row * classes..(row + 1) * classes);
            if let Some(e) = part.single() {
                let gradient = result.gradient;
                let class = usize::try_from(*label).unwrap_or_default();
                let target = f32::from_f64(gradient.target.unwrap_or(f64::NAN));
                let bias = self.plan.bias(&gradient, class);
                rows::write_grad::<I>(e, classes, gradient.scale, bias, Some((class, target)));
            }
        }
    }
}
