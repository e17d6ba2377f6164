//! The errors of the crate in numbers, which is all of them that crosses to JavaScript.

use super::super::pool::ENGINE_LOST;
use crate::Error;

const OUT_OF_RANGE: u32 = 5;

/// An error's code, index, value and count.
pub(super) fn numbers(error: &Error) -> (u32, usize, f64, usize) {
    match *error {
        Error::Shape { got, .. } => (2, 0, got as f64, 0),
        Error::Length { got, .. } => (3, 0, got as f64, 0),
        Error::Size { got, .. } => (4, 0, got as f64, 0),
        Error::OptionRange { got, .. } => (OUT_OF_RANGE, 0, got, 0),
        Error::OptionConflict { .. } => (6, 0, 0.0, 0),
        Error::LabelNotInteger { index, got, .. } => (8, index, got, 1),
        Error::LabelOutOfRange { index, got, count, .. } => (9, index, got as f64, count),
        Error::TargetMasked { index, got } => (10, index, got as f64, 1),
        Error::WeightValue { what, index, got } => {
            let which = ["classWeight", "sampleWeight", "labelMatrix", "posWeight"]
                .iter()
                .position(|name| *name == what);
            (11, index, got, which.unwrap_or_default())
        }
        Error::OutOfMemory { bytes } => (12, 0, bytes as f64, 0),
        Error::EngineLost => (ENGINE_LOST, 0, 0.0, 0),
        Error::Aborted => (14, 0, 0.0, 0),
    }
}
