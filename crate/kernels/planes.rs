//! Tiles of [`WIDTH`] rows with one line of scratch per class, in single precision, for rows whose classes are strided: `inner`
//! neighbouring rows share each plane of a class.
//!
//! For one row, as in [`super::rows`]. What we do instead, and why:
//!  1. Lanes are rows: every load is a whole vector, no lane is idle whatever the number of classes, and the logarithm at
//!     the end of a row is taken for a vector of rows at once.
//!  2. Everything happens in scratch, so the gradient may replace the logits, and a dtype or a class mask is a matter of
//!     the copy.
//!  3. The label's logit is taken out, and -inf put in its place, before anything else is looked at: the maximum and the sum
//!     are those of the other classes without a comparison in a loop.
//!  4. A vector of rows goes down all classes before the next one: shift and sum stay in registers.
//!  5. A NaN is looked for on the way to the maximum, and not among the exponentials: the sum of a row's logits is NaN if one
//!     of them is. It is NaN too where finite logits overflow it and -inf follows, so such a row is looked at again, by
//!     magnitude. Both are kept for each row, so that a NaN row does not touch its neighbours.
//!  6. Rows whose logits are all small, which is nearly all rows, need no maximum, no shift and no clamp: see [`small`]. Large planes
//!     of them go in strips of tiles: see [`strip`].
//!  7. The gradient goes from the exponentials to its memory in one sweep (see [`Grad`]), and the label's element after it.
//!
//! What this costs: a copy in, and strided runs of [`WIDTH`] floats of memory. Of strided f32 classes, `33x512x512` relaxed on one
//! thread (sweeps tried apart from the package, Node 24, ns per logit): copy in 0.21, labels 0.03, maximum 0.06, exponentials 0.32,
//! gradient out 0.24; of small logits, the maximum and the exponentials together 0.27. The exponentials are at what the processor does
//! with vectors of four in native code (0.31).
//!
//! What was tried on strided classes and is no faster, the loss being 0.65 (of small logits 0.55) and the loss with its gradient 0.90
//! to 0.98 (0.85) there:
//!  - No copy run by run, but 16 rows (a cache line of each plane) at a time, with the maximum taken on the way: 0.60 where planes
//!    are 2^18 long, 1.10 instead of 0.69 where they are 250,000 long. It takes 0.03 more where labels are the largest logits.
//!  - Exponentials straight from the logits' memory: 0.83 a vector at a time, since 33 planes at a power of two share a set of
//!    the caches; 0.54 with four vectors side by side, but without the label's exception.
//!  - Tiles of 64 or 256 rows: 0.73 and 0.85; the gradient 1.01 and 1.06. The lines of a tile must lie in the first cache.
//!  - Reading a number of each cache line ahead, 128 to 1024 rows: 0.66 to 0.76.
//!  - The gradient of the tile before among the exponentials: 0.86 to 0.90 relaxed, and 1.07 to 1.13 instead of 1.22 without
//!    relaxed SIMD. Through scratch and a copy of whole runs: 0.98.
//!  - Two, four or eight tiles copied in and written out together, so that runs of memory are longer: 0.97 to 1.0 times the time.
mod grad;
mod moment;
mod predict;
mod small;
pub(crate) mod strip;
mod wide;

pub(crate) use grad::Grad;
pub(super) use grad::Thresholds;
pub(crate) use small::Small;

use super::MomentOf;
use super::objective::{Line, PlainRows, Stats, WIDTH, ZERO};
use crate::math::Exp;
use crate::simd::{Ahead, Isa, inlined};
use wide::Wide;

