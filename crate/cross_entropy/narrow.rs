//! Rows of few classes that lie side by side: tiles of them are transposed, so that lanes are rows.

use super::deliver::{gather, scatter};
use super::plan::Kept;
use super::rows::{Columns, Rules};
use super::tile::{Site, TileRows};
use super::{Access, Call, Results, zeros};
use crate::Error;
use crate::element::{Element, GradElement};
use crate::kernels::planes::{self, Grad, Line, Tile, WIDTH};
use crate::parallel::PerWorker;
use crate::simd::{Isa, inlined};

/// The largest number of classes that goes this way: where it was measured to be no faster than row by row, loss and gradient
/// together. The lines of a tile then fill the first cache.
pub(super) const NARROW: usize = 96;

/// Rows of a unit of work.
const UNIT: usize = 16 * WIDTH;

impl Call<'_> {
    pub(super) fn narrow<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        access: Access<'_, E, G>,
        results: &mut Results<'_, E::PerRow>,
    ) -> Result<(), Error> {
        let rules = Rules::new(self, results);
        let (rows, classes) = (self.plan.shape.rows(), self.plan.shape.classes());
        let units = rows.div_ceil(UNIT);
        let width = planes::scratch_length(self.plan.classes());
        let mut scratch = zeros(width * self.executor.workers(units))?;
        let (logits, gradient) = access.by_rows(classes, UNIT);
        let outputs = (gradient, results.by_rows(UNIT), PerWorker::new(&mut scratch, width));
        self.executor.run(units, self.cancel, outputs, |_, unit, (mut gradient, columns, scratch)| {
            let mut columns = Columns::new(columns);
            let mut pairs = rules.pairs();
            let mut state = TileRows::new();
            let end = columns.losses.len();
            for start in (0..end).step_by(WIDTH) {
                let rows = start..end.min(start + WIDTH);
                let cells = rows.start * classes..rows.end * classes;
                let first_row = unit * UNIT + start;
                let mut access = Access::in_unit(logits, &mut gradient, first_row * classes, cells);
                let labels = &self.scan.classes[first_row..][..rows.len()];
                let mut columns = columns.rows(rows);
                if let Some(pairs) = &mut pairs
                    && pairs.compute::<I, E, G>(&rules, first_row, labels, &mut access, columns.losses)
                {
                    continue;
                }
                let mut site = Block { access, classes };
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
}

impl<E: Element, G: GradElement<E>> Block<'_, E, G> {
    /// The gradient, where it is in single precision.
    fn single(&mut self) -> Option<&mut [f32]> {
        match &mut self.access {
            Access::Loss(_) => None,
            Access::Apart(_, grad) => G::as_f32_mut(grad),
            Access::InPlace(x) => E::as_f32_mut(x),
        }
    }
}

impl<E: Element, G: GradElement<E>> Site<E, G> for Block<'_, E, G> {
    fn wants_gradient(&self) -> bool {
        !matches!(self.access, Access::Loss(_))
    }

    fn load<I: Isa>(&self, kept: Option<&Kept>, tile: &mut Tile<'_>) {
        let x = self.access.logits();
        match (E::as_f32(x), kept) {
            (Some(x), None) => transpose_in::<I>(x, self.classes, tile.lines),
            _ => {
                let mut row = [0.0_f32; NARROW];
                for (index, x) in x.chunks_exact(self.classes).enumerate() {
                    gather(x, kept, &mut row);
                    tile.lines.iter_mut().zip(row).for_each(|(line, x)| line[index] = x);
                }
            }
        }
    }

    fn write<I: Isa, const BIASED: bool>(&mut self, grad: &Grad<'_, I>) -> bool {
        let classes = self.classes;
        match self.single() {
            Some(g) if g.len() == WIDTH * classes => {
                fetch(g);
                transpose_out::<I, BIASED>(grad, classes, g);
                true
            }
            _ => false,
        }
    }

    fn set(&mut self, row: usize, class: usize, value: f32) {
        let at = row * self.classes + class;
        if let Some(g) = self.single() {
            g[at] = value;
        }
    }

    fn store<I: Isa>(&mut self, kept: Option<&Kept>, lines: &[Line], adds: Option<&Line>) {
        match &mut self.access {
            Access::Loss(_) => {}
            Access::Apart(_, grad) => store(grad, self.classes, kept, lines, adds),
            Access::InPlace(x) => store(x, self.classes, kept, lines, None),
        }
    }
}

fn store<G: Element>(
    grad: &mut [G],
    classes: usize,
    kept: Option<&Kept>,
    lines: &[Line],
    adds: Option<&Line>,
) {
    let mut row = [0.0_f32; NARROW];
    for (index, grad) in grad.chunks_exact_mut(classes).enumerate() {
        if adds.is_some_and(|adds| adds[index] == 0.0) {
            continue;
        }
        row.iter_mut().zip(lines).for_each(|(x, line)| *x = line[index]);
        scatter(&row, kept, grad, adds.is_some());
    }
}

/// Reads a number of each cache line, from the first to the last. A transposition goes through four rows at a time, an order in
/// which the processor does not foresee the next line and waits for it: rows of 64 classes, relaxed, one thread, take 1.27 ns per
/// logit without this and 0.86 with it (loss), 1.64 and 1.16 (loss and gradient).
fn fetch(x: &[f32]) {
    const LINE: usize = 16;
    let all = x.chunks(LINE).fold(0, |all, line| all | line[0].to_bits());
    core::hint::black_box(all);
}

/// Rows side by side to lines, four rows and four classes at a time; the last four classes may overlap those before. A
/// row of fewer than four classes is read with what comes after it.
fn transpose_in<I: Isa>(x: &[f32], classes: usize, lines: &mut [Line]) {
    fetch(x);
    let mut row = 0;
    while let Some(block) = x.get(row * classes..).filter(|block| block.len() >= 3 * classes + classes.max(4))
    {
        let mut put = |first: usize| {
            let piece =
                |index: usize| block[index * classes + first..].first_chunk().expect("as filtered above");
            let columns = I::transpose([piece(0), piece(1), piece(2), piece(3)]);
            for (line, column) in lines[first..classes.min(first + 4)].iter_mut().zip(columns) {
                line.as_chunks_mut::<4>().0[row / 4] = column;
            }
        };
        (0..classes / 4).for_each(|index| put(4 * index));
        if !classes.is_multiple_of(4) {
            put(classes.saturating_sub(4));
        }
        row += 4;
    }
    for (row, x) in x.chunks_exact(classes).enumerate().skip(row) {
        lines.iter_mut().zip(x).for_each(|(line, x)| line[row] = *x);
    }
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
        for first in (0..classes).step_by(4) {
            let first = first.min(classes - 4);
            let column = inlined(
                #[inline(always)]
                |class: usize| I::lanes(rows.at::<BIASED>(first + class)),
            );
            let columns = [column(0), column(1), column(2), column(3)];
            for (part, rows) in block.chunks_exact_mut(4 * classes).enumerate() {
                let piece = |class: usize| &columns[class].as_ref().as_chunks::<4>().0[part];
                let values = I::transpose([piece(0), piece(1), piece(2), piece(3)]);
                for (index, values) in values.iter().enumerate() {
                    rows[index * classes + first..][..4].copy_from_slice(values);
                }
            }
        }
    }
}
