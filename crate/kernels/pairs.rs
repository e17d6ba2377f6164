//! Rows of two classes side by side, in closed form and in single precision; no option beyond weights and the logit scale.
//!
//! For one row of logits `a`, `b`, the first of which is the label's, plainly:
//!
//! ```text
//! e = exp(-|a - b|)
//! loss = ln(1 + e) + max(b - a, 0)
//! p = (b >= a ? 1 : e) / (1 + e)                      the other class's probability
//! grad[b] = step p        grad[a] = -step p
//! ```
//!
//! What we do instead, and why:
//!  1. Lanes are rows: two vectors of logits are pulled apart into the first and the second class of as many rows, and the
//!     difference is turned over where the label is the second. No maximum, no sum, no copy of the logits.
//!  2. What rounding takes from the difference is put back, as for any number of classes: it would be the largest error of
//!     a confident row.
//!  3. Three loops, over [`WIDTH`] rows each: the exponentials, the losses, the gradient. Each has about as many constants as
//!     there are registers. And the logits have all been read, and found to be ordinary, before one is replaced.
//!  4. What is not ordinary goes in groups as in [`super::rows`], whose results for ordinary rows have the same bits.
//!
//! What this costs: two numbers a row of scratch, written and read. `bench/record` has the call `1048576x2`.
use super::MIN_SCALED;
use super::objective::{Line, WIDTH};
use crate::math::{Exp, FLOOR, Ln};
use crate::simd::{Isa, MOST_LANES};

/// Rows of two classes on their way through.
#[derive(Debug)]
pub(crate) struct Pairs {
    /// The row weights.
    pub(crate) weight: Line,
    /// Upstream times logit scale times row weight.
    pub(crate) step: Line,
    /// By how much the label leads, scaled.
    lead: Line,
    /// `exp(-|lead|)`.
    near: Line,
}

impl Pairs {
    pub(crate) const fn new() -> Self {
        let zero = [0.0; WIDTH];
        Self { weight: zero, step: zero, lead: zero, near: zero }
    }

    /// Reads the logits of up to [`WIDTH`] rows with these classes. Whether all rows are ordinary: none is ignored or invalid, and no
    /// difference of logits is NaN or infinite.
    pub(crate) fn sweep<I: Isa>(&mut self, x: &[f32], classes: &[i32], scale: f32) -> bool {
        let whole = classes.len() / I::LANES * I::LANES;
        let (x, left) = x.split_at(2 * whole);
        let (classes, left_classes) = classes.split_at(whole);
        let mut last = ([0.0; 2 * MOST_LANES], [0; MOST_LANES]);
        last.0[..left.len()].copy_from_slice(left);
        last.1[..left_classes.len()].copy_from_slice(left_classes);
        let last = (&last.0[..2 * I::LANES], &last.1[..I::LANES]);
        self.exponentials::<I>(0, x, classes, scale)
            && (left.is_empty() || self.exponentials::<I>(whole, last.0, last.1, scale))
    }

    /// Of whole vectors of rows.
    #[inline(never)]
    fn exponentials<I: Isa>(&mut self, first: usize, x: &[f32], labels: &[i32], scale: f32) -> bool {
        I::enter(
            #[inline(always)]
            || self.exponentiate::<I>(first, I::pairs(x), I::codes(labels), scale),
        )
    }

    #[inline(always)]
    fn exponentiate<I: Isa>(
        &mut self,
        first: usize,
        x: &[I::Pairs],
        labels: &[I::Codes],
        scale: f32,
    ) -> bool {
        let (scale, sign, floor) = (I::splat(scale), I::splat(-0.0), I::splat(FLOOR));
        let exp = Exp::<I>::new();
        let mut most = I::splat(0.0);
        let outputs =
            I::chunks_mut(&mut self.lead[first..]).iter_mut().zip(I::chunks_mut(&mut self.near[first..]));
        for ((x, labels), (leads, nears)) in x.iter().zip(labels).zip(outputs) {
            let ((a, b), label) = (I::load_pairs(x), I::load_bits(labels));
            let difference = I::sub(a, b);
            let part = I::sub(difference, a);
            let lost = I::sub(I::sub(a, I::sub(difference, part)), I::add(b, part));
            let lead = I::mul(difference, scale);
            // What rounding has added to |difference|.
            let lost = I::mul(I::xor(lost, I::and_not(sign, difference)), scale);
            // Rows that are not ordinary have negative codes. As unsigned bits these are larger than any number's.
            most = I::max_bits(most, I::max_bits(I::abs(lead), label));
            let near = exp.exp(I::or(lead, sign));
            // An exponential that counts as 0 is set to 0 before it is corrected: what rounding took from a large lead is large too.
            let near = I::and_not(near, I::le(near, floor));
            I::store(nears, I::mul_add(near, lost, near));
            I::store(leads, I::xor(lead, I::sign_of_lowest_bit(label)));
        }
        I::largest_bits(most) < f32::INFINITY.to_bits()
    }

