//! (outer, classes, inner) of a logits array from its dimensions and class axis; every product is checked.

use crate::Error;

/// Where the classes of a logits array lie: `outer` positions before the class axis, `classes` on it, `inner` after it.
///
/// Arrays are row-major. A *row* is one (outer, inner) position with its `classes` logits; class `k` of row `(o, i)`
/// is element `(o * classes + k) * inner + i`, and the row's label is element `o * inner + i` of the labels. Any axis may
/// be the class axis, and its logits are read where they lie, without a transposed copy.
///
/// ```
/// use sparse_xent::{CrossEntropy, Logits, Shape};
///
/// let pixels = [[1.0_f32, 5.0, 0.0], [2.0, 0.0, 0.0]]; // two pixels of three classes: [2, 3], classes last
/// let planes = [[1.0_f32, 2.0], [5.0, 0.0], [0.0, 0.0]]; // the same as a plane per class: [3, 2], classes first
/// let last = Logits::new(pixels.as_flattened(), Shape::new(&[2, 3], -1)?)?;
/// let first = Logits::new(planes.as_flattened(), Shape::new(&[3, 2], 0)?)?;
/// let op = CrossEntropy::new();
/// assert!((op.forward(&last, &[1, 0])?.loss - op.forward(&first, &[1, 0])?.loss).abs() < 1e-7);
///
/// let images = Shape::new(&[8, 33, 512, 512], 1)?; // NCHW
/// assert_eq!((images.outer(), images.classes(), images.inner()), (8, 33, 512 * 512));
/// assert_eq!(images.rows(), 8 * 512 * 512); // labels [8, 512, 512]
/// # Ok::<(), sparse_xent::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    outer: usize,
    classes: usize,
    inner: usize,
}

/// Rows and classes are indexed by `i32`.
const LARGEST_COUNT: u64 = (1 << 31) - 1;
/// Element counts stay exact in an f64, as JavaScript holds them.
const LARGEST_ELEMENTS: u64 = 1 << 53;

impl Shape {
    /// The shape of logits with dimensions `dims`, whose axis `axis` runs over the classes; a negative axis counts
    /// from the end (-1 is the last).
    ///
    /// # Errors
    /// [`Error::Shape`] for no dimensions, an axis outside `[-rank, rank)` or an axis of length 0;
    /// [`Error::Size`] for more than 2^31 - 1 rows or classes, or more than 2^53 elements.
    pub fn new(dims: &[usize], axis: isize) -> Result<Self, Error> {
        let rank = dims.len();
        if rank == 0 {
            return Err(Error::Shape { what: "logits rank", got: 0, expected: "1 or more" });
        }
        let position =
            if axis < 0 { rank.checked_sub(axis.unsigned_abs()) } else { Some(axis.unsigned_abs()) };
        let Some(position) = position.filter(|position| *position < rank) else {
            return Err(Error::Shape { what: "axis", got: axis as i64, expected: "-rank..rank" });
        };
        let count = |dims: &[usize]| {
            if dims.contains(&0) {
                return Some(0);
            }
            dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim as u64))
        };
        let too_large = Error::Size { what: "logits elements", got: u64::MAX, expected: LARGEST_ELEMENTS };
        let outer = count(&dims[..position]).ok_or(too_large)?;
        let inner = count(&dims[position + 1..]).ok_or(too_large)?;
        Self::from_parts(outer, dims[position] as u64, inner)
    }

    /// The shape with these three products: `Shape::new(&[outer, classes, inner], 1)`.
    ///
    /// # Errors
    /// As [`Shape::new`].
    pub fn from_parts(outer: u64, classes: u64, inner: u64) -> Result<Self, Error> {
        if classes == 0 {
            return Err(Error::Shape { what: "classes", got: 0, expected: "1 or more" });
        }
        let rows = outer.saturating_mul(inner);
        let elements = rows.saturating_mul(classes);
        for (what, got, expected) in [
            ("classes", classes, LARGEST_COUNT),
            ("rows", rows, LARGEST_COUNT),
            ("logits elements", elements, LARGEST_ELEMENTS),
        ] {
            if got > expected {
                return Err(Error::Size { what, got, expected });
            }
        }
        let size = |value: u64, what| {
            usize::try_from(value).map_err(|_| Error::Size { what, got: value, expected: usize::MAX as u64 })
        };
        size(elements, "logits elements")?;
        Ok(Self {
            outer: size(outer, "outer")?,
            classes: size(classes, "classes")?,
            inner: size(inner, "inner")?,
        })
    }

    /// The shape of so many rows with their classes side by side, of logits that are never all there: their number is not looked at.
    pub(crate) fn of_rows(rows: usize, classes: usize) -> Result<Self, Error> {
        let one = Self::from_parts(u64::from(rows > 0), classes as u64, 1)?;
        if rows as u64 > LARGEST_COUNT {
            return Err(Error::Size { what: "rows", got: rows as u64, expected: LARGEST_COUNT });
        }
        Ok(Self { outer: rows, ..one })
    }

    /// The product of the dimensions before the class axis.
    #[must_use]
    pub fn outer(&self) -> usize {
        self.outer
    }

    /// The length of the class axis.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The product of the dimensions after the class axis; 1 when the classes of a row lie side by side.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// The number of rows, which is the number of labels.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.outer * self.inner
    }

    /// The number of logits.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.rows() * self.classes
    }
}
