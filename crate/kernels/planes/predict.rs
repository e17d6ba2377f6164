//! The class with the largest logit of each row.

use super::{Planes, Strip, TOGETHER, WIDTH, for_classes};
use crate::simd::{Isa, arrays};
use core::ops::Range;

/// The place of the first of the largest logits of each row of a part; -1 where one is NaN.
#[inline(never)]
pub(crate) fn predict<I: Isa>(
    strip: &Strip<'_>,
    part: &Range<usize>,
    planes: &mut dyn Planes,
    classes: usize,
) -> [i32; WIDTH] {
    let rows = strip.rows_of(part);
    // The largest logit, its place, and the largest magnitude as bits.
    let mut found = [[f32::NEG_INFINITY; WIDTH], [0.0; WIDTH], [0.0; WIDTH]];
    for_classes(classes, |first, count| {
        let x = planes.logits(first, count, rows.clone());
        match count {
            TOGETHER => find::<I, TOGETHER>(&mut found, x, first),
            _ => (first..).zip(x).take(count).for_each(|(class, x)| find::<I, 1>(&mut found, [x], class)),
        }
    });
    let [_, place, magnitude] = found;
    let mut predictions = place.map(|place| place.to_bits().cast_signed());
    arrays::combine(
        &mut predictions,
        &magnitude,
        |prediction, magnitude| {
            if magnitude.is_nan() { -1 } else { prediction }
        },
    );
    predictions
}

#[inline(never)]
fn find<I: Isa, const N: usize>(found: &mut [[f32; WIDTH]; 3], x: [&[f32]; N], first: usize) {
    I::enter(
        #[inline(always)]
        || {
            let x = x.map(I::chunks);
            let [largest, place, magnitude] = found.each_mut().map(|line| I::chunks_mut(line));
            let first = u32::try_from(first).unwrap_or_default();
            for vector in 0..x[0].len() {
                let (mut m, mut at) = (I::load(&largest[vector]), I::load(&place[vector]));
                let mut far = I::load(&magnitude[vector]);
                for (x, class) in x.iter().zip(first..) {
                    let x = I::load(&x[vector]);
                    let keeps = I::le(x, m);
                    at = I::select(keeps, at, I::splat(f32::from_bits(class)));
                    m = I::select(keeps, m, x);
                    far = I::max_bits(far, I::abs(x));
                }
                I::store(&mut largest[vector], m);
                I::store(&mut place[vector], at);
                I::store(&mut magnitude[vector], far);
            }
        },
    );
}
