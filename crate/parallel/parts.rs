//! Outputs that are handed out in parts which do not overlap. Knows nothing of threads: the promise "each unit once, each
//! worker index on one thread at a time" is what turns these raw pointers back into exclusive slices.

use std::marker::PhantomData;
use std::ops::Range;

/// Outputs of a run, cut by unit or by worker.
///
/// # Safety
/// For units below the checked number, the parts of two different units (or, for scratch, of two different workers) must
/// not overlap, and handing one out must not touch memory of another.
pub(crate) unsafe trait Parts: Sync {
    /// What one unit may write.
    type Part<'a>;

    /// Panics unless there is a part for every unit below `units` and every worker below `workers`.
    fn check(&self, units: usize, workers: usize);

    /// The part of `unit`, or of `worker` where the output is scratch.
    ///
    /// # Safety
    /// `unit` and `worker` are below the checked numbers; each unit is asked for at most once, and no two threads use one
    /// worker index at the same time; the part is dropped before the same worker's next one, and before the outputs.
    unsafe fn part<'a>(&self, worker: usize, unit: usize) -> Self::Part<'a>;
}

/// The memory of a `&mut [T]` as pointer and length, so that threads can share the right to cut it.
struct Span<'b, T> {
    start: *mut T,
    length: usize,
    borrow: PhantomData<&'b mut [T]>,
}

// SAFETY: sharing a span only shares the right to cut it; the pieces are `&mut [T]`, which may cross threads if T may.
unsafe impl<T: Send> Sync for Span<'_, T> {}

impl<'b, T> Span<'b, T> {
    fn new(slice: &'b mut [T]) -> Self {
        Span { start: slice.as_mut_ptr(), length: slice.len(), borrow: PhantomData }
    }

    /// # Safety
    /// `from <= to <= length`, and nothing else uses these elements during `'a`, which ends before `'b`.
    unsafe fn cut<'a>(&self, from: usize, to: usize) -> &'a mut [T] {
        debug_assert!(from <= to && to <= self.length, "a part must lie inside its buffer");
        // SAFETY: `from` is at most the length of the borrowed slice.
        let start = unsafe { self.start.add(from) };
        // SAFETY: inside the borrowed slice, and exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(start, to - from) }
    }
}

/// A buffer of rows side by side, `width` elements each; unit `i` writes the rows from `i * rows_per_unit`, the last unit
/// what is left.
pub(crate) struct Rows<'b, T> {
    span: Span<'b, T>,
    unit_length: usize,
}

impl<'b, T> Rows<'b, T> {
    /// Panics when `width` or `rows_per_unit` is 0 or the buffer is not a whole number of rows.
    pub(crate) fn new(buffer: &'b mut [T], width: usize, rows_per_unit: usize) -> Self {
        assert!(width > 0 && rows_per_unit > 0, "a unit needs rows, and a row needs elements");
        assert!(buffer.len().is_multiple_of(width), "the buffer holds whole rows");
        Rows { span: Span::new(buffer), unit_length: width.saturating_mul(rows_per_unit) }
    }
}

// SAFETY: unit i gets i * unit_length .. (i + 1) * unit_length, cut off at the end: disjoint for different units.
unsafe impl<T: Send + 'static> Parts for Rows<'_, T> {
    type Part<'a> = &'a mut [T];

    fn check(&self, units: usize, _workers: usize) {
        let held = self.span.length.div_ceil(self.unit_length);
        assert!(units <= held, "every unit needs rows to write");
    }

    unsafe fn part<'a>(&self, _worker: usize, unit: usize) -> &'a mut [T] {
        let from = unit * self.unit_length;
        let to = self.span.length.min(from.saturating_add(self.unit_length));
        // SAFETY: `check` made sure that `from` lies inside; only this unit has these rows.
        unsafe { self.span.cut(from, to) }
    }
}

/// A buffer of rows side by side, `width` elements each, every one of them cut into `pieces` of `length` elements; the last
/// piece of a row takes what is left, less or more. Unit `i` is piece `i % pieces` of row `i / pieces`.
pub(crate) struct Pieces<'b, T> {
    span: Span<'b, T>,
    width: usize,
    length: usize,
    pieces: usize,
}

