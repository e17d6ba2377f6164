//! Tiles of [`WIDTH`] rows with one line of scratch per class, in single precision: for rows whose classes are strided
//! (`inner` neighbouring rows share each plane of a class), and for rows of few classes, which are transposed into it.
//!
//! For one row, as in [`super::rows`]. What we do instead, and why:
//!  1. Lanes are rows: every load is a whole vector, no lane is idle whatever the number of classes, and the logarithm at
//!     the end of a row is taken for a vector of rows at once.
//!  2. Everything happens in scratch, so the gradient may replace the logits, and a dtype or a class mask is a matter of
//!     the copy.
//!  3. The label's logit is replaced by -inf after the maximum is known. Its exponential is then the smallest that `exp`
//!     gives, 2.5e-38, which is subtracted from the sum: it is left out of `rest` without a comparison in the loop, and
//!     no digit of `rest` is lost to it. Where a moment is wanted it is swept before.
//!  4. A vector of rows goes down all classes before the next one: shift, sum and largest magnitude stay in registers.
//!  5. The bits of the largest magnitude are kept per row, so that a NaN row does not touch its neighbours.
//!
//! What this costs: a copy in and a copy out, and strided runs of [`WIDTH`] floats of memory.
use super::{MomentOf, zero_threshold};
use crate::math::{Exp, FLOOR, GUARD_BITS, ln_1p};
use crate::objective::RowStats;
use crate::simd::Isa;

/// Rows in a tile.
pub(crate) const WIDTH: usize = 128;

/// A number per row of a tile.
pub(crate) type Line = [f32; WIDTH];

/// Scratch for one tile: a line per class, and lines for what is kept per row.
#[derive(Debug)]
pub(crate) struct Tile<'a> {
    /// Lines of logits, then exponentials, then the gradient.
    pub(crate) lines: &'a mut [Line],
    shift: &'a mut Line,
    label: &'a mut Line,
    rest: &'a mut Line,
    bits: &'a mut Line,
    moment: &'a mut Line,
}

/// Lines of a tile that are not classes.
const PER_ROW: usize = 5;

/// Classes added in single precision before the sums move to f64.
const FLUSH: usize = 256;

/// Floats of scratch that a tile of `classes` needs.
pub(crate) fn scratch_length(classes: usize) -> usize {
    (classes + PER_ROW) * WIDTH
}

