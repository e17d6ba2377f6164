//! The scratch of a thread: what it is for, how it is cut, and how much of it stays in a cache. How long it is on each way of a call,
//! [`Route::scratch`](super::route::Route::scratch) says.

use super::plan::Plan;
use super::{Access, Spare, zeros};
use crate::Error;
use crate::kernels::rows::{BLOCK, BlockStats};
use crate::parallel::PerWorker;

/// How many floats of scratch the logits of a block may take: the last block of a row has fewer than two blocks' classes.
pub(super) const BLOCK_LOGITS: usize = 2 * BLOCK;

/// What the first sweep finds in a block.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BlockRow {
    pub(super) stats: BlockStats,
    /// Where predictions are wanted: the largest logit, or NaN, and its place in the row; the place is known where no block
    /// before, as far as one thread went through them, has as large a logit.
    pub(super) largest: (f32, usize),
}

/// Scratch of one thread for a row, as long as [`Lengths`] say.
pub(super) struct Scratch<'a> {
    /// Logits in single precision, and behind them a row of exponentials.
    pub(super) single: &'a mut [f32],
    /// A row in double precision.
    pub(super) double: &'a mut [f64],
    /// What is known of a row's blocks.
    pub(super) blocks: &'a mut [BlockRow],
}

/// How long each scratch of a thread is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    pub(super) single: Turns,
    pub(super) double: usize,
    pub(super) blocks: usize,
}

/// The scratch of all threads.
pub(super) struct Memory {
    lengths: Lengths,
    singles: Spare<f32>,
    doubles: Vec<f64>,
    blocks: Vec<BlockRow>,
}

impl Memory {
    pub(super) fn new(lengths: Lengths, workers: usize) -> Result<Self, Error> {
        Ok(Self {
            lengths,
            singles: Spare::new(lengths.single.length() * workers)?,
            doubles: zeros(lengths.double * workers)?,
            blocks: zeros(lengths.blocks * workers)?,
        })
    }

    /// Cut by threads.
    pub(super) fn cut(&mut self) -> (PerWorker<'_, f32>, PerWorker<'_, f64>, PerWorker<'_, BlockRow>) {
        (
            PerWorker::new(&mut self.singles, self.lengths.single.length()),
            PerWorker::new(&mut self.doubles, self.lengths.double),
            PerWorker::new(&mut self.blocks, self.lengths.blocks),
        )
    }
}

/// Logits of a call, at least, that come from memory: 4 MiB. With a gradient they are more than a processor's share of its caches.
const STREAMED: usize = 1 << 20;

/// Scratch that the groups or rows of such a call take in turn: 1 MiB, as much as a second cache. If all of them took the same, it
/// would stay in that cache, and the logits would come late: in place and accumulate took up to a quarter more time (`relaxed`, AMD EPYC
/// Genoa), although what is taken in turn comes from the third cache. The likely cause: a processor that has fetched ahead what
/// was in its cache already fetches less ahead.
const ROUND: usize = 1 << 18;

/// The classes of a row, at least, whose logits come late.
const LATE: usize = 64;

/// Whether the logits of a call come from memory, not from a cache.
pub(super) fn streams(plan: &Plan<'_>) -> bool {
    plan.shape.rows() * plan.shape.classes() >= STREAMED
}

/// A thread's scratch in single precision: several of one length, which its groups or rows take in turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turns {
    count: usize,
    each: usize,
}

impl Turns {
    /// One, which all take.
    pub(super) fn one(each: usize) -> Self {
        Self { count: 1, each }
    }

    /// Scratch of this length for a call. Only logits that are read as they lie come late, and a row of few classes takes longer to compute
    /// than to fetch.
    pub(super) fn of(plan: &Plan<'_>, access: &Access<'_>, each: usize) -> Self {
        let is_late = plan.classes() >= LATE && access.logits().single().is_some();
        let is_alone = each == 0 || !streams(plan) || !is_late;
        Self { count: if is_alone { 1 } else { ROUND.div_ceil(each) }, each }
    }

    /// Floats of all.
    pub(super) fn length(self) -> usize {
        self.count * self.each
    }

    /// That of the group or row with this number.
    pub(super) fn take(self, scratch: &mut [f32], number: usize) -> &mut [f32] {
        &mut scratch[number % self.count * self.each..][..self.each]
    }
}