impl<'b, T> Pieces<'b, T> {
    /// Panics when there are no pieces, a row has no element for the last of them, or the buffer is not a whole number of rows.
    pub(crate) fn new(buffer: &'b mut [T], width: usize, length: usize, pieces: usize) -> Self {
        assert!(pieces > 0 && (pieces - 1).saturating_mul(length) < width, "a piece needs elements");
        assert!(buffer.len().is_multiple_of(width), "the buffer holds whole rows");
        Pieces { span: Span::new(buffer), width, length, pieces }
    }
}

// SAFETY: the pieces of a row begin at multiples of `length` below `width` and end where the next begins or the row does.
unsafe impl<T: Send + 'static> Parts for Pieces<'_, T> {
    type Part<'a> = &'a mut [T];

    fn check(&self, units: usize, _workers: usize) {
        let held = self.span.length / self.width * self.pieces;
        assert!(units <= held, "every unit needs a piece to write");
    }

    unsafe fn part<'a>(&self, _worker: usize, unit: usize) -> &'a mut [T] {
        let (row, piece) = (unit / self.pieces, unit % self.pieces);
        let from = row * self.width + piece * self.length;
        let to = if piece + 1 == self.pieces { (row + 1) * self.width } else { from + self.length };
        // SAFETY: `check` made sure that the row lies inside; only this unit has this piece of it.
        unsafe { self.span.cut(from, to) }
    }
}

/// Scratch: `width` elements for each worker, kept from unit to unit. Give it a width of whole cache lines (64 bytes),
/// or the workers slow each other down.
pub(crate) struct PerWorker<'b, T> {
    span: Span<'b, T>,
    width: usize,
}

impl<'b, T> PerWorker<'b, T> {
    /// The buffer must hold `width` elements for each of [`Executor::workers`](super::Executor::workers).
    pub(crate) fn new(buffer: &'b mut [T], width: usize) -> Self {
        PerWorker { span: Span::new(buffer), width }
    }
}

// SAFETY: worker w gets w * width .. (w + 1) * width: disjoint for different workers.
unsafe impl<T: Send + 'static> Parts for PerWorker<'_, T> {
    type Part<'a> = &'a mut [T];

    fn check(&self, _units: usize, workers: usize) {
        let needed = workers.checked_mul(self.width);
        assert!(needed.is_some_and(|n| n <= self.span.length), "every worker needs its own scratch");
    }

    unsafe fn part<'a>(&self, worker: usize, _unit: usize) -> &'a mut [T] {
        let from = worker * self.width;
        // SAFETY: `check` made sure that it lies inside; only this worker has it, and one part at a time.
        unsafe { self.span.cut(from, from + self.width) }
    }
}

/// A buffer `[outer][classes][inner]`, cut into tiles of `width` positions along `inner`. Unit `i` is tile `i % tiles` of
/// outer position `i / tiles`, with all of its classes; the last tile of an outer position is what is left.
/// With `classes = 1` it cuts a per-row buffer `[outer][inner]` in the same way.
/// It may be limited to a range of positions along `inner`, the same in each outer position.
pub(crate) struct Strided<'b, T> {
    span: Span<'b, T>,
    classes: usize,
    inner: usize,
    width: usize,
    tiled: Range<usize>,
}

impl<'b, T> Strided<'b, T> {
    /// Panics when a size is 0 or the buffer is not a whole number of outer positions.
    pub(crate) fn new(buffer: &'b mut [T], classes: usize, inner: usize, width: usize) -> Self {
        assert!(classes > 0 && inner > 0 && width > 0, "a tile needs classes and positions");
        let outer_length = classes.checked_mul(inner);
        assert!(
            outer_length.is_some_and(|n| buffer.len().is_multiple_of(n)),
            "the buffer holds whole outer positions"
        );
        Strided { span: Span::new(buffer), classes, inner, width, tiled: 0..inner }
    }

