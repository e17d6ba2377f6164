//! Between the caller's arrays and the kernels' scratch: gather a row's kept classes, hand its gradient back.

use super::plan::Kept;
use super::{Access, Results};
use crate::element::{Element, GradElement};
use crate::parallel::{Pieces, Rows, STEP, steps};
use core::ops::Range;

/// The buffers that a call's gradient may go to, cut by units: one of its own, or the logits.
pub(crate) type GradientRows<'a, E, G> = (Option<Rows<'a, G>>, Option<Rows<'a, E>>);

/// As [`GradientRows`], cut by pieces of rows.
type GradientPieces<'a, E, G> = (Option<Pieces<'a, G>>, Option<Pieces<'a, E>>);

/// What one unit has of [`GradientRows`].
pub(super) type GradientPart<'a, E, G> = (Option<&'a mut [G]>, Option<&'a mut [E]>);

/// The per-row results cut by units: losses, log-sum-exp, label log-probabilities, predictions.
type ResultRows<'a, L> = (Rows<'a, L>, Option<Rows<'a, L>>, Option<Rows<'a, L>>, Option<Rows<'a, i32>>);

impl<'a, E: Element, G: GradElement<E>> Access<'a, E, G> {
    /// The logits, where they are not replaced, and the gradient's buffers in rows of `width` elements.
    pub(crate) fn by_rows(self, width: usize, per_unit: usize) -> (&'a [E], GradientRows<'a, E, G>) {
        match self {
            Access::Loss(x) => (x, (None, None)),
            Access::Apart(x, grad) => (x, (Some(Rows::new(grad, width, per_unit)), None)),
            Access::InPlace(x) => (&[], (None, Some(Rows::new(x, width, per_unit)))),
        }
    }

    /// As [`Access::by_rows`] for rows of `width` elements cut into `pieces` of `length` each; the last takes what is left.
    pub(super) fn by_pieces(
        self,
        width: usize,
        length: usize,
        pieces: usize,
    ) -> (&'a [E], GradientPieces<'a, E, G>) {
        match self {
            Access::Loss(x) => (x, (None, None)),
            Access::Apart(x, grad) => (x, (Some(Pieces::new(grad, width, length, pieces)), None)),
            Access::InPlace(x) => (&[], (None, Some(Pieces::new(x, width, length, pieces)))),
        }
    }

    /// The access to the elements `cells` of a unit, the first of which is element `first` of the call.
    pub(super) fn in_unit(
        logits: &'a [E],
        part: &'a mut GradientPart<'_, E, G>,
        first: usize,
        cells: Range<usize>,
    ) -> Self {
        match part {
            (_, Some(x)) => Access::InPlace(&mut x[cells]),
            (Some(grad), None) => Access::Apart(&logits[first..][..cells.len()], &mut grad[cells]),
            (None, None) => Access::Loss(&logits[first..][..cells.len()]),
        }
    }
}

impl<L: Element> Results<'_, L> {
    /// The results that have an entry per row, cut by units.
    pub(super) fn by_rows(&mut self, per_unit: usize) -> ResultRows<'_, L> {
        (
            Rows::new(self.losses, 1, per_unit),
            self.log_sum_exp.as_deref_mut().map(|slice| Rows::new(slice, 1, per_unit)),
            self.target_log_prob.as_deref_mut().map(|slice| Rows::new(slice, 1, per_unit)),
            self.predictions.as_deref_mut().map(|slice| Rows::new(slice, 1, per_unit)),
        )
    }
}

/// Copies the kept classes of a row to scratch of the compute type.
#[inline(never)]
pub(super) fn gather<E: Element, S: Element>(row: &[E], kept: Option<&Kept>, scratch: &mut [S]) {
    if kept.is_none() && row.len() > STEP {
        return steps(row.len()).for_each(|cells| gather(&row[cells.clone()], None, &mut scratch[cells]));
    }
    match kept {
        None => match S::as_f32_mut(&mut scratch[..row.len()]) {
            Some(scratch) => E::widen(row, scratch),
            None => {
                for (slot, x) in scratch.iter_mut().zip(row) {
                    *slot = S::from_f64(x.to_f64());
                }
            }
        },
        Some(kept) => {
            for (slot, class) in scratch.iter_mut().zip(&kept.classes) {
                *slot = S::from_f64(row[*class as usize].to_f64());
            }
        }
    }
}

