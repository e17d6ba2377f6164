//! The words that the ways of a call share: what all rows have in common, what a row gives, and where that goes.

use super::plan::Plan;
use super::route::Route;
use super::scan::Upstream;
use super::{Access, Call, Results};
use crate::element::{Element, Target};
use crate::kernels::objective::RowLines;
use crate::kernels::rows::{self, Asked, BLOCK, BlockStats, Small};
use crate::objective::RowResult;
use crate::options::Wanted;
use core::ops::Range;

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

/// What a row gives beside its gradient.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowOutputs {
    pub(super) loss: f64,
    pub(super) log_prob: f64,
    pub(super) log_sum_exp: f64,
    pub(super) prediction: i32,
}

impl RowOutputs {
    /// A row that is not looked at.
    pub(super) fn unread(loss: f64) -> Self {
        Self { loss, log_prob: f64::NAN, log_sum_exp: f64::NAN, prediction: -1 }
    }

    pub(super) fn new(result: &RowResult, prediction: Option<i32>) -> Self {
        Self {
            loss: result.loss,
            log_prob: result.log_prob,
            log_sum_exp: result.log_sum_exp,
            prediction: prediction.unwrap_or(-1),
        }
    }
}

/// One unit's slices of the per-row results.
type ResultPart<'a> = (Target<'a>, Option<Target<'a>>, Option<Target<'a>>, Option<&'a mut [i32]>);

/// What some rows give beside their gradient: a slice of each result, one entry per row.
pub(super) struct Columns<'a> {
    pub(super) losses: Target<'a>,
    pub(super) log_sum_exp: Option<Target<'a>>,
    pub(super) log_probs: Option<Target<'a>>,
    pub(super) predictions: Option<&'a mut [i32]>,
}

impl<'a> Columns<'a> {
    /// The parts of a unit, as [`Results::by_rows`] cut them.
    pub(super) fn new((losses, log_sum_exp, log_probs, predictions): ResultPart<'a>) -> Self {
        Self { losses, log_sum_exp, log_probs, predictions }
    }

    /// Of all rows of a call.
    #[inline]
    pub(super) fn all<'r: 'a>(results: &'a mut Results<'r>) -> Self {
        Self {
            losses: results.losses.whole(),
            log_sum_exp: results.log_sum_exp.as_mut().map(Target::whole),
            log_probs: results.target_log_prob.as_mut().map(Target::whole),
            predictions: results.predictions.as_deref_mut(),
        }
    }

    /// Some of the rows.
    pub(super) fn rows(&mut self, range: Range<usize>) -> Columns<'_> {
        Columns {
            losses: self.losses.part(range.clone()),
            log_sum_exp: self.log_sum_exp.as_mut().map(|numbers| numbers.part(range.clone())),
            log_probs: self.log_probs.as_mut().map(|numbers| numbers.part(range.clone())),
            predictions: self.predictions.as_deref_mut().map(|slice| &mut slice[range]),
        }
    }

    /// Up to [`WIDTH`](crate::kernels::objective::WIDTH) rows, but for their predictions.
    pub(super) fn put_all(&mut self, rows: &RowLines) {
        let count = self.losses.len();
        self.losses.narrow(&rows.loss[..count]);
        if let Some(numbers) = &mut self.log_sum_exp {
            numbers.narrow(&rows.log_sum_exp[..count]);
        }
        if let Some(numbers) = &mut self.log_probs {
            numbers.narrow(&rows.log_prob[..count]);
        }
    }

    pub(super) fn put(&mut self, row: usize, values: &RowOutputs) {
        self.losses.set(row, values.loss);
        if let Some(numbers) = &mut self.log_sum_exp {
            numbers.set(row, values.log_sum_exp);
        }
        if let Some(numbers) = &mut self.log_probs {
            numbers.set(row, values.log_prob);
        }
        if let Some(slice) = &mut self.predictions {
            slice[row] = values.prediction;
        }
    }
}

/// What all rows of a call share.
pub(super) struct Rules<'a> {
    pub(super) plan: &'a Plan<'a>,
    /// Whether rows are computed in single precision.
    pub(super) in_single: bool,
    pub(super) upstream: Upstream<'a>,
    pub(super) wants: Wanted,
    pub(super) accumulate: bool,
    pub(super) scale: f32,
    /// The weight and the step of each row that counts, where all have the same.
    pub(super) alike: Option<(f32, f32)>,
}

