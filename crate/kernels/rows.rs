//! Rows whose classes lie side by side, in single precision.
//!
//! One row `x` of `K` classes with label `y`, plainly:
//!
//! ```text
//! m = max over j != y of x[j]
//! rest = 0
//! for j in 0..K: if j != y: rest += exp(x[j] - m)
//! ... objective: loss, scale, bias, target from (m, x[y], rest) ...
//! for j in 0..K: grad[j] = scale * exp(x[j] - m) + bias
//! grad[y] = target
//! ```
//!
//! What we do instead, and why:
//!  1. One vector per turn and one accumulator: the wasm compiler unrolls the loop itself and keeps the constants in
//!     registers; a loop unrolled by hand spills them.
//!  2. The exponentials are stored in the first sweep (over the gradient, or over the logits in place) and scaled in
//!     the second.
//!  3. The label's exponential is left out of `rest`, never subtracted from it: `(1 + rest) - 1` loses small rests. The
//!     sweep is cut at the label's vector, so that the loop has no comparison.
//!  4. The last vector is the row's last `LANES` floats, overlapping the one before; a mask counts each class once. It
//!     is loaded before the sweep, which in place overwrites part of it, and stored after it.
//!  5. Sums move to f64 every `FLUSH` vectors. Their order is a function of `K` alone.
//!  6. A NaN is looked for on the way to the maximum, where the processor waits for memory, and not among the exponentials:
//!     by the largest magnitude as bits, which shows one of either sign and any payload.
//!
//! What this costs: rows shorter than a vector go through a padded copy, and a row is one thread's work.
mod cells;

pub(crate) use cells::{Apart, Cells, InPlace, ReadOnly};

use super::{Bias, MomentOf, zero_threshold};
use crate::math::{Exp, GUARD_BITS};
use crate::objective::RowStats;
use crate::simd::{Isa, inlined};

/// Vectors added in single precision before the sum moves to f64.
const FLUSH: usize = 256;

/// A row for [`stats`]: `classes` logits (the rest of a slice padded to `LANES` is not looked at), and what to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) classes: usize,
    pub(crate) label: usize,
    pub(crate) scale: f32,
    pub(crate) moment: MomentOf<'a>,
}

/// The lanes of the last vector that no whole vector holds.
#[inline(always)]
fn tail_mask<I: Isa>(classes: usize) -> I::V {
    let left = classes % I::LANES;
    if classes < I::LANES {
        I::first(left)
    } else {
        I::and_not(I::first(I::LANES), I::first(I::LANES - left))
    }
}

/// The class of lane 0 of the last vector.
#[inline(always)]
fn tail_start<I: Isa>(classes: usize) -> usize {
    classes.saturating_sub(I::LANES)
}

/// The largest logit, but for the label's, and the bits of the largest magnitude: above [`GUARD_BITS`] where there is a NaN,
/// of either sign and any payload.
#[inline(never)]
fn observe<I: Isa>(x: &[f32], label: Option<usize>) -> (f32, u32) {
    I::enter(
        #[inline(always)]
        || look_at::<I>(x, label),
    )
}

#[inline(always)]
fn look_at<I: Isa>(x: &[f32], label: Option<usize>) -> (f32, u32) {
    if x.len() < I::LANES {
        let others = || x.iter().enumerate().filter(|(class, _)| Some(*class) != label).map(|(_, x)| *x);
        let most = others().fold(f32::NEG_INFINITY, |m, x| if m < x { x } else { m });
        return (most, others().fold(0, |bits, x| bits.max(x.abs().to_bits())));
    }
    let least = I::splat(f32::NEG_INFINITY);
    let (mut most, mut magnitude) = ([least; 4], [I::splat(0.0); 4]);
    let mut look = inlined(
        #[inline(always)]
        |side: usize, x: I::V| {
            most[side] = I::pmax(most[side], x);
            magnitude[side] = I::max_bits(magnitude[side], I::abs(x));
        },
    );
    let without = inlined(
        #[inline(always)]
        |x: I::V, lane: usize| I::select(I::only(lane), least, x),
    );
    let chunks = I::chunks(x);
    let cut = label.map_or(chunks.len(), |label| chunks.len().min(label / I::LANES));
    for part in [&chunks[..cut], &chunks[chunks.len().min(cut + 1)..]] {
        let mut groups = part.chunks_exact(4);
        for group in &mut groups {
            (0..4).for_each(|side| look(side, I::load(&group[side])));
        }
        groups.remainder().iter().for_each(|chunk| look(0, I::load(chunk)));
    }
    if let (Some(chunk), Some(label)) = (chunks.get(cut), label) {
        look(1, without(I::load(chunk), label % I::LANES));
    }
    if !x.len().is_multiple_of(I::LANES) {
        let start = x.len() - I::LANES;
        let last = I::load(I::last(x));
        match label.and_then(|label| label.checked_sub(start)) {
            Some(lane) => look(2, without(last, lane)),
            None => look(2, last),
        }
    }
    let most = I::max(I::pmax(I::pmax(most[0], most[1]), I::pmax(most[2], most[3])));
    let magnitude =
        I::max_bits(I::max_bits(magnitude[0], magnitude[1]), I::max_bits(magnitude[2], magnitude[3]));
    (most, I::largest_bits(magnitude))
}

