//! The objective with options beyond weights and the logit scale.

use super::{Functions, Line, PlainRows, Share, Stats};
use crate::Element;
use crate::math::{Exp, FLOOR, Ln};
use crate::objective::Objective;
use crate::simd::{Isa, inlined};

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

impl Stats<'_> {
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
