//! Decides what up to [`WIDTH`] rows of any layout are (counted, ignored, NaN, inactive), and computes their losses and what their
//! gradients are made with.

use super::plan::{Fate, Kind};
use super::rules::{self, Columns, Rules};
use crate::element::Element;
use crate::kernels::objective::{RowLines, Stats, WIDTH, WantedRows};
use crate::objective::{Coefficients, RowResult, RowWeights};
use crate::simd::{Isa, MOST_LANES, arrays};

/// What is kept of some rows from their labels to their gradient.
#[derive(Debug)]
pub(super) struct Batch {
    kind: [Kind; WIDTH],
    /// See [`Batch::labels`].
    label: [i32; WIDTH],
    has_own_labels: bool,
    pub(super) rows: RowLines,
    /// How many weights and steps are those of all rows of the call.
    filled: usize,
}

impl Batch {
    pub(super) const fn new() -> Self {
        let (kind, label) = ([Kind::Ignored; WIDTH], [0; WIDTH]);
        Self { kind, label, has_own_labels: false, rows: RowLines::new(), filled: 0 }
    }

    /// The labels' places among the kept classes, of rows with these classes; negative for rows that are not computed.
    pub(super) fn labels<'s>(&'s self, classes: &'s [i32]) -> &'s [i32] {
        if self.has_own_labels { &self.label[..classes.len()] } else { classes }
    }

    /// Computes the losses of rows from their sums, and what their gradients are made with. `all_count` says that no row is left out,
    /// `gradient` whether one is wanted.
    #[inline(never)]
    pub(super) fn come_to<I: Isa>(
        &mut self,
        rules: &Rules<'_>,
        first_row: usize,
        classes: &[i32],
        stats: &Stats<'_>,
        (all_count, gradient): (bool, bool),
        columns: &mut Columns<'_>,
    ) {
        if rules.plan.objective.is_plain() {
            let logarithms = columns.log_sum_exp.is_some() || columns.log_probs.is_some();
            let wanted = WantedRows { logarithms, gradient };
            stats.plain_rows::<I>(rules.scale, wanted, &mut self.rows);
        } else {
            self.evaluate::<I>(rules, first_row, classes, stats);
        }
        if !all_count {
            self.settle(rules, stats.rows());
        }
        columns.put_all(&self.rows);
    }

    /// Finds what each row is, and its weights; returns whether all rows count.
    pub(super) fn prepare(&mut self, rules: &Rules<'_>, first_row: usize, classes: &[i32]) -> bool {
        match rules.alike {
            Some(alike) => self.prepare_alike(alike, classes),
            None => self.prepare_each(rules, first_row, classes),
        }
    }

    /// Does the work of [`Batch::prepare`] where all rows that count have this weight and this step.
    #[inline(never)] // as the others below: once for all dtypes and layouts
    fn prepare_alike(&mut self, (weight, step): (f32, f32), classes: &[i32]) -> bool {
        if self.filled < classes.len() {
            // Whole vectors of rows are computed.
            self.filled = classes.len().next_multiple_of(MOST_LANES);
            arrays::fill(&mut self.rows.weight[..self.filled], weight);
            arrays::fill(&mut self.rows.step[..self.filled], step);
        }
        // The codes of rows that do not count are negative.
        let all = arrays::bits_of_any(classes) >= 0;
        if !all {
            let (kinds, beyond) = self.kind.split_at_mut(classes.len());
            arrays::combine(kinds, classes, |_, class| Kind::of(class, true));
            beyond.fill(Kind::Ignored);
        }
        all
    }

