//! The sum of the logits, each times its weight. It has a sweep of its own, since the sweep that takes exponentials has no registers left.
//! The label's logit is left out, not subtracted afterwards: where it is nearly the whole sum, little would be left of the digits.

use super::exponentials::others;
use super::{Asked, RUN, padded, stride, tail_mask, tail_start};
use crate::kernels::MomentOf;
use crate::simd::Isa;
use core::array;

/// Runs that are summed side by side.
const SIDE: usize = 4;

/// Finds the moments of small rows, which have no shift, four rows at a time. That of a row whose label is negative means nothing.
#[inline(never)]
pub(super) fn of_small<I: Isa>(x: &[f32], labels: &[i32], asked: &Asked<'_>, moments: &mut [[f32; 4]]) {
    let weights = match asked.moment {
        MomentOf::Weights(weights) => Some(weights),
        _ => None,
    };
    I::enter(
        #[inline(always)]
        || {
            let (zero, classes) = (I::splat(0.0), asked.classes);
            let (whole, has_tail) = (classes / I::LANES, !classes.is_multiple_of(I::LANES));
            let (counted, tail_start) = (tail_mask::<I>(classes), tail_start::<I>(classes));
            let (stride, last) = (stride::<I>(classes), labels.len() - 1);
            for (first, moments) in (0..=last).step_by(4).zip(moments) {
                // An addition waits for the one before it in its row, and meanwhile the other rows go on.
                let rows: [usize; 4] = array::from_fn(|row| last.min(first + row));
                let x = rows.map(|row| &x[row * stride..][..stride]);
                let label = rows.map(|row| usize::try_from(labels[row]).unwrap_or(usize::MAX));
                let mut totals = [zero; 4];
                for start in (0..whole).step_by(RUN) {
                    let end = whole.min(start + RUN);
                    let [a, b, c, d] = x.map(|x| &I::chunks(x)[start..end]);
                    let masks = label.map(|label| I::chunks(others(label.wrapping_sub(start * I::LANES))));
                    let [mask_a, mask_b, mask_c, mask_d] = masks.map(|masks| &masks[..end - start]);
                    let ab = a.iter().zip(mask_a).zip(b.iter().zip(mask_b));
                    let cd = c.iter().zip(mask_c).zip(d.iter().zip(mask_d));
                    let mut sums = [zero; 4];
                    if let Some(weights) = weights {
                        for (((a, b), (c, d)), weight) in ab.zip(cd).zip(&I::chunks(weights)[start..end]) {
                            for (sum, (x, mask)) in sums.iter_mut().zip([a, b, c, d]) {
                                *sum = I::mul_add(I::and(I::load(x), I::load(mask)), I::load(weight), *sum);
                            }
                        }
                    } else {
                        for ((a, b), (c, d)) in ab.zip(cd) {
                            for (sum, (x, mask)) in sums.iter_mut().zip([a, b, c, d]) {
                                *sum = I::add(*sum, I::and(I::load(x), I::load(mask)));
                            }
                        }
                    }
                    for (total, sum) in totals.iter_mut().zip(sums) {
                        *total = I::add(*total, sum);
                    }
                }
                if has_tail {
                    for ((x, label), total) in x.iter().zip(label).zip(&mut totals) {
                        let mask = I::load(&I::chunks(others(label.wrapping_sub(tail_start)))[0]);
                        let x = I::and(I::load(I::last(x)), I::and(counted, mask));
                        *total = if let Some(weights) = weights {
                            I::mul_add(x, I::load(I::last(padded::<I>(weights, classes))), *total)
                        } else {
                            I::add(*total, x)
                        };
                    }
                }
                *moments = I::add_across(totals).map(|sum| asked.scale * sum);
            }
        },
    );
}

/// Returns the moment of a row or block, shifted and scaled, and the sum of its weights. A class of weight 0 does not count, whatever
/// its logit.
#[inline]
pub(super) fn of_one<I: Isa>(x: &[f32], label: Option<usize>, asked: &Asked<'_>, shift: f32) -> (f64, f64) {
    let weights = match asked.moment {
        MomentOf::Nothing => return (0.0, 0.0),
        MomentOf::Ones => None,
        MomentOf::Weights(weights) => Some(weights),
    };
    let (moment, weight) = add_up::<I>(x, weights, label, shift);
    (f64::from(asked.scale) * moment, weight)
}

/// Returns the sum of `weights * (x - shift)` and that of the weights, both without the label's.
#[inline(never)]
fn add_up<I: Isa>(x: &[f32], weights: Option<&[f32]>, label: Option<usize>, shift: f32) -> (f64, f64) {
    let whole = x.len() / I::LANES;
    let cut = label.map_or(whole, |label| whole.min(label / I::LANES));
    let after = whole.min(cut + 1);
    let (mut moment, mut weight) = (0.0, 0.0);
    // First the vector that holds the label, and the classes that no whole vector holds.
    for range in [cut * I::LANES..after * I::LANES, whole * I::LANES..x.len()] {
        for class in range.filter(|class| Some(*class) != label) {
            let each = weights.map_or(1.0, |weights| weights[class]);
            if each != 0.0 {
                moment += f64::from(each) * f64::from(x[class] - shift);
                weight += f64::from(each);
            }
        }
    }
    I::enter(
        #[inline(always)]
        || {
            let (shift, zero) = (I::splat(shift), I::splat(0.0));
            for range in [0..cut, after..whole] {
                let mut start = range.start;
                let mut chunks = &I::chunks(x)[range];
                if weights.is_none() {
                    // An addition waits for the one before it in its run, and meanwhile other runs go on.
                    let sides = chunks.chunks_exact(SIDE * RUN);
                    chunks = sides.remainder();
                    for side in sides {
                        let runs: [&[I::Chunk]; SIDE] = array::from_fn(|run| &side[run * RUN..][..RUN]);
                        let mut sums = [zero; SIDE];
                        let [a, b, c, d] = runs;
                        for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
                            for (sum, x) in sums.iter_mut().zip([a, b, c, d]) {
                                *sum = I::add(*sum, I::sub(I::load(x), shift));
                            }
                        }
                        moment = sums.into_iter().fold(moment, |moment, sum| moment + I::sum(sum));
                        weight += (side.len() * I::LANES) as f64;
                    }
                }
                for x in chunks.chunks(RUN) {
                    let (mut products, mut sum) = (zero, zero);
                    if let Some(weights) = weights {
                        for (x, weight) in x.iter().zip(&I::chunks(weights)[start..]) {
                            let weight = I::load(weight);
                            let product = I::mul(weight, I::sub(I::load(x), shift));
                            products = I::add(products, I::and_not(product, I::eq(weight, zero)));
                            sum = I::add(sum, weight);
                        }
                        weight += I::sum(sum);
                    } else {
                        for x in x {
                            products = I::add(products, I::sub(I::load(x), shift));
                        }
                        weight += (x.len() * I::LANES) as f64;
                    }
                    moment += I::sum(products);
                    start += RUN;
                }
            }
        },
    );
    (moment, weight)
}
