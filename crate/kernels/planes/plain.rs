//! The objective of all rows of a tile at once, as [`Objective::row`](crate::objective::Objective::row) defines it.
//!
//! In single precision: every term of a loss is a product of factors that are each right to a few units in the last place,
//! and so is every term of a gradient, which is what the contract's bound is relative to. What single precision cannot hold
//! (an infinite loss, a square beyond the largest number, 0 times infinity) shows as a result that is not finite; such rows,
//! and those whose loss is NaN, are left to the caller, who has the definition in f64.

use super::{Line, Tile, ZERO};
use crate::Element;
use crate::kernels::odds::Odds;
use crate::math::{Exp, FLOOR, Ln};
use crate::objective::{Objective, RowResult};
use crate::simd::{Isa, inlined};

/// What is wanted of the rows of a tile beside their losses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WantedRows {
    /// The logarithms: of the label's probability, and of the sum of the exponentials.
    pub(crate) logarithms: bool,
    /// What the gradient is made with.
    pub(crate) gradient: bool,
}

/// The rows of a tile: what they are given, and what they come to.
#[derive(Debug)]
pub(crate) struct PlainRows {
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
    /// All ones where the above are what the row comes to; see [`Tile::rows_with`].
    settled: Line,
}

impl PlainRows {
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

    /// Whether [`Tile::rows_with`] did not leave this row to the caller.
    pub(crate) fn is_settled(&self, row: usize) -> bool {
        self.settled[row].to_bits() != 0
    }

    /// Leaves all rows to the caller.
    pub(crate) fn unsettle(&mut self) -> bool {
        self.settled = ZERO;
        true
    }

    /// Per row the largest magnitude of what its gradient is made of: 0 where it is all 0, NaN where it is NaN.
    pub(crate) fn largest<I: Isa>(&self) -> Line {
        let mut largest = ZERO;
        I::enter(
            #[inline(always)]
            || {
                for line in [&self.scale, &self.target, &self.bias] {
                    for (largest, x) in I::chunks_mut(&mut largest).iter_mut().zip(I::chunks(line)) {
                        I::store(largest, I::max_bits(I::load(largest), I::abs(I::load(x))));
                    }
                }
            },
        );
        largest
    }

    /// What a row comes to.
    pub(crate) fn set(&mut self, row: usize, result: &RowResult) {
        let gradient = &result.gradient;
        self.loss[row] = f32::from_f64(result.loss);
        self.log_prob[row] = f32::from_f64(result.log_prob);
        self.log_sum_exp[row] = f32::from_f64(result.log_sum_exp);
        self.scale[row] = f32::from_f64(gradient.scale);
        self.target[row] = f32::from_f64(gradient.target.unwrap_or(f64::NAN));
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

/// The options that shape a row's loss, in single precision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// 1 - smoothing.
    pub(crate) kept: f32,
    /// Smoothing / classes.
    pub(crate) share: f32,
    /// The number of classes other than the label.
    pub(crate) others: f32,
    /// Whether smoothing carries class weights.
    pub(crate) by_class: bool,
    pub(crate) z_loss: f32,
    pub(crate) focal_gamma: f32,
    pub(crate) poly1_epsilon: f32,
}

impl Terms {
    /// `None` where some option is too small for single precision.
    pub(crate) fn new(objective: &Objective, by_class: bool) -> Option<Self> {
        let terms = Self {
            kept: f32::from_f64(1.0 - objective.smoothing),
            share: f32::from_f64(objective.smoothing / objective.classes),
            others: f32::from_f64(objective.classes - 1.0),
            by_class,
            z_loss: f32::from_f64(objective.z_loss),
            focal_gamma: f32::from_f64(objective.focal_gamma),
            poly1_epsilon: f32::from_f64(objective.poly1_epsilon),
        };
        let fits = |(given, single): (f64, f32)| given == 0.0 || single.is_normal();
        let each = [
            (objective.smoothing, terms.share),
            (objective.z_loss, terms.z_loss),
            (objective.focal_gamma, terms.focal_gamma),
            (objective.poly1_epsilon, terms.poly1_epsilon),
        ];
        (!objective.matrix && each.into_iter().all(fits)).then_some(terms)
    }
}

/// The exponential and the logarithm, with their constants.
type Functions<I> = (Exp<I>, Ln<I>);

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
    fn new(exp: &Exp<I>, scale: I::V, tile: &Tile<'_>, lane: usize) -> Self {
        let at = inlined(
            #[inline(always)]
            |line: &[f32]| I::load(&I::chunks(line)[lane]),
        );
        let (shift, label) = (at(tile.shift), at(tile.label));
        // What rounding takes from the difference would be the largest error of a confident row.
        let difference = I::sub(label, shift);
        let part = I::sub(difference, label);
        let lost = I::sub(I::sub(label, I::sub(difference, part)), I::add(shift, part));
        let lead = I::mul(difference, scale);
        // Of an infinite lead nothing is lost.
        let lost = I::mul(I::and(lost, I::eq(I::sub(lead, lead), I::splat(0.0))), scale);
        let odds = Odds::new(exp, lead, lost, at(tile.rest), at(tile.small));
        Self { lead, largest: I::mul(I::select(odds.trails, shift, label), scale), odds }
    }

