//! The sweep over the planes: the exponentials of a strip's rows, and the bounds of the logits.

use super::{Asked, Planes, SET, Strip, TOGETHER, filled, for_groups, in_turns};
use crate::Element;
use crate::kernels::objective::Line;
use crate::kernels::rows::{all_allowed, fit};
use crate::math::Exp;
use crate::simd::Isa;
use core::ops::Range;

/// What a sweep takes exponentials of: the logits, `scale` times them, or `scale * (x - shift)`.
const AS_IT_IS: u8 = 0;
const SCALED: u8 = 1;
const SHIFTED: u8 = 2;

impl Strip<'_> {
    /// Takes the exponentials of all rows as if all were small. Whether all logits are.
    #[inline(never)]
    pub(crate) fn sweep<I: Isa>(&mut self, planes: &mut dyn Planes, asked: &Asked<'_>) -> bool {
        let Some(small) = asked.small else { return false };
        (self.highest, self.lowest) = Default::default();
        let rows = 0..self.rows;
        self.take::<I>(if asked.scale == 1.0 { AS_IT_IS } else { SCALED }, planes, asked, &rows);
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

    /// The exponentials of rows that have been looked at.
    pub(super) fn sweep_shifted<I: Isa>(
        &mut self,
        planes: &mut dyn Planes,
        asked: &Asked<'_>,
        rows: &Range<usize>,
    ) {
        self.take::<I>(SHIFTED, planes, asked, rows);
    }

    #[inline(never)]
    fn take<I: Isa>(&mut self, of: u8, planes: &mut dyn Planes, asked: &Asked<'_>, rows: &Range<usize>) {
        for_groups(asked.classes, |first, count| {
            let x = planes.cut_logits(first, count, rows.clone());
            let whole = rows.start + x[0].len() / I::LANES * I::LANES;
            self.take_group::<I>(of, x, (first, count), asked.scale, &(rows.start..whole));
            if whole < rows.end {
                let last = x.map(|x| filled(x.get(whole - rows.start..).unwrap_or_default()));
                let last = last.each_ref().map(|x| &x[..]);
                self.take_group::<I>(of, last, (first, count), asked.scale, &(whole..rows.end));
            }
        });
    }

    #[inline(never)]
    fn take_group<I: Isa>(
        &mut self,
        of: u8,
        x: [&[f32]; TOGETHER],
        (first, count): (usize, usize),
        scale: f32,
        rows: &Range<usize>,
    ) {
        let one = [x[0]];
        match (of, count == TOGETHER) {
            (AS_IT_IS, true) => self.take_classes::<I, TOGETHER, AS_IT_IS>(x, first, scale, rows),
            (AS_IT_IS, false) => self.take_classes::<I, 1, AS_IT_IS>(one, first, scale, rows),
            (SCALED, true) => self.take_classes::<I, TOGETHER, SCALED>(x, first, scale, rows),
            (SCALED, false) => self.take_classes::<I, 1, SCALED>(one, first, scale, rows),
            (_, true) => self.take_classes::<I, TOGETHER, SHIFTED>(x, first, scale, rows),
            (_, false) => self.take_classes::<I, 1, SHIFTED>(one, first, scale, rows),
        }
    }

    #[inline(never)]
    fn take_classes<I: Isa, const N: usize, const OF: u8>(
        &mut self,
        x: [&[f32]; N],
        first: usize,
        scale: f32,
        rows: &Range<usize>,
    ) {
        I::enter(
            #[inline(always)]
            || {
                let exp = Exp::<I>::new();
                let scale = I::splat(scale);
                let count = rows.len() / I::LANES;
                let x = x.map(|x| &I::chunks(x)[..count]);
                let e = &mut in_turns::<I>(self.exponentials, self.stride, first, rows)[..count];
                let turn = if N == TOGETHER { 0 } else { first % TOGETHER };
                let shifts = &I::chunks(&self.shift[rows.clone()])[..count];
                let mut highest = I::load(&I::chunks(&self.highest)[0]);
                let mut lowest = I::load(&I::chunks(&self.lowest)[0]);
                for vector in 0..count {
                    let shift = if OF == SHIFTED { I::load(&shifts[vector]) } else { scale };
                    for k in 0..N {
                        let x = I::load(&x[k][vector]);
                        if OF != SHIFTED {
                            highest = I::max_signed_bits(highest, x);
                            lowest = I::max_bits(lowest, x);
                        }
                        let p = match OF {
                            AS_IT_IS => exp.exp_small(x),
                            SCALED => exp.exp_small(I::mul(x, scale)),
                            _ => exp.exp(I::mul(I::sub(x, shift), scale)),
                        };
                        I::store(&mut e[vector][(turn + k) % TOGETHER], p);
                    }
                }
                I::store(&mut I::chunks_mut(&mut self.highest)[0], highest);
                I::store(&mut I::chunks_mut(&mut self.lowest)[0], lowest);
            },
        );
    }
}
