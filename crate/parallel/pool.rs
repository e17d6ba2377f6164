//! One run with helpers from rayon: claim, count, wait. The reasons are in the header of `parallel`.

use super::{Parts, Run, Stopped};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};

/// Not zero: the pool of this wasm memory is lost and every entry refuses. JavaScript stores it too (a helper trapped, the
/// engine was disposed). Any value but 0 counts: a helper that overflowed its stack may have written over it.
/// Native runs leave it alone.
pub(crate) static POISON: AtomicI32 = AtomicI32::new(0);

/// Jobs that were given to rayon and have not ended, stale ones included.
static OUTSTANDING: AtomicUsize = AtomicUsize::new(0);

/// Loads of `done` before the caller goes to sleep: about as long as a unit of a helper takes, since waking the caller takes as
/// long again. In wasm a load is all that a turn does. One row of 700,000 classes on two threads is 1.43 times as fast as on one
/// with 2,000 loads, and 1.58 times with these (loss, `relaxed`, Node 24, two cores of an AMD EPYC Genoa).
const SPINS: u32 = if cfg!(target_arch = "wasm32") { 40_000 } else { 2_000 };

/// Jobs that were given to rayon, ever: by its changes a helper without work sees the next one.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Helpers for a run: never more than the other units, and never more than the pool has.
pub(super) fn helpers(threads: usize, units: usize) -> usize {
    let wanted = threads.min(units).saturating_sub(1);
    // Asking rayon starts its pool, so only when a helper is wanted.
    if wanted == 0 { 0 } else { wanted.min(rayon::current_num_threads()) }
}

/// What a helper holds. It outlives the run in the queue, so it owns its counters and keeps the run by address only.
struct Job {
    next: AtomicUsize,
    done: AtomicU32,
    units: u32,
    failed: AtomicBool,
    run: *const (),
    unit: unsafe fn(*const (), usize, usize),
}

// SAFETY: `run` points to a `Run<P, F>` whose parts and work are Sync (bounds of `run`), and is used as `claim` says.
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}

/// Runs all units with up to `helpers` helpers. `Lost` when a helper panicked or the pool had been lost before.
pub(super) fn run<P, F>(units: usize, helpers: usize, run: &Run<'_, P, F>) -> Result<(), Stopped>
where
    P: Parts,
    F: for<'a> Fn(usize, usize, P::Part<'a>) + Sync,
{
    if POISON.load(Ordering::Relaxed) != 0 {
        return Err(Stopped::Lost);
    }
    /// # Safety
    /// `run` is the address of a live `Run<P, F>`; then as `Run::unit`.
    unsafe fn unit<P, F>(run: *const (), worker: usize, unit: usize)
    where
        P: Parts,
        F: for<'a> Fn(usize, usize, P::Part<'a>) + Sync,
    {
        // SAFETY: the caller's promise.
        let run = unsafe { &*run.cast::<Run<'_, P, F>>() };
        // SAFETY: the caller's promise.
        unsafe { run.unit(worker, unit) }
    }
    let job = Arc::new(Job {
        next: AtomicUsize::new(0),
        done: AtomicU32::new(0),
        units: u32::try_from(units).expect("units are blocks of rows, of which there are fewer than 2^31"),
        failed: AtomicBool::new(false),
        run: std::ptr::from_ref(run).cast(),
        unit: unit::<P, F>,
    });
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let mut asked = 0;
        loop {
            asked = ask_for_helpers(&job, asked, helpers);
            if !job.claim(0) {
                break;
            }
        }
    }))
    .err();
    if panic.is_some() {
        // The run is borrowed from this stack: what is left is skipped, what helpers hold is waited for.
        while job.claim(0) {}
    }
    job.wait();
    match panic {
        Some(panic) => resume_unwind(panic),
        None if job.failed.load(Ordering::Relaxed) => Err(Stopped::Lost),
        None => Ok(()),
    }
}

/// Gives rayon the jobs that are still missing, as far as the pool has threads that do not hold one already.
/// Returns how many helpers of this job have been asked for; helper `n` is worker `n`.
fn ask_for_helpers(job: &Arc<Job>, mut asked: usize, helpers: usize) -> usize {
    while asked < helpers && job.next.load(Ordering::Relaxed) < job.units as usize {
        if OUTSTANDING.fetch_add(1, Ordering::Relaxed) >= rayon::current_num_threads() {
            OUTSTANDING.fetch_sub(1, Ordering::Relaxed);
            break;
        }
        asked += 1;
        ASKED.fetch_add(1, Ordering::Relaxed);
        let (job, worker) = (Arc::clone(job), asked);
        rayon::spawn(move || {
            // A panic has been noted in the job; rayon would end the process for it.
            let _ = catch_unwind(AssertUnwindSafe(|| while job.claim(worker) {}));
            let seen = ASKED.load(Ordering::Relaxed);
            OUTSTANDING.fetch_sub(1, Ordering::Relaxed);
            linger(seen);
        });
    }
    asked
}