    /// The tiles of the positions `tiled` alone. Panics when there are none, or they do not lie inside.
    pub(crate) fn within(self, tiled: Range<usize>) -> Self {
        assert!(!tiled.is_empty() && tiled.end <= self.inner, "the tiles lie inside");
        Strided { tiled, ..self }
    }

    /// Tiles of one outer position.
    pub(crate) fn tiles(inner: usize, width: usize) -> usize {
        inner.div_ceil(width)
    }
}

// SAFETY: a unit is one (outer, tile); its elements have that outer index and an inner index inside that tile, which lies in
// `tiled` and so in the outer position: no two units share an element, and `Planes` reaches no others.
unsafe impl<T: Send + 'static> Parts for Strided<'_, T> {
    type Part<'a> = Planes<'a, T>;

    #[inline(never)] // as below, once for all runs that have such outputs
    fn check(&self, units: usize, _workers: usize) {
        let outer = self.span.length / (self.classes * self.inner);
        let held = outer.saturating_mul(Self::tiles(self.tiled.len(), self.width));
        assert!(units <= held, "every unit needs a tile to write");
    }

    #[inline(never)]
    unsafe fn part<'a>(&self, _worker: usize, unit: usize) -> Planes<'a, T> {
        let tiles = Self::tiles(self.tiled.len(), self.width);
        let (outer, tile) = (unit / tiles, unit % tiles);
        let start = self.tiled.start + tile * self.width;
        let offset = outer * self.classes * self.inner + start;
        Planes {
            // SAFETY: `check` made sure that the first element of the tile lies inside the borrowed slice.
            first: unsafe { self.span.start.add(offset) },
            classes: self.classes,
            inner: self.inner,
            width: self.width.min(self.tiled.end - start),
            borrow: PhantomData,
        }
    }
}

/// One tile of a [`Strided`] buffer: for each class the same `width` neighbouring positions.
pub(crate) struct Planes<'a, T> {
    first: *mut T,
    classes: usize,
    inner: usize,
    width: usize,
    borrow: PhantomData<&'a mut [T]>,
}

impl<'a, T> Planes<'a, T> {
    /// The tile's elements of the first class, for as long as the tile is lent.
    pub(crate) fn into_plane(self) -> &'a mut [T] {
        let start = self.start(0);
        // SAFETY: as in `plane`; the value that owns the tile ends here.
        unsafe { std::slice::from_raw_parts_mut(start, self.width) }
    }

    /// The tile's elements of `class`, to write (and to read, where the call is in place). Panics past the last class.
    #[inline]
    pub(crate) fn plane(&mut self, class: usize) -> &mut [T] {
        let start = self.start(class);
        // SAFETY: `width` elements from `start` lie in the tile, which this value owns; `&mut self` makes them unique.
        unsafe { std::slice::from_raw_parts_mut(start, self.width) }
    }

    /// The tile's elements of `class`, to read. Panics past the last class.
    #[inline]
    pub(crate) fn read(&self, class: usize) -> &[T] {
        let start = self.start(class);
        // SAFETY: `width` elements from `start` lie in the tile, which this value owns; writing needs `&mut self`.
        unsafe { std::slice::from_raw_parts(start, self.width) }
    }

    /// The tile's elements of `N` neighbouring classes, to write. Panics past the last class.
    #[inline]
    pub(crate) fn neighbours<const N: usize>(&mut self, first: usize) -> [&mut [T]; N] {
        std::array::from_fn(|k| {
            let start = self.start(first + k);
            // SAFETY: as in `plane`; a class is handed out once, and no two share an element.
            unsafe { std::slice::from_raw_parts_mut(start, self.width) }
        })
    }

    #[inline]
    fn start(&self, class: usize) -> *mut T {
        assert!(class < self.classes, "a plane is a class of the tile");
        // SAFETY: class < classes, so this is an element of the same outer position.
        unsafe { self.first.add(class * self.inner) }
    }
}

// SAFETY: there is nothing to write.
unsafe impl Parts for () {
    type Part<'a> = ();

