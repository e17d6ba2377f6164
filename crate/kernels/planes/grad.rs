//! From the exponentials of a strip to its gradient.

use super::few::numbers_from;
use super::sums::put_own;
use super::{Planes, Strip, TOGETHER, filled, for_classes, in_turns};
use crate::kernels::MIN_SCALED;
use crate::kernels::objective::RowLines;
use crate::math::FLOOR;
use crate::simd::Isa;
use core::hint::black_box;
use core::ops::Range;

/// Computes [`zero_threshold`](crate::kernels::zero_threshold) for the scales of a vector of rows.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Thresholds<I: Isa> {
    floor: I::V,
    least: I::V,
}

impl<I: Isa> Thresholds<I> {
    #[inline(always)]
    pub(in crate::kernels) fn new() -> Self {
        // Hidden from the compiler, which would make them anew for each vector.
        Self { floor: I::splat(black_box(FLOOR)), least: I::splat(black_box(MIN_SCALED)) }
    }

    #[inline(always)]
    pub(in crate::kernels) fn of(&self, scale: I::V) -> I::V {
        I::pmax(self.floor, I::div(self.least, I::abs(scale)))
    }
}

/// Keeps the results of a part of the rows that [`write`] needs. Where the gradient is added, a row whose gradient is 0 gets a
/// factor of -0, since a sum with -0 keeps every bit. `is_plain` says that the objective has no options beyond weights, `has_bias` that
/// rows may have biases.
#[inline(never)]
pub(crate) fn keep<I: Isa>(
    strip: &mut Strip<'_>,
    part: &Range<usize>,
    rows: &RowLines,
    (is_plain, has_bias): (bool, bool),
    adds: bool,
) {
    let part = strip.rows_of(part);
    if has_bias {
        strip.bias[part.clone()].copy_from_slice(&rows.bias[..part.len()]);
    }
    I::enter(
        #[inline(always)]
        || keep_rows::<I>(strip, &part, rows, (is_plain, has_bias), adds),
    );
    if strip.is_simple && !strip.compares {
        put_own(strip, &part);
    }
}

#[inline(always)]
fn keep_rows<I: Isa>(
    strip: &mut Strip<'_>,
    part: &Range<usize>,
    rows: &RowLines,
    (is_plain, has_bias): (bool, bool),
    adds: bool,
) {
    let (zero, nothing) = (I::splat(0.0), I::splat(if adds { -0.0 } else { 0.0 }));
    // Hidden from the compiler, which would make them anew for each vector. The first is twice what a product must reach, against
    // the rounding of the product here.
    let limits = black_box([2.0 * MIN_SCALED, f32::MIN_POSITIVE, f32::MAX, f32::NAN]);
    let [enough, normal, most, nan] = [limits[0], limits[1], limits[2], limits[3]].map(I::splat);
    let least = I::splat(strip.least);
    let mut all_simple = I::eq(zero, zero);
    let kept = I::chunks_mut(&mut strip.target[part.clone()]).iter_mut();
    let kept = kept
        .zip(I::chunks_mut(&mut strip.scale[part.clone()]))
        .zip(I::chunks_mut(&mut strip.own[part.clone()]));
    let given = I::chunks(&rows.scale).iter().zip(I::chunks(&rows.target));
    let given = given.zip(I::chunks(&strip.rest[part.clone()]));
    for (((kept_target, kept_scale), kept_own), ((scale, target), rest)) in kept.zip(given) {
        let (scale, target) = (I::load(scale), I::load(target));
        let is_zero = I::eq(scale, zero);
        let off = I::and(is_zero, I::eq(target, zero));
        let fits = I::and(I::le(enough, I::mul(least, scale)), I::le(scale, most));
        // `own` is taken only where its product is a normal number, as accurate as the target. The target is then that product, so
        // that a row has the same bits in any strip.
        let none = I::eq(target, zero);
        let own = if is_plain { I::sub(zero, I::load(rest)) } else { I::div(target, scale) };
        let holds = I::and(I::le(normal, I::abs(own)), I::le(I::abs(own), most));
        let holds = I::and(holds, I::and(I::le(normal, I::abs(scale)), I::le(normal, I::abs(target))));
        let target = if has_bias { target } else { I::select(holds, I::mul(own, scale), target) };
        all_simple = I::and(all_simple, I::or(I::and(fits, I::or(holds, none)), off));
        I::store(kept_own, I::and_not(own, none));
        I::store(kept_scale, I::select(off, nothing, scale));
        // One canonical NaN.
        let number = I::eq(scale, scale);
        I::store(kept_target, I::select(number, I::select(off, nothing, target), nan));
    }
    strip.is_simple &= !has_bias && strip.least > FLOOR && I::all(all_simple);
}

