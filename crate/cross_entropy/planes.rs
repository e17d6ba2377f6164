//! The memory of planes: where a strip reads its logits, which may be copies, and where its gradient goes.

use super::plan::Kept;
use crate::element::{Element, Source, Target, typed};
use crate::kernels::objective::WIDTH;
use crate::kernels::planes::{STRIP, TOGETHER};
use crate::parallel::{Planes, Strided, Typed, go_on};
use core::array::from_fn;
use core::ops::Range;
use half::{bf16, f16};

/// Numbers in planes, cut by units.
pub(super) type TypedStrided<'a> =
    Typed<Strided<'a, f32>, Strided<'a, f64>, Strided<'a, f16>, Strided<'a, bf16>>;

/// The part of [`TypedStrided`] that belongs to one unit.
pub(super) type TypedPlanes<'a> = Typed<Planes<'a, f32>, Planes<'a, f64>, Planes<'a, f16>, Planes<'a, bf16>>;

/// `[outer][classes][inner]` numbers, cut into spans of `inner`.
pub(super) fn strided(numbers: Target<'_>, classes: usize, inner: usize, span: usize) -> TypedStrided<'_> {
    typed!(numbers, x => Strided::new(x, classes, inner, span))
}

impl TypedPlanes<'_> {
    pub(super) fn read(&self, class: usize) -> Source<'_> {
        typed!(self, planes => planes.read(class))
    }

    pub(super) fn plane(&mut self, class: usize) -> Target<'_> {
        typed!(self, planes => planes.plane(class))
    }
}

/// The planes of some rows of a unit.
pub(super) struct PlaneSite<'a, 'p> {
    /// All logits of the call; `None` where the gradient takes their place.
    pub(super) logits: Option<Source<'a>>,
    /// Index of the unit's first row in its first plane.
    pub(super) first: usize,
    pub(super) inner: usize,
    /// Which rows of the unit.
    pub(super) rows: Range<usize>,
    /// Where the gradient goes; without `logits`, it holds the logits too.
    pub(super) gradient: Option<TypedPlanes<'p>>,
    /// Whether the gradient is added to what is there.
    pub(super) adds: bool,
}

impl PlaneSite<'_, '_> {
    /// The logits of a class.
    pub(super) fn plane(&self, class: usize) -> Source<'_> {
        let rows = self.rows.clone();
        match (self.logits, &self.gradient) {
            (Some(x), _) => {
                let start = self.first + class * self.inner;
                x.part(start + rows.start..start + rows.end)
            }
            (None, Some(planes)) => planes.read(class).part(rows),
            (None, None) => Source::F32(&[]),
        }
    }

    /// The gradient's elements of a class; `None` where no gradient is wanted.
    pub(super) fn gradient(&mut self, class: usize) -> Option<Target<'_>> {
        let rows = self.rows.clone();
        let planes = self.gradient.as_mut()?;
        Some(typed!(planes, planes => &mut planes.plane(class)[rows]))
    }
}

/// The planes of a strip, as the kernel sees them.
pub(super) struct StripPlanes<'s, 'a, 'p> {
    pub(super) site: &'s mut PlaneSite<'a, 'p>,
    pub(super) kept: Option<&'s Kept>,
    /// Floats of a vector.
    pub(super) lanes: usize,
    /// [`TOGETHER`] lines of [`STRIP`] floats, for copies of what does not lie in whole vectors of single precision.
    pub(super) lines: &'s mut [f32],
}

/// The class at a position among those that are kept.
#[inline(always)]
fn class_of(kept: Option<&Kept>, position: usize) -> usize {
    kept.map_or(position, |kept| kept.classes[position] as usize)
}

/// Puts the logit of each row's label into `logits`; 0 where a row has none. `logit` is given a row and its label.
#[inline(always)]
fn pick(labels: &[i32], logits: &mut [f32], logit: impl Fn(usize, usize) -> f32) {
    let (logits, beyond) = logits.split_at_mut(labels.len());
    beyond.fill(0.0);
    for (row, (slot, label)) in logits.iter_mut().zip(labels).enumerate() {
        *slot = usize::try_from(*label).map_or(0.0, |position| logit(row, position));
    }
}

/// The memory of some rows in neighbouring planes.
#[inline(always)]
fn lying<'s>(
    planes: &'s mut Planes<'_, f32>,
    (first, count): (usize, usize),
    rows: &Range<usize>,
) -> [&'s mut [f32]; TOGETHER] {
    match count {
        TOGETHER => planes.neighbours::<TOGETHER>(first).map(|plane| &mut plane[rows.clone()]),
        2 => {
            let [a, b] = planes.neighbours::<2>(first).map(|plane| &mut plane[rows.clone()]);
            [a, b, &mut [], &mut []]
        }
        _ => [&mut planes.plane(first)[rows.clone()], &mut [], &mut [], &mut []],
    }
}

