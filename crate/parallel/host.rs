//! How a thread of the pool waits, and knows that another one lives: in wasm with the instructions for that, natively by giving the
//! core away.

use std::sync::atomic::{AtomicI32, AtomicUsize};

pub(super) use imp::{SPINS, give_up_when_lost, linger, progress, wait_for_change, wake, watch};

/// Not zero: the pool of this wasm memory is lost and every entry refuses. JavaScript stores it too (a helper trapped, the
/// engine was disposed). Any value but 0 counts: a helper that overflowed its stack may have written over it.
/// Native runs leave it alone.
pub(crate) static POISON: AtomicI32 = AtomicI32::new(0);

/// Jobs that were given to rayon, ever: by its changes a helper without work sees the next one.
pub(super) static ASKED: AtomicUsize = AtomicUsize::new(0);

#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
mod imp {
    use super::{ASKED, POISON};
    use core::arch::wasm32::{memory_atomic_notify, memory_atomic_wait32};
    use std::cell::Cell;
    use std::ptr::null;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// `POISON` of a helper that finished nothing for too long.
    const STALLED: i32 = 2;
    /// One wait, in nanoseconds: how late a trapped helper is seen.
    const SLICE: i64 = 50_000_000;
    /// Waits without a finished unit or a sign of life after which a helper counts as stalled. The host wakes late, so that these
    /// are two seconds on a busy machine. Waits are counted, not time, so that a machine which sleeps in the middle of a run does
    /// not lose its engine.
    const PATIENCE: u32 = 35;

    thread_local! {
        /// Where this thread gives its signs of life while it helps.
        static MOVED: Cell<*const AtomicU32> = const { Cell::new(null()) };
    }

    /// A unit that is watched until this is dropped.
    pub(crate) struct Watched;

    pub(crate) fn watch(moved: Option<&AtomicU32>) -> Watched {
        MOVED.set(moved.map_or(null(), std::ptr::from_ref));
        Watched
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            MOVED.set(null());
        }
    }

    pub(crate) fn progress() {
        let moved = MOVED.get();
        if !moved.is_null() {
            // SAFETY: `watch` was given it by a job that outlives the unit, and the unit has not ended.
            unsafe { &*moved }.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Loads of [`ASKED`] before a helper without work goes to sleep: some tens of microseconds. Calls that follow one another find it
    /// awake, and a host that has other things to do loses little.
    const LINGER: u32 = 200_000;

    /// Loads of `done` before the caller goes to sleep. They take about as long as a unit of a helper does, since waking the caller takes
    /// as long again. In wasm a load is all that a turn does. The part `threads` of the benches shows what they bring.
    pub(crate) const SPINS: u32 = 40_000;

    /// Waits awhile for the next job.
    pub(crate) fn linger(seen: usize) {
        for _ in 0..LINGER {
            if ASKED.load(Ordering::Relaxed) != seen {
                return;
            }
        }
    }

    // Not inlined: with the wait inside the loop, V8 11.3 (Node 20) never leaves the loop when a helper stalls.
    #[inline(never)]
    pub(crate) fn wait_for_change(word: &AtomicU32, seen: u32) {
        // SAFETY: the address of a live, aligned atomic word.
        unsafe { memory_atomic_wait32(word.as_ptr().cast(), seen.cast_signed(), SLICE) };
    }

    pub(crate) fn wake(word: &AtomicU32) {
        // SAFETY: the address of a live, aligned atomic word.
        unsafe { memory_atomic_notify(word.as_ptr().cast(), 1) };
    }

    /// Traps when a helper is lost: it may be inside a unit still, so nothing that it could write to may be freed, and
    /// nothing may be answered. JavaScript sees the trap and buries the engine.
    pub(crate) fn give_up_when_lost(idle: u32) {
        if idle >= PATIENCE {
            POISON.store(STALLED, Ordering::Relaxed);
        }
        if POISON.load(Ordering::Relaxed) != 0 {
            std::process::abort();
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "atomics")))]
mod imp {
    use std::sync::atomic::AtomicU32;

    /// As in wasm, where a turn takes less.
    pub(crate) const SPINS: u32 = 2_000;

    /// Units are short, and a native helper always finishes or panics: giving the core away is enough.
    pub(crate) fn wait_for_change(_word: &AtomicU32, _seen: u32) {
        std::thread::yield_now();
    }

    pub(crate) fn wake(_word: &AtomicU32) {}

    /// Does nothing: rayon's threads belong to the program and stay awake for a while by themselves.
    pub(crate) fn linger(_seen: usize) {}

    /// A unit; nobody watches.
    pub(crate) struct Watched;

    pub(crate) fn watch(_moved: Option<&AtomicU32>) -> Watched {
        Watched
    }

    #[inline(always)]
    pub(crate) fn progress() {}

    /// Never: returning while a helper is inside a unit would leave it with dangling borrows.
    pub(crate) fn give_up_when_lost(_idle: u32) {}
}
