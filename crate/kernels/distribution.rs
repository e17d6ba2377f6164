//! How the probability of a row is spread over its classes: what is told of a row beside its loss, from the logits alone.
//!
//! ```text
//! M = max x      d[k] = s (M - x[k])      R = sum of exp(-d[k]) over all k but one place of M
//! ln p[k]   = -d[k] - ln(1 + R)
//! entropy   = -sum p[k] ln p[k] = ln(1 + R) + (sum of d[k] exp(-d[k])) / (1 + R)
//! ```
//!
//! No sum has terms of both signs, and none contains the 1 of the largest class: a row that is sure of its class keeps all digits of an
//! entropy or a log-probability near 0, whatever the logits' offset is.

use crate::Element;
use crate::kernels::double::summed;
use crate::kernels::rows;
use crate::math::{CUT, Exp};
use crate::parallel::steps;
use crate::simd::{Isa, arrays};
use core::iter::once;
use core::ops::{Mul, Sub};
use core::slice::from_ref;

/// Vectors whose terms are added in single precision before their sum joins the row's.
const RUN: usize = 16;

/// Logits that are compared at a time with the smallest of those that were kept.
const LOOK: usize = 16;

/// What the log-probabilities of a row are computed from, and its entropy. All of it is NaN for a row whose loss is NaN.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread<W> {
    largest: W,
    scale: W,
    /// `ln(1 + R)`.
    ln_sum: W,
    /// In nats.
    pub(crate) entropy: f64,
}

impl<W: Element + Sub<Output = W> + Mul<Output = W>> Spread<W> {
    fn new(largest: W, scale: f64, [others, products]: [f64; 2]) -> Self {
        let ln_sum = libm::log1p(others);
        Self {
            largest,
            scale: W::from_f64(scale),
            ln_sum: W::from_f64(ln_sum),
            entropy: ln_sum + products / (1.0 + others),
        }
    }

    /// Of a row with NaN or +inf, or of -inf alone.
    pub(crate) fn nan() -> Self {
        let nan = W::from_f64(f64::NAN);
        Self { largest: nan, scale: nan, ln_sum: nan, entropy: f64::NAN }
    }

    /// `ln p` of a class with this logit.
    #[inline(always)]
    pub(crate) fn log_prob(&self, x: W) -> W {
        (x - self.largest) * self.scale - self.ln_sum
    }
}

/// The spread of a row in single precision.
#[inline(never)]
pub(crate) fn of_single<I: Isa>(x: &[f32], scale: f64) -> Spread<f32> {
    let mut largest = f32::NEG_INFINITY;
    for cells in steps(x.len()) {
        // The place is not asked for: nothing is above infinity.
        let (own, _) = rows::largest::<I>(&x[cells], f32::INFINITY);
        if own.is_nan() {
            return Spread::nan();
        }
        largest = largest.max(own);
    }
    if !largest.is_finite() {
        return Spread::nan();
    }
    let [mut ties, mut others, mut products] = [-1.0, 0.0, 0.0];
    for cells in steps(x.len()) {
        let sums = sums::<I>(&x[cells], largest, f32::from_f64(scale));
        ties += sums[0];
        others += sums[1];
        products += sums[2];
    }
    Spread::new(largest, scale, [ties + others, products])
}

/// The logits behind the last whole vector, filled up with -inf.
#[inline(always)]
fn tail<I: Isa>(x: &[f32]) -> I::Chunk {
    let rest = &x[x.len() / I::LANES * I::LANES..];
    let mut chunk = I::empty();
    chunk.as_mut().fill(f32::NEG_INFINITY);
    chunk.as_mut()[..rest.len()].copy_from_slice(rest);
    chunk
}

/// The number of logits that are the largest, and for all others the sums of `exp(-d)` and of `d exp(-d)`.
#[inline(never)]
fn sums<I: Isa>(x: &[f32], largest: f32, scale: f32) -> [f64; 3] {
    I::enter(
        #[inline(always)]
        || {
            let (exp, zero, cut) = (Exp::<I>::new(), I::splat(0.0), I::splat(CUT));
            let (largest, scale) = (I::splat(largest), I::splat(scale));
            let mut totals = [0.0; 3];
            let tail = tail::<I>(x);
            for run in I::chunks(x).chunks(RUN).chain(once(from_ref(&tail))) {
                let (mut ties, mut sum, mut products) = (zero, zero, zero);
                for x in run {
                    let x = I::load(x);
                    // The bound makes the product of a class without probability 0 times a number, and not 0 times infinity.
                    let minus_d = I::pmax(I::mul(I::sub(x, largest), scale), cut);
                    let is_largest = I::eq(x, largest);
                    let e = exp.exp_small(minus_d);
                    let e = I::and_not(e, I::or(is_largest, I::le(e, exp.floor)));
                    ties = I::add(ties, I::and(exp.one, is_largest));
                    sum = I::add(sum, e);
                    products = I::mul_add(minus_d, e, products);
                }
                totals[0] += I::sum(ties);
                totals[1] += I::sum(sum);
                totals[2] -= I::sum(products);
            }
            totals
        },
    )
}

