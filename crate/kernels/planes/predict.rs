//! The class with the largest logit, row by row of a tile.

use super::{Tile, WIDTH, ZERO};
use crate::simd::Isa;

impl Tile<'_> {
    /// The place of the first of the largest logits; -1 where one is NaN, and where the row is not computed. After
    /// [`Tile::observe`], which found the largest of the others, and before the exponentials.
    // Not inlined: once for all element types and layouts.
    #[inline(never)]
    pub(super) fn predict<I: Isa>(&self, labels: &[i32; WIDTH], predictions: &mut [i32; WIDTH]) {
        let classes = u32::try_from(self.lines.len()).unwrap_or(NOWHERE);
        let mut firsts = ZERO;
        I::enter(
            #[inline(always)]
            || {
                for (lane, (first, shift)) in
                    I::chunks_mut(&mut firsts).iter_mut().zip(I::chunks(self.shift)).enumerate()
                {
                    let shift = I::load(shift);
                    let mut found = I::splat(f32::from_bits(NOWHERE));
                    // From the last to the first, whose place remains.
                    let mut class = classes;
                    for line in self.lines.iter().rev() {
                        class -= 1;
                        let x = I::load(&I::chunks(line)[lane]);
                        found = I::select(I::eq(x, shift), I::splat(f32::from_bits(class)), found);
                    }
                    I::store(first, found);
                }
            },
        );
        for (row, (prediction, label)) in predictions.iter_mut().zip(labels).enumerate().take(self.rows()) {
            let (own, largest) = (self.label[row], self.shift[row]);
            let other = firsts[row].to_bits().cast_signed();
            *prediction = if own > largest {
                *label
            } else if own < largest {
                other
            } else {
                other.min(*label)
            };
            if *label < 0 || (!self.is_sound(row) && self.holds_nan(row)) {
                *prediction = -1;
            }
        }
    }

    fn holds_nan(&self, row: usize) -> bool {
        self.label[row].is_nan() || self.lines.iter().any(|line| line[row].is_nan())
    }
}

/// Where no other class is above -inf: any class is before it.
const NOWHERE: u32 = f32::MAX.to_bits();