/// Scratch for one tile: a line per class, and lines for what is kept per row. These end with the last vectors that hold a row, and
/// so does every sweep: the last tile of a call, or the only one, costs what its rows cost. What the sweeps `take` beside that is for
/// the compiler, which then knows that each line is long enough.
#[derive(Debug)]
pub(crate) struct Tile<'a> {
    /// Lines of logits, then exponentials, then the gradient.
    pub(crate) lines: &'a mut [Line],
    /// The largest logit of the other classes; the label's where all of them are -inf.
    shift: &'a mut [f32],
    label: &'a mut [f32],
    rest: &'a mut [f32],
    moment: &'a mut [f32],
    /// All ones for rows of small logits; see [`small`].
    small: &'a mut [f32],
    /// All ones for rows whose loss is a number: no logit is NaN or +inf, and not all are -inf.
    sound: &'a mut [f32],
    /// Whether that is so of all rows.
    all_sound: bool,
    /// Whether all rows are small.
    all_small: bool,
    /// In a [`strip`]: what no exponential is below, whether the gradient has to look for those that are too small for it, and whether
    /// all that it needs is kept.
    least: f32,
    flushes: bool,
    is_kept: bool,
    /// The next tile's logits and this one's gradient, to be asked for while the exponentials are computed.
    pub(crate) ahead: [Ahead; 2],
}

/// Lines of a tile that are not classes.
const PER_ROW: usize = 6;

/// Vectors of rows that go down the classes side by side, where one would wait for its own last maximum.
const SIDE: usize = 4;

/// Exponentials added one after the other before their sum is added to the others': of equal terms, whose roundings all go one
/// way, 64 are off by up to 8.1e-7 of their sum and 256 would be off by 3.7e-6.
const RUN: usize = 64;

/// Classes added in single precision before the sums move to f64.
const FLUSH: usize = 256;

/// Floats of scratch that a tile of `classes` needs.
pub(crate) fn scratch_length(classes: usize) -> usize {
    (classes + PER_ROW) * WIDTH + CACHE_LINE
}

/// Floats of a cache line, where a tile begins: a copy that crosses one with every store takes longer.
const CACHE_LINE: usize = 16;

impl<'a> Tile<'a> {
    /// A tile for so many rows over scratch of [`scratch_length`] floats.
    // Not inlined: once for all element types and layouts.
    #[inline(never)]
    pub(crate) fn new<I: Isa>(scratch: &'a mut [f32], rows: usize) -> Self {
        let end = rows.next_multiple_of(SIDE * I::LANES).min(WIDTH);
        let start = scratch.as_ptr().align_offset(CACHE_LINE * size_of::<f32>()).min(CACHE_LINE);
        match scratch[start..].as_chunks_mut().0 {
            [shift, label, rest, moment, small, sound, lines @ ..] => Self {
                ahead: [Ahead::nothing(); 2],
                lines,
                shift: &mut shift[..end],
                label: &mut label[..end],
                rest: &mut rest[..end],
                moment: &mut moment[..end],
                small: &mut small[..end],
                sound: &mut sound[..end],
                all_sound: false,
                all_small: false,
                least: 0.0,
                flushes: true,
                is_kept: false,
            },
            _ => panic!("a tile needs the scratch it asks for"),
        }
    }

    /// Rows that the sweeps look at, those that nothing was put in among them.
    pub(crate) fn rows(&self) -> usize {
        self.shift.len()
    }

    /// Empties the rows that are not to be computed, so that they leave no NaN behind. Whether there are some.
    fn blank(&mut self, labels: &[i32; WIDTH]) -> bool {
        let mut missing = false;
        for (row, _) in labels.iter().enumerate().take(self.rows()).filter(|(_, label)| **label < 0) {
            self.lines.iter_mut().for_each(|line| line[row] = 0.0);
            missing = true;
        }
        missing
    }

    /// Takes the labels' logits out and puts `place` there.
    fn take_labels(&mut self, labels: &[i32; WIDTH], place: f32) {
        for (row, (slot, label)) in self.label.iter_mut().zip(labels).enumerate() {
            *slot = usize::try_from(*label)
                .map_or(0.0, |label| core::mem::replace(&mut self.lines[label][row], place));
        }
    }

