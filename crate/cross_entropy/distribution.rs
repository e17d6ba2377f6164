//! What is told of the distribution of each row, where a call asks for it: the largest classes, the label's rank, the entropy, and all
//! log-probabilities. A unit tells them first, while it has its logits in a cache and before a gradient takes their place.
//!
//! It takes nothing of the rows' losses and gives nothing to them, so that neither's bits depend on the other.

mod unit;

use super::plan::Plan;
use super::planes::PlaneSite;
use super::{Call, Results, zeros};
use crate::Error;
use crate::element::{Source, Target};
use crate::parallel::{Parts, PerWorker, Strided, Typed, go_on};
use crate::simd::{Isa, MOST_LANES};
use core::ops::Range;
use unit::{Tile, Unit, Wide};

/// Where the results go: doubles for f64 logits, singles for all others.
#[derive(Debug)]
pub(crate) struct Distribution<'a> {
    /// The values and the classes of the largest, `k` of each per row.
    pub(crate) top: Option<(Target<'a>, &'a mut [i32])>,
    pub(crate) target_rank: Option<&'a mut [i32]>,
    pub(crate) entropy: Option<Target<'a>>,
    /// A number for each logit, in the logits' order.
    pub(crate) log_probs: Option<Target<'a>>,
}

/// The most rows of planes that are copied at a time, and the most logits, unless one row has more.
const TILE: usize = 16;
const TILE_LOGITS: usize = 1 << 18;

/// Nanoseconds that a logit takes one thread: the estimate by which a call decides how many threads it wakes.
const LOGIT: f64 = 0.5;

impl<'a> Distribution<'a> {
    /// `None` where nothing of it is wanted.
    pub(crate) fn if_any(self) -> Option<Self> {
        let Self { top, target_rank, entropy, log_probs, .. } = &self;
        let any = top.is_some() || target_rank.is_some() || entropy.is_some() || log_probs.is_some();
        any.then_some(self)
    }

    /// The time that one thread takes, in nanoseconds.
    pub(super) fn work(&self, plan: &Plan<'_>) -> f64 {
        plan.shape.rows() as f64 * plan.classes() as f64 * LOGIT
    }
}

/// The memory that units write the distributions of their rows to, and scratch for it.
pub(super) struct Telling<'a> {
    what: Distribution<'a>,
    k: usize,
    /// Room for copies of logits, `copied` of them for each worker. One of the two is empty.
    singles: Vec<f32>,
    doubles: Vec<f64>,
    copied: usize,
    /// A buffer of rows is cut as `[outer][inner]`; one of logits as `[outer][planes][inner * side_by_side]`.
    planes: usize,
    side_by_side: usize,
}

/// [`Telling`] cut by units: values and classes of the largest, ranks, entropies, log-probabilities, scratch.
type CutOf<'a, W> = (
    Option<Strided<'a, W>>,
    Option<Strided<'a, i32>>,
    Option<Strided<'a, i32>>,
    Option<Strided<'a, W>>,
    Option<Strided<'a, W>>,
    PerWorker<'a, W>,
);

/// [`CutOf`] in single or in double precision: results of rows have no other type.
type Cut<'a> = Typed<CutOf<'a, f32>, CutOf<'a, f64>, (), ()>;

/// The part of [`CutOf`] that one unit writes.
type ToldOf<'a, W> = <CutOf<'static, W> as Parts>::Part<'a>;
pub(super) type Told<'a> = <Cut<'static> as Parts>::Part<'a>;

impl<'a> Telling<'a> {
    /// The telling of a call, where something is to be told.
    #[inline(never)]
    pub(super) fn new(
        call: &Call<'_>,
        results: &mut Results<'a>,
        is_double: bool,
    ) -> Result<Option<Self>, Error> {
        let Some(what) = results.distribution.take() else { return Ok(None) };
        let (plan, workers) = (call.plan, call.executor.workers(usize::MAX));
        let (planes, side_by_side, rows) = match plan.shape.inner() {
            0 | 1 => (1, plan.shape.classes(), 1),
            _ => (plan.shape.classes(), 1, tile_rows(plan.classes())),
        };
        let copied = (rows * plan.classes()).next_multiple_of(MOST_LANES);
        let (single, double) = if is_double { (0, copied) } else { (copied, 0) };
        Ok(Some(Self {
            what,
            k: plan.options.outputs.top_k,
            singles: zeros(single * workers)?,
            doubles: zeros(double * workers)?,
            copied,
            planes,
            side_by_side,
        }))
    }