    /// The lead where it is none: what the label's part lacks of the larger one's.
    #[inline(always)]
    fn lag(&self) -> I::V {
        I::and(self.lead, self.odds.trails)
    }
}

/// The label's part in the softmax of a vector of rows.
struct Share<I: Isa> {
    odds: Odds<I>,
    /// `-ln softmax(z)[label]`.
    nll: I::V,
    /// The logarithm of the sum of all exponentials: relative to the shift, and as it is.
    ln_total: I::V,
    log_sum_exp: I::V,
}

impl<I: Isa> Share<I> {
    #[inline(always)]
    fn new((exp, ln): &Functions<I>, scale: I::V, tile: &Tile<'_>, lane: usize) -> Self {
        let label = Lead::new(exp, scale, tile, lane);
        let logarithm = ln.ln_1p(label.odds.excess);
        Self {
            nll: I::sub(logarithm, label.lag()),
            ln_total: I::add(logarithm, I::and_not(label.lead, label.odds.trails)),
            log_sum_exp: I::add(label.largest, logarithm),
            odds: label.odds,
        }
    }
}

impl Tile<'_> {
    /// The plain objective: weights and logit scale, no other option. Always the losses, and the rest as far as it is wanted.
    pub(crate) fn plain_rows<I: Isa>(&self, scale: f32, wanted: WantedRows, rows: &mut PlainRows) {
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
    fn plain<I: Isa>(&self, scale: f32, wanted: WantedRows, rows: &mut PlainRows) {
        if self.all_small {
            self.small_odds::<I>(wanted, rows);
        } else {
            self.odds::<I>(scale, wanted, rows);
        }
        let zero = I::splat(0.0);
        let ln = Ln::<I>::new();
        for lane in 0..self.rows() / I::LANES {
            let at = inlined(
                #[inline(always)]
                |line: &Line| I::load(&I::chunks(line)[lane]),
            );
            let logarithm = ln.ln_1p(at(&rows.log_prob));
            let nll = I::sub(logarithm, at(&rows.loss));
            let (weight, largest) = (at(&rows.weight), at(&rows.log_sum_exp));
            let put = inlined(
                #[inline(always)]
                |line: &mut Line, v: I::V| I::store(&mut I::chunks_mut(line)[lane], v),
            );
            // A sum with +0 turns the -0 of a negative weight times an exact 0 into +0.
            put(&mut rows.loss, I::add(I::mul(weight, nll), zero));
            if wanted.logarithms {
                put(&mut rows.log_prob, I::sub(zero, nll));
                put(&mut rows.log_sum_exp, I::add(largest, logarithm));
            }
        }
    }

    /// What the second loop of [`Tile::plain`] makes the results of.
    #[inline(always)]
    fn odds<I: Isa>(&self, scale: f32, wanted: WantedRows, rows: &mut PlainRows) {
        let (scale, zero) = (I::splat(scale), I::splat(0.0));
        let exp = Exp::<I>::new();
        for lane in 0..self.rows() / I::LANES {
            let at = inlined(
                #[inline(always)]
                |line: &[f32]| I::load(&I::chunks(line)[lane]),
            );
            let label = Lead::<I>::new(&exp, scale, self, lane);
            let step = at(&rows.step);
            let put = inlined(
                #[inline(always)]
                |line: &mut Line, v: I::V| I::store(&mut I::chunks_mut(line)[lane], v),
            );
            put(&mut rows.loss, label.lag());
            put(&mut rows.log_prob, label.odds.excess);
            if wanted.logarithms {
                put(&mut rows.log_sum_exp, label.largest);
            }
            if wanted.gradient {
                put(&mut rows.scale, I::mul(step, label.odds.factor()));
                put(&mut rows.target, I::sub(zero, I::mul(step, label.odds.miss())));
            }
        }
    }

    /// The objective with more terms. Returns whether some rows are left to the caller, which [`PlainRows::is_settled`] names.
    // Not inlined: once for all element types and layouts.
    #[inline(never)]
    pub(crate) fn rows_with<I: Isa>(&self, scale: f32, terms: &Terms, rows: &mut PlainRows) -> bool {
        I::enter(
            #[inline(always)]
            || self.with_terms::<I>(scale, terms, rows),
        )
    }

    #[inline(always)]
    fn with_terms<I: Isa>(&self, scale: f32, terms: &Terms, rows: &mut PlainRows) -> bool {
        let (scale, zero) = (I::splat(scale), I::splat(0.0));
        let (infinite, half) = (I::splat(f32::INFINITY), I::splat(0.5));
        let functions = (Exp::<I>::new(), Ln::<I>::new());
        let mut all = I::eq(zero, zero);
        for lane in 0..self.rows() / I::LANES {
            let at = inlined(
                #[inline(always)]
                |line: &[f32]| I::load(&I::chunks(line)[lane]),
            );
            let share = Share::<I>::new(&functions, scale, self, lane);
            let (weight, step) = (at(&rows.weight), at(&rows.step));
            let (value, slope) = modulated(&functions, &share, terms);
            let kept = I::splat(terms.kept);
            let mut loss = I::mul(I::mul(kept, weight), value);
            let mut a = I::mul(I::mul(kept, step), slope);
            // a + the label's bias + c, without its cancellation, and its last two terms.
            let mut closed = zero;
            let mut at_label = I::sub(zero, a);
            let mut bias = zero;
            if terms.share > 0.0 {
                let each = I::splat(terms.share);
                let own_step = I::mul(each, step);
                let (outside, outside_step, others) = if terms.by_class {
                    (at(&rows.sample), at(&rows.sample_step), at(&rows.spread))
                } else {
                    (weight, step, I::splat(terms.others))
                };
                let (outside, outside_step) = (I::mul(each, outside), I::mul(each, outside_step));
                let apart = I::sub(I::mul(others, share.ln_total), at(self.moment));
                loss = I::add(loss, I::add(I::mul(I::mul(each, weight), share.nll), I::mul(outside, apart)));
                closed = I::mul(outside_step, others);
                a = I::add(a, I::add(own_step, closed));
                at_label = I::sub(at_label, own_step);
                bias = I::sub(zero, outside_step);
            }
            if terms.z_loss > 0.0 {
                let pull = I::mul(I::splat(terms.z_loss), share.log_sum_exp);
                loss = I::add(loss, I::mul(I::mul(weight, pull), share.log_sum_exp));
                let tilt = I::mul(step, I::add(pull, pull));
                a = I::add(a, tilt);
                closed = I::add(closed, tilt);
            }
            let (miss, hit) = (share.odds.miss(), share.odds.hit());
            let scale = I::mul(a, share.odds.factor());
            let target = I::select(
                I::le(half, miss),
                I::add(I::mul(a, hit), at_label),
                I::sub(closed, I::mul(a, miss)),
            );
            let results = [loss, share.nll, share.log_sum_exp, scale, target, bias];
            let mut magnitude = zero;
            for v in results {
                magnitude = I::max_bits(magnitude, I::abs(v));
            }
            // Bits above infinity's are a NaN, which is not less or equal as a number.
            let settled = I::and_not(I::le(magnitude, infinite), I::eq(magnitude, infinite));
            let settled = I::and(settled, at(self.sound));
            all = I::and(all, settled);
            let put = inlined(
                #[inline(always)]
                |line: &mut Line, v: I::V| I::store(&mut I::chunks_mut(line)[lane], v),
            );
            put(&mut rows.log_prob, I::sub(zero, share.nll));
            // A sum with +0 turns the -0 of a negative weight times an exact 0 into +0.
            put(&mut rows.loss, I::add(loss, zero));
            put(&mut rows.log_sum_exp, share.log_sum_exp);
            put(&mut rows.scale, I::add(scale, zero));
            put(&mut rows.target, I::add(target, zero));
            put(&mut rows.bias, bias);
            put(&mut rows.settled, settled);
        }
        !I::all(all)
    }
}

