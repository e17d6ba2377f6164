//! The second sweep: from the exponentials of some rows to their gradient.

use super::{padded, stride};
use crate::element::Element;
use crate::kernels::objective::{Line, RowLines, ZERO};
use crate::kernels::planes::Thresholds;
use crate::kernels::{Bias, zero_threshold};
use crate::simd::{CACHE_LINE, Isa, inlined};
use core::hint::black_box;

/// Where the exponentials lie and where the gradient goes: it replaces them, or it is made from scratch, or it is made from scratch and
/// added to what is there.
#[derive(Debug)]
pub(crate) enum To<'a> {
    Over(&'a mut [f32]),
    From(&'a [f32], &'a mut [f32]),
    Add(&'a [f32], &'a mut [f32]),
}

const OVER: u8 = 0;
const FROM: u8 = 1;
const ADD: u8 = 2;

/// Reads one float of each cache line, so that the lines come to the caches.
#[inline(never)]
pub(crate) fn read_ahead(floats: &[f32]) {
    // The compiler would drop reads whose result nobody uses.
    black_box(floats.iter().step_by(CACHE_LINE).fold(0, |bits, float| bits | float.to_bits()));
}

/// Turns the exponentials of rows with these labels into the gradient, `scale e + bias` (times the class's weight, where there are weights,
/// padded to a vector), and sets the labels' own elements. A row whose scale, bias and label's element are 0 gets zeros, or keeps its bytes; one whose
/// scale is NaN gets the one canonical NaN, since which NaN a product is depends on the engine.
pub(crate) fn write_rows<I: Isa>(
    to: To<'_>,
    classes: usize,
    labels: &[i32],
    rows: &RowLines,
    weights: Option<&[f32]>,
    least: f32,
) {
    if weights.is_none()
        && let Some(bias) = simple_bias::<I>(rows, labels.len(), least)
    {
        return scale_rows::<I>(to, classes, labels, (&rows.scale, bias.then_some(&rows.bias), &rows.target));
    }
    match to {
        To::Over(e) => write::<I, OVER>(&[], e, (classes, weights), labels, rows),
        To::From(e, g) => write::<I, FROM>(e, g, (classes, weights), labels, rows),
        To::Add(e, g) => write::<I, ADD>(e, g, (classes, weights), labels, rows),
    }
}

#[inline(never)]
fn write<I: Isa, const TO: u8>(
    e: &[f32],
    g: &mut [f32],
    (classes, weights): (usize, Option<&[f32]>),
    labels: &[i32],
    rows: &RowLines,
) {
    let mut thresholds = ZERO;
    I::enter(
        #[inline(always)]
        || {
            find_thresholds::<I>(&rows.scale, labels.len(), &mut thresholds);
            let stride = if TO == OVER { stride::<I>(classes) } else { classes };
            let mut own = ZERO;
            if TO == ADD {
                at_labels(g, stride, labels, &mut own);
            }
            let factors = rows.scale.iter().zip(&thresholds).zip(rows.bias.iter().zip(&rows.target));
            let mut all_e = e.chunks_exact(stride);
            let rows = g.chunks_exact_mut(stride).zip(labels.iter().zip(&own)).zip(factors);
            for ((g, (label, own)), ((scale, threshold), (bias, target))) in rows {
                let e = if TO == OVER { &[][..] } else { all_e.next().unwrap_or_default() };
                if scale.is_nan() {
                    g[..classes].fill(f32::NAN);
                    continue;
                }
                if *scale == 0.0 && *bias == 0.0 && *target == 0.0 {
                    if TO != ADD {
                        g[..classes].fill(0.0);
                    }
                    continue;
                }
                let Ok(label) = usize::try_from(*label) else { continue };
                let factors = (*scale, *threshold, *bias);
                // Under a negative scale, probabilities that vanish become -0; adding +0 turns that into +0.
                match weights.filter(|_| *bias != 0.0) {
                    None => map::<I, TO, 1, true>(e, g, classes, factors, &[]),
                    Some(weights) => map::<I, TO, 2, true>(e, g, classes, factors, weights),
                }
                if let Some(slot) = g.get_mut(label) {
                    *slot = if TO == ADD { own + target } else { *target };
                }
            }
        },
    );
}

