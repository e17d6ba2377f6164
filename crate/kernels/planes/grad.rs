//! From the exponentials of a strip to its gradient.

use super::{Planes, Strip, TOGETHER, for_groups};
use crate::kernels::MIN_SCALED;
use crate::kernels::objective::RowLines;
use crate::math::FLOOR;
use crate::simd::Isa;
use core::hint::black_box;
use core::ops::Range;

/// What [`zero_threshold`](crate::kernels::zero_threshold) is for the scales of a vector of rows.
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

impl Strip<'_> {
    /// Keeps what [`Strip::write`] needs of what a part of the rows has come to. A row whose gradient is 0 is given factors that are -0
    /// where the gradient is added: a sum with -0 keeps every bit. `has_bias`: whether there may be biases.
    #[inline(never)]
    pub(crate) fn keep<I: Isa>(&mut self, part: &Range<usize>, rows: &RowLines, has_bias: bool, adds: bool) {
        let part = part.start..part.end.min(self.rows);
        if has_bias {
            self.bias[part.clone()].copy_from_slice(&rows.bias[..part.len()]);
        }
        I::enter(
            #[inline(always)]
            || self.keep_rows::<I>(&part, rows, has_bias, adds),
        );
    }

    #[inline(always)]
    fn keep_rows<I: Isa>(&mut self, part: &Range<usize>, rows: &RowLines, has_bias: bool, adds: bool) {
        let (zero, nothing) = (I::splat(0.0), I::splat(if adds { -0.0 } else { 0.0 }));
        // Twice what a product must reach, against the rounding of the product here.
        let (least, enough) = (I::splat(self.least), I::splat(2.0 * MIN_SCALED));
        let most = I::splat(f32::MAX);
        let mut all_simple = I::eq(zero, zero);
        let kept = I::chunks_mut(&mut self.target[part.clone()]).iter_mut();
        let kept = kept.zip(I::chunks_mut(&mut self.scale[part.clone()]));
        for ((kept_target, kept_scale), (scale, target)) in
            kept.zip(I::chunks(&rows.scale).iter().zip(I::chunks(&rows.target)))
        {
            let (scale, target) = (I::load(scale), I::load(target));
            let is_zero = I::eq(scale, zero);
            let off = I::and(is_zero, I::eq(target, zero));
            let fits = I::and(I::le(enough, I::mul(least, scale)), I::le(scale, most));
            all_simple = I::and(all_simple, I::or(fits, is_zero));
            I::store(kept_scale, I::select(off, nothing, scale));
            // One canonical NaN.
            let number = I::eq(scale, scale);
            I::store(kept_target, I::select(number, I::select(off, nothing, target), I::splat(f32::NAN)));
        }
        self.is_simple &= !has_bias && self.least > FLOOR && I::all(all_simple);
    }

    /// Writes or adds the gradient of all rows: `scale e + bias` (times the class's entry of `weights`), and the labels' own elements.
    #[inline(never)]
    pub(crate) fn write<I: Isa>(
        &mut self,
        planes: &mut dyn Planes,
        classes: usize,
        weights: Option<&[f32]>,
        has_bias: bool,
    ) {
        if !self.is_simple {
            I::enter(
                #[inline(always)]
                || self.find_thresholds::<I>(has_bias),
            );
        }
        let weight = |class: usize| weights.map_or(1.0, |weights| weights[class]);
        for_groups(classes, |first, count| {
            planes.gradient(first, count, &mut |g, adds| {
                if count == TOGETHER {
                    let weights = core::array::from_fn(|k| weight(first + k));
                    self.put::<I, TOGETHER>(first, g, adds, weights);
                } else {
                    let [g, ..] = g;
                    self.put::<I, 1>(first, [g], adds, [weight(first)]);
                }
            });
        });
    }

    /// What exponentials must reach so as not to count as 0; and biases, where there are none.
    #[inline(always)]
    fn find_thresholds<I: Isa>(&mut self, has_bias: bool) {
        let (zero, limits) = (I::splat(0.0), Thresholds::<I>::new());
        let found = I::chunks_mut(&mut self.threshold[..self.rows]).iter_mut();
        let found = found.zip(I::chunks_mut(&mut self.bias[..self.rows]));
        let given = I::chunks(&self.scale[..self.rows]).iter().zip(I::chunks(&self.target[..self.rows]));
        for ((threshold, bias), (scale, target)) in found.zip(given) {
            let (scale, target) = (I::load(scale), I::load(target));
            let is_zero = I::eq(scale, zero);
            // Nothing reaches a NaN: no exponential is looked at where there is nothing to multiply.
            let none = I::or(is_zero, I::and_not(I::eq(zero, zero), I::eq(scale, scale)));
            I::store(threshold, I::select(none, I::splat(f32::NAN), limits.of(scale)));
            // Of a row that is off it is the scale, whose sign may count.
            let off = I::and(is_zero, I::eq(target, zero));
            let before = if has_bias { I::load(bias) } else { zero };
            I::store(bias, I::select(I::and(off, I::eq(before, zero)), scale, before));
        }
    }

    fn put<I: Isa, const N: usize>(&self, first: usize, g: [&mut [f32]; N], adds: bool, weights: [f32; N]) {
        match (self.is_simple, adds) {
            (true, false) => self.put_classes::<I, N, true, false>(first, g, weights),
            (true, true) => self.put_classes::<I, N, true, true>(first, g, weights),
            (false, false) => self.put_classes::<I, N, false, false>(first, g, weights),
            (false, true) => self.put_classes::<I, N, false, true>(first, g, weights),
        }
    }

    #[inline(never)]
    fn put_classes<I: Isa, const N: usize, const SIMPLE: bool, const ADDS: bool>(
        &self,
        first: usize,
        g: [&mut [f32]; N],
        weights: [f32; N],
    ) {
        I::enter(
            #[inline(always)]
            || {
                let (zero, sign) = (I::splat(0.0), I::splat(-0.0));
                let count = self.rows / I::LANES;
                let e = &self.exponentials[first * self.stride..][..N * self.rows];
                let e = &I::chunks(e).as_chunks::<N>().0[..count];
                let g = g.map(|g| &mut I::chunks_mut(g)[..count]);
                let scales = &I::chunks(&self.scale[..])[..count];
                let targets = &I::chunks(&self.target[..])[..count];
                let numbers = &I::chunks(&self.number[..])[..count];
                let thresholds = &I::chunks(&self.threshold[..])[..count];
                let biases = &I::chunks(&self.bias[..])[..count];
                let (mut classes, mut weight) = ([zero; N], [zero; N]);
                for k in 0..N {
                    classes[k] = I::splat((first + k) as f32);
                    weight[k] = I::splat(weights[k]);
                }
                for vector in 0..count {
                    let (scale, label) = (I::load(&scales[vector]), I::load(&numbers[vector]));
                    let target = I::load(&targets[vector]);
                    for k in 0..N {
                        let e = I::load(&e[vector][k]);
                        let is_label = I::eq(label, classes[k]);
                        let mut p = if SIMPLE {
                            // The label's product is 0, and its sign that of the scale.
                            I::or(I::mul(e, scale), I::and(target, is_label))
                        } else {
                            let p = I::mul(I::and(e, I::le(I::load(&thresholds[vector]), e)), scale);
                            let bias = I::load(&biases[vector]);
                            // Where the scale is negative, a sum with +0 turns the -0 of vanished probabilities into +0.
                            let bias =
                                I::select(I::eq(bias, zero), I::and(bias, sign), I::mul(bias, weight[k]));
                            I::select(is_label, target, I::add(p, bias))
                        };
                        if ADDS {
                            p = I::add(I::load(&g[k][vector]), p);
                        }
                        I::store(&mut g[k][vector], p);
                    }
                }
            },
        );
    }
}
