//! Rows of small logits, whose exponentials are taken of the logits as they are, without a shift.
//!
//! ```text
//! small:  max of x[k] <= 40 for k != y,   |x[y]| <= 40,   and either
//!         -86 <= x[k] for all k != y  and  -40 <= max of x[k],   or   -ln 2^n <= max of x[k],  2^n <= C
//! rest = sum of exp(x[k]), k != y;   loss = ln(1 + rest exp(-x[y]))
//! ```
//!
//!  1. It is guessed that all rows of a tile are small, and checked on the way, by the bits of the logits: as i32 the largest is that
//!     of the highest number, or a NaN; as u32 that of the lowest, or a negative NaN. Integer operations cost nothing beside an
//!     exponential's; a maximum and a sum took half of the gain. Where the guess was wrong, the logits are copied again.
//!  2. The first guess is that no logit is below -86, so that none is clamped; the second that some are, masked classes for example.
//!     What the clamp of `exp` leaves of them is as far below the sum as with a shift, but for the factor of C that the contract has.
//!  3. Whether a row is small is decided by its own logits, so that its bits do not depend on its neighbours: in a tile that
//!     is done again, the small rows have a shift of 0.
//!  4. The label's place is given the least logit: its exponential, 4.5e-38, changes no sum, which is above e^-40.
//!  5. The gradient's factor, the step over the sum of all exponentials, is within single precision if the step is within [`STEPS`].
//!  6. So it is under options too, but for a logit scale, and for smoothing: a sum of logits that are not shifted loses digits.
//!
//! What it brings (one thread, Node 24, AMD EPYC; the sweeps apart from the package, ns per logit of `33x512x512`): loss 0.66 to 0.55
//! in the relaxed build, 1.03 to 0.82 in the other; with the gradient 0.95 to 0.85 and 1.36 to 1.17.

use super::{FLUSH, Line, Tile, WIDTH, add_runs};
use crate::Element;
use crate::math::Exp;
use crate::objective::Objective;
use crate::simd::Isa;

/// The largest of small logits, and what the magnitude of the label's may be, if no option asks for less.
const MOST: f32 = 40.0;

/// The least of small logits where none is clamped.
const LEAST: f32 = -86.0;

/// Above e^-40: what each of some logits adds to a sum at most if all are below -40.
const BELOW: f32 = 4.3e-18;

/// Steps that small rows may have, beside 0.
const STEPS: [f32; 2] = [1e-15, 1e15];

/// What is asked of a row that is small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Small<'t> {
    steps: &'t Line,
    /// [`STEPS`], [`MOST`] and [`LEAST`], where the compiler does not see them and make them anew for each vector.
    bounds: [f32; 4],
    /// The least that the largest logit of the other classes may be, where some are clamped and where none is.
    least: [f32; 2],
    /// Sums of exponentials that are not reached if all logits are below that.
    enough: [f32; 2],
}

impl<'t> Small<'t> {
    /// For rows of so many classes and these steps, under an objective.
    pub(crate) fn new(steps: &'t Line, classes: usize, objective: &Objective) -> Self {
        let (most, _) = objective.terms.small_logits();
        let bounds = [STEPS[0], STEPS[1], most, LEAST];
        if !Self::may_be(objective) || !(3..=FLUSH).contains(&classes) {
            return Self { steps, bounds, least: [f32::INFINITY; 2], enough: [f32::INFINITY; 2] };
        }
        let (power, count) = (classes.ilog2(), classes as f32);
        let least = -core::f32::consts::LN_2 * power as f32;
        let enough = 1.0001 * count / (1_u32 << power) as f32;
        Self { steps, bounds, least: [least, -MOST], enough: [enough, BELOW * count] }
    }

    /// Whether an objective allows rows to be small.
    pub(crate) fn may_be(objective: &Objective) -> bool {
        f32::from_f64(objective.scale) == 1.0 && !objective.needs_moment()
    }

    /// Whether any row may be small.
    pub(crate) fn is_possible(&self) -> bool {
        self.enough[0].is_finite()
    }

