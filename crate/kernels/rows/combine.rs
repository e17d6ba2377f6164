//! From the blocks of a row to the row: in f64 and in order, whoever swept them.

use crate::objective::RowStats;

/// What a sweep gathers from a block, over the classes other than the label.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BlockStats {
    /// What was subtracted from each logit; NaN where there is a NaN or +inf.
    pub(super) shift: f32,
    /// The sum of the exponentials; 0 where there is nothing above -inf.
    pub(super) rest: f64,
    /// As [`RowStats::moment`], by this block's shift; and the sum of its weights.
    pub(super) moment: f64,
    pub(super) weight: f64,
}

impl BlockStats {
    /// Whether the exponentials were taken without a shift; so too before anything was swept.
    pub(crate) fn is_small(&self) -> bool {
        self.shift == 0.0
    }

    /// Whether nothing but the label, if that, is above -inf.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest == 0.0
    }

    /// What this block's exponentials are multiplied by to be those of the row, which has this shift.
    pub(crate) fn factor(&self, shift: f64, scale: f64) -> f64 {
        power(scale * (f64::from(self.shift) - shift))
    }
}

/// `m` in [1, 2) and `k` of a sum `m 2^k`.
fn normalized(sum: f64) -> (f64, i64) {
    let bits = sum.to_bits();
    (f64::from_bits((bits & (u64::MAX >> 12)) | 1.0_f64.to_bits()), (bits >> 52).cast_signed() - 1023)
}

fn power(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { libm::exp(x) }
}

/// The statistics of a row from those of its blocks; `None` for a row whose loss is NaN: one with a NaN or +inf logit, or with
/// -inf alone.
#[inline(never)]
pub(crate) fn combine<'a>(
    blocks: impl Iterator<Item = &'a BlockStats> + Clone,
    label: f32,
    scale: f64,
) -> Option<RowStats> {
    if label.is_nan() || label == f32::INFINITY || blocks.clone().any(|block| block.shift.is_nan()) {
        return None;
    }
    let counted = blocks.clone().filter(|block| block.rest > 0.0);
    let most = counted.fold(f32::NEG_INFINITY, |most, block| most.max(block.shift));
    let alone = most == f32::NEG_INFINITY;
    let label = f64::from(label);
    if alone && label == f64::NEG_INFINITY {
        return None;
    }
    let shift = if alone { label } else { f64::from(most) };
    let (mut rest, mut moment, mut weight) = (0.0, 0.0, 0.0);
    for block in blocks {
        let above = scale * (f64::from(block.shift) - shift);
        if block.rest > 0.0 {
            rest += block.rest * power(above);
        }
        moment += block.moment + block.weight * above;
        weight += block.weight;
    }
    Some(if alone {
        RowStats { shift, label, rest, moment }
    } else {
        normal(shift, label, (rest, moment, weight), scale)
    })
}

/// The statistics of a row by this shift. The objective adds the label's part to the rest, which must not vanish in it: a rest below 1, of
/// small logits that are all below 0, is made larger and the shift less.
fn normal(shift: f64, label: f64, (rest, moment, weight): (f64, f64, f64), scale: f64) -> RowStats {
    if rest >= 1.0 {
        return RowStats { shift, label, rest, moment };
    }
    let (rest, exponent) = normalized(rest);
    let above = exponent as f64 * core::f64::consts::LN_2;
    RowStats { shift: shift + above / scale, label, rest, moment: moment - weight * above }
}

/// What [`combine`] makes of blocks that are all small, whose sums are added up already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SmallStats {
    /// The label's logit, if it is in one of the blocks.
    pub(super) label: Option<f32>,
    /// As those of [`BlockStats`].
    pub(super) rest: f64,
    pub(super) moment: f64,
    pub(super) weight: f64,
}

impl SmallStats {
    pub(crate) fn row(&self, scale: f64) -> RowStats {
        let label = self.label.map_or(f64::NAN, f64::from);
        normal(0.0, label, (self.rest, self.moment, self.weight), scale)
    }
}