/// The first of the largest logits; `None` where a logit is NaN.
pub(crate) fn argmax<I: Isa>(x: &[f32], classes: usize) -> Option<usize> {
    let x = &x[..classes];
    let (largest, magnitude) = observe::<I>(x, None);
    if magnitude > GUARD_BITS {
        return None;
    }
    let chunk = I::enter(
        #[inline(always)]
        || {
            let equals = I::splat(largest);
            let is_there = inlined(
                #[inline(always)]
                |chunk: &I::Chunk| I::any(I::eq(I::load(chunk), equals)),
            );
            I::chunks(x).iter().position(is_there)
        },
    );
    let from = chunk.map_or(classes - classes % I::LANES, |chunk| chunk * I::LANES);
    Some(from + x[from..].iter().position(|x| *x == largest).unwrap_or(0))
}

/// The statistics of a row, with its exponentials kept in `cells`; `None` for a row whose loss is NaN: one with a NaN
/// or +inf logit, or with -inf alone.
#[inline(always)]
pub(crate) fn stats<I: Isa, C: Cells<I>>(cells: &mut C, row: &Row<'_>) -> Option<RowStats> {
    let label = cells.logits()[row.label];
    let (most, magnitude) = observe::<I>(&cells.logits()[..row.classes], Some(row.label));
    let alone = most == f32::NEG_INFINITY;
    let nothing = alone && label == f32::NEG_INFINITY;
    if magnitude > GUARD_BITS || most == f32::INFINITY || label.is_nan() || label == f32::INFINITY || nothing
    {
        return None;
    }
    let shift = if alone { label } else { most };
    let sums = sums(cells, row, shift);
    Some(RowStats {
        shift: f64::from(shift),
        label: f64::from(label),
        // Where no other class is above -inf, what the clamp of `exp` left is nothing.
        rest: if alone { 0.0 } else { sums.rest },
        moment: sums.moment,
    })
}

struct Sums {
    rest: f64,
    moment: f64,
}

/// The sweep, in the instance that does no more than this row asks for.
#[inline(always)]
fn sums<I: Isa, C: Cells<I>>(cells: &mut C, row: &Row<'_>, shift: f32) -> Sums {
    match row.moment {
        MomentOf::Nothing if row.scale == 1.0 => sweep::<I, C, false, 0>(cells, row, shift, &[]),
        MomentOf::Nothing => sweep::<I, C, true, 0>(cells, row, shift, &[]),
        MomentOf::Ones => sweep::<I, C, true, 1>(cells, row, shift, &[]),
        MomentOf::Weights(weights) => sweep::<I, C, true, 2>(cells, row, shift, weights),
    }
}

/// `MOMENT`: 0 none, 1 of ones, 2 of `weights` (padded to `LANES`).
#[inline(never)]
fn sweep<I: Isa, C: Cells<I>, const SCALED: bool, const MOMENT: u8>(
    cells: &mut C,
    row: &Row<'_>,
    shift: f32,
    weights: &[f32],
) -> Sums {
    I::enter(
        #[inline(always)]
        || sweep_over::<I, C, SCALED, MOMENT>(cells, row, shift, weights),
    )
}

