//! Rows whose classes are strided, tile by tile. What the tile kernel cannot do (f64, inputs that are probabilities, a
//! label matrix) goes row by row through [`Rules::row`], on a copy of the row.

use super::deliver::scatter;
use super::plan::Fate;
use super::rows::{RowValues, Rules, Scratch};
use super::scan::Upstream;
use super::{Access, Call, Results, zeros};
use crate::Error;
use crate::element::{Element, GradElement};
use crate::kernels::planes::{self, Tile, WIDTH};
use crate::objective::{RowResult, RowWeights};
use crate::parallel::{PerWorker, Planes, Strided};
use crate::simd::Isa;

/// The planes of one tile: its logits, and where the gradient goes.
struct Site<'a, 'p, E, G> {
    /// All logits, where they are not replaced.
    logits: &'a [E],
    /// Index of the tile's first row in its first plane.
    first: usize,
    inner: usize,
    grad: Option<Planes<'p, G>>,
    in_place: Option<Planes<'p, E>>,
}

impl<E: Element, G: GradElement<E>> Site<'_, '_, E, G> {
    fn read(&self, class: usize, width: usize) -> &[E] {
        match &self.in_place {
            Some(planes) => planes.read(class),
            None => &self.logits[self.first + class * self.inner..][..width],
        }
    }

    fn wants_gradient(&self) -> bool {
        self.grad.is_some() || self.in_place.is_some()
    }
}

/// What the rows of a tile give beside their gradient.
struct Columns<'a, 'p, L> {
    losses: &'a mut [L],
    log_sum_exp: Option<Planes<'p, L>>,
    log_probs: Option<Planes<'p, L>>,
    predictions: Option<Planes<'p, i32>>,
}

impl<L: Element> Columns<'_, '_, L> {
    fn put(&mut self, row: usize, values: &RowValues) {
        self.losses[row] = L::from_f64(values.loss);
        if let Some(plane) = &mut self.log_sum_exp {
            plane.plane(0)[row] = L::from_f64(values.log_sum_exp);
        }
        if let Some(plane) = &mut self.log_probs {
            plane.plane(0)[row] = L::from_f64(values.log_prob);
        }
        if let Some(plane) = &mut self.predictions {
            plane.plane(0)[row] = values.prediction;
        }
    }
}

impl Call<'_> {
    pub(super) fn tiles<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        access: Access<'_, E, G>,
        results: &mut Results<'_, E::PerRow>,
    ) -> Result<(), Error> {
        let rules = Rules::new(self, results);
        let shape = self.plan.shape;
        let (classes, inner) = (shape.classes(), shape.inner());
        let tiles = Strided::<E>::tiles(inner, WIDTH);
        let units = shape.outer() * tiles;
        let workers = self.executor.workers(units);
        let by_tile = rules.in_single::<E>() && !self.plan.has_matrix();
        let column = if by_tile { 0 } else { classes };
        let (single, double) = rules.scratch_lengths::<E>();
        let single = if by_tile { planes::scratch_length(self.plan.classes()) } else { single };
        let (mut singles, mut doubles) = (zeros(single * workers)?, zeros(double * workers)?);
        let (mut from, mut to) = (zeros::<E>(column * workers)?, zeros::<G>(column * workers)?);
        let (logits, grad, in_place) = match access {
            Access::Loss(x) => (x, None, None),
            Access::Apart(x, grad) => (x, Some(Strided::new(grad, classes, inner, WIDTH)), None),
            Access::InPlace(x) => (&[][..], None, Some(Strided::new(x, classes, inner, WIDTH))),
        };
        let outputs = (
            (grad, in_place),
            Strided::new(results.losses, 1, inner, WIDTH),
            results.log_sum_exp.as_deref_mut().map(|slice| Strided::new(slice, 1, inner, WIDTH)),
            results.target_log_prob.as_deref_mut().map(|slice| Strided::new(slice, 1, inner, WIDTH)),
            results.predictions.as_deref_mut().map(|slice| Strided::new(slice, 1, inner, WIDTH)),
            (PerWorker::new(&mut singles, single), PerWorker::new(&mut doubles, double)),
            (PerWorker::new(&mut from, column), PerWorker::new(&mut to, column)),
        );
        self.executor.run(units, self.cancel, outputs, |_, unit, parts| {
            let ((grad, in_place), mut losses, log_sum_exp, log_probs, predictions, scratch, (from, to)) =
                parts;
            let (outer, start) = (unit / tiles, unit % tiles * WIDTH);
            let mut site = Site { logits, first: outer * classes * inner + start, inner, grad, in_place };
            let mut columns = Columns { losses: losses.plane(0), log_sum_exp, log_probs, predictions };
            let first_row = outer * inner + start;
            if by_tile {
                rules.tile::<I, E, G>(first_row, &self.scan.classes, &mut site, &mut columns, scratch.0);
            } else {
                let mut scratch = Scratch { single: scratch.0, double: scratch.1 };
                rules.columns::<I, E, G>(
                    first_row,
                    &self.scan.classes,
                    &mut site,
                    &mut columns,
                    (from, to),
                    &mut scratch,
                );
            }
        })?;
        Ok(())
    }
}

