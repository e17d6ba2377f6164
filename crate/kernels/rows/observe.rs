//! Looks at the logits of a row before its sweep: how large they are, and where the largest one is.

use super::{stride, tail_mask, tail_start};
use crate::simd::{Isa, MOST_LANES, inlined};
use core::array;

/// The largest bits of a magnitude that is not NaN, which are infinity's.
const INFINITY: u32 = f32::INFINITY.to_bits();
const SIGN: u32 = 1 << 31;

/// What a look at a row's logits shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// The largest logit but for the label's.
    pub(super) most: f32,
    /// The largest bits of all logits as i32, and as u32.
    pub(super) highest: f32,
    pub(super) lowest: f32,
}

impl Seen {
    /// Tells whether there is a NaN, of either sign and any payload.
    pub(super) fn has_nan(&self) -> bool {
        self.highest.to_bits().cast_signed() > INFINITY.cast_signed()
            || self.lowest.to_bits() > INFINITY | SIGN
    }
}

/// Returns the lane whose bits, as i32, are the largest.
#[inline(always)]
pub(super) fn highest_of<I: Isa>(v: I::V) -> f32 {
    let lanes = I::lanes(v);
    lanes.as_ref().iter().copied().fold(-0.0, higher)
}

fn higher(a: f32, b: f32) -> f32 {
    if a.to_bits().cast_signed() < b.to_bits().cast_signed() { b } else { a }
}

fn lower(a: f32, b: f32) -> f32 {
    if a.to_bits() < b.to_bits() { b } else { a }
}

#[inline(never)]
pub(super) fn observe<I: Isa>(x: &[f32], label: Option<usize>) -> Seen {
    I::enter(
        #[inline(always)]
        || look_at::<I>(x, label),
    )
}

#[inline(always)]
fn look_at<I: Isa>(x: &[f32], label: Option<usize>) -> Seen {
    let least = f32::NEG_INFINITY;
    if x.len() < I::LANES {
        let others = x.iter().enumerate().filter(|(class, _)| Some(*class) != label).map(|(_, x)| *x);
        return Seen {
            most: others.fold(least, |m, x| if m < x { x } else { m }),
            highest: x.iter().copied().fold(0.0, higher),
            lowest: x.iter().copied().fold(0.0, lower),
        };
    }
    const SIDE: usize = 2;
    let (least, zero) = (I::splat(least), I::splat(0.0));
    let (mut most, mut highest, mut lowest) = ([least; SIDE], [zero; SIDE], [zero; SIDE]);
    let mut look = inlined(
        #[inline(always)]
        |side: usize, x: I::V, label: Option<usize>| {
            let others = match label {
                Some(lane) => I::select(I::only(lane), least, x),
                None => x,
            };
            most[side] = I::pmax(most[side], others);
            highest[side] = I::max_signed_bits(highest[side], x);
            lowest[side] = I::max_bits(lowest[side], x);
        },
    );
    let chunks = I::chunks(x);
    let cut = label.map_or(chunks.len(), |label| chunks.len().min(label / I::LANES));
    for part in [&chunks[..cut], &chunks[chunks.len().min(cut + 1)..]] {
        let mut groups = part.chunks_exact(SIDE);
        for group in &mut groups {
            (0..SIDE).for_each(|side| look(side, I::load(&group[side]), None));
        }
        groups.remainder().iter().for_each(|chunk| look(0, I::load(chunk), None));
    }
    if let (Some(chunk), Some(label)) = (chunks.get(cut), label) {
        look(1, I::load(chunk), Some(label % I::LANES));
    }
    if !x.len().is_multiple_of(I::LANES) {
        let start = x.len() - I::LANES;
        look(0, I::load(I::last(x)), label.and_then(|label| label.checked_sub(start)));
    }
    Seen {
        most: I::max(I::pmax(most[0], most[1])),
        highest: highest_of::<I>(I::max_signed_bits(highest[0], highest[1])),
        lowest: f32::from_bits(I::largest_bits(I::max_bits(lowest[0], lowest[1]))),
    }
}

/// Returns the largest logit of a row or block, or NaN, and its first place, which is looked for only if the logit is above `best`.
pub(crate) fn largest<I: Isa>(x: &[f32], best: f32) -> (f32, usize) {
    let seen = observe::<I>(x, None);
    if seen.has_nan() {
        return (f32::NAN, 0);
    }
    if seen.most <= best {
        return (seen.most, 0);
    }
    (seen.most, first_place::<I>(x, seen.most))
}

