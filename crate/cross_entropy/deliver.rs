//! Between the caller's arrays and the kernels' scratch: cuts both by units, copies a row's kept classes, and hands its gradient back.

use super::plan::Kept;
use super::{Access, Results};
use crate::element::{Element, Source, Target, typed};
use crate::parallel::{Pieces, Rows, Typed, steps};
use core::ops::Range;

/// Numbers cut by units of rows.
pub(crate) type TypedRows<'a> =
    Typed<Rows<'a, f32>, Rows<'a, f64>, Rows<'a, half::f16>, Rows<'a, half::bf16>>;

/// Numbers cut by pieces of rows.
type TypedPieces<'a> = Typed<Pieces<'a, f32>, Pieces<'a, f64>, Pieces<'a, half::f16>, Pieces<'a, half::bf16>>;

/// The per-row results cut by units: losses, log-sum-exp, label log-probabilities, predictions.
type ResultRows<'a> = (TypedRows<'a>, Option<TypedRows<'a>>, Option<TypedRows<'a>>, Option<Rows<'a, i32>>);

/// How many numbers are converted at a time.
const AT_ONCE: usize = 64;

/// Numbers in rows of `width`, cut by units of so many rows.
pub(crate) fn rows(numbers: Target<'_>, width: usize, per_unit: usize) -> TypedRows<'_> {
    typed!(numbers, x => Rows::new(x, width, per_unit))
}

impl<'a> Access<'a> {
    /// The logits, unless their gradient replaces them, and where the gradient goes.
    pub(super) fn split(self) -> (Option<Source<'a>>, Option<Target<'a>>) {
        match self {
            Access::Loss(x) => (Some(x), None),
            Access::Apart(x, grad) => (Some(x), Some(grad)),
            Access::InPlace(x) => (None, Some(x)),
        }
    }

    /// As [`Access::split`], with the gradient cut by units of `per_unit` rows of `width` elements.
    pub(crate) fn by_rows(
        self,
        width: usize,
        per_unit: usize,
    ) -> (Option<Source<'a>>, Option<TypedRows<'a>>) {
        let (logits, gradient) = self.split();
        (logits, gradient.map(|gradient| rows(gradient, width, per_unit)))
    }

    /// As [`Access::by_rows`] for rows of `width` elements cut into `pieces` of `length` each; the last takes what is left.
    pub(super) fn by_pieces(
        self,
        width: usize,
        length: usize,
        pieces: usize,
    ) -> (Option<Source<'a>>, Option<TypedPieces<'a>>) {
        let (logits, gradient) = self.split();
        (logits, gradient.map(|gradient| typed!(gradient, x => Pieces::new(x, width, length, pieces))))
    }

    /// The access to the elements `cells` of a unit; the first of them is element `first` of the call.
    pub(crate) fn in_unit(
        logits: Option<Source<'a>>,
        part: &'a mut Option<Target<'_>>,
        first: usize,
        cells: Range<usize>,
    ) -> Self {
        let own = |x: Source<'a>| x.part(first..first + cells.len());
        match (logits, part) {
            (None, Some(x)) => Access::InPlace(x.part(cells)),
            (Some(x), Some(grad)) => Access::Apart(own(x), grad.part(cells)),
            (Some(x), None) => Access::Loss(own(x)),
            (None, None) => Access::Loss(Source::F32(&[])),
        }
    }

    pub(crate) fn logits(&self) -> Source<'_> {
        match self {
            Access::Loss(x) | Access::Apart(x, _) => *x,
            Access::InPlace(x) => x.read(),
        }
    }

    /// Where the gradient goes.
    pub(crate) fn gradient(&mut self) -> Option<&mut Target<'a>> {
        match self {
            Access::Loss(_) => None,
            Access::Apart(_, grad) | Access::InPlace(grad) => Some(grad),
        }
    }

    /// Whether the gradient is wanted.
    pub(super) fn wants_gradient(&self) -> bool {
        !matches!(self, Access::Loss(_))
    }

    /// The access to some of the elements.
    pub(super) fn part(&mut self, cells: Range<usize>) -> Access<'_> {
        match self {
            Access::Loss(x) => Access::Loss(x.part(cells)),
            Access::Apart(x, grad) => Access::Apart(x.part(cells.clone()), grad.part(cells)),
            Access::InPlace(x) => Access::InPlace(x.part(cells)),
        }
    }

    /// Sets the gradient of a row in which its logits have no part: to 0, or to NaN but for classes that are not kept. Under `accumulate` 0 is
    /// added, which changes nothing.
    #[inline(never)]
    pub(super) fn set_all(&mut self, is_nan: bool, kept: Option<&Kept>, accumulate: bool) {
        let Some(gradient) = self.gradient() else { return };
        match kept {
            None if is_nan => return gradient.fill(f64::NAN),
            _ if !accumulate => gradient.fill(0.0),
            _ => {}
        }
        if let Some(kept) = kept.filter(|_| is_nan) {
            kept.classes.iter().for_each(|class| gradient.set(*class as usize, f64::NAN));
        }
    }

    /// Hands the gradient of a row from scratch to where it belongs.
    pub(super) fn put(&mut self, gradient: Values<'_>, kept: Option<&Kept>, accumulate: bool) {
        if let Some(into) = self.gradient() {
            scatter(gradient, kept, into, accumulate);
        }
    }
}

