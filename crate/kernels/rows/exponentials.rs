//! The loops over logits: they take exponentials, add them up and find the logits' bounds.

use super::observe::highest_of;
use super::{Asked, BLOCK, Cells, RUN, blocks, stride, tail_mask, tail_start};
use crate::math::Exp;
use crate::simd::{Isa, MOST_LANES, inlined};

/// What a sweep takes exponentials of: the logits, `scale` times them, or `scale * (x - shift)`.
const AS_IT_IS: u8 = 0;
const SCALED: u8 = 1;
const SHIFTED: u8 = 2;

/// Whether the exponentials are dropped or kept; see [`Cells`].
const DROPPED: u8 = 0;
const APART: u8 = 1;

/// The most floats that a row of up to a run has, with those that no whole vector holds.
const MOST: usize = (RUN + 1) * MOST_LANES;

/// All ones but for one zero. The masks of a row whose label is `y` begin `y` places before the zero.
static OTHERS: [f32; 2 * MOST + 1] = {
    let mut masks = [f32::from_bits(u32::MAX); 2 * MOST + 1];
    masks[MOST] = 0.0;
    masks
};

/// Returns the masks of up to a run of classes: all ones, but 0 at the label if it is among them.
#[inline(always)]
pub(super) fn others(label: usize) -> &'static [f32] {
    &OTHERS[MOST - label.min(MOST)..][..MOST]
}

/// What a sweep is given beside its cells.
#[derive(Clone, Copy)]
pub(super) struct Sweep<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) labels: &'a [i32],
    pub(super) shift: f32,
}

/// Where a sweep puts what it finds.
pub(super) struct Sums<'a> {
    /// The sums of the other classes' exponentials, one for each block of each row, of four blocks each.
    pub(super) rest: &'a mut [[f32; 4]],
    /// The labels' logits.
    pub(super) label: &'a mut [f32],
}

/// The largest bits of all logits, as i32 and as u32.
pub(super) type Bounds = (f32, f32);

/// Sweeps rows without a shift.
pub(super) fn unshifted<I: Isa>(cells: &mut Cells<'_>, sweep: &Sweep<'_>, sums: Sums<'_>) -> Bounds {
    let is_plain = sweep.asked.scale == 1.0;
    // Each case is a function of its own: one function for all would need the registers of all.
    if sweep.asked.classes <= I::LANES && is_plain {
        match cells {
            Cells::Loss(x) => vectors::<I, DROPPED>(x, &mut [], sweep, sums),
            Cells::Apart(x, e) => vectors::<I, APART>(x, e, sweep, sums),
        }
    } else if sweep.asked.classes / I::LANES <= RUN {
        match (cells, is_plain) {
            (Cells::Loss(x), true) => short::<I, DROPPED, AS_IT_IS>(x, &mut [], sweep, sums),
            (Cells::Apart(x, e), true) => short::<I, APART, AS_IT_IS>(x, e, sweep, sums),
            (Cells::Loss(x), false) => short::<I, DROPPED, SCALED>(x, &mut [], sweep, sums),
            (Cells::Apart(x, e), false) => short::<I, APART, SCALED>(x, e, sweep, sums),
        }
    } else {
        match (cells, is_plain) {
            (Cells::Loss(x), true) => long::<I, DROPPED, AS_IT_IS>(x, &mut [], sweep, sums),
            (Cells::Apart(x, e), true) => long::<I, APART, AS_IT_IS>(x, e, sweep, sums),
            (Cells::Loss(x), false) => long::<I, DROPPED, SCALED>(x, &mut [], sweep, sums),
            (Cells::Apart(x, e), false) => long::<I, APART, SCALED>(x, e, sweep, sums),
        }
    }
}

pub(super) fn shifted<I: Isa>(cells: &mut Cells<'_>, sweep: &Sweep<'_>, sums: Sums<'_>) {
    match cells {
        Cells::Loss(x) => long::<I, DROPPED, SHIFTED>(x, &mut [], sweep, sums),
        Cells::Apart(x, e) => long::<I, APART, SHIFTED>(x, e, sweep, sums),
    };
}

#[inline(never)]
fn short<I: Isa, const KEPT: u8, const OF: u8>(
    x: &[f32],
    e: &mut [f32],
    sweep: &Sweep<'_>,
    sums: Sums<'_>,
) -> Bounds {
    I::enter(
        #[inline(always)]
        || short_rows::<I, KEPT, OF>(x, e, sweep, sums),
    )
}

