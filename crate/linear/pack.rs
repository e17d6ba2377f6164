//! Panels: parts of a matrix, laid out in the order in which the micro-kernel of [`product`](super::product) reads them.
//!
//! A panel is `width` lines of a factor (rows of the left one, columns of the right one) over a cut of the depth: for each step
//! of the depth the `width` numbers of its lines side by side. The last panel is filled up with lines of zeros.

use super::Floats;
use super::product::{CUT, Packed, Side, padded};
use crate::simd::Isa;
use core::ops::Range;

/// A matrix to read, row-major: its numbers and the length of a row. Rows and columns may be chosen by lists.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) data: Floats<'a>,
    pub(super) stride: usize,
    /// Which row of the data is row `i`; the `i`th where there is no list.
    pub(super) rows: Option<&'a [u32]>,
    /// The same of its columns.
    pub(super) columns: Option<&'a [u32]>,
}

/// How the lines of a factor lie in its matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// Each line is a row of the matrix, whose numbers lie side by side.
    AreRows,
    /// Each line is a column of the matrix. A row of the matrix holds one number of every line.
    AreColumns,
}

/// Lines that are read side by side where they are columns and vectors are short. Wider panels take a whole cut, since fewer of them are
/// written at the same time.
const LINES: usize = 128;

/// Where lines are rows, four of them are read at a time, and a panel is written in parts of this many numbers: a quarter of a first cache.
const PART: usize = 1 << 11;
/// Where lines are columns, the processor is asked for a row this many rows before it is read.
const AHEAD: usize = 4;

static ZEROS: [f32; CUT] = [0.0; CUT];

impl<'a> Source<'a> {
    /// A matrix with all of its rows and columns.
    pub(super) fn new(data: Floats<'a>, stride: usize) -> Self {
        Self { data, stride, rows: None, columns: None }
    }

    /// Some columns of a row in single precision: where they lie, or copied into the buffer.
    #[inline(never)]
    pub(super) fn row<'b>(&'b self, row: usize, columns: Range<usize>, buffer: &'b mut [f32]) -> &'b [f32] {
        let row = self.rows.map_or(row, |rows| rows[row] as usize);
        let start = row * self.stride;
        let Some(chosen) = self.columns else {
            return self.data.widened(start + columns.start..start + columns.end, buffer);
        };
        let columns = &chosen[columns];
        let first = start + columns[0] as usize;
        let last = start + columns[columns.len() - 1] as usize;
        if last - first + 1 == columns.len() {
            return self.data.widened(first..last + 1, buffer);
        }
        for (slot, column) in buffer.iter_mut().zip(columns) {
            let at = start + *column as usize;
            *slot = self.data.widened(at..at + 1, &mut [0.0])[0];
        }
        &buffer[..columns.len()]
    }

    /// Asks for some columns of the first of these rows, if there is one.
    #[inline(always)]
    fn fetch<I: Isa>(&self, mut rows: Range<usize>, columns: &Range<usize>) {
        if let (true, Some(row), Floats::F32(numbers), None) =
            (I::FETCHES, rows.next(), self.data, self.columns)
        {
            let start = self.rows.map_or(row, |rows| rows[row] as usize) * self.stride;
            I::fetch(&numbers[start + columns.start..start + columns.end]);
        }
    }

    /// Panels of `W` lines, from the lines `lines` and the depth `depth` (a cut at most).
    #[inline(always)]
    fn panels<I: Isa, const W: usize>(
        &self,
        way: Lines,
        lines: Range<usize>,
        depth: Range<usize>,
        out: &mut [f32],
    ) {
        let mut buffers = [[0.0; CUT]; 4];
        let panel = W * depth.len();
        match way {
            Lines::AreRows => {
                for (index, out) in out.chunks_exact_mut(panel).enumerate() {
                    let first = lines.start + index * W;
                    let rows = first..lines.end.min(first + W);
                    let steps = PART / W / 4 * 4;
                    for (part, out) in out.chunks_mut(steps * W).enumerate() {
                        let from = depth.start + part * steps;
                        let depth = from..from + out.len() / W;
                        self.rows_to_panel::<I, W>((rows.clone(), lines.end), depth, &mut buffers, out);
                    }
                }
            }
            Lines::AreColumns => {
                let run = (if I::LANES == 4 { LINES } else { CUT }) / W * W;
                for (index, out) in out.chunks_mut(run / W * panel).enumerate() {
                    let first = lines.start + index * run;
                    let columns = first..lines.end.min(first + run);
                    self.columns_to_panels::<I, W>(columns, depth.clone(), &mut buffers[0], out);
                }
            }
        }
    }

