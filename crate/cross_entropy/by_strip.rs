//! A chunk of rows whose caller makes the logits strip by strip, a strip of classes at a time, and makes them again for their gradient. So
//! no row of logits is ever whole in memory, as it is under [`ByChunk::run`]. A strip is a block of the row kernel, and between strips a
//! row is what that kernel adds up of its blocks: every bit is that of a row that lies in memory.
//!
//! 1. [`ByChunk::plan_strips`] says what each row is to be.
//! 2. [`ByChunk::strip_run`], strip by strip: sums, the label's logit, and the largest one where it is asked for.
//! 3. [`ByChunk::conclude_strips`]: results, and what the gradient is made with.
//! 4. [`ByChunk::strip_run`], strip by strip of the same logits again: their gradient in place of them.

use super::by_chunk::ByChunk;
use super::plan::{Fate, RowPlan};
use super::route::Route;
use super::rules::{Columns, RowOutputs, Rules};
use super::scratch::{BLOCK_LOGITS, BlockRow};
use super::single::{self, Concluded, Hints};
use super::{Access, Results, empty, zeros};
use crate::Error;
use crate::element::Target;
use crate::kernels::rows::{block, blocks};
use crate::options::Wanted;
use crate::parallel::{Executor, PerWorker, Rows};
use crate::simd::Isa;
use core::ops::Range;

/// How many rows a unit of work has: with a strip of each, some tens of thousands of logits.
const PER_UNIT: usize = 16;
/// How many nanoseconds a logit takes at least. It decides whether another thread is worth its waking.
const LOGIT: f64 = 0.3;

/// A row of the chunk.
enum Planned {
    /// Loss and gradient are NaN, whatever its logits are.
    Nan,
    Row {
        plan: RowPlan,
        upstream: f64,
        /// Whether it has a loss; otherwise it is looked at for other results.
        counts: bool,
    },
}

/// Scratch: what the strips so far have told of the rows of a chunk.
pub(crate) struct Strips {
    rows: Vec<Planned>,
    /// What was found of each row in each strip, `[strips][most]`.
    found: Vec<BlockRow>,
    most: usize,
    hints: Vec<Hints>,
    labels: Vec<f32>,
    /// The strips of one row.
    row: Vec<BlockRow>,
    concluded: Vec<Option<Concluded>>,
    /// For each worker a strip of one row; under a softcap another, with the logits before the cap.
    copies: Vec<f32>,
}

