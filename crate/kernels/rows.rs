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
//!  1. A row is cut into blocks of [`BLOCK`] logits, whatever the number of threads. Each block has a shift of its own, and
//!     [`combine`] adds up the blocks' sums in f64 and in order: any number of threads may share a row, and no bit changes.
//!  2. A block whose logits are all within [`SMALL`] of 0 needs no shift, hence no maximum: its exponentials neither
//!     overflow nor vanish. That is guessed, and checked as the sweep goes; where the guess was wrong the block, still in the
//!     first cache, is done again with its maximum. In place there is nothing to go back to, so there the block is looked
//!     at first, or the exponentials of a row of one block are kept in scratch. `exp(x)` also has fewer roundings than `exp(x - m)`; `exp(scale x)` has as many, hence [`SMALL_SCALED`].
//!  3. One vector per turn and one accumulator: the wasm compiler unrolls the loop itself and keeps the constants in
//!     registers; a loop unrolled by hand spills them.
//!  4. The exponentials are stored in the first sweep (over the gradient, or over the logits in place) and scaled in
//!     the second.
//!  5. The label's exponential is left out of `rest`, never subtracted from it: `(1 + rest) - 1` loses small rests. The
//!     sweep is cut at the label's vector, so that the loop has no comparison.
//!  6. The last vector is the row's last `LANES` floats, overlapping the one before; a mask counts each class once. In place it is
//!     loaded before the sweep, which overwrites part of it. Elsewhere each vector is read in its turn, the last one and the
//!     label's too: the processor reads ahead in order, and waited for these (65536x97, relaxed, loss and gradient: 1.31 to 1.03 ns a
//!     logit; 32768x201: 0.78 to 0.69; 8192x1000: 0.56 to 0.53).
//!  7. Sums move to f64 every `FLUSH` vectors. Their order is a function of `K` alone.
//!  8. A NaN is looked for among the logits and not among the exponentials: by the largest magnitude as bits, which shows
//!     one of either sign and any payload.
//!
//! What it brings (AMD EPYC Genoa VM, Node 24, 32,000 classes; before, a sweep looked for the maximum): loss 0.50 to 0.37 ns a
//! logit in the relaxed build, 0.85 to 0.67 in the other; gradient 0.59 to 0.49 and 0.92 to 0.75. A logit scale or smoothing, both
//! of them too, cost 1.16 to 1.2 times that (with the maximum, 1.5 to 1.9); class weights that smoothing carries cost 1.9
//! times (2.0 to 2.35), in a sweep of their own: 0.65 ns, where one sweep for all takes 0.73, as its registers spill.
//!
//! What this costs: rows shorter than a vector go through a padded copy; the first block that is not small is swept twice.
mod cells;
mod combine;
mod grad;
mod lone;
mod moment;

pub(crate) use cells::{Apart, Cells, InPlace, ReadOnly};
pub(crate) use combine::{BlockStats, combine};
pub(crate) use grad::write_grad;
pub(crate) use lone::{GROUP, LoneRows};
use moment::weighted;

use super::MomentOf;
use crate::math::{Exp, GUARD_BITS};
use crate::simd::{Isa, inlined};
use core::hint::black_box;
use core::ops::Range;

/// Logits of a block; the last of a row has those that are left over too.
pub(crate) const BLOCK: usize = 2048;

/// Magnitude up to which exponentials are taken of the logits as they are: a row's sum stays below `K e^40`, and a
/// gradient's common factor above `e^-40 / K`, far from where single precision ends.
const SMALL: f32 = 40.0;

/// The same for the product of a logit and a scale, whose rounding is a part of the exponential: at most 8 of its last places.
const SMALL_SCALED: f32 = 16.0;

/// Vectors added in single precision before the sum moves to f64: of equal terms, whose roundings all go one way, the sum is off
/// by up to 8.1e-7 of itself (with 256 it would be 3.7e-6).
const FLUSH: usize = 64;

/// How many blocks a row has.
pub(crate) fn blocks(classes: usize) -> usize {
    (classes / BLOCK).max(1)
}

/// The classes of a block.
pub(crate) fn block(classes: usize, index: usize) -> Range<usize> {
    let start = index * BLOCK;
    start..if index + 1 == blocks(classes) { classes } else { start + BLOCK }
}

