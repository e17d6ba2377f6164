//! Rows whose classes lie side by side, in single precision, as they lie.
//!
//! One row `x` of `K` classes with label `y`, plainly:
//!
//! ```text
//! m = max over j != y of x[j]
//! rest = 0
//! for j in 0..K: if j != y: rest += exp(x[j] - m)
//! ... objective: loss, scale, bias, target from (m, x[y], rest) ...
//! for j in 0..K: grad[j] = scale * exp(x[j] - m) + bias
//! grad[y] = target
//! ```
//!
//! What we do instead, and why:
//!  1. Rows go in groups: all are swept, then the objective is taken of whole vectors of rows ([`Stats`]), then the gradient is written
//!     while the exponentials are in the caches. A row by itself waits longer for its logarithm and divisions than for a sweep over
//!     a hundred classes.
//!  2. A row whose logits are small ([`Small`]) needs no shift, hence no maximum: its exponentials neither overflow nor vanish. That
//!     is guessed of a whole group and checked on the way, by the bits of the logits: as i32 the largest is that of the highest number,
//!     or a NaN; as u32 that of the lowest, or a negative NaN. Where the guess was wrong, the rows are swept again one by one
//!     ([`row`]), in the same order: whether a row is small is decided by its own logits, and its bits do not depend on its neighbours.
//!  3. One vector per turn and one accumulator: the wasm compiler unrolls the loop itself and keeps the constants in
//!     registers; a loop unrolled by hand spills them. The sums of four rows are added across at once.
//!  4. The label's exponential is left out of `rest`, never subtracted from it: `(1 + rest) - 1` loses small rests. Each vector is
//!     masked by one from a table of ones with a single zero, so that the loop has neither a comparison nor a cut.
//!  5. The exponentials are stored in the first sweep (where the gradient goes, or in scratch) and scaled in the second.
//!  6. The last vector is the row's last `LANES` floats, overlapping the one before; a mask counts each class once. Rows that are
//!     shorter than a vector are copied to one ([`pad`]).
//!  7. A row of many classes is cut into blocks of [`BLOCK`], whatever the number of threads. Each block is a row to these sweeps,
//!     with a shift of its own, and [`combine`] adds up the blocks' sums in f64 and in order: any number of threads may share a row.
//!     One thread sweeps all blocks of a small row in one loop ([`sweep_blocks`]), with the same sums.
//!
//! What this costs: a group that holds one row that is not small is swept again; the next one is looked at first.
mod combine;
mod exponentials;
mod grad;
mod moment;
mod observe;
mod pad;
mod sweep;

pub(crate) use combine::{BlockStats, SmallStats, combine};
pub(crate) use grad::{To, read_ahead, scale_row, simple_bias, write_grad, write_rows};
pub(crate) use observe::{largest, largest_number, places};
pub(crate) use pad::{pad, unpad};
pub(crate) use sweep::{TOGETHER, block_stats, row, sweep_blocks, sweep_small};
pub(super) use sweep::{all_allowed, fit, least};

use super::MomentOf;
use super::objective::{Line, Stats, WIDTH, ZERO};
use crate::Element;
use crate::objective::Objective;
use crate::simd::Isa;
use core::ops::Range;

/// Logits of a block; the last of a row has those that are left over too.
pub(crate) const BLOCK: usize = 2048;

/// Vectors that are added one after the other before their sum joins the others': of equal terms, whose roundings all go one way, 64
/// are off by up to 8.1e-7 of their sum and 256 would be off by 3.7e-6.
const RUN: usize = 64;

/// How many blocks a row has.
pub(crate) fn blocks(classes: usize) -> usize {
    (classes / BLOCK).max(1)
}

/// The classes of a block.
pub(crate) fn block(classes: usize, index: usize) -> Range<usize> {
    let start = index * BLOCK;
    start..if index + 1 == blocks(classes) { classes } else { start + BLOCK }
}

/// The place of a class in a range of classes, if it is there.
#[inline(always)]
pub(crate) fn place_in(range: &Range<usize>, class: usize) -> Option<usize> {
    range.contains(&class).then(|| class - range.start)
}

/// From where one row of logits begins to where the next one does: a row fills a vector at least.
pub(crate) fn stride<I: Isa>(classes: usize) -> usize {
    classes.max(I::LANES)
}

/// What is asked of a row that is small: all logits within bounds, and that of the label.
///
/// Within them a sum is at most `K e^40`, a probability of the label at least `e^-72 / K`, and the common factor of a gradient,
/// with a step within [`Small::STEPS`], a normal number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Small {
    /// The largest and the least of the logits.
    most: f32,
    least: f32,
    /// The least that the label's may be.
    label: f32,
}

impl Small {
    /// The least of small logits, whose exponential is a normal number.
    const LEAST: f32 = -86.0;
    /// The magnitude of logits that are multiplied by a scale or added up: what rounding takes from the product is at most 8 of the
    /// exponential's last places, what it takes from the sum is as much less than the loss.
    const NEAR: f32 = 16.0;
    /// Of logits that are added up by weights, which may pick the largest class alone: then the loss may be nearly nothing, the
    /// difference of a logarithm and a logit.
    const WEIGHED: f32 = 8.0;
    /// Steps that small rows may have, beside 0.
    pub(super) const STEPS: [f32; 2] = [1e-15, 1e15];