/// Tells whether any row has a bias, if [`scale`] can write all rows: their scales are positive, their biases are numbers, and no
/// exponential, the least of which is `least`, counts as 0. `None` if it cannot.
#[inline(never)]
pub(crate) fn simple_bias<I: Isa>(rows: &RowLines, count: usize, least: f32) -> Option<bool> {
    I::enter(
        #[inline(always)]
        || {
            let (zero, small, most) = (I::splat(0.0), I::splat(f32::MIN_POSITIVE), I::splat(f32::MAX));
            let (mut all, mut largest, least) = (I::eq(zero, zero), zero, I::splat(least));
            let limits = Thresholds::<I>::new();
            let each = I::chunks(&rows.scale).iter().zip(I::chunks(&rows.bias));
            for (scale, bias) in each.take(count.div_ceil(I::LANES)) {
                let (scale, bias) = (I::load(scale), I::abs(I::load(bias)));
                let fits = I::and(I::le(small, scale), I::le(scale, most));
                let fits = I::and_not(fits, I::le(least, limits.of(scale)));
                all = I::and(all, I::and(fits, I::le(bias, most)));
                largest = I::max_bits(largest, bias);
            }
            I::all(all).then(|| I::largest_bits(largest) != 0)
        },
    )
}

/// The scale of each row, its bias, and its label's element.
type Factors<'a> = (&'a [f32], Option<&'a [f32]>, &'a [f32]);

/// Does the work of [`write_rows`] for rows of which [`simple_bias`] says that one product and one sum make each element.
#[inline(never)]
fn scale_rows<I: Isa>(to: To<'_>, classes: usize, labels: &[i32], factors: Factors<'_>) {
    match (to, factors.1) {
        (To::Over(e), None) => scale::<I, OVER, 0>(&[], e, classes, labels, factors),
        (To::From(e, g), None) => scale::<I, FROM, 0>(e, g, classes, labels, factors),
        (To::Add(e, g), None) => scale::<I, ADD, 0>(e, g, classes, labels, factors),
        (To::Over(e), Some(_)) => scale::<I, OVER, 1>(&[], e, classes, labels, factors),
        (To::From(e, g), Some(_)) => scale::<I, FROM, 1>(e, g, classes, labels, factors),
        (To::Add(e, g), Some(_)) => scale::<I, ADD, 1>(e, g, classes, labels, factors),
    }
}

#[inline(never)]
fn scale<I: Isa, const TO: u8, const BIAS: u8>(
    e: &[f32],
    g: &mut [f32],
    classes: usize,
    labels: &[i32],
    (scales, biases, targets): Factors<'_>,
) {
    I::enter(
        #[inline(always)]
        || {
            let stride = if TO == OVER { stride::<I>(classes) } else { classes };
            if TO != ADD && stride == I::LANES {
                // Each row is one vector.
                let factors = labels.iter().zip(scales).zip(biases.unwrap_or(scales).iter().zip(targets));
                let mut all_e = I::chunks(e).iter();
                for (g, ((label, scale), (bias, target))) in I::chunks_mut(g).iter_mut().zip(factors) {
                    let p = I::load(if TO == OVER { &*g } else { all_e.next().unwrap_or(&*g) });
                    let p = I::mul(p, I::splat(*scale));
                    I::store(g, if BIAS == 0 { p } else { I::add(p, I::splat(*bias)) });
                    if let Some(slot) =
                        usize::try_from(*label).ok().and_then(|label| g.as_mut().get_mut(label))
                    {
                        *slot = *target;
                    }
                }
                return;
            }
            let mut own = ZERO;
            if TO == ADD {
                at_labels(g, stride, labels, &mut own);
            }
            let factors = scales.iter().zip(biases.unwrap_or(scales).iter().zip(targets));
            let mut all_e = e.chunks_exact(stride);
            let rows = g.chunks_exact_mut(stride).zip(labels.iter().zip(&own)).zip(factors);
            for ((g, (label, own)), (scale, (bias, target))) in rows {
                let e = if TO == OVER { &[][..] } else { all_e.next().unwrap_or_default() };
                map::<I, TO, BIAS, false>(e, g, classes, (*scale, 0.0, *bias), &[]);
                if let Some(slot) = usize::try_from(*label).ok().and_then(|label| g.get_mut(label)) {
                    *slot = own + target;
                }
            }
        },
    );
}

