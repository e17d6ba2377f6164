//! Rows whose classes are strided, in single precision, as they lie: `inner` neighbouring rows share each plane of a class.
//!
//! For one row, as in [`super::rows`]. What we do instead, and why:
//!  1. Lanes are rows: every load is a whole vector, no lane is idle whatever the number of classes, and the logarithm at
//!     the end of a row is taken for a vector of rows at once.
//!  2. Rows go in strips of up to [`STRIP`]. The numbers that belong to a row stay in the first cache while the kernel reads one plane after
//!     the other. The processor reads ahead along a strip that is long; it does not along many short ones.
//!  3. The kernel reads [`TOGETHER`] planes at once, a vector of each in turn: a processor follows as many streams.
//!  4. Rows whose logits are small ([`Small`](super::rows::Small)) need no shift, hence no maximum. The kernel takes all rows of a strip for
//!     small and checks that by the bits of the logits on the way, as for rows. Where it was wrong, [`shifted`] looks at the rows and sweeps
//!     them again in the same order. Each row is judged by its own logits, so its bits do not depend on its neighbours.
//!  5. The exponentials lie in scratch, in the order in which they are computed, until the gradient is written. Planes that are a power of
//!     two apart would share a few sets of the caches. It also lets the gradient replace the logits.
//!  6. The loop of the exponentials knows neither labels nor sums, so that its constants stay in registers. The label's exponential is left
//!     out afterwards, in one of two ways. Of up to eight classes, the loops that add and that write compare each label with each class
//!     ([`few`]). Of more, the kernel finds the place of each label's exponential ([`sums`]): it writes a 0 there before the sum, and
//!     before the gradient it writes the number that becomes the label's element when it is scaled like the others.
//!  7. Logits of other types, under a mask, or in a vector that is cut are copied to whole lines first: see [`Planes`].
//!
//! The limit: one row that is not small makes the kernel sweep its strip again, and look at the rows of the next strip first.
mod few;
mod grad;
mod predict;
mod shifted;
mod sums;
mod sweep;

pub(super) use grad::Thresholds;
// The steps of a strip. All of its rows are swept at once. Each part of them, of up to `WIDTH` rows, then goes through `find_labels`,
// `is_small` (where it is not: `look_and_sweep`), `add_up`, and after the caller has concluded the rows through `predict` and `keep`. At
// last `write` takes all rows again.
pub(crate) use grad::{keep, write};
pub(crate) use predict::predict;
pub(crate) use shifted::look_and_sweep;
pub(crate) use sums::{add_up, find_labels};
pub(crate) use sweep::{is_small, sweep};

use super::objective::{Stats, WIDTH};
use super::rows::Asked;
use crate::simd::{CACHE_LINE, Isa, MOST_LANES, arrays};
use core::ops::Range;

/// The most rows of a strip: 2 KiB of each plane, half a page.
pub(crate) const STRIP: usize = 512;

/// Planes that are read or written at once.
pub(crate) const TOGETHER: usize = 4;

/// How many exponentials are added one after the other before their sum joins the others. The roundings of equal terms all go one way:
/// 64 of them are off by up to 8.1e-7 of their sum, and 256 would be off by 3.7e-6.
const RUN: usize = 64;

/// How many classes are added in single precision before their sum joins one in f64.
const FLUSH: usize = 256;

/// A number for each row of a strip.
type Across = [f32; STRIP];

/// How many lines of [`Across`] a strip has beside its exponentials.
const PER_ROW: usize = 13;

/// The rows of a strip. Of many classes it has fewer, so that its exponentials fit into the second cache. A call of few rows has shorter
/// strips, since all scratch is filled with zeros first.
pub(crate) fn strip_rows(classes: usize, rows: usize) -> usize {
    let most = match classes {
        0..=FLUSH => STRIP,
        _ => WIDTH,
    };
    (rows / 4).next_power_of_two().max(STRIP / 2).min(most)
}

/// How many floats of scratch a strip needs: its lines, its exponentials, and one place that stands for labels of rows without one.
pub(crate) fn scratch_length(classes: usize, strip_rows: usize) -> usize {
    PER_ROW * STRIP + CACHE_LINE + classes.next_multiple_of(TOGETHER) * strip_rows + 1
}

/// The memory of a strip. Functions give some rows of each of `count` neighbouring classes, up to [`TOGETHER`]; the slices beyond
/// `count` are empty.
pub(crate) trait Planes {
    /// The logits of some of the strip's rows, in whole vectors: what is cut is copied and filled up with 0.
    fn logits(&mut self, first: usize, count: usize, rows: Range<usize>) -> [&[f32]; TOGETHER];
    /// As [`Planes::logits`], but single precision is not copied: its last vector may be cut.
    fn cut_logits(&mut self, first: usize, count: usize, rows: Range<usize>) -> [&[f32]; TOGETHER];
    /// Calls a function with the memory of the gradient of all rows, and with whether the gradient is to be added to it. The last vector may
    /// be cut.
    fn gradient(&mut self, first: usize, count: usize, write: &mut dyn FnMut([&mut [f32]; TOGETHER], bool));
    /// Puts the logits of the labels of the rows from `row` on into `logits`; 0 for rows without a label.
    fn gather(&self, row: usize, labels: &[i32], logits: &mut [f32]);
    /// Sets the gradient of masked classes to 0, unless the gradient is added.
    fn clear(&mut self);
}

