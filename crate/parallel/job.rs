//! The protocol of one run: claim a unit, count it as done, wait for all. It knows nothing of rayon. Its atomics are those of
//! `super::sync` and its waiting is `super::host`'s, so that a test can put others in their place and try every order of steps.

use super::host::{SPINS, give_up_when_lost, wait_for_change, wake, watch};
use super::sync::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// What a helper holds. It outlives the run in the queue, so it owns its counters and keeps the run by address only.
pub(super) struct Job {
    next: AtomicUsize,
    done: AtomicU32,
    /// Signs of life of helpers inside long units; see [`progress`](super::progress).
    moved: AtomicU32,
    units: u32,
    failed: AtomicBool,
    run: *const (),
    unit: unsafe fn(*const (), usize, usize),
}

// SAFETY: `run` points to a `Run<P, F>` whose parts and work are Sync (bounds of `run`), and is used as `claim` says.
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}

impl Job {
    /// A job of so many units; `unit` runs one of `run`.
    ///
    /// # Safety
    /// Until [`Job::wait`] has returned, `unit` may be called with `run`, on any thread: once for each unit, and for one worker on one
    /// thread at a time, if [`Job::claim`] is called so.
    pub(super) unsafe fn new(units: u32, run: *const (), unit: unsafe fn(*const (), usize, usize)) -> Self {
        Job {
            next: AtomicUsize::new(0),
            done: AtomicU32::new(0),
            moved: AtomicU32::new(0),
            units,
            failed: AtomicBool::new(false),
            run,
            unit,
        }
    }

    /// Whether there may be a unit left to claim.
    pub(super) fn has_units(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.units as usize
    }

    /// Whether a unit panicked.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Claims a unit and runs it; false when none is left. After a panic the rest is claimed and skipped.
    pub(super) fn claim(&self, worker: usize) -> bool {
        let unit = self.next.fetch_add(1, Ordering::Relaxed);
        if unit >= self.units as usize {
            return false;
        }
        let _finished = Finished(self);
        if !self.failed.load(Ordering::Relaxed) {
            let _watched = watch(if worker == 0 { None } else { Some(&self.moved) });
            // SAFETY: this unit is claimed and not yet done, and `wait` keeps the caller, hence `run` and all that it
            // borrows, until `done` has counted it. That is why the lifetime of `run` may be erased. The counter gives
            // each unit out once; a worker index is used by one job of one run.
            unsafe { (self.unit)(self.run, worker, unit) };
        }
        true
    }

    /// Returns once every unit is done. In wasm it traps when that cannot happen any more.
    pub(super) fn wait(&self) {
        for _ in 0..SPINS {
            if self.done.load(Ordering::Acquire) == self.units {
                return;
            }
            std::hint::spin_loop();
        }
        let mut idle = 0;
        loop {
            let (seen, moved) = (self.done.load(Ordering::Acquire), self.moved.load(Ordering::Relaxed));
            if seen == self.units {
                return;
            }
            wait_for_change(&self.done, seen);
            let is_still =
                self.done.load(Ordering::Acquire) == seen && self.moved.load(Ordering::Relaxed) == moved;
            idle = if is_still { idle + 1 } else { 0 };
            give_up_when_lost(idle);
        }
    }
}

/// Counts a unit as done, also when it unwinds.
struct Finished<'a>(&'a Job);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        let job = self.0;
        if std::thread::panicking() {
            job.failed.store(true, Ordering::Relaxed);
        }
        // Release: what the unit wrote is there for the caller, whose wait acquires.
        if job.done.fetch_add(1, Ordering::Release) + 1 == job.units {
            wake(&job.done);
        }
    }
}
