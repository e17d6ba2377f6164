//! A strip: neighbouring tiles of planes, class by class, for rows of small logits in single precision.
//!
//! A tile reads and writes [`WIDTH`] floats of each plane, and where the caches do not hold the planes the processor waits at the
//! beginning of each of these runs. So:
//!
//!  1. The exponentials are taken straight from the logits' memory, of some classes in all tiles before the next classes, so that runs
//!     are as long as a strip; and of four classes at once, so that sums and bounds, which lie in memory now, are loaded and stored
//!     for each fourth logit only. The gradient is written likewise.
//!  2. Whether rows are small is checked afterwards, as in [`small`](super::small) but for logits below -40, by one bound of all
//!     magnitudes. The logits are still there then, for a tile that has other rows.
//!  3. The label's exponential is left out by a comparison. A tile by itself adds e^-86 in its place: to sums with the same bits,
//!     since before and after it are exponentials of at least e^-40, of whose last bit it is less than half.
//!  4. While exponentials are computed, one number is written to each cache line of the gradient, unless it is added to: the processor
//!     fetches a line that is written in part, and does not wait for it.
//!  5. Exponentials that the gradient's factor would make subnormal are only looked for where the tile's least one might be.
//!
//! One thread, Node 24, AMD EPYC, ns per logit of `33x512x512`, tile by tile and in strips: loss 0.68 and 0.60, loss and gradient 1.09
//! and 0.82, in place 0.82 and 0.73, added 1.45 and 1.04 in the relaxed build; 0.97 and 0.84, 1.42 and 1.01, 1.15 and 0.97, 1.80 and
//! 1.30 in the other. Strips of four tiles take 0.88 and 1.10 with the gradient, of sixteen no less than of eight. Of 33 planes of
//! 64x64, which a cache holds, strips would take 0.61 instead of 0.52. What vectors of eight and sixteen ask for ahead is better than
//! strips for the loss, in place and to be added, where strips take 1.05 to 1.2 times as long.
//!
//! What else was tried, apart from the package (relaxed; loss and gradient of strips of four tiles 0.73): a write to each vector of the
//! gradient instead of each line 0.80, to the lines of a tile all at once 1.05, none 0.80; labels left out of the sums by another sweep
//! 0.77; the exponentials in the gradient's memory instead of scratch 0.74; the gradient of the strip before among the exponentials
//! 0.70 (0.87 instead of 0.97 without relaxed SIMD), but then no write ahead, and all of it twice in the code; addresses in scratch that
//! agree with those of the planes no gain.

use super::grad::Thresholds;
use super::small::Small;
use super::{CACHE_LINE, FLUSH, Line, PlainRows, RUN, Tile, WIDTH};
use crate::math::Exp;
use crate::simd::{Isa, inlined};

/// The most tiles of a strip.
pub(crate) const TILES: usize = 8;

/// How many tiles a strip has: of many classes one would fill the caches by itself.
pub(crate) fn tiles(classes: usize) -> usize {
    if classes <= FLUSH { TILES } else { 1 }
}

/// The memory of a strip.
pub(crate) trait Planes {
    /// The logits of neighbouring classes in a tile; and where their gradient goes, if that is apart from them, or else memory at hand.
    fn group<const N: usize>(&mut self, class: usize, tile: usize) -> ([&Line; N], [&mut Line; N]);
    /// The logits of a tile's labels; those of rows without one are left as they are.
    fn gather(&self, tile: usize, labels: &[i32; WIDTH], logits: &mut [f32]);
    /// Where the gradient of neighbouring classes goes.
    fn gradient<const N: usize>(&mut self, class: usize, tile: usize) -> Option<[&mut Line; N]>;
    /// Sets the gradient of a tile's labels, or adds it.
    fn scatter(&mut self, tile: usize, labels: &[i32; WIDTH], gradient: &[f32], adds: bool);
}

/// Calls a function of neighbouring classes and a tile for all of them: four, two or one class in each tile before the next ones.
macro_rules! for_groups {
    ($classes:expr, $tiles:expr, $function:ident, ($($argument:expr),*)) => {{
        let mut class = 0;
        while class < $classes {
            let group = match $classes - class {
                4.. => 4,
                2 | 3 => 2,
                _ => 1,
            };
            for (index, tile) in $tiles.iter_mut().enumerate() {
                match group {
                    4 => $function::<I, _, 4>(tile, class, index, $($argument),*),
                    2 => $function::<I, _, 2>(tile, class, index, $($argument),*),
                    _ => $function::<I, _, 1>(tile, class, index, $($argument),*),
                }
            }
            class += group;
        }
    }};
}

