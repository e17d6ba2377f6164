//! Numbers of a type that is known at run time: what the drivers see of a call's arrays. Single precision is handed on as it lies; what
//! is not is copied to scratch and back, a row, a group or a line at a time, with one branch each.

use super::halves::{Half, ScaledRows};
use super::{Element, to_odd};
use crate::parallel::Typed;
use crate::simd::arrays::{combine, fill};
use core::ops::Range;
use half::{bf16, f16};

/// Numbers to read.
pub(crate) type Source<'a> = Typed<&'a [f32], &'a [f64], &'a [f16], &'a [bf16]>;

/// Numbers to write, or to write over.
pub(crate) type Target<'a> = Typed<&'a mut [f32], &'a mut [f64], &'a mut [f16], &'a mut [bf16]>;

/// Evaluates an expression with the numbers, whatever their type is.
macro_rules! of_type {
    ($numbers:expr, $name:ident => $do:expr) => {
        match $numbers {
            $crate::parallel::Typed::F32($name) => $do,
            $crate::parallel::Typed::F64($name) => $do,
            $crate::parallel::Typed::F16($name) => $do,
            $crate::parallel::Typed::Bf16($name) => $do,
        }
    };
}

/// As [`of_type`], for something of the same type.
macro_rules! typed {
    ($numbers:expr, $name:ident => $do:expr) => {
        match $numbers {
            $crate::parallel::Typed::F32($name) => $crate::parallel::Typed::F32($do),
            $crate::parallel::Typed::F64($name) => $crate::parallel::Typed::F64($do),
            $crate::parallel::Typed::F16($name) => $crate::parallel::Typed::F16($do),
            $crate::parallel::Typed::Bf16($name) => $crate::parallel::Typed::Bf16($do),
        }
    };
}

pub(crate) use typed;

/// Numbers that are converted at a time where a type has no loop of its own.
const CHUNK: usize = 64;

/// As [`fill`], for calls that are not inlined.
#[inline(never)]
fn set_all<E: Element>(numbers: &mut [E], value: E) {
    fill(numbers, value);
}

impl<'a> Source<'a> {
    pub(crate) fn len(self) -> usize {
        of_type!(self, x => x.len())
    }

    /// Whether the numbers are computed with in double precision.
    pub(crate) fn is_double(self) -> bool {
        matches!(self, Typed::F64(_))
    }

    pub(crate) fn part(self, cells: Range<usize>) -> Self {
        typed!(self, x => &x[cells])
    }

    /// The numbers as they lie, where they are in single precision.
    #[inline(always)]
    pub(crate) fn single(self) -> Option<&'a [f32]> {
        if let Typed::F32(x) = self { Some(x) } else { None }
    }

    pub(crate) fn get(self, index: usize) -> f64 {
        of_type!(self, x => x[index].to_f64())
    }

    /// Copies all numbers to `to`, which has as many. Doubles are rounded; the others stay exact.
    #[inline(never)]
    pub(crate) fn widen(self, to: &mut [f32]) {
        of_type!(self, x => Element::widen(x, to));
    }

    /// Copies all numbers to `to`, which has as many.
    #[inline(never)]
    pub(crate) fn widen_double(self, to: &mut [f64]) {
        match self {
            Typed::F64(x) => return to.copy_from_slice(x),
            Typed::F32(x) => return Element::narrow(x, to),
            _ => {}
        }
        let mut wide = [0.0; CHUNK];
        for (index, to) in to.chunks_mut(CHUNK).enumerate() {
            let wide = &mut wide[..to.len()];
            let start = index * CHUNK;
            self.part(start..start + to.len()).widen(wide);
            Element::narrow(wide, to);
        }
    }

    /// Copies the numbers with these indices.
    #[inline(never)]
    pub(crate) fn pick(self, indices: &[u32], to: &mut [f64]) {
        of_type!(self, x => {
            for (slot, index) in to.iter_mut().zip(indices) {
                *slot = x[*index as usize].to_f64();
            }
        });
    }
}

