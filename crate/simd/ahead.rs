//! Memory that is needed soon, asked for among arithmetic.
//!
//! A processor foresees the next line of memory where it is read in order, and only a few lines at a time: between two tiles the kernels
//! wait. A prefetch waits for nothing, but only so many can be on their way: a tile's all at once are slower than none, and one for each
//! vector of exponentials brings them for nothing. Wasm has no such instruction: there this is nothing.
//!
//! Loss and gradient in AVX2 (AMD EPYC Genoa VM, one thread, ns per logit): 65536 rows of 33 classes 0.76 without and 0.60 with it, as
//! 4096 rows take, which the caches hold; all at once takes 1.2 times as long as without. 33 planes of 512x512: 1.01 and 0.85. Planes are
//! asked for one after the other: going through all of them for each vector of rows took twice as long at 96 planes, whose pages are more
//! than the processor keeps at hand.
//!
//! Stores past the caches, which fetch no line of the gradient, are no help: from a row of scratch they took loss and gradient of
//! 512x32000 from 0.26 to 0.49 in AVX2 (another AMD EPYC VM).

#[cfg(target_arch = "x86_64")]
use super::x86;

/// The first address, and the bytes from one plane to the next and from one vector to the next in it.
#[cfg(target_arch = "x86_64")]
type Lines = (*const u8, [usize; 2]);
#[cfg(not(target_arch = "x86_64"))]
type Lines = ();

/// The cache lines of a tile, as many floats at each step as a vector has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead(Lines);

impl Ahead {
    /// Memory that begins with this element, where there is one, in planes that begin `stride` elements apart; and how many elements
    /// are a step.
    #[inline(always)]
    pub(crate) fn planes<'a, T: 'a>(
        first: impl FnOnce() -> Option<&'a T>,
        stride: usize,
        step: usize,
    ) -> Self {
        Self::new(first, [stride, step].map(|elements| elements * size_of::<T>()))
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn new<'a, T: 'a>(first: impl FnOnce() -> Option<&'a T>, steps: [usize; 2]) -> Self {
        first().map_or_else(Self::nothing, |first| Self((core::ptr::from_ref(first).cast(), steps)))
    }

    /// Nothing: what is asked for is at hand.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn nothing() -> Self {
        static AT_HAND: u8 = 0;
        Self((&raw const AT_HAND, [0; 2]))
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    fn new<'a, T: 'a>(_first: impl FnOnce() -> Option<&'a T>, _steps: [usize; 2]) -> Self {
        Self(())
    }

    /// Nothing.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(crate) fn nothing() -> Self {
        Self(())
    }

    /// Asks for the line of a step; a plane has so many.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn ask(self, step: usize, steps: usize) {
        let Self((first, [by_plane, by_step])) = self;
        x86::prefetch(first.wrapping_add(step / steps * by_plane + step % steps * by_step));
    }

    /// Does nothing.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(crate) fn ask(self, _step: usize, _steps: usize) {}
}
