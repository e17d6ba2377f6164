//! The objective with options beyond weights and the logit scale: [`SingleTerms`] have their arithmetic.

use super::{RowLines, Stats, at, outcomes, put, small_share};
use crate::math::{Exp, Ln};
use crate::objective::{Outcomes, SingleTerms, Spread};
use crate::simd::{Isa, inlined};

impl Stats<'_> {
    /// The objective with more terms. Returns whether some rows are left to the caller, which [`RowLines::is_settled`] names.
    // Not inlined: once for all element types and layouts.
    #[inline(never)]
    pub(crate) fn rows_with<I: Isa>(&self, scale: f32, terms: &SingleTerms, rows: &mut RowLines) -> bool {
        I::enter(
            #[inline(always)]
            || self.with_terms::<I>(scale, terms, rows),
        )
    }

    #[inline(always)]
    fn with_terms<I: Isa>(&self, scale: f32, terms: &SingleTerms, rows: &mut RowLines) -> bool {
        let (scale, zero, infinite) = (I::splat(scale), I::splat(0.0), I::splat(f32::INFINITY));
        let normal = I::splat(f32::MIN_POSITIVE);
        let functions = (Exp::<I>::new(), Ln::<I>::new());
        let mut all = I::eq(zero, zero);
        if self.all_small {
            self.small_parts::<I>(scale, rows);
        }
        for vector in 0..self.rows() / I::LANES {
            let outcomes = if self.all_small {
                small_outcomes::<I>(rows, vector)
            } else {
                outcomes::<I>(&functions, scale, self, vector)
            };
            let spread = inlined(
                #[inline(always)]
                || Spread {
                    moment: at::<I>(self.moment, vector),
                    sample: at::<I>(&rows.sample, vector),
                    sample_step: at::<I>(&rows.sample_step, vector),
                    others: at::<I>(&rows.spread, vector),
                },
            );
            let (step, sample_step) = (at::<I>(&rows.step, vector), at::<I>(&rows.sample_step, vector));
            let results =
                terms.rows::<I>(&functions, &outcomes, (at::<I>(&rows.weight, vector), step), spread);
            let mut magnitude = zero;
            for v in [
                results.loss, outcomes.nll, outcomes.log_sum_exp, results.scale, results.target, results.bias,
            ] {
                magnitude = I::max_bits(magnitude, I::abs(v));
            }
            // Bits above infinity's are a NaN, which is not less or equal as a number.
            let settled = I::and_not(I::le(magnitude, infinite), I::eq(magnitude, infinite));
            // A step that is no normal number has lost digits, which a factor as large as a log-sum-exp would show.
            let is_whole = inlined(
                #[inline(always)]
                |step: I::V| I::or(I::le(normal, I::abs(step)), I::eq(step, zero)),
            );
            let settled = I::and(settled, I::and(is_whole(step), is_whole(sample_step)));
            let settled = if self.all_sound { settled } else { I::and(settled, at::<I>(self.sound, vector)) };
            all = I::and(all, settled);
            put::<I>(&mut rows.log_prob, vector, I::sub(zero, outcomes.nll));
            // A sum with +0 turns the -0 of a negative weight times an exact 0 into +0.
            put::<I>(&mut rows.loss, vector, I::add(results.loss, zero));
            put::<I>(&mut rows.log_sum_exp, vector, outcomes.log_sum_exp);
            put::<I>(&mut rows.scale, vector, I::add(results.scale, zero));
            put::<I>(&mut rows.target, vector, I::add(results.target, zero));
            put::<I>(&mut rows.bias, vector, results.bias);
            put::<I>(&mut rows.settled, vector, settled);
        }
        !I::all(all)
    }

    /// What [`small_outcomes`] are made of, in loops of their own: one loop for all would wait for the exponential, the division, the logarithm
    /// and the terms of a vector in turn.
    #[inline(always)]
    fn small_parts<I: Isa>(&self, scale: I::V, rows: &mut RowLines) {
        let exp = Exp::<I>::new();
        for vector in 0..self.rows() / I::LANES {
            let label = I::mul(at::<I>(self.label, vector), scale);
            let (near, others) = small_share(&exp, label, at::<I>(self.rest, vector));
            let inverse = I::div(exp.one, I::add(exp.one, others));
            put::<I>(&mut rows.log_sum_exp, vector, label);
            put::<I>(&mut rows.log_prob, vector, others);
            put::<I>(&mut rows.target, vector, inverse);
            put::<I>(&mut rows.scale, vector, I::mul(near, inverse));
        }
        let ln = Ln::<I>::new();
        let each = I::chunks(&rows.log_prob).iter().zip(I::chunks_mut(&mut rows.loss));
        for (others, nll) in each.take(self.rows() / I::LANES) {
            I::store(nll, ln.ln_1p(I::load(others)));
        }
    }
}

/// The same as [`outcomes`] where all rows are small, hence without a shift, once [`Stats::small_parts`] are there.
#[inline(always)]
fn small_outcomes<I: Isa>(rows: &RowLines, vector: usize) -> Outcomes<I> {
    let (nll, others, hit) =
        (at::<I>(&rows.loss, vector), at::<I>(&rows.log_prob, vector), at::<I>(&rows.target, vector));
    let ln_total = I::add(at::<I>(&rows.log_sum_exp, vector), nll);
    let (miss, factor, label) = (I::mul(others, hit), at::<I>(&rows.scale, vector), I::splat(1.0));
    Outcomes { nll, log_sum_exp: ln_total, ln_total, miss, hit, factor, label, others }
}
