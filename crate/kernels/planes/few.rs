//! Few classes: each row's label is compared with every class, which costs a little for each class. The other way, which [`super::sums`] goes
//! for more classes, finds the place of each label, reads its logit and writes its exponential twice, which costs the same for any number
//! of classes.

use super::{Planes, Strip, TOGETHER, for_classes, in_turns};
use crate::simd::Isa;
use core::ops::Range;

/// The most classes that labels are compared with. On four lanes both ways take the same time at ten classes.
pub(super) const COMPARED: usize = 8;

/// Finds the logits of the labels of a part of the rows, and adds up the exponentials of the other classes. If the exponentials are not
/// there yet, the sums mean nothing, and the caller comes again.
pub(super) fn compare<I: Isa>(
    strip: &mut Strip<'_>,
    rows: &Range<usize>,
    planes: &mut dyn Planes,
    classes: usize,
) {
    for_classes(classes, |first, count| {
        let x = planes.logits(first, count, rows.clone());
        match count {
            TOGETHER => compare_classes::<I, TOGETHER>(strip, x, first, rows),
            _ => {
                for (class, x) in (first..).zip(x).take(count) {
                    compare_classes::<I, 1>(strip, [x], class, rows);
                }
            }
        }
    });
}

#[inline(never)]
fn compare_classes<I: Isa, const N: usize>(
    strip: &mut Strip<'_>,
    x: [&[f32]; N],
    first: usize,
    rows: &Range<usize>,
) {
    I::enter(
        #[inline(always)]
        || {
            let count = rows.len() / I::LANES;
            let x = x.map(|x| &I::chunks(x)[..count]);
            let e = &in_turns::<I>(strip.exponentials, strip.stride, first, rows)[..count];
            let turn = if N == TOGETHER { 0 } else { first % TOGETHER };
            let numbers = &I::chunks(&strip.number[rows.clone()])[..count];
            let labels = &mut I::chunks_mut(&mut strip.label[rows.clone()])[..count];
            let rests = &mut I::chunks_mut(&mut strip.rest[rows.clone()])[..count];
            // For the first classes the lines count as 0, whatever they hold.
            let zero = I::splat(0.0);
            let begun = if first == 0 { zero } else { I::eq(zero, zero) };
            let classes = numbers_from::<I, N>(first);
            for vector in 0..count {
                let number = I::load(&numbers[vector]);
                let mut label = I::and(I::load(&labels[vector]), begun);
                let mut rest = I::and(I::load(&rests[vector]), begun);
                for k in 0..N {
                    let is_label = I::eq(number, classes[k]);
                    label = I::or(label, I::and(I::load(&x[k][vector]), is_label));
                    let e = I::load(&e[vector][(turn + k) % TOGETHER]);
                    rest = I::add(rest, I::and_not(e, is_label));
                }
                I::store(&mut labels[vector], label);
                I::store(&mut rests[vector], rest);
            }
        },
    );
}

/// The numbers of some classes, each in a vector.
#[inline(always)]
pub(super) fn numbers_from<I: Isa, const N: usize>(first: usize) -> [I::V; N] {
    let mut classes = [I::splat(0.0); N];
    for (k, class) in classes.iter_mut().enumerate() {
        *class = I::splat((first + k) as f32);
    }
    classes
}

/// Numbers, each in a vector.
#[inline(always)]
pub(super) fn splats<I: Isa, const N: usize>(numbers: [f32; N]) -> [I::V; N] {
    let mut vectors = [I::splat(0.0); N];
    for (vector, number) in vectors.iter_mut().zip(numbers) {
        *vector = I::splat(number);
    }
    vectors
}
