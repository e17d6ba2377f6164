//! A row of small logits in single precision that lie as the kernel takes them: swept and written as a whole, not block by block. What
//! it comes to has the same bits as in [`single`](super::single), which computes all other rows.

use super::Access;
use super::plan::RowPlan;
use super::route::{block_copies, keeps_row};
use super::rules::{RowOutputs, Rules};
use super::scratch::Scratch;
use super::single::{asked, floats};
use crate::element::{Element, Target};
use crate::kernels::rows::{self, BLOCK, BlockStats, Cells, SmallStats, TOGETHER, To};
use crate::parallel::go_on;
use crate::simd::Isa;
use core::ops::Range;

/// Rows of this many blocks, at least, are judged by their first one before the others are swept: most rows that are not small show it there.
const JUDGED: usize = 4;

/// The pieces of a row that are swept and written at once: as many blocks as [`TOGETHER`] says, but for the one that the row is judged by.
fn pieces(classes: usize) -> impl Iterator<Item = Range<usize>> {
    let blocks = rows::blocks(classes);
    let judged = usize::from(blocks >= JUDGED);
    let others = (judged..blocks).step_by(TOGETHER).map(move |first| first..blocks.min(first + TOGETHER));
    (0..judged).map(|first| first..first + 1).chain(others).map(move |piece| {
        go_on(piece.start / TOGETHER * TOGETHER, BLOCK);
        piece.start * BLOCK..rows::block(classes, piece.end - 1).end
    })
}

/// Computes a row if it is small and one product and one sum make each element of its gradient. If not, its logits are still as they were.
#[inline(never)]
pub(super) fn compute<I: Isa>(
    rules: &Rules<'_>,
    row: &RowPlan,
    upstream: f64,
    access: &mut Access<'_>,
    scratch: &mut Scratch<'_>,
) -> Option<RowOutputs> {
    let (plan, classes) = (rules.plan, rules.plan.classes());
    let copies = block_copies(plan, access, keeps_row(plan, access));
    // Smoothing with class weights adds another number to each class. Where the last row that was computed block by block was not small,
    // this one's blocks are looked at one by one.
    if copies > 0 || plan.smoothing_vector().is_some() || !scratch.blocks[0].stats.is_small() {
        return None;
    }
    let exponentials = &mut *scratch.single;
    let (mut stats, mut least) = (SmallStats::default(), f32::INFINITY);
    let (mut best, mut prediction) = (f32::NEG_INFINITY, 0);
    for range in pieces(classes) {
        let mut access = access.part(range.clone());
        let asked = asked(rules, row, &range);
        let label = rows::place_in(&range, row.label);
        let (x, e) = floats::<I>(rules, access.part(0..range.len()), &range, &mut [], exponentials);
        let mut cells = e.map_or(Cells::Loss(x), |e| Cells::Apart(x, e));
        least = least.min(rows::sweep_blocks::<I>(&mut cells, label, &asked, &mut stats)?);
        if rules.wants.predictions {
            let (largest, place) = rows::largest_number::<I>(cells.logits(), best);
            if largest > best {
                (best, prediction) = (largest, range.start + place);
            }
        }
        rules.read_ahead(&mut access);
    }
    let stats = stats.row(f64::from(rules.scale));
    let result = plan.objective.row(&stats, &row.weights, upstream);
    if access.wants_gradient() {
        let gradient = &result.gradient;
        let scale = gradient.scale * BlockStats::default().factor(stats.shift, f64::from(rules.scale));
        let own = f32::from_f64(gradient.target.unwrap_or(f64::NAN));
        for cells in pieces(classes) {
            let grad = &mut access.gradient().and_then(Target::single)?[cells.clone()];
            let to = match exponentials.get(cells.clone()) {
                None => To::Over(grad),
                Some(e) if rules.accumulate => To::Add(e, grad),
                Some(e) => To::From(e, grad),
            };
            let label = rows::place_in(&cells, row.label).map(|place| (place, own));
            // It does all pieces, or not even the first.
            if !rows::scale_row::<I>(to, cells.len(), scale, plan.bias(gradient), label, least) {
                return None;
            }
        }
    }
    let prediction = rules.wants.predictions.then(|| plan.class_at(prediction));
    Some(RowOutputs::new(&result, prediction))
}