/// A block for [`stats`]: `classes` logits (the rest of a slice padded to `LANES` is not looked at), the label's place
/// where it is among them, and what to do. The moment's weights begin with the block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a> {
    pub(crate) classes: usize,
    pub(crate) label: Option<usize>,
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
        |side: usize, x: I::V, label: Option<usize>| {
            let (others, size) = match label {
                Some(lane) => (I::select(I::only(lane), least, x), I::and_not(x, I::only(lane))),
                None => (x, x),
            };
            most[side] = I::pmax(most[side], others);
            magnitude[side] = I::max_bits(magnitude[side], I::abs(size));
        },
    );
    let chunks = I::chunks(x);
    let cut = label.map_or(chunks.len(), |label| chunks.len().min(label / I::LANES));
    for part in [&chunks[..cut], &chunks[chunks.len().min(cut + 1)..]] {
        let mut groups = part.chunks_exact(4);
        for group in &mut groups {
            (0..4).for_each(|side| look(side, I::load(&group[side]), None));
        }
        groups.remainder().iter().for_each(|chunk| look(0, I::load(chunk), None));
    }
    if let (Some(chunk), Some(label)) = (chunks.get(cut), label) {
        look(1, I::load(chunk), Some(label % I::LANES));
    }
    if !x.len().is_multiple_of(I::LANES) {
        let start = x.len() - I::LANES;
        let last = I::load(I::last(x));
        look(2, last, label.and_then(|label| label.checked_sub(start)));
    }
    let most = I::max(I::pmax(I::pmax(most[0], most[1]), I::pmax(most[2], most[3])));
    let magnitude =
        I::max_bits(I::max_bits(magnitude[0], magnitude[1]), I::max_bits(magnitude[2], magnitude[3]));
    (most, I::largest_bits(magnitude))
}

