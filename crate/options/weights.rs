//! Numbers per class or row, borrowed in the dtypes they come in.

#[cfg(doc)]
use super::Reduction;

/// Weights, borrowed: `f32`, `f64`, or bytes as a 0/1 mask. Made by `From` out of a reference to a slice, array or vector;
/// what the numbers must be is said where they are given.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
#[expect(missing_docs, reason = "one variant per dtype, named after it")]
pub enum Weights<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    U8(&'a [u8]),
}

macro_rules! weights_from {
    ($($variant:ident($type:ty)),*) => {$(
        impl<'a> From<&'a [$type]> for Weights<'a> {
            fn from(weights: &'a [$type]) -> Self {
                Weights::$variant(weights)
            }
        }
        impl<'a, const N: usize> From<&'a [$type; N]> for Weights<'a> {
            fn from(weights: &'a [$type; N]) -> Self {
                Weights::$variant(weights)
            }
        }
        impl<'a> From<&'a Vec<$type>> for Weights<'a> {
            fn from(weights: &'a Vec<$type>) -> Self {
                Weights::$variant(weights)
            }
        }
    )*};
}
weights_from!(F32(f32), F64(f64), U8(u8));

impl Weights<'_> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Weights::F32(weights) => weights.len(),
            Weights::F64(weights) => weights.len(),
            Weights::U8(weights) => weights.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> f64 {
        match self {
            Weights::F32(weights) => f64::from(weights[index]),
            Weights::F64(weights) => weights[index],
            Weights::U8(weights) => f64::from(weights[index]),
        }
    }

    /// The weights from `first` on.
    #[inline(never)]
    pub(crate) fn copy(&self, first: usize, into: &mut [f64]) {
        for (slot, at) in into.iter_mut().zip(first..) {
            *slot = self.get(at);
        }
    }

    /// The weight at each of these places; 1 where the place is negative.
    #[inline(never)]
    pub(crate) fn gather(&self, places: &[i32], into: &mut [f64]) {
        fn each<W: Copy + Into<f64>>(weights: &[W], places: &[i32], into: &mut [f64]) {
            for (place, slot) in places.iter().zip(into) {
                *slot = usize::try_from(*place).map_or(1.0, |place| weights[place].into());
            }
        }
        match self {
            Weights::F32(weights) => each(weights, places, into),
            Weights::F64(weights) => each(weights, places, into),
            Weights::U8(weights) => each(weights, places, into),
        }
    }

    /// The first weight that is not finite.
    pub(crate) fn first_not_finite(&self) -> Option<(usize, f64)> {
        self.first(|weight| !weight.is_finite())
    }

    /// The first that [`is_positive_weight`] refuses.
    pub(crate) fn first_not_positive(&self) -> Option<(usize, f64)> {
        self.first(|weight| !is_positive_weight(weight))
    }

    fn first(&self, is_bad: impl Fn(f64) -> bool) -> Option<(usize, f64)> {
        (0..self.len()).map(|index| (index, self.get(index))).find(|(_, weight)| is_bad(*weight))
    }
}

/// Whether this can weigh the positive term of a sigmoid cross-entropy.
pub(crate) fn is_positive_weight(weight: f64) -> bool {
    weight >= 0.0 && weight.is_finite()
}

/// A weight for every row, or one per row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RowValues<'a> {
    Scalar(f64),
    PerRow(Weights<'a>),
}

impl RowValues<'_> {
    #[inline(always)]
    pub(crate) fn get(&self, row: usize) -> f64 {
        match self {
            RowValues::Scalar(value) => *value,
            RowValues::PerRow(values) => values.get(row),
        }
    }
}

/// The gradient of what the caller differentiates with respect to the loss: one number, or one per row under
/// [`Reduction::None`]. Made by `From` out of a number, slice, array or vector.
#[derive(Debug, Clone, Copy)]
pub struct Upstream<'a>(pub(crate) RowValues<'a>);

impl From<f64> for Upstream<'_> {
    fn from(value: f64) -> Self {
        Self(RowValues::Scalar(value))
    }
}

impl<'a, T> From<&'a T> for Upstream<'a>
where
    T: ?Sized,
    &'a T: Into<Weights<'a>>,
{
    fn from(values: &'a T) -> Self {
        Self(RowValues::PerRow(values.into()))
    }
}
