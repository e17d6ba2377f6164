//! The way that a call takes, chosen once, by its shape, its dtype and the options of its [`Plan`].
//!
//! ```text
//! classes side by side?
//! ├─ yes: logits in f32, f16 or bf16?
//! │   ├─ yes: fewer classes than two blocks (4,096)?
//! │   │   ├─ yes  Groups     a group of rows at a time (group.rs, kernels/rows.rs); two classes under no
//! │   │   │                  option beyond weights in closed form first (pairs.rs, kernels/pairs.rs)
//! │   │   └─ no   Blocks     row by row, each in blocks (rows.rs, single.rs); a few rows are shared by
//! │   │                      threads, block by block (split.rs)
//! │   └─ no       Doubles    f64, and probabilities: row by row in f64 (rows.rs, kernels/double.rs)
//! └─ no, a plane for each class: logits in f32, f16 or bf16, and no label matrix?
//!     ├─ yes      Tiles      tiles of rows, or strips of tiles (strided.rs, tile.rs, strip.rs, kernels/planes.rs)
//!     └─ no       Columns    row by row, on a copy of the row (strided.rs), as Doubles or Blocks
//! ```
//!
//! No result depends on threads or on whether the gradient takes the logits' place: those are no part of the choice.

use super::plan::Plan;
use crate::element::Element;
use crate::kernels::rows::blocks;

/// See the drawing above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Groups,
    Blocks,
    Doubles,
    Tiles,
    Columns,
}

impl Route {
    // Inlined: the type alone rules some ways out, which then need no code.
    #[inline(always)]
    pub(super) fn of<E: Element>(plan: &Plan<'_>) -> Self {
        let is_single = !E::DOUBLE && plan.reads_logits();
        match plan.shape.inner() {
            0 | 1 if !is_single => Self::Doubles,
            0 | 1 if blocks(plan.classes()) == 1 => Self::Groups,
            0 | 1 => Self::Blocks,
            _ if plan.fits_tiles::<E>() => Self::Tiles,
            _ => Self::Columns,
        }
    }
}