/// The largest logit of a block, or NaN, and the first place where it is, looked for only where the logit is above `best`.
pub(crate) fn largest<I: Isa>(x: &[f32], best: f32) -> (f32, usize) {
    let (largest, magnitude) = observe::<I>(x, None);
    if magnitude > GUARD_BITS {
        return (f32::NAN, 0);
    }
    if largest <= best {
        return (largest, 0);
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
    let from = chunk.map_or(x.len() - x.len() % I::LANES, |chunk| chunk * I::LANES);
    (largest, from + x[from..].iter().position(|x| *x == largest).unwrap_or(0))
}

/// The statistics of a block, with its exponentials kept in `cells`. `wary` goes from block to block: whether to look at the
/// logits before the sweep. It changes no result.
#[inline(never)]
pub(crate) fn stats<I: Isa, C: Cells<I>>(cells: &mut C, block: &Block<'_>, wary: &mut bool) -> BlockStats {
    let small = if block.scale == 1.0 { SMALL } else { (SMALL_SCALED / block.scale).min(f32::MAX) };
    let mut observed = None;
    if !C::LASTING || *wary {
        let found = observe::<I>(&cells.logits()[..block.classes], block.label);
        *wary = found.1 > small.to_bits();
        observed = Some(found);
    }
    if !*wary {
        let weighted = weighted::<I>(cells.logits(), block, 0.0);
        // Through a pointer, as below: a function that all sweeps are inlined in takes twice the time in some processes, where it
        // stores to cold memory (256x32000 in six processes, `relaxed`: 0.46 to 1.04 ns a logit, and 0.43 in each this way).
        let is_plain = block.scale == 1.0 && matches!(block.moment, MomentOf::Nothing);
        let sweep = if is_plain { sweep::<I, C, AS_IT_IS> } else { sweep::<I, C, SCALED> };
        let sums = sweep(cells, block, 0.0);
        *wary = sums.magnitude > small.to_bits();
        if !*wary {
            return sums.block(block, 0.0, weighted);
        }
    }
    let (most, magnitude) =
        observed.unwrap_or_else(|| observe::<I>(&cells.logits()[..block.classes], block.label));
    if magnitude > GUARD_BITS || most == f32::INFINITY {
        return BlockStats { shift: f32::NAN, ..BlockStats::default() };
    }
    let alone = most == f32::NEG_INFINITY;
    let shift = if alone { 0.0 } else { most };
    let weighted = weighted::<I>(cells.logits(), block, shift);
    let sweep = black_box(sweep::<I, C, SHIFTED>);
    let stats = sweep(cells, block, shift).block(block, shift, weighted);
    // Where no other class is above -inf, what the clamp of `exp` left is nothing.
    BlockStats { rest: if alone { 0.0 } else { stats.rest }, ..stats }
}

/// What a sweep takes exponentials of: the logits, `scale` times them, or `scale * (x - shift)`.
const AS_IT_IS: u8 = 0;
const SCALED: u8 = 1;
const SHIFTED: u8 = 2;

struct Sums {
    rest: f64,
    /// The sum of what the exponentials are taken of, but for `AS_IT_IS`.
    moment: f64,
    /// The largest magnitude's bits, but for `SHIFTED`, where the logits last.
    magnitude: u32,
}

impl Sums {
    /// With the moment and its weight where there are weights.
    fn block(self, block: &Block<'_>, shift: f32, weighted: Option<(f64, f64)>) -> BlockStats {
        let (moment, weight) = weighted.unwrap_or_else(|| match block.moment {
            MomentOf::Nothing => (0.0, 0.0),
            _ => (self.moment, (block.classes - usize::from(block.label.is_some())) as f64),
        });
        BlockStats { shift, rest: self.rest, moment, weight }
    }
}

#[inline(never)]
fn sweep<I: Isa, C: Cells<I>, const OF: u8>(cells: &mut C, block: &Block<'_>, shift: f32) -> Sums {
    I::enter(
        #[inline(always)]
        || sweep_over::<I, C, OF>(cells, block, shift),
    )
}

#[inline(always)]
fn sweep_over<I: Isa, C: Cells<I>, const OF: u8>(cells: &mut C, block: &Block<'_>, shift: f32) -> Sums {
    let exp = Exp::<I>::new();
    let classes = block.classes;
    let (shift, scale, zero) = (I::splat(shift), I::splat(block.scale), I::splat(0.0));
    let argument = inlined(
        #[inline(always)]
        |x: I::V| match OF {
            AS_IT_IS => x,
            SCALED => I::mul(x, scale),
            _ => I::mul(I::sub(x, shift), scale),
        },
    );
    let power = inlined(
        #[inline(always)]
        |d: I::V| {
            if OF == SHIFTED { exp.exp(d) } else { exp.exp_small(d) }
        },
    );
    let whole = classes / I::LANES;
    let last = inlined(
        #[inline(always)]
        |cells: &C| I::load(I::last(padded::<I>(cells.logits(), classes))),
    );
    let has_tail = !classes.is_multiple_of(I::LANES);
    let tail = (has_tail && !C::LASTING).then(|| last(cells));
    let label_chunk =
        block.label.filter(|label| *label < whole * I::LANES).map_or(usize::MAX, |label| label / I::LANES);
    let label_lane = I::only(block.label.unwrap_or_default() % I::LANES);
    let (mut rest, mut moment) = (0.0, 0.0);
    let mut magnitude = zero;
    let mut start = 0;
    while start < whole {
        let end = whole.min(start + FLUSH);
        let (mut sum, mut arguments) = (zero, zero);
        let mut step = inlined(
            #[inline(always)]
            |x: I::V, label: Option<I::V>| {
                let others = inlined(
                    #[inline(always)]
                    |v: I::V| match label {
                        Some(label) => I::and_not(v, label),
                        None => v,
                    },
                );
                if OF != SHIFTED && C::LASTING {
                    magnitude = I::max_bits(magnitude, others(exp.magnitude(x)));
                }
                let d = argument(x);
                if OF != AS_IT_IS {
                    arguments = I::add(arguments, others(d));
                }
                let e = power(d);
                sum = I::add(sum, others(e));
                e
            },
        );
        let mut from = start;
        while from < end {
            let to = if (from..end).contains(&label_chunk) { label_chunk } else { end };
            cells.sweep(from..to, |x| step(x, None));
            if to < end {
                cells.sweep(to..to + 1, |x| step(x, Some(label_lane)));
            }
            from = to + 1;
        }
        rest += I::sum(sum);
        moment += if OF == AS_IT_IS { 0.0 } else { I::sum(arguments) };
        start = end;
    }
    if has_tail {
        let x = tail.unwrap_or_else(|| last(cells));
        let mut counts = tail_mask::<I>(classes);
        if let Some(lane) = block.label.and_then(|label| label.checked_sub(tail_start::<I>(classes))) {
            counts = I::and_not(counts, I::only(lane));
        }
        let d = argument(x);
        let e = power(d);
        cells.keep_last(e);
        magnitude = I::max_bits(magnitude, I::and(exp.magnitude(x), counts));
        rest += I::sum(I::and(e, counts));
        moment += if OF == AS_IT_IS { 0.0 } else { I::sum(I::and(d, counts)) };
    }
    Sums { rest, moment, magnitude: I::largest_bits(magnitude) }
}

/// The slice whose last `LANES` floats are the last vector of a row.
#[inline(always)]
fn padded<I: Isa>(x: &[f32], classes: usize) -> &[f32] {
    &x[..classes.max(I::LANES)]
}
