//! The sums over the classes of a strip's rows.

use super::few::compare;
use super::few::{COMPARED, numbers_from, splats};
use super::{Asked, FLUSH, Planes, RUN, Strip, TOGETHER, WIDTH, for_classes};
use crate::Element;
use crate::kernels::MomentOf;
use crate::simd::{Isa, arrays};
use core::ops::Range;

/// How many vectors of rows are added up side by side: within one, each addition waits for the one before.
const ABREAST: usize = 4;

/// Ends a run of classes: moves its sums to those of the runs before, and every [`FLUSH`] classes those to the sums in f64. After the last
/// class, `sums` are those of all classes.
#[inline(never)]
fn end_run((done, classes): (usize, usize), sums: &mut [f32], before: &mut [f32], wide: &mut [f64; WIDTH]) {
    let flushes = classes > FLUSH && (done.is_multiple_of(FLUSH) || done == classes);
    let wide = &mut wide[..sums.len()];
    arrays::combine(before, sums, |before, sum| before + sum);
    if flushes {
        arrays::combine(wide, before, |wide, before| wide + f64::from(before));
        before.fill(0.0);
    }
    match (done == classes, flushes) {
        (false, _) => sums.fill(0.0),
        (true, true) => arrays::combine(sums, wide, |_, wide| f32::from_f64(wide)),
        (true, false) => sums.copy_from_slice(before),
    }
}

/// Finds the logits of the labels of a part of the rows, which have these labels. Of few classes it adds up the exponentials too.
pub(crate) fn find_labels<I: Isa>(
    strip: &mut Strip<'_>,
    part: &Range<usize>,
    labels: &[i32],
    planes: &mut dyn Planes,
    classes: usize,
) {
    strip.compares = classes <= COMPARED;
    if !strip.compares {
        return planes.gather(part.start, labels, &mut strip.label[part.clone()]);
    }
    let rows = strip.rows_of(part);
    strip.set_numbers(&rows, labels);
    compare::<I>(strip, &rows, planes, classes);
}

/// Adds up the exponentials of a part of the rows, which have these labels, without the label's own. Where a moment is asked for, it adds
/// up the logits likewise.
#[inline(never)]
pub(crate) fn add_up<I: Isa>(
    strip: &mut Strip<'_>,
    part: &Range<usize>,
    labels: &[i32],
    planes: &mut dyn Planes,
    asked: &Asked<'_>,
) {
    let rows = strip.rows_of(part);
    if !strip.compares {
        find_places::<I>(strip, rows.start, labels);
        leave_out(strip);
        add_runs::<I>(strip, &rows, asked.classes);
    }
    if !strip.all_small {
        // A shifted row has a sum of at least 1, unless all other classes are at -inf: then `exp`, which clamps, leaves tiny numbers.
        arrays::combine(&mut strip.rest[rows.clone()], &strip.small[rows.clone()], |rest, small| {
            if (rest <= 0.5) & (small.to_bits() == 0) { 0.0 } else { rest }
        });
    }
    if !matches!(asked.moment, MomentOf::Nothing) {
        strip.set_numbers(&rows, labels);
        moments::<I>(strip, &rows, planes, asked);
    }
}

/// Finds where the labels' exponentials lie.
#[inline(never)]
#[expect(clippy::cast_possible_truncation, reason = "a strip has fewer than 2^32 exponentials")]
fn find_places<I: Isa>(strip: &mut Strip<'_>, first_row: usize, labels: &[i32]) {
    let (lanes, turns) = (I::LANES as u32, TOGETHER as u32);
    let between = (TOGETHER * strip.stride) as u32;
    let none = (strip.exponentials.len() - 1) as u32;
    strip.labelled = labels.len();
    let places = &mut strip.places[..labels.len()];
    // The rows begin with a whole vector.
    let first_row = first_row as u32 / lanes * lanes;
    arrays::combine_at(first_row, places, labels, |row, _, label| {
        let class = label.max(0).cast_unsigned();
        let vector = class / turns * between + row / lanes * (turns * lanes);
        let at = vector + class % turns * lanes + row % lanes;
        if label < 0 { none } else { at }
    });
}

/// Sets the labels' exponentials to 0, at the places that were found last.
fn leave_out(strip: &mut Strip<'_>) {
    for place in &strip.places[..strip.labelled] {
        strip.exponentials[*place as usize] = 0.0;
    }
}

/// Puts `own` at those places, for the gradient.
pub(super) fn put_own(strip: &mut Strip<'_>, part: &Range<usize>) {
    for (place, own) in strip.places[..strip.labelled].iter().zip(&strip.own[part.clone()]) {
        strip.exponentials[*place as usize] = *own;
    }
}

