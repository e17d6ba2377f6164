//! The pass over labels and weights that comes before any output is written: every label becomes a class, every fault
//! is found, and the denominator is known.

use super::plan::{Kind, Plan};
use super::totals::{CHAIN, CHAINS, ROW, UNIT, sums_of};
use super::{Spare, zeros};
use crate::Error;
use crate::labels::{Findings, IGNORED, INVALID, Labels, float_bound};
use crate::options::{Denominator, EmptyMean, InvalidLabel, Reduction, RowValues};
use crate::parallel::{Executor, Rows};
use core::sync::atomic::AtomicI32;

/// Nanoseconds that a row takes one thread in this pass, with weights; see [`ROW`].
const WEIGHTED_ROW: f64 = 3.0;

/// What the pass found.
pub(crate) struct Scan {
    /// Per row its class, or a code of [`crate::labels`].
    pub(super) classes: Spare<i32>,
    pub(super) weight_sum: f64,
    pub(super) valid: usize,
    pub(super) invalid: usize,
    /// The denominator of the mean; 1 for other reductions.
    pub(super) denominator: f64,
    /// Whether the reduction is a mean whose denominator is 0.
    pub(super) empty: bool,
}

#[derive(Clone, Copy, Default)]
struct Partial {
    found: Findings,
    bad_weight: Option<(usize, f64)>,
    weight: [f64; UNIT / CHAIN],
    nonzero: usize,
}

pub(super) fn scan(
    plan: &Plan<'_>,
    labels: &Labels<'_>,
    executor: Executor,
    cancel: Option<&AtomicI32>,
) -> Result<Scan, Error> {
    let rows = plan.shape.rows();
    let units = rows.div_ceil(UNIT);
    let mut classes = Spare::new(rows)?;
    let mut partials = zeros::<Partial>(units)?;
    let rule = plan.label_rule();
    let outputs = (Rows::new(&mut classes, 1, UNIT), Rows::new(&mut partials, 1, 1));
    let row = if plan.is_unweighted() { ROW } else { WEIGHTED_ROW };
    executor.for_work(rows as f64 * row).run(units, cancel, outputs, |_, unit, (classes, partial)| {
        let partial = &mut partial[0];
        let start = unit * UNIT;
        partial.found = labels.classify(start, &rule, classes);
        if partial.found.invalid() > 0 && plan.options.invalid_label == InvalidLabel::Ignore {
            classes.iter_mut().filter(|class| **class == INVALID).for_each(|class| *class = IGNORED);
        }
        let all_plain = partial.found.ignored == 0 && partial.found.invalid() == 0;
        if plan.is_unweighted() {
            for (weight, classes) in partial.weight.iter_mut().zip(classes.chunks(CHAIN)) {
                // Each row weighs 1, so the sum of a chain is the number of its rows.
                let counting = || classes.iter().filter(|class| **class != IGNORED).count();
                let count = if all_plain { classes.len() } else { counting() };
                *weight = count as f64;
                partial.nonzero += count;
            }
            return;
        }
        let mut weights = [0.0; CHAINS * CHAIN];
        for (at, classes) in classes.chunks(CHAINS * CHAIN).enumerate() {
            let weights = &mut weights[..classes.len()];
            for (index, (classes, weights)) in
                classes.chunks(CHAIN).zip(weights.chunks_mut(CHAIN)).enumerate()
            {
                weigh(plan, start + (at * CHAINS + index) * CHAIN, classes, weights, partial);
            }
            partial.weight[at * CHAINS..][..CHAINS].copy_from_slice(&sums_of(weights));
        }
    })?;

    let mut all = Partial::default();
    let mut weight_sum = 0.0;
    for partial in &partials {
        all.found = all.found.then(partial.found);
        all.bad_weight = all.bad_weight.or(partial.bad_weight);
        all.nonzero += partial.nonzero;
        weight_sum += 0.0;
        for chain in partial.weight {
            weight_sum += chain;
        }
    }
    judge(plan, labels, &all)?;
    let invalid = all.found.invalid();
    let skipped = if plan.options.invalid_label == InvalidLabel::Ignore { invalid } else { 0 };
    let valid = rows - all.found.ignored - skipped;
    let denominator = match plan.options.reduction {
        Reduction::Mean => match plan.options.denominator {
            Denominator::Weights => weight_sum,
            Denominator::Valid => valid as f64,
            Denominator::All => rows as f64,
            Denominator::NonZero => all.nonzero as f64,
            Denominator::Count(count) => count,
        },
        Reduction::None | Reduction::Sum => 1.0,
    };
    Ok(Scan { classes, weight_sum, valid, invalid, denominator, empty: denominator == 0.0 })
}

