//! The loss of one element and its derivative, in double precision.
//!
//! With `e = exp(-|x|)`, the smaller of the two sigmoids is `e / (1 + e)`, the larger `1 / (1 + e)`, and both terms of the loss have the
//! tail `ln(1 + e)`. Results of double precision take them from `libm` ([`exact`]). Those of fewer digits take polynomials that are
//! within 4e-12 of them ([`Quick`]), so that what they are rounded to is the nearest number but for one in thousands, and then the next
//! to it:
//!
//! ```text
//! n = round(d / ln 2)     t = d - n ln 2     exp(d) = 2^n (1 + t + t^2 P(t)),  |t| <= ln 2 / 2
//! s = e / (2 + e)         ln(1 + e) = s Q(s^2),  s <= 1/3
//! ```
//!
//! It has no branch that depends on the logit's sign or on the target, which no processor foresees.

use core::hint::black_box;

/// The logits of some elements, their targets, and the weights of their positive terms.
type Elements<'a> = [&'a [f64]; 3];

/// Computes losses and their derivatives.
pub(super) fn all(is_double: bool, elements: Elements<'_>, losses: &mut [f64], slopes: &mut [f64]) {
    if !is_double {
        quick_all(elements, losses, slopes);
    }
    // Nor do numbers beyond the polynomials' range take them, infinity and NaN.
    let most = if is_double { -1.0 } else { Quick::MOST };
    let [x, targets, pos_weights] = elements;
    for (at, x) in x.iter().enumerate() {
        if x.is_nan() || x.abs() > most {
            (losses[at], slopes[at]) = exact(*x, targets[at], pos_weights[at]);
        }
    }
}

/// It calls nothing: around a call a wasm compiler keeps every number on the stack.
#[inline(never)]
fn quick_all([x, targets, pos_weights]: Elements<'_>, losses: &mut [f64], slopes: &mut [f64]) {
    let quick = Quick::new();
    let elements = x.iter().zip(targets).zip(pos_weights);
    for (((x, target), pos_weight), (loss, slope)) in elements.zip(losses.iter_mut().zip(slopes)) {
        (*loss, *slope) = quick.element(*x, *target, *pos_weight);
    }
}

/// The loss and its derivative, of any numbers. A term without a coefficient is not evaluated.
fn exact(x: f64, target: f64, pos_weight: f64) -> (f64, f64) {
    let e = libm::exp(-x.abs());
    let tail = libm::log1p(e);
    let (small, large) = (e / (1.0 + e), 1.0 / (1.0 + e)); // sigmoid(-|x|), sigmoid(|x|)
    let (negative, positive) = (1.0 - target, pos_weight * target);
    let (mut loss, mut slope) = (0.0, 0.0);
    if negative != 0.0 {
        loss += negative * (x.max(0.0) + tail);
        slope += negative * if x < 0.0 { small } else { large };
    }
    if positive != 0.0 {
        loss += positive * ((-x).max(0.0) + tail);
        slope -= positive * if x < 0.0 { large } else { small };
    }
    // `max` drops a NaN, `e` does not.
    if x.is_nan() { (f64::NAN, f64::NAN) } else { (loss, slope) }
}

/// The numbers of [`Quick::element`].
struct Table {
    log2e: f64,
    magic: f64,
    ln2_hi: f64,
    ln2_lo: f64,
    p: [f64; 7],
    q: [f64; 7],
}

static TABLE: Table = Table {
    log2e: core::f64::consts::LOG2_E,
    magic: 6_755_399_441_055_744.0, // 1.5 * 2^52: the sum's unit in the last place is 1
    ln2_hi: f64::from_bits(0x3fe6_2e42_fee0_0000), // a small whole number times it is exact
    ln2_lo: f64::from_bits(0x3dea_39ef_3579_3c76),
    // Minimax fits: 1.2e-12 of the exponential, 2.6e-12 of the logarithm.
    p: [
        0.500_000_000_042_680_7,
        0.166_666_667_844_417_47,
        0.041_666_664_405_090_34,
        0.008_333_281_808_108_54,
        0.001_388_919_712_869_778,
        0.000_199_089_389_280_435_74,
        0.000_024_708_289_340_821_16,
    ],
    q: [
        2.000_000_000_005_028_4, 0.666_666_662_273_136_3, 0.400_000_625_406_895_4, 0.285_681_026_063_194_07,
        0.223_058_786_069_518_1, 0.171_165_125_541_596_07, 0.218_786_760_189_366_16,
    ],
};

