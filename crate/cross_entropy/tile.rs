//! One tile of rows through the tile kernel, whatever the layout it was copied from.

use super::plan::{Fate, Kept};
use super::rows::{Columns, Rules};
use crate::element::{Element, GradElement};
use crate::kernels::planes::{Grad, Line, PlainRows, Tile, WIDTH, labelled};
use crate::objective::{RowResult, RowWeights};
use crate::simd::Isa;

/// Where a tile's logits come from and its gradient goes.
pub(super) trait Site<E: Element, G: GradElement<E>> {
    fn wants_gradient(&self) -> bool;
    /// Copies the logits of the kept classes to the lines.
    fn load<I: Isa>(&self, kept: Option<&Kept>, tile: &mut Tile<'_>);
    /// Writes the gradient from the exponentials, but for the labels' elements, where its memory allows it: single
    /// precision, all rows of a tile. Whether it did.
    fn write<I: Isa, const BIASED: bool>(&mut self, grad: &Grad<'_, I>) -> bool;
    /// Sets one element of the gradient, after [`Site::write`].
    fn set(&mut self, row: usize, class: usize, value: f32);
    /// Writes the lines to the gradient, or adds them where `adds` is given: those of rows whose entry is not 0.
    fn store<I: Isa>(&mut self, kept: Option<&Kept>, lines: &[Line], adds: Option<&Line>);
}

/// What a row of the tile is; see [`Fate`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Ignored,
    Nan,
    Inactive,
    Row,
}

/// The rows of a tile on their way through it.
#[derive(Debug)]
pub(super) struct TileRows {
    kind: [Kind; WIDTH],
    /// The label's place among the kept classes; negative for rows that are not computed.
    label: [i32; WIDTH],
    rows: PlainRows,
    bias: Line,
    /// Whether some bias matters.
    biased: bool,
}

impl TileRows {
    pub(super) const fn new() -> Self {
        Self {
            kind: [Kind::Ignored; WIDTH],
            label: [-1; WIDTH],
            rows: PlainRows::new(),
            bias: [0.0; WIDTH],
            biased: false,
        }
    }
}

impl Rules<'_> {
    /// Computes the tile whose first row is `first_row` and whose rows have these classes. What is in `state` does not
    /// matter.
    pub(super) fn tile<I: Isa, E: Element, G: GradElement<E>, S: Site<E, G>>(
        &self,
        first_row: usize,
        classes: &[i32],
        site: &mut S,
        columns: &mut Columns<'_, E::PerRow>,
        state: &mut TileRows,
        scratch: &mut [f32],
    ) {
        let plan = self.plan;
        let kept = plan.kept.as_ref();
        let steady = self.prepare_steady(classes, state);
        if !steady {
            self.prepare(first_row, classes, state);
        }
        let mut tile = Tile::new::<I>(scratch, classes.len());
        site.load::<I>(kept, &mut tile);
        if !steady {
            let missing = state.label.iter().take(tile.rows()).enumerate().filter(|(_, label)| **label < 0);
            missing.for_each(|(row, _)| tile.blank(row));
        }
        let predictions = columns.predictions.is_some().then(|| tile.argmax());
        tile.sweep::<I>(&state.label, self.scale, plan.moment(0));
        if plan.objective.is_plain() {
            tile.plain_rows::<I>(self.scale, &mut state.rows);
        } else {
            self.evaluate(first_row, classes, &tile, state);
        }
        if !steady {
            self.settle(tile.rows(), state);
        }
        columns.put_all(&state.rows);
        if let (Some(slots), Some(predictions)) = (columns.predictions.as_deref_mut(), predictions) {
            for (row, slot) in slots.iter_mut().enumerate() {
                let position = predictions[row].filter(|_| state.label[row] >= 0);
                *slot = position.map_or(-1, |position| plan.class_at(position));
            }
        }
        if site.wants_gradient() {
            self.deliver::<I, E, G, S>(&mut tile, state, site);
        }
    }

    /// The gradient from the exponentials to where it belongs.
    fn deliver<I: Isa, E: Element, G: GradElement<E>, S: Site<E, G>>(
        &self,
        tile: &mut Tile<'_>,
        state: &TileRows,
        site: &mut S,
    ) {
        let (plan, rows) = (self.plan, &state.rows);
        let kept = plan.kept.as_ref();
        let biases = state.biased.then_some(&state.bias);
        let weights = plan.smoothing_vector();
        if kept.is_none() && !self.accumulate && tile.rows() == WIDTH {
            let written = tile.grad::<I>(rows, biases, weights).is_some_and(|grad| {
                if grad.is_biased() { site.write::<I, true>(&grad) } else { site.write::<I, false>(&grad) }
            });
            if written {
                return labelled(&state.label, WIDTH)
                    .for_each(|(row, label)| site.set(row, label, rows.target[row]));
            }
        }
        tile.write_grad::<I>(rows, biases, weights);
        for (row, label) in labelled(&state.label, tile.rows()) {
            tile.lines[label][row] = if rows.scale[row].is_nan() { f32::NAN } else { rows.target[row] };
        }
        // A row that has nothing to add is left as it is. The others of a label far ahead have a scale of 0, but a bias.
        let adds = self.accumulate.then(|| -> Line {
            let some =
                |row: usize| [rows.scale[row], rows.target[row], state.bias[row]].iter().any(|x| *x != 0.0);
            core::array::from_fn(|row| f32::from(some(row)))
        });
        site.store::<I>(kept, tile.lines, adds.as_ref());
    }