    /// Gathers the statistics of the rows with these labels; a negative label is a row that is not to be computed, whose
    /// lane may hold anything. The exponentials replace the logits. Whether all rows are small.
    #[inline(never)] // once for all dtypes and layouts: a twentieth of a wasm file
    pub(crate) fn sweep<I: Isa>(
        &mut self,
        labels: &[i32; WIDTH],
        scale: f32,
        moment: MomentOf<'_>,
        predictions: Option<&mut [i32; WIDTH]>,
        small: &Small<'_>,
    ) -> bool {
        self.take_labels(labels, f32::NEG_INFINITY);
        self.all_small = false;
        let mut all_small = self.observe::<I>(small);
        if !self.all_sound && self.blank(labels) {
            all_small = self.observe::<I>(small);
        }
        if let Some(predictions) = predictions {
            self.predict::<I>(labels, predictions);
        }
        self.moments::<I>(labels, scale, moment);
        I::enter(
            #[inline(always)]
            || match self.lines.len() {
                2 => self.pair::<I>(),
                _ if scale == 1.0 => self.exponentials::<I, false>(scale),
                _ => self.exponentials::<I, true>(scale),
            },
        );
        all_small
    }

    /// Finds the largest logit of the other classes, and whether all logits are what a loss can be computed from. Whether all rows are
    /// small.
    fn observe<I: Isa>(&mut self, small: &Small<'_>) -> bool {
        I::enter(
            #[inline(always)]
            || self.look_at::<I>(small),
        )
    }

    #[inline(always)]
    fn look_at<I: Isa>(&mut self, small: &Small<'_>) -> bool {
        let (zero, most, least) = (I::splat(0.0), I::splat(f32::MAX), I::splat(f32::NEG_INFINITY));
        let mut all = I::eq(zero, zero);
        let mut all_small = all;
        let shifts = I::chunks_mut(self.shift).chunks_exact_mut(SIDE);
        let kept = shifts.zip(I::chunks_mut(self.sound).chunks_exact_mut(SIDE));
        let kept = kept.zip(I::chunks_mut(self.small).chunks_exact_mut(SIDE));
        for (group, (((shifts, sounds), smalls), labels)) in
            kept.zip(I::chunks(self.label).chunks_exact(SIDE)).enumerate().take(WIDTH / (SIDE * I::LANES))
        {
            let mut largest = [least; SIDE];
            let mut sum = [zero; SIDE];
            for line in &*self.lines {
                let x = &I::chunks(line)[SIDE * group..][..SIDE];
                for side in 0..SIDE {
                    let x = I::load(&x[side]);
                    largest[side] = I::pmax(largest[side], x);
                    sum[side] = I::add(sum[side], x);
                }
            }
            for side in 0..SIDE {
                let label = I::load(&labels[side]);
                let alone = I::eq(largest[side], least);
                let mut sound = I::and(I::le(largest[side], most), I::le(label, most));
                let number = I::eq(sum[side], sum[side]);
                if !I::all(number) {
                    sound = I::and(sound, numbers::<I>(self.lines, SIDE * group + side));
                }
                let sound = I::and_not(sound, I::and(alone, I::eq(label, least)));
                all = I::and(all, sound);
                I::store(&mut sounds[side], sound);
                let is_small =
                    small.rows::<I>((&*self.lines, SIDE * group + side), largest[side], sum[side], label);
                all_small = I::and(all_small, is_small);
                I::store(&mut smalls[side], is_small);
                I::store(&mut shifts[side], I::select(alone, label, largest[side]));
            }
        }
        self.all_sound = I::all(all);
        I::all(all_small)
    }

