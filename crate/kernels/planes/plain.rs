//! What is kept of the rows of a tile.

use super::{Line, ZERO};

/// The rows of a tile under the plain objective: what they are given, and what they come to.
#[derive(Debug)]
pub(crate) struct PlainRows {
    /// The row weights.
    pub(crate) weight: Line,
    /// Upstream times logit scale times row weight.
    pub(crate) step: Line,
    pub(crate) loss: Line,
    /// `ln softmax(z)[label]`.
    pub(crate) log_prob: Line,
    pub(crate) log_sum_exp: Line,
    /// What the exponentials are multiplied by.
    pub(crate) scale: Line,
    /// The gradient at the label.
    pub(crate) target: Line,
}

impl PlainRows {
    pub(crate) const fn new() -> Self {
        Self {
            weight: ZERO,
            step: ZERO,
            loss: ZERO,
            log_prob: ZERO,
            log_sum_exp: ZERO,
            scale: ZERO,
            target: ZERO,
        }
    }

    /// A row whose loss and gradient are NaN; one without a step keeps its gradient of 0.
    pub(crate) fn set_nan(&mut self, row: usize) {
        for line in [&mut self.loss, &mut self.log_prob, &mut self.log_sum_exp] {
            line[row] = f32::NAN;
        }
        let gradient = if self.step[row] == 0.0 { 0.0 } else { f32::NAN };
        self.scale[row] = gradient;
        self.target[row] = gradient;
    }
}
