//! Rows of few classes that lie side by side: tiles of them are transposed, so that lanes are rows.

use super::deliver::{gather, scatter};
use super::plan::Kept;
use super::rows::Rules;
use super::tile::{Columns, Site};
use super::{Access, Call, Results, zeros};
use crate::Error;
use crate::element::{Element, GradElement};
use crate::kernels::planes::{self, Line, WIDTH};
use crate::parallel::{PerWorker, Rows};
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
        let (logits, grad, in_place) = match access {
            Access::Loss(x) => (x, None, None),
            Access::Apart(x, grad) => (x, Some(Rows::new(grad, classes, UNIT)), None),
            Access::InPlace(x) => (&[][..], None, Some(Rows::new(x, classes, UNIT))),
        };
        let outputs = (
            (grad, in_place),
            Rows::new(results.losses, 1, UNIT),
            results.log_sum_exp.as_deref_mut().map(|slice| Rows::new(slice, 1, UNIT)),
            results.target_log_prob.as_deref_mut().map(|slice| Rows::new(slice, 1, UNIT)),
            results.predictions.as_deref_mut().map(|slice| Rows::new(slice, 1, UNIT)),
            PerWorker::new(&mut scratch, width),
        );
        self.executor.run(units, self.cancel, outputs, |_, unit, parts| {
            let ((mut grad, mut in_place), losses, mut log_sum_exp, mut log_probs, mut predictions, scratch) =
                parts;
            for start in (0..losses.len()).step_by(WIDTH) {
                let rows = start..losses.len().min(start + WIDTH);
                let cells = rows.start * classes..rows.end * classes;
                let first_row = unit * UNIT + start;
                let access = match (&mut in_place, &mut grad) {
                    (Some(x), _) => Access::InPlace(&mut x[cells]),
                    (None, grad) => {
                        let x = &logits[first_row * classes..][..cells.len()];
                        match grad {
                            Some(grad) => Access::Apart(x, &mut grad[cells]),
                            None => Access::<E, G>::Loss(x),
                        }
                    }
                };
                let mut site = Block { access, classes, accumulate: rules.accumulate };
                let mut columns = Columns {
                    losses: &mut losses[rows.clone()],
                    log_sum_exp: log_sum_exp.as_deref_mut().map(|slice| &mut slice[rows.clone()]),
                    log_probs: log_probs.as_deref_mut().map(|slice| &mut slice[rows.clone()]),
                    predictions: predictions.as_deref_mut().map(|slice| &mut slice[rows.clone()]),
                };
                let labels = &self.scan.classes[first_row..][..rows.len()];
                rules.tile::<I, E, G, _>(first_row, labels, &mut site, &mut columns, scratch);
            }
        })?;
        Ok(())
    }
}

/// A block of whole rows.
struct Block<'a, E, G> {
    access: Access<'a, E, G>,
    classes: usize,
    accumulate: bool,
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
            Access::Apart(_, grad) => store::<I, G>(grad, self.classes, kept, lines, adds, self.accumulate),
            Access::InPlace(x) => store::<I, E>(x, self.classes, kept, lines, None, false),
        }
    }
}

fn store<I: Isa, G: Element>(
    grad: &mut [G],
    classes: usize,
    kept: Option<&Kept>,
    lines: &[Line],
    adds: Option<&Line>,
    accumulate: bool,
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
        scatter(&row, kept, grad, accumulate);
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
