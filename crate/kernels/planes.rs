//! Rows whose classes are strided, in single precision, as they lie: `inner` neighbouring rows share each plane of a class.
//!
//! For one row, as in [`super::rows`]. What we do instead, and why:
//!  1. Lanes are rows: every load is a whole vector, no lane is idle whatever the number of classes, and the logarithm at
//!     the end of a row is taken for a vector of rows at once.
//!  2. Rows go in strips of up to [`STRIP`]: the sums of a strip lie in the first cache while its planes are read one after the other
//!     in long runs, which a processor foresees where it does not foresee many short ones.
//!  3. [`TOGETHER`] planes are read at once, a vector of each per turn: as many streams as a processor follows.
//!  4. Rows whose logits are small ([`Small`](super::rows::Small)) need no shift, hence no maximum. That is guessed of a whole strip and checked on the way,
//!     by the bits of the logits, as for rows. Where the guess was wrong, the rows are looked at and swept again ([`shifted`]), in the same
//!     order: whether a row is small is decided by its own logits, and its bits do not depend on its neighbours.
//!  5. The exponentials lie in scratch, side by side as they are computed, until the gradient is written: planes that are a power of two
//!     apart share a few sets of the caches. So the gradient may replace the logits too.
//!  6. The loop of the exponentials knows neither labels nor sums, and keeps its constants in registers. Then a 0 is written where each
//!     label's exponential lies, which leaves it out, and they are added up. Before the gradient is made, the place is given what comes to
//!     the label's own element when it is scaled as the others are.
//!  7. What is not in single precision, has masked classes or fills no whole vectors is copied line by line: see [`Planes`].
//!
//! What this costs: a strip that holds one row that is not small is swept again, and the next ones are looked at first.
mod few;
mod grad;
mod predict;
mod shifted;
mod sums;
mod sweep;

pub(super) use grad::Thresholds;

use super::objective::{Stats, WIDTH};
use super::rows::Asked;
use crate::simd::{CACHE_LINE, Isa, MOST_LANES};
use core::ops::Range;

/// The most rows of a strip: 2 KiB of each plane, half a page.
pub(crate) const STRIP: usize = 512;

/// Planes that are read or written at once.
pub(crate) const TOGETHER: usize = 4;

/// Exponentials added one after the other before their sum is added to the others': of equal terms, whose roundings all go one
/// way, 64 are off by up to 8.1e-7 of their sum and 256 would be off by 3.7e-6.
const RUN: usize = 64;

/// Classes added in single precision before the sums move to f64.
const FLUSH: usize = 256;

/// A number for each row of a strip.
type Across = [f32; STRIP];

/// Lines of a strip that are not classes.
const PER_ROW: usize = 13;

/// Rows of a strip: the exponentials of so many classes lie in the second cache. Of few rows in all a strip is a part only, since
/// scratch is filled with zeros.
pub(crate) fn strip_rows(classes: usize, rows: usize) -> usize {
    let most = match classes {
        0..=FLUSH => STRIP,
        _ => WIDTH,
    };
    (rows / 4).next_power_of_two().max(STRIP / 2).min(most)
}

/// Floats of scratch that strips of so many rows need: lines, exponentials, and a place for those of labels that there are not.
pub(crate) fn scratch_length(classes: usize, strip_rows: usize) -> usize {
    PER_ROW * STRIP + CACHE_LINE + classes.next_multiple_of(TOGETHER) * strip_rows + 1
}

/// The memory of a strip. Of up to [`TOGETHER`] neighbouring classes, a run of rows each; what is beyond `count` is empty.
pub(crate) trait Planes {
    /// The logits of some of the strip's rows, which fill whole vectors.
    fn logits(&mut self, first: usize, count: usize, rows: Range<usize>) -> [&[f32]; TOGETHER];
    /// As they lie, where they do: the last vector may be cut.
    fn cut_logits(&mut self, first: usize, count: usize, rows: Range<usize>) -> [&[f32]; TOGETHER];
    /// Calls a function with the memory of the gradient, for all rows, where the last vector may be cut; it also says whether the gradient
    /// is to be added there.
    fn gradient(&mut self, first: usize, count: usize, write: &mut dyn FnMut([&mut [f32]; TOGETHER], bool));
    /// The logits of the labels of rows from `row` on; of rows without one, 0.
    fn gather(&self, row: usize, labels: &[i32], logits: &mut [f32]);
    /// Sets the gradient of classes that are left out to 0, unless it is added.
    fn clear(&mut self);
}

/// The exponentials of some rows of [`TOGETHER`] classes of which one is the first of some.
#[inline(always)]
fn in_turns<'s, I: Isa>(
    exponentials: &'s mut [f32],
    stride: usize,
    first: usize,
    rows: &Range<usize>,
) -> &'s mut [[I::Chunk; TOGETHER]] {
    let from = first / TOGETHER * TOGETHER * stride + TOGETHER * rows.start;
    let turns = &mut exponentials[from..][..TOGETHER * rows.len()];
    I::chunks_mut(turns).as_chunks_mut().0
}

/// A vector that begins with some numbers; the others are 0.
fn filled(numbers: &[f32]) -> [f32; MOST_LANES] {
    let mut vector = [0.0; MOST_LANES];
    vector.iter_mut().zip(numbers).for_each(|(slot, number)| *slot = *number);
    vector
}

