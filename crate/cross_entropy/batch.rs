//! Decides what up to [`WIDTH`] rows of any layout are (counted, ignored, NaN, inactive), and computes their losses and what their
//! gradients are made with.

use super::plan::Fate;
use super::rules::{self, Columns, Rules};
use crate::element::Element;
use crate::kernels::objective::{RowLines, Stats, WIDTH, WantedRows};
use crate::objective::{Coefficients, RowResult, RowWeights};
use crate::simd::Isa;

/// What a row is; see [`Fate`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Ignored,
    Nan,
    Inactive,
    Row,
}

impl Kind {
    /// Tells what a row is by its class, or by one of the codes of [`crate::labels`].
    fn of(class: i32, active: bool) -> Self {
        match class {
            0.. if active => Self::Row,
            0.. => Self::Inactive,
            crate::labels::IGNORED => Self::Ignored,
            _ => Self::Nan,
        }
    }
}

/// What is kept of some rows from their labels to their gradient.
#[derive(Debug)]
pub(super) struct Batch {
    kind: [Kind; WIDTH],
    /// See [`Batch::labels`].
    label: [i32; WIDTH],
    has_own_labels: bool,
    pub(super) rows: RowLines,
    /// Whether the weights and steps are those of all rows of the call.
    filled: bool,
}

impl Batch {
    pub(super) const fn new() -> Self {
        let (kind, label) = ([Kind::Ignored; WIDTH], [0; WIDTH]);
        Self { kind, label, has_own_labels: false, rows: RowLines::new(), filled: false }
    }

    /// The labels' places among the kept classes, of rows with these classes; negative for rows that are not computed.
    pub(super) fn labels<'s>(&'s self, classes: &'s [i32]) -> &'s [i32] {
        if self.has_own_labels { &self.label[..classes.len()] } else { classes }
    }
}

