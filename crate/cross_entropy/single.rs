//! One row in single precision, block by block: which cells a block reads and writes, and what its row comes to.

use super::Access;
use super::deliver::{Values, gather, pick};
use super::plan::RowPlan;
use super::route::{block_copies, keeps_row};
use super::rules::{RowOutputs, Rules};
use super::scratch::{BlockRow, Scratch};
use crate::element::{Element, ScaledRows, Source, Target};
use crate::kernels::rows::{Asked, BLOCK, Cells, Small};
use crate::kernels::{Bias, MomentOf, rows, zero_threshold};
use crate::objective::{Coefficients, RowResult};
use crate::parallel::go_on;
use crate::simd::{Isa, MOST_LANES};
use core::ops::{Range, RangeInclusive};

/// The scales that one product in single precision applies. A smaller one is applied in two steps, and the product of a larger one may be
/// infinite.
const SCALES: RangeInclusive<f64> = 1e-15..=1e15;

/// What one block tells the next, to save time. No result depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hints {
    /// Whether to look at the logits before the sweep.
    wary: bool,
    /// The largest logit so far.
    best: f32,
}

impl Hints {
    pub(super) const NONE: Self = Self { wary: false, best: f32::NEG_INFINITY };
}

/// What a row comes to once all of its blocks are known.
pub(super) struct Concluded {
    /// What the gradient's factor is relative to, where that is not the shift of the row's one block.
    shift: Option<f64>,
    gradient: Coefficients,
    /// The label's own element.
    target: f32,
    pub(super) values: RowOutputs,
}

/// Logits in single precision; and, but for a loss alone, where the exponentials go. Both are as long as the block, but at least a
/// vector.
pub(super) type Floats<'a> = (&'a [f32], Option<&'a mut [f32]>);

/// A block's part of a row of scratch, padded to a vector.
#[inline(always)]
fn whole<'a, I: Isa>(row: &'a mut [f32], range: &Range<usize>) -> &'a mut [f32] {
    &mut row[range.start..][..range.len().max(I::LANES)]
}

#[inline(never)]
pub(super) fn compute<I: Isa>(
    rules: &Rules<'_>,
    row: &RowPlan,
    upstream: f64,
    mut access: Access<'_>,
    scratch: &mut Scratch<'_>,
) -> RowOutputs {
    let classes = rules.plan.classes();
    let keeps = keeps_row(rules.plan, &access);
    // A sweep in place overwrites it; otherwise it is in the caches after the sweep.
    let before = (keeps && matches!(access, Access::InPlace(_)))
        .then(|| label_logit::<I>(rules, row, access.logits()));
    let (logits, exponentials) = scratch.single.split_at_mut(block_copies(rules.plan, &access, keeps));
    let blocks = &mut scratch.blocks[..rows::blocks(classes)];
    let (mut hints, mut given) = (Hints::NONE, Hints::NONE);
    for (index, block) in blocks.iter_mut().enumerate() {
        go_on(index, BLOCK);
        let range = rows::block(classes, index);
        let cells = cells_of(rules, &range);
        let floats = floats::<I>(rules, access.part(cells.clone()), &range, logits, exponentials);
        *block = sweep::<I>(rules, row, &range, floats, &mut hints);
        rules.read_ahead(&mut access.part(cells.clone()));
        if rules.plan.softcap.is_some() && rules.wants.predictions {
            // A cap keeps the order of logits, but rounding may make two of them equal.
            copy(rules, access.part(cells).logits(), &range, logits);
            block.largest = largest::<I>(&logits[..range.len()], range.start, &mut given);
        }
    }
    let label = before.unwrap_or_else(|| label_logit::<I>(rules, row, access.logits()));
    let concluded = conclude(rules, row, upstream, blocks, label);
    if access.wants_gradient() {
        for (index, block) in blocks.iter().enumerate() {
            go_on(index, BLOCK);
            let range = rows::block(classes, index);
            let cells = cells_of(rules, &range);
            if rules.plan.softcap.is_some() {
                copy(rules, access.part(cells.clone()).logits(), &range, logits);
            }
            let access = access.part(cells);
            write_block::<I>(rules, row, &concluded, block, &range, access, (logits, exponentials));
        }
        if rules.plan.kept.is_some() {
            access.put(Values::Single(&exponentials[..classes]), rules.plan.kept.as_ref(), rules.accumulate);
        }
    }
    concluded.values
}

