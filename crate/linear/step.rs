//! The three products of a chunk of rows, cut into units that the executor's threads share.
//!
//! ```text
//! logits[b][v]    = sum over d of hidden[b][d] * weight[v][d]     + bias[v]
//! d weight[v][d] += sum over b of d logits[b][v] * hidden[b][d]   d bias[v] += sum over b of d logits[b][v]
//! d hidden[b][d]  = sum over v of d logits[b][v] * weight[v][d]
//! ```
//!
//! Each may be asked for some of the classes alone, whose logits then lie side by side: a window that begins at a multiple of
//! [`CUT`]. The first two are cut by classes. The third runs over the classes, slab by slab, and is cut by rows and columns of its
//! result. What the threads share of a factor is packed once; what a unit alone needs it packs itself.

use super::pack::{Lines, Source, pack};
use super::product::{CUT, Cells, Chosen, Packed, Side, Target, cuts, multiply, padded, pieces, place};
use super::{Floats, WeightLayout};
use crate::Error;
use crate::parallel::{Executor, PerWorker, Rows, Strided};
use crate::simd::Isa;
use core::ops::Range;
use core::sync::atomic::AtomicI32;

/// The most classes or columns, and the most rows, of a unit: what is packed of them stays in the second cache.
pub(super) const STRIPE: usize = 256;
const ROWS: usize = 128;
/// The fewest rows and columns that a unit of the third product is cut to.
const FEWEST: [usize; 2] = [64, 64];
/// How many multiplications a unit of the third product has. A unit of the other two has at most as many, unless it is of the fewest
/// classes. They take some milliseconds.
const MOST: usize = 1 << 26;
/// The fewest classes of a unit: a panel of the widest vectors.
const FEWEST_CLASSES: usize = 32;
/// Numbers of the two packed factors of a worker: lines of a stripe, filled up to whole panels.
const PACKED: usize = CUT * (STRIPE + 32);
/// How many multiplications one thread makes in a nanosecond: the estimate by which a product decides how many threads it wakes.
const PER_NANOSECOND: f64 = 20.0;

/// What all chunks of a call share.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) weight: Source<'a>,
    pub(super) layout: WeightLayout,
    /// How many classes take part: all, or those of the list `kept`. A class is then named by its place in the list, and other classes are
    /// neither read nor written.
    pub(super) classes: usize,
    pub(super) kept: Option<&'a [u32]>,
    /// How many classes the layer has.
    pub(super) all: usize,
    pub(super) depth: usize,
    /// The rows of a chunk. What they give to the gradients of weights and bias is summed over the chunk, and the sum is then added to that of
    /// other chunks. Several chunks are computed at a time only if a chunk has [`CUT`] rows at most.
    pub(super) together: usize,
    /// One number per class.
    pub(super) bias: Option<Source<'a>>,
    pub(super) executor: Executor,
    pub(super) cancel: Option<&'a AtomicI32>,
}

/// A chunk's hidden states, packed for the first product, and for the second.
pub(super) struct Hidden {
    pub(super) left: Vec<f32>,
    pub(super) right: Vec<f32>,
}

/// Logits that are there at the same time: so many rows of a chunk, over a window of the classes.
pub(super) struct Part {
    pub(super) rows: usize,
    pub(super) classes: Range<usize>,
}