    /// Which rows of a vector are small, by the largest logit of the other classes, the sum of all logits, which is NaN if one
    /// is, and the label's. In the lines, the labels' places hold -inf.
    #[inline(always)]
    pub(super) fn rows<I: Isa>(&self, tile: (&[Line], usize), largest: I::V, sum: I::V, label: I::V) -> I::V {
        let [least, lower] = self.least.map(I::splat);
        let fits = I::and(I::eq(sum, sum), self.fits::<I>(tile.1, largest, label));
        let small = I::and(fits, I::le(least, largest));
        let low = I::and_not(I::and(fits, I::le(lower, largest)), small);
        if I::any(low) { I::or(small, I::and(low, none_clamped::<I>(tile.0, tile.1))) } else { small }
    }

    /// Which rows of a vector are small, by the largest magnitude of their logits, the sum of the exponentials of the other classes,
    /// and the label's logit; some that are may be missed.
    #[inline(always)]
    pub(super) fn fit_bound<I: Isa>(&self, lane: usize, farthest: I::V, sum: I::V, label: I::V) -> I::V {
        I::and(I::le(I::splat(self.enough[1]), sum), self.fits::<I>(lane, farthest, label))
    }

    #[inline(always)]
    fn fits<I: Isa>(&self, lane: usize, highest: I::V, label: I::V) -> I::V {
        let [short, long, most, _] = self.bounds.map(I::splat);
        let step = I::abs(I::load(&I::chunks(self.steps)[lane]));
        let step_fits = I::or(I::and(I::le(short, step), I::le(step, long)), I::eq(step, I::splat(0.0)));
        I::and(step_fits, I::and(I::le(highest, most), I::le(I::abs(label), most)))
    }
}

/// In which rows of a vector no logit is below [`LEAST`] but for the label's place.
#[inline(never)]
fn none_clamped<I: Isa>(lines: &[Line], lane: usize) -> I::V {
    I::enter(
        #[inline(always)]
        || {
            let (one, least) = (I::splat(1.0), I::splat(LEAST));
            let mut above = I::splat(1.0);
            for line in lines {
                above = I::add(above, I::and(one, I::le(least, I::load(&I::chunks(line)[lane]))));
            }
            I::eq(above, I::splat(lines.len() as f32))
        },
    )
}

impl Tile<'_> {
    /// Gathers the statistics of the rows with these labels, as [`Tile::sweep`] does, if all rows are small. Whether they are; if not,
    /// the tile is to be filled again. `CLAMPS` is whether some logits may be below -86.
    #[inline(never)] // once for all dtypes and layouts
    pub(crate) fn sweep_small<I: Isa, const CLAMPS: bool>(
        &mut self,
        labels: &[i32; WIDTH],
        small: &Small<'_>,
    ) -> bool {
        self.take_labels(labels, LEAST);
        self.are_small();
        I::enter(
            #[inline(always)]
            || self.small_sums::<I, CLAMPS>(small),
        )
    }

    /// Says of all rows that they are small.
    pub(super) fn are_small(&mut self) {
        self.shift.fill(0.0);
        self.small.fill(f32::from_bits(u32::MAX));
        self.sound.fill(f32::from_bits(u32::MAX));
        self.all_sound = true;
        self.all_small = true;
    }

    #[inline(always)]
    fn small_sums<I: Isa, const CLAMPS: bool>(&mut self, small: &Small<'_>) -> bool {
        let exp = Exp::<I>::new();
        let zero = I::splat(0.0);
        let [enough, little] = small.enough.map(I::splat);
        let least = I::splat(small.bounds[3]);
        let mut all = I::eq(zero, zero);
        for (lane, (rest, label)) in
            I::chunks_mut(self.rest).iter_mut().zip(I::chunks(self.label)).enumerate()
        {
            let (mut highest, mut lowest) = (zero, zero);
            let sum = add_runs::<I>(
                self.lines,
                &self.ahead,
                lane,
                #[inline(always)]
                |x| {
                    highest = I::max_signed_bits(highest, x);
                    lowest = I::max_bits(lowest, x);
                    if CLAMPS { exp.exp(x) } else { exp.exp_small(x) }
                },
            );
            I::store(rest, sum);
            let unclamped = I::and(I::le(least, lowest), I::le(little, sum));
            let clamped = I::and(I::eq(lowest, lowest), I::le(enough, sum));
            let is_small = if CLAMPS { I::or(unclamped, clamped) } else { unclamped };
            all = I::and(all, I::and(is_small, small.fits::<I>(lane, highest, I::load(label))));
        }
        I::all(all)
    }
}
