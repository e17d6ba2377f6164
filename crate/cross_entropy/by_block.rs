//! A chunk of rows whose caller makes the logits block by block, a block of classes at a time, and makes them again for their gradient. So
//! no row of logits is ever whole in memory, as it is under [`ByChunk::run`]. They are the blocks of the row kernel, and between them a
//! row is what that kernel adds up of its blocks: every bit is that of a row that lies in memory.
//!
//! 1. [`ByChunk::plan_blocks`] says what each row is to be.
//! 2. [`ByChunk::block_run`], block by block: sums, the label's logit, and the largest one where it is asked for.
//! 3. [`ByChunk::conclude_blocks`]: results, and what the gradient is made with.
//! 4. [`ByChunk::block_run`], block by block of the same logits again: their gradient in place of them.

use super::by_chunk::ByChunk;
use super::plan::{Fate, RowPlan};
use super::route::Route;
use super::rules::{Columns, RowOutputs, Rules};
use super::scratch::{BLOCK_LOGITS, BlockRow};
use super::single::{self, Concluded, Hints};
use super::{Access, Results, empty, zeros};
use crate::Error;
use crate::element::Target;
use crate::kernels::rows::{block, blocks, place_in};
use crate::options::Wanted;
use crate::parallel::{Executor, PerWorker, Rows};
use crate::simd::Isa;
use core::ops::Range;

/// How many rows a unit of work has: with a block of each, some tens of thousands of logits.
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

/// Scratch: what the blocks so far have told of the rows of a chunk.
pub(crate) struct Blocks {
    rows: Vec<Planned>,
    /// What was found of each row in each block, `[blocks][most]`.
    found: Vec<BlockRow>,
    most: usize,
    hints: Vec<Hints>,
    labels: Vec<f32>,
    /// The blocks of one row.
    row: Vec<BlockRow>,
    concluded: Vec<Option<Concluded>>,
    /// For each worker a block of one row; under a softcap another, with the logits before the cap.
    copies: Vec<f32>,
}

impl ByChunk<'_> {
    /// How many blocks the classes are cut into. With one, blocks save no memory.
    pub(crate) fn blocks(classes: usize) -> usize {
        blocks(classes)
    }

    /// The classes of a block.
    pub(crate) fn block(classes: usize, index: usize) -> Range<usize> {
        block(classes, index)
    }

    fn block_executor(&self, rows: usize, classes: usize) -> Executor {
        self.plan.options.executor.for_work(rows as f64 * classes as f64 * LOGIT)
    }

    /// Floats of scratch that a worker has.
    fn copied(&self) -> usize {
        if self.plan.softcap.is_some() { 2 * BLOCK_LOGITS } else { BLOCK_LOGITS }
    }

    /// Scratch for chunks of at most so many rows.
    pub(crate) fn block_rows(&self, most: usize) -> Result<Blocks, Error> {
        let blocks = blocks(self.classes());
        let workers = self.block_executor(most, BLOCK_LOGITS).workers(usize::MAX);
        let mut hints = empty(most)?;
        hints.resize(most, Hints::NONE);
        Ok(Blocks {
            rows: empty(most)?,
            found: zeros(blocks.saturating_mul(most))?,
            most,
            hints,
            labels: zeros(most)?,
            row: zeros(blocks)?,
            concluded: empty(most)?,
            copies: zeros(workers * self.copied())?,
        })
    }

    fn rules(&self, results: &Results<'_>) -> Rules<'_> {
        Rules::new(&self.call(), Route::Blocks, results)
    }

    /// Begins a chunk of these rows, none of which is dropped.
    pub(crate) fn plan_blocks(&self, rows: &[u32], blocks: &mut Blocks) {
        blocks.rows.clear();
        blocks.concluded.clear();
        blocks.hints.fill(Hints::NONE);
        for row in rows {
            let row = *row as usize;
            let fate = self.plan.fate(self.scan.classes[row], self.plan.options.sample_weight.get(row));
            blocks.rows.push(match fate {
                Fate::Row(plan) => Planned::Row { plan, upstream: self.upstream_of(row), counts: true },
                Fate::Inactive(label) => {
                    Planned::Row { plan: RowPlan::unweighted(label), upstream: 0.0, counts: false }
                }
                Fate::Nan | Fate::Ignored => Planned::Nan,
            });
        }
    }

    /// Sweeps a block of the logits, `[rows][classes of the block]`; once the rows are concluded, puts their gradient in place of it.
    pub(crate) fn block_run<I: Isa>(
        &self,
        index: usize,
        logits: &mut [f32],
        results: &Results<'_>,
        blocks: &mut Blocks,
    ) -> Result<(), Error> {
        let mut rules = self.rules(results);
        if !blocks.concluded.is_empty() {
            // The first pass found all results.
            rules.wants = Wanted::default();
        }
        let softcap = &self.plan.softcap;
        // Predictions are those of the logits as they were given.
        let predicts = rules.wants.predictions && softcap.is_some();
        rules.wants.predictions &= softcap.is_none();
        let range = block(self.classes(), index);
        let width = range.len();
        let (rows, concluded) = (&blocks.rows, &blocks.concluded);
        let count = rows.len();
        let outputs = (
            Rows::new(logits, width, PER_UNIT),
            Rows::new(&mut blocks.found[index * blocks.most..][..count], 1, PER_UNIT),
            Rows::new(&mut blocks.hints[..count], 1, PER_UNIT),
            Rows::new(&mut blocks.labels[..count], 1, PER_UNIT),
            PerWorker::new(&mut blocks.copies, self.copied()),
        );
        let units = count.div_ceil(PER_UNIT);
        let executor = self.block_executor(count, width);
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
                    if let Some(place) = place_in(&range, plan.label) {
                        labels[offset] = x[place];
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

    /// What the rows come to, once all of their blocks were swept.
    pub(crate) fn conclude_blocks(&self, rows: &[u32], results: &mut Results<'_>, blocks: &mut Blocks) {
        let rules = self.rules(results);
        let mut columns = Columns::all(results);
        for (index, (row, planned)) in rows.iter().zip(&blocks.rows).enumerate() {
            let concluded = match planned {
                Planned::Nan => None,
                Planned::Row { plan, upstream, counts } => {
                    let of_row = blocks.found.iter().skip(index).step_by(blocks.most);
                    blocks.row.iter_mut().zip(of_row).for_each(|(slot, found)| *slot = *found);
                    let mut concluded =
                        single::conclude(&rules, plan, *upstream, &blocks.row, blocks.labels[index]);
                    if !counts {
                        concluded.values.loss = 0.0;
                    }
                    Some(concluded)
                }
            };
            let values =
                concluded.as_ref().map_or(RowOutputs::unread(f64::NAN), |concluded| concluded.values);
            columns.put(*row as usize, &values);
            blocks.concluded.push(concluded);
        }
    }
}
