//! The first sweep: over a group of rows, over one row, or over one block of a row.

use super::exponentials::{Sums, Sweep, shifted, unshifted};
use super::observe::observe;
use super::{Asked, BlockStats, Cells, Found, Row, Small, SmallStats, block, blocks, moment, place_in};
use crate::Element;
use crate::kernels::objective::Line;
use crate::math::Exp;
use crate::simd::Isa;
use core::hint::black_box;

/// A label that is no class of a row: the sum is over all classes then.
const NOWHERE: i32 = i32::MAX;

/// Sweeps rows with these labels and steps as if all were small, and returns whether they are. If not, the caller has to sweep the rows
/// one by one. A row whose label is negative is passed over.
pub(crate) fn sweep_small<I: Isa>(
    cells: &mut Cells<'_>,
    labels: &[i32],
    steps: &Line,
    asked: &Asked<'_>,
    found: &mut Found,
) -> bool {
    let Some(small) = asked.small else { return false };
    let sweep = Sweep { asked, labels, shift: 0.0 };
    let sums = Sums { rest: found.rest.as_chunks_mut().0, label: &mut found.label };
    let (highest, lowest) = unshifted::<I>(cells, &sweep, sums);
    let is_small = fit(&small, highest, lowest)
        && I::enter(
            #[inline(always)]
            || all_allowed::<I>(&small, &found.label, steps, labels.len()),
        );
    if is_small {
        found.set_small();
        if asked.wants_moment() {
            let moments = found.moment.as_chunks_mut().0;
            moment::of_small::<I>(cells.logits(), labels, asked, moments);
        }
        found.least = least::<I>(asked.scale, lowest);
    }
    is_small
}

/// A bound that no exponential of small logits is below; `lowest` is the lowest of the logits where one is below 0. The margin covers the
/// error of `exp`.
pub(in crate::kernels) fn least<I: Isa>(scale: f32, lowest: f32) -> f32 {
    I::enter(
        #[inline(always)]
        || {
            let exponential = Exp::<I>::new().exp_small(I::splat(scale * lowest.min(0.0)));
            0.99 * f32::from_bits(I::largest_bits(exponential))
        },
    )
}

pub(in crate::kernels) fn fit(small: &Small, highest: f32, lowest: f32) -> bool {
    let highest = highest.to_bits().cast_signed();
    highest <= small.most.to_bits().cast_signed() && lowest.to_bits() <= small.least.to_bits()
}

/// Tells whether [`Small::allows`] all rows.
#[inline(always)]
pub(in crate::kernels) fn all_allowed<I: Isa>(
    small: &Small,
    labels: &[f32],
    steps: &Line,
    rows: usize,
) -> bool {
    // Hidden from the compiler, which would make them anew for each vector.
    let [short, long] = black_box(Small::STEPS).map(I::splat);
    let (least, zero) = (I::splat(small.label), I::splat(0.0));
    let mut all = I::eq(zero, zero);
    for (label, step) in I::chunks(labels).iter().zip(I::chunks(steps)).take(rows.div_ceil(I::LANES)) {
        let step = I::abs(I::load(step));
        let fits = I::or(I::and(I::le(short, step), I::le(step, long)), I::eq(step, zero));
        all = I::and(all, I::and(fits, I::le(least, I::load(label))));
    }
    I::all(all)
}

/// Sweeps one row that is looked at first. `step` is what its gradient will be multiplied by.
pub(crate) fn row<I: Isa>(cells: &mut Cells<'_>, label: i32, step: f32, asked: &Asked<'_>) -> Row {
    let mut found = exponentials::<I>(cells, label, step, asked);
    let is_class = usize::try_from(label).is_ok_and(|label| label < asked.classes);
    if is_class && found.rest == 0.0 && found.label == f32::NEG_INFINITY {
        // No logit is above -inf. Another block of the same row may have one, so this is a fault of a whole row only.
        found = Row { label: 0.0, is_sound: false, ..found };
    }
    if !found.is_sound || !asked.wants_moment() {
        return found;
    }
    let x = cells.logits();
    found.moment = if found.is_small {
        let mut moments = [[0.0; 4]];
        moment::of_small::<I>(x, &[label], asked, &mut moments);
        moments[0][0]
    } else {
        let label = usize::try_from(label).ok();
        f32::from_f64(moment::of_one::<I>(&x[..asked.classes], label, asked, found.shift).0)
    };
    found
}