/// What is within single precision's digits of [`exact`].
struct Quick(&'static Table);

impl Quick {
    /// The largest magnitude of a logit: `e` must be a normal number.
    const MOST: f64 = 700.0;

    /// Its numbers are read through a pointer that the compiler cannot see through, since a wasm compiler makes literals anew in each turn
    /// of a loop.
    #[inline(always)]
    fn new() -> Self {
        Self(black_box(&TABLE))
    }

    /// The loss and its derivative, where the logit's magnitude is at most [`Quick::MOST`].
    #[inline(always)]
    fn element(&self, x: f64, target: f64, pos_weight: f64) -> (f64, f64) {
        let (c, size, one) = (self.0, x.abs(), 1.0_f64);
        let shifted = c.magic - size * c.log2e;
        let n = shifted - c.magic;
        let t = (-size - n * c.ln2_hi) - n * c.ln2_lo;
        let e = one + (t + t * t * polynomial(&c.p, t));
        let e = f64::from_bits(e.to_bits().wrapping_add(shifted.to_bits() << 52));
        // 1 / (1 + e) and 1 / (2 + e), by one division.
        let (first, second) = (one + e, one + (one + e));
        let inverse = one / (first * second);
        let s = e * (inverse * first);
        let tail = s * polynomial(&c.q, s * s);
        // The numerators of sigmoid(x) and sigmoid(-x): 1 and e, the other way round where the sign is set.
        let is_below = (x.to_bits().cast_signed() >> 63).cast_unsigned();
        let change = (one.to_bits() ^ e.to_bits()) & is_below;
        let (up, down) = (f64::from_bits(one.to_bits() ^ change), f64::from_bits(e.to_bits() ^ change));
        let (negative, positive) = (one - target, pos_weight * target);
        let loss = negative * (0.5 * (size + x) + tail) + positive * (0.5 * (size - x) + tail);
        (loss, (negative * up - positive * down) * (inverse * second))
    }
}

/// Even and odd powers apart: two short chains in place of a long one.
#[inline(always)]
fn polynomial(c: &[f64; 7], x: f64) -> f64 {
    let square = x * x;
    let even = ((c[6] * square + c[4]) * square + c[2]) * square + c[0];
    let odd = (c[5] * square + c[3]) * square + c[1];
    even + x * odd
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over all magnitudes, both signs, and targets at and between their ends: within 4e-12 of the sum of the magnitudes of the terms.
    #[test]
    fn quick_elements_are_near_the_exact_ones() {
        let quick = Quick::new();
        let mut worst = [0.0_f64; 2];
        for step in 0..=400_000 {
            let t = f64::from(step) / 400_000.0;
            // Evenly spaced up to 40, and in powers of two from 2^-40 to the largest.
            for size in [40.0 * t, (libm::exp2(-40.0 + 49.5 * t)).min(Quick::MOST)] {
                for x in [size, -size] {
                    for (target, pos_weight) in [(0.0, 1.0), (1.0, 1.0), (0.25, 3.0), (1.0, 0.0)] {
                        let (got, want) =
                            (quick.element(x, target, pos_weight), exact(x, target, pos_weight));
                        let of = |target| exact(x, target, 1.0);
                        let (negative, positive) = (of(0.0), of(1.0));
                        let size = |negative: f64, positive: f64| {
                            (1.0 - target) * negative + pos_weight * target * positive.abs()
                        };
                        for (worst, (got, want, size)) in worst.iter_mut().zip([
                            (got.0, want.0, size(negative.0, positive.0)),
                            (got.1, want.1, size(negative.1, positive.1)),
                        ]) {
                            let error = (got - want).abs();
                            assert!(
                                error <= 4e-12 * size,
                                "{x}, {target}, {pos_weight}: {got:e}, not {want:e}"
                            );
                            *worst = worst.max(if size == 0.0 { 0.0 } else { error / size });
                        }
                    }
                }
            }
        }
        assert!(
            worst.iter().all(|worst| *worst > 1e-12),
            "a bound that no point comes near proves nothing: {worst:?}"
        );
    }
}
