//! Strips of planes: see [`crate::kernels::planes::strip`].

use super::rules::{Columns, Rules};
use super::strided::PlaneSite;
use super::tile::{Site, TileRows};
use crate::element::{Element, GradElement};
use crate::kernels::objective::{Line, WIDTH};
use crate::kernels::planes::strip::{self, Planes, TILES};
use crate::kernels::planes::{Small, Tile, scratch_length};
use crate::parallel;
use crate::simd::Isa;
use core::ops::Range;

/// Logits that caches hold, 16 MB of them: their tiles are faster one by one.
const CACHED: usize = 1 << 22;

/// The planes of a strip.
struct Strip<'s, 'a, 'p, E, G> {
    site: &'s mut PlaneSite<'a, 'p, E, G>,
    /// The first row of its first tile, among those of the unit.
    start: usize,
    /// Whether the gradient is added to what is there.
    adds: bool,
    /// What stands for the gradient's memory where nothing may be written yet.
    nowhere: [Line; 4],
}

/// Neighbouring planes, where they are in single precision.
#[inline(always)]
fn single<'s, T: Element, const N: usize>(
    planes: &'s mut parallel::Planes<'_, T>,
    class: usize,
    rows: &Range<usize>,
) -> Option<[&'s mut Line; N]> {
    T::source(&[]).single()?;
    Some(planes.group::<N>(class).map(|plane| {
        let plane = T::target(&mut plane[rows.clone()]).into_single().and_then(|plane| plane.try_into().ok());
        plane.expect("a whole tile in single precision")
    }))
}

#[inline(always)]
fn scatter<T: Element>(
    planes: &mut parallel::Planes<'_, T>,
    start: usize,
    labels: &[i32; WIDTH],
    gradient: &[f32],
    adds: bool,
) {
    each(labels, |row, class| {
        if let Some(plane) = T::target(planes.plane(class)).into_single() {
            let g = &mut plane[start + row];
            *g = match gradient[row] {
                0.0 if adds => *g,
                value if adds => *g + value,
                value => value,
            };
        }
    });
}

/// Each row with a label.
#[inline(always)]
fn each(labels: &[i32; WIDTH], mut f: impl FnMut(usize, usize)) {
    for (row, label) in labels.iter().enumerate() {
        if let Ok(class) = usize::try_from(*label) {
            f(row, class);
        }
    }
}

impl<E: Element, G: GradElement<E>> Strip<'_, '_, '_, E, G> {
    fn rows(&self, tile: usize) -> Range<usize> {
        let start = self.start + tile * WIDTH;
        start..start + WIDTH
    }
}

impl<E: Element, G: GradElement<E>> Planes for Strip<'_, '_, '_, E, G> {
    #[inline(always)]
    fn group<const N: usize>(&mut self, class: usize, tile: usize) -> ([&Line; N], [&mut Line; N]) {
        let rows = self.rows(tile);
        let PlaneSite { logits, first, inner, grad, in_place, .. } = &mut *self.site;
        let in_place = in_place.as_ref();
        let planes = core::array::from_fn(|k| {
            let x = match in_place {
                Some(planes) => &planes.read(class + k)[rows.clone()],
                None => &logits[*first + (class + k) * *inner..][rows.clone()],
            };
            E::source(x).single().and_then(|x| x.try_into().ok()).expect("a whole tile in single precision")
        });
        let apart = grad.as_mut().filter(|_| !self.adds).and_then(|planes| single(planes, class, &rows));
        let nowhere = self.nowhere.first_chunk_mut().expect("as many lines as there are classes in a group");
        (planes, apart.unwrap_or_else(|| nowhere.each_mut()))
    }

    fn gather(&self, tile: usize, labels: &[i32; WIDTH], logits: &mut [f32]) {
        let rows = self.rows(tile);
        let PlaneSite { logits: x, first, inner, in_place, .. } = &*self.site;
        match in_place {
            Some(planes) => each(labels, |row, class| {
                logits[row] =
                    E::source(planes.read(class)).single().map_or(f32::NAN, |plane| plane[rows.start + row]);
            }),
            None => {
                let x = E::source(&x[first + rows.start..]).single().unwrap_or_default();
                each(labels, |row, class| logits[row] = x[class * inner + row]);
            }
        }
    }

    #[inline(always)]
    fn gradient<const N: usize>(&mut self, class: usize, tile: usize) -> Option<[&mut Line; N]> {
        let rows = self.rows(tile);
        match (&mut self.site.grad, &mut self.site.in_place) {
            (Some(planes), _) => single(planes, class, &rows),
            (None, Some(planes)) => single(planes, class, &rows),
            (None, None) => None,
        }
    }

    fn scatter(&mut self, tile: usize, labels: &[i32; WIDTH], gradient: &[f32], adds: bool) {
        let start = self.rows(tile).start;
        match (&mut self.site.grad, &mut self.site.in_place) {
            (Some(planes), _) => scatter(planes, start, labels, gradient, adds),
            (None, Some(planes)) => scatter(planes, start, labels, gradient, adds),
            (None, None) => {}
        }
    }
}