/// Puts the exponentials into the tiles' lines, where they are kept, and their sums and bounds beside them.
pub(crate) fn sweep<I: Isa>(
    tiles: &mut [Tile<'_>],
    labels: &[[i32; WIDTH]],
    planes: &mut impl Planes,
    keeps: bool,
) {
    for (tile, labels) in tiles.iter_mut().zip(labels) {
        tile.begin(labels);
    }
    let classes = tiles.first().map_or(0, |tile| tile.lines.len());
    for_groups!(classes, tiles, add, (planes, keeps));
}

#[inline(always)]
fn add<I: Isa, P: Planes, const N: usize>(
    tile: &mut Tile<'_>,
    class: usize,
    index: usize,
    planes: &mut P,
    keeps: bool,
) {
    if class > 0 && class.is_multiple_of(RUN) {
        tile.end_run();
    }
    let (logits, gradient) = planes.group::<N>(class, index);
    tile.add_classes::<I, N>(if keeps { class } else { 0 }, class, logits, gradient);
}

/// Writes the gradient of tiles whose rows are kept, or adds it to what is there.
pub(crate) fn write<I: Isa>(
    tiles: &mut [Tile<'_>],
    labels: &[[i32; WIDTH]],
    planes: &mut impl Planes,
    adds: bool,
) {
    let classes = tiles.first().map_or(0, |tile| tile.lines.len());
    for_groups!(classes, tiles, put, (planes, adds));
    for (index, (tile, labels)) in tiles.iter().zip(labels).enumerate().filter(|(_, (tile, _))| tile.is_kept)
    {
        planes.scatter(index, labels, tile.label, adds);
    }
}

#[inline(always)]
fn put<I: Isa, P: Planes, const N: usize>(
    tile: &mut Tile<'_>,
    class: usize,
    index: usize,
    planes: &mut P,
    adds: bool,
) {
    if let Some(gradient) = planes.gradient::<N>(class, index).filter(|_| tile.is_kept) {
        if adds {
            tile.write_classes::<I, N, true>(class, gradient);
        } else {
            tile.write_classes::<I, N, false>(class, gradient);
        }
    }
}

/// Until [`Tile::settle`] the lines of a tile hold other things: `rest` and `moment` the sums of this run of classes and of those before,
/// `shift` the largest magnitudes, `label` the labels as numbers.
impl Tile<'_> {
    fn begin(&mut self, labels: &[i32; WIDTH]) {
        for line in [&mut *self.rest, self.moment, self.shift] {
            line.fill(0.0);
        }
        for (slot, label) in self.label.iter_mut().zip(labels) {
            *slot = *label as f32;
        }
    }

    /// Adds the sums to those of the runs before.
    fn end_run(&mut self) {
        for (total, sum) in self.moment.iter_mut().zip(&mut *self.rest) {
            *total += core::mem::take(sum);
        }
    }

    /// The exponentials of some classes, which go to the lines from `line` on.
    #[inline(never)]
    fn add_classes<I: Isa, const N: usize>(
        &mut self,
        line: usize,
        class: usize,
        logits: [&Line; N],
        mut gradient: [&mut Line; N],
    ) {
        I::enter(
            #[inline(always)]
            || {
                let exp = Exp::<I>::new();
                let mut classes = [I::splat(0.0); N];
                for (k, slot) in classes.iter_mut().enumerate() {
                    *slot = I::splat((class + k) as f32);
                }
                let Some(lines) = self.lines[line..].first_chunk_mut::<N>() else { return };
                for lane in 0..WIDTH / I::LANES {
                    let label = I::load(&I::chunks(self.label)[lane]);
                    let rest = &mut I::chunks_mut(self.rest)[lane];
                    let bound = &mut I::chunks_mut(self.shift)[lane];
                    let (mut sum, mut farthest) = (I::load(rest), I::load(bound));
                    for k in 0..N {
                        let x = I::load(&I::chunks(logits[k])[lane]);
                        farthest = I::max_bits(farthest, exp.magnitude(x));
                        let e = I::and_not(exp.exp_small(x), I::eq(label, classes[k]));
                        I::store(&mut I::chunks_mut(&mut lines[k])[lane], e);
                        sum = I::add(sum, e);
                    }
                    I::store(rest, sum);
                    I::store(bound, farthest);
                    if lane.is_multiple_of(CACHE_LINE / I::LANES) {
                        for line in &mut gradient {
                            line[lane * I::LANES] = 0.0;
                        }
                    }
                }
            },
        );
    }

    /// Whether all rows are small. If so, the tile is as [`Tile::sweep_small`] leaves it.
    #[inline(never)]
    pub(crate) fn settle<I: Isa>(
        &mut self,
        labels: &[i32; WIDTH],
        small: &Small<'_>,
        planes: &impl Planes,
        tile: usize,
    ) -> bool {
        self.end_run();
        self.rest.copy_from_slice(self.moment);
        self.label.fill(0.0);
        planes.gather(tile, labels, self.label);
        let is_small = I::enter(
            #[inline(always)]
            || {
                let zero = I::splat(0.0);
                let (mut all, mut farthest) = (I::eq(zero, zero), zero);
                for lane in 0..WIDTH / I::LANES {
                    let at = inlined(
                        #[inline(always)]
                        |line: &[f32]| I::load(&I::chunks(line)[lane]),
                    );
                    let bound = at(self.shift);
                    farthest = I::max_bits(farthest, bound);
                    all = I::and(all, small.fit_bound::<I>(lane, bound, at(self.rest), at(self.label)));
                }
                let least = Exp::<I>::new().exp_small(I::sub(zero, I::splat(I::max(farthest))));
                self.least = I::max(least);
                I::all(all)
            },
        );
        self.are_small();
        is_small
    }

    /// Keeps of the rows what [`write`] needs, in the lines of what they were computed from. Whether that is all it needs: no scale
    /// is negative, infinite or NaN.
    #[inline(never)]
    pub(crate) fn keep<I: Isa>(&mut self, rows: &PlainRows) -> bool {
        self.is_kept = I::enter(
            #[inline(always)]
            || self.keep_rows::<I>(rows),
        );
        self.is_kept
    }

    #[inline(always)]
    fn keep_rows<I: Isa>(&mut self, rows: &PlainRows) -> bool {
        self.shift.copy_from_slice(&rows.scale);
        self.label.copy_from_slice(&rows.target);
        let zero = I::splat(0.0);
        let thresholds = Thresholds::<I>::new();
        let (mut scales, mut any) = (zero, zero);
        for (threshold, scale) in I::chunks_mut(self.moment).iter_mut().zip(I::chunks(self.shift)) {
            let scale = I::load(scale);
            scales = I::max_bits(scales, scale);
            let v = thresholds.of(scale);
            // With a scale of 0 all products are 0.
            any = I::or(any, I::and_not(I::le(I::splat(self.least), v), I::eq(scale, zero)));
            I::store(threshold, v);
        }
        self.flushes = I::any(any);
        I::largest_bits(scales) < f32::INFINITY.to_bits()
    }

    #[inline(never)]
    fn write_classes<I: Isa, const N: usize, const ADDS: bool>(
        &self,
        class: usize,
        mut gradient: [&mut Line; N],
    ) {
        I::enter(
            #[inline(always)]
            || {
                let Some(lines) = self.lines[class..].first_chunk::<N>() else { return };
                for lane in 0..WIDTH / I::LANES {
                    let scale = I::load(&I::chunks(self.shift)[lane]);
                    let threshold = I::load(&I::chunks(self.moment)[lane]);
                    // A row with nothing to add keeps its bytes.
                    let most = I::max_bits(scale, I::abs(I::load(&I::chunks(self.label)[lane])));
                    let off = I::eq(most, I::splat(0.0));
                    for k in 0..N {
                        let mut e = I::load(&I::chunks(&lines[k])[lane]);
                        if self.flushes {
                            e = I::and_not(e, I::le(e, threshold));
                        }
                        let g = &mut I::chunks_mut(gradient[k])[lane];
                        let mut p = I::mul(e, scale);
                        if ADDS {
                            let before = I::load(g);
                            p = I::select(off, before, I::add(before, p));
                        }
                        I::store(g, p);
                    }
                }
            },
        );
    }
}