impl<'a> Tile<'a> {
    /// A tile over scratch of [`scratch_length`] floats.
    pub(crate) fn new(scratch: &'a mut [f32]) -> Self {
        match scratch.as_chunks_mut().0 {
            [shift, label, rest, bits, moment, lines @ ..] => {
                Self { lines, shift, label, rest, bits, moment }
            }
            _ => panic!("a tile needs the scratch it asks for"),
        }
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

    /// Gathers the statistics of the rows with these labels; a negative label is a row that is not to be computed. The
    /// exponentials replace the logits.
    pub(crate) fn sweep<I: Isa>(&mut self, labels: &[i32; WIDTH], scale: f32, moment: MomentOf<'_>) {
        for (lane, shift) in I::chunks_mut(self.shift).iter_mut().enumerate() {
            let mut most = I::splat(f32::NEG_INFINITY);
            for line in &*self.lines {
                most = I::pmax(most, I::load(&I::chunks(line)[lane]));
            }
            I::store(shift, most);
        }
        self.sweep_moment::<I>(scale, moment);
        for (row, label) in labels.iter().enumerate() {
            if let Ok(label) = usize::try_from(*label) {
                self.label[row] = core::mem::replace(&mut self.lines[label][row], f32::NEG_INFINITY);
            }
        }
        if scale == 1.0 { self.exponentials::<I, false>(scale) } else { self.exponentials::<I, true>(scale) }
    }

    fn exponentials<I: Isa, const SCALED: bool>(&mut self, scale: f32) {
        let scale = I::splat(scale);
        let exp = Exp::<I>::new();
        let nothing = I::splat(self.lines.len() as f32 * FLOOR);
        let vanished = exp.exp(I::splat(f32::NEG_INFINITY)).0;
        let kept = I::chunks_mut(self.rest).iter_mut().zip(I::chunks_mut(self.bits));
        for (lane, ((rest, bits), shift)) in kept.zip(I::chunks(self.shift)).enumerate() {
            let shift = I::load(shift);
            let mut highest = I::splat(0.0);
            let mut wide = Wide::<I>::default();
            for lines in self.lines.chunks_mut(FLUSH) {
                let mut sum = I::splat(0.0);
                for line in lines {
                    let x = &mut I::chunks_mut(line)[lane];
                    let d = I::sub(I::load(x), shift);
                    let (e, n) = exp.exp(if SCALED { I::mul(d, scale) } else { d });
                    I::store(x, e);
                    sum = I::add(sum, e);
                    highest = I::max_bits(highest, n);
                }
                wide.add(sum);
            }
            let sum = I::sub(wide.total(), vanished);
            I::store(rest, I::and_not(sum, I::le(sum, nothing)));
            I::store(bits, highest);
        }
    }

    fn sweep_moment<I: Isa>(&mut self, scale: f32, moment: MomentOf<'_>) {
        if matches!(moment, MomentOf::Nothing) {
            *self.moment = [0.0; WIDTH];
            return;
        }
        let scale = I::splat(scale);
        for ((lane, moments), shift) in
            I::chunks_mut(self.moment).iter_mut().enumerate().zip(I::chunks(self.shift))
        {
            let shift = I::load(shift);
            let mut wide = Wide::<I>::default();
            for (block, lines) in self.lines.chunks(FLUSH).enumerate() {
                let mut sum = I::splat(0.0);
                for (class, line) in lines.iter().enumerate() {
                    let weight = match moment {
                        MomentOf::Weights(weights) => weights[block * FLUSH + class],
                        _ => 1.0,
                    };
                    if weight != 0.0 {
                        let d = I::mul(I::sub(I::load(&I::chunks(line)[lane]), shift), scale);
                        sum = I::add(sum, I::mul(I::splat(weight), d));
                    }
                }
                wide.add(sum);
            }
            I::store(moments, wide.total());
        }
    }

    /// Whether a row's loss is a number: not where a logit is NaN or +inf, or all are -inf.
    fn is_sound(&self, row: usize) -> bool {
        self.shift[row].is_finite()
            && self.label[row] < f32::INFINITY
            && self.bits[row].to_bits() <= GUARD_BITS
    }

    /// The statistics of a row that [`Tile::sweep`] computed; `None` where its loss is NaN.
    pub(crate) fn stats(&self, row: usize) -> Option<RowStats> {
        self.is_sound(row).then(|| RowStats {
            shift: f64::from(self.shift[row]),
            label: f64::from(self.label[row]),
            rest: f64::from(self.rest[row]),
            moment: f64::from(self.moment[row]),
        })
    }

    /// The plain objective (weights and logit scale, no other option) of all rows at once, as
    /// [`Objective::row`](crate::objective::Objective::row) defines it.
    pub(crate) fn plain_rows<I: Isa>(&self, scale: f32, rows: &mut PlainRows) {
        let (scales, zero, one) = (I::splat(scale), I::splat(0.0), I::splat(1.0));
        let exp = Exp::<I>::new();
        let inputs = I::chunks(self.shift).iter().zip(I::chunks(self.label)).zip(I::chunks(self.rest));
        let weights = I::chunks(&rows.weight).iter().zip(I::chunks(&rows.step));
        let outputs = I::chunks_mut(&mut rows.loss).iter_mut().zip(I::chunks_mut(&mut rows.nll)).zip(
            I::chunks_mut(&mut rows.log_sum_exp)
                .iter_mut()
                .zip(I::chunks_mut(&mut rows.scale).iter_mut().zip(I::chunks_mut(&mut rows.target))),
        );
        for ((((shift, label), rest), (weight, step)), ((loss, nll), (lse, (scale, target)))) in
            inputs.zip(weights).zip(outputs)
        {
            let (shift, label, rest) = (I::load(shift), I::load(label), I::load(rest));
            let lead = I::mul(I::sub(label, shift), scales);
            let own = exp.exp(lead).0;
            let ln_total = ln_1p::<I>(I::add(rest, I::sub(own, one)));
            let value = I::sub(ln_total, lead);
            I::store(nll, value);
            // A sum with +0 turns the -0 of a negative weight times an exact 0 into +0.
            I::store(loss, I::add(I::mul(I::load(weight), value), zero));
            I::store(lse, I::add(I::mul(shift, scales), ln_total));
            let factor = I::div(I::load(step), I::add(rest, own));
            I::store(scale, factor);
            I::store(target, I::sub(zero, I::mul(rest, factor)));
        }
        for row in 0..WIDTH {
            if !self.is_sound(row) {
                rows.set_nan(row);
            }
        }
    }

    /// Turns the exponentials into the gradient, `scale e + bias` (times the class's entry of `weights`), row by row. A
    /// scale of 0 gives the bias alone, even of a row with NaN; a scale of NaN gives the one canonical NaN, since which NaN
    /// a product of two is depends on the engine's mood.
    pub(crate) fn write_grad<I: Isa>(
        &mut self,
        scales: &Line,
        biases: Option<&Line>,
        weights: Option<&[f32]>,
    ) {
        let zero = I::splat(0.0);
        let thresholds: Line = core::array::from_fn(|row| zero_threshold(scales[row]));
        for (lane, (scale, threshold)) in I::chunks(scales).iter().zip(I::chunks(&thresholds)).enumerate() {
            let (scale, threshold) = (I::load(scale), I::load(threshold));
            let off = I::eq(scale, zero);
            let bias = biases.map_or(zero, |biases| I::load(&I::chunks(biases)[lane]));
            for (class, line) in self.lines.iter_mut().enumerate() {
                let e = &mut I::chunks_mut(line)[lane];
                let v = I::load(e);
                let mut p = I::and_not(I::mul(I::and_not(v, I::le(v, threshold)), scale), off);
                if biases.is_some() {
                    p = I::add(p, I::mul(bias, I::splat(weights.map_or(1.0, |weights| weights[class]))));
                }
                I::store(e, p);
            }
        }
        for (row, _) in scales.iter().enumerate().filter(|(_, scale)| scale.is_nan()) {
            self.lines.iter_mut().for_each(|line| line[row] = f32::NAN);
        }
    }
}

/// Sums of blocks of classes, per row, in f64.
struct Wide<I: Isa> {
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
    fn add(&mut self, sum: I::V) {
        if self.blocks == 0 {
            self.first = Some(sum);
        } else {
            if let (1, Some(first)) = (self.blocks, self.first) {
                self.widen(first);
            }
            self.widen(sum);
        }
        self.blocks += 1;
    }

