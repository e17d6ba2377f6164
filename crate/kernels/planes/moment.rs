//! The weighted sum of the shifted logits of each row, which label smoothing asks for.

use super::wide::Wide;
use super::{FLUSH, Line, SIDE, Tile, WIDTH, labelled};
use crate::kernels::MomentOf;
use crate::simd::Isa;

/// What a class's shifted logit is multiplied by.
#[derive(Clone, Copy)]
struct Factors<'a> {
    scale: f32,
    weights: Option<&'a [f32]>,
}

impl Tile<'_> {
    /// After [`Tile::observe`], and before the exponentials.
    // Not inlined: once for all element types and layouts.
    #[inline(never)]
    pub(super) fn moments<I: Isa>(&mut self, labels: &[i32; WIDTH], scale: f32, moment: MomentOf<'_>) {
        let weights = match moment {
            MomentOf::Nothing => {
                return self.moment.fill(0.0);
            }
            MomentOf::Ones => None,
            MomentOf::Weights(weights) => Some(weights),
        };
        // A label that is as large as the shift adds nothing.
        for (row, label) in labelled(labels, self.rows()) {
            self.lines[label][row] = self.shift[row];
        }
        let factors = Factors { scale, weights };
        I::enter(
            #[inline(always)]
            || {
                for group in 0..self.rows() / (SIDE * I::LANES) {
                    if weights.is_none() && scale == 1.0 {
                        self.moment_of::<I, false>(group, factors);
                    } else {
                        self.moment_of::<I, true>(group, factors);
                    }
                }
            },
        );
        for (row, label) in labelled(labels, self.rows()) {
            self.lines[label][row] = f32::NEG_INFINITY;
        }
    }

    /// [`SIDE`] vectors of rows side by side, where one would wait for its own last sum.
    #[inline(always)]
    fn moment_of<I: Isa, const FACTORS: bool>(&mut self, group: usize, factors: Factors<'_>) {
        let shifts = I::chunks(self.shift)[SIDE * group..].first_chunk::<SIDE>();
        let [a, b, c, d] = shifts.expect("a whole group");
        let shifts = [I::load(a), I::load(b), I::load(c), I::load(d)];
        let mut sums = [I::splat(0.0); SIDE];
        if self.lines.len() <= FLUSH {
            add::<I, FACTORS>(self.lines, 0, group, shifts, factors, &mut sums);
        } else {
            let mut wide = [Wide::<I>::default(), Wide::default(), Wide::default(), Wide::default()];
            for (block, lines) in self.lines.chunks(FLUSH).enumerate() {
                let mut sums = [I::splat(0.0); SIDE];
                add::<I, FACTORS>(lines, block * FLUSH, group, shifts, factors, &mut sums);
                for side in 0..SIDE {
                    wide[side].add(sums[side]);
                }
            }
            for side in 0..SIDE {
                sums[side] = wide[side].total();
            }
        }
        let moments = &mut I::chunks_mut(self.moment)[SIDE * group..];
        for side in 0..SIDE {
            I::store(&mut moments[side], sums[side]);
        }
    }
}

/// The classes of `lines`, the first of which is class `first`.
#[inline(always)]
fn add<I: Isa, const FACTORS: bool>(
    lines: &[Line],
    first: usize,
    group: usize,
    shifts: [I::V; SIDE],
    factors: Factors<'_>,
    sums: &mut [I::V; SIDE],
) {
    let scale = I::splat(factors.scale);
    for (class, line) in lines.iter().enumerate() {
        let weight = factors.weights.map_or(1.0, |weights| weights[first + class]);
        // Leaves the class out, even at -inf.
        if FACTORS && weight == 0.0 {
            continue;
        }
        let x = &I::chunks(line)[SIDE * group..][..SIDE];
        for side in 0..SIDE {
            let d = I::sub(I::load(&x[side]), shifts[side]);
            let d = if FACTORS { I::mul(I::splat(weight), I::mul(d, scale)) } else { d };
            sums[side] = I::add(sums[side], d);
        }
    }
}
