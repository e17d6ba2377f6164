//! From a block to its row, where a row has no other: a vector of rows at a time, in single precision.
//!
//! A row's sum of exponentials is `m 2^k` with `m` in [1, 2), so its shift is taken to be `k ln 2` above the block's: the
//! loss is then a sum of two terms that are not negative, whatever the block's shift. The label's lead over the shift is
//! taken in f64, and its logarithm and divisions from [`Odds`].

use super::BlockStats;
use super::combine::normalized;
use crate::Element;
use crate::kernels::odds::Odds;
use crate::math::{Exp, Ln};
use crate::objective::{Objective, Outcome, RowResult, RowWeights};
use crate::simd::{Isa, MOST_LANES};
use core::hint::black_box;

/// Rows that are concluded at once, at most.
pub(crate) const GROUP: usize = MOST_LANES;

type Line = [f32; GROUP];

/// A row's shift, times the logit scale; the label's lead over it; and what its exponentials are in those of the block.
#[derive(Debug, Clone, Copy)]
struct Place {
    shift: f64,
    lead: f64,
    unit: f64,
}

/// Rows of one block each.
#[derive(Debug)]
pub(crate) struct LoneRows {
    places: [Place; GROUP],
    lead: Line,
    lost: Line,
    rest: Line,
    logarithm: Line,
    factor: Line,
    miss: Line,
    hit: Line,
}

impl LoneRows {
    pub(crate) const fn new() -> Self {
        const ZERO: Line = [0.0; GROUP];
        Self {
            places: [Place { shift: 0.0, lead: 0.0, unit: 0.0 }; GROUP],
            lead: ZERO,
            lost: ZERO,
            rest: ZERO,
            logarithm: ZERO,
            factor: ZERO,
            miss: ZERO,
            hit: ZERO,
        }
    }

    /// Puts a row: its block and its label's logit. The row's loss is NaN if it has a NaN or +inf logit, or -inf alone.
    #[inline(never)] // as `result`: once for all that conclude rows
    pub(crate) fn put(&mut self, row: usize, block: &BlockStats, label: f32, scale: f64) {
        let alone = block.rest == 0.0;
        let is_nan = label.is_nan()
            || label == f32::INFINITY
            || block.shift.is_nan()
            || (alone && label == f32::NEG_INFINITY);
        let (label, shift) = (f64::from(label), f64::from(block.shift));
        let (place, rest) = if is_nan {
            (Place { shift: f64::NAN, lead: f64::NAN, unit: f64::NAN }, 0.0)
        } else if alone {
            (Place { shift: scale * label, lead: 0.0, unit: 0.0 }, 0.0)
        } else {
            let (mantissa, exponent) = normalized(block.rest);
            let above = exponent as f64 * core::f64::consts::LN_2;
            let unit = f64::from_bits((1023 - exponent).cast_unsigned() << 52);
            let lead = scale * (label - shift) - above;
            (Place { shift: scale * shift + above, lead, unit }, f32::from_f64(mantissa))
        };
        let lead = f32::from_f64(place.lead);
        self.places[row] = place;
        self.lead[row] = lead;
        self.lost[row] = if lead.is_finite() { f32::from_f64(place.lead - f64::from(lead)) } else { 0.0 };
        self.rest[row] = rest;
    }

    /// Concludes the first rows.
    #[inline(never)]
    pub(crate) fn conclude<I: Isa>(&mut self, rows: usize) {
        let rows = rows.next_multiple_of(I::LANES);
        // As lines of any length: the loop is not unrolled then, which brings nothing.
        let (lead, lost, rest) = black_box((&self.lead[..rows], &self.lost[..rows], &self.rest[..rows]));
        let (logarithm, factor) = black_box((&mut self.logarithm[..rows], &mut self.factor[..rows]));
        let (miss, hit) = black_box((&mut self.miss[..rows], &mut self.hit[..rows]));
        I::enter(
            #[inline(always)]
            || {
                let (exp, ln) = (Exp::<I>::new(), Ln::<I>::new());
                let places = I::chunks(lead).iter().zip(I::chunks(lost)).zip(I::chunks(rest));
                let results = I::chunks_mut(logarithm).iter_mut().zip(I::chunks_mut(factor));
                let results = results.zip(I::chunks_mut(miss).iter_mut().zip(I::chunks_mut(hit)));
                for (((lead, lost), rest), ((logarithm, factor), (miss, hit))) in places.zip(results) {
                    let odds =
                        Odds::<I>::new(&exp, I::load(lead), I::load(lost), I::load(rest), I::splat(0.0));
                    I::store(logarithm, ln.ln_1p(odds.excess));
                    I::store(factor, odds.factor());
                    I::store(miss, odds.miss());
                    I::store(hit, odds.hit());
                }
            },
        );
    }

    /// What a row has come to under an objective that needs no moment, its gradient relative to the block's exponentials.
    #[inline(never)]
    pub(crate) fn result(
        &self,
        row: usize,
        objective: &Objective,
        weights: &RowWeights,
        upstream: f64,
    ) -> RowResult {
        let Place { shift, lead, unit } = self.places[row];
        if lead.is_nan() {
            return RowResult::NAN;
        }
        let trails = self.lead[row] <= 0.0 && self.rest[row] != 0.0;
        let logarithm = f64::from(self.logarithm[row]);
        let (below, above) = if trails { (lead, 0.0) } else { (0.0, lead) };
        let outcome = Outcome {
            nll: logarithm - below,
            log_sum_exp: shift + (above + logarithm),
            ln_total: above + logarithm,
            miss: f64::from(self.miss[row]),
            hit: f64::from(self.hit[row]),
            factor: f64::from(self.factor[row]) * unit,
        };
        if objective.is_plain() {
            objective.plain_row(&outcome, weights.row, upstream)
        } else {
            objective.row_of(&outcome, 0.0, weights, upstream)
        }
    }
}