    /// What each row is and its weights, where all rows are alike: a whole tile of rows that count, each with the same
    /// weight and the same upstream. Whether it is so.
    fn prepare_steady(&self, classes: &[i32], state: &mut TileRows) -> bool {
        let (Some(weight), Some(upstream), None) =
            (self.plan.uniform_weight(), self.upstream.uniform(), &self.plan.kept)
        else {
            return false;
        };
        let Ok(classes) = <&[i32; WIDTH]>::try_from(classes) else { return false };
        // Negative codes are rows that do not count.
        if upstream == 0.0 || classes.iter().fold(0, |signs, class| signs | class) < 0 {
            return false;
        }
        state.label = *classes;
        state.rows.weight = [f32::from_f64(weight); WIDTH];
        state.rows.step = [f32::from_f64(upstream * self.plan.objective.scale * weight); WIDTH];
        state.bias = [0.0; WIDTH];
        state.biased = false;
        true
    }

    /// What each row is, and its weights.
    fn prepare(&self, first_row: usize, classes: &[i32], state: &mut TileRows) {
        *state = TileRows::new();
        for (row, class) in classes.iter().enumerate() {
            let sample = self.plan.options.sample_weight.get(first_row + row);
            let (kind, label) = match self.plan.fate(*class, sample) {
                Fate::Ignored => continue,
                Fate::Nan => (Kind::Nan, None),
                Fate::Inactive(label) => (Kind::Inactive, self.looks_at_inactive().then_some(label)),
                Fate::Row(planned) => {
                    let weight = planned.weights.row;
                    let step = self.upstream.of(first_row + row) * self.plan.objective.scale * weight;
                    state.rows.weight[row] = f32::from_f64(weight);
                    state.rows.step[row] = f32::from_f64(step);
                    (Kind::Row, Some(planned.label))
                }
            };
            state.kind[row] = kind;
            state.label[row] = label.and_then(|label| i32::try_from(label).ok()).unwrap_or(-1);
        }
    }

    /// What the rows that do not count come to.
    fn settle(&self, end: usize, state: &mut TileRows) {
        let rows = &mut state.rows;
        for (row, kind) in state.kind.iter().take(end).enumerate() {
            let gradient = match kind {
                Kind::Row => continue,
                Kind::Nan if !self.upstream.is_empty_zero() => f32::NAN,
                Kind::Inactive if self.upstream.is_empty_nan() => f32::NAN,
                Kind::Nan | Kind::Inactive | Kind::Ignored => 0.0,
            };
            if state.label[row] < 0 {
                (rows.log_prob[row], rows.log_sum_exp[row]) = (f32::NAN, f32::NAN);
            }
            rows.loss[row] = if *kind == Kind::Nan { f32::NAN } else { 0.0 };
            (rows.scale[row], rows.target[row], state.bias[row]) = (gradient, gradient, 0.0);
        }
    }

    /// The objective row by row, for options beyond weights.
    fn evaluate(&self, first_row: usize, classes: &[i32], tile: &Tile<'_>, state: &mut TileRows) {
        for (row, class) in classes.iter().enumerate() {
            if state.label[row] < 0 {
                continue;
            }
            let sample = self.plan.options.sample_weight.get(first_row + row);
            let (weights, upstream) = match self.plan.fate(*class, sample) {
                Fate::Row(planned) => (planned.weights, self.upstream.of(first_row + row)),
                _ => (RowWeights::NONE, 0.0),
            };
            let result = match tile.stats(row) {
                Some(stats) => self.plan.objective.row(&stats, &weights, upstream),
                None => RowResult::NAN,
            };
            let rows = &mut state.rows;
            rows.loss[row] = f32::from_f64(result.loss);
            rows.log_prob[row] = f32::from_f64(result.log_prob);
            rows.log_sum_exp[row] = f32::from_f64(result.log_sum_exp);
            if upstream == 0.0 {
                continue;
            }
            let gradient = &result.gradient;
            rows.scale[row] = f32::from_f64(gradient.scale);
            rows.target[row] = f32::from_f64(gradient.target.unwrap_or(f64::NAN));
            state.bias[row] = f32::from_f64(gradient.bias);
            state.biased |= gradient.bias != 0.0;
        }
    }
}
