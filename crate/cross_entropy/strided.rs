//! Rows whose classes are strided, strip by strip. What the planes' kernel cannot do (f64, inputs that are probabilities, a label matrix, a
//! softcap) goes row by row through [`row`](mod@row), on a copy of the row.

use super::distribution::{Lying, Telling, tell};
use super::planes::{PlaneSite, StripPlanes, TypedPlanes, strided};
use super::route::Route;
use super::rules::{Columns, Rules};
use super::scratch::{Memory, Scratch};
use super::strip::StripRows;
use super::{Access, Call, Results, row};
use crate::Error;
use crate::element::{Source, Target};
use crate::kernels::objective::WIDTH;
use crate::kernels::planes::{STRIP, Strip, TOGETHER, strip_rows};
use crate::parallel::{Strided, go_on};
use crate::simd::Isa;

/// Computes a call strip by strip, or row by row.
pub(super) fn run<I: Isa>(
    call: &Call<'_>,
    route: Route,
    access: Access<'_>,
    results: &mut Results<'_>,
    telling: Option<&mut Telling<'_>>,
) -> Result<(), Error> {
    let rules = Rules::new(call, route, results);
    let shape = call.plan.shape;
    let (classes, inner) = (shape.classes(), shape.inner());
    // A unit takes this many rows of one outer position, strip by strip.
    let strip_rows = strip_rows(call.plan.classes(), shape.rows());
    let span = (call.unit_elements() / classes).clamp(1, inner).next_multiple_of(strip_rows);
    let spans = inner.div_ceil(span);
    let units = shape.outer() * spans;
    let workers = call.executor.workers(units);
    let (keeps, is_apart) = (access.wants_gradient(), matches!(access, Access::Apart(..)));
    let lengths = route.scratch::<I>(call.plan, &access);
    let (logits, gradient) = access.split();
    let mut memory = Memory::new(lengths, workers)?;
    let adds = call.plan.options.accumulate;
    let all = Columns::all(results);
    let cut = telling.map(|telling| telling.cut(inner, span));
    let per_row = |numbers| strided(numbers, 1, inner, span);
    let outputs = (
        gradient.map(|gradient| strided(gradient, classes, inner, span)),
        per_row(all.losses),
        (all.log_sum_exp.map(per_row), all.log_probs.map(per_row)),
        all.predictions.map(|slice| Strided::new(slice, 1, inner, span)),
        cut.as_ref(),
        memory.cut(),
    );
    call.executor.run(units, call.cancel, outputs, |_, unit, parts| {
        let (
            gradient,
            mut losses,
            (mut log_sum_exp, mut log_probs),
            mut predictions,
            told,
            (single, double, blocks),
        ) = parts;
        let (outer, start) = (unit / spans, unit % spans * span);
        let first = outer * classes * inner + start;
        let mut columns = Columns {
            losses: losses.plane(0),
            log_sum_exp: log_sum_exp.as_mut().map(first_plane),
            log_probs: log_probs.as_mut().map(first_plane),
            predictions: predictions.as_mut().map(|planes| planes.plane(0)),
        };
        let end = columns.losses.len();
        let mut site = PlaneSite { logits, first, inner, rows: 0..end, gradient, adds };
        let first_row = outer * inner + start;
        let labels = &call.scan.classes[first_row..][..end];
        if let Some(told) = told {
            tell::<I>(rules.plan, told, labels, Lying::Planes(&site));
        }
        if route != Route::Strips {
            let (from, rest) = double.split_at_mut(classes);
            let (to, double) = rest.split_at_mut(if is_apart { classes } else { 0 });
            let mut scratch = Scratch { single, double, blocks };
            return each::<I>(&rules, first_row, labels, &mut site, &mut columns, (from, to), &mut scratch);
        }
        let (lines, sums) = single.split_at_mut(TOGETHER * STRIP);
        let mut strip = StripRows::new(Strip::new(strip_rows, sums));
        for start_row in (0..end).step_by(strip_rows) {
            site.rows = start_row..end.min(start_row + strip_rows);
            let rows = (first_row + start_row, &labels[site.rows.clone()]);
            let columns = &mut columns.rows(site.rows.clone());
            let kept = call.plan.kept.as_ref();
            let mut planes = StripPlanes { site: &mut site, kept, lanes: I::LANES, lines: &mut *lines };
            strip.compute::<I>(&rules, rows, &mut planes, keeps, columns);
        }
    })?;
    Ok(())
}

fn first_plane<'s>(planes: &'s mut TypedPlanes<'_>) -> Target<'s> {
    planes.plane(0)
}

/// Row by row, each through a copy.
fn each<I: Isa>(
    rules: &Rules<'_>,
    first_row: usize,
    classes: &[i32],
    site: &mut PlaneSite<'_, '_>,
    columns: &mut Columns<'_>,
    (from, to): (&mut [f64], &mut [f64]),
    scratch: &mut Scratch<'_>,
) {
    let is_apart = !to.is_empty();
    for (row, label) in classes.iter().enumerate() {
        for (class, slot) in from.iter_mut().enumerate() {
            go_on(class, WIDTH);
            *slot = site.plane(class).get(row);
        }
        for (class, slot) in to.iter_mut().enumerate() {
            go_on(class, WIDTH);
            *slot = site.gradient(class).map_or(0.0, |plane| plane.read().get(row));
        }
        let access = match (is_apart, site.gradient.is_some()) {
            (true, _) => Access::Apart(Source::F64(from), Target::F64(to)),
            (false, true) => Access::InPlace(Target::F64(from)),
            (false, false) => Access::Loss(Source::F64(from)),
        };
        let values = row::run::<I>(rules, first_row + row, *label, access, scratch);
        columns.put(row, &values);
        if site.gradient.is_none() {
            continue;
        }
        for (class, value) in (if is_apart { &*to } else { &*from }).iter().enumerate() {
            go_on(class, WIDTH);
            // An element to which nothing was added keeps its bytes.
            if let Some(mut plane) = site.gradient(class)
                && plane.read().get(row).to_bits() != value.to_bits()
            {
                plane.set(row, *value);
            }
        }
    }
}
