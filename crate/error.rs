//! What can be wrong with a call: one enum, each variant with what was given and what was expected.
//! Every error is found before any output is written.

use core::fmt;

/// Why a call was refused. Nothing has been written when one is returned.
///
/// The variants carry the names of the TypeScript error codes (`LABEL_OUT_OF_RANGE` is `LabelOutOfRange`), and arguments the
/// names they have there (`classWeight` is [`class_weight`](crate::CrossEntropy::class_weight)).
///
/// ```
/// use sparse_xent::{CrossEntropy, Error, Logits, Shape};
///
/// let logits = Logits::new(&[0.0_f32; 6], Shape::new(&[2, 3], -1)?)?;
/// let refused = CrossEntropy::new().forward(&logits, &[1, 3]).unwrap_err();
/// assert_eq!(refused, Error::LabelOutOfRange { index: 1, got: 3, classes: 3, count: 1, rows: 2 });
/// let refused = CrossEntropy::new().label_smoothing(1.5).forward(&logits, &[1, 2]).unwrap_err();
/// assert_eq!(refused.to_string(), "labelSmoothing got 1.5, expected 0..1");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A rank of 0, an axis outside `[-rank, rank)`, or no classes.
    Shape {
        /// Which argument, as the options name it.
        what: &'static str,
        /// The number that does not fit.
        got: i64,
        /// What would fit.
        expected: &'static str,
    },
    /// A slice whose length does not fit the shape.
    Length {
        /// Which argument.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length that fits.
        expected: usize,
    },
    /// More rows, classes or elements than the operation can index (rows and classes below 2^31, elements below 2^53).
    Size {
        /// Which quantity.
        what: &'static str,
        /// How many.
        got: u64,
        /// The largest allowed.
        expected: u64,
    },
    /// An option outside its range.
    OptionRange {
        /// The option's name.
        option: &'static str,
        /// Its value; for `ignoreIndex`, how many labels there are.
        got: f64,
        /// The range, in words.
        expected: &'static str,
    },
    /// Two options that exclude each other.
    OptionConflict {
        /// One of them.
        option: &'static str,
        /// The other.
        with: &'static str,
    },
    /// A floating-point label that is not an exact integer below 2^24 (`f32`) or 2^53 (`f64`).
    LabelNotInteger {
        /// The row.
        index: usize,
        /// The label.
        got: f64,
        /// The bound on its magnitude.
        bound: u64,
    },
    /// A label outside `0..classes` that no `ignore_index` covers; the first one, and how many there are.
    LabelOutOfRange {
        /// The row of the first.
        index: usize,
        /// Its label.
        got: i128,
        /// The number of classes.
        classes: usize,
        /// How many rows have such a label.
        count: usize,
        /// The number of rows.
        rows: usize,
    },
    /// A label whose class the class mask removes.
    TargetMasked {
        /// The row of the first.
        index: usize,
        /// Its label.
        got: i128,
    },
    /// A weight that is not finite, or a `posWeight` below 0.
    WeightValue {
        /// `classWeight`, `sampleWeight`, `labelMatrix` or `posWeight`.
        what: &'static str,
        /// Its position.
        index: usize,
        /// The weight.
        got: f64,
    },
    /// Scratch memory was refused.
    OutOfMemory {
        /// How much was asked for.
        bytes: usize,
    },
    /// A thread of the pool died or stalled for two seconds; the outputs hold no meaning.
    EngineLost,
    /// The call was cancelled; the gradient may be partly written, with numbers that are not its own yet. In place the logits are
    /// then lost.
    Aborted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Shape { what, got, expected } => write!(f, "{what} got {got}, expected {expected}"),
            Error::Length { what, got, expected } => {
                write!(f, "{what} length got {got}, expected {expected}")
            }
            Error::Size { what, got, expected } => write!(f, "{what} got {got}, expected at most {expected}"),
            Error::OptionRange { option, got, expected } => {
                write!(f, "{option} got {got}, expected {expected}")
            }
            Error::OptionConflict { option, with } => {
                write!(f, "{option} got a value, expected none with {with}")
            }
            Error::LabelNotInteger { index, got, bound } => {
                write!(f, "labels[{index}] got {got}, expected an integer below {bound}")
            }
            Error::LabelOutOfRange { index, got, classes, count, rows } => {
                write!(
                    f,
                    "labels[{index}] got {got}, expected 0..{}; {count} such labels of {rows}; \
                     set ignore_index: {got} to skip them",
                    classes - 1
                )
            }
            Error::TargetMasked { index, got } => {
                write!(f, "labels[{index}] got {got}, expected a class kept by classMask")
            }
            Error::WeightValue { what, index, got } => {
                let least = if what == "posWeight" { " of at least 0" } else { "" };
                write!(f, "{what}[{index}] got {got}, expected a finite number{least}")
            }
            Error::OutOfMemory { bytes } => {
                write!(f, "scratch needs got {bytes} bytes, expected available memory")
            }
            Error::EngineLost => write!(f, "a pool thread died or stalled, expected a living pool"),
            Error::Aborted => write!(f, "the call was aborted"),
        }
    }
}

impl core::error::Error for Error {}
