//! The objective with options beyond weights and the logit scale: [`SingleTerms`] have their arithmetic.

use super::{Line, RowLines, Stats, outcomes, small_share};
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
            let at = inlined(
                #[inline(always)]
                |line: &[f32]| I::load(&I::chunks(line)[vector]),
            );
            let outcomes = if self.all_small {
                small_outcomes::<I>(rows, vector)
            } else {
                outcomes::<I>(&functions, scale, self, vector)
            };
            let spread = inlined(
                #[inline(always)]
                || Spread {
                    moment: at(self.moment),
                    sample: at(&rows.sample),
                    sample_step: at(&rows.sample_step),
                    others: at(&rows.spread),
                },
            );
            let (step, sample_step) = (at(&rows.step), at(&rows.sample_step));
            let results = terms.rows::<I>(&functions, &outcomes, (at(&rows.weight), step), spread);
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
            let settled = if self.all_sound { settled } else { I::and(settled, at(self.sound)) };
            all = I::and(all, settled);
            let put = inlined(
                #[inline(always)]
                |line: &mut Line, v: I::V| I::store(&mut I::chunks_mut(line)[vector], v),
            );
            put(&mut rows.log_prob, I::sub(zero, outcomes.nll));
            // A sum with +0 turns the -0 of a negative weight times an exact 0 into +0.
            put(&mut rows.loss, I::add(results.loss, zero));
            put(&mut rows.log_sum_exp, outcomes.log_sum_exp);
            put(&mut rows.scale, I::add(results.scale, zero));
            put(&mut rows.target, I::add(results.target, zero));
            put(&mut rows.bias, results.bias);
            put(&mut rows.settled, settled);
        }
        !I::all(all)
    }

    /// What [`small_outcomes`] are made of, in loops of their own: one loop for all would wait for the exponential, the division, the logarithm
    /// and the terms of a vector in turn.
    #[inline(always)]
    fn small_parts<I: Isa>(&self, scale: I::V, rows: &mut RowLines) {
        let exp = Exp::<I>::new();
        for vector in 0..self.rows() / I::LANES {
            let at = inlined(
                #[inline(always)]
                |line: &[f32]| I::load(&I::chunks(line)[vector]),
            );
            let put = inlined(
                #[inline(always)]
                |line: &mut Line, v: I::V| I::store(&mut I::chunks_mut(line)[vector], v),
            );
            let label = I::mul(at(self.label), scale);
            let (near, others) = small_share(&exp, label, at(self.rest));
            let inverse = I::div(exp.one, I::add(exp.one, others));
            put(&mut rows.log_sum_exp, label);
            put(&mut rows.log_prob, others);
            put(&mut rows.target, inverse);
            put(&mut rows.scale, I::mul(near, inverse));
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
    let at = inlined(
        #[inline(always)]
        |line: &Line| I::load(&I::chunks(line)[vector]),
    );
    let (nll, others, hit) = (at(&rows.loss), at(&rows.log_prob), at(&rows.target));
    let ln_total = I::add(at(&rows.log_sum_exp), nll);
    let (miss, factor, label) = (I::mul(others, hit), at(&rows.scale), I::splat(1.0));
    Outcomes { nll, log_sum_exp: ln_total, ln_total, miss, hit, factor, label, others }
}