impl Rules<'_> {
    /// Row by row, each through a copy.
    fn columns<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        first_row: usize,
        classes: &[i32],
        site: &mut Site<'_, '_, E, G>,
        columns: &mut Columns<'_, '_, E::PerRow>,
        (from, to): (&mut [E], &mut [G]),
        scratch: &mut Scratch<'_>,
    ) {
        let width = columns.losses.len();
        for row in 0..width {
            for (class, slot) in from.iter_mut().enumerate() {
                *slot = site.read(class, width)[row];
            }
            if let Some(grad) = &site.grad {
                for (class, slot) in to.iter_mut().enumerate() {
                    *slot = grad.read(class)[row];
                }
            }
            let access = match (&site.grad, &site.in_place) {
                (Some(_), _) => Access::Apart(&*from, &mut *to),
                (None, Some(_)) => Access::InPlace(&mut *from),
                (None, None) => Access::<E, G>::Loss(&*from),
            };
            let values = self.row::<I, E, G>(first_row + row, classes[first_row + row], access, scratch);
            columns.put(row, &values);
            if let Some(grad) = &mut site.grad {
                for (class, value) in to.iter().enumerate() {
                    grad.plane(class)[row] = *value;
                }
            }
            if let Some(x) = &mut site.in_place {
                for (class, value) in from.iter().enumerate() {
                    x.plane(class)[row] = *value;
                }
            }
        }
    }

    /// A whole tile by the kernel.
    fn tile<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        first_row: usize,
        classes: &[i32],
        site: &mut Site<'_, '_, E, G>,
        columns: &mut Columns<'_, '_, E::PerRow>,
        scratch: &mut [f32],
    ) {
        let plan = self.plan;
        let width = columns.losses.len();
        let classes = &classes[first_row..][..width];
        let fates: [Fate; WIDTH] = core::array::from_fn(|row| match classes.get(row) {
            Some(class) => plan.fate(*class, plan.options.sample_weight.get(first_row + row)),
            None => Fate::Ignored,
        });
        let mut labels = [-1_i32; WIDTH];
        for (label, fate) in labels.iter_mut().zip(&fates) {
            let computed = match fate {
                Fate::Row(row) => Some(row.label),
                Fate::Inactive(label) if self.looks_at_inactive() => Some(*label),
                _ => None,
            };
            *label = computed.and_then(|label| i32::try_from(label).ok()).unwrap_or(-1);
        }

        let mut tile = Tile::new(scratch);
        for (position, line) in tile.lines.iter_mut().enumerate() {
            let class = usize::try_from(plan.class_at(position)).unwrap_or_default();
            E::widen(site.read(class, width), &mut line[..width]);
            for (x, label) in line.iter_mut().zip(&labels) {
                // A row that is not computed must not leave a NaN behind.
                *x = if *label < 0 { 0.0 } else { *x };
            }
        }
        let predictions = self.wants.predictions.then(|| tile.argmax());
        tile.sweep::<I>(&labels, self.scale, plan.moment(0));

        let mut gradient = Gradient::default();
        for (row, fate) in fates.iter().enumerate().take(width) {
            let predicted =
                || predictions.as_ref().and_then(|rows| rows[row]).map(|position| plan.class_at(position));
            let values = match fate {
                Fate::Ignored => RowValues::unread(0.0),
                Fate::Nan => {
                    gradient.scale[row] = f32::NAN;
                    RowValues::unread(f64::NAN)
                }
                Fate::Inactive(_) => {
                    if matches!(self.upstream, Upstream::Nan) {
                        gradient.scale[row] = f32::NAN;
                    }
                    if labels[row] < 0 {
                        RowValues::unread(0.0)
                    } else {
                        let weights = RowWeights { row: 0.0, sample: 0.0, class: 0.0, moment_total: 0.0 };
                        let result = self.result(&tile, row, &weights, 0.0);
                        RowValues { loss: 0.0, ..RowValues::new(&result, predicted()) }
                    }
                }
                Fate::Row(planned) => {
                    let upstream = self.upstream.of(first_row + row);
                    let result = self.result(&tile, row, &planned.weights, upstream);
                    if upstream != 0.0 {
                        gradient.set(row, planned.label, &result);
                    }
                    RowValues::new(&result, predicted())
                }
            };
            columns.put(row, &values);
        }
        if site.wants_gradient() {
            tile.clear(&gradient.scale);
            let biases = gradient.biased.then_some(&gradient.bias);
            tile.write_grad::<I>(&gradient.scale, biases, plan.smoothing_vector());
            for (row, target) in gradient.target.iter().enumerate().take(width) {
                if let Some((label, value)) = target {
                    tile.lines[*label][row] = *value;
                }
            }
            self.hand_back(&tile, site, width, &gradient.scale);
        }
    }

    fn result(&self, tile: &Tile<'_>, row: usize, weights: &RowWeights, upstream: f64) -> RowResult {
        match tile.stats(row) {
            Some(stats) => self.plan.objective.row(&stats, weights, upstream),
            None => RowResult::NAN,
        }
    }

    /// Copies the lines of a tile to the planes they belong to; a scale of 0 marks a row with nothing to add.
    fn hand_back<E: Element, G: GradElement<E>>(
        &self,
        tile: &Tile<'_>,
        site: &mut Site<'_, '_, E, G>,
        width: usize,
        scale: &[f32; WIDTH],
    ) {
        let position_of = |class: usize| match &self.plan.kept {
            Some(kept) => kept.position(class),
            None => Some(class),
        };
        for class in 0..self.plan.shape.classes() {
            let line = position_of(class).map(|position| &tile.lines[position][..width]);
            if let Some(planes) = &mut site.in_place {
                match line {
                    Some(line) => E::narrow(line, planes.plane(class)),
                    None => planes.plane(class).fill(E::default()),
                }
            }
            let Some(planes) = &mut site.grad else { continue };
            let plane = planes.plane(class);
            match line {
                Some(line) if self.accumulate => {
                    for (row, scale) in scale.iter().enumerate().take(width) {
                        if *scale != 0.0 {
                            scatter(&line[row..=row], None, &mut plane[row..=row], true);
                        }
                    }
                }
                Some(line) => G::narrow(line, plane),
                None if self.accumulate => {}
                None => plane.fill(G::default()),
            }
        }
    }
}

/// The coefficients of a tile's rows.
struct Gradient {
    scale: [f32; WIDTH],
    bias: [f32; WIDTH],
    target: [Option<(usize, f32)>; WIDTH],
    biased: bool,
}

impl Default for Gradient {
    fn default() -> Self {
        Self { scale: [0.0; WIDTH], bias: [0.0; WIDTH], target: [None; WIDTH], biased: false }
    }
}

impl Gradient {
    fn set(&mut self, row: usize, label: usize, result: &RowResult) {
        let gradient = &result.gradient;
        self.scale[row] = f32::from_f64(gradient.scale);
        self.bias[row] = f32::from_f64(gradient.bias);
        self.target[row] = gradient.target.map(|target| (label, f32::from_f64(target)));
        // A sum with +0 turns the -0 of vanished probabilities into +0.
        self.biased |= gradient.bias != 0.0 || gradient.scale < 0.0;
    }
}
