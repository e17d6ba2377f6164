//! Rows whose classes are strided, tile by tile. What the tile kernel cannot do (f64, inputs that are probabilities, a
//! label matrix) goes row by row through [`Rules::row`], on a copy of the row.

use super::deliver::{Values, scatter};
use super::plan::Kept;
use super::route::Route;
use super::rules::{Columns, Rules, Scratch};
use super::tile::{Site, TileRows};
use super::{Access, Call, Results, zeros};
use crate::Error;
use crate::element::{Element, GradElement, Source, Target, typed};
use crate::kernels::objective::{Line, WIDTH};
use crate::kernels::planes::strip::{self, TILES};
use crate::kernels::planes::{self, Grad, Tile};
use crate::parallel::{PerWorker, Planes, STEP, Strided, Typed, progress};
use crate::simd::{Ahead, Isa};
use core::ops::Range;

/// The planes of one tile: its logits, and where the gradient goes.
pub(super) struct PlaneSite<'a, 'p, E, G> {
    /// All logits, where they are not replaced.
    pub(super) logits: &'a [E],
    /// Index of the unit's first row in its first plane.
    pub(super) first: usize,
    pub(super) inner: usize,
    /// Classes, kept or not.
    classes: usize,
    /// The tile's rows among those of the unit.
    pub(super) rows: Range<usize>,
    pub(super) grad: Option<Planes<'p, G>>,
    pub(super) in_place: Option<Planes<'p, E>>,
}

/// A sign of life at some of the classes, each of which is a piece of a tile's rows.
#[inline(always)]
fn go_on(class: usize) {
    if class > 0 && class.is_multiple_of(STEP / WIDTH) {
        progress();
    }
}

impl<E: Element, G: GradElement<E>> PlaneSite<'_, '_, E, G> {
    fn read(&self, class: usize) -> &[E] {
        &self.plane(class)[self.rows.clone()]
    }

    /// The logits of a class, from the unit's first row on.
    #[inline(always)]
    pub(super) fn plane(&self, class: usize) -> &[E] {
        match &self.in_place {
            Some(planes) => planes.read(class),
            None => &self.logits[self.first + class * self.inner..],
        }
    }

    /// The gradient's plane of a class, where it is in single precision.
    fn single(&mut self, class: usize) -> Option<&mut [f32]> {
        let rows = self.rows.clone();
        match (&mut self.grad, &mut self.in_place) {
            (Some(planes), _) => G::target(&mut planes.plane(class)[rows]).into_single(),
            (None, Some(planes)) => E::target(&mut planes.plane(class)[rows]).into_single(),
            (None, None) => None,
        }
    }
}

impl<E: Element, G: GradElement<E>> Site<E, G> for PlaneSite<'_, '_, E, G> {
    fn wants_gradient(&self) -> bool {
        self.grad.is_some() || self.in_place.is_some()
    }

    fn load<I: Isa>(&mut self, kept: Option<&Kept>, tile: &mut Tile<'_>) {
        let next = || match &self.in_place {
            Some(planes) => planes.read(0).get(self.rows.end),
            None => self.logits.get(self.first + self.rows.end),
        };
        let own = || self.grad.as_ref().and_then(|planes| planes.read(0).get(self.rows.start));
        tile.ahead = [Ahead::planes(next, self.inner, I::LANES), Ahead::planes(own, self.inner, I::LANES)];
        for (position, line) in tile.lines.iter_mut().enumerate() {
            go_on(position);
            let class = kept.map_or(position, |kept| kept.classes[position] as usize);
            E::widen(self.read(class), &mut line[..self.rows.len()]);
        }
    }

    fn write<I: Isa, const BIASED: bool>(&mut self, grad: &Grad<'_, I>) -> bool {
        for class in 0..self.classes {
            go_on(class);
            let Some(plane) = self.single(class) else { return false };
            let Ok(plane) = <&mut Line>::try_from(plane) else { return false };
            I::enter(
                #[inline(always)]
                || {
                    for (lane, g) in I::chunks_mut(plane).iter_mut().enumerate() {
                        I::store(g, grad.rows(lane).at::<BIASED>(class));
                    }
                },
            );
        }
        true
    }

    fn set(&mut self, row: usize, class: usize, value: f32) {
        if let Some(plane) = self.single(class) {
            plane[row] = value;
        }
    }

