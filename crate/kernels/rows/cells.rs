//! Where the sweeps read logits and keep exponentials.

use crate::simd::Isa;
use core::ops::Range;

/// Where a row's logits are read and its exponentials kept.
pub(crate) trait Cells<I: Isa> {
    /// Whether the logits are still there after a sweep.
    const LASTING: bool;
    /// The logits: those of the block and no more, but padded to `LANES`.
    fn logits(&self) -> &[f32];
    /// Maps each of the vectors in `range` and keeps the results.
    fn sweep(&mut self, range: Range<usize>, f: impl FnMut(I::V) -> I::V);
    /// Keeps the last vector.
    fn keep_last(&mut self, e: I::V);
}

/// Loss only: the exponentials are dropped.
#[derive(Debug)]
pub(crate) struct ReadOnly<'a>(pub(crate) &'a [f32]);

/// The exponentials are kept where the gradient will be, or in scratch.
#[derive(Debug)]
pub(crate) struct Apart<'a>(pub(crate) &'a [f32], pub(crate) &'a mut [f32]);

/// The gradient replaces the logits.
#[derive(Debug)]
pub(crate) struct InPlace<'a>(pub(crate) &'a mut [f32]);

impl<I: Isa> Cells<I> for ReadOnly<'_> {
    const LASTING: bool = true;
    #[inline(always)]
    fn logits(&self) -> &[f32] {
        self.0
    }
    #[inline(always)]
    fn sweep(&mut self, range: Range<usize>, mut f: impl FnMut(I::V) -> I::V) {
        for x in &I::chunks(self.0)[range] {
            f(I::load(x));
        }
    }
    #[inline(always)]
    fn keep_last(&mut self, _: I::V) {}
}

impl<I: Isa> Cells<I> for Apart<'_> {
    const LASTING: bool = true;
    #[inline(always)]
    fn logits(&self) -> &[f32] {
        self.0
    }
    #[inline(always)]
    fn sweep(&mut self, range: Range<usize>, mut f: impl FnMut(I::V) -> I::V) {
        let x = &I::chunks(self.0)[range.clone()];
        let e = &mut I::chunks_mut(self.1)[range];
        for (x, e) in x.iter().zip(e) {
            I::store(e, f(I::load(x)));
        }
    }
    #[inline(always)]
    fn keep_last(&mut self, e: I::V) {
        I::store(I::last_mut(self.1), e);
    }
}

impl<I: Isa> Cells<I> for InPlace<'_> {
    const LASTING: bool = false;
    #[inline(always)]
    fn logits(&self) -> &[f32] {
        self.0
    }
    #[inline(always)]
    fn sweep(&mut self, range: Range<usize>, mut f: impl FnMut(I::V) -> I::V) {
        for x in &mut I::chunks_mut(self.0)[range] {
            let e = f(I::load(x));
            I::store(x, e);
        }
    }
    #[inline(always)]
    fn keep_last(&mut self, e: I::V) {
        I::store(I::last_mut(self.0), e);
    }
}
