//! Rows that are not all small: a first pass finds what is to be subtracted from the logits of each row.

use super::few::{compare, numbers_from};
use super::sweep::sweep_shifted;
use super::{Asked, Planes, Strip, TOGETHER, for_classes};
use crate::kernels::objective::Line;
use crate::kernels::rows::Small;
use crate::simd::{Isa, arrays};
use core::ops::Range;

/// Finds the shifts of a part of the rows and takes their exponentials. Returns whether all rows are small after all.
#[inline(never)]
pub(crate) fn look_and_sweep<I: Isa>(
    strip: &mut Strip<'_>,
    part: &Range<usize>,
    labels: &[i32],
    planes: &mut dyn Planes,
    steps: &Line,
    asked: &Asked<'_>,
) -> bool {
    let rows = strip.rows_of(part);
    if !strip.compares {
        strip.set_numbers(&rows, labels);
    }
    strip.is_set = false;
    strip.least = 0.0;
    arrays::fill(&mut strip.shift[rows.clone()], f32::NEG_INFINITY);
    strip.small[rows.clone()].fill(0.0);
    strip.sound[rows.clone()].fill(0.0);
    for_classes(asked.classes, |first, count| {
        let x = planes.logits(first, count, rows.clone());
        match count {
            TOGETHER => look::<I, TOGETHER>(strip, x, first, &rows),
            _ => (first..).zip(x).take(count).for_each(|(class, x)| look::<I, 1>(strip, [x], class, &rows)),
        }
    });
    I::enter(
        #[inline(always)]
        || judge::<I>(strip, &rows, steps, asked.small.as_ref()),
    );
    sweep_shifted::<I>(strip, planes, asked, &rows);
    if strip.compares {
        compare::<I>(strip, &rows, planes, asked.classes);
    }
    strip.all_small
}

/// Puts the largest logit of the classes other than the label into `shift`, and the largest bits of all logits as i32 and as u32
/// into `small` and `sound`.
#[inline(never)]
fn look<I: Isa, const N: usize>(strip: &mut Strip<'_>, x: [&[f32]; N], first: usize, rows: &Range<usize>) {
    I::enter(
        #[inline(always)]
        || {
            let least = I::splat(f32::NEG_INFINITY);
            let count = rows.len() / I::LANES;
            let x = x.map(|x| &I::chunks(x)[..count]);
            let numbers = &I::chunks(&strip.number[rows.clone()])[..count];
            let most = &mut I::chunks_mut(&mut strip.shift[rows.clone()])[..count];
            let highest = &mut I::chunks_mut(&mut strip.small[rows.clone()])[..count];
            let lowest = &mut I::chunks_mut(&mut strip.sound[rows.clone()])[..count];
            let classes = numbers_from::<I, N>(first);
            for vector in 0..count {
                let label = I::load(&numbers[vector]);
                let mut m = I::load(&most[vector]);
                let (mut high, mut low) = (I::load(&highest[vector]), I::load(&lowest[vector]));
                for k in 0..N {
                    let x = I::load(&x[k][vector]);
                    high = I::max_signed_bits(high, x);
                    low = I::max_bits(low, x);
                    m = I::pmax(m, I::select(I::eq(label, classes[k]), least, x));
                }
                I::store(&mut most[vector], m);
                I::store(&mut highest[vector], high);
                I::store(&mut lowest[vector], low);
            }
        },
    );
}

/// Turns what [`look`] has found into shifts, and into which rows are small and sound.
#[inline(always)]
fn judge<I: Isa>(strip: &mut Strip<'_>, rows: &Range<usize>, steps: &Line, small: Option<&Small>) {
    let (zero, least) = (I::splat(0.0), I::splat(f32::NEG_INFINITY));
    let (most, infinite) = (I::splat(f32::MAX), I::splat(f32::INFINITY));
    let [short, long] = Small::STEPS.map(I::splat);
    let bounds = small.map_or([f32::NEG_INFINITY, f32::INFINITY, 0.0], Small::bounds).map(I::splat);
    let (mut all_small, mut all_sound) = (I::eq(zero, zero), I::eq(zero, zero));
    let kept = I::chunks_mut(&mut strip.shift[rows.clone()]).iter_mut();
    let kept = kept.zip(I::chunks_mut(&mut strip.small[rows.clone()]));
    let kept = kept.zip(I::chunks_mut(&mut strip.sound[rows.clone()]));
    let given = I::chunks(&strip.label[rows.clone()]).iter().zip(I::chunks(&strip.number[rows.clone()]));
    for ((((shift, is_small), is_sound), (label, number)), step) in kept.zip(given).zip(I::chunks(steps)) {
        let (label, none) = (I::load(label), I::and_not(I::eq(zero, zero), I::le(zero, I::load(number))));
        let (largest, highest, lowest) = (I::load(shift), I::load(is_small), I::load(is_sound));
        let alone = I::eq(largest, least);
        // No logit is NaN or +inf. As u32, -inf has larger bits than any number, and a negative NaN larger ones still.
        let sound = I::and(I::le(highest, most), I::le(I::abs(lowest), infinite));
        let sound = I::and_not(sound, I::and(alone, I::eq(label, least)));
        let sound = I::or(sound, none);
        let step = I::abs(I::load(step));
        let fits = I::or(I::and(I::le(short, step), I::le(step, long)), I::eq(step, zero));
        let fits = I::and(fits, I::and(I::le(highest, bounds[0]), I::le(bounds[1], lowest)));
        let fits = I::and(fits, I::le(bounds[2], label));
        (all_small, all_sound) = (I::and(all_small, fits), I::and(all_sound, sound));
        I::store(is_small, fits);
        I::store(is_sound, sound);
        I::store(shift, I::and_not(I::select(alone, label, largest), fits));
    }
    (strip.all_small, strip.all_sound) = (I::all(all_small), I::all(all_sound));
}