impl ByChunk<'_> {
    /// How many strips the classes are cut into. With one, strips save no memory.
    pub(crate) fn strips(classes: usize) -> usize {
        blocks(classes)
    }

    /// The classes of a strip.
    pub(crate) fn strip(classes: usize, index: usize) -> Range<usize> {
        block(classes, index)
    }

    fn strip_executor(&self, rows: usize, classes: usize) -> Executor {
        self.plan.options.executor.for_work(rows as f64 * classes as f64 * LOGIT)
    }

    /// Floats of scratch that a worker has.
    fn copied(&self) -> usize {
        if self.plan.softcap.is_some() { 2 * BLOCK_LOGITS } else { BLOCK_LOGITS }
    }

    /// Scratch for chunks of at most so many rows.
    pub(crate) fn strip_rows(&self, most: usize) -> Result<Strips, Error> {
        let strips = blocks(self.classes());
        let workers = self.strip_executor(most, BLOCK_LOGITS).workers(usize::MAX);
        let mut hints = empty(most)?;
        hints.resize(most, Hints::NONE);
        Ok(Strips {
            rows: empty(most)?,
            found: zeros(strips.saturating_mul(most))?,
            most,
            hints,
            labels: zeros(most)?,
            row: zeros(strips)?,
            concluded: empty(most)?,
            copies: zeros(workers * self.copied())?,
        })
    }

    fn rules(&self, results: &Results<'_>) -> Rules<'_> {
        Rules::new(&self.call(), Route::Blocks, results)
    }

    /// Begins a chunk of these rows, none of which is dropped.
    pub(crate) fn plan_strips(&self, rows: &[u32], strips: &mut Strips) {
        strips.rows.clear();
        strips.concluded.clear();
        strips.hints.fill(Hints::NONE);
        for row in rows {
            let row = *row as usize;
            let fate = self.plan.fate(self.scan.classes[row], self.plan.options.sample_weight.get(row));
            strips.rows.push(match fate {
                Fate::Row(plan) => Planned::Row { plan, upstream: self.upstream_of(row), counts: true },
                Fate::Inactive(label) => {
                    Planned::Row { plan: RowPlan::unweighted(label), upstream: 0.0, counts: false }
                }
                Fate::Nan | Fate::Ignored => Planned::Nan,
            });
        }
    }

    /// Sweeps a strip of the logits, `[rows][classes of the strip]`; once the rows are concluded, puts their gradient in place of it.
    pub(crate) fn strip_run<I: Isa>(
        &self,
        index: usize,
        logits: &mut [f32],
        results: &Results<'_>,
        strips: &mut Strips,
    ) -> Result<(), Error> {
        let mut rules = self.rules(results);
        if !strips.concluded.is_empty() {
            // The first run found all results.
            rules.wants = Wanted::default();
        }
        let softcap = &self.plan.softcap;
        // Predictions are those of the logits as they were given.
        let predicts = rules.wants.predictions && softcap.is_some();
        rules.wants.predictions &= softcap.is_none();
        let range = block(self.classes(), index);
        let width = range.len();
        let (rows, concluded) = (&strips.rows, &strips.concluded);
        let count = rows.len();
        let outputs = (
            Rows::new(logits, width, PER_UNIT),
            Rows::new(&mut strips.found[index * strips.most..][..count], 1, PER_UNIT),
            Rows::new(&mut strips.hints[..count], 1, PER_UNIT),
            Rows::new(&mut strips.labels[..count], 1, PER_UNIT),
            PerWorker::new(&mut strips.copies, self.copied()),
        );
        let units = count.div_ceil(PER_UNIT);
        let executor = self.strip_executor(count, width);
        executor.run(units, self.cancel, outputs, |_, unit, (logits, found, hints, labels, copy)| {
            for (offset, x) in logits.chunks_exact_mut(width).enumerate() {
                let row = unit * PER_UNIT + offset;
                let (planned, concluded) = (&rows[row], concluded.get(row));
                let (plan, upstream) = match planned {
                    Planned::Row { plan, upstream, .. } => (plan, *upstream),
                    Planned::Nan => {
                        if concluded.is_some() {
                            x.fill(f32::NAN);
                        }
                        continue;
                    }
                };
                let Some(concluded) = concluded else {
                    let hints = &mut hints[offset];
                    let largest = predicts.then(|| single::largest::<I>(x, range.start, hints));
                    if let Some(softcap) = softcap {
                        softcap.cap::<I>(x);
                    }
                    if range.contains(&plan.label) {
                        labels[offset] = x[plan.label - range.start];
                    }
                    found[offset] = single::sweep::<I>(&rules, plan, &range, (x, None), hints);
                    if let Some(largest) = largest {
                        found[offset].largest = largest;
                    }
                    continue;
                };
                let Some(concluded) = concluded.as_ref().filter(|_| upstream != 0.0) else {
                    x.fill(0.0);
                    continue;
                };
                let (copy, given) = copy.split_at_mut(BLOCK_LOGITS);
                copy[..width].copy_from_slice(x);
                if let Some(softcap) = softcap {
                    given[..width].copy_from_slice(x);
                    softcap.cap::<I>(&mut copy[..width]);
                }
                let block = single::sweep::<I>(
                    &rules,
                    plan,
                    &range,
                    (&copy[..width], Some(&mut *x)),
                    &mut hints[offset],
                );
                let access = Access::InPlace(Target::F32(x));
                single::write_block::<I>(&rules, plan, concluded, &block, &range, access, (given, &mut []));
            }
        })?;
        Ok(())
    }

    /// What the rows come to, once all of their strips were swept.
    pub(crate) fn conclude_strips(&self, rows: &[u32], results: &mut Results<'_>, strips: &mut Strips) {
        let rules = self.rules(results);
        let mut columns = Columns::all(results);
        for (index, (row, planned)) in rows.iter().zip(&strips.rows).enumerate() {
            let concluded = match planned {
                Planned::Nan => None,
                Planned::Row { plan, upstream, counts } => {
                    let of_row = strips.found.iter().skip(index).step_by(strips.most);
                    strips.row.iter_mut().zip(of_row).for_each(|(slot, found)| *slot = *found);
                    let mut concluded =
                        single::conclude(&rules, plan, *upstream, &strips.row, strips.labels[index]);
                    if !counts {
                        concluded.values.loss = 0.0;
                    }
                    Some(concluded)
                }
            };
            let values =
                concluded.as_ref().map_or(RowOutputs::unread(f64::NAN), |concluded| concluded.values);
            columns.put(*row as usize, &values);
            strips.concluded.push(concluded);
        }
    }
}