/// Writes, or adds, a row's gradient over the kept classes to where it belongs; classes that are not kept get 0.
#[inline(never)]
pub(super) fn scatter<S: Element, G: Element>(
    gradient: &[S],
    kept: Option<&Kept>,
    into: &mut [G],
    accumulate: bool,
) {
    if kept.is_none() && into.len() > STEP {
        return steps(into.len())
            .for_each(|cells| scatter(&gradient[cells.clone()], None, &mut into[cells], accumulate));
    }
    let put = |slot: &mut G, value: &S| {
        let before = if accumulate { slot.to_f64() } else { 0.0 };
        *slot = G::from_f64(before + value.to_f64());
    };
    match kept {
        None => match (S::as_f32(&gradient[..into.len()]), G::as_f32_mut(into)) {
            (Some(gradient), _) if !accumulate => G::narrow(gradient, into),
            // The same sums as in double precision, rounded once.
            (Some(gradient), Some(into)) => {
                into.iter_mut().zip(gradient).for_each(|(slot, value)| *slot += value);
            }
            _ => into.iter_mut().zip(gradient).for_each(|(slot, value)| put(slot, value)),
        },
        Some(kept) => {
            if !accumulate {
                into.fill(G::default());
            }
            for (value, class) in gradient.iter().zip(&kept.classes) {
                put(&mut into[*class as usize], value);
            }
        }
    }
}

impl<E: Element, G: GradElement<E>> Access<'_, E, G> {
    pub(super) fn logits(&self) -> &[E] {
        match self {
            Access::Loss(x) | Access::Apart(x, _) => x,
            Access::InPlace(x) => x,
        }
    }

    /// The access to some of the elements.
    pub(super) fn part(&mut self, cells: Range<usize>) -> Access<'_, E, G> {
        match self {
            Access::Loss(x) => Access::Loss(&x[cells]),
            Access::Apart(x, grad) => Access::Apart(&x[cells.clone()], &mut grad[cells]),
            Access::InPlace(x) => Access::InPlace(&mut x[cells]),
        }
    }

    /// The gradient, where it is in single precision.
    pub(super) fn single(&mut self) -> Option<&mut [f32]> {
        match self {
            Access::Loss(_) => None,
            Access::Apart(_, grad) => G::as_f32_mut(grad),
            Access::InPlace(x) => E::as_f32_mut(x),
        }
    }

    /// Sets the gradient of a row that has none; under `accumulate` there is nothing to add.
    pub(super) fn set_zero(&mut self, accumulate: bool) {
        match self {
            Access::Loss(_) => {}
            Access::Apart(_, _) if accumulate => {}
            Access::Apart(_, grad) => grad.fill(G::default()),
            Access::InPlace(x) => x.fill(E::default()),
        }
    }

    /// Sets the gradient of a row to NaN, but for classes that are not kept.
    pub(super) fn set_nan(&mut self, kept: Option<&Kept>, accumulate: bool) {
        match self {
            Access::Loss(_) => {}
            Access::Apart(_, grad) => set_nan(grad, kept, accumulate),
            Access::InPlace(x) => set_nan(x, kept, accumulate),
        }
    }

    /// Hands the gradient of a row from scratch to where it belongs.
    pub(super) fn put<S: Element>(&mut self, gradient: &[S], kept: Option<&Kept>, accumulate: bool) {
        match self {
            Access::Loss(_) => {}
            Access::Apart(_, grad) => scatter(gradient, kept, grad, accumulate),
            Access::InPlace(x) => scatter(gradient, kept, x, false),
        }
    }
}

#[inline(never)]
fn set_nan<T: Element>(grad: &mut [T], kept: Option<&Kept>, accumulate: bool) {
    let nan = T::from_f64(f64::NAN);
    match kept {
        None => grad.fill(nan),
        Some(kept) => {
            if !accumulate {
                grad.fill(T::default());
            }
            for class in &kept.classes {
                grad[*class as usize] = nan;
            }
        }
    }
}