/// `f(nll) = miss^gamma (nll + poly miss)` and its derivative, as
/// [`Objective::modulated`](crate::objective::Objective::modulated) has them.
#[inline(always)]
fn modulated<I: Isa>((exp, ln): &Functions<I>, share: &Share<I>, terms: &Terms) -> (I::V, I::V) {
    let (zero, one) = (I::splat(0.0), I::splat(1.0));
    if terms.focal_gamma == 0.0 && terms.poly1_epsilon == 0.0 {
        return (share.nll, one);
    }
    let (gamma, poly) = (I::splat(terms.focal_gamma), I::splat(terms.poly1_epsilon));
    let odds = &share.odds;
    let (miss, hit) = (odds.miss(), odds.hit());
    let never = I::eq(miss, zero);
    let mut value = I::add(share.nll, I::mul(poly, miss));
    let mut slope = I::add(one, I::mul(poly, hit));
    if terms.focal_gamma != 0.0 {
        // 1 / miss = 1 + hit / miss, which keeps the digits of a miss near 1.
        let surprise = ln.ln_1p(I::div(odds.own(), odds.others));
        let power = exp.exp(I::sub(zero, I::mul(gamma, surprise)));
        let power = I::and_not(I::and_not(power, I::le(power, I::splat(FLOOR))), never);
        let ratio = I::select(never, one, I::div(share.nll, miss));
        slope = I::add(slope, I::mul(I::mul(gamma, hit), I::add(ratio, poly)));
        (value, slope) = (I::mul(power, value), I::mul(power, slope));
    }
    (value, slope)
}
