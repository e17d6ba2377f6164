//! The second sweep over a block: from its exponentials to its gradient, where they lie.

use super::padded;
use crate::element::Element;
use crate::kernels::{Bias, zero_threshold};
use crate::simd::{Isa, inlined};

/// Turns the exponentials that [`super::stats`] kept into the gradient, `scale * e + bias`; `label` is the label's place, if it is
/// in the block, and its own element.
#[inline(never)]
pub(crate) fn write_grad<I: Isa>(
    e: &mut [f32],
    classes: usize,
    mut scale: f64,
    bias: Bias<'_>,
    label: Option<(usize, f32)>,
) {
    if scale.is_nan() {
        // One canonical NaN, whatever makes the row NaN: which NaN a product is depends on the engine.
        return e[..classes].fill(f32::NAN);
    }
    const STEP: f32 = 1.0 / (1_u64 << 63) as f32;
    if scale != 0.0 && scale.abs() < f64::from(STEP) {
        // With exponentials that were not shifted a factor may be too small for single precision where no product is.
        affine::<I, 0>(e, classes, STEP, 0.0, &[]);
        scale /= f64::from(STEP);
    }
    let scale = f32::from_f64(scale);
    match bias {
        Bias::None => affine::<I, 0>(e, classes, scale, 0.0, &[]),
        Bias::Uniform(bias) => affine::<I, 1>(e, classes, scale, bias, &[]),
        Bias::PerClass(bias, weights) => affine::<I, 2>(e, classes, scale, bias, weights),
    }
    if let Some((label, target)) = label {
        e[label] = target;
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
