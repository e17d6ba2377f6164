//! Label dtypes, ignored labels and the range check. Each label becomes an `i32` per row, which is judged after it was read; the
//! kernels see only those, so no label, not even one rewritten during the call, can make a read out of bounds. Where some label
//! of a run is more than a class or the one to skip, the run is read a second time, and what was read before is forgotten.

use crate::simd::arrays;

/// A row whose label is in `ignore_index`.
pub(crate) const IGNORED: i32 = -1;
/// A row whose label is no class, or a class that the mask removes.
pub(crate) const INVALID: i32 = -2;

/// Labels, one per row, of any supported dtype. Made by `From` out of a reference to a slice, array or vector.
///
/// Integers are compared as they are, in 64 bits: 2^32 is not 0. Floating-point labels (which some frameworks hand
/// over) must be exact integers below 2^24 (`f32`) or 2^53 (`f64`), -0 being 0; others are
/// [`Error::LabelNotInteger`](crate::Error::LabelNotInteger).
///
/// ```
/// use sparse_xent::Labels;
///
/// let map = vec![3_u8, 0, 255];
/// assert_eq!(Labels::from(&map).len(), 3);
/// assert!(matches!(Labels::from(&[1.0_f32, 2.0]), Labels::F32(_)));
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
#[expect(missing_docs, reason = "one variant per dtype, named after it")]
pub enum Labels<'a> {
    U8(&'a [u8]),
    I8(&'a [i8]),
    U16(&'a [u16]),
    I16(&'a [i16]),
    U32(&'a [u32]),
    I32(&'a [i32]),
    U64(&'a [u64]),
    I64(&'a [i64]),
    F32(&'a [f32]),
    F64(&'a [f64]),
}

macro_rules! labels_from {
    ($($variant:ident($type:ty)),*) => {$(
        impl<'a> From<&'a [$type]> for Labels<'a> {
            fn from(labels: &'a [$type]) -> Self {
                Labels::$variant(labels)
            }
        }
        impl<'a, const N: usize> From<&'a [$type; N]> for Labels<'a> {
            fn from(labels: &'a [$type; N]) -> Self {
                Labels::$variant(labels)
            }
        }
        impl<'a> From<&'a Vec<$type>> for Labels<'a> {
            fn from(labels: &'a Vec<$type>) -> Self {
                Labels::$variant(labels)
            }
        }
    )*};
}
labels_from!(U8(u8), I8(i8), U16(u16), I16(i16), U32(u32), I32(i32), U64(u64), I64(i64), F32(f32), F64(f64));

macro_rules! each_dtype {
    ($labels:expr, $slice:ident => $body:expr) => {
        match $labels {
            Labels::U8($slice) => $body,
            Labels::I8($slice) => $body,
            Labels::U16($slice) => $body,
            Labels::I16($slice) => $body,
            Labels::U32($slice) => $body,
            Labels::I32($slice) => $body,
            Labels::U64($slice) => $body,
            Labels::I64($slice) => $body,
            Labels::F32($slice) => $body,
            Labels::F64($slice) => $body,
        }
    };
}

impl Labels<'_> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        each_dtype!(self, slice => slice.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the class, [`IGNORED`] or [`INVALID`] of rows `start..start + into.len()` and says what was wrong.
    pub(crate) fn classify(&self, start: usize, rule: &LabelRule<'_>, into: &mut [i32]) -> Findings {
        if rule.kept.is_none() {
            each_dtype!(self, slice => {
                let labels = &slice[start..][..into.len()];
                arrays::combine(into, labels, |_, label| label.narrow());
            });
            if let Some(ignored) = all_plain(rule, into) {
                return Findings { ignored, ..Findings::default() };
            }
        }
        self.classify_each(start, rule, into)
    }

    /// The label as an integer, or as it is if it is no exact integer.
    fn integer(&self, index: usize) -> Result<i128, f64> {
        each_dtype!(self, slice => slice[index].integer())
    }

    /// [`Labels::classify`] for any labels, one by one. It is compiled once for all dtypes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to below `classes`, so below 2^31"
    )]
    fn classify_each(&self, start: usize, rule: &LabelRule<'_>, into: &mut [i32]) -> Findings {
        let mut found = Findings::default();
        for (index, class) in (start..).zip(into) {
            *class = match self.integer(index) {
                Err(got) => {
                    note(&mut found.not_integer, index, got);
                    INVALID
                }
                Ok(value) if rule.ignore.contains(&value) => {
                    found.ignored += 1;
                    IGNORED
                }
                Ok(value) if value < 0 || value >= rule.classes as i128 => {
                    note(&mut found.out_of_range, index, value);
                    INVALID
                }
                Ok(value) if rule.kept.is_some_and(|kept| kept[value as usize] == 0) => {
                    note(&mut found.masked, index, value);
                    INVALID
                }
                Ok(value) => value as i32,
            };
        }
        found
    }
}

/// What labels are judged by.
#[derive(Debug)]
pub(crate) struct LabelRule<'a> {
    pub(crate) classes: usize,
    pub(crate) ignore: &'a [i128],
    /// Per class, whether it is kept; all are where this is `None`.
    pub(crate) kept: Option<&'a [u8]>,
}

/// The first of some rows with a bad label, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bad<T> {
    pub(crate) index: usize,
    pub(crate) got: T,
    pub(crate) count: usize,
}

/// The bad labels of a run of rows. Runs combine in order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Findings {
    pub(crate) not_integer: Option<Bad<f64>>,
    pub(crate) out_of_range: Option<Bad<i128>>,
    pub(crate) masked: Option<Bad<i128>>,
    pub(crate) ignored: usize,
}

