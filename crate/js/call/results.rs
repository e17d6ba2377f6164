//! Where the results of a call go.

use super::{Block, Field};
use crate::Error;
use crate::cross_entropy::{Distribution, Results, Spare, Summary, zeros};
use crate::element::Target;

impl Block<'_> {
    /// Calls a computation with the memory for its results: that which the block names, or scratch.
    pub(super) fn with_results(
        &self,
        rows: usize,
        classes: usize,
        compute: impl FnOnce(Results<'_>) -> Result<Summary, Error>,
    ) -> Result<Summary, Error> {
        let mut own_losses = self.own_losses(rows)?;
        let per_class = self.slice_mut(Field::perClassAddress, 4 * classes);
        let predictions = self.slice_mut(Field::predictionsAddress, rows);
        let counted = predictions.is_none() && (per_class.is_some() || self.whole(Field::wantsCounts) != 0);
        let mut own_predictions = zeros(if counted { rows } else { 0 })?;
        let results = Results {
            losses: self.losses(&mut own_losses, rows),
            log_sum_exp: self.per_row(Field::logSumExpAddress, rows),
            target_log_prob: self.per_row(Field::targetLogProbAddress, rows),
            predictions: predictions.or(if counted { Some(&mut own_predictions) } else { None }),
            per_class,
            distribution: self.distribution(rows, classes).if_any(),
        };
        compute(results)
    }

    fn distribution<'m>(&self, rows: usize, classes: usize) -> Distribution<'m> {
        let k = self.whole(Field::topK);
        Distribution {
            top: self
                .per_row(Field::topValuesAddress, rows * k)
                .zip(self.slice_mut(Field::topClassesAddress, rows * k)),
            target_rank: self.slice_mut(Field::targetRankAddress, rows),
            entropy: self.per_row(Field::entropyAddress, rows),
            log_probs: self.per_row(Field::logProbsAddress, rows * classes),
        }
    }

    /// Whether per-row results are doubles: where logits are.
    fn is_double(&self) -> bool {
        self.whole(Field::logitsDtype) == 1
    }

    /// Per-row results at an address.
    fn per_row<'m>(&self, address: Field, rows: usize) -> Option<Target<'m>> {
        self.target(address, usize::from(self.is_double()), rows)
    }

    /// Memory for the losses of a call that does not ask for them, as singles or as doubles. The other vector is empty.
    pub(super) fn own_losses(&self, rows: usize) -> Result<(Spare<f32>, Vec<f64>), Error> {
        let rows = if self.whole(Field::lossAddress) == 0 { rows } else { 0 };
        let (single, double) = if self.is_double() { (0, rows) } else { (rows, 0) };
        Ok((Spare::new(single)?, zeros(double)?))
    }

    pub(super) fn losses<'m>(&self, own: &'m mut (Spare<f32>, Vec<f64>), rows: usize) -> Target<'m> {
        let (single, double) = own;
        let own = if self.is_double() { Target::F64(double) } else { Target::F32(single) };
        self.per_row(Field::lossAddress, rows).unwrap_or(own)
    }
}