/// Adds up the exponentials of all classes.
fn add_runs<I: Isa>(strip: &mut Strip<'_>, rows: &Range<usize>, classes: usize) {
    if classes <= RUN {
        return add_classes::<I>(strip, rows, 0..classes);
    }
    strip.sum_before[rows.clone()].fill(0.0);
    let mut wide = [0.0; WIDTH];
    for start in (0..classes).step_by(RUN) {
        let end = classes.min(start + RUN);
        add_classes::<I>(strip, rows, start..end);
        end_run(
            (end, classes),
            &mut strip.rest[rows.clone()],
            &mut strip.sum_before[rows.clone()],
            &mut wide,
        );
    }
}

/// Sets `rest` to the sums of some classes; the first of them is a multiple of [`TOGETHER`].
#[inline(never)]
fn add_classes<I: Isa>(strip: &mut Strip<'_>, rows: &Range<usize>, classes: Range<usize>) {
    I::enter(
        #[inline(always)]
        || {
            let (mut vector, end) = (rows.start / I::LANES, rows.end / I::LANES);
            while vector + ABREAST <= end {
                add_vectors::<I, ABREAST>(strip, vector, &classes);
                vector += ABREAST;
            }
            while vector < end {
                add_vectors::<I, 1>(strip, vector, &classes);
                vector += 1;
            }
        },
    );
}

#[inline(always)]
fn add_vectors<I: Isa, const N: usize>(strip: &mut Strip<'_>, vector: usize, classes: &Range<usize>) {
    let stride = strip.stride / I::LANES;
    let e = I::chunks(strip.exponentials).as_chunks::<TOGETHER>().0;
    let mut sums = [I::splat(0.0); N];
    for index in classes.start / TOGETHER..classes.end / TOGETHER {
        let turns = &e[index * stride + vector..][..N];
        for k in 0..TOGETHER {
            for (sum, turn) in sums.iter_mut().zip(turns) {
                *sum = I::add(*sum, I::load(&turn[k]));
            }
        }
    }
    for class in classes.end / TOGETHER * TOGETHER..classes.end {
        let turns = &e[class / TOGETHER * stride + vector..][..N];
        for (sum, turn) in sums.iter_mut().zip(turns) {
            *sum = I::add(*sum, I::load(&turn[class % TOGETHER]));
        }
    }
    for (rest, sum) in I::chunks_mut(strip.rest)[vector..][..N].iter_mut().zip(sums) {
        I::store(rest, sum);
    }
}

fn moments<I: Isa>(strip: &mut Strip<'_>, rows: &Range<usize>, planes: &mut dyn Planes, asked: &Asked<'_>) {
    let classes = asked.classes;
    let weight = |class: usize| match asked.moment {
        MomentOf::Weights(weights) => weights[class],
        _ => 1.0,
    };
    strip.moment[rows.clone()].fill(0.0);
    strip.sum_before[rows.clone()].fill(0.0);
    let mut wide = [0.0; WIDTH];
    for_classes(classes, |first, count| {
        let x = planes.logits(first, count, rows.clone());
        if count == TOGETHER {
            let weights = core::array::from_fn(|k| weight(first + k));
            add_moment::<I, TOGETHER>(strip, x, first, weights, asked.scale, rows);
        } else {
            for (class, x) in (first..).zip(x).take(count) {
                add_moment::<I, 1>(strip, [x], class, [weight(class)], asked.scale, rows);
            }
        }
        let done = first + count;
        if done.is_multiple_of(RUN) || done == classes {
            let (moment, before) = (&mut strip.moment[rows.clone()], &mut strip.sum_before[rows.clone()]);
            end_run((done, classes), moment, before, &mut wide);
        }
    });
}

#[inline(never)]
fn add_moment<I: Isa, const N: usize>(
    strip: &mut Strip<'_>,
    x: [&[f32]; N],
    first: usize,
    weights: [f32; N],
    scale: f32,
    rows: &Range<usize>,
) {
    I::enter(
        #[inline(always)]
        || {
            let (zero, scale) = (I::splat(0.0), I::splat(scale));
            let classes = numbers_from::<I, N>(first);
            let weight = splats::<I, N>(weights);
            let count = rows.len() / I::LANES;
            let x = x.map(|x| &I::chunks(x)[..count]);
            let numbers = &I::chunks(&strip.number[rows.clone()])[..count];
            let shifts = &I::chunks(&strip.shift[rows.clone()])[..count];
            let moments = &mut I::chunks_mut(&mut strip.moment[rows.clone()])[..count];
            for vector in 0..count {
                let (label, shift) = (I::load(&numbers[vector]), I::load(&shifts[vector]));
                let mut moment = I::load(&moments[vector]);
                for k in 0..N {
                    let d = I::mul(I::sub(I::load(&x[k][vector]), shift), scale);
                    // A weight of 0 leaves its class out, even at -inf.
                    let left_out = I::or(I::eq(label, classes[k]), I::eq(weight[k], zero));
                    moment = I::add(moment, I::and_not(I::mul(weight[k], d), left_out));
                }
                I::store(&mut moments[vector], moment);
            }
        },
    );
}