/// Writes a line of the gradient to its plane, or adds it where it is not -0.
fn store(line: &[f32], mut plane: Target<'_>, adds: bool) {
    if !adds {
        return plane.narrow(line);
    }
    let counts = |value: f32| value.to_bits() != (-0.0_f32).to_bits();
    if let Some(plane) = plane.single() {
        let each = plane.iter_mut().zip(line).filter(|(_, value)| counts(**value));
        return each.for_each(|(slot, value)| *slot += value);
    }
    for (row, value) in line.iter().enumerate().filter(|(_, value)| counts(**value)) {
        let before = plane.read().get(row);
        plane.set(row, before + f64::from(*value));
    }
}

impl StripPlanes<'_, '_, '_> {
    /// Whether all logits are in single precision, and no class is left out.
    fn lies(&self) -> bool {
        self.kept.is_none() && self.site.plane(0).single().is_some()
    }

    /// Copies logits to the lines, and fills these up with 0.
    fn widened(&mut self, first: usize, count: usize, rows: &Range<usize>) -> [&[f32]; TOGETHER] {
        let Self { site, kept, lines, .. } = self;
        let range = rows.start..rows.end.min(site.rows.len());
        for (k, line) in lines.chunks_mut(STRIP).enumerate().take(count) {
            let (line, beyond) = line[..rows.len()].split_at_mut(range.len());
            site.plane(class_of(*kept, first + k)).part(range.clone()).widen(line);
            beyond.fill(0.0);
        }
        let mut lines = lines.chunks(STRIP).map(|line| &line[..rows.len()]).take(count);
        from_fn(|_| lines.next().unwrap_or_default())
    }
}

impl crate::kernels::planes::Planes for StripPlanes<'_, '_, '_> {
    fn cut_logits(&mut self, first: usize, count: usize, rows: Range<usize>) -> [&[f32]; TOGETHER] {
        go_on(first, WIDTH);
        if !self.lies() {
            return self.widened(first, count, &rows);
        }
        let PlaneSite { logits, first: start, inner, rows: own, gradient, .. } = &*self.site;
        let rows = own.start + rows.start..own.end.min(own.start + rows.end);
        from_fn(|k| match (logits, gradient) {
            (Some(Source::F32(x)), _) if k < count => &x[start + (first + k) * inner..][rows.clone()],
            (None, Some(Typed::F32(planes))) if k < count => &planes.read(first + k)[rows.clone()],
            _ => &[],
        })
    }

    fn logits(&mut self, first: usize, count: usize, rows: Range<usize>) -> [&[f32]; TOGETHER] {
        if rows.end <= self.site.rows.len() {
            return self.cut_logits(first, count, rows);
        }
        self.widened(first, count, &rows)
    }

    fn gradient(&mut self, first: usize, count: usize, write: &mut dyn FnMut([&mut [f32]; TOGETHER], bool)) {
        go_on(first, WIDTH);
        let PlaneSite { logits, rows, gradient, adds, .. } = &mut *self.site;
        let adds = *adds && logits.is_some();
        let length = rows.len().next_multiple_of(self.lanes);
        if let Some(Typed::F32(planes)) = gradient
            && self.kept.is_none()
        {
            return write(lying(planes, (first, count), rows), adds);
        }
        let mut lines = self.lines.chunks_mut(STRIP).map(|line| &mut line[..length]);
        write(from_fn(|_| lines.next().unwrap_or_default()), false);
        for (k, line) in self.lines.chunks(STRIP).enumerate().take(count) {
            let line = &line[..self.site.rows.len()];
            if let Some(plane) = self.site.gradient(class_of(self.kept, first + k)) {
                store(line, plane, adds);
            }
        }
    }

    fn gather(&self, row: usize, labels: &[i32], logits: &mut [f32]) {
        let PlaneSite { logits: x, first, inner, rows, gradient, .. } = &*self.site;
        let own = rows.start + row;
        let start = first + own;
        if let (None, None, Some(Typed::F32(planes))) = (x, self.kept, gradient) {
            return pick(labels, logits, |row, at| planes.read(at)[own + row]);
        }
        match (x, self.kept) {
            (Some(Source::F32(x)), None) => {
                let (x, inner) = (&x[start..], *inner);
                pick(labels, logits, |row, at| x[at * inner + row]);
            }
            (Some(x), kept) => {
                pick(labels, logits, |row, at| f32::from_f64(x.get(start + class_of(kept, at) * inner + row)))
            }
            (None, kept) => pick(labels, logits, |own, at| {
                f32::from_f64(self.site.plane(class_of(kept, at)).get(row + own))
            }),
        }
    }

    fn clear(&mut self) {
        let Some(kept) = self.kept.filter(|_| !self.site.adds) else { return };
        for class in (0..kept.all()).filter(|class| kept.position(*class).is_none()) {
            if let Some(mut plane) = self.site.gradient(class) {
                plane.fill(0.0);
            }
        }
    }
}
