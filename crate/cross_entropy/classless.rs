//! Calls whose class mask keeps no class: the softmax is over nothing, so no logit is read, and a row is ignored or invalid.

use super::rows::{Columns, RowValues};
use super::scan::UNIT;
use super::{Access, Call, Results};
use crate::Error;
use crate::element::{Element, GradElement};
use crate::labels::IGNORED;

impl Call<'_> {
    /// A loss of 0 for ignored rows and NaN for invalid ones, and as everywhere a gradient of 0 for classes that are not kept.
    pub(super) fn classless<E: Element, G: GradElement<E>>(
        &self,
        access: Access<'_, E, G>,
        results: &mut Results<'_, E::PerRow>,
    ) -> Result<(), Error> {
        let shape = self.plan.shape;
        let accumulate = self.plan.options.accumulate;
        let per_unit = self.unit_elements();
        let (_, gradient) = access.by_rows(1, per_unit);
        self.executor.run(
            shape.elements().div_ceil(per_unit),
            self.cancel,
            gradient,
            |_, _, part| match part {
                (Some(grad), _) if !accumulate => grad.fill(G::default()),
                (_, Some(x)) => x.fill(E::default()),
                _ => {}
            },
        )?;
        let units = shape.rows().div_ceil(UNIT);
        self.executor.run(units, self.cancel, results.by_rows(UNIT), |_, unit, part| {
            let mut columns = Columns::new(part);
            for (row, class) in self.scan.classes[unit * UNIT..].iter().take(columns.losses.len()).enumerate()
            {
                columns.put(row, &RowValues::unread(if *class == IGNORED { 0.0 } else { f64::NAN }));
            }
        })?;
        Ok(())
    }
}