/// The spread of a row in double precision. The entropy takes a sweep of its own, which is made only if it is wanted.
#[inline(never)]
pub(crate) fn of_double(x: &[f64], scale: f64, wants_entropy: bool) -> Spread<f64> {
    let mut largest = f64::NEG_INFINITY;
    for x in x {
        if x.is_nan() {
            return Spread::nan();
        }
        largest = largest.max(*x);
    }
    if !largest.is_finite() {
        return Spread::nan();
    }
    let ties = arrays::count(x, x, |x, _| x == largest) as f64 - 1.0;
    let sum = |with_distance: bool| {
        summed(x.iter().map(|x| {
            let distance = scale * (largest - x);
            let e = if *x == largest { 0.0 } else { libm::exp(-distance) };
            if with_distance && e != 0.0 { distance * e } else { e }
        }))
    };
    let products = if wants_entropy { sum(true) } else { 0.0 };
    Spread::new(largest, scale, [ties + sum(false), products])
}

/// Whether none is NaN.
#[expect(clippy::eq_op, reason = "a NaN is not equal to itself")]
pub(crate) fn are_numbers<W: PartialEq>(x: &[W]) -> bool {
    x.iter().all(|x| *x == *x)
}

/// How many of the numbers come before the one at `label`: those that are larger, and those before it that are the same.
pub(crate) fn rank<W: PartialOrd + Copy>(x: &[W], label: usize) -> usize {
    let own = x[label];
    count(&x[..label], own, true) + count(&x[label..], own, false)
}

/// How many numbers are larger than this one, or, with equals, at least as large.
#[inline(never)]
fn count<W: PartialOrd + Copy>(x: &[W], bound: W, with_equals: bool) -> usize {
    arrays::count(x, x, |x, _| (x > bound) | (with_equals & (x == bound)))
}

/// Fills `best` with the places of the largest numbers, the largest first, of equals the first; -1 where there are fewer.
pub(crate) fn top<W: PartialOrd + Copy>(x: &[W], best: &mut [i32]) {
    let is_after = |one: i32, other: i32| {
        let (a, b) = (x[place(one)], x[place(other)]);
        a < b || (a == b && one > other)
    };
    sort_largest(x.len(), best, &|from, least| next_above(x, from, x[place(least)]), &is_after);
}

/// The first place from `from` on whose number is larger than `least`; the length where there is none.
#[inline(never)]
fn next_above<W: PartialOrd + Copy>(x: &[W], from: usize, least: W) -> usize {
    let (chunks, _) = x[from..].as_chunks::<LOOK>();
    let is_above = |x: &W| *x > least;
    let has_one = |chunk: &[W; LOOK]| chunk.iter().fold(false, |any, x| any | is_above(x));
    let start = from + LOOK * chunks.iter().position(has_one).unwrap_or(chunks.len());
    start + x[start..].iter().position(is_above).unwrap_or(x.len() - start)
}

fn place(place: i32) -> usize {
    usize::try_from(place).unwrap_or_default()
}

/// [`top`] of numbers of any type: `next` gives the next place that is larger than one.
#[inline(never)]
fn sort_largest(
    length: usize,
    best: &mut [i32],
    next: &dyn Fn(usize, i32) -> usize,
    is_after: &dyn Fn(i32, i32) -> bool,
) {
    let count = best.len().min(length);
    let (best, beyond) = best.split_at_mut(count);
    beyond.fill(-1);
    if count == 0 {
        return;
    }
    // The first numbers form a heap whose root is the last of them in order. Each later number that is larger than the root takes its place.
    (0_i32..).zip(best.iter_mut()).for_each(|(place, slot)| *slot = place);
    (0..count / 2).rev().for_each(|root| sift(best, root, is_after));
    let mut at = count;
    loop {
        at = next(at, best[0]);
        if at >= length {
            break;
        }
        best[0] = i32::try_from(at).unwrap_or(i32::MAX);
        sift(best, 0, is_after);
        at += 1;
    }
    for end in (1..count).rev() {
        best.swap(0, end);
        sift(&mut best[..end], 0, is_after);
    }
}

/// Moves the entry at `root` down the heap until it comes, in order, after both entries under it.
#[inline(never)]
fn sift(heap: &mut [i32], mut root: usize, is_after: &dyn Fn(i32, i32) -> bool) {
    loop {
        let mut child = 2 * root + 1;
        if child + 1 < heap.len() && is_after(heap[child + 1], heap[child]) {
            child += 1;
        }
        if child >= heap.len() || !is_after(heap[child], heap[root]) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}