    /// Four rows at a time, turned in blocks of four by four.
    #[inline(always)]
    fn rows_to_panel<I: Isa, const W: usize>(
        &self,
        (lines, last): (Range<usize>, usize),
        depth: Range<usize>,
        buffers: &mut [[f32; CUT]; 4],
        out: &mut [f32],
    ) {
        let length = depth.len();
        let steps = out.as_chunks_mut::<W>().0;
        for group in (0..W).step_by(4) {
            let mut rows = [&ZEROS[..length]; 4];
            let there = (lines.start + group..lines.end).zip(buffers.iter_mut());
            for (slot, (line, buffer)) in rows.iter_mut().zip(there) {
                *slot = self.row(line, depth.clone(), buffer);
                self.fetch::<I>(line + 4..last, &depth);
            }
            let [a, b, c, d] = rows.map(|row| row.as_chunks::<4>().0);
            let (blocks, rest) = steps.as_chunks_mut::<4>();
            for ((((block, a), b), c), d) in blocks.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let columns = I::transpose([a, b, c, d]);
                for (step, column) in block.iter_mut().zip(columns) {
                    if let Some(slots) = step[group..].first_chunk_mut() {
                        *slots = column;
                    } else {
                        // A panel of six lines has two more.
                        step[group] = column[0];
                        step[group + 1] = column[1];
                    }
                }
            }
            for (step, at) in rest.iter_mut().zip(length / 4 * 4..) {
                step[group..].iter_mut().zip(&rows).for_each(|(slot, row)| *slot = row[at]);
            }
        }
    }

    /// A run of lines, step by step of the depth.
    #[inline(always)]
    fn columns_to_panels<I: Isa, const W: usize>(
        &self,
        lines: Range<usize>,
        depth: Range<usize>,
        buffer: &mut [f32; CUT],
        out: &mut [f32],
    ) {
        let panel = W * depth.len();
        for (step, row) in depth.clone().enumerate() {
            let run = self.row(row, lines.clone(), buffer);
            self.fetch::<I>(row + AHEAD..depth.end, &lines);
            let (whole, rest) = run.as_chunks::<W>();
            let mut panels = out.chunks_exact_mut(panel).map(|panel| &mut panel.as_chunks_mut::<W>().0[step]);
            for (part, slots) in whole.iter().zip(&mut panels) {
                copy::<I, W>(part, slots);
            }
            if let Some(slots) = panels.next() {
                *slots = [0.0; W];
                slots.iter_mut().zip(rest).for_each(|(slot, x)| *slot = *x);
            }
        }
    }
}

/// A copy in vectors: of a length this short a compiler for wasm may make a call.
#[inline(always)]
fn copy<I: Isa, const W: usize>(from: &[f32; W], to: &mut [f32; W]) {
    for (from, to) in I::chunks(from).iter().zip(I::chunks_mut(to)) {
        I::store(to, I::load(from));
    }
    let done = W / I::LANES * I::LANES;
    to[done..].iter_mut().zip(&from[done..]).for_each(|(to, from)| *to = *from);
}

/// Packs lines of a matrix as a factor of a product, into the front of some scratch.
#[inline(never)]
pub(super) fn pack<'s, I: Isa>(
    source: &Source<'_>,
    way: Lines,
    side: Side,
    lines: Range<usize>,
    depth: Range<usize>,
    scratch: &'s mut [f32],
) -> Packed<'s> {
    let count = lines.len();
    let panels = &mut scratch[..padded(count, side.width::<I>()) * depth.len()];
    I::enter(
        #[inline(always)]
        || match side.width::<I>() {
            4 => source.panels::<I, 4>(way, lines, depth, panels),
            6 => source.panels::<I, 6>(way, lines, depth, panels),
            8 => source.panels::<I, 8>(way, lines, depth, panels),
            12 => source.panels::<I, 12>(way, lines, depth, panels),
            16 => source.panels::<I, 16>(way, lines, depth, panels),
            _ => source.panels::<I, 32>(way, lines, depth, panels),
        },
    );
    Packed { lines: count, panels }
}