impl Job {
    /// Claims a unit and runs it; false when none is left. After a panic the rest is claimed and skipped.
    fn claim(&self, worker: usize) -> bool {
        let unit = self.next.fetch_add(1, Ordering::Relaxed);
        if unit >= self.units as usize {
            return false;
        }
        let _finished = Finished(self);
        if !self.failed.load(Ordering::Relaxed) {
            // SAFETY: this unit is claimed and not yet done, and `wait` keeps the caller, hence `run` and all that it
            // borrows, until `done` has counted it. That is why the lifetime of `run` may be erased. The counter gives
            // each unit out once; a worker index is used by one job of one run.
            unsafe { (self.unit)(self.run, worker, unit) };
        }
        true
    }

    /// Returns once every unit is done. In wasm it traps when that cannot happen any more.
    fn wait(&self) {
        for _ in 0..SPINS {
            if self.done.load(Ordering::Acquire) == self.units {
                return;
            }
            std::hint::spin_loop();
        }
        let mut idle = 0;
        loop {
            let seen = self.done.load(Ordering::Acquire);
            if seen == self.units {
                return;
            }
            wait_for_change(&self.done, seen);
            idle = if self.done.load(Ordering::Acquire) == seen { idle + 1 } else { 0 };
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

#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
mod host {
    use super::{ASKED, POISON};
    use core::arch::wasm32::{memory_atomic_notify, memory_atomic_wait32};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// `POISON` of a helper that finished nothing for too long.
    const STALLED: i32 = 2;
    /// One wait, in nanoseconds: how late a trapped helper is seen.
    const SLICE: i64 = 50_000_000;
    /// Waits without a finished unit after which a helper counts as stalled: 2 s. Waits are counted, not time, so that a
    /// machine which sleeps in the middle of a run does not lose its engine.
    const PATIENCE: u32 = 40;

    /// Loads of [`ASKED`] before a helper without work goes to sleep: some 60 µs on an AMD EPYC, so that calls one after the other find
    /// it awake, and a host that has other things to do loses little.
    const LINGER: u32 = 200_000;

    /// Waits awhile for the next job.
    pub(super) fn linger(seen: usize) {
        for _ in 0..LINGER {
            if ASKED.load(Ordering::Relaxed) != seen {
                return;
            }
        }
    }

    // Not inlined: with the wait inside the loop, V8 11.3 (Node 20) never leaves the loop when a helper stalls.
    #[inline(never)]
    pub(super) fn wait_for_change(word: &AtomicU32, seen: u32) {
        // SAFETY: the address of a live, aligned atomic word.
        unsafe { memory_atomic_wait32(word.as_ptr().cast(), seen.cast_signed(), SLICE) };
    }

    pub(super) fn wake(word: &AtomicU32) {
        // SAFETY: the address of a live, aligned atomic word.
        unsafe { memory_atomic_notify(word.as_ptr().cast(), 1) };
    }

    /// Traps when a helper is lost: it may be inside a unit still, so nothing that it could write to may be freed, and
    /// nothing may be answered. JavaScript sees the trap and buries the engine.
    pub(super) fn give_up_when_lost(idle: u32) {
        if idle >= PATIENCE {
            POISON.store(STALLED, Ordering::Relaxed);
        }
        if POISON.load(Ordering::Relaxed) != 0 {
            std::process::abort();
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "atomics")))]
mod host {
    use std::sync::atomic::AtomicU32;

    /// Units are short, and a native helper always finishes or panics: giving the core away is enough.
    pub(super) fn wait_for_change(_word: &AtomicU32, _seen: u32) {
        std::thread::yield_now();
    }

    pub(super) fn wake(_word: &AtomicU32) {}

    /// Not at all: rayon's threads are the program's, and are awake for a while by themselves.
    pub(super) fn linger(_seen: usize) {}

    /// Never: returning while a helper is inside a unit would leave it with dangling borrows.
    pub(super) fn give_up_when_lost(_idle: u32) {}
}

use host::{give_up_when_lost, linger, wait_for_change, wake};