/// Writes the elements at the labels of all rows. They lie anywhere in memory, and one loop over them waits for all of them together.
#[inline(always)]
fn at_labels(g: &[f32], stride: usize, labels: &[i32], own: &mut Line) {
    for ((g, label), own) in g.chunks_exact(stride).zip(labels).zip(own) {
        *own = usize::try_from(*label).ok().and_then(|label| g.get(label).copied()).unwrap_or_default();
    }
}

/// Finds the [`zero_threshold`] of each scale.
#[inline(always)]
fn find_thresholds<I: Isa>(scales: &Line, rows: usize, thresholds: &mut Line) {
    let limits = Thresholds::<I>::new();
    let each = I::chunks(scales).iter().zip(I::chunks_mut(thresholds)).take(rows.div_ceil(I::LANES));
    for (scale, threshold) in each {
        I::store(threshold, limits.of(I::load(scale)));
    }
}

/// The least scale, unless it is 0, that one product in single precision applies.
const STEP: f32 = 1.0 / (1_u64 << 63) as f32;

/// Turns the exponentials of a block into its gradient, `scale * e + bias`, where they lie, or writes that elsewhere, or adds it to what is
/// there; `label` is the label's place, if it is in the block, and its own element. `to` is the memory elsewhere, and whether to add.
#[inline(never)]
pub(crate) fn write_grad<I: Isa>(
    e: &mut [f32],
    mut to: Option<(&mut [f32], bool)>,
    classes: usize,
    mut scale: f64,
    bias: Bias<'_>,
    label: Option<(usize, f32)>,
) {
    if scale.is_nan() {
        return to.map_or(e, |(to, _)| to)[..classes].fill(f32::NAN);
    }
    if scale != 0.0 && scale.abs() < f64::from(STEP) {
        // Exponentials without a shift may be large, and their factor too small for single precision although the products are not.
        affine::<I, 0>(e, None, classes, (STEP, 0.0), &[]);
        scale /= f64::from(STEP);
    }
    let scale = f32::from_f64(scale);
    let own = match (&to, label) {
        (Some((to, true)), Some((place, _))) => Some(to[place]),
        _ => None,
    };
    let into = to.as_mut().map(|(to, adds)| (&mut **to, *adds));
    match bias {
        Bias::None => affine::<I, 0>(e, into, classes, (scale, 0.0), &[]),
        Bias::Uniform(bias) => affine::<I, 1>(e, into, classes, (scale, bias), &[]),
        Bias::PerClass(bias, weights) => affine::<I, 2>(e, into, classes, (scale, bias), weights),
    }
    if let Some((place, target)) = label {
        to.map_or(e, |(to, _)| to)[place] = own.map_or(target, |own| own + target);
    }
}

