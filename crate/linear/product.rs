//! The product of two matrices that were packed: one micro-kernel over [`Isa`] and the loops around it.
//!
//! ```text
//! c[i][j] = sum over the depth k of a[i][k] * b[k][j]
//! ```
//!
//! Guarantees: an element is summed cut by cut of [`CUT`] steps of the depth, inside a cut from its first step to its last, and the
//! cuts are added in their order. So its bits depend on its row of `a`, its column of `b` and the instructions alone: not on which
//! part of the product was asked for, by whom, or in how many pieces.

use crate::parallel::Planes;
use crate::simd::Isa;
use core::ops::Range;

/// Steps of the depth that are summed in registers before they are added to the result.
pub(super) const CUT: usize = 256;

/// The cuts of a depth.
pub(super) fn cuts(depth: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = depth.end;
    depth.step_by(CUT).map(move |start| start..end.min(start + CUT))
}

/// Columns of a panel of the right factor: two vectors.
#[inline(always)]
pub(super) fn columns<I: Isa>() -> usize {
    2 * I::LANES
}

/// Rows of a panel of the left factor: as many as leave room in the registers for the sums, two vectors of the right factor and
/// a number of the left one. With sixteen registers a wasm compiler keeps eight sums; AVX-512 has thirty-two registers.
#[inline(always)]
pub(super) fn rows<I: Isa>() -> usize {
    match I::LANES {
        4 => 4,
        8 => 6,
        _ => 8,
    }
}

/// Where a product goes: rows of numbers, each as one slice.
pub(super) trait Target {
    /// A row, to write; it may be longer than what is written.
    fn row(&mut self, row: usize) -> &mut [f32];
}

impl Target for Planes<'_, f32> {
    #[inline(always)]
    fn row(&mut self, row: usize) -> &mut [f32] {
        self.plane(row)
    }
}

/// Rows side by side.
pub(super) struct Whole<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) width: usize,
}

impl Target for Whole<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.width..][..self.width]
    }
}

/// A packed factor over one cut: how many lines it has, and its panels.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    pub(super) lines: usize,
    pub(super) panels: &'a [f32],
}

/// Writes, or adds, the product of two packed factors over the same cut of `depth` steps.
#[inline(never)]
pub(super) fn multiply<I: Isa, T: Target>(
    a: Packed<'_>,
    b: Packed<'_>,
    depth: usize,
    adds: bool,
    target: &mut T,
) {
    match I::LANES {
        4 => multiply_by::<I, 4, T>(a, b, depth, adds, target),
        8 => multiply_by::<I, 6, T>(a, b, depth, adds, target),
        _ => multiply_by::<I, 8, T>(a, b, depth, adds, target),
    }
}

#[inline(always)]
fn multiply_by<I: Isa, const ROWS: usize, T: Target>(
    a: Packed<'_>,
    b: Packed<'_>,
    depth: usize,
    adds: bool,
    target: &mut T,
) {
    I::enter(
        #[inline(always)]
        || {
            let columns = columns::<I>();
            // A panel of `b` stays in the first cache while those of `a` pass by.
            for (right, b_panel) in b.panels.chunks_exact(columns * depth).enumerate() {
                let from = right * columns;
                let to = b.lines.min(from + columns);
                for (left, a_panel) in a.panels.chunks_exact(ROWS * depth).enumerate() {
                    let sums = micro::<I, ROWS>(a_panel, b_panel);
                    let first = left * ROWS;
                    let count = a.lines.saturating_sub(first).min(ROWS);
                    if count == ROWS && to - from == columns {
                        for (row, sums) in sums.iter().enumerate() {
                            let slots = I::chunks_mut(&mut target.row(first + row)[from..to]);
                            for (slot, sum) in slots.iter_mut().zip(sums) {
                                let sum = if adds { I::add(I::load(slot), *sum) } else { *sum };
                                I::store(slot, sum);
                            }
                        }
                    } else {
                        for (row, sums) in sums.iter().enumerate().take(count) {
                            let slots = target.row(first + row)[from..to].chunks_mut(I::LANES);
                            for (slots, sums) in slots.zip(sums) {
                                for (slot, sum) in slots.iter_mut().zip(I::lanes(*sums).as_ref()) {
                                    *slot = if adds { *slot + *sum } else { *sum };
                                }
                            }
                        }
                    }
                }
            }
        },
    );
}

/// `ROWS` lines of `a` by two vectors of lines of `b`, summed over their depth.
#[inline(always)]
fn micro<I: Isa, const ROWS: usize>(a: &[f32], b: &[f32]) -> [[I::V; 2]; ROWS] {
    let mut sums = [[I::splat(0.0); 2]; ROWS];
    for (a, b) in a.as_chunks::<ROWS>().0.iter().zip(I::chunks(b).as_chunks::<2>().0) {
        let (first, second) = (I::load(&b[0]), I::load(&b[1]));
        for row in 0..ROWS {
            let factor = I::splat(a[row]);
            sums[row][0] = I::mul_add(factor, first, sums[row][0]);
            sums[row][1] = I::mul_add(factor, second, sums[row][1]);
        }
    }
    sums
}