impl Layer<'_> {
    /// How lines of the weights lie whose depth is that of the hidden states, and those whose depth is the classes.
    fn lines(&self) -> (Lines, Lines) {
        match self.layout {
            WeightLayout::Vd => (Lines::AreRows, Lines::AreColumns),
            WeightLayout::Dv => (Lines::AreColumns, Lines::AreRows),
        }
    }

    /// Which factor the hidden states are in the second product.
    fn second_side(&self) -> Side {
        match self.layout {
            WeightLayout::Vd => Side::Right,
            WeightLayout::Dv => Side::Left,
        }
    }

    /// How many numbers [`Hidden`] has for a chunk of so many rows.
    pub(super) fn hidden_lengths<I: Isa>(&self, chunk: usize) -> (usize, usize) {
        let [first, second] = [Side::Left, self.second_side()].map(Side::width::<I>);
        (padded(chunk, first) * self.depth, padded(self.depth, second) * chunk)
    }

    /// How many numbers of scratch a worker needs.
    pub(super) const SCRATCH: usize = 2 * PACKED;

    /// The executor for a product of a chunk of so many rows over so many classes.
    fn executor(&self, rows: usize, classes: usize) -> Executor {
        let products = rows as f64 * self.depth as f64 * classes as f64;
        self.executor.for_work(products / PER_NANOSECOND)
    }

    /// The most workers that a product of a chunk of so many rows uses.
    pub(super) fn workers(&self, rows: usize) -> usize {
        self.executor(rows, self.classes).workers(usize::MAX)
    }

    /// Classes of a unit of the first two products.
    fn stripe(&self, chunk: usize) -> usize {
        let mut stripe = STRIPE;
        while stripe > FEWEST_CLASSES && stripe.saturating_mul(chunk * self.depth) > MOST {
            stripe /= 2;
        }
        stripe
    }

    /// Packs the hidden states of a chunk. Of rows for which `is_silent` says so, whose gradient is 0 whatever they hold, nothing
    /// goes into the gradient of the weights.
    pub(super) fn pack<I: Isa>(
        &self,
        hidden: &Source<'_>,
        chunk: usize,
        is_silent: impl Fn(usize) -> bool,
        into: &mut Hidden,
    ) {
        let [left, right] = [Side::Left, self.second_side()].map(Side::width::<I>);
        for cut in cuts(0..self.depth) {
            let into = &mut into.left[padded(chunk, left) * cut.start..];
            pack::<I>(hidden, Lines::AreRows, Side::Left, 0..chunk, cut, into);
        }
        // Without gradients there is no second product.
        for cut in self.row_cuts(if into.right.is_empty() { 0 } else { chunk }) {
            let into = &mut into.right[padded(self.depth, right) * cut.start..];
            pack::<I>(hidden, Lines::AreColumns, self.second_side(), 0..self.depth, cut.clone(), into);
            for (step, _) in cut.clone().enumerate().filter(|(_, row)| is_silent(*row)) {
                let panels = into.chunks_exact_mut(right * cut.len()).take(self.depth.div_ceil(right));
                panels.for_each(|panel| panel[step * right..][..right].fill(0.0));
            }
        }
    }

    /// The logits of a chunk over a window of the classes, `[rows][window]`.
    #[inline(never)]
    pub(super) fn logits<I: Isa>(
        &self,
        &Part { rows: chunk, classes: ref window }: &Part,
        hidden: &Hidden,
        logits: &mut [f32],
        scratch: &mut [f32],
    ) -> Result<(), Error> {
        let (classes, left, width) = (window.len(), Side::Left.width::<I>(), self.stripe(chunk));
        let outputs = (Strided::new(logits, chunk, classes, width), PerWorker::new(scratch, Self::SCRATCH));
        let units = classes.div_ceil(width);
        self.executor(chunk, classes).run(units, self.cancel, outputs, |_, unit, (planes, scratch)| {
            let mut target = Target::new(Cells::Planes(planes));
            let stripe = window.start + unit * width..window.end.min(window.start + (unit + 1) * width);
            for cut in cuts(0..self.depth) {
                let b = self.pack_weight::<I>(self.lines().0, stripe.clone(), cut.clone(), scratch);
                let panels =
                    &hidden.left[padded(chunk, left) * cut.start..][..padded(chunk, left) * cut.len()];
                multiply::<I>(Packed { lines: chunk, panels }, b, cut.len(), cut.start > 0, &mut target);
            }
            if let Some(bias) = self.bias {
                let mut buffer = [0.0; STRIPE];
                let bias = bias.row(0, stripe, &mut buffer);
                I::enter(
                    #[inline(always)]
                    || {
                        for row in 0..chunk {
                            add::<I>(target.row(row), bias);
                        }
                    },
                );
            }
        })?;
        Ok(())
    }

    /// The cuts of the second product's depth: of more than one chunk, each is a cut.
    fn row_cuts(&self, rows: usize) -> impl Iterator<Item = Range<usize>> {
        pieces(0..rows, CUT.min(self.together))
    }

    fn pack_weight<'s, I: Isa>(
        &self,
        way: Lines,
        lines: Range<usize>,
        depth: Range<usize>,
        scratch: &'s mut [f32],
    ) -> Packed<'s> {
        pack::<I>(&self.weight, way, Side::Right, lines, depth, scratch)
    }

    /// Of all classes those from the first of a window to its last.
    fn span(&self, window: &Range<usize>) -> Range<usize> {
        match self.kept {
            None => window.clone(),
            Some(kept) => kept[window.start] as usize..kept[window.end - 1] as usize + 1,
        }
    }

    /// Which classes that take part are among these.
    fn among(&self, classes: &Range<usize>) -> Range<usize> {
        let Some(kept) = self.kept else { return classes.clone() };
        let before = |end: usize| kept.partition_point(|class| (*class as usize) < end);
        before(classes.start)..before(classes.end)
    }

    /// Writes, or adds, what a chunk gives to the gradients of weights and bias in a window of the classes.
    pub(super) fn weight_gradient<I: Isa>(
        &self,
        &Part { rows: chunk, classes: ref window }: &Part,
        hidden: &Hidden,
        gradient: &[f32],
        (weight, bias): (Option<&mut [f32]>, Option<&mut [f32]>),
        adds: bool,
        scratch: &mut [f32],
    ) -> Result<(), Error> {
        let (classes, depth, right) = (window.len(), self.depth, self.second_side().width::<I>());
        let width = self.stripe(chunk);
        let source = Source::new(Floats::F32(gradient), classes);
        let span = self.span(window);
        let (by_rows, by_columns) = match (self.layout, weight) {
            (WeightLayout::Vd, weight) => {
                let lines = span.start * depth..span.end * depth;
                (weight.map(|weight| Rows::new(&mut weight[lines], depth, width)), None)
            }
            (WeightLayout::Dv, weight) => {
                let strided = |weight| Strided::new(weight, depth, self.all, width).within(span.clone());
                (None, weight.map(strided))
            }
        };
        let bias = bias.map(|bias| Rows::new(&mut bias[span.clone()], 1, width));
        let outputs = (by_rows, by_columns, bias, PerWorker::new(scratch, Self::SCRATCH));
        let units = span.len().div_ceil(width);
        self.executor(chunk, classes).run(
            units,
            self.cancel,
            outputs,
            |_, unit, (by_rows, by_columns, bias, scratch)| {
                let first = span.start + unit * width;
                let part = self.among(&(first..span.end.min(first + width)));
                let lines = self.kept.map(|kept| Chosen { list: &kept[part.clone()], first });
                let stripe = part.start - window.start..part.end - window.start;
                if let Some(bias) = bias {
                    for (index, rows) in gradient.chunks(self.together.saturating_mul(classes)).enumerate() {
                        add_rows::<I>(rows, classes, stripe.clone(), adds || index > 0, (bias, lines));
                    }
                }
                let by_rows = by_rows.map(|rows| Cells::Rows(rows, depth));
                let Some(cells) = by_rows.or(by_columns.map(Cells::Planes)) else { return };
                let mut target = Target::new(cells).of(lines);
                for cut in self.row_cuts(chunk) {
                    let length = padded(depth, right) * cut.len();
                    let panels = &hidden.right[padded(depth, right) * cut.start..][..length];
                    let states = Packed { lines: depth, panels };
                    let adds = adds || cut.start > 0;
                    let steps = cut.len();
                    let side = self.second_side().other();
                    let own = pack::<I>(&source, Lines::AreColumns, side, stripe.clone(), cut, scratch);
                    let [a, b] = if side == Side::Left { [own, states] } else { [states, own] };
                    multiply::<I>(a, b, steps, adds, &mut target);
                }
            },
        )?;
        Ok(())
    }

    /// How the third product is cut: rows and columns of a unit. Bits do not depend on it.
    fn tile<I: Isa>(&self, chunk: usize) -> [usize; 2] {
        let workers = self.workers(chunk);
        let wanted = if workers == 1 { 1 } else { 2 * workers };
        let [left, right] = [Side::Left, Side::Right].map(Side::width::<I>);
        let mut tile = [chunk.clamp(1, ROWS), self.depth.min(STRIPE)];
        while chunk.div_ceil(tile[0]) * self.depth.div_ceil(tile[1]) < wanted {
            let side = usize::from(tile[1] / FEWEST[1] >= tile[0] / FEWEST[0]);
            if tile[side] <= FEWEST[side] {
                break;
            }
            tile[side] = tile[side].div_ceil(2).next_multiple_of([left, right][side]);
        }
        tile
    }

    /// How many rows [`Layer::hidden_gradient`] writes to: those of a chunk, filled up to whole units.
    pub(super) fn gradient_rows<I: Isa>(&self, chunk: usize) -> usize {
        padded(chunk, self.tile::<I>(chunk)[0])
    }

    /// The gradient of a chunk's hidden states, `[rows][depth]`, in [`Layer::gradient_rows`] rows: what a window of the classes gives to
    /// it, written where that is the first one, and otherwise added.
    pub(super) fn hidden_gradient<I: Isa>(
        &self,
        &Part { rows: chunk, classes: ref window }: &Part,
        gradient: &[f32],
        into: &mut [f32],
        scratch: &mut [f32],
    ) -> Result<(), Error> {
        let (classes, depth) = (window.len(), self.depth);
        let [tall, wide] = self.tile::<I>(chunk);
        let source = Source::new(Floats::F32(gradient), classes);
        let tiles = depth.div_ceil(wide);
        let slab = (MOST / (tall * wide)).next_multiple_of(CUT);
        for start in window.clone().step_by(slab) {
            let into = &mut into[..padded(chunk, tall) * depth];
            let outputs = (Strided::new(into, tall, depth, wide), PerWorker::new(scratch, Self::SCRATCH));
            let units = chunk.div_ceil(tall) * tiles;
            self.executor(chunk, classes).run(
                units,
                self.cancel,
                outputs,
                |_, unit, (planes, scratch)| {
                    let mut target = Target::new(Cells::Planes(planes));
                    let first = unit / tiles * tall;
                    let lines = first..chunk.min(first + tall);
                    let first = unit % tiles * wide;
                    let columns = first..depth.min(first + wide);
                    let (left, right) = scratch.split_at_mut(PACKED);
                    for cut in cuts(start..window.end.min(start + slab)) {
                        let there = cut.start - window.start..cut.end - window.start;
                        let a = pack::<I>(&source, Lines::AreRows, Side::Left, lines.clone(), there, left);
                        let b = self.pack_weight::<I>(self.lines().1, columns.clone(), cut.clone(), right);
                        multiply::<I>(a, b, cut.len(), cut.start > 0, &mut target);
                    }
                },
            )?;
        }
        Ok(())
    }
}

/// Writes, or adds, the sum over all rows of the columns `stripe`, each to its line.
#[inline(never)]
fn add_rows<I: Isa>(
    matrix: &[f32],
    width: usize,
    stripe: Range<usize>,
    adds: bool,
    (into, lines): (&mut [f32], Option<Chosen<'_>>),
) {
    I::enter(
        #[inline(always)]
        || {
            let mut sums = [0.0_f32; STRIPE];
            for row in matrix.chunks_exact(width) {
                add::<I>(&mut sums, &row[stripe.clone()]);
            }
            for (line, sum) in sums[..stripe.len()].iter().enumerate() {
                let slot = &mut into[place(lines, line)];
                *slot = if adds { *slot + sum } else { *sum };
            }
        },
    );
}

/// Adds numbers to the first of others.
#[inline(always)]
fn add<I: Isa>(into: &mut [f32], numbers: &[f32]) {
    for (slots, numbers) in I::chunks_mut(into).iter_mut().zip(I::chunks(numbers)) {
        I::store(slots, I::add(I::load(slots), I::load(numbers)));
    }
    let done = numbers.len() / I::LANES * I::LANES;
    into[done..].iter_mut().zip(&numbers[done..]).for_each(|(slot, x)| *slot += x);
}
