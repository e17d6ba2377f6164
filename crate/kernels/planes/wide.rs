//! Sums over many classes.

use crate::Element;
use crate::simd::Isa;

/// Sums of blocks of classes, per row, in f64.
pub(super) struct Wide<I: Isa> {
    totals: [f64; 16],
    first: Option<I::V>,
    blocks: usize,
}

impl<I: Isa> Default for Wide<I> {
    fn default() -> Self {
        Self { totals: [0.0; 16], first: None, blocks: 0 }
    }
}

impl<I: Isa> Wide<I> {
    #[inline(always)]
    pub(super) fn add(&mut self, sum: I::V) {
        if self.blocks == 0 {
            self.first = Some(sum);
        } else {
            if let (1, Some(first)) = (self.blocks, self.first) {
                self.widen(&I::lanes(first));
            }
            self.widen(&I::lanes(sum));
        }
        self.blocks += 1;
    }

    fn widen(&mut self, sum: &I::Chunk) {
        for (total, lane) in self.totals.iter_mut().zip(sum.as_ref()) {
            *total += f64::from(*lane);
        }
    }

    /// The sums in single precision; those of one block are as they came.
    #[inline(always)]
    pub(super) fn total(&self) -> I::V {
        match (self.blocks, self.first) {
            (1, Some(first)) => first,
            _ => {
                let mut lanes = I::lanes(I::splat(0.0));
                for (lane, total) in lanes.as_mut().iter_mut().zip(self.totals) {
                    *lane = f32::from_f64(total);
                }
                I::load(&lanes)
            }
        }
    }
}
