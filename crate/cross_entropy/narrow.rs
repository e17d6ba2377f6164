//! Rows of few classes that lie side by side: tiles of them are transposed, so that lanes are rows.
//!
//! A transposition takes eight shuffles, four loads and four stores for sixteen logits; what it costs beside them is the arithmetic
//! of indices and their checks, at an issue rate near the processor's limit. So rows and lines are cut into fours once per four
//! rows, and the loops over the classes go through these side by side. With checks at every load and store, 0.35 of the 1.27 ns per
//! logit that 65536 rows of 33 classes took (samples of a profile) were the two transpositions; 0.30 were in [`fetch`].
//! Of 4096 rows, which the caches hold, one thread, ns per logit, with such checks and without (accumulated: with the rows taken
//! from the lines to scratch before, and to where they are added):
//!
//! | classes       | 10          | 33          | 64          | 96          |
//! |---------------|-------------|-------------|-------------|-------------|
//! | loss, relaxed | 1.19 → 1.14 | 0.75 → 0.67 | 0.68 → 0.60 | 0.69 → 0.66 |
//! | gradient too  | 1.63 → 1.57 | 1.05 → 0.91 | 0.93 → 0.79 | 0.93 → 0.85 |
//! | accumulated   | 2.14 → 1.83 | 1.08 → 0.99 | 0.88 → 0.83 | 0.93 → 0.90 |
//! | loss, simd    | 1.69 → 1.64 | 1.15 → 1.06 | 1.06 → 0.97 | 1.02 → 0.99 |
//! | gradient too  | 2.15 → 2.09 | 1.47 → 1.32 | 1.31 → 1.18 | 1.27 → 1.19 |
//!
//! What was tried and is no faster: to read ahead among the exponentials what comes after them (the gradient's memory and the next
//! tile's logits, a part of them for each vector of rows) instead of all at once. 65536 rows of 64 classes then took 0.95 for 0.81
//! (loss) and 1.35 for 1.18 (loss and gradient). Natively a prefetch, which waits for nothing, does bring it: [`Ahead`].

use super::deliver::gather;
use super::plan::Kept;
use super::rows::{Columns, Rules};
use super::tile::{Site, TileRows};
use super::{Access, Call, Results, zeros};
use crate::Error;
use crate::element::{Element, GradElement};
use crate::kernels::planes::{self, Grad, Line, Tile, WIDTH};
use crate::parallel::PerWorker;
use crate::simd::{Ahead, Isa, inlined};

/// The largest number of classes that goes this way: where it was measured to be no faster than row by row, loss and gradient
/// together. The lines of a tile then fill the first cache.
pub(super) const NARROW: usize = 96;

/// Floats of a cache line.
const LINE: usize = 16;

/// Rows that are copied together, where they are: as many as the widest vector has lanes.
const TOGETHER: usize = 16;

/// Rows of this many classes have their gradient's memory claimed before, and not fetched when it is written; of fewer, whose
/// exponentials take less time, it is 2 to 6 % slower.
const CLAIMED: usize = 16;

/// Tiles of a unit of work, at most.
const TILES: usize = 16;

impl Call<'_> {
    pub(super) fn narrow<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        access: Access<'_, E, G>,
        results: &mut Results<'_, E::PerRow>,
    ) -> Result<(), Error> {
        let rules = Rules::new(self, results);
        let (rows, classes) = (self.plan.shape.rows(), self.plan.shape.classes());
        let tiles = (self.unit_elements() / (classes * WIDTH)).clamp(1, TILES);
        let per_unit = tiles * WIDTH;
        let units = rows.div_ceil(per_unit);
        let width = planes::scratch_length(self.plan.classes());
        let mut scratch = zeros(width * self.executor.workers(units))?;
        let (logits, gradient) = access.by_rows(classes, per_unit);
        let outputs = (gradient, results.by_rows(per_unit), PerWorker::new(&mut scratch, width));
        self.executor.run(units, self.cancel, outputs, |_, unit, (mut gradient, columns, scratch)| {
            let mut columns = Columns::new(columns);
            let mut pairs = rules.pairs();
            let mut state = TileRows::new();
            let end = columns.losses.len();
            for start in (0..end).step_by(WIDTH) {
                let rows = start..end.min(start + WIDTH);
                let cells = rows.start * classes..rows.end * classes;
                let first_row = unit * per_unit + start;
                let next = || match &gradient {
                    (_, Some(x)) => x.get(cells.end),
                    _ => logits.get(first_row * classes + cells.len()),
                };
                let next = Ahead::planes(next, WIDTH, I::LANES);
                let mut access = Access::in_unit(logits, &mut gradient, first_row * classes, cells);
                let labels = &self.scan.classes[first_row..][..rows.len()];
                let mut columns = columns.rows(rows);
                if let Some(pairs) = &mut pairs
                    && pairs.compute::<I, E, G>(&rules, first_row, labels, &mut access, columns.losses)
                {
                    continue;
                }
                let mut site = Block { access, classes, next, adds: rules.accumulate };
                rules.tile::<I, E, G, _>(first_row, labels, &mut site, &mut columns, &mut state, scratch);
            }
        })?;
        Ok(())
    }
}

