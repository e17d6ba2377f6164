//! Rows that are shorter than a vector, to a vector each and back.

use crate::simd::Isa;

/// Copies rows of `classes` logits to a vector each, filled up with 0.
#[inline(never)]
pub(crate) fn pad<I: Isa>(x: &[f32], classes: usize, to: &mut [f32]) {
    I::enter(
        #[inline(always)]
        || {
            let counted = I::first(classes);
            let rows = x.len() / classes;
            // What comes after a row is loaded with it, where it is there.
            let whole = (x.len().saturating_sub(I::LANES) / classes).min(rows);
            for (row, to) in I::chunks_mut(to).iter_mut().enumerate().take(rows) {
                let x = &x[row * classes..];
                if row < whole {
                    I::store(to, I::and(I::load(&I::chunks(x)[0]), counted));
                } else {
                    let (to, rest) = to.as_mut().split_at_mut(classes);
                    to.copy_from_slice(&x[..classes]);
                    rest.fill(0.0);
                }
            }
        },
    );
}

/// Copies the first `classes` of each vector to rows side by side.
#[inline(never)]
pub(crate) fn unpad<I: Isa>(from: &[f32], classes: usize, to: &mut [f32]) {
    I::enter(
        #[inline(always)]
        || {
            let rows = to.len() / classes;
            for (row, from) in I::chunks(from).iter().enumerate().take(rows) {
                let to = &mut to[row * classes..];
                // What is written after a row is written over by the next.
                match I::chunks_mut(to).first_mut() {
                    Some(to) => I::store(to, I::load(from)),
                    None => to[..classes].copy_from_slice(&from.as_ref()[..classes]),
                }
            }
        },
    );
}