impl Results<'_> {
    /// The results that have an entry per row, cut by units.
    pub(super) fn by_rows(&mut self, per_unit: usize) -> ResultRows<'_> {
        let Self { losses, log_sum_exp, target_log_prob, predictions, .. } = self;
        fn each<'s>(numbers: &'s mut Target<'_>, per_unit: usize) -> TypedRows<'s> {
            rows(numbers.whole(), 1, per_unit)
        }
        (
            each(losses, per_unit),
            log_sum_exp.as_mut().map(|numbers| each(numbers, per_unit)),
            target_log_prob.as_mut().map(|numbers| each(numbers, per_unit)),
            predictions.as_deref_mut().map(|slice| Rows::new(slice, 1, per_unit)),
        )
    }
}

/// Copies the kept classes of a row to scratch in single precision.
#[inline(never)]
pub(super) fn gather(row: Source<'_>, kept: Option<&Kept>, scratch: &mut [f32]) {
    let Some(kept) = kept else {
        return steps(row.len()).for_each(|cells| row.part(cells.clone()).widen(&mut scratch[cells]));
    };
    pick(row, &kept.classes, scratch);
}

/// Copies the elements with these indices.
pub(super) fn pick(row: Source<'_>, indices: &[u32], to: &mut [f32]) {
    if let Some(x) = row.single() {
        return to.iter_mut().zip(indices).for_each(|(slot, index)| *slot = x[*index as usize]);
    }
    let mut wide = [0.0; AT_ONCE];
    for (to, indices) in to.chunks_mut(AT_ONCE).zip(indices.chunks(AT_ONCE)) {
        let wide = &mut wide[..to.len()];
        row.pick(indices, wide);
        Element::widen(wide, to);
    }
}

/// As [`gather`], in double precision.
pub(super) fn gather_double(row: Source<'_>, kept: Option<&Kept>, scratch: &mut [f64]) {
    match kept {
        None => {
            steps(row.len()).for_each(|cells| row.part(cells.clone()).widen_double(&mut scratch[cells]));
        }
        Some(kept) => row.pick(&kept.classes, scratch),
    }
}

/// A row's gradient as it was computed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Values<'a> {
    Single(&'a [f32]),
    Double(&'a [f64]),
}

/// Writes, or adds, a row's gradient over the kept classes to where it belongs; classes that are not kept get 0.
#[inline(never)]
pub(super) fn scatter(gradient: Values<'_>, kept: Option<&Kept>, into: &mut Target<'_>, accumulate: bool) {
    if kept.is_some() && !accumulate {
        into.fill(0.0);
    }
    let length = kept.map_or(into.len(), |kept| kept.classes.len());
    for cells in steps(length) {
        match (gradient, kept) {
            (Values::Single(gradient), None) => {
                let (gradient, mut into) = (&gradient[cells.clone()], into.part(cells));
                if accumulate { into.add(gradient) } else { into.narrow(gradient) }
            }
            (Values::Double(gradient), None) => {
                into.part(cells.clone()).narrow_double(&gradient[cells], accumulate);
            }
            (Values::Single(gradient), Some(kept)) => {
                let (gradient, classes) = (&gradient[cells.clone()], &kept.classes[cells]);
                let each = classes.iter().map(|class| *class as usize).zip(gradient);
                match into.single() {
                    Some(into) if accumulate => each.for_each(|(class, value)| into[class] += value),
                    Some(into) => each.for_each(|(class, value)| into[class] = *value),
                    None => {
                        doubles(gradient, |start, values| into.put(&classes[start..], values, accumulate))
                    }
                }
            }
            (Values::Double(gradient), Some(kept)) => {
                into.put(&kept.classes[cells.clone()], &gradient[cells], accumulate);
            }
        }
    }
}

/// Calls `f` with some of the numbers at a time, in double precision, and with the index of the first of them.
fn doubles(numbers: &[f32], mut f: impl FnMut(usize, &[f64])) {
    let mut wide = [0.0; AT_ONCE];
    for (index, numbers) in numbers.chunks(AT_ONCE).enumerate() {
        let wide = &mut wide[..numbers.len()];
        Element::narrow(numbers, wide);
        f(index * AT_ONCE, wide);
    }
}
