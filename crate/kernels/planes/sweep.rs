//! The sweep over the planes: the exponentials of a strip's rows, and the bounds of the logits.

use super::{Asked, Planes, SET, Strip, TOGETHER, filled, for_classes, in_turns};
use crate::kernels::objective::Line;
use crate::kernels::rows::{all_allowed, fit, least};
use crate::math::Exp;
use crate::simd::Isa;
use core::ops::Range;

/// What a sweep takes exponentials of: the logits, `scale` times them, or `scale * (x - shift)`.
const AS_IT_IS: u8 = 0;
const SCALED: u8 = 1;
const SHIFTED: u8 = 2;

/// Takes the exponentials of all rows as if all were small, and returns whether all logits are.
#[inline(never)]
pub(crate) fn sweep<I: Isa>(strip: &mut Strip<'_>, planes: &mut dyn Planes, asked: &Asked<'_>) -> bool {
    let Some(small) = asked.small else { return false };
    (strip.highest, strip.lowest) = Default::default();
    let rows = 0..strip.rows;
    take::<I>(strip, if asked.scale == 1.0 { AS_IT_IS } else { SCALED }, planes, asked, &rows);
    let highest = strip.highest.iter().take(I::LANES).map(|x| x.to_bits().cast_signed()).max();
    let lowest = strip.lowest.iter().take(I::LANES).map(|x| x.to_bits()).max();
    let highest = f32::from_bits(highest.unwrap_or_default().cast_unsigned());
    let lowest = f32::from_bits(lowest.unwrap_or_default());
    let fits = fit(&small, highest, lowest);
    strip.least = if fits { least::<I>(asked.scale, lowest) } else { 0.0 };
    fits
}

/// Whether all rows of a part are small, by their labels' logits and their steps too. Only after [`sweep`] returned true.
#[inline(never)]
pub(crate) fn is_small<I: Isa>(
    strip: &mut Strip<'_>,
    part: &Range<usize>,
    steps: &Line,
    asked: &Asked<'_>,
) -> bool {
    let label = &strip.label[strip.rows_of(part)];
    let is_small = asked.small.is_some_and(|small| {
        I::enter(
            #[inline(always)]
            || all_allowed::<I>(&small, label, steps, label.len()),
        )
    });
    if is_small {
        if !strip.is_set {
            strip.shift.fill(0.0);
            strip.small.fill(SET);
            strip.sound.fill(SET);
        }
        (strip.is_set, strip.all_small, strip.all_sound) = (true, true, true);
    }
    is_small
}

/// Takes the exponentials of rows whose shifts are known.
pub(super) fn sweep_shifted<I: Isa>(
    strip: &mut Strip<'_>,
    planes: &mut dyn Planes,
    asked: &Asked<'_>,
    rows: &Range<usize>,
) {
    take::<I>(strip, SHIFTED, planes, asked, rows);
}

#[inline(never)]
fn take<I: Isa>(
    strip: &mut Strip<'_>,
    of: u8,
    planes: &mut dyn Planes,
    asked: &Asked<'_>,
    rows: &Range<usize>,
) {
    for_classes(asked.classes, |first, count| {
        let x = planes.cut_logits(first, count, rows.clone());
        let whole = rows.start + x[0].len() / I::LANES * I::LANES;
        take_together::<I>(strip, of, x, (first, count), asked.scale, &(rows.start..whole));
        if whole < rows.end {
            // The last vector is cut: it is filled up, class by class.
            for (k, x) in x.iter().enumerate().take(count) {
                let last = filled(&x[whole - rows.start..]);
                let last = [&last[..], &[], &[], &[]];
                take_together::<I>(strip, of, last, (first + k, 1), asked.scale, &(whole..rows.end));
            }
        }
    });
}

#[inline(never)]
fn take_together<I: Isa>(
    strip: &mut Strip<'_>,
    of: u8,
    x: [&[f32]; TOGETHER],
    (first, count): (usize, usize),
    scale: f32,
    rows: &Range<usize>,
) {
    match (of, count) {
        (AS_IT_IS, TOGETHER) => return take_classes::<I, TOGETHER, AS_IT_IS>(strip, x, first, scale, rows),
        (AS_IT_IS, 2) => return take_classes::<I, 2, AS_IT_IS>(strip, [x[0], x[1]], first, scale, rows),
        (SHIFTED, TOGETHER) => return take_classes::<I, TOGETHER, SHIFTED>(strip, x, first, scale, rows),
        _ => {}
    }
    for (class, x) in (first..).zip(x).take(count) {
        match of {
            AS_IT_IS => take_classes::<I, 1, AS_IT_IS>(strip, [x], class, scale, rows),
            SCALED => take_classes::<I, 1, SCALED>(strip, [x], class, scale, rows),
            _ => take_classes::<I, 1, SHIFTED>(strip, [x], class, scale, rows),
        }
    }
}

#[inline(never)]
fn take_classes<I: Isa, const N: usize, const OF: u8>(
    strip: &mut Strip<'_>,
    x: [&[f32]; N],
    first: usize,
    scale: f32,
    rows: &Range<usize>,
) {
    I::enter(
        #[inline(always)]
        || {
            let exp = Exp::<I>::new();
            let scale = I::splat(scale);
            let count = rows.len() / I::LANES;
            let x = x.map(|x| &I::chunks(x)[..count]);
            let e = &mut in_turns::<I>(strip.exponentials, strip.stride, first, rows)[..count];
            let turn = if N == TOGETHER { 0 } else { first % TOGETHER };
            let shifts = &I::chunks(&strip.shift[rows.clone()])[..count];
            let mut highest = I::load(&I::chunks(&strip.highest)[0]);
            let mut lowest = I::load(&I::chunks(&strip.lowest)[0]);
            for vector in 0..count {
                let shift = if OF == SHIFTED { I::load(&shifts[vector]) } else { scale };
                for k in 0..N {
                    let x = I::load(&x[k][vector]);
                    if OF != SHIFTED {
                        highest = I::max_signed_bits(highest, x);
                        lowest = I::max_bits(lowest, x);
                    }
                    let p = match OF {
                        AS_IT_IS => exp.exp_small(x),
                        SCALED => exp.exp_small(I::mul(x, scale)),
                        _ => exp.exp(I::mul(I::sub(x, shift), scale)),
                    };
                    I::store(&mut e[vector][(turn + k) % TOGETHER], p);
                }
            }
            I::store(&mut I::chunks_mut(&mut strip.highest)[0], highest);
            I::store(&mut I::chunks_mut(&mut strip.lowest)[0], lowest);
        },
    );
}