/// Writes or adds the gradient of all rows, which have these labels: `scale e + bias` at each class, where `bias` is multiplied by the
/// class's entry of `weights`, and `target` at the label.
#[inline(never)]
pub(crate) fn write<I: Isa>(
    strip: &mut Strip<'_>,
    labels: &[i32],
    planes: &mut dyn Planes,
    classes: usize,
    weights: Option<&[f32]>,
    has_bias: bool,
) {
    if !strip.is_simple {
        if !strip.compares {
            strip.set_numbers(&(0..strip.rows), labels);
        }
        I::enter(
            #[inline(always)]
            || find_thresholds::<I>(strip, has_bias),
        );
    }
    let weight = |class: usize| weights.map_or(1.0, |weights| weights[class]);
    for_classes(classes, |first, count| {
        let weights = core::array::from_fn(|k| if k < count { weight(first + k) } else { 1.0 });
        planes.gradient(first, count, &mut |mut g, adds| {
            let which = (first, count, weights, adds);
            let whole = g[0].len() / I::LANES * I::LANES;
            if whole < strip.rows {
                // The last vector is cut: it is made elsewhere, class by class.
                for (k, g) in g.iter_mut().enumerate().take(count) {
                    let cut = &mut g[whole..];
                    let mut last = filled(cut);
                    let rows = &(whole..strip.rows);
                    put_class::<I>(strip, first + k, &mut last, (adds, weights[k]), rows);
                    cut.copy_from_slice(&last[..cut.len()]);
                }
            }
            put_together::<I>(strip, which, g, &(0..whole));
        });
    });
}

/// Sets `threshold`, and `bias` where rows have none.
#[inline(always)]
fn find_thresholds<I: Isa>(strip: &mut Strip<'_>, has_bias: bool) {
    let (zero, limits) = (I::splat(0.0), Thresholds::<I>::new());
    let found = I::chunks_mut(&mut strip.threshold[..strip.rows]).iter_mut();
    let found = found.zip(I::chunks_mut(&mut strip.bias[..strip.rows]));
    let given = I::chunks(&strip.scale[..strip.rows]).iter().zip(I::chunks(&strip.target[..strip.rows]));
    for ((threshold, bias), (scale, target)) in found.zip(given) {
        let (scale, target) = (I::load(scale), I::load(target));
        let is_zero = I::eq(scale, zero);
        // No exponential reaches a threshold of NaN. Where the scale is 0 or NaN there is nothing to multiply.
        let none = I::or(is_zero, I::and_not(I::eq(zero, zero), I::eq(scale, scale)));
        I::store(threshold, I::select(none, I::splat(f32::NAN), limits.of(scale)));
        // A row whose gradient is 0 has its scale for a bias: it may be -0.
        let off = I::and(is_zero, I::eq(target, zero));
        let before = if has_bias { I::load(bias) } else { zero };
        I::store(bias, I::select(I::and(off, I::eq(before, zero)), scale, before));
    }
}

#[inline(never)]
fn put_together<I: Isa>(
    strip: &mut Strip<'_>,
    (first, count, weights, adds): (usize, usize, [f32; TOGETHER], bool),
    g: [&mut [f32]; TOGETHER],
    rows: &Range<usize>,
) {
    let g = match (count, g) {
        (TOGETHER, g) if strip.is_simple => return put::<I, TOGETHER>(strip, first, g, adds, rows),
        (2, [a, b, ..]) if strip.is_simple => return put::<I, 2>(strip, first, [a, b], adds, rows),
        (_, g) => g,
    };
    for (k, g) in g.into_iter().enumerate().take(count) {
        put_class::<I>(strip, first + k, g, (adds, weights[k]), rows);
    }
}

#[inline(never)]
fn put_class<I: Isa>(
    strip: &mut Strip<'_>,
    class: usize,
    g: &mut [f32],
    (adds, weight): (bool, f32),
    rows: &Range<usize>,
) {
    match strip.is_simple {
        true => put::<I, 1>(strip, class, [g], adds, rows),
        // A weight of 1 leaves all biases as they are.
        false if weight == 1.0 => put_general::<I, false>(strip, class, g, (adds, weight), rows),
        false => put_general::<I, true>(strip, class, g, (adds, weight), rows),
    }
}