impl Findings {
    pub(crate) fn then(self, later: Self) -> Self {
        Self {
            not_integer: merge(self.not_integer, later.not_integer),
            out_of_range: merge(self.out_of_range, later.out_of_range),
            masked: merge(self.masked, later.masked),
            ignored: self.ignored + later.ignored,
        }
    }

    pub(crate) fn invalid(&self) -> usize {
        self.out_of_range.map_or(0, |bad| bad.count) + self.masked.map_or(0, |bad| bad.count)
    }
}

fn merge<T>(first: Option<Bad<T>>, later: Option<Bad<T>>) -> Option<Bad<T>> {
    match (first, later) {
        (Some(first), Some(later)) => Some(Bad { count: first.count + later.count, ..first }),
        (first, later) => first.or(later),
    }
}

fn note<T>(bad: &mut Option<Bad<T>>, index: usize, got: T) {
    bad.get_or_insert(Bad { index, got, count: 0 }).count += 1;
}

/// Returns the number of skipped rows if every label is a class or the one label to skip, as in most calls. Otherwise it returns `None` and
/// may have changed `classes`.
fn all_plain(rule: &LabelRule<'_>, classes: &mut [i32]) -> Option<usize> {
    let limit = u32::try_from(rule.classes).unwrap_or(u32::MAX);
    let mut matches = rule.ignore.iter().filter_map(|value| i32::try_from(*value).ok());
    let skipped = matches.next();
    if matches.next().is_some() || skipped == Some(BEYOND) {
        return None;
    }
    let others = |classes: &[i32]| arrays::count(classes, classes, |class, _| class.cast_unsigned() >= limit);
    let Some(skipped) = skipped else { return (others(classes) == 0).then_some(0) };
    let ignored = arrays::count(classes, classes, |class, _| class == skipped);
    if ignored > 0 {
        arrays::update(classes, |class| if class == skipped { IGNORED } else { class });
    }
    // The code of a skipped row is no class.
    (others(classes) == ignored).then_some(ignored)
}

/// A label dtype.
trait Label: Copy {
    /// The largest magnitude whose neighbours are all exact; 0 for integers, which need no bound.
    const BOUND: u64 = 0;
    /// The value, or what it is where that is no exact integer.
    fn integer(self) -> Result<i128, f64>;
    /// The value where it is an integer of 32 bits, otherwise [`BEYOND`].
    fn narrow(self) -> i32;
}

/// Stands for every label that is not an integer of 32 bits. It may stand for itself too: a negative number is no class.
const BEYOND: i32 = i32::MIN;

macro_rules! integer_label {
    ($($type:ty),*) => {$(
        impl Label for $type {
            #[inline(always)]
            fn integer(self) -> Result<i128, f64> {
                Ok(i128::from(self))
            }
            #[inline(always)]
            #[expect(clippy::allow_attributes, reason = "whether the lint below applies depends on the type")]
            #[allow(clippy::unnecessary_fallible_conversions, reason = "one code for all types")]
            fn narrow(self) -> i32 {
                i32::try_from(self).unwrap_or(BEYOND)
            }
        }
    )*};
}
integer_label!(u8, i8, u16, i16, u32, i32, u64, i64);

macro_rules! float_label {
    ($type:ty, $bound:expr) => {
        impl Label for $type {
            const BOUND: u64 = $bound;
            #[inline(always)]
            #[expect(clippy::cast_possible_truncation, reason = "checked to be an integer within the bound")]
            fn integer(self) -> Result<i128, f64> {
                let value = f64::from(self);
                let exact = value.abs() < Self::BOUND as f64 && libm::trunc(value) == value;
                if exact { Ok(i128::from(value as i64)) } else { Err(value) }
            }
            #[inline(always)]
            #[expect(
                clippy::cast_possible_truncation,
                reason = "saturates, and what is cut off is seen by the comparison"
            )]
            fn narrow(self) -> i32 {
                let value = self as i32;
                if value as $type == self && u64::from(value.unsigned_abs()) < Self::BOUND {
                    value
                } else {
                    BEYOND
                }
            }
        }
    };
}
float_label!(f32, 1 << 24);
float_label!(f64, 1 << 53);

/// The bound on a floating-point label of this dtype, for the error's text.
pub(crate) fn float_bound(labels: &Labels<'_>) -> u64 {
    if matches!(labels, Labels::F32(_)) { f32::BOUND } else { f64::BOUND }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_compare_in_64_bits() {
        let rule = LabelRule { classes: 4, ignore: &[-1], kept: None };
        let mut classes = [9; 3];
        let found = Labels::from(&[1_i64 << 32, -1, 3]).classify(0, &rule, &mut classes);
        assert_eq!(classes, [INVALID, IGNORED, 3]);
        assert_eq!(found.out_of_range, Some(Bad { index: 0, got: 1 << 32, count: 1 }));
    }

    #[test]
    fn float_labels_must_be_exact_integers() {
        let rule = LabelRule { classes: 1 << 25, ignore: &[], kept: None };
        let mut classes = [9; 5];
        let found =
            Labels::from(&[-0.0_f32, 2.0, 2.7, 16_777_216.0, f32::NAN]).classify(0, &rule, &mut classes);
        assert_eq!(classes[..2], [0, 2]);
        let bad = found.not_integer.unwrap();
        assert_eq!((bad.index, bad.got, bad.count), (2, f64::from(2.7_f32), 3));
    }
}