/// A block of whole rows.
struct Block<'a, E, G> {
    access: Access<'a, E, G>,
    classes: usize,
    /// The logits of the rows after it.
    next: Ahead,
    /// Whether the gradient is added to what is there.
    adds: bool,
}

impl<E: Element, G: GradElement<E>> Site<E, G> for Block<'_, E, G> {
    fn wants_gradient(&self) -> bool {
        !matches!(self.access, Access::Loss(_))
    }

    fn load<I: Isa>(&mut self, kept: Option<&Kept>, tile: &mut Tile<'_>) {
        let x = self.access.logits();
        let own = || match &self.access {
            Access::Apart(_, grad) => grad.first(),
            Access::Loss(_) | Access::InPlace(_) => None,
        };
        tile.ahead = [self.next, Ahead::planes(own, WIDTH, I::LANES)];
        match (E::as_f32(x), kept) {
            (Some(x), None) => {
                fetch(x);
                transpose_in::<I>(x, self.classes, 0, tile.lines);
            }
            _ => {
                let mut rows = [0.0_f32; TOGETHER * NARROW];
                let stride = tile.lines.len();
                for (group, x) in x.chunks(TOGETHER * self.classes).enumerate() {
                    let rows = &mut rows[..x.len() / self.classes * stride];
                    match kept {
                        None => E::widen(x, rows),
                        kept => rows
                            .chunks_exact_mut(stride)
                            .zip(x.chunks_exact(self.classes))
                            .for_each(|(row, x)| gather(x, kept, row)),
                    }
                    transpose_in::<I>(rows, stride, TOGETHER * group, tile.lines);
                }
            }
        }
        if let Access::Apart(_, grad) = &mut self.access
            && I::LANES <= 4
            && self.classes >= CLAIMED
            && !self.adds
            && let Some(g) = G::as_f32_mut(grad)
        {
            claim(g);
        }
    }

    fn write<I: Isa, const BIASED: bool>(&mut self, grad: &Grad<'_, I>) -> bool {
        let classes = self.classes;
        let fetches = matches!(self.access, Access::Apart(_, _)) && (I::LANES > 4 || classes < CLAIMED);
        match self.access.single() {
            Some(g) if g.len() == WIDTH * classes => {
                if fetches {
                    fetch(g);
                }
                transpose_out::<I, BIASED>(grad, classes, g);
                true
            }
            _ => false,
        }
    }

    fn set(&mut self, row: usize, class: usize, value: f32) {
        let at = row * self.classes + class;
        if let Some(g) = self.access.single() {
            g[at] = value;
        }
    }

    fn store<I: Isa>(&mut self, kept: Option<&Kept>, lines: &[Line], adds: Option<&Line>) {
        if let (None, Some(g)) = (kept, self.access.single()) {
            return put_rows::<I>(g, lines, adds);
        }
        let mut rows = [[0.0_f32; NARROW]; 4];
        for row in 0..self.access.logits().len() / self.classes {
            if row % 4 == 0 {
                take::<I>(lines, row / 4, rows.each_mut().map(|row| &mut row[..lines.len()]), false);
            }
            if adds.is_none_or(|adds| adds[row] != 0.0) {
                let cells = row * self.classes..(row + 1) * self.classes;
                self.access.part(cells).put(&rows[row % 4], kept, adds.is_some());
            }
        }
    }
}

