//! Rows whose classes are strided, in single precision: `inner` neighbouring rows share each plane of a class.
//!
//! For one row, as in [`super::rows`] with the maximum as shift. What we do instead, and why:
//!  1. A tile of [`WIDTH`] rows is copied to scratch, one line per class, and everything happens there: lanes are rows,
//!     loads are whole vectors, the gradient may replace the logits, and a dtype or a class mask is a matter of the copy.
//!  2. The label's logit is replaced by -inf after the maximum is known. Its exponential then counts as 0: it is left out
//!     of `rest` without a comparison in the loop. Where a moment is wanted it is swept before.
//!  3. The largest quotient bits are kept per row, so that a NaN row does not touch its neighbours.
//!
//! What this costs: two passes over scratch more than side-by-side rows, and strided runs of [`WIDTH`] floats of memory.
use super::{MomentOf, without_floor, zero_threshold};
use crate::math::{Exp, GUARD_BITS};
use crate::objective::RowStats;
use crate::simd::Isa;

/// Rows in a tile.
pub(crate) const WIDTH: usize = 128;

/// Scratch for one tile: a line of [`WIDTH`] per class, and lines for what is kept per row.
#[derive(Debug)]
pub(crate) struct Tile<'a> {
    /// Lines of logits, then exponentials, then the gradient.
    pub(crate) lines: &'a mut [[f32; WIDTH]],
    per_row: &'a mut [[f32; WIDTH]],
    rest: [f64; WIDTH],
    moment: [f64; WIDTH],
}

/// Lines of [`Tile::per_row`]; `SUM` is what has not moved to f64 yet.
const SHIFT: usize = 0;
const SUM: usize = 1;
const BITS: usize = 2;
const LABEL: usize = 3;
const PER_ROW: usize = 4;

/// Classes added in single precision before the sums move to f64.
const FLUSH: usize = 256;

/// Floats of scratch that a tile of `classes` needs.
pub(crate) fn scratch_length(classes: usize) -> usize {
    (classes + PER_ROW) * WIDTH
}

impl<'a> Tile<'a> {
    /// A tile over scratch of [`scratch_length`] floats.
    pub(crate) fn new(scratch: &'a mut [f32]) -> Self {
        let lines = scratch.as_chunks_mut().0;
        let (per_row, lines) = lines.split_at_mut(PER_ROW);
        Self { lines, per_row, rest: [0.0; WIDTH], moment: [0.0; WIDTH] }
    }

    /// The first of the largest logits of each row, before [`Tile::sweep`]; `None` where one is NaN.
    pub(crate) fn argmax(&self) -> [Option<usize>; WIDTH] {
        let mut best = [Some(0); WIDTH];
        let mut most = [f32::NEG_INFINITY; WIDTH];
        for (class, line) in self.lines.iter().enumerate() {
            for ((x, most), best) in line.iter().zip(&mut most).zip(&mut best) {
                if x.is_nan() {
                    *best = None;
                } else if *x > *most && best.is_some() {
                    (*most, *best) = (*x, Some(class));
                }
            }
        }
        best
    }

    /// Sets the exponentials of rows with scale 0 to 0, which a NaN among them would survive.
    pub(crate) fn clear(&mut self, scale: &[f32; WIDTH]) {
        for line in self.lines.iter_mut() {
            for (e, scale) in line.iter_mut().zip(scale) {
                *e = if *scale == 0.0 { 0.0 } else { *e };
            }
        }
    }

