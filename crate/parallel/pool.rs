//! One run with helpers from rayon: claim, count, wait. The reasons are in the header of `parallel`.

#[cfg(all(feature = "js", target_arch = "wasm32"))]
use super::host::wait_for_change;
use super::host::{ASKED, POISON, linger};
use super::job::Job;
use super::{Parts, Run, Stopped};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
#[cfg(all(feature = "js", target_arch = "wasm32"))]
use std::sync::atomic::AtomicU32;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Jobs that were given to rayon and have not ended, stale ones included.
static OUTSTANDING: AtomicUsize = AtomicUsize::new(0);

/// Helpers for a run: never more than the other units, and never more than the pool has.
pub(super) fn helpers(threads: usize, units: usize) -> usize {
    let wanted = threads.min(units).saturating_sub(1);
    // Asking rayon starts its pool, so only when a helper is wanted.
    if wanted == 0 { 0 } else { wanted.min(rayon::current_num_threads()) }
}

/// Runs all units with up to `helpers` helpers. `Lost` when a helper panicked or the pool had been lost before.
pub(super) fn run<P, F>(units: usize, helpers: usize, run: &Run<'_, P, F>) -> Result<(), Stopped>
where
    P: Parts,
    F: for<'a> Fn(usize, usize, P::Part<'a>) + Sync,
{
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
    // SAFETY: `run` is borrowed until this returns, and its outputs have been checked for these units and workers.
    unsafe { drive(units, helpers, std::ptr::from_ref(run).cast(), unit::<P, F>) }
}

/// As [`run`], once for all types.
///
/// # Safety
/// Until this returns, `unit` may be called with `run`, on any thread and as `Run::unit`.
#[inline(never)]
unsafe fn drive(
    units: usize,
    helpers: usize,
    run: *const (),
    unit: unsafe fn(*const (), usize, usize),
) -> Result<(), Stopped> {
    if POISON.load(Ordering::Relaxed) != 0 {
        return Err(Stopped::Lost);
    }
    let units = u32::try_from(units).expect("units are blocks of rows, of which there are fewer than 2^31");
    // SAFETY: the caller's promise; worker 0 is this thread, and each other worker one helper.
    let job = Arc::new(unsafe { Job::new(units, run, unit) });
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
        None if job.has_failed() => Err(Stopped::Lost),
        None => Ok(()),
    }
}

/// Gives rayon the jobs that are still missing, as far as the pool has threads that do not hold one already.
/// Returns how many helpers of this job have been asked for; helper `n` is worker `n`.
fn ask_for_helpers(job: &Arc<Job>, mut asked: usize, helpers: usize) -> usize {
    while asked < helpers && job.has_units() {
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

/// Waits as long as a caller waits at a time: for what pretends to work.
#[cfg(all(feature = "js", target_arch = "wasm32"))]
pub(crate) fn nap() {
    static NEVER: AtomicU32 = AtomicU32::new(0);
    wait_for_change(&NEVER, 0);
}