#[inline(never)]
fn long<I: Isa, const KEPT: u8, const OF: u8>(
    x: &[f32],
    e: &mut [f32],
    sweep: &Sweep<'_>,
    sums: Sums<'_>,
) -> Bounds {
    I::enter(
        #[inline(always)]
        || long_rows::<I, KEPT, OF>(x, e, sweep, sums),
    )
}

/// Takes the exponentials of vectors and keeps the bounds of their logits.
struct Powers<I: Isa, const OF: u8> {
    exp: Exp<I>,
    scale: I::V,
    shift: I::V,
    highest: I::V,
    lowest: I::V,
}

impl<I: Isa, const OF: u8> Powers<I, OF> {
    #[inline(always)]
    fn new(sweep: &Sweep<'_>) -> Self {
        let zero = I::splat(0.0);
        let (scale, shift) = (I::splat(sweep.asked.scale), I::splat(sweep.shift));
        Self { exp: Exp::new(), scale, shift, highest: zero, lowest: zero }
    }

    #[inline(always)]
    fn take(&mut self, x: I::V) -> I::V {
        if OF == SHIFTED {
            return self.exp.exp(I::mul(I::sub(x, self.shift), self.scale));
        }
        self.highest = I::max_signed_bits(self.highest, x);
        self.lowest = I::max_bits(self.lowest, x);
        self.exp.exp_small(if OF == SCALED { I::mul(x, self.scale) } else { x })
    }

    #[inline(always)]
    fn bounds(&self) -> Bounds {
        (highest_of::<I>(self.highest), f32::from_bits(I::largest_bits(self.lowest)))
    }
}

/// Sweeps rows that fill one vector each.
#[inline(never)]
fn vectors<I: Isa, const KEPT: u8>(x: &[f32], e: &mut [f32], sweep: &Sweep<'_>, sums: Sums<'_>) -> Bounds {
    I::enter(
        #[inline(always)]
        || {
            let mut powers = Powers::<I, AS_IT_IS>::new(sweep);
            let counted = I::first(sweep.asked.classes);
            let (x, e) = (I::chunks(x), I::chunks_mut(e));
            let zero = I::splat(0.0);
            let mut rest = [zero; 4];
            for (row, label) in sweep.labels.iter().enumerate() {
                let mut sum = zero;
                if let Ok(label) = usize::try_from(*label) {
                    sums.label[row] = x[row].as_ref().get(label).copied().unwrap_or_default();
                    let mask = I::and(counted, I::load(&I::chunks(others(label))[0]));
                    let p = powers.take(I::load(&x[row]));
                    sum = I::and(p, mask);
                    if KEPT != DROPPED {
                        I::store(&mut e[row], p);
                    }
                }
                rest[row % 4] = sum;
                if row % 4 == 3 || row + 1 == sweep.labels.len() {
                    sums.rest[row / 4] = I::add_across(rest);
                }
            }
            powers.bounds()
        },
    )
}

/// Sweeps rows of up to a run.
#[inline(always)]
fn short_rows<I: Isa, const KEPT: u8, const OF: u8>(
    x: &[f32],
    e: &mut [f32],
    sweep: &Sweep<'_>,
    sums: Sums<'_>,
) -> Bounds {
    let mut powers = Powers::<I, OF>::new(sweep);
    let zero = I::splat(0.0);
    let classes = sweep.asked.classes;
    let stride = stride::<I>(classes);
    let (whole, has_tail) = (classes / I::LANES, !classes.is_multiple_of(I::LANES));
    let (counted, tail_start) = (tail_mask::<I>(classes), tail_start::<I>(classes));
    let mut rest = [zero; 4];
    // All places come from the row's number: it is the one thing to keep in a register from row to row.
    for (row, label) in sweep.labels.iter().enumerate() {
        let mut sum = zero;
        if let Ok(label) = usize::try_from(*label) {
            let x = &x[row * stride..][..stride];
            let e = if KEPT == DROPPED { &mut [] } else { &mut e[row * stride..][..stride] };
            let masks = others(label);
            let mut add = inlined(
                #[inline(always)]
                |x: I::V, mask: I::V| {
                    let e = powers.take(x);
                    sum = I::add(sum, I::and(e, mask));
                    e
                },
            );
            let masks_whole = &I::chunks(masks)[..whole];
            if KEPT == DROPPED {
                for (x, mask) in I::chunks(x).iter().zip(masks_whole) {
                    add(I::load(x), I::load(mask));
                }
            } else {
                for ((x, e), mask) in I::chunks(x).iter().zip(I::chunks_mut(e)).zip(masks_whole) {
                    I::store(e, add(I::load(x), I::load(mask)));
                }
            }
            if has_tail {
                let mask = I::and(counted, I::load(&I::chunks(&masks[tail_start..])[0]));
                let e_tail = add(I::load(I::last(x)), mask);
                if KEPT != DROPPED {
                    I::store(I::last_mut(e), e_tail);
                }
            }
            if let Some(x) = x.get(label) {
                sums.label[row] = *x;
            }
        }
        rest[row % 4] = sum;
        if row % 4 == 3 || row + 1 == sweep.labels.len() {
            sums.rest[row / 4] = I::add_across(rest);
        }
    }
    powers.bounds()
}