/// The gradient in single precision and of all classes, or what is added to it.
#[inline(never)] // as those after it: once for all dtypes
fn put_rows<I: Isa>(g: &mut [f32], lines: &[Line], adds: Option<&Line>) {
    let classes = lines.len();
    let mut spare = [[0.0_f32; NARROW]; 4];
    if adds.is_some() {
        fetch(g);
    }
    for (group, g) in g.chunks_mut(4 * classes).enumerate() {
        let mut rows = spare.each_mut().map(|row| &mut row[..classes]);
        for (index, (row, own)) in rows.iter_mut().zip(g.chunks_exact_mut(classes)).enumerate() {
            // What a row gets that nothing is added to goes nowhere.
            if adds.is_none_or(|adds| adds[4 * group + index] != 0.0) {
                *row = own;
            }
        }
        take::<I>(lines, group, rows, adds.is_some());
    }
}

/// The rows of a group of four from the lines, or what is added to them.
#[inline(never)]
fn take<I: Isa>(lines: &[Line], group: usize, rows: [&mut [f32]; 4], adds: bool) {
    let group = group % (WIDTH / 4);
    let (quads, rest) = lines.as_chunks::<4>();
    let put = inlined(
        #[inline(always)]
        |slot: &mut f32, x: f32| *slot = if adds { *slot + x } else { x },
    );
    let [(a, a_rest), (b, b_rest), (c, c_rest), (d, d_rest)] = rows.map(|row| row.as_chunks_mut::<4>());
    for ((((line, a), b), c), d) in rest.iter().zip(a_rest).zip(b_rest).zip(c_rest).zip(d_rest) {
        let column = line.as_chunks::<4>().0[group];
        [a, b, c, d].into_iter().zip(column).for_each(|(slot, x)| put(slot, x));
    }
    for ((((lines, a), b), c), d) in quads.iter().zip(a).zip(b).zip(c).zip(d) {
        let column = |index: usize| &lines[index].as_chunks::<4>().0[group];
        let columns = I::transpose([column(0), column(1), column(2), column(3)]);
        for (row, column) in [a, b, c, d].into_iter().zip(columns) {
            row.iter_mut().zip(column).for_each(|(slot, x)| put(slot, x));
        }
    }
}

/// Reads a number of each cache line, from the first to the last. A transposition goes through four rows at a time, an order in
/// which the processor does not foresee the next line and waits for it: rows of 64 classes, relaxed, one thread, take 1.27 ns per
/// logit without this and 0.86 with it (loss), 1.64 and 1.16 (loss and gradient). Where the gradient is added to another, the same for
/// that one: 1.37 and 1.16.
fn fetch(x: &[f32]) {
    let all = x.chunks(LINE).fold(0, |all, line| all | line[0].to_bits());
    core::hint::black_box(all);
}

/// Writes a number to each cache line: the processor fetches a line that is written in part, and does not wait for it. Before the
/// exponentials of a tile, this brings its gradient's memory: 262144x33, relaxed, loss and gradient 1.03 to 0.96 ns per logit.
#[inline(never)]
fn claim(x: &mut [f32]) {
    x.iter_mut().step_by(LINE).for_each(|x| *x = 0.0);
}

/// Rows that are `stride` apart to lines, the first of them to this row (a multiple of [`TOGETHER`]), four rows and four classes at a
/// time; the last four classes may overlap those before. A row of fewer than four classes is read with what comes after it.
#[inline(never)]
fn transpose_in<I: Isa>(x: &[f32], stride: usize, first: usize, lines: &mut [Line]) {
    let classes = lines.len();
    let width = classes.max(4);
    let mut row = 0;
    if I::LANES > 4 && classes >= 4 {
        I::enter(
            #[inline(always)]
            || wide_in::<I>(x, stride, first / I::LANES, lines),
        );
        row = x.len() / (I::LANES * stride) * I::LANES;
    }
    while let Some(block) = x.get(row * stride..).filter(|block| block.len() >= 3 * stride + width) {
        let at = (first + row) / 4 % (WIDTH / 4);
        let piece = |index: usize| &block[index * stride..][..width];
        let rows = [piece(0), piece(1), piece(2), piece(3)];
        let [a, b, c, d] = rows.map(|row| row.as_chunks::<4>().0);
        for ((((lines, a), b), c), d) in lines.as_chunks_mut::<4>().0.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            put(lines, at, I::transpose([a, b, c, d]));
        }
        if !classes.is_multiple_of(4) {
            let last = |index: usize| rows[index].last_chunk().expect("a row has four");
            put(
                &mut lines[classes.saturating_sub(4)..],
                at,
                I::transpose([last(0), last(1), last(2), last(3)]),
            );
        }
        row += 4;
    }
    for (row, x) in x.chunks_exact(stride).enumerate().skip(row) {
        lines.iter_mut().zip(x).for_each(|(line, x)| line[first + row] = *x);
    }
}

