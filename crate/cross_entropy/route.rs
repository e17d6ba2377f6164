//! The way that a call takes, chosen once, by its shape, its dtype and the options of its [`Plan`].
//!
//! ```text
//! classes side by side?
//! ├─ yes: scores in f32, f16 or bf16, and no label matrix?
//! │   ├─ yes: fewer classes than two blocks (4,096)?
//! │   │   ├─ yes  Groups   a group of rows at a time (group, batch); most rows of two classes in closed form first (pairs)
//! │   │   └─ no   Blocks   row by row, each in blocks (rows, row, single), most rows of small logits as a whole first (small); threads
//! │   │                    share the blocks of a few rows (split)
//! │   └─ no       Doubles  row by row in f64 (rows, row): f64, label matrices, probabilities and their logarithms
//! └─ no, a plane for each class: scores in f32, f16 or bf16, and neither label matrix nor softcap?
//!     ├─ yes      Strips   strips of rows through all planes (strided, strip, planes)
//!     └─ no       Columns  as Doubles, on a copy of each row (strided, row)
//! ```
//!
//! The kernels of groups and blocks are in `kernels/rows.rs`, those of pairs, f64 and strips in `kernels/pairs.rs`, `double.rs` and
//! `planes.rs`. Here is also how long the scratch of a thread is on each way ([`Route::scratch`]), which is none where the kernels read
//! and write numbers as they lie, and how long the way takes ([`Route::work`]).
//!
//! Behind the choice no driver knows a number type: single precision is read and written as it lies, other types are converted where a
//! row, group, block or strip is copied in and out (element/arrays.rs, deliver.rs).
//!
//! No result depends on threads or on whether the gradient takes the logits' place: those are no part of the choice.

use super::Access;
use super::plan::Plan;
use super::scratch::{BLOCK_LOGITS, Lengths, Turns};
use crate::kernels::objective::WIDTH;
use crate::kernels::planes::{STRIP, TOGETHER, scratch_length, strip_rows};
use crate::kernels::rows::{blocks, stride};
use crate::simd::{Isa, MOST_LANES};

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

/// The most logits of a group. With as many exponentials they take half of a second cache of 512 KiB. While a group is concluded nothing
/// is read from memory, so a few large groups are faster than many small ones.
const GROUP_LOGITS: usize = 32_768;

/// The most logits of a group whose logits are copied. The copy and the exponentials take 64 KiB: they leave the first cache, but are near
/// in the second one when they are read again. Half as many make the gradient of 1,000 classes slower again.
const GROUP_COPIED: usize = 8_192;

/// The most classes of a row in place whose exponentials are kept in scratch, 4 MiB for each thread. The other way, a copy of each block's
/// logits whose exponentials are taken again where the logits lie, reads and writes the row twice.
const MOST_IN_SCRATCH: usize = 1 << 20;

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

    /// The scratch that each thread has.
    pub(super) fn scratch<I: Isa>(self, plan: &Plan<'_>, access: &Access<'_>) -> Lengths {
        let classes = plan.classes();
        let padded = classes.next_multiple_of(MOST_LANES);
        let (single, double, blocks) = match self {
            Self::Groups => {
                let copies = !plan.takes(access.logits(), I::LANES);
                let keeps = access.wants_gradient() && !keeps_group::<I>(plan, access);
                let group = together::<I>(plan, access) * stride::<I>(classes);
                (group * (usize::from(copies) + usize::from(keeps)), 0, 0)
            }
            Self::Blocks => {
                let keeps = keeps_row(plan, access);
                let exponentials = if keeps { 0 } else { padded.max(BLOCK_LOGITS) };
                (block_copies(plan, access, keeps) + exponentials, 0, blocks(classes))
            }
            Self::Strips => {
                let strip = scratch_length(classes, strip_rows(classes, plan.shape.rows()));
                (TOGETHER * STRIP + strip, 0, 0)
            }
            Self::Doubles => (0, padded, 0),
            // A row is copied to doubles, which hold any number exactly, and so is its gradient.
            Self::Columns => {
                let rows = if matches!(access, Access::Apart(..)) { 2 } else { 1 };
                (0, padded + rows * plan.shape.classes(), 0)
            }
        };
        let single = match self {
            Self::Groups | Self::Blocks => Turns::of(plan, access, single),
            Self::Doubles | Self::Strips | Self::Columns => Turns::one(single),
        };
        Lengths { single, double, blocks }
    }
}

/// How many rows make a group at most.
pub(super) fn together<I: Isa>(plan: &Plan<'_>, access: &Access<'_>) -> usize {
    let logits = if plan.takes(access.logits(), I::LANES) { GROUP_LOGITS } else { GROUP_COPIED };
    (logits / stride::<I>(plan.classes()) / 4 * 4).clamp(4, WIDTH)
}

/// Whether the first sweep over a group writes its exponentials to the memory of the gradient, and not to scratch.
pub(super) fn keeps_group<I: Isa>(plan: &Plan<'_>, access: &Access<'_>) -> bool {
    let Access::Apart(x, grad) = access else { return false };
    plan.takes(*x, I::LANES) && plan.takes(grad.read(), I::LANES) && !plan.options.accumulate
}

/// Whether the exponentials of a row are kept where its gradient goes, and need no scratch.
pub(super) fn keeps_row(plan: &Plan<'_>, access: &Access<'_>) -> bool {
    match access {
        Access::InPlace(_) => plan.classes() > MOST_IN_SCRATCH && keeps_blocks(plan, access),
        access => keeps_blocks(plan, access),
    }
}

/// Whether a block's may be. In place a copy of its logits is needed for it.
pub(super) fn keeps_blocks(plan: &Plan<'_>, access: &Access<'_>) -> bool {
    match access {
        Access::Loss(_) => true,
        Access::Apart(_, grad) => plan.takes(grad.read(), MOST_LANES) && !plan.options.accumulate,
        Access::InPlace(x) => plan.takes(x.read(), MOST_LANES),
    }
}

/// Floats of scratch for the logits of a block: none where they are read as they lie.
pub(super) fn block_copies(plan: &Plan<'_>, access: &Access<'_>, keeps: bool) -> usize {
    let replaces = matches!(access, Access::InPlace(_)) && keeps;
    if plan.takes(access.logits(), MOST_LANES) && !replaces { 0 } else { BLOCK_LOGITS }
}
