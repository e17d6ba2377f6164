//! One row of any kind, from its label to its gradient.

use super::deliver::{Values, gather_double};
use super::plan::{Fate, Kind, RowPlan};
use super::rules::{RowOutputs, Rules};
use super::scratch::Scratch;
use super::{Access, single, small};
use crate::kernels::double;
use crate::objective::RowResult;
use crate::simd::Isa;

/// Computes one row: its gradient goes to `access`, everything else is returned.
pub(super) fn run<I: Isa>(
    rules: &Rules<'_>,
    row: usize,
    class: i32,
    mut access: Access<'_>,
    scratch: &mut Scratch<'_>,
) -> RowOutputs {
    let plan = rules.plan;
    let (planned, upstream, kind) = match plan.fate(class, plan.options.sample_weight.get(row)) {
        Fate::Row(planned) => (Some(planned), rules.upstream.of(row), Kind::Row),
        Fate::Inactive(label) => {
            (rules.looks_at_inactive().then(|| RowPlan::unweighted(label)), 0.0, Kind::Inactive)
        }
        Fate::Ignored => (None, 0.0, Kind::Ignored),
        Fate::Nan => (None, 0.0, Kind::Nan),
    };
    let mut values = match &planned {
        Some(planned) if upstream != 0.0 => {
            return compute::<I>(rules, planned, upstream, access, scratch);
        }
        Some(planned) => compute::<I>(rules, planned, 0.0, Access::Loss(access.logits()), scratch),
        None => RowOutputs::unread(0.0),
    };
    if kind != Kind::Row {
        values.loss = if kind == Kind::Nan { f64::NAN } else { 0.0 };
    }
    access.set_all(rules.upstream.is_nan_for(kind), plan.kept.as_ref(), rules.accumulate);
    values
}

fn compute<I: Isa>(
    rules: &Rules<'_>,
    row: &RowPlan,
    upstream: f64,
    mut access: Access<'_>,
    scratch: &mut Scratch<'_>,
) -> RowOutputs {
    if rules.in_single {
        if let Some(values) = small::compute::<I>(rules, row, upstream, &mut access, scratch) {
            return values;
        }
        single::compute::<I>(rules, row, upstream, access, scratch)
    } else {
        compute_double(rules, row, upstream, access, scratch.double)
    }
}

fn compute_double(
    rules: &Rules<'_>,
    row: &RowPlan,
    upstream: f64,
    mut access: Access<'_>,
    scratch: &mut [f64],
) -> RowOutputs {
    let (plan, objective) = (rules.plan, &rules.plan.objective);
    let x = &mut scratch[..plan.classes()];
    gather_double(access.logits(), plan.kept.as_ref(), x);
    let largest = (rules.wants.predictions || objective.matrix).then(|| double::argmax(x)).flatten();
    let prediction = largest.filter(|_| rules.wants.predictions).map(|largest| plan.class_at(largest));
    if let Some(softcap) = &plan.softcap {
        softcap.cap_double(x);
    }
    if let Some(probs) = plan.probs {
        let upstream = access.wants_gradient().then_some(upstream);
        let (loss, log_prob) = probs.row(x, row.label, row.weights.row, upstream);
        access.put(Values::Double(x), plan.kept.as_ref(), rules.accumulate);
        return RowOutputs { loss, log_prob, log_sum_exp: f64::NAN, prediction: prediction.unwrap_or(-1) };
    }
    let wanted = row.weights.sample != 0.0 && objective.needs_moment();
    // Under a label matrix the sum leaves out the largest class, as it otherwise leaves out the label. So a loss that is as small as
    // the others' probability keeps its digits, and so does the gradient at that class.
    let (mut apart, mut weights) = (row.label, row.weights);
    let result = if plan.reads_logits() {
        let mut lag = 0.0;
        if let Some(largest) = largest.filter(|_| objective.matrix) {
            lag = objective.scale * (x[largest] - x[row.label]);
            (apart, weights.class) = (largest, plan.share(row.class, largest));
        }
        match double::stats(x, apart, objective.scale, wanted.then(|| plan.shares(row.class))) {
            Some(stats) => {
                let result = objective.row(&stats, &weights, upstream);
                RowResult { log_prob: result.log_prob - lag, ..result }
            }
            None => RowResult::NAN,
        }
    } else {
        let shares = wanted.then(|| plan.shares(row.class));
        double::log_probs(x, row.label, objective, &row.weights, upstream, shares)
    };
    if result.gradient.scale.is_nan() {
        x.fill(f64::NAN);
    } else {
        double::write_grad(x, &result.gradient, apart, plan.shares(row.class));
    }
    if let Some(softcap) = plan.softcap.filter(|_| access.wants_gradient()) {
        let logits = access.logits();
        let class = |position| usize::try_from(plan.class_at(position)).unwrap_or_default();
        softcap.chain_double(x, |position| logits.get(class(position)));
    }
    access.put(Values::Double(x), plan.kept.as_ref(), rules.accumulate);
    RowOutputs::new(&result, prediction)
}
