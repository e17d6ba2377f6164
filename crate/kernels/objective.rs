//! The objective of up to [`WIDTH`] rows at once, as [`Objective::row`](crate::objective::Objective::row) defines it.
//!
//! In single precision: every term of a loss is a product of factors that are each right to a few units in the last place,
//! and so is every term of a gradient, which is what the contract's bound is relative to. What single precision cannot hold
//! (an infinite loss, a square beyond the largest number, 0 times infinity) shows as a result that is not finite; such rows,
//! and those whose loss is NaN, are left to the caller, who has the definition in f64.

mod shaped;

use super::MomentOf;
use super::odds::Odds;
use crate::Element;
use crate::math::{Exp, Ln};
use crate::objective::{Functions, Outcomes, RowResult, RowStats};
use crate::simd::{Isa, arrays};

/// The most rows that are concluded at once.
pub(crate) const WIDTH: usize = 128;

/// A number for each of them.
pub(crate) type Line = [f32; WIDTH];

pub(super) const ZERO: Line = [0.0; WIDTH];

/// What sweeps have found of some rows, a number for each; as many as fill whole vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stats<'s> {
    /// What was subtracted from each logit before `exp`: 0 for rows of small logits, otherwise the largest logit of the other
    /// classes, or the label's where all of those are -inf.
    pub(super) shift: &'s [f32],
    /// The label's logit.
    pub(super) label: &'s [f32],
    /// The sum of the exponentials of the other classes.
    pub(super) rest: &'s [f32],
    /// As [`RowStats::moment`].
    pub(super) moment: &'s [f32],
    /// All ones for rows of small logits.
    pub(super) small: &'s [f32],
    /// All ones for rows whose loss is a number: no logit is NaN or +inf, and not all are -inf.
    pub(super) sound: &'s [f32],
    /// Whether that is so of all rows. Then `sound` is not looked at.
    pub(super) all_sound: bool,
    /// Whether all rows are small. Then neither `small` nor `shift` is looked at.
    pub(super) all_small: bool,
}

/// What is wanted of the rows beside their losses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WantedRows {
    /// The logarithms: of the label's probability, and of the sum of the exponentials.
    pub(crate) logarithms: bool,
    /// What the gradient is made with.
    pub(crate) gradient: bool,
}

/// Up to [`WIDTH`] rows: what they are given, and what they come to.
#[derive(Debug)]
pub(crate) struct RowLines {
    /// The row weights.
    pub(crate) weight: Line,
    /// Upstream times logit scale times row weight.
    pub(crate) step: Line,
    /// Where smoothing carries class weights, the sample weights, and what `step` is with them for the row weights.
    pub(crate) sample: Line,
    pub(crate) sample_step: Line,
    /// Likewise, the sum of the weights of the classes other than the label.
    pub(crate) spread: Line,
    pub(crate) loss: Line,
    /// `ln softmax(z)[label]`.
    pub(crate) log_prob: Line,
    pub(crate) log_sum_exp: Line,
    /// What the exponentials are multiplied by.
    pub(crate) scale: Line,
    /// The gradient at the label.
    pub(crate) target: Line,
    /// What is added to each element, times its class's weight where smoothing carries class weights.
    pub(crate) bias: Line,
    /// All ones where the above are what the row comes to; see [`Stats::rows_with`].
    settled: Line,
}

impl RowLines {
    pub(crate) const fn new() -> Self {
        Self {
            weight: ZERO,
            step: ZERO,
            sample: ZERO,
            sample_step: ZERO,
            spread: ZERO,
            loss: ZERO,
            log_prob: ZERO,
            log_sum_exp: ZERO,
            scale: ZERO,
            target: ZERO,
            bias: ZERO,
            settled: ZERO,
        }
    }

    /// Whether [`Stats::rows_with`] did not leave this row to the caller.
    pub(crate) fn is_settled(&self, row: usize) -> bool {
        self.settled[row].to_bits() != 0
    }

    /// Whether a row's gradient is 0.
    pub(crate) fn is_off(&self, row: usize) -> bool {
        [&self.scale, &self.target, &self.bias].iter().all(|line| line[row] == 0.0)
    }

    /// The steps by which a row is judged small, if they are not `step`. Smoothing with class weights adds a second part to a row's
    /// gradient, with a step of its own: the bound is on both together.
    #[inline(never)]
    pub(crate) fn both_steps(&self, moment: MomentOf<'_>) -> Option<Line> {
        let MomentOf::Weights(_) = moment else { return None };
        let mut both = self.sample_step;
        arrays::combine(&mut both, &self.spread, |step, spread| (step * spread).abs());
        arrays::combine(&mut both, &self.step, |both, step| both + step.abs());
        Some(both)
    }