    /// Cut by units of `span` rows of the `inner` ones that each outer position has.
    #[inline(never)]
    pub(super) fn cut(&mut self, inner: usize, span: usize) -> Cut<'_> {
        if self.doubles.is_empty() {
            Typed::F32(self.cut_of(inner, span))
        } else {
            Typed::F64(self.cut_of(inner, span))
        }
    }

    fn cut_of<W: Wide>(&mut self, inner: usize, span: usize) -> CutOf<'_, W> {
        let Distribution { top, target_rank, entropy, log_probs } = &mut self.what;
        let (k, each) = (self.k, self.side_by_side);
        let (values, classes) = match top {
            Some((values, classes)) => (Some(values), Some(classes)),
            None => (None, None),
        };
        (
            values.and_then(W::lying_mut).map(|x| Strided::new(x, 1, inner * k, span * k)),
            classes.map(|slice| Strided::new(slice, 1, inner * k, span * k)),
            target_rank.as_mut().map(|slice| Strided::new(slice, 1, inner, span)),
            entropy.as_mut().and_then(W::lying_mut).map(|x| Strided::new(x, 1, inner, span)),
            log_probs
                .as_mut()
                .and_then(W::lying_mut)
                .map(|x| Strided::new(x, self.planes, inner * each, span * each)),
            PerWorker::new(W::scratch(&mut self.singles, &mut self.doubles), self.copied),
        )
    }
}

/// The logits of a unit.
#[derive(Clone, Copy)]
pub(super) enum Lying<'s, 'a, 'p> {
    /// Side by side.
    Rows(Source<'s>),
    /// In planes.
    Planes(&'s PlaneSite<'a, 'p>),
}

/// Tells of the rows of a unit, which have these classes.
#[inline(never)]
pub(super) fn tell<I: Isa>(plan: &Plan<'_>, told: Told<'_>, labels: &[i32], x: Lying<'_, '_, '_>) {
    match told {
        Typed::F32(told) => tell_tiles::<I>(plan, &mut Unit::new(plan, told), labels, x),
        Typed::F64(told) => tell_tiles::<I>(plan, &mut Unit::new(plan, told), labels, x),
        Typed::F16(()) | Typed::Bf16(()) => {}
    }
}

/// Takes some rows at a time: copies them, tells of each, and writes their log-probabilities to where they belong.
#[inline(never)]
fn tell_tiles<I: Isa>(plan: &Plan<'_>, tile: &mut dyn Tile<I>, labels: &[i32], x: Lying<'_, '_, '_>) {
    let (kept, count, all) = (plan.kept.as_ref(), plan.classes(), plan.shape.classes());
    let wants_all = plan.options.outputs.log_probs;
    let place = |class: usize| kept.map_or(Some(class), |kept| kept.position(class));
    let together = match x {
        Lying::Rows(_) => 1,
        Lying::Planes(_) => tile_rows(count),
    };
    for (index, labels) in labels.chunks(together).enumerate() {
        let rows = index * together..index * together + labels.len();
        let mut looked_at = [false; TILE];
        for (looked_at, class) in looked_at.iter_mut().zip(labels) {
            *looked_at = *class >= 0;
        }
        match x {
            Lying::Rows(x) if looked_at[0] => tile.gather(x.part(rows.start * all..rows.end * all), kept),
            Lying::Rows(_) => {}
            Lying::Planes(site) => {
                for class in 0..all {
                    go_on(class, TILE);
                    if let Some(place) = place(class) {
                        tile.gather_plane(plane(site, class, &rows), place, count);
                    }
                }
            }
        }
        for (offset, class) in labels.iter().enumerate() {
            tile.row(rows.start + offset, offset, usize::try_from(*class).ok().and_then(place));
        }
        match x {
            Lying::Rows(_) if wants_all => tile.put(rows.start, kept),
            Lying::Planes(_) if wants_all => {
                for class in 0..all {
                    go_on(class, TILE);
                    tile.put_plane(class, rows.clone(), place(class), &looked_at);
                }
            }
            _ => {}
        }
    }
}

/// The logits of a class in some rows.
#[inline(never)]
fn plane<'s>(site: &'s PlaneSite<'_, '_>, class: usize, rows: &Range<usize>) -> Source<'s> {
    site.plane(class).part(rows.clone())
}

/// Rows of planes that are copied at a time.
fn tile_rows(classes: usize) -> usize {
    (TILE_LOGITS / classes.max(1)).clamp(1, TILE)
}
