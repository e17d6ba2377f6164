//! Rows whose classes lie side by side, unit by unit.

use super::distribution::{Lying, Telling, tell};
use super::route::Route;
use super::rules::{Columns, Rules};
use super::scratch::{Memory, Scratch};
use super::totals::UNIT;
use super::{Access, Call, Results, row, split};
use crate::Error;
use crate::simd::Isa;

/// Computes a call row by row.
pub(super) fn run<I: Isa>(
    call: &Call<'_>,
    route: Route,
    mut access: Access<'_>,
    results: &mut Results<'_>,
    telling: Option<&mut Telling<'_>>,
) -> Result<(), Error> {
    let rules = Rules::new(call, route, results);
    if telling.is_none() && split::run::<I>(call, &rules, &mut access, results)? {
        return Ok(());
    }
    let (rows, classes) = (call.plan.shape.rows(), call.plan.shape.classes());
    let per_unit = (call.unit_elements() / classes).clamp(1, UNIT);
    let units = rows.div_ceil(per_unit);
    let workers = call.executor.workers(units);
    let lengths = route.scratch::<I>(call.plan, &access);
    let mut memory = Memory::new(lengths, workers)?;
    let (logits, gradient) = access.by_rows(classes, per_unit);
    let cut = telling.map(|telling| telling.cut(rows, per_unit));
    let outputs = (gradient, results.by_rows(per_unit), memory.cut(), cut.as_ref());
    call.executor.run(
        units,
        call.cancel,
        outputs,
        |_, unit, (mut gradient, columns, (singles, double, blocks), told)| {
            let mut columns = Columns::new(columns);
            let end = columns.losses.len();
            let labels = &call.scan.classes[unit * per_unit..][..end];
            if let Some(told) = told {
                let first = unit * per_unit * classes;
                let access = Access::in_unit(logits, &mut gradient, first, 0..end * classes);
                tell::<I>(rules.plan, told, labels, Lying::Rows(access.logits()));
            }
            for (offset, label) in labels.iter().enumerate() {
                let number = unit * per_unit + offset;
                let cells = offset * classes..(offset + 1) * classes;
                let access = Access::in_unit(logits, &mut gradient, number * classes, cells);
                let single = lengths.single.take(singles, number);
                let scratch = &mut Scratch { single, double, blocks };
                columns.put(offset, &row::run::<I>(&rules, number, *label, access, scratch));
            }
        },
    )?;
    Ok(())
}