/// The label's logit.
pub(super) fn label_logit<I: Isa>(rules: &Rules<'_>, row: &RowPlan, logits: Source<'_>) -> f32 {
    let class = rules.plan.kept.as_ref().map_or(row.label, |kept| kept.classes[row.label] as usize);
    let logit = f32::from_f64(logits.get(class));
    rules.plan.softcap.map_or(logit, |softcap| softcap.cap_one::<I>(logit))
}

/// Where a block of the kept classes lies among all of the row: anywhere, under a class mask.
fn cells_of(rules: &Rules<'_>, range: &Range<usize>) -> Range<usize> {
    if rules.plan.kept.is_none() { range.clone() } else { 0..rules.plan.shape.classes() }
}

/// What [`sweep`] reads and writes of the kept classes in `range`, whatever the types and the layout of the call:
/// the call's own memory where it can be used as it lies, otherwise scratch. Without scratch for the exponentials they go
/// where the gradient will be.
pub(super) fn floats<'a, I: Isa>(
    rules: &Rules<'_>,
    access: Access<'a>,
    range: &Range<usize>,
    logits: &'a mut [f32],
    exponentials: &'a mut [f32],
) -> Floats<'a> {
    let keeps = exponentials.is_empty();
    let is_loss = matches!(access, Access::Loss(_));
    let (x, grad) = match access {
        Access::InPlace(x) if keeps => {
            copy(rules, x.read(), range, logits);
            return (&logits[..range.len()], x.into_single());
        }
        Access::InPlace(x) => (x.into_read(), None),
        Access::Apart(x, grad) => (x, grad.into_single()),
        Access::Loss(x) => (x, None),
    };
    let x = match x.single() {
        Some(floats) if rules.plan.takes(x, MOST_LANES) => floats,
        _ => {
            copy(rules, x, range, logits);
            if let Some(softcap) = &rules.plan.softcap {
                softcap.cap::<I>(&mut logits[..range.len()]);
            }
            &logits[..range.len().max(I::LANES)]
        }
    };
    let e = match keeps {
        _ if is_loss => None,
        true => grad,
        false => Some(whole::<I>(exponentials, range)),
    };
    (x, e)
}

/// Copies the logits of some kept classes, widened.
fn copy(rules: &Rules<'_>, x: Source<'_>, range: &Range<usize>, logits: &mut [f32]) {
    match &rules.plan.kept {
        None => gather(x, None, &mut logits[..range.len()]),
        Some(kept) => pick(x, &kept.classes[range.clone()], &mut logits[..range.len()]),
    }
}

/// The first sweep over a block.
#[inline(never)]
pub(super) fn sweep<I: Isa>(
    rules: &Rules<'_>,
    row: &RowPlan,
    range: &Range<usize>,
    (x, e): Floats<'_>,
    hints: &mut Hints,
) -> BlockRow {
    let asked = asked(rules, row, range);
    let label = rows::place_in(range, row.label);
    let largest = match rules.wants.predictions {
        true => largest::<I>(&x[..range.len()], range.start, hints),
        false => (0.0, 0),
    };
    let mut cells = match e {
        Some(e) => Cells::Apart(x, e),
        None => Cells::Loss(x),
    };
    let stats = rows::block_stats::<I>(&mut cells, label, &asked, &mut hints.wary);
    BlockRow { stats, largest }
}

/// What is asked of some classes of a row.
pub(super) fn asked<'a>(rules: &'a Rules<'_>, row: &RowPlan, range: &Range<usize>) -> Asked<'a> {
    let moment = match rules.plan.moment() {
        _ if row.weights.sample == 0.0 => MomentOf::Nothing,
        moment => moment.from(range.start),
    };
    let small = Small::new(&rules.plan.objective, rules.plan.classes(), moment);
    Asked { classes: range.len(), scale: rules.scale, moment, small }
}

/// The largest logit of a block.
pub(super) fn largest<I: Isa>(x: &[f32], start: usize, hints: &mut Hints) -> (f32, usize) {
    let (largest, place) = rows::largest::<I>(x, hints.best);
    hints.best = hints.best.max(largest);
    (largest, start + place)
}