fn put<I: Isa, const N: usize>(
    strip: &mut Strip<'_>,
    first: usize,
    g: [&mut [f32]; N],
    adds: bool,
    rows: &Range<usize>,
) {
    match (strip.compares, adds) {
        (false, false) => put_classes::<I, N, false, false>(strip, first, g, rows),
        (false, true) => put_classes::<I, N, false, true>(strip, first, g, rows),
        (true, false) => put_classes::<I, N, true, false>(strip, first, g, rows),
        (true, true) => put_classes::<I, N, true, true>(strip, first, g, rows),
    }
}

/// Writes `scale e`, or adds it.
#[inline(never)]
fn put_classes<I: Isa, const N: usize, const COMPARES: bool, const ADDS: bool>(
    strip: &mut Strip<'_>,
    first: usize,
    g: [&mut [f32]; N],
    rows: &Range<usize>,
) {
    I::enter(
        #[inline(always)]
        || {
            let count = rows.len() / I::LANES;
            let e = &in_turns::<I>(strip.exponentials, strip.stride, first, rows)[..count];
            let turn = if N == TOGETHER { 0 } else { first % TOGETHER };
            let g = g.map(|g| &mut I::chunks_mut(g)[..count]);
            let scales = &I::chunks(&strip.scale[rows.clone()])[..count];
            let targets = &I::chunks(&strip.target[rows.clone()])[..count];
            let numbers = &I::chunks(&strip.number[rows.clone()])[..count];
            let classes = numbers_from::<I, N>(first);
            for vector in 0..count {
                let scale = I::load(&scales[vector]);
                for k in 0..N {
                    let mut p = I::mul(I::load(&e[vector][(turn + k) % TOGETHER]), scale);
                    if COMPARES {
                        let is_label = I::eq(I::load(&numbers[vector]), classes[k]);
                        p = I::select(is_label, I::load(&targets[vector]), p);
                    }
                    if ADDS {
                        p = I::add(I::load(&g[k][vector]), p);
                    }
                    I::store(&mut g[k][vector], p);
                }
            }
        },
    );
}

/// As [`put_classes`], for strips in which some row has a threshold, a bias, or a target that no product gives.
#[inline(never)]
fn put_general<I: Isa, const WEIGHTED: bool>(
    strip: &mut Strip<'_>,
    class: usize,
    g: &mut [f32],
    (adds, weight): (bool, f32),
    rows: &Range<usize>,
) {
    I::enter(
        #[inline(always)]
        || {
            let zero = I::splat(0.0);
            // Where nothing is added, the sum is with -0, which keeps every bit.
            let added = if adds { I::eq(zero, zero) } else { zero };
            let otherwise = I::and_not(I::splat(-0.0), added);
            let count = rows.len() / I::LANES;
            let e = &in_turns::<I>(strip.exponentials, strip.stride, class, rows)[..count];
            let g = &mut I::chunks_mut(g)[..count];
            let scales = &I::chunks(&strip.scale[rows.clone()])[..count];
            let targets = &I::chunks(&strip.target[rows.clone()])[..count];
            let numbers = &I::chunks(&strip.number[rows.clone()])[..count];
            let thresholds = &I::chunks(&strip.threshold[rows.clone()])[..count];
            let biases = &I::chunks(&strip.bias[rows.clone()])[..count];
            let (number, weight) = (I::splat(class as f32), I::splat(weight));
            for vector in 0..count {
                let e = I::load(&e[vector][class % TOGETHER]);
                let p = I::mul(I::and(e, I::le(I::load(&thresholds[vector]), e)), I::load(&scales[vector]));
                // Where the scale is negative, a sum with +0 turns the -0 of vanished probabilities into +0.
                let mut bias = I::load(&biases[vector]);
                if WEIGHTED {
                    bias = I::select(I::eq(bias, zero), bias, I::mul(bias, weight));
                }
                let is_label = I::eq(I::load(&numbers[vector]), number);
                let p = I::select(is_label, I::load(&targets[vector]), I::add(p, bias));
                let before = I::or(I::and(I::load(&g[vector]), added), otherwise);
                I::store(&mut g[vector], I::add(before, p));
            }
        },
    );
}