    #[inline(always)]
    fn exponentials<I: Isa, const SCALED: bool>(&mut self, scale: f32) {
        let scale = I::splat(scale);
        let exp = Exp::<I>::new();
        let sweep = inlined(
            #[inline(always)]
            |lines: &mut [Line], ahead: &[Ahead], lane: usize, shift: I::V| {
                add_runs::<I>(
                    lines,
                    ahead,
                    lane,
                    #[inline(always)]
                    |x| {
                        let d = I::sub(x, shift);
                        exp.exp(if SCALED { I::mul(d, scale) } else { d })
                    },
                )
            },
        );
        let slots = I::chunks_mut(self.rest).iter_mut().zip(I::chunks_mut(self.shift));
        for (lane, ((rest, slot), small)) in
            slots.zip(I::chunks(self.small)).enumerate().take(WIDTH / I::LANES)
        {
            let small = I::load(small);
            let shift = I::and_not(I::load(slot), small);
            I::store(slot, shift);
            let sum = if self.lines.len() <= FLUSH {
                sweep(self.lines, &self.ahead, lane, shift)
            } else {
                let mut wide = Wide::<I>::default();
                for lines in self.lines.chunks_mut(FLUSH) {
                    // The second cache is full of the tile itself.
                    wide.add(sweep(lines, &[], lane, shift));
                }
                wide.total()
            };
            // Where no other class is above -inf, what the clamp of `exp` left is nothing.
            let nothing = I::le(sum, I::and_not(I::splat(0.5), small));
            I::store(rest, I::and_not(sum, nothing));
        }
    }

    /// [`Tile::exponentials`] of two classes: the other class is the largest of the others, and its exponential is 1.
    #[inline(always)]
    fn pair<I: Isa>(&mut self) {
        let (one, least) = (I::splat(1.0), I::splat(f32::NEG_INFINITY));
        for (lane, rest) in I::chunks_mut(self.rest).iter_mut().enumerate().take(WIDTH / I::LANES) {
            let mut sum = I::splat(0.0);
            for line in &mut *self.lines {
                let x = &mut I::chunks_mut(line)[lane];
                let e = I::and_not(one, I::eq(I::load(x), least));
                I::store(x, e);
                sum = I::add(sum, e);
            }
            I::store(rest, sum);
        }
    }

    fn is_sound(&self, row: usize) -> bool {
        self.sound[row].to_bits() != 0
    }

    /// What has been found of the rows.
    #[inline(always)]
    pub(crate) fn stats(&self) -> Stats<'_> {
        Stats {
            shift: &*self.shift,
            label: &*self.label,
            rest: &*self.rest,
            moment: &*self.moment,
            small: &*self.small,
            sound: &*self.sound,
            all_sound: self.all_sound,
            all_small: self.all_small,
        }
    }
}

/// Puts the exponentials of a vector of rows in the place of the logits. Their sum.
#[inline(always)]
fn add_runs<I: Isa>(
    lines: &mut [Line],
    ahead: &[Ahead],
    lane: usize,
    mut exp: impl FnMut(I::V) -> I::V,
) -> I::V {
    let mut total = I::splat(0.0);
    let first = lane * lines.len();
    for (run, lines) in lines.chunks_mut(RUN).enumerate() {
        let mut sum = I::splat(0.0);
        for (class, line) in lines.iter_mut().enumerate() {
            ahead.iter().for_each(|ahead| ahead.ask(first + run * RUN + class, WIDTH / I::LANES));
            let x = &mut I::chunks_mut(line)[lane];
            let e = exp(I::load(x));
            I::store(x, e);
            sum = I::add(sum, e);
        }
        total = I::add(total, sum);
    }
    total
}

/// Those of the first `end` rows of a tile that are computed, each with its label.
#[inline(always)]
pub(crate) fn labelled(labels: &[i32; WIDTH], end: usize) -> impl Iterator<Item = (usize, usize)> {
    let labels = labels.iter().take(end).enumerate();
    labels.filter_map(|(row, label)| usize::try_from(*label).ok().map(|label| (row, label)))
}

/// Which rows of a vector have no NaN: the magnitude of one is more than infinity's as bits, and not less or equal as a number.
#[inline(never)]
fn numbers<I: Isa>(lines: &[Line], lane: usize) -> I::V {
    I::enter(
        #[inline(always)]
        || {
            let mut magnitude = I::splat(0.0);
            for line in lines {
                magnitude = I::max_bits(magnitude, I::abs(I::load(&I::chunks(line)[lane])));
            }
            I::le(magnitude, I::splat(f32::INFINITY))
        },
    )
}