/// What the row comes to, from all of its blocks.
#[inline(never)]
pub(super) fn conclude(
    rules: &Rules<'_>,
    row: &RowPlan,
    upstream: f64,
    blocks: &[BlockRow],
    label: f32,
) -> Concluded {
    let (result, shift) = result(rules, row, upstream, blocks, label);
    let target = f32::from_f64(result.gradient.target.unwrap_or(f64::NAN));
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
    let prediction = prediction.filter(|_| rules.wants.predictions);
    let values = RowOutputs::new(&result, prediction.map(|prediction| rules.plan.class_at(prediction)));
    Concluded { shift, gradient: result.gradient, target, values }
}

/// The row's result, with the label's element, and what [`Concluded::shift`] is.
fn result(
    rules: &Rules<'_>,
    row: &RowPlan,
    upstream: f64,
    blocks: &[BlockRow],
    label: f32,
) -> (RowResult, Option<f64>) {
    let (scale, objective) = (f64::from(rules.scale), &rules.plan.objective);
    let Some(stats) = rows::combine(blocks.iter().map(|block| &block.stats), label, scale) else {
        return (RowResult::NAN, None);
    };
    (objective.row(&stats, &row.weights, upstream), Some(stats.shift))
}

/// The second sweep over a block: its exponentials become its gradient, which goes to where it belongs unless a class
/// mask scatters it. Under a softcap, `given` has the logits as they were before it.
#[inline(never)]
pub(super) fn write_block<I: Isa>(
    rules: &Rules<'_>,
    row: &RowPlan,
    concluded: &Concluded,
    block: &BlockRow,
    range: &Range<usize>,
    mut access: Access<'_>,
    (given, exponentials): (&[f32], &mut [f32]),
) {
    let factor = concluded.shift.map_or(1.0, |shift| block.stats.factor(shift, f64::from(rules.scale)));
    let bias = match rules.plan.bias(&concluded.gradient) {
        Bias::PerClass(bias, weights) => Bias::PerClass(bias, &weights[range.start..]),
        other => other,
    };
    let label = rows::place_in(range, row.label).map(|place| (place, concluded.target));
    // The factor may be infinite where all exponentials of a block vanished.
    let factor = if block.stats.is_empty() { 0.0 } else { factor };
    let scale = concluded.gradient.scale;
    let scale = if scale == 0.0 { scale } else { scale * factor };
    let keeps = exponentials.is_empty();
    let is_direct = keeps || access.gradient().is_some_and(|grad| rules.plan.takes(grad.read(), MOST_LANES));
    if !is_direct && matches!(bias, Bias::None) {
        let e = &exponentials[range.clone()];
        if write_block_half(rules, e, scale, label, &mut access) {
            return;
        }
    }
    let there = if is_direct { access.gradient().and_then(Target::single) } else { None };
    let (e, to) = match there {
        Some(there) if keeps => (there, None),
        there => (whole::<I>(exponentials, range), there),
    };
    rows::write_grad::<I>(e, to.map(|to| (to, rules.accumulate)), range.len(), scale, bias, label);
    if let Some(softcap) = &rules.plan.softcap {
        softcap.chain::<I>(&given[..range.len()], &mut e[..range.len()]);
    }
    if !is_direct && rules.plan.kept.is_none() {
        access.put(Values::Single(&exponentials[range.clone()]), None, rules.accumulate);
    }
}

/// Writes a block's gradient if it has 16 bits and is the exponentials times a positive number, and tells whether it did. If not, the
/// caller writes all of it again.
fn write_block_half(
    rules: &Rules<'_>,
    e: &[f32],
    scale: f64,
    label: Option<(usize, f32)>,
    access: &mut Access<'_>,
) -> bool {
    let applies = rules.plan.takes_as_given() && !rules.accumulate && e.len() >= MOST_LANES;
    let (Some(grad), true) = (access.gradient(), applies && SCALES.contains(&scale)) else {
        return false;
    };
    let scale = f32::from_f64(scale);
    let (place, own) = label.map_or((usize::MAX, 0.0), |label| label);
    let scaled = ScaledRows {
        exponentials: e,
        width: e.len(),
        scales: &[scale],
        labels: &[i32::try_from(place).unwrap_or(-1)],
        own: &[own],
    };
    grad.narrow_rows(&scaled).is_some_and(|least| least > zero_threshold(scale))
}
