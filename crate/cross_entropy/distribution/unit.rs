//! The rows of a unit in the type that they are looked at in: single or double precision.

use super::super::deliver;
use super::super::plan::{Kept, Plan};
use super::{TILE, ToldOf};
use crate::element::{Element, Source, Target};
use crate::kernels::distribution::{Spread, are_numbers, of_double, of_single, rank, top};
use crate::kernels::softcap::Softcap;
use crate::parallel::Planes;
use crate::simd::{Isa, arrays};
use core::ops::{Mul, Range, Sub};

/// The type that a row is looked at in, and told.
pub(super) trait Wide: Element + PartialOrd + Sub<Output = Self> + Mul<Output = Self> {
    /// The numbers as they lie, where they are of this type.
    fn lying_mut<'s>(x: &'s mut Target<'_>) -> Option<&'s mut [Self]>;
    /// Copies the kept classes of a row.
    fn gather(x: Source<'_>, kept: Option<&Kept>, to: &mut [Self]);
    fn cap<I: Isa>(softcap: &Softcap, x: &mut [Self]);
    fn spread<I: Isa>(x: &[Self], scale: f64, wants_entropy: bool) -> Spread<Self>;
    fn scratch<'s>(singles: &'s mut [f32], doubles: &'s mut [f64]) -> &'s mut [Self];
}

impl Wide for f32 {
    fn lying_mut<'s>(x: &'s mut Target<'_>) -> Option<&'s mut [f32]> {
        x.single()
    }
    fn gather(x: Source<'_>, kept: Option<&Kept>, to: &mut [f32]) {
        deliver::gather(x, kept, to);
    }
    fn cap<I: Isa>(softcap: &Softcap, x: &mut [f32]) {
        softcap.cap::<I>(x);
    }
    fn spread<I: Isa>(x: &[f32], scale: f64, _: bool) -> Spread<f32> {
        of_single::<I>(x, scale)
    }
    fn scratch<'s>(singles: &'s mut [f32], _: &'s mut [f64]) -> &'s mut [f32] {
        singles
    }
}

impl Wide for f64 {
    fn lying_mut<'s>(x: &'s mut Target<'_>) -> Option<&'s mut [f64]> {
        if let Target::F64(x) = x { Some(x) } else { None }
    }
    fn gather(x: Source<'_>, kept: Option<&Kept>, to: &mut [f64]) {
        deliver::gather_double(x, kept, to);
    }
    fn cap<I: Isa>(softcap: &Softcap, x: &mut [f64]) {
        softcap.cap_double(x);
    }
    fn spread<I: Isa>(x: &[f64], scale: f64, wants_entropy: bool) -> Spread<f64> {
        of_double(x, scale, wants_entropy)
    }
    fn scratch<'s>(_: &'s mut [f32], doubles: &'s mut [f64]) -> &'s mut [f64] {
        doubles
    }
}

/// What one unit tells of its rows.
pub(super) struct Unit<'t, 'a, W> {
    plan: &'t Plan<'t>,
    k: usize,
    values: Option<&'a mut [W]>,
    classes: Option<&'a mut [i32]>,
    rank: Option<&'a mut [i32]>,
    entropy: Option<&'a mut [W]>,
    log_probs: Option<Planes<'a, W>>,
    copy: &'a mut [W],
    /// Whether the last row is looked at.
    is_looked_at: bool,
}

/// The functions of a [`Unit`] that do not depend on its type. Some rows are copied at a time, `count` classes of each. A row's `offset` is
/// its place among the rows that are copied.
pub(super) trait Tile<I: Isa> {
    /// Copies the kept classes of a row that lie side by side.
    fn gather(&mut self, x: Source<'_>, kept: Option<&Kept>);
    /// Copies the logits that some rows have for one class. `place` is the class's place among the kept ones.
    fn gather_plane(&mut self, x: Source<'_>, place: usize, count: usize);
    /// Tells of a row that was copied, and replaces the copy by its log-probabilities. `label` is the label's place among the kept classes;
    /// a row without one is not looked at, and its results are NaN and -1.
    fn row(&mut self, row: usize, offset: usize, label: Option<usize>);
    /// Writes the log-probabilities of a row to where they belong.
    fn put(&mut self, row: usize, kept: Option<&Kept>);
    /// The same for one class of some rows. `place` is its place among the kept classes, if it is kept. Rows that were not looked at get NaN.
    fn put_plane(&mut self, class: usize, rows: Range<usize>, place: Option<usize>, looked_at: &[bool; TILE]);
}

impl<'t, 'a, W: Wide> Unit<'t, 'a, W> {
    pub(super) fn new(
        plan: &'t Plan<'t>,
        (values, classes, rank, entropy, log_probs, copy): ToldOf<'a, W>,
    ) -> Self {
        Self {
            plan,
            k: plan.options.outputs.top_k,
            values: values.map(Planes::into_plane),
            classes: classes.map(Planes::into_plane),
            rank: rank.map(Planes::into_plane),
            entropy: entropy.map(Planes::into_plane),
            log_probs,
            copy,
            is_looked_at: false,
        }
    }
}

impl<I: Isa, W: Wide> Tile<I> for Unit<'_, '_, W> {
    fn gather(&mut self, x: Source<'_>, kept: Option<&Kept>) {
        W::gather(x, kept, &mut self.copy[..self.plan.classes()]);
    }

    fn gather_plane(&mut self, x: Source<'_>, place: usize, count: usize) {
        let mut line = [W::default(); TILE];
        let line = &mut line[..x.len()];
        W::gather(x, None, line);
        let slots = self.copy[place..].iter_mut().step_by(count);
        slots.zip(line).for_each(|(slot, value)| *slot = *value);
    }

    fn row(&mut self, row: usize, offset: usize, label: Option<usize>) {
        let count = self.plan.classes();
        let copy = core::mem::take(&mut self.copy);
        let x = &mut copy[offset * count..(offset + 1) * count];
        self.is_looked_at = label.is_some();
        self.order(row, label, x);
        if let Some(softcap) = &self.plan.softcap {
            W::cap::<I>(softcap, x);
        }
        self.numbers::<I>(row, label, x);
        self.copy = copy;
    }

    fn put(&mut self, row: usize, kept: Option<&Kept>) {
        let (count, all) = (self.plan.classes(), self.plan.shape.classes());
        let Some(log_probs) = &mut self.log_probs else { return };
        let (into, x) = (&mut log_probs.plane(0)[row * all..(row + 1) * all], &self.copy[..count]);
        let Some(kept) = kept else { return into.copy_from_slice(x) };
        // A row that was not looked at is NaN at the masked classes too.
        let absent = if self.is_looked_at { f64::NEG_INFINITY } else { f64::NAN };
        into.fill(W::from_f64(absent));
        kept.classes.iter().zip(x).for_each(|(class, x)| into[*class as usize] = *x);
    }

    fn put_plane(
        &mut self,
        class: usize,
        rows: Range<usize>,
        place: Option<usize>,
        looked_at: &[bool; TILE],
    ) {
        let count = self.plan.classes();
        let Some(log_probs) = &mut self.log_probs else { return };
        let slots = log_probs.plane(class)[rows].iter_mut();
        let Some(place) = place else {
            let absent = |is_known: bool| W::from_f64(if is_known { f64::NEG_INFINITY } else { f64::NAN });
            return slots.zip(looked_at).for_each(|(slot, is_known)| *slot = absent(*is_known));
        };
        slots.zip(self.copy[place..].iter().step_by(count)).for_each(|(slot, x)| *slot = *x);
    }
}

impl<W: Wide> Unit<'_, '_, W> {
    /// Finds what depends on the order of the logits alone, which are as they were given: the label's rank, and the largest ones. Instead of
    /// the classes of those it leaves their places among the kept classes.
    #[inline(never)]
    fn order(&mut self, row: usize, label: Option<usize>, x: &[W]) {
        if self.rank.is_none() && self.classes.is_none() {
            return;
        }
        let label = label.filter(|_| are_numbers(x));
        if let Some(ranks) = &mut self.rank {
            let rank = label.and_then(|label| i32::try_from(rank(x, label)).ok());
            ranks[row] = rank.unwrap_or(-1);
        }
        if let Some(classes) = &mut self.classes {
            let slots = &mut classes[row * self.k..(row + 1) * self.k];
            if label.is_some() { top(x, slots) } else { slots.fill(-1) }
        }
    }

    /// Computes the entropy and the log-probabilities: those of the largest classes, whose places it replaces by their classes, and those of
    /// all classes, which take the place of their logits. All are NaN for a row that is not looked at.
    #[inline(never)]
    fn numbers<I: Isa>(&mut self, row: usize, label: Option<usize>, x: &mut [W]) {
        if self.values.is_none() && self.entropy.is_none() && self.log_probs.is_none() {
            return;
        }
        let spread = match label {
            Some(_) => W::spread::<I>(x, self.plan.options.logit_scale, self.entropy.is_some()),
            None => Spread::nan(),
        };
        if let Some(entropy) = &mut self.entropy {
            entropy[row] = W::from_f64(spread.entropy);
        }
        if let (Some(values), Some(classes)) = (&mut self.values, &mut self.classes) {
            let places = row * self.k..(row + 1) * self.k;
            for (value, slot) in values[places.clone()].iter_mut().zip(&mut classes[places]) {
                // Where there are fewer classes than `k`, the other places get the log-probability of a class without probability.
                let place = usize::try_from(*slot).ok();
                *value = spread.log_prob(place.map_or(W::from_f64(f64::NEG_INFINITY), |place| x[place]));
                *slot = place.map_or(-1, |place| self.plan.class_at(place));
            }
        }
        if self.log_probs.is_some() {
            arrays::update(x, |x| spread.log_prob(x));
        }
    }
}