/// Finds the weights of the rows of a chain. Rows that are ignored have weight 0.
fn weigh(plan: &Plan<'_>, first_row: usize, classes: &[i32], weights: &mut [f64], partial: &mut Partial) {
    plan.class_weights(classes, weights);
    for (row, (class, weight)) in classes.iter().zip(weights).enumerate() {
        if *class == IGNORED {
            *weight = 0.0;
            continue;
        }
        let sample = plan.options.sample_weight.get(first_row + row);
        if !sample.is_finite() && partial.bad_weight.is_none() {
            partial.bad_weight = Some((first_row + row, sample));
        }
        *weight *= sample;
        partial.nonzero += usize::from(*weight != 0.0);
    }
}

/// The first fault, in the order that faults are reported in.
fn judge(plan: &Plan<'_>, labels: &Labels<'_>, all: &Partial) -> Result<(), Error> {
    if let Some(bad) = all.found.not_integer {
        return Err(Error::LabelNotInteger { index: bad.index, got: bad.got, bound: float_bound(labels) });
    }
    if plan.options.invalid_label == InvalidLabel::Throw {
        if let Some(bad) = all.found.out_of_range {
            let (classes, rows) = (plan.shape.classes(), plan.shape.rows());
            return Err(Error::LabelOutOfRange {
                index: bad.index,
                got: bad.got,
                classes,
                count: bad.count,
                rows,
            });
        }
        if let Some(bad) = all.found.masked {
            return Err(Error::TargetMasked { index: bad.index, got: bad.got });
        }
    }
    for (weights, what) in
        [(plan.options.class_weight, "classWeight"), (plan.options.label_matrix, "labelMatrix")]
    {
        if let Some((index, got)) = weights.and_then(|weights| weights.first_not_finite()) {
            return Err(Error::WeightValue { what, index, got });
        }
    }
    match all.bad_weight {
        Some((index, got)) => Err(Error::WeightValue { what: "sampleWeight", index, got }),
        None => Ok(()),
    }
}

/// What each row's gradient is multiplied by.
pub(super) enum Upstream<'a> {
    /// One factor for all rows. In a mean over nothing it is 0, or NaN for the valid rows, as [`EmptyMean`] says. Where no class is kept,
    /// it is 0.
    Empty(f64),
    Row(RowValues<'a>, f64),
}

impl Upstream<'_> {
    /// Whether a row's gradient is NaN though its logits have no part in it. That of other rows which do not count is 0.
    pub(super) fn is_nan_for(&self, kind: Kind) -> bool {
        match (kind, self) {
            (Kind::Nan, Upstream::Row(..)) => true,
            (Kind::Nan | Kind::Inactive, Upstream::Empty(value)) => value.is_nan(),
            _ => false,
        }
    }

    /// The factor of every row, if all rows have the same.
    pub(super) fn uniform(&self) -> Option<f64> {
        match self {
            Upstream::Row(RowValues::Scalar(_), _) => Some(self.of(0)),
            _ => None,
        }
    }

    #[inline(always)]
    pub(super) fn of(&self, row: usize) -> f64 {
        match self {
            Upstream::Empty(value) => *value,
            Upstream::Row(values, denominator) => values.get(row) / denominator,
        }
    }
}

impl Scan {
    pub(super) fn upstream<'a>(&self, plan: &Plan<'a>) -> Upstream<'a> {
        match (self.empty, plan.options.empty_mean) {
            _ if plan.keeps_none => Upstream::Empty(0.0),
            (true, EmptyMean::Nan) => Upstream::Empty(f64::NAN),
            (true, EmptyMean::Zero) => Upstream::Empty(0.0),
            (false, _) => Upstream::Row(plan.options.upstream, self.denominator),
        }
    }

    /// The reduced loss.
    pub(super) fn reduce(&self, plan: &Plan<'_>, loss_sum: f64) -> f64 {
        match (self.empty, plan.options.empty_mean) {
            (true, EmptyMean::Nan) => f64::NAN,
            (true, EmptyMean::Zero) => 0.0,
            (false, _) => loss_sum / self.denominator,
        }
    }
}
