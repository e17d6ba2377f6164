//! From the exponentials of a tile to its gradient.

use super::{Line, PlainRows, ZERO};
use crate::kernels::MIN_SCALED;
use crate::math::FLOOR;
use crate::simd::Isa;

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
        let (floor, least) = (I::splat(FLOOR), I::splat(MIN_SCALED));
        for (threshold, scale) in I::chunks_mut(thresholds).iter_mut().zip(I::chunks(&rows.scale)) {
            I::store(threshold, I::pmax(floor, I::div(least, I::abs(I::load(scale)))));
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