/// The exponentials of some rows, among them of the [`TOGETHER`] classes that `first` is one of.
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

/// A vector that begins with the numbers of a cut one; the others are 0.
fn filled(numbers: &[f32]) -> [f32; MOST_LANES] {
    let mut vector = [0.0; MOST_LANES];
    vector.iter_mut().zip(numbers).for_each(|(slot, number)| *slot = *number);
    vector
}

/// Calls a function for all classes with the first one and how many: [`TOGETHER`] at a time, and of the rest two and one.
#[inline(always)]
fn for_classes(classes: usize, mut each: impl FnMut(usize, usize)) {
    let mut first = 0;
    while first < classes {
        let count = [TOGETHER, 2, 1].into_iter().find(|count| *count <= classes - first).unwrap_or(1);
        each(first, count);
        first += count;
    }
}

/// What is known of the rows of a strip, and their exponentials; in [`scratch_length`] floats.
#[derive(Debug)]
pub(crate) struct Strip<'a> {
    /// How many rows there are, rounded up to whole vectors.
    rows: usize,
    /// The labels as numbers, for loops that compare them; negative for rows without one. Set by [`Strip::set_numbers`].
    number: &'a mut Across,
    /// The labels' logits; 0 for rows without one.
    label: &'a mut Across,
    /// What is subtracted from each logit.
    shift: &'a mut Across,
    /// The sum of the other classes' exponentials.
    rest: &'a mut Across,
    /// The weighted sum of the other classes' shifted logits.
    moment: &'a mut Across,
    /// The sums of the classes before the run that is being added.
    sum_before: &'a mut Across,
    /// Where the labels' exponentials of a part of the rows lie, and how many rows that part has.
    places: [u32; WIDTH],
    labelled: usize,
    /// Whether labels are compared with each class, so that `number` always holds them: see [`few`].
    compares: bool,
    /// All ones for rows of small logits.
    small: &'a mut Across,
    /// All ones for rows whose loss is a number.
    sound: &'a mut Across,
    /// The factor of the exponentials in the gradient.
    scale: &'a mut Across,
    /// Exponentials below it count as 0 in the gradient.
    threshold: &'a mut Across,
    /// What is added to the product.
    bias: &'a mut Across,
    /// The gradient at the label.
    target: &'a mut Across,
    /// The number that becomes it when it is multiplied by `scale`.
    own: &'a mut Across,
    /// Whether no row has a bias, a scale that is negative or no number, or an exponential that may count as 0.
    is_simple: bool,
    /// For each lane of a vector, the largest bits that its logits have as i32, and as u32.
    highest: [f32; MOST_LANES],
    lowest: [f32; MOST_LANES],
    /// A bound that no exponential is below; 0 where none is known.
    least: f32,
    /// Whether all rows of the part that was added up last are small, and sound.
    all_small: bool,
    all_sound: bool,
    /// Whether `shift`, `small` and `sound` say of all rows of a strip that they are small.
    is_set: bool,
    /// Whether `moment` was filled with zeros once, for calls that ask for no moment.
    has_moment: bool,
    /// How many exponentials of a class there is room for. In memory the vectors of [`TOGETHER`] classes take turns.
    stride: usize,
    exponentials: &'a mut [f32],
}

const SET: f32 = f32::from_bits(u32::MAX);

impl<'a> Strip<'a> {
    /// A strip of at most so many rows, in scratch of [`scratch_length`] floats.
    pub(crate) fn new(strip_rows: usize, scratch: &'a mut [f32]) -> Self {
        // Vectors that cross cache lines take longer.
        let start = scratch.as_ptr().align_offset(CACHE_LINE * size_of::<f32>()).min(CACHE_LINE);
        let (lines, exponentials) = scratch[start..].split_at_mut(PER_ROW * STRIP);
        let mut lines = lines.as_chunks_mut().0.iter_mut();
        let mut line = || lines.next().expect("the scratch that a strip asks for");
        Self {
            rows: 0,
            number: line(),
            label: line(),
            shift: line(),
            rest: line(),
            moment: line(),
            sum_before: line(),
            places: [0; WIDTH],
            labelled: 0,
            compares: false,
            small: line(),
            sound: line(),
            scale: line(),
            threshold: line(),
            bias: line(),
            target: line(),
            own: line(),
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

    /// Begins the next strip, of `count` rows; `lanes` is the length of a vector.
    pub(crate) fn begin(&mut self, count: usize, lanes: usize) {
        self.rows = count.next_multiple_of(lanes);
        self.is_simple = true;
        if !self.has_moment {
            // No later strip of the unit is longer than the first.
            self.moment[..self.rows].fill(0.0);
            self.has_moment = true;
        }
    }

    /// The rows of a part that there are.
    #[inline(always)]
    fn rows_of(&self, part: &Range<usize>) -> Range<usize> {
        part.start..part.end.min(self.rows)
    }

    /// Sets `number` for a part of the rows.
    #[inline(never)]
    fn set_numbers(&mut self, rows: &Range<usize>, labels: &[i32]) {
        let (numbers, beyond) = self.number[rows.clone()].split_at_mut(labels.len());
        arrays::combine(numbers, labels, |_, label| label as f32);
        beyond.fill(-1.0);
    }

    /// What the sweeps found of a part of the rows, at most [`WIDTH`].
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
