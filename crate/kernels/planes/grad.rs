//! From the exponentials of a tile to its gradient.

use super::Tile;
use crate::kernels::MIN_SCALED;
use crate::kernels::objective::{Line, PlainRows, ZERO};
use crate::math::FLOOR;
use crate::simd::Isa;
use core::hint::black_box;

/// What [`zero_threshold`](crate::kernels::zero_threshold) is for the scales of a vector of rows.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Thresholds<I: Isa> {
    floor: I::V,
    least: I::V,
}

impl<I: Isa> Thresholds<I> {
    #[inline(always)]
    pub(in crate::kernels) fn new() -> Self {
        // Hidden from the compiler, which would make them anew for each vector.
        Self { floor: I::splat(black_box(FLOOR)), least: I::splat(black_box(MIN_SCALED)) }
    }

    #[inline(always)]
    pub(in crate::kernels) fn of(&self, scale: I::V) -> I::V {
        I::pmax(self.floor, I::div(self.least, I::abs(scale)))
    }
}

/// The gradient of a tile, vector by vector: `scale e + bias`, but for the label's element.
#[derive(Debug)]
pub(crate) struct Grad<'t, I: Isa> {
    pub(crate) lines: &'t [Line],
    scales: &'t Line,
    /// Exponentials up to here count as 0; see [`zero_threshold`](crate::kernels::zero_threshold).
    thresholds: &'t Line,
    biases: Option<&'t Line>,
    weights: Option<&'t [f32]>,
    isa: core::marker::PhantomData<I>,
}

impl<'t, I: Isa> Grad<'t, I> {
    #[inline(always)]
    pub(super) fn new(
        lines: &'t [Line],
        rows: &'t PlainRows,
        biases: Option<&'t Line>,
        weights: Option<&'t [f32]>,
        thresholds: &'t mut Line,
    ) -> Self {
        let limits = Thresholds::<I>::new();
        for (threshold, scale) in I::chunks_mut(thresholds).iter_mut().zip(I::chunks(&rows.scale)) {
            I::store(threshold, limits.of(I::load(scale)));
        }
        Self { lines, scales: &rows.scale, thresholds, biases, weights, isa: core::marker::PhantomData }
    }

    /// Whether there is anything to add.
    pub(crate) fn is_biased(&self) -> bool {
        self.biases.is_some()
    }

    /// The gradient of a vector of rows.
    #[inline(always)]
    pub(crate) fn rows(&self, lane: usize) -> GradRows<'t, I> {
        GradRows {
            lines: self.lines,
            lane,
            scale: I::load(&I::chunks(self.scales)[lane]),
            threshold: I::load(&I::chunks(self.thresholds)[lane]),
            bias: I::load(&I::chunks(self.biases.unwrap_or(&ZERO))[lane]),
            weights: self.weights,
        }
    }
}

/// A vector of rows of a [`Grad`].
#[derive(Clone, Copy)]
pub(crate) struct GradRows<'t, I: Isa> {
    lines: &'t [Line],
    lane: usize,
    pub(super) scale: I::V,
    threshold: I::V,
    bias: I::V,
    weights: Option<&'t [f32]>,
}

impl<I: Isa> GradRows<'_, I> {
    /// The gradient of one class; `BIASED` as [`Grad::is_biased`] says.
    #[inline(always)]
    pub(crate) fn at<const BIASED: bool>(&self, class: usize) -> I::V {
        self.of::<BIASED>(&self.lines[class], class)
    }

    /// The gradient of the class whose line this is.
    #[inline(always)]
    pub(crate) fn of<const BIASED: bool>(&self, line: &Line, class: usize) -> I::V {
        let p = self.scaled(I::load(&I::chunks(line)[self.lane]));
        if BIASED { I::add(p, self.bias_of(class)) } else { p }
    }

    #[inline(always)]
    pub(super) fn scaled(&self, e: I::V) -> I::V {
        I::mul(I::and_not(e, I::le(e, self.threshold)), self.scale)
    }

    #[inline(always)]
    pub(super) fn bias_of(&self, class: usize) -> I::V {
        self.weights.map_or(self.bias, |weights| I::mul(self.bias, I::splat(weights[class])))
    }
}

impl Tile<'_> {
    /// How the exponentials become the gradient, where that is simple: every scale is a number, and so is every
    /// exponential. The biases are looked at where there are some, or where a scale is negative. `thresholds` are overwritten.
    #[inline(never)]
    pub(crate) fn grad<'t, I: Isa>(
        &'t self,
        rows: &'t PlainRows,
        biases: Option<&'t Line>,
        weights: Option<&'t [f32]>,
        thresholds: &'t mut Line,
    ) -> Option<Grad<'t, I>> {
        I::enter(
            #[inline(always)]
            || {
                if !self.all_sound || !is_finite::<I>(&rows.scale) {
                    return None;
                }
                let mut scales = I::splat(0.0);
                for scale in I::chunks(&rows.scale) {
                    scales = I::max_bits(scales, I::load(scale));
                }
                let biased = biases.is_some() || I::largest_bits(scales) > f32::INFINITY.to_bits();
                let biases = biased.then_some(biases.unwrap_or(&ZERO));
                Some(Grad::new(self.lines, rows, biases, weights, thresholds))
            },
        )
    }

    /// Turns the exponentials into the gradient, `scale e + bias` (times the class's entry of `weights`), row by row. A
    /// scale of 0 gives the bias alone, even of a row with NaN; a scale of NaN gives the one canonical NaN, since which NaN
    /// a product of two is depends on the engine's mood.
    #[inline(never)]
    pub(crate) fn write_grad<I: Isa>(
        &mut self,
        rows: &PlainRows,
        biases: Option<&Line>,
        weights: Option<&[f32]>,
    ) {
        let mut thresholds = ZERO;
        I::enter(
            #[inline(always)]
            || {
                let zero = I::splat(0.0);
                let grad = Grad::<I>::new(&[], rows, Some(biases.unwrap_or(&ZERO)), weights, &mut thresholds);
                for lane in 0..self.rows() / I::LANES {
                    let rows = grad.rows(lane);
                    let off = I::eq(rows.scale, zero);
                    for (class, line) in self.lines.iter_mut().enumerate() {
                        let e = &mut I::chunks_mut(line)[lane];
                        let p = I::and_not(rows.scaled(I::load(e)), off);
                        I::store(e, I::add(p, rows.bias_of(class)));
                    }
                }
            },
        );
        for (row, _) in rows.scale.iter().enumerate().filter(|(_, scale)| scale.is_nan()) {
            self.lines.iter_mut().for_each(|line| line[row] = f32::NAN);
        }
    }
}

/// Whether a line has neither NaN nor infinity.
#[inline(always)]
fn is_finite<I: Isa>(line: &Line) -> bool {
    let mut most = I::splat(0.0);
    for x in I::chunks(line) {
        most = I::max_bits(most, I::abs(I::load(x)));
    }
    I::largest_bits(most) < f32::INFINITY.to_bits()
}