    fn widen(&mut self, sum: I::V) {
        for (total, lane) in self.totals.iter_mut().zip(I::lanes(sum).as_ref()) {
            *total += f64::from(*lane);
        }
    }

    /// The sums in single precision; those of one block are as they came.
    #[inline(always)]
    fn total(&self) -> I::V {
        match (self.blocks, self.first) {
            (1, Some(first)) => first,
            _ => {
                use crate::Element;
                let mut lanes = I::lanes(I::splat(0.0));
                for (lane, total) in lanes.as_mut().iter_mut().zip(self.totals) {
                    *lane = f32::from_f64(total);
                }
                I::load(&lanes)
            }
        }
    }
}

/// The rows of a tile under the plain objective: what they are given, and what they come to.
#[derive(Debug)]
pub(crate) struct PlainRows {
    /// The row weights.
    pub(crate) weight: Line,
    /// Upstream times logit scale times row weight.
    pub(crate) step: Line,
    pub(crate) loss: Line,
    /// `-ln softmax(z)[label]`.
    pub(crate) nll: Line,
    pub(crate) log_sum_exp: Line,
    /// What the exponentials are multiplied by.
    pub(crate) scale: Line,
    /// The gradient at the label.
    pub(crate) target: Line,
}

impl PlainRows {
    pub(crate) const fn new() -> Self {
        const ZERO: Line = [0.0; WIDTH];
        Self { weight: ZERO, step: ZERO, loss: ZERO, nll: ZERO, log_sum_exp: ZERO, scale: ZERO, target: ZERO }
    }

    /// A row whose loss and gradient are NaN; one without a step keeps its gradient of 0.
    pub(crate) fn set_nan(&mut self, row: usize) {
        for line in [&mut self.loss, &mut self.nll, &mut self.log_sum_exp] {
            line[row] = f32::NAN;
        }
        let gradient = if self.step[row] == 0.0 { 0.0 } else { f32::NAN };
        self.scale[row] = gradient;
        self.target[row] = gradient;
    }
}