    #[inline(never)]
    fn prepare_each(&mut self, rules: &Rules<'_>, first_row: usize, classes: &[i32]) -> bool {
        let plan = rules.plan;
        let uniform = rules.upstream.uniform();
        let looks = rules.looks_at_inactive();
        let by_class = plan.smoothing_vector().is_some();
        let mut class_weights = [0.0; WIDTH];
        plan.class_weights(classes, &mut class_weights[..classes.len()]);
        if let (Some(upstream), None, false) = (uniform, &plan.kept, by_class)
            && self.weigh(rules, first_row, classes, &class_weights, upstream * plan.objective.scale)
        {
            return true;
        }
        let rows = &mut self.rows;
        let mut counting = 0;
        self.kind = [Kind::Ignored; WIDTH];
        self.has_own_labels = true;
        let slots = self.kind.iter_mut().zip(&mut self.label);
        let slots = slots.zip(rows.weight.iter_mut().zip(&mut rows.step));
        for ((row, code), ((kind, label), (weight, step))) in classes.iter().enumerate().zip(slots) {
            // The weights of rows that are ignored are not looked at.
            let sample = if *code < 0 { 0.0 } else { plan.options.sample_weight.get(first_row + row) };
            let own = class_weights[row];
            *kind = plan.kind(*code, sample, own * sample);
            let active = *kind == Kind::Row;
            counting += usize::from(active);
            let position = plan.kept.as_ref().map_or(*code, |kept| kept.label(*code));
            *label = if active || looks { position } else { -1 };
            let each = uniform.unwrap_or_else(|| rules.upstream.of(first_row + row)) * plan.objective.scale;
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

    /// Does the work of [`Batch::prepare_each`] if all rows count, and tells whether they do.
    #[inline(always)]
    fn weigh(
        &mut self,
        rules: &Rules<'_>,
        first_row: usize,
        classes: &[i32],
        class_weights: &[f64; WIDTH],
        each: f64,
    ) -> bool {
        let samples = rules.plan.options.sample_weight;
        let slots = self.rows.weight.iter_mut().zip(&mut self.rows.step);
        let mut all = true;
        for ((row, class), (own, (weight, step))) in
            classes.iter().enumerate().zip(class_weights.iter().zip(slots))
        {
            let both = own * samples.get(first_row + row);
            (*weight, *step) = (f32::from_f64(both), f32::from_f64(each * both));
            // A step that is 0 is that of a row without weight, or too small for single precision.
            all &= (*class >= 0) & (step.abs() > 0.0);
        }
        self.has_own_labels = false;
        all
    }

    /// Sets the results of the rows that do not count.
    #[inline(never)]
    fn settle(&mut self, rules: &Rules<'_>, end: usize) {
        let rows = &mut self.rows;
        for (row, kind) in self.kind.iter().enumerate().take(end) {
            if *kind == Kind::Row {
                continue;
            }
            let gradient = if rules.upstream.is_nan_for(*kind) { f32::NAN } else { 0.0 };
            // `label` is not set where the classes serve as labels, but then no row is inactive.
            if *kind != Kind::Inactive || self.label[row] < 0 {
                (rows.log_prob[row], rows.log_sum_exp[row]) = (f32::NAN, f32::NAN);
            }
            rows.loss[row] = if *kind == Kind::Nan { f32::NAN } else { 0.0 };
            (rows.scale[row], rows.target[row], rows.bias[row]) = (gradient, gradient, 0.0);
        }
    }

    /// Computes the objective under options beyond weights: for all rows at once in single precision, then in f64 for each row that
    /// single precision could not hold.
    #[inline(never)]
    fn evaluate<I: Isa>(&mut self, rules: &Rules<'_>, first_row: usize, classes: &[i32], stats: &Stats<'_>) {
        let plan = rules.plan;
        let unsettled = match plan.objective.in_single(plan.smoothing_vector().is_some()) {
            Some(terms) => stats.rows_with::<I>(rules.scale, &terms, &mut self.rows),
            None => self.rows.unsettle(),
        };
        if !unsettled {
            return;
        }
        for row in 0..classes.len() {
            if self.labels(classes)[row] < 0 || self.rows.is_settled(row) {
                continue;
            }
            let sample = plan.options.sample_weight.get(first_row + row);
            let (weights, upstream) = match plan.fate(classes[row], sample) {
                Fate::Row(planned) => (planned.weights, rules.upstream.of(first_row + row)),
                _ => (RowWeights::NONE, 0.0),
            };
            let mut result = match stats.of(row) {
                Some(stats) => plan.objective.row(&stats, &weights, upstream),
                None => RowResult::NAN,
            };
            if upstream == 0.0 {
                result.gradient = Coefficients { scale: 0.0, bias: 0.0, target: Some(0.0) };
            }
            self.rows.set(row, &result);
        }
    }
}