    /// For rows of so many classes; `None` where none is small. Two classes need no sum: the other one's exponential is 1.
    #[inline]
    pub(crate) fn new(objective: &Objective, classes: usize, moment: MomentOf<'_>) -> Option<Self> {
        let scale = f32::from_f64(objective.scale);
        if classes < 3 {
            return None;
        }
        let (most, label) = objective.terms.small_logits();
        if scale == 1.0 && !objective.needs_moment() {
            return Some(Self { most, least: Self::LEAST, label });
        }
        let near = if matches!(moment, MomentOf::Weights(_)) { Self::WEIGHED } else { Self::NEAR };
        let near = (near.min(most) / scale).min(f32::MAX);
        Some(Self { most: near, least: -near, label: -near })
    }

    /// The largest and the least of the logits, and the least of the label's.
    pub(super) fn bounds(&self) -> [f32; 3] {
        [self.most, self.least, self.label]
    }

    /// Whether the row of a label's logit and a step may be small.
    fn allows(&self, label: f32, step: f32) -> bool {
        let [short, long] = Self::STEPS;
        label >= self.label && (step == 0.0 || (short..=long).contains(&step.abs()))
    }
}

/// What is computed of each row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) classes: usize,
    pub(crate) scale: f32,
    /// Of the logits; weights are padded to a vector.
    pub(crate) moment: MomentOf<'a>,
    pub(crate) small: Option<Small>,
}

impl Asked<'_> {
    fn wants_moment(&self) -> bool {
        !matches!(self.moment, MomentOf::Nothing)
    }
}

/// Where the logits of some rows are read and their exponentials kept; each row begins [`stride`] floats after the one before.
#[derive(Debug)]
pub(crate) enum Cells<'a> {
    /// Loss only: the exponentials are dropped.
    Loss(&'a [f32]),
    /// The exponentials are kept where the gradient will be, or in scratch.
    Apart(&'a [f32], &'a mut [f32]),
}

impl Cells<'_> {
    pub(crate) fn logits(&self) -> &[f32] {
        match self {
            Cells::Loss(x) | Cells::Apart(x, _) => x,
        }
    }

    pub(crate) fn part(&mut self, range: Range<usize>) -> Cells<'_> {
        match self {
            Cells::Loss(x) => Cells::Loss(&x[range]),
            Cells::Apart(x, e) => Cells::Apart(&x[range.clone()], &mut e[range]),
        }
    }
}

/// What the sweeps find of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    shift: f32,
    label: f32,
    rest: f32,
    moment: f32,
    is_small: bool,
    is_sound: bool,
}

/// What the sweeps have found of a group of rows.
#[derive(Debug)]
pub(crate) struct Found {
    shift: Line,
    label: Line,
    rest: Line,
    moment: Line,
    small: Line,
    sound: Line,
    all_sound: bool,
    all_small: bool,
    /// What no exponential is below; 0 where that is not known.
    pub(crate) least: f32,
}

const SET: f32 = f32::from_bits(u32::MAX);

impl Found {
    pub(crate) const fn new() -> Self {
        Self {
            shift: ZERO,
            label: ZERO,
            rest: ZERO,
            moment: ZERO,
            small: ZERO,
            sound: ZERO,
            all_sound: false,
            all_small: false,
            least: 0.0,
        }
    }

    /// Says of all rows that they are small.
    fn set_small(&mut self) {
        (self.all_small, self.all_sound) = (true, true);
    }

    /// Begins a group whose rows are put one by one.
    pub(crate) fn begin(&mut self) {
        (self.small, self.sound) = (ZERO, [SET; WIDTH]);
        (self.rest, self.moment) = ([1.0; WIDTH], ZERO);
        (self.shift, self.label) = (ZERO, ZERO);
        (self.all_small, self.all_sound, self.least) = (false, true, 0.0);
    }

    pub(crate) fn put(&mut self, row: usize, found: &Row) {
        self.shift[row] = found.shift;
        self.label[row] = found.label;
        self.rest[row] = found.rest;
        self.moment[row] = found.moment;
        self.small[row] = if found.is_small { SET } else { 0.0 };
        self.sound[row] = if found.is_sound { SET } else { 0.0 };
        self.all_sound &= found.is_sound;
    }

    /// Of the first rows, rounded up to whole vectors.
    pub(crate) fn stats<I: Isa>(&self, rows: usize) -> Stats<'_> {
        let rows = rows.next_multiple_of(I::LANES);
        Stats {
            shift: &self.shift[..rows],
            label: &self.label[..rows],
            rest: &self.rest[..rows],
            moment: &self.moment[..rows],
            small: &self.small[..rows],
            sound: &self.sound[..rows],
            all_sound: self.all_sound,
            all_small: self.all_small,
        }
    }
}

impl Row {
    pub(crate) fn is_small(&self) -> bool {
        self.is_small
    }
}

/// The lanes of the last vector that no whole vector holds.
#[inline(always)]
fn tail_mask<I: Isa>(classes: usize) -> I::V {
    let left = classes % I::LANES;
    if classes < I::LANES {
        I::first(left)
    } else {
        I::and_not(I::first(I::LANES), I::first(I::LANES - left))
    }
}

/// The class of lane 0 of the last vector.
#[inline(always)]
fn tail_start<I: Isa>(classes: usize) -> usize {
    classes.saturating_sub(I::LANES)
}

/// The slice whose last `LANES` floats are the last vector of a row.
#[inline(always)]
fn padded<I: Isa>(x: &[f32], classes: usize) -> &[f32] {
    &x[..classes.max(I::LANES)]
}