    /// Gathers the statistics of the rows with these labels; a negative label is a row that is not to be computed. The
    /// exponentials replace the logits.
    pub(crate) fn sweep<I: Isa>(&mut self, labels: &[i32], scale: f32, moment: MomentOf<'_>) {
        let scales = I::splat(scale);
        let exp = Exp::<I>::new();
        self.per_row[SHIFT] = [f32::NEG_INFINITY; WIDTH];
        for line in &*self.lines {
            for (most, x) in I::chunks_mut(&mut self.per_row[SHIFT]).iter_mut().zip(I::chunks(line)) {
                let v = I::pmax(I::load(most), I::load(x));
                I::store(most, v);
            }
        }
        self.sweep_moment::<I>(scale, moment);
        for (row, label) in labels.iter().enumerate() {
            if let Ok(label) = usize::try_from(*label) {
                self.per_row[LABEL][row] = core::mem::replace(&mut self.lines[label][row], f32::NEG_INFINITY);
            }
        }
        self.per_row[BITS] = [0.0; WIDTH];
        self.rest = [0.0; WIDTH];
        for lines in self.lines.chunks_mut(FLUSH) {
            self.per_row[SUM] = [0.0; WIDTH];
            let [shift, sum, bits, ..] = self.per_row else { return };
            for line in lines {
                let state = I::chunks(shift).iter().zip(I::chunks_mut(sum)).zip(I::chunks_mut(bits));
                for (x, ((shift, sum), bits)) in I::chunks_mut(line).iter_mut().zip(state) {
                    let d = I::mul(I::sub(I::load(x), I::load(shift)), scales);
                    let (e, n) = exp.exp(d);
                    I::store(x, e);
                    let added = I::add(I::load(sum), e);
                    I::store(sum, added);
                    let most = I::max_bits(I::load(bits), n);
                    I::store(bits, most);
                }
            }
            flush(&mut self.rest, sum);
        }
    }

    fn sweep_moment<I: Isa>(&mut self, scale: f32, moment: MomentOf<'_>) {
        self.moment = [0.0; WIDTH];
        if matches!(moment, MomentOf::Nothing) {
            return;
        }
        let scales = I::splat(scale);
        for (block, lines) in self.lines.chunks(FLUSH).enumerate() {
            self.per_row[SUM] = [0.0; WIDTH];
            let [shift, sum, ..] = self.per_row else { return };
            for (class, line) in lines.iter().enumerate() {
                let weight = match moment {
                    MomentOf::Weights(weights) => weights[block * FLUSH + class],
                    _ => 1.0,
                };
                if weight == 0.0 {
                    continue;
                }
                let weight = I::splat(weight);
                let columns = I::chunks(line).iter().zip(I::chunks(shift)).zip(I::chunks_mut(sum));
                for ((x, shift), sum) in columns {
                    let d = I::mul(I::sub(I::load(x), I::load(shift)), scales);
                    let added = I::add(I::load(sum), I::mul(weight, d));
                    I::store(sum, added);
                }
            }
            flush(&mut self.moment, sum);
        }
    }

    /// The statistics of a row that [`Tile::sweep`] computed; `None` where its loss is NaN.
    pub(crate) fn stats(&self, row: usize) -> Option<RowStats> {
        let shift = self.per_row[SHIFT][row];
        let label = self.per_row[LABEL][row];
        let sound =
            shift.is_finite() && label < f32::INFINITY && self.per_row[BITS][row].to_bits() <= GUARD_BITS;
        sound.then(|| RowStats {
            shift: f64::from(shift),
            label: f64::from(label),
            rest: without_floor(self.rest[row], self.lines.len()),
            moment: self.moment[row],
        })
    }

    /// Turns the exponentials into the gradient, `scale e + bias` (times the class's entry of `weights`), row by row.
    pub(crate) fn write_grad<I: Isa>(
        &mut self,
        scales: &[f32; WIDTH],
        biases: Option<&[f32; WIDTH]>,
        weights: Option<&[f32]>,
    ) {
        let threshold: [f32; WIDTH] = core::array::from_fn(|row| zero_threshold(scales[row]));
        for (class, line) in self.lines.iter_mut().enumerate() {
            let weight = I::splat(weights.map_or(1.0, |weights| weights[class]));
            let columns = I::chunks(scales).iter().zip(I::chunks(&threshold));
            for (lane, (e, (scale, threshold))) in I::chunks_mut(line).iter_mut().zip(columns).enumerate() {
                let v = I::load(e);
                let mut p = I::mul(I::and_not(v, I::le(v, I::load(threshold))), I::load(scale));
                if let Some(biases) = biases {
                    p = I::add(p, I::mul(I::load(&I::chunks(biases)[lane]), weight));
                }
                I::store(e, p);
            }
        }
    }
}

fn flush(totals: &mut [f64; WIDTH], sums: &[f32; WIDTH]) {
    for (total, sum) in totals.iter_mut().zip(sums) {
        *total += f64::from(*sum);
    }
}