/// Sweeps rows of any length. The loop over a row is cut at the label's vector, so that it needs no mask. There is a sum for each block.
#[inline(always)]
fn long_rows<I: Isa, const KEPT: u8, const OF: u8>(
    x: &[f32],
    e: &mut [f32],
    sweep: &Sweep<'_>,
    sums: Sums<'_>,
) -> Bounds {
    let mut powers = Powers::<I, OF>::new(sweep);
    let zero = I::splat(0.0);
    let classes = sweep.asked.classes;
    let stride = stride::<I>(classes);
    let (whole, has_tail) = (classes / I::LANES, !classes.is_multiple_of(I::LANES));
    let (counted, tail_start) = (tail_mask::<I>(classes), tail_start::<I>(classes));
    let blocks = blocks(classes);
    for (row, label) in sweep.labels.iter().enumerate() {
        let rests = &mut sums.rest.as_flattened_mut()[row * blocks..][..blocks];
        let Ok(label) = usize::try_from(*label) else {
            rests.iter_mut().for_each(|rest| *rest = 0.0);
            continue;
        };
        let x = &x[row * stride..][..stride];
        let e = if KEPT == DROPPED { &mut [] } else { &mut e[row * stride..][..stride] };
        let cut = if label < whole * I::LANES { label / I::LANES } else { whole };
        let lane = I::only(label % I::LANES);
        let chunks = I::chunks(x);
        let (mut start, last) = (0, rests.len() - 1);
        for (index, rest) in rests.iter_mut().enumerate() {
            let stop = if index == last { whole } else { start + BLOCK / I::LANES };
            let e_chunks = I::chunks_mut(e);
            let mut total = zero;
            while start < stop {
                let end = stop.min(start + RUN);
                let mut sum = zero;
                let mut add = inlined(
                    #[inline(always)]
                    |x: I::V, label: Option<I::V>| {
                        let e = powers.take(x);
                        sum = I::add(sum, label.map_or(e, |label| I::and_not(e, label)));
                        e
                    },
                );
                let mut from = start;
                while from < end {
                    let to = if (from..end).contains(&cut) { cut } else { end };
                    if KEPT == DROPPED {
                        for x in &chunks[from..to] {
                            add(I::load(x), None);
                        }
                    } else {
                        for (x, e) in chunks[from..to].iter().zip(&mut e_chunks[from..to]) {
                            I::store(e, add(I::load(x), None));
                        }
                    }
                    if to < end {
                        let p = add(I::load(&chunks[to]), Some(lane));
                        if KEPT != DROPPED {
                            I::store(&mut e_chunks[to], p);
                        }
                    }
                    from = to + 1;
                }
                total = I::add(total, sum);
                start = end;
            }
            if index == last && has_tail {
                let place = label.wrapping_sub(tail_start);
                let counted = if place < I::LANES { I::and_not(counted, I::only(place)) } else { counted };
                let p = powers.take(I::load(I::last(x)));
                total = I::add(total, I::and(p, counted));
                if KEPT != DROPPED {
                    I::store(I::last_mut(e), p);
                }
            }
            [*rest, ..] = I::add_across([total; 4]);
        }
        // The row is in the first cache now, so this read does not wait for memory.
        if let Some(x) = x.get(label) {
            sums.label[row] = *x;
        }
    }
    powers.bounds()
}
