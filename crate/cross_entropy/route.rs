//! The way that a call takes, chosen once, by its shape, its dtype and the options of its [`Plan`].
//!
//! ```text
//! classes side by side?
//! ├─ yes: scores in f32, f16 or bf16, and no label matrix?
//! │   ├─ yes: fewer classes than two blocks (4,096)?
//! │   │   ├─ yes  Groups     a group of rows at a time (group.rs, kernels/rows.rs); two classes under no
//! │   │   │                  option beyond weights in closed form first (pairs.rs, kernels/pairs.rs)
//! │   │   └─ no   Blocks     row by row, each in blocks (rows.rs, single.rs); a few rows are shared by
//! │   │                      threads, block by block (split.rs)
//! │   └─ no       Doubles    f64, probabilities and their logarithms, matrices: row by row in f64 (rows.rs, kernels/double.rs)
//! └─ no, a plane for each class: scores in f32, f16 or bf16, and neither label matrix nor softcap?
//!     ├─ yes      Strips     strips of rows through all planes (strided.rs, strip.rs, planes.rs, kernels/planes.rs); up to
//!     │                      eight classes are each compared with the labels (kernels/planes/few.rs)
//!     └─ no       Columns    row by row, on a copy of the row (strided.rs), as Doubles
//! ```
//!
//! Behind the choice no driver knows a number type: single precision is read and written as it lies, other types are converted where a
//! row, group, block or strip is copied in and out (element/arrays.rs, deliver.rs).
//!
//! No result depends on threads or on whether the gradient takes the logits' place: those are no part of the choice.

use super::plan::Plan;
use crate::kernels::rows::blocks;

/// See the drawing above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Groups,
    Blocks,
    Doubles,
    Strips,
    Columns,
}

/// The most classes whose numbers are exact in single precision, as strips have them.
const EXACT: usize = 1 << f32::MANTISSA_DIGITS;

impl Route {
    /// The way of a call whose logits are in double precision or not.
    pub(super) fn of(plan: &Plan<'_>, is_double: bool) -> Self {
        // Under a label matrix a loss may be as small as the probability of all classes but the largest, wherever the label is.
        let is_single = !is_double && plan.reads_logits() && plan.options.label_matrix.is_none();
        match plan.shape.inner() {
            0 | 1 if !is_single => Self::Doubles,
            0 | 1 if blocks(plan.classes()) == 1 => Self::Groups,
            0 | 1 => Self::Blocks,
            _ if is_single && plan.softcap.is_none() && plan.shape.classes() <= EXACT => Self::Strips,
            _ => Self::Columns,
        }
    }

    /// Whether rows are computed in single precision.
    pub(super) fn is_single(self) -> bool {
        !matches!(self, Self::Doubles | Self::Columns)
    }

    /// What the rows take one thread, in nanoseconds: whether more threads are worth their waking. From the time of a call over
    /// 2 to 32,000 classes (`relaxed`, Node 24, AMD EPYC Genoa), loss alone and without options: options cost more, so no call
    /// is taken for longer than it is. Bits do not depend on it.
    pub(super) fn work(self, plan: &Plan<'_>, wants_gradient: bool) -> f64 {
        let (row, logit) = match self {
            Self::Strips => (4.0, 0.52),
            Self::Groups if plan.shape.classes() <= 4 => (0.0, 2.0),
            Self::Groups => (9.0, 0.4),
            Self::Blocks => (100.0, 0.4),
            Self::Doubles | Self::Columns if plan.reads_logits() => (60.0, 9.0),
            Self::Doubles | Self::Columns => (25.0, 1.0),
        };
        let gradient = if wants_gradient { 1.25 } else { 1.0 };
        plan.shape.rows() as f64 * (row + plan.classes() as f64 * logit) * gradient
    }
}
