//! The label against all other classes, for a vector of rows: from the sum of their exponentials to what loss and gradient are made of.

use crate::math::Exp;
use crate::simd::Isa;

/// The exponentials of a row, relative to the larger of two numbers: the label's logit, and the shift that was subtracted from the other
/// logits. The larger one's exponential is exactly 1, and no other overflows.
pub(super) struct Odds<I: Isa> {
    /// All ones where the shift is the larger one.
    pub(super) trails: I::V,
    /// The exponential of the smaller one, `exp(-|lead|)`; in a row of small logits that of the shift, `exp(-lead)`.
    pub(super) near: I::V,
    /// The sum of all exponentials, less 1. Its logarithm is `ln_1p` of this, which keeps the digits of a row that is sure of its label.
    pub(super) excess: I::V,
    /// The sum of the other classes' exponentials, and 1 over the sum of all.
    pub(super) others: I::V,
    pub(super) inverse: I::V,
    one: I::V,
}

impl<I: Isa> Odds<I> {
    /// `lead` is by how much the label's logit is above the shift, and `lost`, a finite number, what rounding took from that. `rest` is the
    /// sum of the other classes' exponentials relative to the shift. It is 0 or at least 1; in rows of small logits, which have no shift,
    /// it may be anything from e^-40 on. `small` has all bits set in those rows.
    #[inline(always)]
    pub(super) fn new(exp: &Exp<I>, lead: I::V, lost: I::V, rest: I::V, small: I::V) -> Self {
        // The exponential has a vector of ones already: a second one would take another register.
        let (zero, one) = (I::splat(0.0), exp.one);
        let trails = I::and_not(I::le(lead, zero), I::or(small, I::eq(rest, zero)));
        // The distance between the label's logit and the shift. Rows of small logits keep its sign.
        let size = I::and(lead, I::or(exp.all_but_sign, small));
        // An exponential that counts as 0 is set to 0 before it is corrected: what rounding took from a large lead is large too.
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

    /// The label's exponential.
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
