//! The weighted sum of the logits, in a sweep of its own: the one that takes exponentials has no registers for it.

use super::RUN;
use crate::simd::Isa;

/// The moment of a row or block, scaled, and the sum of its weights.
pub(super) fn weighted<I: Isa>(
    x: &[f32],
    weights: &[f32],
    label: Option<usize>,
    scale: f32,
    shift: f32,
) -> (f64, f64) {
    let (moment, weight) = add_up::<I>(x, &weights[..x.len()], label, shift);
    (f64::from(scale) * moment, weight)
}

/// The sum of `weights * (x - shift)`, and of the weights, but for the label's. A weight of 0 leaves its class out.
#[inline(never)]
fn add_up<I: Isa>(x: &[f32], weights: &[f32], label: Option<usize>, shift: f32) -> (f64, f64) {
    let whole = x.len() / I::LANES;
    let cut = label.map_or(whole, |label| whole.min(label / I::LANES));
    let after = whole.min(cut + 1);
    let (mut moment, mut weight) = (0.0, 0.0);
    // The vector that the label is in, and what no whole vector holds.
    for range in [cut * I::LANES..after * I::LANES, whole * I::LANES..x.len()] {
        for class in range {
            if Some(class) != label && weights[class] != 0.0 {
                moment += f64::from(weights[class]) * f64::from(x[class] - shift);
                weight += f64::from(weights[class]);
            }
        }
    }
    I::enter(
        #[inline(always)]
        || {
            let (shift, zero) = (I::splat(shift), I::splat(0.0));
            let (x, weights) = (I::chunks(x), I::chunks(weights));
            for range in [0..cut, after..whole] {
                let weights = weights[range.clone()].chunks(RUN);
                for (x, weights) in x[range].chunks(RUN).zip(weights) {
                    let (mut products, mut sum) = (zero, zero);
                    for (x, weight) in x.iter().zip(weights) {
                        let weight = I::load(weight);
                        let product = I::mul(weight, I::sub(I::load(x), shift));
                        products = I::add(products, I::and_not(product, I::eq(weight, zero)));
                        sum = I::add(sum, weight);
                    }
                    moment += I::sum(products);
                    weight += I::sum(sum);
                }
            }
        },
    );
    (moment, weight)
}