    fn check(&self, _units: usize, _workers: usize) {}

    unsafe fn part<'a>(&self, _worker: usize, _unit: usize) -> Self::Part<'a> {}
}

// SAFETY: the parts are those of the outputs themselves, which are lent for the run.
unsafe impl<P: Parts> Parts for &P {
    type Part<'a> = P::Part<'a>;

    #[inline(never)] // compiled once, for all runs
    fn check(&self, units: usize, workers: usize) {
        (**self).check(units, workers);
    }

    #[inline(never)]
    unsafe fn part<'a>(&self, worker: usize, unit: usize) -> Self::Part<'a> {
        // SAFETY: the caller's promise, passed on.
        unsafe { (**self).part(worker, unit) }
    }
}

// SAFETY: the parts are those of the inner outputs, or nothing.
unsafe impl<P: Parts> Parts for Option<P> {
    type Part<'a> = Option<P::Part<'a>>;

    fn check(&self, units: usize, workers: usize) {
        if let Some(outputs) = self {
            outputs.check(units, workers);
        }
    }

    unsafe fn part<'a>(&self, worker: usize, unit: usize) -> Self::Part<'a> {
        // SAFETY: the caller's promise, passed on.
        self.as_ref().map(|outputs| unsafe { outputs.part(worker, unit) })
    }
}

/// What there is of one of the number types, which is known at run time: numbers, outputs to cut, or a part of them.
#[derive(Debug, Clone, Copy)]
pub enum Typed<F32, F64, F16, Bf16> {
    F32(F32),
    F64(F64),
    F16(F16),
    Bf16(Bf16),
}

// SAFETY: the parts are those of the one output that there is.
unsafe impl<A: Parts, B: Parts, C: Parts, D: Parts> Parts for Typed<A, B, C, D> {
    type Part<'a> = Typed<A::Part<'a>, B::Part<'a>, C::Part<'a>, D::Part<'a>>;

    #[inline(never)] // once for all runs that have such outputs
    fn check(&self, units: usize, workers: usize) {
        match self {
            Typed::F32(outputs) => outputs.check(units, workers),
            Typed::F64(outputs) => outputs.check(units, workers),
            Typed::F16(outputs) => outputs.check(units, workers),
            Typed::Bf16(outputs) => outputs.check(units, workers),
        }
    }

    #[inline(never)]
    unsafe fn part<'a>(&self, worker: usize, unit: usize) -> Self::Part<'a> {
        match self {
            // SAFETY: the caller's promise, passed on; so below.
            Typed::F32(outputs) => Typed::F32(unsafe { outputs.part(worker, unit) }),
            // SAFETY: as above.
            Typed::F64(outputs) => Typed::F64(unsafe { outputs.part(worker, unit) }),
            // SAFETY: as above.
            Typed::F16(outputs) => Typed::F16(unsafe { outputs.part(worker, unit) }),
            // SAFETY: as above.
            Typed::Bf16(outputs) => Typed::Bf16(unsafe { outputs.part(worker, unit) }),
        }
    }
}

macro_rules! tuple_of_parts {
    ($($name:ident $index:tt),+) => {
        // SAFETY: each field borrows a buffer of its own and keeps its own promise.
        unsafe impl<$($name: Parts),+> Parts for ($($name,)+) {
            type Part<'a> = ($($name::Part<'a>,)+);

            fn check(&self, units: usize, workers: usize) {
                $(self.$index.check(units, workers);)+
            }

            unsafe fn part<'a>(&self, worker: usize, unit: usize) -> Self::Part<'a> {
                (
                    // SAFETY: the caller's promise, passed on.
                    $(unsafe { self.$index.part(worker, unit) },)+
                )
            }
        }
    };
}

tuple_of_parts!(A 0, B 1);
tuple_of_parts!(A 0, B 1, C 2);
tuple_of_parts!(A 0, B 1, C 2, D 3);
tuple_of_parts!(A 0, B 1, C 2, D 3, E 4);
tuple_of_parts!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple_of_parts!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple_of_parts!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