impl Rules<'_> {
    /// Computes the losses of rows from their sums, and what their gradients are made with. `all_count` says that no row is left out,
    /// `gradient` whether one is wanted.
    #[inline(never)]
    pub(super) fn come_to<I: Isa>(
        &self,
        first_row: usize,
        classes: &[i32],
        stats: &Stats<'_>,
        (all_count, gradient): (bool, bool),
        columns: &mut Columns<'_>,
        state: &mut Batch,
    ) {
        if self.plan.objective.is_plain() {
            let logarithms = columns.log_sum_exp.is_some() || columns.log_probs.is_some();
            let wanted = WantedRows { logarithms, gradient };
            stats.plain_rows::<I>(self.scale, wanted, &mut state.rows);
        } else {
            self.evaluate::<I>(first_row, classes, stats, state);
        }
        if !all_count {
            self.settle(stats.rows(), state);
        }
        columns.put_all(&state.rows);
    }

    /// Finds what each row is, and its weights; returns whether all rows count.
    pub(super) fn prepare(&self, first_row: usize, classes: &[i32], state: &mut Batch) -> bool {
        match self.alike {
            Some(alike) => self.prepare_alike(alike, classes, state),
            None => self.prepare_each(first_row, classes, state),
        }
    }

    /// Does the work of [`Rules::prepare`] where all rows that count have this weight and this step.
    #[inline(never)] // as the others below: once for all dtypes and layouts
    fn prepare_alike(&self, (weight, step): (f32, f32), classes: &[i32], state: &mut Batch) -> bool {
        if !state.filled {
            (state.rows.weight, state.rows.step, state.filled) = ([weight; WIDTH], [step; WIDTH], true);
        }
        // The codes of rows that do not count are negative.
        let all = classes.iter().fold(0, |signs, class| signs | class) >= 0;
        if !all {
            state.kind = [Kind::Ignored; WIDTH];
            state.kind.iter_mut().zip(classes).for_each(|(kind, class)| *kind = Kind::of(*class, true));
        }
        all
    }

    #[inline(never)]
    fn prepare_each(&self, first_row: usize, classes: &[i32], state: &mut Batch) -> bool {
        let plan = self.plan;
        let uniform = self.upstream.uniform();
        let looks = self.looks_at_inactive();
        let by_class = plan.smoothing_vector().is_some();
        let rows = &mut state.rows;
        let mut counting = 0;
        state.kind = [Kind::Ignored; WIDTH];
        state.has_own_labels = true;
        let mut class_weights = [0.0; WIDTH];
        plan.class_weights(classes, &mut class_weights[..classes.len()]);
        let slots = state.kind.iter_mut().zip(&mut state.label);
        let slots = slots.zip(rows.weight.iter_mut().zip(&mut rows.step));
        for ((row, code), ((kind, label), (weight, step))) in classes.iter().enumerate().zip(slots) {
            // The weights of rows that are ignored are not looked at.
            let sample = if *code < 0 { 0.0 } else { plan.options.sample_weight.get(first_row + row) };
            let own = class_weights[row];
            let active = plan.is_active(sample, own * sample);
            *kind = Kind::of(*code, active);
            counting += usize::from(active);
            let position = plan.kept.as_ref().map_or(*code, |kept| kept.label(*code));
            *label = if active || looks { position } else { -1 };
            let each = uniform.unwrap_or_else(|| self.upstream.of(first_row + row)) * plan.objective.scale;
            *weight = f32::from_f64(own * sample);
            *step = rules::step(each * (own * sample));
            if by_class {
                rows.sample[row] = f32::from_f64(sample);
                rows.sample_step[row] = rules::step(each * sample);
                rows.spread[row] = f32::from_f64(plan.smoothing_total() - own);
            }
        }
        counting == classes.len()
    }

    /// Sets the results of the rows that do not count.
    #[inline(never)]
    fn settle(&self, end: usize, state: &mut Batch) {
        let rows = &mut state.rows;
        for (row, kind) in state.kind.iter().enumerate().take(end) {
            let gradient = match kind {
                Kind::Row => continue,
                Kind::Nan if !self.upstream.is_empty_zero() => f32::NAN,
                Kind::Inactive if self.upstream.is_empty_nan() => f32::NAN,
                Kind::Nan | Kind::Inactive | Kind::Ignored => 0.0,
            };
            // `label` is not set where the classes serve as labels, but then no row is inactive.
            if *kind != Kind::Inactive || state.label[row] < 0 {
                (rows.log_prob[row], rows.log_sum_exp[row]) = (f32::NAN, f32::NAN);
            }
            rows.loss[row] = if *kind == Kind::Nan { f32::NAN } else { 0.0 };
            (rows.scale[row], rows.target[row], rows.bias[row]) = (gradient, gradient, 0.0);
        }
    }

    /// Computes the objective under options beyond weights: for all rows at once in single precision, then in f64 for each row that
    /// single precision could not hold.
    #[inline(never)]
    fn evaluate<I: Isa>(&self, first_row: usize, classes: &[i32], stats: &Stats<'_>, state: &mut Batch) {
        let plan = self.plan;
        let unsettled = match plan.objective.in_single(plan.smoothing_vector().is_some()) {
            Some(terms) => stats.rows_with::<I>(self.scale, &terms, &mut state.rows),
            None => state.rows.unsettle(),
        };
        if !unsettled {
            return;
        }
        for row in 0..classes.len() {
            if state.labels(classes)[row] < 0 || state.rows.is_settled(row) {
                continue;
            }
            let sample = plan.options.sample_weight.get(first_row + row);
            let (weights, upstream) = match plan.fate(classes[row], sample) {
                Fate::Row(planned) => (planned.weights, self.upstream.of(first_row + row)),
                _ => (RowWeights::NONE, 0.0),
            };
            let mut result = match stats.of(row) {
                Some(stats) => plan.objective.row(&stats, &weights, upstream),
                None => RowResult::NAN,
            };
            if upstream == 0.0 {
                result.gradient = Coefficients { scale: 0.0, bias: 0.0, target: Some(0.0) };
            }
            state.rows.set(row, &result);
        }
    }
}