/// As [`transpose_in`], as many rows as a vector has lanes at a time.
#[inline(always)]
fn wide_in<I: Isa>(x: &[f32], stride: usize, vector: usize, lines: &mut [Line]) {
    for (lane, block) in x.chunks_exact(I::LANES * stride).enumerate() {
        for first in fours(lines.len()) {
            let columns = I::load_columns(&block[first..], stride);
            for (line, column) in lines[first..].iter_mut().zip(columns) {
                I::store(&mut I::chunks_mut(line)[vector + lane], column);
            }
        }
    }
}

/// The first of four classes, of all; the last four may overlap those before.
#[inline(always)]
fn fours(classes: usize) -> impl Iterator<Item = usize> {
    (0..classes - 4).step_by(4).chain([classes - 4])
}

/// Puts four rows' elements into the lines of their classes.
#[inline(always)]
fn put(lines: &mut [Line], at: usize, columns: [[f32; 4]; 4]) {
    lines.iter_mut().zip(columns).for_each(|(line, column)| line.as_chunks_mut::<4>().0[at] = column);
}

/// The gradient of a whole tile to rows side by side, in the same way.
#[inline(never)]
fn transpose_out<I: Isa, const BIASED: bool>(grad: &Grad<'_, I>, classes: usize, x: &mut [f32]) {
    I::enter(
        #[inline(always)]
        || transpose_lines::<I, BIASED>(grad, classes, x),
    );
}

#[inline(always)]
fn transpose_lines<I: Isa, const BIASED: bool>(grad: &Grad<'_, I>, classes: usize, x: &mut [f32]) {
    for (lane, block) in x.chunks_exact_mut(I::LANES * classes).enumerate() {
        let rows = grad.rows(lane);
        if classes < 4 {
            for class in 0..classes {
                let column = I::lanes(rows.at::<BIASED>(class));
                for (x, value) in block.chunks_exact_mut(classes).zip(column.as_ref()) {
                    x[class] = *value;
                }
            }
            continue;
        }
        if I::LANES > 4 {
            for first in fours(classes) {
                let lines: &[Line; 4] = grad.lines[first..].first_chunk().expect("four classes");
                let column = inlined(
                    #[inline(always)]
                    |index: usize| rows.of::<BIASED>(&lines[index], first + index),
                );
                let columns = [column(0), column(1), column(2), column(3)];
                I::store_columns(columns, &mut block[first..], classes);
            }
            continue;
        }
        let values = inlined(
            #[inline(always)]
            |first: usize, lines: &[Line; 4]| {
                let column = inlined(
                    #[inline(always)]
                    |index: usize| I::lanes(rows.of::<BIASED>(&lines[index], first + index)),
                );
                let columns = [column(0), column(1), column(2), column(3)];
                let piece = |index: usize| &columns[index].as_ref().as_chunks::<4>().0[0];
                I::transpose([piece(0), piece(1), piece(2), piece(3)])
            },
        );
        let (a, block) = block.split_at_mut(classes);
        let (b, block) = block.split_at_mut(classes);
        let (c, d) = block.split_at_mut(classes);
        let last = if classes.is_multiple_of(4) { 0 } else { classes - 4 };
        // From the first class on, and the last four once more: one loop, since its body is long.
        for start in (0..=last).step_by(last.max(1)) {
            let fours = a[start..].as_chunks_mut().0.iter_mut().zip(b[start..].as_chunks_mut().0);
            let fours = fours.zip(c[start..].as_chunks_mut().0).zip(d[start..].as_chunks_mut().0);
            let fours = fours.zip(grad.lines[start..classes].as_chunks::<4>().0);
            for (index, ((((a, b), c), d), lines)) in fours.enumerate() {
                [*a, *b, *c, *d] = values(start + 4 * index, lines);
            }
        }
    }
}