    /// Leaves all rows to the caller.
    pub(crate) fn unsettle(&mut self) -> bool {
        self.settled = ZERO;
        true
    }

    /// What a row comes to.
    pub(crate) fn set(&mut self, row: usize, result: &RowResult) {
        let gradient = &result.gradient;
        self.loss[row] = f32::from_f64(result.loss);
        self.log_prob[row] = f32::from_f64(result.log_prob);
        self.log_sum_exp[row] = f32::from_f64(result.log_sum_exp);
        // A sum with +0 turns the -0 of a product that vanishes in single precision into +0.
        self.scale[row] = f32::from_f64(gradient.scale) + 0.0;
        self.target[row] = f32::from_f64(gradient.target.unwrap_or(f64::NAN)) + 0.0;
        self.bias[row] = f32::from_f64(gradient.bias);
    }

    /// A row whose loss and gradient are NaN; one without a step keeps its gradient of 0.
    fn set_nan(&mut self, row: usize) {
        for line in [&mut self.loss, &mut self.log_prob, &mut self.log_sum_exp] {
            line[row] = f32::NAN;
        }
        let gradient = if self.step[row] == 0.0 { 0.0 } else { f32::NAN };
        self.scale[row] = gradient;
        self.target[row] = gradient;
    }
}

/// A vector of a line.
#[inline(always)]
fn at<I: Isa>(line: &[f32], vector: usize) -> I::V {
    I::load(&I::chunks(line)[vector])
}

/// Sets a vector of a line.
#[inline(always)]
fn put<I: Isa>(line: &mut Line, vector: usize, v: I::V) {
    I::store(&mut I::chunks_mut(line)[vector], v);
}

/// The label against the largest other class, in a vector of rows.
struct Lead<I: Isa> {
    odds: Odds<I>,
    /// By how much the label leads, scaled.
    lead: I::V,
    /// The larger of the two, scaled.
    largest: I::V,
}

impl<I: Isa> Lead<I> {
    #[inline(always)]
    fn new(exp: &Exp<I>, scale: I::V, stats: &Stats<'_>, vector: usize) -> Self {
        let (shift, label) = (at::<I>(stats.shift, vector), at::<I>(stats.label, vector));
        // The rounding error of the difference is kept: it would be the largest error of a confident row.
        let difference = I::sub(label, shift);
        let part = I::sub(difference, label);
        let lost = I::sub(I::sub(label, I::sub(difference, part)), I::add(shift, part));
        let lead = I::mul(difference, scale);
        // An infinite lead has no rounding error; the sums above would make one of NaN.
        let lost = I::mul(I::and(lost, I::eq(I::sub(lead, lead), I::splat(0.0))), scale);
        let odds = Odds::new(exp, lead, lost, at::<I>(stats.rest, vector), at::<I>(stats.small, vector));
        Self { lead, largest: I::mul(I::select(odds.trails, shift, label), scale), odds }
    }

    /// The lead of a label that trails, which is negative; 0 for others.
    #[inline(always)]
    fn lag(&self) -> I::V {
        I::and(self.lead, self.odds.trails)
    }
}

/// The label's part in the softmax of a vector of rows.
#[inline(always)]
fn outcomes<I: Isa>((exp, ln): &Functions<I>, scale: I::V, stats: &Stats<'_>, vector: usize) -> Outcomes<I> {
    let label = Lead::new(exp, scale, stats, vector);
    let (odds, logarithm) = (&label.odds, ln.ln_1p(label.odds.excess));
    Outcomes {
        nll: I::sub(logarithm, label.lag()),
        log_sum_exp: I::add(label.largest, logarithm),
        ln_total: I::add(logarithm, I::and_not(label.lead, odds.trails)),
        miss: odds.miss(),
        hit: odds.hit(),
        factor: odds.factor(),
        label: odds.own(),
        others: odds.others,
    }
}

/// The factor by which the exponentials of small rows become relative to the label's, and the sum of the other classes' ones then.
#[inline(always)]
fn small_share<I: Isa>(exp: &Exp<I>, label: I::V, rest: I::V) -> (I::V, I::V) {
    let near = exp.exp_small(I::sub(I::splat(0.0), label));
    (near, I::mul(rest, near))
}

