//! The sweep over the planes: the exponentials of a strip's rows, their sums, and the bounds of the logits.

use super::{Asked, FLUSH, Planes, RUN, SET, Strip, TOGETHER, WIDTH, for_groups};
use crate::Element;
use crate::kernels::MomentOf;
use crate::kernels::objective::Line;
use crate::kernels::rows::{all_allowed, fit};
use crate::math::Exp;
use crate::simd::Isa;
use core::ops::Range;

/// What a sweep takes exponentials of: the logits, `scale` times them, or `scale * (x - shift)`.
const AS_IT_IS: u8 = 0;
const SCALED: u8 = 1;
const SHIFTED: u8 = 2;

/// Some neighbouring classes: the first, their weights in the moment, and what each logit is multiplied by.
#[derive(Clone, Copy)]
struct Classes<const N: usize> {
    first: usize,
    weights: [f32; N],
    scale: f32,
}

impl Strip<'_> {
    /// Takes the exponentials of all rows as if all were small. Whether all logits are.
    #[inline(never)]
    pub(crate) fn sweep<I: Isa>(&mut self, planes: &mut dyn Planes, asked: &Asked<'_>, keeps: bool) -> bool {
        let Some(small) = asked.small else { return false };
        (self.highest, self.lowest) = Default::default();
        let is_plain = asked.scale == 1.0 && matches!(asked.moment, MomentOf::Nothing);
        let rows = 0..self.rows;
        match is_plain {
            true => self.add_up::<I, AS_IT_IS>(planes, asked, &rows, keeps),
            false => self.add_up::<I, SCALED>(planes, asked, &rows, keeps),
        }
        let highest = self.highest.map(|x| x.to_bits().cast_signed()).into_iter().max().unwrap_or_default();
        let lowest = f32::from_bits(self.lowest.map(f32::to_bits).into_iter().max().unwrap_or_default());
        // A little below the exponential of the lowest.
        self.least =
            if asked.scale == 1.0 { 0.99 * f32::from_f64(libm::exp(f64::from(lowest))) } else { 0.0 };
        fit(&small, f32::from_bits(highest.cast_unsigned()), lowest)
    }

    /// After [`Strip::sweep`] said yes: whether all rows of a part are small, by their labels' logits and steps too.
    #[inline(never)]
    pub(crate) fn is_small<I: Isa>(&mut self, part: &Range<usize>, steps: &Line, asked: &Asked<'_>) -> bool {
        let label = &self.label[part.start..part.end.min(self.rows)];
        let is_small = asked.small.is_some_and(|small| {
            I::enter(
                #[inline(always)]
                || all_allowed::<I>(&small, label, steps, label.len()),
            )
        });
        if is_small {
            if !self.is_set {
                self.shift.fill(0.0);
                self.small.fill(SET);
                self.sound.fill(SET);
            }
            (self.is_set, self.all_small, self.all_sound) = (true, true, true);
        }
        is_small
    }

    /// Of rows that have been looked at.
    pub(super) fn sweep_shifted<I: Isa>(
        &mut self,
        planes: &mut dyn Planes,
        asked: &Asked<'_>,
        rows: &Range<usize>,
        keeps: bool,
    ) {
        self.add_up::<I, SHIFTED>(planes, asked, rows, keeps);
    }

    fn add_up<I: Isa, const OF: u8>(
        &mut self,
        planes: &mut dyn Planes,
        asked: &Asked<'_>,
        rows: &Range<usize>,
        keeps: bool,
    ) {
        let classes = asked.classes;
        let sums: [&mut [f32]; 4] = match (OF == AS_IT_IS, classes > RUN) {
            (true, false) => [&mut *self.rest, &mut [], &mut [], &mut []],
            (true, true) => [&mut *self.rest, &mut *self.rest_before, &mut [], &mut []],
            (false, _) => [&mut *self.rest, self.rest_before, self.moment, self.moment_before],
        };
        for line in sums.into_iter().filter(|line| !line.is_empty()) {
            line[rows.clone()].fill(0.0);
        }
        self.wide = [[0.0; WIDTH]; 2];
        let weight = |class: usize| match asked.moment {
            MomentOf::Nothing => 0.0,
            MomentOf::Ones => 1.0,
            MomentOf::Weights(weights) => weights[class],
        };
        for_groups(classes, |first, count| {
            let x = planes.logits(first, count, rows.clone());
            if count == TOGETHER {
                let weights = core::array::from_fn(|k| weight(first + k));
                let of = Classes { first, weights, scale: asked.scale };
                self.add::<I, TOGETHER, OF>(x, of, rows, keeps);
            } else {
                let of = Classes { first, weights: [weight(first)], scale: asked.scale };
                self.add::<I, 1, OF>([x[0]], of, rows, keeps);
            }
            let done = first + count;
            if classes > RUN && (done.is_multiple_of(RUN) || done == classes) {
                self.end_run(rows);
            }
            if classes > FLUSH && (done.is_multiple_of(FLUSH) || done == classes) {
                self.end_block(rows);
            }
        });
        if classes > FLUSH {
            for (wide, before) in self.wide.iter().zip([&mut *self.rest_before, self.moment_before]) {
                before[rows.clone()]
                    .iter_mut()
                    .zip(wide)
                    .for_each(|(before, wide)| *before = f32::from_f64(*wide));
            }
        }
        if classes > RUN {
            self.rest[rows.clone()].copy_from_slice(&self.rest_before[rows.clone()]);
            self.moment[rows.clone()].copy_from_slice(&self.moment_before[rows.clone()]);
        }
        if OF == SHIFTED {
            // Where no other class is above -inf, what the clamp of `exp` left is nothing: any other sum is at least 1.
            let all = self.rest[rows.clone()].iter_mut().zip(&self.small[rows.clone()]);
            all.filter(|(rest, small)| **rest <= 0.5 && small.to_bits() == 0)
                .for_each(|(rest, _)| *rest = 0.0);
        }
    }

    /// Adds the sums to those of the runs before.
    fn end_run(&mut self, rows: &Range<usize>) {
        let both = [(&mut *self.rest, &mut *self.rest_before), (&mut *self.moment, &mut *self.moment_before)];
        for (sums, before) in both {
            for (before, sum) in before[rows.clone()].iter_mut().zip(&mut sums[rows.clone()]) {
                *before += core::mem::take(sum);
            }
        }
    }

    /// Moves the sums to f64.
    fn end_block(&mut self, rows: &Range<usize>) {
        for (wide, before) in self.wide.iter_mut().zip([&mut *self.rest_before, self.moment_before]) {
            for (wide, before) in wide.iter_mut().zip(&mut before[rows.clone()]) {
                *wide += f64::from(*before);
                *before = 0.0;
            }
        }
    }

    fn add<I: Isa, const N: usize, const OF: u8>(
        &mut self,
        x: [&[f32]; N],
        of: Classes<N>,
        rows: &Range<usize>,
        keeps: bool,
    ) {
        if keeps {
            self.add_classes::<I, N, OF, true>(x, of, rows);
        } else {
            self.add_classes::<I, N, OF, false>(x, of, rows);
        }
    }

    #[inline(never)]
    fn add_classes<I: Isa, const N: usize, const OF: u8, const KEEPS: bool>(
        &mut self,
        x: [&[f32]; N],
        of: Classes<N>,
        rows: &Range<usize>,
    ) {
        I::enter(
            #[inline(always)]
            || {
                let exp = Exp::<I>::new();
                let zero = I::splat(0.0);
                let scale = I::splat(of.scale);
                let (mut classes, mut weights) = ([zero; N], [zero; N]);
                for k in 0..N {
                    classes[k] = I::splat((of.first + k) as f32);
                    weights[k] = I::splat(of.weights[k]);
                }
                let count = rows.len() / I::LANES;
                let x = x.map(|x| &I::chunks(x)[..count]);
                let (from, length) = (of.first * self.stride + N * rows.start, N * rows.len());
                let e = if KEEPS { &mut self.exponentials[from..][..length] } else { &mut [][..] };
                let e = &mut I::chunks_mut(e).as_chunks_mut::<N>().0[..if KEEPS { count } else { 0 }];
                let numbers = &I::chunks(&self.number[rows.clone()])[..count];
                let shifts = &I::chunks(&self.shift[rows.clone()])[..count];
                let rests = &mut I::chunks_mut(&mut self.rest[rows.clone()])[..count];
                let moments = &mut I::chunks_mut(&mut self.moment[rows.clone()])[..count];
                let mut highest = I::load(&I::chunks(&self.highest)[0]);
                let mut lowest = I::load(&I::chunks(&self.lowest)[0]);
                for vector in 0..count {
                    let label = I::load(&numbers[vector]);
                    let mut sum = I::load(&rests[vector]);
                    let mut moment = if OF == AS_IT_IS { zero } else { I::load(&moments[vector]) };
                    let shift = if OF == SHIFTED { I::load(&shifts[vector]) } else { zero };
                    for k in 0..N {
                        let x = I::load(&x[k][vector]);
                        if OF != SHIFTED {
                            highest = I::max_signed_bits(highest, x);
                            lowest = I::max_bits(lowest, x);
                        }
                        let d = match OF {
                            AS_IT_IS => x,
                            SCALED => I::mul(x, scale),
                            _ => I::mul(I::sub(x, shift), scale),
                        };
                        let p = if OF == SHIFTED { exp.exp(d) } else { exp.exp_small(d) };
                        let is_label = I::eq(label, classes[k]);
                        let p = I::and_not(p, is_label);
                        if KEEPS {
                            I::store(&mut e[vector][k], p);
                        }
                        sum = I::add(sum, p);
                        if OF != AS_IT_IS {
                            // A weight of 0 leaves its class out, even at -inf.
                            let left_out = I::or(is_label, I::eq(weights[k], zero));
                            moment = I::add(moment, I::and_not(I::mul(weights[k], d), left_out));
                        }
                    }
                    I::store(&mut rests[vector], sum);
                    if OF != AS_IT_IS {
                        I::store(&mut moments[vector], moment);
                    }
                }
                I::store(&mut I::chunks_mut(&mut self.highest)[0], highest);
                I::store(&mut I::chunks_mut(&mut self.lowest)[0], lowest);
            },
        );
    }
}
