//! One tile of rows through the tile kernel; and what rows of any layout are and come to.

use super::plan::{Fate, Kept};
use super::rules::{self, Columns, Rules};
use crate::element::{Element, GradElement};
use crate::kernels::objective::{Line, PlainRows, Stats, WIDTH, WantedRows};
use crate::kernels::planes::{Grad, Small, Tile, labelled};
use crate::objective::{Coefficients, RowResult, RowWeights};
use crate::simd::Isa;

/// Where a tile's logits come from and its gradient goes.
pub(super) trait Site<E: Element, G: GradElement<E>> {
    fn wants_gradient(&self) -> bool;
    /// Copies the logits of the kept classes to the lines.
    fn load<I: Isa>(&mut self, kept: Option<&Kept>, tile: &mut Tile<'_>);
    /// Writes the gradient from the exponentials, but for the labels' elements, where its memory allows it: single
    /// precision, all rows of a tile. Whether it did.
    fn write<I: Isa, const BIASED: bool>(&mut self, grad: &Grad<'_, I>) -> bool;
    /// Sets one element of the gradient, after [`Site::write`].
    fn set(&mut self, row: usize, class: usize, value: f32);
    /// Writes the lines to the gradient, or adds them where `adds` is given: those of rows whose entry is not 0. The bytes of
    /// the others stay.
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

impl Kind {
    /// Of a class or one of the codes of [`crate::labels`].
    fn of(class: i32, active: bool) -> Self {
        match class {
            0.. if active => Self::Row,
            0.. => Self::Inactive,
            crate::labels::IGNORED => Self::Ignored,
            _ => Self::Nan,
        }
    }
}

/// The rows of a tile on their way through it.
#[derive(Debug)]
pub(super) struct TileRows {
    kind: [Kind; WIDTH],
    /// The label's place among the kept classes; negative for rows that are not computed.
    pub(super) label: [i32; WIDTH],
    pub(super) rows: PlainRows,
    /// Whether the weights and steps are those of all rows of the call.
    filled: bool,
    /// What the next tile is guessed to be, after those before it. It changes no result.
    guess: Guess,
    /// Whether the last strip, if there was one, was worth it.
    pub(super) fits_strip: bool,
    /// Room for the thresholds of [`Grad`], which would otherwise be copied with it.
    thresholds: Line,
}

impl TileRows {
    pub(super) const fn new() -> Self {
        Self {
            kind: [Kind::Ignored; WIDTH],
            label: [-1; WIDTH],
            rows: PlainRows::new(),
            filled: false,
            guess: Guess::Small,
            fits_strip: true,
            thresholds: [0.0; WIDTH],
        }
    }

    /// Whether the next tiles are guessed to be of rows of small logits, none of them far below the others.
    pub(super) fn guesses_strip(&self) -> bool {
        self.fits_strip && self.guess == Guess::Small
    }
}

/// What a tile may hold.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Guess {
    /// Rows of small logits.
    Small,
    /// Those, and classes far below them.
    SmallOrFarBelow,
    /// Anything; though the tile before was small.
    Calm,
    Any,
}

impl Guess {
    /// Of the same tile, where this was wrong.
    fn next(self) -> Self {
        if self == Self::Small { Self::SmallOrFarBelow } else { Self::Any }
    }

    /// Of the tile after one that could hold anything: two in a row were small before it is guessed again.
    fn after(self, all_small: bool) -> Self {
        match self {
            _ if !all_small => Self::Any,
            Self::Calm => Self::SmallOrFarBelow,
            _ => Self::Calm,
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
        columns: &mut Columns<'_>,
        state: &mut TileRows,
        scratch: &mut [f32],
    ) {
        let plan = self.plan;
        let all_count = self.prepare(first_row, classes, state) && classes.len() == WIDTH;
        let mut tile = Tile::new::<I>(scratch, classes.len());
        let mut predictions = columns.predictions.is_some().then_some([-1; WIDTH]);
        let small = Small::new(&state.rows.step, plan.classes(), &plan.objective);
        let labels = &state.label;
        if !small.is_possible() {
            state.guess = Guess::Any;
        }
        let mut guess = if predictions.is_some() { Guess::Any } else { state.guess };
        loop {
            site.load::<I>(plan.kept.as_ref(), &mut tile);
            let is_right = match guess {
                Guess::Small => tile.sweep_small::<I, false>(labels, &small),
                Guess::SmallOrFarBelow => tile.sweep_small::<I, true>(labels, &small),
                Guess::Calm | Guess::Any => {
                    let moment = plan.moment();
                    let all_small = tile.sweep::<I>(labels, self.scale, moment, predictions.as_mut(), &small);
                    state.guess = guess.after(all_small);
                    break;
                }
            };
            if is_right {
                break;
            }
            guess = guess.next();
            state.guess = guess;
        }
        let counted = (all_count, site.wants_gradient());
        self.come_to::<I>(first_row, classes, &tile.stats(), counted, columns, state);
        if let (Some(slots), Some(predictions)) = (columns.predictions.as_deref_mut(), predictions) {
            for (slot, prediction) in slots.iter_mut().zip(predictions) {
                *slot = usize::try_from(prediction).map_or(-1, |position| plan.class_at(position));
            }
        }
        if site.wants_gradient() {
            self.deliver::<I, E, G, S>(&mut tile, state, site);
        }
    }

    /// What rows come to whose exponentials are added; whether all rows count, and whether a gradient is wanted.
    #[inline(never)]
    pub(super) fn come_to<I: Isa>(
        &self,
        first_row: usize,
        classes: &[i32],
        stats: &Stats<'_>,
        (all_count, gradient): (bool, bool),
        columns: &mut Columns<'_>,
        state: &mut TileRows,
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

    /// The gradient from the exponentials to where it belongs.
    fn deliver<I: Isa, E: Element, G: GradElement<E>, S: Site<E, G>>(
        &self,
        tile: &mut Tile<'_>,
        state: &mut TileRows,
        site: &mut S,
    ) {
        let (plan, rows) = (self.plan, &state.rows);
        let kept = plan.kept.as_ref();
        let biases = plan.objective.needs_moment().then_some(&rows.bias);
        let weights = plan.smoothing_vector();
        if kept.is_none() && !self.accumulate && tile.rows() == WIDTH {
            let written = tile.grad::<I>(rows, biases, weights, &mut state.thresholds).is_some_and(|grad| {
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
        let adds = self.accumulate.then(|| rows.largest::<I>());
        site.store::<I>(kept, tile.lines, adds.as_ref());
    }

    /// What each row is, and its weights. Whether all count.
    pub(super) fn prepare(&self, first_row: usize, classes: &[i32], state: &mut TileRows) -> bool {
        match self.alike {
            Some(alike) => self.prepare_alike(alike, classes, state),
            None => self.prepare_each(first_row, classes, state),
        }
    }

    /// Where all rows that count have this weight and this step.
    #[inline(never)] // as the others below: once for all dtypes and layouts
    fn prepare_alike(&self, (weight, step): (f32, f32), classes: &[i32], state: &mut TileRows) -> bool {
        if !state.filled {
            (state.rows.weight, state.rows.step, state.filled) = ([weight; WIDTH], [step; WIDTH], true);
        }
        let (labels, beyond) = state.label.split_at_mut(classes.len());
        labels.copy_from_slice(classes);
        beyond.fill(-1);
        // Negative codes are rows that do not count.
        let all = classes.iter().fold(0, |signs, class| signs | class) >= 0;
        if !all || !beyond.is_empty() {
            state.kind = [Kind::Ignored; WIDTH];
            state.kind.iter_mut().zip(classes).for_each(|(kind, class)| *kind = Kind::of(*class, true));
        }
        all
    }

    #[inline(never)]
    fn prepare_each(&self, first_row: usize, classes: &[i32], state: &mut TileRows) -> bool {
        let plan = self.plan;
        let uniform = self.upstream.uniform();
        let looks = self.looks_at_inactive();
        let by_class = plan.smoothing_vector().is_some();
        let rows = &mut state.rows;
        let mut counting = 0;
        state.kind = [Kind::Ignored; WIDTH];
        state.label = [-1; WIDTH];
        let slots = state.kind.iter_mut().zip(&mut state.label);
        let slots = slots.zip(rows.weight.iter_mut().zip(&mut rows.step));
        for ((row, code), ((kind, label), (weight, step))) in classes.iter().enumerate().zip(slots) {
            // The weights of rows that are ignored are not looked at.
            let (class, sample) = match usize::try_from(*code) {
                Ok(class) => (class, plan.options.sample_weight.get(first_row + row)),
                Err(_) => (0, 0.0),
            };
            let own = plan.class_weight(class);
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

    /// What the rows that do not count come to.
    #[inline(never)]
    fn settle(&self, end: usize, state: &mut TileRows) {
        let rows = &mut state.rows;
        for (row, kind) in state.kind.iter().enumerate().take(end) {
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
            (rows.scale[row], rows.target[row], rows.bias[row]) = (gradient, gradient, 0.0);
        }
    }

    /// The objective with options beyond weights: of all rows at once, and then row by row where that was not enough.
    #[inline(never)]
    fn evaluate<I: Isa>(&self, first_row: usize, classes: &[i32], stats: &Stats<'_>, state: &mut TileRows) {
        let plan = self.plan;
        let unsettled = match plan.objective.in_single(plan.smoothing_vector().is_some()) {
            Some(terms) => stats.rows_with::<I>(self.scale, &terms, &mut state.rows),
            None => state.rows.unsettle(),
        };
        if !unsettled {
            return;
        }
        for row in (0..classes.len()).filter(|row| state.label[*row] >= 0) {
            if state.rows.is_settled(row) {
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
