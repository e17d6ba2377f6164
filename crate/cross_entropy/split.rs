//! Few rows of many classes: threads share the blocks of a row. One run sweeps the blocks, the caller concludes the rows,
//! and the same run again writes the gradient. The blocks are those of a row on one thread, and so are the bits.

use super::plan::{Fate, RowPlan};
use super::rows::{Columns, Rules};
use super::single::{BlockRow, Concluded, Hints};
use super::{Access, Call, Results, zeros};
use crate::Error;
use crate::element::{Element, GradElement};
use crate::kernels::rows::{BLOCK, block, blocks};
use crate::parallel::Rows;
use crate::simd::Isa;

/// Blocks of a unit of work.
const SHARE: usize = 8;

/// With this many rows for each thread or more, whole rows keep them all busy.
const ROWS_PER_WORKER: usize = 4;

/// A row to compute, the factor of its gradient, and its label's logit.
type Planned = (RowPlan, f64, f32);

/// An empty vector with room, or the error that memory was refused.
fn room<T>(length: usize) -> Result<Vec<T>, Error> {
    let mut vector = Vec::new();
    let bytes = length.saturating_mul(size_of::<T>());
    vector.try_reserve_exact(length).map_err(|_| Error::OutOfMemory { bytes })?;
    Ok(vector)
}

impl Call<'_> {
    /// Computes the call and says so, if its rows are few and of a kind that can be shared.
    pub(super) fn split<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        rules: &Rules<'_>,
        access: &mut Access<'_, E, G>,
        results: &mut Results<'_, E::PerRow>,
    ) -> Result<bool, Error> {
        let (rows, classes) = (self.plan.shape.rows(), self.plan.shape.classes());
        let blocks = blocks(classes);
        let pieces = blocks.div_ceil(SHARE);
        let units = rows.saturating_mul(pieces);
        let workers = self.executor.workers(units);
        if workers == 1 || pieces == 1 || rows >= ROWS_PER_WORKER * workers || !rules.shares(access) {
            return Ok(false);
        }
        let Some(planned) = self.planned(rules, access)? else { return Ok(false) };
        let mut found = zeros::<BlockRow>(units * SHARE)?;
        let mut concluded = room::<Concluded>(rows)?;

        loop {
            let all = 0..access.logits().len();
            let (logits, gradient) = access.part(all).by_pieces(classes, SHARE * BLOCK, pieces);
            let outputs = (gradient, Rows::new(&mut found, SHARE, 1));
            self.executor.run(units, self.cancel, outputs, |_, unit, (mut gradient, found)| {
                let (row, first) = (unit / pieces, unit % pieces * SHARE);
                let (plan, mut hints) = (&planned[row].0, Hints::NONE);
                for (index, found) in (first..blocks).zip(found) {
                    let range = block(classes, index);
                    let cells = range.start - first * BLOCK..range.end - first * BLOCK;
                    let access = Access::in_unit(logits, &mut gradient, row * classes + range.start, cells);
                    match concluded.get(row) {
                        None => {
                            let none = (&mut [][..], &mut [][..]);
                            *found = rules.sweep::<I, E, G>(plan, &range, access, none, &mut hints);
                        }
                        Some(row) => {
                            rules.write_block::<I, E, G>(plan, row, found, &range, access, &mut []);
                        }
                    }
                }
            })?;
            if !concluded.is_empty() {
                return Ok(true);
            }
            let mut columns = Columns {
                losses: results.losses,
                log_sum_exp: results.log_sum_exp.as_deref_mut(),
                log_probs: results.target_log_prob.as_deref_mut(),
                predictions: results.predictions.as_deref_mut(),
            };
            for (row, (plan, upstream, label)) in planned.iter().enumerate() {
                let found = &found[row * pieces * SHARE..][..blocks];
                let row_concluded = rules.conclude(plan, *upstream, found, *label);
                columns.put(row, &row_concluded.values);
                concluded.push(row_concluded);
            }
            if matches!(access, Access::Loss(_)) {
                return Ok(true);
            }
        }
    }

    /// The rows' plans; `None` where a row is ignored, invalid or without a gradient.
    fn planned<E: Element, G: GradElement<E>>(
        &self,
        rules: &Rules<'_>,
        access: &Access<'_, E, G>,
    ) -> Result<Option<Vec<Planned>>, Error> {
        let mut planned = room(self.scan.classes.len())?;
        for (row, class) in self.scan.classes.iter().enumerate() {
            let sample = self.plan.options.sample_weight.get(row);
            let Fate::Row(plan) = self.plan.fate(*class, sample) else { return Ok(None) };
            let upstream = rules.upstream.of(row);
            if upstream == 0.0 && !matches!(access, Access::Loss(_)) {
                return Ok(None);
            }
            let classes = self.plan.shape.classes();
            let label = rules.label_logit(&plan, &access.logits()[row * classes..][..classes]);
            planned.push((plan, upstream, label));
        }
        Ok(Some(planned))
    }
}