/// Does the work of [`largest`] for at least four vectors without NaN.
#[inline(never)]
pub(crate) fn largest_number<I: Isa>(x: &[f32], best: f32) -> (f32, usize) {
    let most = I::enter(
        #[inline(always)]
        || {
            let mut sides = [I::load(I::last(x)); 4];
            let (fours, others) = I::chunks(x).as_chunks::<4>();
            for four in fours {
                for (most, x) in sides.iter_mut().zip(four) {
                    *most = I::pmax(*most, I::load(x));
                }
            }
            let [a, b, c, d] = sides;
            let most = I::pmax(I::pmax(a, b), I::pmax(c, d));
            I::max(others.iter().fold(
                most,
                inlined(
                    #[inline(always)]
                    |most, x| I::pmax(most, I::load(x)),
                ),
            ))
        },
    );
    (most, if most > best { first_place::<I>(x, most) } else { 0 })
}

/// The first place of this logit.
fn first_place<I: Isa>(x: &[f32], logit: f32) -> usize {
    let chunk = I::enter(
        #[inline(always)]
        || {
            let equals = I::splat(logit);
            let is_there = inlined(
                #[inline(always)]
                |chunk: &I::Chunk| I::any(I::eq(I::load(chunk), equals)),
            );
            I::chunks(x).iter().position(is_there)
        },
    );
    let from = chunk.map_or(x.len() - x.len() % I::LANES, |chunk| chunk * I::LANES);
    from + x[from..].iter().position(|x| *x == logit).unwrap_or(0)
}

/// The number of each lane.
static LANES: [f32; MOST_LANES] = {
    let mut lanes = [0.0; MOST_LANES];
    let mut lane = 1;
    while lane < MOST_LANES {
        lanes[lane] = lanes[lane - 1] + 1.0;
        lane += 1;
    }
    lanes
};

/// Finds the first place of the largest logit of each row; no row may hold a NaN.
#[inline(never)]
pub(crate) fn places<I: Isa>(x: &[f32], classes: usize, places: &mut [i32]) {
    // From this number on, adding 1 to a float adds 1 to its bits.
    const COUNT: f32 = 8_388_608.0;
    I::enter(
        #[inline(always)]
        || {
            let (whole, has_tail) = (classes / I::LANES, !classes.is_multiple_of(I::LANES));
            let (counted, zero) = (tail_mask::<I>(classes), I::splat(0.0));
            let (first, step) = (I::load(&I::chunks(&LANES)[0]), I::splat(I::LANES as f32));
            let last = I::add(first, I::splat(tail_start::<I>(classes) as f32));
            let least = I::splat(f32::NEG_INFINITY);
            let (stride, last_row) = (stride::<I>(classes), places.len() - 1);
            for (row, places) in (0..=last_row).step_by(4).zip(places.chunks_mut(4)) {
                // A comparison waits for the one before it in its row, and meanwhile the other rows go on.
                let x: [&[f32]; 4] = array::from_fn(|side| &x[last_row.min(row + side) * stride..][..stride]);
                let mut class = first;
                let mut sides = [(least, first); 4];
                let look = inlined(
                    #[inline(always)]
                    |(most, at): &mut (I::V, I::V), x: I::V, class: I::V| {
                        *at = I::select(I::le(x, *most), *at, class);
                        *most = I::pmax(*most, x);
                    },
                );
                let [a, b, c, d] = x.map(|x| &I::chunks(x)[..whole]);
                for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
                    for (side, x) in sides.iter_mut().zip([a, b, c, d]) {
                        look(side, I::load(x), class);
                    }
                    class = I::add(class, step);
                }
                for (mut side, (x, place)) in sides.into_iter().zip(x.into_iter().zip(places)) {
                    if has_tail {
                        look(&mut side, I::select(counted, I::load(I::last(x)), least), last);
                    }
                    let (most, at) = side;
                    let is_largest = I::eq(most, I::splat(I::max(most)));
                    let class = COUNT - I::max(I::select(is_largest, I::sub(zero, at), least));
                    *place = (class.to_bits() - COUNT.to_bits()).cast_signed();
                }
            }
        },
    );
}