/// Does the work of [`write_grad`] where one product and one sum make each element, since no exponential is below `least`, and tells
/// whether it did.
pub(crate) fn scale_row<I: Isa>(
    to: To<'_>,
    classes: usize,
    scale: f64,
    bias: Bias<'_>,
    label: Option<(usize, f32)>,
    least: f32,
) -> bool {
    let bias = match bias {
        Bias::None => None,
        Bias::Uniform(bias) if bias.is_finite() => Some([bias]),
        _ => return false,
    };
    let single = f32::from_f64(scale);
    if !(f64::from(STEP)..=f64::from(f32::MAX)).contains(&scale.abs()) || least <= zero_threshold(single) {
        return false;
    }
    let (place, target) =
        label.map_or((-1, 0.0), |(place, target)| (i32::try_from(place).unwrap_or(-1), target));
    scale_rows::<I>(to, classes, &[place], (&[single], bias.as_ref().map(|bias| &bias[..]), &[target]));
    true
}

#[inline(never)]
fn affine<I: Isa, const BIAS: u8>(
    e: &mut [f32],
    to: Option<(&mut [f32], bool)>,
    classes: usize,
    (scale, bias): (f32, f32),
    weights: &[f32],
) {
    let factors = (scale, zero_threshold(scale), bias);
    I::enter(
        #[inline(always)]
        || match to {
            None => map::<I, OVER, BIAS, true>(&[], e, classes, factors, weights),
            Some((g, false)) => map::<I, FROM, BIAS, true>(e, g, classes, factors, weights),
            Some((g, true)) => map::<I, ADD, BIAS, true>(e, g, classes, factors, weights),
        },
    );
}

/// Writes one row or block. `BIAS` is 0 for none, 1 for one that all classes have, 2 for one that is multiplied by `weights`. `FLUSHES`
/// says whether exponentials up to the threshold count as 0.
#[inline(always)]
fn map<I: Isa, const TO: u8, const BIAS: u8, const FLUSHES: bool>(
    e: &[f32],
    g: &mut [f32],
    classes: usize,
    (scale, threshold, bias): (f32, f32, f32),
    weights: &[f32],
) {
    let (scale, threshold, bias) = (I::splat(scale), I::splat(threshold), I::splat(bias));
    // `and_not` with `le` keeps a NaN; `and` with `gt` would turn it into 0.
    let put = inlined(
        #[inline(always)]
        |e: I::V, before: I::V, weights: Option<&I::Chunk>| {
            let p = I::mul(if FLUSHES { I::and_not(e, I::le(e, threshold)) } else { e }, scale);
            let p = match (BIAS, weights) {
                (0, _) => p,
                (2, Some(weights)) => I::add(p, I::mul(I::load(weights), bias)),
                _ => I::add(p, bias),
            };
            if TO == ADD { I::add(before, p) } else { p }
        },
    );
    let whole = classes / I::LANES;
    let tail = (!classes.is_multiple_of(I::LANES)).then(|| {
        let before = I::load(I::last(g));
        let e = if TO == OVER { before } else { I::load(I::last(e)) };
        (e, before)
    });
    let each = I::chunks_mut(g)[..whole].iter_mut();
    match (TO, BIAS) {
        (OVER, 2) => {
            for (g, weights) in each.zip(I::chunks(weights)) {
                let e = I::load(g);
                I::store(g, put(e, e, Some(weights)));
            }
        }
        (OVER, _) => {
            // Four vectors a turn.
            let (fours, others) = each.into_slice().as_chunks_mut::<4>();
            for four in fours {
                for g in four {
                    let e = I::load(g);
                    I::store(g, put(e, e, None));
                }
            }
            for g in others {
                let e = I::load(g);
                I::store(g, put(e, e, None));
            }
        }
        (_, 2) => {
            for ((g, e), weights) in each.zip(I::chunks(e)).zip(I::chunks(weights)) {
                let before = I::load(g);
                I::store(g, put(I::load(e), before, Some(weights)));
            }
        }
        _ => {
            for (g, e) in each.zip(I::chunks(e)) {
                let before = I::load(g);
                I::store(g, put(I::load(e), before, None));
            }
        }
    }
    if let Some((e, before)) = tail {
        let weights = (BIAS == 2).then(|| I::last(padded::<I>(weights, classes)));
        I::store(I::last_mut(g), put(e, before, weights));
    }
}