    /// The losses of the rows of the last [`Pairs::sweep`].
    pub(crate) fn losses<I: Isa>(&self, losses: &mut [f32]) {
        let whole = losses.len() / I::LANES * I::LANES;
        let (vectors, losses) = losses.split_at_mut(whole);
        self.logarithms::<I>(0, I::chunks_mut(vectors));
        if !losses.is_empty() {
            let mut last = [I::empty()];
            self.logarithms::<I>(whole, &mut last);
            losses.copy_from_slice(&last[0].as_ref()[..losses.len()]);
        }
    }

    #[inline(never)]
    fn logarithms<I: Isa>(&self, first: usize, losses: &mut [I::Chunk]) {
        I::enter(
            #[inline(always)]
            || self.take_logarithms::<I>(first, losses),
        );
    }

    #[inline(always)]
    fn take_logarithms<I: Isa>(&self, first: usize, losses: &mut [I::Chunk]) {
        let (zero, ln) = (I::splat(0.0), Ln::<I>::new());
        let rows = I::chunks(&self.lead[first..]).iter().zip(I::chunks(&self.near[first..]));
        for (loss, ((lead, near), weight)) in
            losses.iter_mut().zip(rows.zip(I::chunks(&self.weight[first..])))
        {
            let lead = I::load(lead);
            let value = I::sub(ln.ln_1p(I::load(near)), I::and(lead, I::le(lead, zero)));
            // A sum with +0 turns the -0 of a negative weight times an exact 0 into +0.
            I::store(loss, I::add(I::mul(I::load(weight), value), zero));
        }
    }

    /// The gradient of the rows of the last [`Pairs::sweep`], which had these classes.
    pub(crate) fn gradient<I: Isa>(&self, classes: &[i32], grad: &mut [f32]) {
        let whole = classes.len() / I::LANES * I::LANES;
        let (grad, left) = grad.split_at_mut(2 * whole);
        let (classes, left_classes) = classes.split_at(whole);
        self.vectors::<I>(0, classes, grad);
        if !left.is_empty() {
            let mut last = ([0.0; 2 * MOST_LANES], [0; MOST_LANES]);
            last.1[..left_classes.len()].copy_from_slice(left_classes);
            self.vectors::<I>(whole, &last.1[..I::LANES], &mut last.0[..2 * I::LANES]);
            left.copy_from_slice(&last.0[..left.len()]);
        }
    }

    /// Of whole vectors of rows.
    #[inline(never)]
    fn vectors<I: Isa>(&self, first: usize, labels: &[i32], grad: &mut [f32]) {
        I::enter(
            #[inline(always)]
            || self.write_vectors::<I>(first, I::codes(labels), I::pairs_mut(grad)),
        );
    }

    #[inline(always)]
    fn write_vectors<I: Isa>(&self, first: usize, labels: &[I::Codes], grad: &mut [I::Pairs]) {
        let (zero, one, least) = (I::splat(0.0), I::splat(1.0), I::splat(MIN_SCALED));
        let rows = I::chunks(&self.lead[first..]).iter().zip(I::chunks(&self.near[first..]));
        let rows = rows.zip(I::chunks(&self.step[first..]));
        for ((labels, grad), ((lead, near), step)) in labels.iter().zip(grad).zip(rows) {
            let (near, trails) = (I::load(near), I::le(I::load(lead), zero));
            let inverse = I::div(one, I::add(one, near));
            // The larger of the two exponentials is 1.
            let other = I::pmax(near, I::and(one, trails));
            let other = I::mul(I::load(step), I::mul(other, inverse));
            let label = I::sub(zero, other);
            // As `zero_threshold` has it. The label's element has no threshold.
            let other = I::and_not(other, I::le(I::abs(other), least));
            let turn = I::and(I::xor(label, other), I::eq(I::load_bits(labels), zero));
            I::store_pairs(grad, I::xor(other, turn), I::xor(label, turn));
        }
    }
}