/// Calls a function for all classes, [`TOGETHER`] or one at a time, with the first and how many.
#[inline(always)]
fn for_groups(classes: usize, mut each: impl FnMut(usize, usize)) {
    let mut first = 0;
    while first < classes {
        let count = if classes - first < TOGETHER { 1 } else { TOGETHER };
        each(first, count);
        first += count;
    }
}

/// What is known of the rows of a strip, and their exponentials; in [`scratch_length`] floats.
#[derive(Debug)]
pub(crate) struct Strip<'a> {
    /// Whole vectors.
    rows: usize,
    /// The labels as numbers, where they are compared; negative ones for rows without.
    number: &'a mut Across,
    /// The labels' logits; 0 for rows without.
    label: &'a mut Across,
    /// What is subtracted from each logit.
    shift: &'a mut Across,
    rest: &'a mut Across,
    moment: &'a mut Across,
    /// The sums of the runs of classes before this one.
    sum_before: &'a mut Across,
    /// Where the exponentials of the labels of a part lie.
    places: [u32; WIDTH],
    labelled: usize,
    /// Whether labels are found by comparing, and `number` holds them: see [`few`].
    compares: bool,
    /// All ones for rows of small logits, and for rows whose loss is a number.
    small: &'a mut Across,
    sound: &'a mut Across,
    /// What the exponentials are multiplied by, what they must reach so as not to count as 0, and what is added.
    scale: &'a mut Across,
    threshold: &'a mut Across,
    bias: &'a mut Across,
    /// The gradient at the label; and what comes to that when it is scaled.
    target: &'a mut Across,
    own: &'a mut Across,
    /// Whether no row has a bias, a scale that is negative or no number, or an exponential that may count as 0.
    is_simple: bool,
    /// The largest bits of the logits, as i32 and as u32.
    highest: [f32; MOST_LANES],
    lowest: [f32; MOST_LANES],
    /// What no exponential is below; 0 where that is not known.
    least: f32,
    /// Of the part that was found last.
    all_small: bool,
    all_sound: bool,
    /// Whether the lines say of all rows that they are small.
    is_set: bool,
    /// Whether the line of moments holds numbers, and zeros where none are asked for.
    has_moment: bool,
    /// Exponentials of a class, at most. The vectors of [`TOGETHER`] classes take turns.
    stride: usize,
    exponentials: &'a mut [f32],
}

const SET: f32 = f32::from_bits(u32::MAX);

impl<'a> Strip<'a> {
    /// Of up to so many rows, in scratch of [`scratch_length`] floats.
    pub(crate) fn new(strip_rows: usize, scratch: &'a mut [f32]) -> Self {
        // A line of scratch that crosses a cache line with every vector takes longer.
        let start = scratch.as_ptr().align_offset(CACHE_LINE * size_of::<f32>()).min(CACHE_LINE);
        let (lines, exponentials) = scratch[start..].split_at_mut(PER_ROW * STRIP);
        let [
            number,
            label,
            shift,
            rest,
            moment,
            sum_before,
            small,
            sound,
            scale,
            threshold,
            bias,
            target,
            own,
        ] = lines.as_chunks_mut().0
        else {
            panic!("a strip needs the scratch it asks for")
        };
        Self {
            rows: 0,
            number,
            label,
            shift,
            rest,
            moment,
            sum_before,
            places: [0; WIDTH],
            labelled: 0,
            compares: false,
            small,
            sound,
            scale,
            threshold,
            bias,
            target,
            own,
            is_simple: true,
            highest: [0.0; MOST_LANES],
            lowest: [0.0; MOST_LANES],
            least: 0.0,
            all_small: false,
            all_sound: false,
            is_set: false,
            has_moment: false,
            stride: strip_rows,
            exponentials,
        }
    }

    /// Begins with so many rows; `lanes` is the length of a vector.
    pub(crate) fn begin(&mut self, count: usize, lanes: usize) {
        self.rows = count.next_multiple_of(lanes);
        self.is_simple = true;
        if !self.has_moment {
            // The first strip of a unit is the longest.
            self.moment[..self.rows].fill(0.0);
            self.has_moment = true;
        }
    }

    /// Sets the labels of a part of the rows as numbers.
    #[inline(never)]
    fn set_numbers(&mut self, rows: &Range<usize>, labels: &[i32]) {
        let (numbers, beyond) = self.number[rows.clone()].split_at_mut(labels.len());
        for (number, label) in numbers.iter_mut().zip(labels) {
            *number = *label as f32;
        }
        beyond.fill(-1.0);
    }

    /// What has been found of a part of the rows, up to [`WIDTH`] of them.
    pub(crate) fn stats(&self, part: &Range<usize>) -> Stats<'_> {
        let part = part.start..part.end.min(self.rows);
        Stats {
            shift: &self.shift[part.clone()],
            label: &self.label[part.clone()],
            rest: &self.rest[part.clone()],
            moment: &self.moment[part.clone()],
            small: &self.small[part.clone()],
            sound: &self.sound[part],
            all_sound: self.all_sound,
            all_small: self.all_small,
        }
    }
}