    fn store<I: Isa>(&mut self, kept: Option<&Kept>, lines: &[Line], adds: Option<&Line>) {
        for class in 0..self.classes {
            go_on(class);
            let position = kept.map_or(Some(class), |kept| kept.position(class));
            let (rows, width) = (self.rows.clone(), self.rows.len());
            let line = position.map(|position| &lines[position][..width]);
            if let Some(planes) = &mut self.in_place {
                let plane = &mut planes.plane(class)[rows.clone()];
                match line {
                    Some(line) => E::narrow(line, plane),
                    None => plane.fill(E::default()),
                }
            }
            let Some(planes) = &mut self.grad else { continue };
            let plane = &mut planes.plane(class)[rows];
            match (line, adds) {
                (Some(line), Some(adds)) => {
                    if let (Ok(line), Some(Ok(plane))) =
                        (line.try_into(), G::target(plane).into_single().map(TryInto::try_into))
                    {
                        add::<I>(line, adds, plane);
                        continue;
                    }
                    for row in (0..width).filter(|row| adds[*row] != 0.0) {
                        let into = &mut G::target(&mut plane[row..=row]);
                        scatter(Values::Single(&line[row..=row]), None, into, true);
                    }
                }
                (Some(line), None) => G::narrow(line, plane),
                (None, Some(_)) => {}
                (None, None) => plane.fill(G::default()),
            }
        }
    }
}

/// Adds a line to its plane of the gradient; where `adds` is 0 the plane keeps its bytes.
fn add<I: Isa>(line: &Line, adds: &Line, plane: &mut Line) {
    I::enter(
        #[inline(always)]
        || {
            let values = I::chunks(line).iter().zip(I::chunks(adds));
            for (g, (value, adds)) in I::chunks_mut(plane).iter_mut().zip(values) {
                let before = I::load(g);
                let off = I::eq(I::load(adds), I::splat(0.0));
                I::store(g, I::select(off, before, I::add(before, I::load(value))));
            }
        },
    );
}

/// The planes of per-row results.
type ResultPlanes<'a> =
    Typed<Planes<'a, f32>, Planes<'a, f64>, Planes<'a, half::f16>, Planes<'a, half::bf16>>;

fn plane<'s>(planes: &'s mut ResultPlanes<'_>) -> Target<'s> {
    typed!(planes, planes => planes.plane(0))
}