/// Scratch of one thread, as long as [`Rules::scratch_lengths`] says.
pub(super) struct Scratch<'a> {
    /// Logits in single precision, and behind them a row of exponentials, or a group of rows.
    pub(super) single: &'a mut [f32],
    /// A row in double precision.
    pub(super) double: &'a mut [f64],
    /// What is known of a row's blocks.
    pub(super) blocks: &'a mut [BlockRow],
}

/// Logits of a call, at least, that come from memory: 4 MiB. With a gradient they are more than a processor's share of its caches.
const STREAMED: usize = 1 << 20;

/// Scratch that the groups or rows of such a call take in turn: 1 MiB, as much as a second cache. If all of them took the same piece, it
/// would stay in that cache, and the logits would come late: in place and accumulate took up to a quarter more time (`relaxed`, AMD EPYC
/// Genoa), although a piece that is taken in turn comes from the third cache. The likely cause: a processor that has fetched ahead what
/// was in its cache already fetches less ahead.
const ROUND: usize = 1 << 18;

/// The classes of a row, at least, whose logits come late.
const LATE: usize = 64;

/// Pieces of a thread's scratch in single precision, which its groups or rows take in turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turns {
    count: usize,
    piece: usize,
}

impl Turns {
    /// Floats of all pieces.
    pub(super) fn length(self) -> usize {
        self.count * self.piece
    }

    /// The piece of the group or row with this number.
    pub(super) fn take(self, scratch: &mut [f32], number: usize) -> &mut [f32] {
        &mut scratch[number % self.count * self.piece..][..self.piece]
    }
}

/// A step in single precision. One that is too small for it does not become 0, since a row with NaN would then have a gradient of 0.
#[inline(always)]
pub(super) fn step(step: f64) -> f32 {
    let single = f32::from_f64(step);
    if single == 0.0 && step != 0.0 { f32::from_bits(1).copysign(single) } else { single }
}

impl<'a> Rules<'a> {
    pub(super) fn new(call: &Call<'a>, route: Route, results: &Results<'_>) -> Self {
        let (plan, upstream) = (call.plan, call.scan.upstream(call.plan));
        let alike = match (plan.uniform_weight(), upstream.uniform(), &plan.kept) {
            (Some(weight), Some(upstream), None) if upstream != 0.0 => {
                Some((f32::from_f64(weight), step(upstream * plan.objective.scale * weight)))
            }
            _ => None,
        };
        Self {
            plan,
            in_single: route.is_single(),
            upstream,
            alike,
            wants: Wanted {
                log_sum_exp: results.log_sum_exp.is_some(),
                target_log_prob: results.target_log_prob.is_some(),
                predictions: results.predictions.is_some(),
                per_class: results.per_class.is_some(),
                ..Wanted::default()
            },
            accumulate: call.plan.options.accumulate,
            scale: f32::from_f64(call.plan.options.logit_scale),
        }
    }

    /// What is computed of each row; small ones are those of `counted` classes.
    pub(super) fn asked(&self, counted: usize) -> Asked<'_> {
        let (classes, moment) = (self.plan.classes(), self.plan.moment());
        let small = Small::new(&self.plan.objective, counted, moment);
        Asked { classes, scale: self.scale, moment, small }
    }

    /// Whether the logits come from memory, not from a cache.
    fn streams(&self) -> bool {
        self.plan.shape.rows() * self.plan.shape.classes() >= STREAMED
    }

    /// Tells how many pieces of scratch of this length a thread has. Only logits that are read as they lie come late, and a row of few
    /// classes takes longer to compute than to fetch.
    pub(super) fn turns(&self, access: &Access<'_>, piece: usize) -> Turns {
        let is_late = self.plan.classes() >= LATE && access.logits().single().is_some();
        let is_alone = piece == 0 || !self.streams() || !is_late;
        Turns { count: if is_alone { 1 } else { ROUND.div_ceil(piece) }, piece }
    }

    /// Reads the gradient that will be added to, so that it comes from memory to the caches at full speed: adding takes a read, a product
    /// and a write in turn.
    pub(super) fn read_ahead(&self, access: &mut Access<'_>) {
        if self.accumulate
            && self.streams()
            && let Some(gradient) = access.gradient().and_then(Target::single)
        {
            rows::read_ahead(gradient);
        }
    }

    /// Whether requested outputs make the logits of an inactive row worth a look.
    pub(super) fn looks_at_inactive(&self) -> bool {
        self.wants.log_sum_exp || self.wants.target_log_prob || self.wants.predictions
    }
}