impl<'a> Target<'a> {
    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    /// The numbers that are there.
    pub(crate) fn read(&self) -> Source<'_> {
        typed!(self, x => &**x)
    }

    /// All of them, for a while.
    pub(crate) fn whole(&mut self) -> Target<'_> {
        typed!(self, x => &mut **x)
    }

    /// As [`Target::read`], for as long as the memory is lent.
    pub(crate) fn into_read(self) -> Source<'a> {
        typed!(self, x => &*x)
    }

    pub(crate) fn part(&mut self, cells: Range<usize>) -> Target<'_> {
        typed!(self, x => &mut x[cells])
    }

    /// The memory itself, where it is of single precision.
    #[inline(always)]
    pub(crate) fn single(&mut self) -> Option<&mut [f32]> {
        if let Typed::F32(x) = self { Some(x) } else { None }
    }

    /// As [`Target::single`], for as long as the memory is lent.
    #[inline(always)]
    pub(crate) fn into_single(self) -> Option<&'a mut [f32]> {
        if let Typed::F32(x) = self { Some(x) } else { None }
    }

    #[inline(never)]
    pub(crate) fn fill(&mut self, value: f64) {
        of_type!(self, x => set_all(x, Element::from_f64(value)));
    }

    #[inline]
    pub(crate) fn set(&mut self, index: usize, value: f64) {
        match self {
            Typed::F32(x) => x[index] = Element::from_f64(value),
            Typed::F64(x) => x[index] = value,
            _ => self.set_half(index, value),
        }
    }

    #[cold]
    #[inline(never)]
    fn set_half(&mut self, index: usize, value: f64) {
        of_type!(self, x => x[index] = Element::from_f64(value));
    }

    /// Sets all numbers to the nearest ones of `from`, which has as many.
    #[inline(never)]
    pub(crate) fn narrow(&mut self, from: &[f32]) {
        of_type!(self, x => Element::narrow(from, x));
    }

    /// Does [`Half::narrow_rows`] if the numbers have 16 bits; otherwise it does nothing.
    #[inline(never)]
    pub(crate) fn narrow_rows(&mut self, rows: &ScaledRows<'_>) -> Option<f32> {
        match self {
            Typed::F16(x) => Half::narrow_rows(rows, x),
            Typed::Bf16(x) => Half::narrow_rows(rows, x),
            _ => None,
        }
    }

    /// Adds `from`, which has as many numbers, and rounds each sum once.
    #[inline(never)]
    pub(crate) fn add(&mut self, from: &[f32]) {
        match self {
            Typed::F32(x) => combine(x, from, |slot, value| slot + value),
            Typed::F64(x) => combine(x, from, |slot, value| slot + f64::from(value)),
            Typed::F16(x) => Half::add(from, x),
            Typed::Bf16(x) => Half::add(from, x),
        }
    }

    /// As [`Target::narrow`] for doubles, or adds them and rounds once.
    #[inline(never)]
    pub(crate) fn narrow_double(&mut self, from: &[f64], adds: bool) {
        let mut sums = [0.0; CHUNK];
        let mut odd = [0.0; CHUNK];
        for (index, from) in from.chunks(CHUNK).enumerate() {
            let (sums, odd) = (&mut sums[..from.len()], &mut odd[..from.len()]);
            let mut to = self.part(index * CHUNK..index * CHUNK + from.len());
            if adds {
                to.read().widen_double(sums);
                combine(sums, from, |sum, value| sum + value);
            } else {
                // Adding +0 turns -0 into +0, as adding to a gradient of 0 does.
                combine(sums, from, |_, value| 0.0 + value);
            }
            match to {
                Typed::F64(to) => to.copy_from_slice(sums),
                Typed::F32(to) => Element::widen(sums, to),
                _ => {
                    odd.iter_mut().zip(sums).for_each(|(odd, sum)| *odd = to_odd(*sum));
                    to.narrow(odd);
                }
            }
        }
    }

    /// Sets the numbers with these indices to the nearest ones, or adds to them and rounds once.
    #[inline(never)]
    pub(crate) fn put(&mut self, indices: &[u32], from: &[f64], adds: bool) {
        of_type!(self, x => {
            for (index, value) in indices.iter().zip(from) {
                let slot = &mut x[*index as usize];
                let before = if adds { slot.to_f64() } else { 0.0 };
                *slot = Element::from_f64(before + value);
            }
        });
    }
}