#[inline(always)]
fn sweep_over<I: Isa, C: Cells<I>, const SCALED: bool, const MOMENT: u8>(
    cells: &mut C,
    row: &Row<'_>,
    shift: f32,
    weights: &[f32],
) -> Sums {
    let exp = Exp::<I>::new();
    let (classes, label) = (row.classes, row.label);
    let (shift, scale, zero) = (I::splat(shift), I::splat(row.scale), I::splat(0.0));
    let difference = inlined(
        #[inline(always)]
        |x: I::V| {
            let d = I::sub(x, shift);
            if SCALED { I::mul(d, scale) } else { d }
        },
    );
    let weighted = inlined(
        #[inline(always)]
        |chunk: &I::Chunk, d: I::V| {
            let t = I::load(chunk);
            I::and_not(I::mul(t, d), I::eq(t, zero))
        },
    );
    let whole = classes / I::LANES;
    let weight_chunks = I::chunks(weights);
    let tail =
        (!classes.is_multiple_of(I::LANES)).then(|| I::load(I::last(padded::<I>(cells.logits(), classes))));
    let label_chunk = if label < whole * I::LANES { label / I::LANES } else { usize::MAX };
    let label_lane = I::only(label % I::LANES);
    let (mut rest, mut moment) = (0.0, 0.0);
    let mut start = 0;
    while start < whole {
        let end = whole.min(start + FLUSH);
        let (mut sum, mut first_moment) = (zero, zero);
        let mut step = inlined(
            #[inline(always)]
            |index: usize, x: I::V, label: Option<I::V>| {
                let others = inlined(
                    #[inline(always)]
                    |v: I::V| match label {
                        Some(label) => I::and_not(v, label),
                        None => v,
                    },
                );
                let d = difference(x);
                match MOMENT {
                    0 => {}
                    1 => first_moment = I::add(first_moment, others(d)),
                    _ => first_moment = I::add(first_moment, others(weighted(&weight_chunks[index], d))),
                }
                let e = exp.exp(d);
                sum = I::add(sum, others(e));
                e
            },
        );
        let cut = if (start..end).contains(&label_chunk) { label_chunk } else { end };
        cells.sweep(start..cut, |index, x| step(index, x, None));
        if cut < end {
            cells.sweep(cut..cut + 1, |index, x| step(index, x, Some(label_lane)));
            cells.sweep(cut + 1..end, |index, x| step(index, x, None));
        }
        rest += I::sum(sum);
        moment += if MOMENT == 0 { 0.0 } else { I::sum(first_moment) };
        start = end;
    }
    if let Some(x) = tail {
        let mut counts = tail_mask::<I>(classes);
        if label_chunk == usize::MAX {
            counts = I::and_not(counts, I::only(label - tail_start::<I>(classes)));
        }
        let d = difference(x);
        let e = exp.exp(d);
        cells.keep_last(e);
        rest += I::sum(I::and(e, counts));
        moment += match MOMENT {
            0 => 0.0,
            1 => I::sum(I::and(d, counts)),
            _ => I::sum(I::and(weighted(I::last(padded::<I>(weights, classes)), d), counts)),
        };
    }
    Sums { rest, moment }
}

/// The slice whose last `LANES` floats are the last vector of a row.
#[inline(always)]
fn padded<I: Isa>(x: &[f32], classes: usize) -> &[f32] {
    &x[..classes.max(I::LANES)]
}

/// Turns the exponentials that [`stats`] kept into the gradient: `scale * e + bias`, and `target` at the label.
#[inline(always)]
pub(crate) fn write_grad<I: Isa>(
    e: &mut [f32],
    classes: usize,
    scale: f32,
    bias: Bias<'_>,
    target: Option<(usize, f32)>,
) {
    match bias {
        Bias::None => affine::<I, 0>(e, classes, scale, 0.0, &[]),
        Bias::Uniform(bias) => affine::<I, 1>(e, classes, scale, bias, &[]),
        Bias::PerClass(bias, weights) => affine::<I, 2>(e, classes, scale, bias, weights),
    }
    if let Some((label, value)) = target {
        e[label] = value;
    }
}

/// `BIAS`: 0 none, 1 the same for all, 2 times `weights` (padded to `LANES`).
#[inline(never)]
fn affine<I: Isa, const BIAS: u8>(e: &mut [f32], classes: usize, scale: f32, bias: f32, weights: &[f32]) {
    I::enter(
        #[inline(always)]
        || map_affine::<I, BIAS>(e, classes, scale, bias, weights),
    );
}

#[inline(always)]
fn map_affine<I: Isa, const BIAS: u8>(e: &mut [f32], classes: usize, scale: f32, bias: f32, weights: &[f32]) {
    let threshold = I::splat(zero_threshold(scale));
    let (scale, bias) = (I::splat(scale), I::splat(bias));
    // `and_not` by `le` lets a NaN through, where `and` by `gt` would hide it.
    let map = inlined(
        #[inline(always)]
        |e: I::V, weights: Option<&I::Chunk>| {
            let p = I::mul(I::and_not(e, I::le(e, threshold)), scale);
            match (BIAS, weights) {
                (0, _) => p,
                (2, Some(weights)) => I::add(p, I::mul(I::load(weights), bias)),
                _ => I::add(p, bias),
            }
        },
    );
    let e = &mut e[..classes.max(I::LANES)];
    let whole = classes / I::LANES;
    let tail = (!classes.is_multiple_of(I::LANES)).then(|| I::load(I::last(e)));
    let chunks = &mut I::chunks_mut(e)[..whole];
    if BIAS == 2 {
        for (chunk, weights) in chunks.iter_mut().zip(I::chunks(weights)) {
            I::store(chunk, map(I::load(chunk), Some(weights)));
        }
    } else {
        for chunk in chunks {
            I::store(chunk, map(I::load(chunk), None));
        }
    }
    if let Some(tail) = tail {
        let weights = (BIAS == 2).then(|| I::last(padded::<I>(weights, classes)));
        I::store(I::last_mut(e), map(tail, weights));
    }
}