impl Call<'_> {
    /// Where the types of a call become those of the code below.
    pub(super) fn strided<I: Isa>(
        &self,
        route: Route,
        access: Access<'_>,
        results: &mut Results<'_>,
    ) -> Result<(), Error> {
        let rules = &Rules::new(self, route, results);
        let lengths = rules.scratch_lengths(&access);
        macro_rules! call {
            ($e:ty, $g:ty, $planes:expr) => {
                self.tiles::<I, $e, $g>(route, rules, lengths, $planes, results)
            };
        }
        match access {
            Access::Loss(Source::F32(x)) => call!(f32, f32, (x, None, None)),
            Access::Loss(Source::F64(x)) => call!(f64, f64, (x, None, None)),
            Access::Loss(Source::F16(x)) => call!(half::f16, half::f16, (x, None, None)),
            Access::Loss(Source::Bf16(x)) => call!(half::bf16, half::bf16, (x, None, None)),
            Access::InPlace(Target::F32(x)) => call!(f32, f32, (&[], None, Some(x))),
            Access::InPlace(Target::F64(x)) => call!(f64, f64, (&[], None, Some(x))),
            Access::InPlace(Target::F16(x)) => call!(half::f16, half::f16, (&[], None, Some(x))),
            Access::InPlace(Target::Bf16(x)) => call!(half::bf16, half::bf16, (&[], None, Some(x))),
            Access::Apart(Source::F32(x), Target::F32(grad)) => call!(f32, f32, (x, Some(grad), None)),
            Access::Apart(Source::F64(x), Target::F64(grad)) => call!(f64, f64, (x, Some(grad), None)),
            Access::Apart(Source::F16(x), Target::F32(grad)) => call!(half::f16, f32, (x, Some(grad), None)),
            Access::Apart(Source::F16(x), Target::F16(grad)) => {
                call!(half::f16, half::f16, (x, Some(grad), None))
            }
            Access::Apart(Source::Bf16(x), Target::F32(grad)) => {
                call!(half::bf16, f32, (x, Some(grad), None))
            }
            Access::Apart(Source::Bf16(x), Target::Bf16(grad)) => {
                call!(half::bf16, half::bf16, (x, Some(grad), None))
            }
            Access::Apart(..) => unreachable!("a gradient of the logits' type, or of f32"),
        }
    }

    #[inline(never)]
    fn tiles<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        route: Route,
        rules: &Rules<'_>,
        (single, double, blocks): (usize, usize, usize),
        (logits, grad, in_place): (&[E], Option<&mut [G]>, Option<&mut [E]>),
        results: &mut Results<'_>,
    ) -> Result<(), Error> {
        let shape = self.plan.shape;
        let (classes, inner) = (shape.classes(), shape.inner());
        // Tiles of one outer position that a unit takes one after the other.
        let tiles = (self.unit_elements() / (classes * WIDTH)).clamp(1, inner.div_ceil(WIDTH));
        let strip_tiles = strip::tiles(self.plan.classes());
        let span = WIDTH * tiles.next_multiple_of(strip_tiles);
        let spans = Strided::<E>::tiles(inner, span);
        let units = shape.outer() * spans;
        let workers = self.executor.workers(units);
        let by_tile = route == Route::Tiles;
        let column = if by_tile { 0 } else { classes };
        let tile_length = planes::scratch_length(self.plan.classes());
        let single = if by_tile { strip_tiles * tile_length } else { single };
        let (mut singles, mut doubles) = (zeros(single * workers)?, zeros(double * workers)?);
        let mut all_blocks = zeros(blocks * workers)?;
        let (mut from, mut to) = (zeros::<E>(column * workers)?, zeros::<G>(column * workers)?);
        let strided = |numbers| typed!(numbers, x => Strided::new(x, 1, inner, span));
        let all = Columns::all(results);
        let outputs = (
            (
                grad.map(|grad| Strided::new(grad, classes, inner, span)),
                in_place.map(|x| Strided::new(x, classes, inner, span)),
            ),
            strided(all.losses),
            all.log_sum_exp.map(strided),
            all.log_probs.map(strided),
            all.predictions.map(|slice| Strided::new(slice, 1, inner, span)),
            (PerWorker::new(&mut singles, single), PerWorker::new(&mut doubles, double)),
            PerWorker::new(&mut all_blocks, blocks),
            (PerWorker::new(&mut from, column), PerWorker::new(&mut to, column)),
        );
        self.executor.run(units, self.cancel, outputs, |_, unit, parts| {
            let (
                (grad, in_place),
                mut losses,
                log_sum_exp,
                log_probs,
                predictions,
                scratch,
                blocks,
                (from, to),
            ) = parts;
            let (mut log_sum_exp, mut log_probs, mut predictions) = (log_sum_exp, log_probs, predictions);
            let (outer, start) = (unit / spans, unit % spans * span);
            let first = outer * classes * inner + start;
            let mut columns = Columns {
                losses: plane(&mut losses),
                log_sum_exp: log_sum_exp.as_mut().map(plane),
                log_probs: log_probs.as_mut().map(plane),
                predictions: predictions.as_mut().map(|planes| planes.plane(0)),
            };
            let end = columns.losses.len();
            let mut site = PlaneSite { logits, first, inner, classes, rows: 0..0, grad, in_place };
            let mut state = TileRows::new();
            let mut scratch = Scratch { single: scratch.0, double: scratch.1, blocks };
            for first in (0..end).step_by(strip_tiles * WIDTH) {
                let rows = first..end.min(first + strip_tiles * WIDTH);
                let first_row = outer * inner + start + first;
                let labels = &self.scan.classes[first_row..][..rows.len()];
                site.rows = rows.clone();
                // The type alone says so for f64, whose unit then holds no tile.
                let done = if by_tile && E::source(&[]).single().is_some() {
                    let columns = &mut columns.rows(rows.clone());
                    rules.strip::<I, E, G>(first_row, labels, &mut site, columns, &mut state, scratch.single)
                } else {
                    [false; TILES]
                };
                for (index, labels) in labels.chunks(WIDTH).enumerate().filter(|(index, _)| !done[*index]) {
                    let (skipped, end) = (index * WIDTH, index * WIDTH + labels.len());
                    let first_row = first_row + skipped;
                    site.rows = rows.start + skipped..rows.start + end;
                    let columns = &mut columns.rows(site.rows.clone());
                    if by_tile {
                        let scratch = &mut scratch.single[..tile_length];
                        rules.tile::<I, E, G, _>(first_row, labels, &mut site, columns, &mut state, scratch);
                    } else {
                        let row = (&mut *from, &mut *to);
                        rules.columns::<I, E, G>(first_row, labels, &mut site, columns, row, &mut scratch);
                    }
                }
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
        site: &mut PlaneSite<'_, '_, E, G>,
        columns: &mut Columns<'_>,
        (from, to): (&mut [E], &mut [G]),
        scratch: &mut Scratch<'_>,
    ) {
        for (row, label) in classes.iter().enumerate() {
            for (class, slot) in from.iter_mut().enumerate() {
                go_on(class);
                *slot = site.read(class)[row];
            }
            if let Some(grad) = &site.grad {
                for (class, slot) in to.iter_mut().enumerate() {
                    go_on(class);
                    *slot = grad.read(class)[site.rows.start + row];
                }
            }
            let access = match (&site.grad, &site.in_place) {
                (Some(_), _) => Access::Apart(E::source(from), G::target(to)),
                (None, Some(_)) => Access::InPlace(E::target(from)),
                (None, None) => Access::Loss(E::source(from)),
            };
            let values = self.row::<I>(first_row + row, *label, access, scratch);
            columns.put(row, &values);
            if let Some(grad) = &mut site.grad {
                for (class, value) in to.iter().enumerate() {
                    go_on(class);
                    grad.plane(class)[site.rows.start + row] = *value;
                }
            }
            if let Some(x) = &mut site.in_place {
                for (class, value) in from.iter().enumerate() {
                    go_on(class);
                    x.plane(class)[site.rows.start + row] = *value;
                }
            }
        }
    }
}
