//! One tile of rows through the tile kernel, whatever the layout it was copied from.

use super::plan::{Fate, Kept};
use super::rows::{Columns, RowValues, Rules};
use crate::element::{Element, GradElement};
use crate::kernels::planes::{Line, PlainRows, Tile, WIDTH};
use crate::objective::{RowResult, RowWeights};
use crate::simd::Isa;

/// Where a tile's logits come from and its gradient goes.
pub(super) trait Site<E: Element, G: GradElement<E>> {
    fn wants_gradient(&self) -> bool;
    /// Copies the logits of the kept classes to the lines.
    fn load<I: Isa>(&self, kept: Option<&Kept>, lines: &mut [Line]);
    /// Writes the lines to the gradient, or adds them where `adds` is given: those of rows whose entry is not 0.
    fn store<I: Isa>(&mut self, kept: Option<&Kept>, lines: &[Line], adds: Option<&Line>);
}

/// What a row of the tile is; see [`Fate`].
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ignored,
    Nan,
    Inactive,
    Row,
}

/// The rows of a tile on their way through it.
struct TileRows {
    kind: [Kind; WIDTH],
    /// The label's place among the kept classes; negative for rows that are not computed.
    label: [i32; WIDTH],
    rows: PlainRows,
    bias: Line,
    /// Whether some bias matters.
    biased: bool,
}

impl Rules<'_> {
    /// Computes the tile whose first row is `first_row` and whose rows have these classes.
    pub(super) fn tile<I: Isa, E: Element, G: GradElement<E>, S: Site<E, G>>(
        &self,
        first_row: usize,
        classes: &[i32],
        site: &mut S,
        columns: &mut Columns<'_, E::PerRow>,
        scratch: &mut [f32],
    ) {
        let plan = self.plan;
        let kept = plan.kept.as_ref();
        let mut state = self.prepare(first_row, classes);
        let mut tile = Tile::new(scratch);
        site.load::<I>(kept, tile.lines);
        for (row, label) in state.label.iter().enumerate() {
            if *label < 0 {
                // A row that is not computed must not leave a NaN behind.
                tile.lines.iter_mut().for_each(|line| line[row] = 0.0);
            }
        }
        let predictions = self.wants.predictions.then(|| tile.argmax());
        tile.sweep::<I>(&state.label, self.scale, plan.moment(0));
        if plan.objective.is_plain() {
            tile.plain_rows::<I>(self.scale, &mut state.rows);
        } else {
            self.evaluate(first_row, classes, &tile, &mut state);
        }

        let rows = &mut state.rows;
        for (row, kind) in state.kind.iter().enumerate().take(classes.len()) {
            let predicted =
                predictions.as_ref().and_then(|rows| rows[row]).map(|position| plan.class_at(position));
            let computed = |loss: f32| RowValues {
                loss: f64::from(loss),
                log_prob: f64::from(-rows.nll[row]),
                log_sum_exp: f64::from(rows.log_sum_exp[row]),
                prediction: predicted.unwrap_or(-1),
            };
            let values = match kind {
                Kind::Row => computed(rows.loss[row]),
                Kind::Inactive if state.label[row] >= 0 => computed(0.0),
                Kind::Nan => RowValues::unread(f64::NAN),
                Kind::Inactive | Kind::Ignored => RowValues::unread(0.0),
            };
            columns.put(row, &values);
            let gradient = match kind {
                Kind::Row => continue,
                Kind::Nan if !self.upstream.is_empty_zero() => f32::NAN,
                Kind::Inactive if self.upstream.is_empty_nan() => f32::NAN,
                Kind::Nan | Kind::Inactive | Kind::Ignored => 0.0,
            };
            (rows.scale[row], rows.target[row], state.bias[row]) = (gradient, gradient, 0.0);
        }
        if site.wants_gradient() {
            let biased = state.biased || rows.scale.iter().any(|scale| *scale < 0.0);
            tile.write_grad::<I>(&rows.scale, biased.then_some(&state.bias), plan.smoothing_vector());
            for (row, label) in state.label.iter().enumerate() {
                if let Ok(label) = usize::try_from(*label) {
                    tile.lines[label][row] =
                        if rows.scale[row].is_nan() { f32::NAN } else { rows.target[row] };
                }
            }
            site.store::<I>(kept, tile.lines, self.accumulate.then_some(&rows.scale));
        }
    }

    /// What each row is, and its weights.
    fn prepare(&self, first_row: usize, classes: &[i32]) -> TileRows {
        let mut state = TileRows {
            kind: [Kind::Ignored; WIDTH],
            label: [-1; WIDTH],
            rows: PlainRows::new(),
            bias: [0.0; WIDTH],
            biased: false,
        };
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
        state
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
            rows.nll[row] = f32::from_f64(-result.log_prob);
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
