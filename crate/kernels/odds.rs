//! The label against all other classes, for a vector of rows: where the loss of a row comes from its sums.

use crate::math::Exp;
use crate::simd::Isa;

/// A label whose logit is `lead` above the shift, where the other classes' exponentials add up to `rest`: either 0 or at least 1,
/// or, of small logits and without a shift, anything from e^-40 on.
pub(super) struct Odds<I: Isa> {
    /// Where the label is not above the shift.
    pub(super) trails: I::V,
    /// `exp(-|lead|)`; of small logits `exp(-lead)`.
    pub(super) near: I::V,
    /// The sum of all exponentials, relative to the larger of label and shift, is 1 more; its logarithm is `ln_1p` of this.
    pub(super) excess: I::V,
    /// The other classes' exponentials and one over the sum of all, relative to the same.
    pub(super) others: I::V,
    pub(super) inverse: I::V,
    one: I::V,
}

impl<I: Isa> Odds<I> {
    /// `lost` is what rounding took from the lead, and finite; `small` has all bits of the rows set whose logits are.
    #[inline(always)]
    pub(super) fn new(exp: &Exp<I>, lead: I::V, lost: I::V, rest: I::V, small: I::V) -> Self {
        // Constants other than 0 come from the table, as in the exponential itself.
        let (zero, one) = (I::splat(0.0), exp.one);
        let trails = I::and_not(I::le(lead, zero), I::or(small, I::eq(rest, zero)));
        // Of the label relative to the shift where it trails, else the other way round.
        let size = I::and(lead, I::or(exp.all_but_sign, small));
        // What counts as 0 is so before it is corrected: of a large lead, what was lost is large too.
        let near = exp.exp(I::sub(zero, size));
        let near = I::and_not(near, I::le(near, exp.floor));
        let near = I::mul_add(near, I::select(trails, lost, I::sub(zero, lost)), near);

        let others = I::mul(rest, near);
        Self {
            trails,
            near,
            excess: I::select(trails, I::add(I::sub(rest, one), near), others),
            others: I::select(trails, rest, others),
            inverse: I::div(one, I::select(trails, I::add(rest, near), I::add(one, others))),
            one,
        }
    }

    /// What the other classes' exponentials are multiplied by to be probabilities.
    #[inline(always)]
    pub(super) fn factor(&self) -> I::V {
        I::mul(I::select(self.trails, self.one, self.near), self.inverse)
    }

    /// The label's exponential, relative to the same as the others.
    #[inline(always)]
    pub(super) fn own(&self) -> I::V {
        I::select(self.trails, self.near, self.one)
    }

    /// The probability of the label.
    #[inline(always)]
    pub(super) fn hit(&self) -> I::V {
        I::mul(self.own(), self.inverse)
    }

    /// The probability of the other classes.
    #[inline(always)]
    pub(super) fn miss(&self) -> I::V {
        I::mul(self.others, self.inverse)
    }
}