impl Rules<'_> {
    /// Computes those whole tiles of a strip whose rows are of small logits, and says which they are. The first tile is
    /// the site's; `classes` are those of all.
    #[inline(never)]
    pub(super) fn strip<I: Isa, E: Element, G: GradElement<E>>(
        &self,
        first_row: usize,
        classes: &[i32],
        site: &mut PlaneSite<'_, '_, E, G>,
        columns: &mut Columns<'_>,
        state: &mut TileRows,
        scratch: &mut [f32],
    ) -> [bool; TILES] {
        let mut done = [false; TILES];
        let labels = classes.as_chunks::<WIDTH>().0;
        let count = labels.len();
        let is_large = self.plan.shape.rows() * self.plan.classes() > CACHED;
        // Where memory can be asked for ahead, tile by tile is as fast.
        let pays = is_large && count > 1 && (!I::PREFETCHES || site.grad.is_some() && !self.accumulate);
        let may_be = Small::may_be(&self.plan.objective) && self.plan.kept.is_none();
        if !pays || !may_be || columns.predictions.is_some() || !state.guesses_strip() {
            return done;
        }
        let mut parts = scratch.chunks_exact_mut(scratch_length(self.plan.classes()));
        let mut tiles: [Tile<'_>; TILES] =
            core::array::from_fn(|_| Tile::new::<I>(parts.next().expect("scratch for a strip"), WIDTH));
        let wants_gradient = site.wants_gradient();
        let adds = self.accumulate;
        let mut strip = Strip { start: site.rows.start, adds, nowhere: [[0.0; WIDTH]; 4], site };
        strip::sweep::<I>(&mut tiles[..count], labels, &mut strip, wants_gradient);
        for (index, tile) in tiles.iter_mut().enumerate().take(count) {
            let rows = index * WIDTH..(index + 1) * WIDTH;
            let (first_row, classes) = (first_row + rows.start, &classes[rows.clone()]);
            let all_count = self.prepare(first_row, classes, state);
            let small = Small::new(&state.rows.step, self.plan.classes(), &self.plan.objective);
            if !tile.settle::<I>(&state.label, &small, &strip, index) {
                continue;
            }
            let mut columns = columns.rows(rows);
            self.come_to::<I>(
                first_row,
                classes,
                &tile.stats(),
                (all_count, wants_gradient),
                &mut columns,
                state,
            );
            done[index] = !wants_gradient || tile.keep::<I>(&state.rows);
        }
        state.fits_strip = 2 * done.iter().filter(|done| **done).count() >= count;
        if wants_gradient {
            strip::write::<I>(&mut tiles[..count], labels, &mut strip, adds);
        }
        done
    }
}
