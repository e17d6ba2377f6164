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
    pieces(depth, CUT)
}

/// A range in pieces of at most so many.
pub(super) fn pieces(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(most).map(move |start| start..end.min(start + most))
}

/// The factors of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    /// Lines of a panel: two vectors of columns of the right factor; of rows of the left one as many as leave room in the registers
    /// for the sums, those two vectors and a number of the left one. Of sixteen registers a wasm engine keeps one for itself, and a
    /// product that is not fused needs one; AVX-512 has thirty-two.
    #[inline(always)]
    pub(super) fn width<I: Isa>(self) -> usize {
        match (self, I::LANES) {
            (Side::Right, lanes) => 2 * lanes,
            (Side::Left, 4) if !I::FUSED => 4,
            (Side::Left, 4 | 8) => 6,
            (Side::Left, _) => 12,
        }
    }

    pub(super) fn other(self) -> Self {
        if self == Side::Left { Side::Right } else { Side::Left }
    }
}

/// Lines filled up to whole panels.
pub(super) fn padded(count: usize, width: usize) -> usize {
    count.next_multiple_of(width)
}

/// Memory that a product goes to: rows of numbers, which may be longer than what is written.
pub(super) enum Cells<'a> {
    /// A part of wider rows.
    Planes(Planes<'a, f32>),
    /// Rows of so many numbers, side by side.
    Rows(&'a mut [f32], usize),
}

/// Which lines are meant, in rising order, where they are not all: line `i` is `list[i] - first`.
#[derive(Clone, Copy)]
pub(super) struct Chosen<'a> {
    pub(super) list: &'a [u32],
    pub(super) first: usize,
}

/// Where a line is among all.
#[inline(always)]
pub(super) fn place(chosen: Option<Chosen<'_>>, line: usize) -> usize {
    chosen.map_or(line, |Chosen { list, first }| list[line] as usize - first)
}

/// Where a product goes.
pub(super) struct Target<'a> {
    cells: Cells<'a>,
    rows: Option<Chosen<'a>>,
    columns: Option<Chosen<'a>>,
}

impl<'a> Target<'a> {
    pub(super) fn new(cells: Cells<'a>) -> Self {
        Self { cells, rows: None, columns: None }
    }

    /// The same for these lines alone, which are columns where the cells are planes, and rows otherwise.
    pub(super) fn of(self, lines: Option<Chosen<'a>>) -> Self {
        match self.cells {
            Cells::Planes(_) => Self { columns: lines, ..self },
            Cells::Rows(..) => Self { rows: lines, ..self },
        }
    }

    #[inline(always)]
    pub(super) fn row(&mut self, row: usize) -> &mut [f32] {
        let row = place(self.rows, row);
        match &mut self.cells {
            Cells::Planes(planes) => planes.plane(row),
            Cells::Rows(rows, width) => &mut rows[row * *width..][..*width],
        }
    }

    /// Where some columns are, if they lie side by side.
    #[inline(always)]
    fn run(&self, columns: Range<usize>) -> Option<Range<usize>> {
        let first = place(self.columns, columns.start);
        let last = place(self.columns, columns.end - 1);
        (last - first + 1 == columns.len()).then_some(first..last + 1)
    }
}

/// A packed factor over one cut: how many lines it has, and its panels.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    pub(super) lines: usize,
    pub(super) panels: &'a [f32],
}

/// Numbers of the left factor that meet a panel of the right one before the next panel comes: with it they stay in the first cache.
const PASS: usize = 1 << 12;

/// Writes, or adds, the product of two packed factors over the same cut of `depth` steps.
#[inline(never)]
pub(super) fn multiply<I: Isa>(
    a: Packed<'_>,
    b: Packed<'_>,
    depth: usize,
    adds: bool,
    target: &mut Target<'_>,
) {
    match Side::Left.width::<I>() {
        4 => multiply_by::<I, 4>(a, b, depth, adds, target),
        6 => multiply_by::<I, 6>(a, b, depth, adds, target),
        _ => multiply_by::<I, 12>(a, b, depth, adds, target),
    }
}

#[inline(always)]
fn multiply_by<I: Isa, const ROWS: usize>(
    a: Packed<'_>,
    b: Packed<'_>,
    depth: usize,
    adds: bool,
    target: &mut Target<'_>,
) {
    I::enter(
        #[inline(always)]
        || {
            let columns = Side::Right.width::<I>();
            let pass = (PASS / (ROWS * depth)).max(1);
            for (index, a_panels) in a.panels.chunks(pass * ROWS * depth).enumerate() {
                for (right, b_panel) in b.panels.chunks_exact(columns * depth).enumerate() {
                    let from = right * columns;
                    let to = b.lines.min(from + columns);
                    let run = target.run(from..to).filter(|run| run.len() == columns);
                    for (left, a_panel) in a_panels.chunks_exact(ROWS * depth).enumerate() {
                        let first = (index * pass + left) * ROWS;
                        let sums = micro::<I, ROWS>(a_panel, b_panel);
                        if let Some(run) = run.clone().filter(|_| first + ROWS <= a.lines) {
                            for (row, [low, high]) in sums.into_iter().enumerate() {
                                let [slots, others] =
                                    I::chunks_mut(&mut target.row(first + row)[run.clone()])
                                else {
                                    unreachable!("two vectors")
                                };
                                put::<I>(slots, low, adds);
                                put::<I>(others, high, adds);
                            }
                        } else {
                            // The loop indexes a copy, so that the sums themselves stay in registers.
                            let mut copy = [[I::empty(); 2]; ROWS];
                            for (copy, [low, high]) in copy.iter_mut().zip(sums) {
                                I::store(&mut copy[0], low);
                                I::store(&mut copy[1], high);
                            }
                            let count = a.lines.saturating_sub(first).min(ROWS);
                            let chosen = target.columns;
                            for (row, sums) in copy.iter().enumerate().take(count) {
                                let slots = target.row(first + row);
                                let sums = sums.iter().flat_map(AsRef::as_ref);
                                for (column, sum) in (from..to).zip(sums) {
                                    let slot = &mut slots[place(chosen, column)];
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

#[inline(always)]
fn put<I: Isa>(slots: &mut I::Chunk, sum: I::V, adds: bool) {
    let sum = if adds { I::add(I::load(slots), sum) } else { sum };
    I::store(slots, sum);
}

/// `ROWS` lines of `a` by two vectors of lines of `b`, summed over their depth.
///
/// A number of `a` is used as soon as it is read: a compiler that keeps this order needs one register for all of them.
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