impl Stats<'_> {
    /// The rows that are looked at: whole vectors.
    pub(crate) fn rows(&self) -> usize {
        self.shift.len()
    }

    fn is_sound(&self, row: usize) -> bool {
        self.all_sound || self.sound[row].to_bits() != 0
    }

    /// The statistics of a row; `None` where its loss is NaN.
    pub(crate) fn of(&self, row: usize) -> Option<RowStats> {
        self.is_sound(row).then(|| RowStats {
            shift: if self.all_small { 0.0 } else { f64::from(self.shift[row]) },
            label: f64::from(self.label[row]),
            rest: f64::from(self.rest[row]),
            moment: f64::from(self.moment[row]),
        })
    }

    /// The plain objective: weights and logit scale, no other option. Always the losses, and the rest as far as it is wanted.
    pub(crate) fn plain_rows<I: Isa>(&self, scale: f32, wanted: WantedRows, rows: &mut RowLines) {
        I::enter(
            #[inline(always)]
            || self.plain::<I>(scale, wanted, rows),
        );
        if !self.all_sound {
            (0..self.rows()).filter(|row| !self.is_sound(*row)).for_each(|row| rows.set_nan(row));
        }
    }

    /// In two loops, so that each has about as many constants as there are registers.
    #[inline(always)]
    fn plain<I: Isa>(&self, scale: f32, wanted: WantedRows, rows: &mut RowLines) {
        if self.all_small {
            self.small_odds::<I>(scale, wanted, rows);
        } else {
            self.odds::<I>(scale, wanted, rows);
        }
        let zero = I::splat(0.0);
        let ln = Ln::<I>::new();
        for vector in 0..self.rows() / I::LANES {
            let logarithm = ln.ln_1p(at::<I>(&rows.log_prob, vector));
            let nll = I::sub(logarithm, at::<I>(&rows.loss, vector));
            let (weight, largest) = (at::<I>(&rows.weight, vector), at::<I>(&rows.log_sum_exp, vector));
            // A sum with +0 turns the -0 of a negative weight times an exact 0 into +0.
            put::<I>(&mut rows.loss, vector, I::add(I::mul(weight, nll), zero));
            if wanted.logarithms {
                put::<I>(&mut rows.log_prob, vector, I::sub(zero, nll));
                put::<I>(&mut rows.log_sum_exp, vector, I::add(largest, logarithm));
            }
        }
    }

    /// What the second loop of [`Stats::plain`] makes the results of.
    #[inline(always)]
    fn odds<I: Isa>(&self, scale: f32, wanted: WantedRows, rows: &mut RowLines) {
        let (scale, zero) = (I::splat(scale), I::splat(0.0));
        let exp = Exp::<I>::new();
        for vector in 0..self.rows() / I::LANES {
            let label = Lead::<I>::new(&exp, scale, self, vector);
            let step = at::<I>(&rows.step, vector);
            put::<I>(&mut rows.loss, vector, label.lag());
            put::<I>(&mut rows.log_prob, vector, label.odds.excess);
            if wanted.logarithms {
                put::<I>(&mut rows.log_sum_exp, vector, label.largest);
            }
            if wanted.gradient {
                put::<I>(&mut rows.scale, vector, I::mul(step, label.odds.factor()));
                put::<I>(&mut rows.target, vector, I::sub(zero, I::mul(step, label.odds.miss())));
            }
        }
    }

    /// What the rows come to before the logarithm, where all are small: [`Stats::plain_rows`] without the shift.
    #[inline(always)]
    fn small_odds<I: Isa>(&self, scale: f32, wanted: WantedRows, rows: &mut RowLines) {
        let exp = Exp::<I>::new();
        let (scale, zero) = (I::splat(scale), I::splat(0.0));
        for vector in 0..self.rows() / I::LANES {
            let label = I::mul(at::<I>(self.label, vector), scale);
            let (near, others) = small_share(&exp, label, at::<I>(self.rest, vector));
            put::<I>(&mut rows.loss, vector, zero);
            put::<I>(&mut rows.log_prob, vector, others);
            if wanted.logarithms {
                put::<I>(&mut rows.log_sum_exp, vector, label);
            }
            if wanted.gradient {
                let inverse = I::div(exp.one, I::add(exp.one, others));
                let step = at::<I>(&rows.step, vector);
                put::<I>(&mut rows.scale, vector, I::mul(step, I::mul(near, inverse)));
                put::<I>(&mut rows.target, vector, I::sub(zero, I::mul(step, I::mul(others, inverse))));
            }
        }
    }
}
