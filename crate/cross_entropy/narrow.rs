//! Rows of few classes that lie side by side: tiles of them are transposed, so that lanes are rows.

use super::deliver::{gather, scatter};
use super::plan::Kept;
use super::rows::{Columns, Rules};
use super::tile::Site;
use super::{Access, Call, Results, zeros};
use crate::Error;
use crate::element::{Element, GradElement};
use crate::kernels::planes::{self, Line, WIDTH};
use crate::parallel::PerWorker;
use crate::simd::Isa;

/// The largest number of classes that goes this way.
pub(super) const NARROW: usize = 64;

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
            let end = columns.losses.len();
            for start in (0..end).step_by(WIDTH) {
                let rows = start..end.min(start + WIDTH);
                let cells = rows.start * classes..rows.end * classes;
                let first_row = unit * UNIT + start;
                let access = Access::in_unit(logits, &mut gradient, first_row * classes, cells);
                let mut site = Block { access, classes };
                let labels = &self.scan.classes[first_row..][..rows.len()];
                rules.tile::<I, E, G, _>(first_row, labels, &mut site, &mut columns.rows(rows), scratch);
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

impl<E: Element, G: GradElement<E>> Site<E, G> for Block<'_, E, G> {
    fn wants_gradient(&self) -> bool {
        !matches!(self.access, Access::Loss(_))
    }

    fn load<I: Isa>(&self, kept: Option<&Kept>, lines: &mut [Line]) {
        let x = self.access.logits();
        match (E::as_f32(x), kept) {
            (Some(x), None) => transpose_in::<I>(x, self.classes, lines),
            _ => {
                let mut row = [0.0_f32; NARROW];
                for (index, x) in x.chunks_exact(self.classes).enumerate() {
                    gather(x, kept, &mut row);
                    lines.iter_mut().zip(row).for_each(|(line, x)| line[index] = x);
                }
            }
        }
    }

    fn store<I: Isa>(&mut self, kept: Option<&Kept>, lines: &[Line], adds: Option<&Line>) {
        match &mut self.access {
            Access::Loss(_) => {}
            Access::Apart(_, grad) => store::<I, G>(grad, self.classes, kept, lines, adds),
            Access::InPlace(x) => store::<I, E>(x, self.classes, kept, lines, None),
        }
    }
}

fn store<I: Isa, G: Element>(
    grad: &mut [G],
    classes: usize,
    kept: Option<&Kept>,
    lines: &[Line],
    adds: Option<&Line>,
) {
    if let (Some(grad), None, None) = (G::as_f32_mut(grad), kept, adds) {
        return transpose_out::<I>(lines, classes, grad);
    }
    let mut row = [0.0_f32; NARROW];
    for (index, grad) in grad.chunks_exact_mut(classes).enumerate() {
        if adds.is_some_and(|adds| adds[index] == 0.0) {
            continue;
        }
        row.iter_mut().zip(lines).for_each(|(x, line)| *x = line[index]);
        scatter(&row, kept, grad, adds.is_some());
    }
}

/// Rows side by side to lines, four rows and four classes at a time; the last four classes may overlap those before.
fn transpose_in<I: Isa>(x: &[f32], classes: usize, lines: &mut [Line]) {
    let mut blocks = x.chunks_exact(4 * classes);
    let mut row = 0;
    if classes >= 4 {
        for block in &mut blocks {
            let (a, rest) = block.split_at(classes);
            let (b, rest) = rest.split_at(classes);
            let (c, d) = rest.split_at(classes);
            let mut put = |first: usize, block: [&[f32; 4]; 4]| {
                for (line, column) in lines[first..first + 4].iter_mut().zip(I::transpose(block)) {
                    line.as_chunks_mut::<4>().0[row / 4] = column;
                }
            };
            let chunks =
                a.as_chunks().0.iter().zip(b.as_chunks().0).zip(c.as_chunks().0.iter().zip(d.as_chunks().0));
            for (index, ((a, b), (c, d))) in chunks.enumerate() {
                put(4 * index, [a, b, c, d]);
            }
            if let (Some(a), Some(b), Some(c), Some(d)) =
                (a.last_chunk(), b.last_chunk(), c.last_chunk(), d.last_chunk())
            {
                put(classes - 4, [a, b, c, d]);
            }
            row += 4;
        }
    }
    for x in x[row * classes..].chunks_exact(classes) {
        lines.iter_mut().zip(x).for_each(|(line, x)| line[row] = *x);
        row += 1;
    }
}

/// Lines to rows side by side.
fn transpose_out<I: Isa>(lines: &[Line], classes: usize, x: &mut [f32]) {
    let mut row = 0;
    if classes >= 4 {
        for block in x.chunks_exact_mut(4 * classes) {
            let mut put = |first: usize| {
                let line = |class: usize| &lines[first + class].as_chunks::<4>().0[row / 4];
                let rows = I::transpose([line(0), line(1), line(2), line(3)]);
                for (index, values) in rows.iter().enumerate() {
                    block[index * classes + first..][..4].copy_from_slice(values);
                }
            };
            (0..classes / 4).for_each(|index| put(4 * index));
            put(classes - 4);
            row += 4;
        }
    }
    for x in x[row * classes..].chunks_exact_mut(classes) {
        x.iter_mut().zip(lines).for_each(|(x, line)| *x = line[row]);
        row += 1;
    }
}
