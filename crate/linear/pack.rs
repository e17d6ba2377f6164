//! Panels: parts of a matrix, laid out in the order in which the micro-kernel of [`product`](super::product) reads them.
//!
//! A panel is `width` lines of a factor (rows of the left one, columns of the right one) over a cut of the depth: for each step
//! of the depth the `width` numbers of its lines side by side. The last panel is filled up with lines of zeros.

use super::Floats;
use super::product::CUT;
use crate::simd::Isa;
use core::ops::Range;

/// A matrix to read, row-major: its numbers and the length of a row. Rows may be chosen by a list.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) data: Floats<'a>,
    pub(super) stride: usize,
    /// Which row of the data is row `i`; the `i`th where there is no list.
    pub(super) rows: Option<&'a [u32]>,
}

/// How the lines of a factor lie in its matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// A line is a row of the matrix: the depth runs along it.
    AreRows,
    /// A line is a column of the matrix: a row holds one step of the depth of every line.
    AreColumns,
}

/// Lines that are read side by side where they are columns: two cache lines.
const RUN: usize = 32;

static ZEROS: [f32; CUT] = [0.0; CUT];

impl Source<'_> {
    /// Some columns of a row in single precision: where they lie, or widened into the buffer.
    #[inline(always)]
    pub(super) fn row<'b>(&'b self, row: usize, columns: Range<usize>, buffer: &'b mut [f32]) -> &'b [f32] {
        let row = self.rows.map_or(row, |rows| rows[row] as usize);
        let start = row * self.stride;
        self.data.widened(start + columns.start..start + columns.end, buffer)
    }

    /// Panels of `width` lines, from the lines `lines` and the depth `depth` (a cut at most).
    #[inline(always)]
    pub(super) fn pack<I: Isa>(
        &self,
        way: Lines,
        width: usize,
        lines: Range<usize>,
        depth: Range<usize>,
        out: &mut [f32],
    ) {
        let panel = width * depth.len();
        let out = &mut out[..lines.len().div_ceil(width) * panel];
        match way {
            Lines::AreRows => {
                for (index, out) in out.chunks_exact_mut(panel).enumerate() {
                    let first = lines.start + index * width;
                    self.rows_to_panel::<I>(width, first..lines.end.min(first + width), depth.clone(), out);
                }
            }
            Lines::AreColumns => {
                let run = RUN.div_ceil(width) * width;
                for (index, out) in out.chunks_mut(run / width * panel).enumerate() {
                    let first = lines.start + index * run;
                    self.columns_to_panels(width, first..lines.end.min(first + run), depth.clone(), out);
                }
            }
        }
    }

    /// Four rows at a time, turned in blocks of four by four.
    #[inline(always)]
    fn rows_to_panel<I: Isa>(&self, width: usize, lines: Range<usize>, depth: Range<usize>, out: &mut [f32]) {
        let length = depth.len();
        let mut buffers = [[0.0; CUT]; 4];
        for group in (0..width).step_by(4) {
            let count = (width - group).min(4);
            let [a, b, c, d] = &mut buffers;
            let line = |index: usize, buffer| {
                let line = lines.start + group + index;
                if line < lines.end { self.row(line, depth.clone(), buffer) } else { &ZEROS[..length] }
            };
            let rows: [&[f32]; 4] = [line(0, a), line(1, b), line(2, c), line(3, d)];
            let [a, b, c, d] = [rows[0], rows[1], rows[2], rows[3]].map(|row| row.as_chunks::<4>().0);
            let (blocks, rest) = out.split_at_mut(length / 4 * 4 * width);
            let each = blocks.chunks_exact_mut(4 * width).zip(a).zip(b).zip(c).zip(d);
            for ((((block, a), b), c), d) in each {
                let columns = I::transpose([a, b, c, d]);
                for (step, column) in block.chunks_exact_mut(width).zip(&columns) {
                    step[group..group + count].copy_from_slice(&column[..count]);
                }
            }
            for (step, slots) in rest.chunks_exact_mut(width).enumerate() {
                for (slot, row) in slots[group..group + count].iter_mut().zip(&rows) {
                    *slot = row[length / 4 * 4 + step];
                }
            }
        }
    }

    /// A run of lines, step by step of the depth.
    #[inline(always)]
    fn columns_to_panels(&self, width: usize, lines: Range<usize>, depth: Range<usize>, out: &mut [f32]) {
        let (panel, count) = (width * depth.len(), lines.len());
        let mut buffer = [0.0; 2 * RUN];
        for (step, row) in depth.enumerate() {
            let run = self.row(row, lines.clone(), &mut buffer[..count]);
            for (index, part) in run.chunks(width).enumerate() {
                let slots = &mut out[index * panel + step * width..][..width];
                if part.len() == width {
                    slots.copy_from_slice(part);
                } else {
                    slots[..part.len()].copy_from_slice(part);
                    slots[part.len()..].fill(0.0);
                }
            }
        }
    }
}