/// Does the work of [`row`] but for the moment; for a block as well, whose classes may lack the label.
#[inline(never)]
fn exponentials<I: Isa>(cells: &mut Cells<'_>, label: i32, step: f32, asked: &Asked<'_>) -> Row {
    let class = usize::try_from(label).ok().filter(|class| *class < asked.classes);
    let x = &cells.logits()[..asked.classes];
    let seen = observe::<I>(x, class);
    let own = class.map_or(f32::NEG_INFINITY, |class| x[class]);
    let is_sound = !own.is_nan() && own < f32::INFINITY && seen.most < f32::INFINITY && !seen.has_nan();
    let is_alone = seen.most == f32::NEG_INFINITY;
    let mut found = Row { shift: 0.0, label: own, rest: 0.0, moment: 0.0, is_small: false, is_sound };
    if !is_sound {
        return Row { label: 0.0, is_sound: false, ..found };
    }
    found.is_small = asked.small.is_some_and(|small| {
        fit(&small, seen.highest, seen.lowest) && (class.is_none() || small.allows(own, step))
    });
    if !found.is_small {
        found.shift = match is_alone {
            true if own > f32::NEG_INFINITY => own,
            true => 0.0,
            false => seen.most,
        };
    }
    let sweep = Sweep { asked, labels: &[if class.is_some() { label } else { NOWHERE }], shift: found.shift };
    let (mut rest, mut own) = ([[0.0; 4]], [0.0; 4]);
    let sums = Sums { rest: &mut rest, label: &mut own };
    if found.is_small {
        unshifted::<I>(cells, &sweep, sums);
    } else {
        shifted::<I>(cells, &sweep, sums);
    }
    // If no other class is above -inf, the sum holds only what the clamp in `exp` made of -inf, which counts as 0.
    found.rest = if is_alone { 0.0 } else { rest[0][0] };
    found
}

/// Blocks that are swept together, but for the last ones of a row. Their sums find room on the stack.
pub(crate) const TOGETHER: usize = 32;

/// Sweeps blocks of a row that follow each other, up to [`TOGETHER`], as if all were small, adds their sums to `stats` and returns a number
/// that none of their exponentials is below. `None` if they are not small: the caller has to sweep all of the row block by block, as
/// [`block_stats`] does. Of all their classes there are `asked.classes`, and `label` is the label's place among them, if it is there.
#[inline(never)]
pub(crate) fn sweep_blocks<I: Isa>(
    cells: &mut Cells<'_>,
    label: Option<usize>,
    asked: &Asked<'_>,
    stats: &mut SmallStats,
) -> Option<f32> {
    let small = asked.small?;
    let code = label.and_then(|label| i32::try_from(label).ok()).unwrap_or(NOWHERE);
    let sweep = Sweep { asked, labels: &[code], shift: 0.0 };
    let (mut rest, mut own) = ([[0.0; 4]; TOGETHER / 4], [0.0]);
    let (highest, lowest) = unshifted::<I>(cells, &sweep, Sums { rest: &mut rest, label: &mut own });
    if !fit(&small, highest, lowest) || !(label.is_none() || small.allows(own[0], 0.0)) {
        return None;
    }
    stats.label = label.map(|_| own[0]).or(stats.label);
    for (index, rest) in rest.as_flattened()[..blocks(asked.classes)].iter().enumerate() {
        stats.rest += f64::from(*rest);
        if asked.wants_moment() {
            let block = block(asked.classes, index);
            let label = label.and_then(|label| place_in(&block, label));
            let of_block = Asked { moment: asked.moment.from(block.start), ..*asked };
            let (moment, weight) = moment::of_one::<I>(&cells.logits()[block], label, &of_block, 0.0);
            stats.moment += moment;
            stats.weight += weight;
        }
    }
    Some(least::<I>(asked.scale, lowest))
}

/// Sweeps a block of a row. `label` is the label's place in the block, if it is there. `wary` goes from block to block and says whether
/// the logits are looked at before the sweep; it changes no result.
pub(crate) fn block_stats<I: Isa>(
    cells: &mut Cells<'_>,
    label: Option<usize>,
    asked: &Asked<'_>,
    wary: &mut bool,
) -> BlockStats {
    let code = label.and_then(|label| i32::try_from(label).ok()).unwrap_or(NOWHERE);
    let (mut shift, mut small_rest) = (0.0, None);
    if let (Some(small), false) = (asked.small, *wary) {
        let sweep = Sweep { asked, labels: &[code], shift };
        let (mut rest, mut own) = ([[0.0; 4]], [0.0; 4]);
        let (highest, lowest) = unshifted::<I>(cells, &sweep, Sums { rest: &mut rest, label: &mut own });
        let is_small = fit(&small, highest, lowest) && (label.is_none() || small.allows(own[0], 0.0));
        small_rest = is_small.then_some(rest[0][0]);
        *wary = !is_small;
    }
    let rest = match small_rest {
        Some(rest) => rest,
        None => {
            let found = exponentials::<I>(cells, code, 0.0, asked);
            *wary = !found.is_small;
            if !found.is_sound {
                return BlockStats { shift: f32::NAN, ..BlockStats::default() };
            }
            shift = found.shift;
            found.rest
        }
    };
    let (moment, weight) = moment::of_one::<I>(&cells.logits()[..asked.classes], label, asked, shift);
    BlockStats { shift, rest: f64::from(rest), moment, weight }
}
