//! Who does the work: fixed units, run by the caller alone or by the caller and rayon's threads, writing to disjoint
//! parts of the outputs. May import `rayon` and nothing of this crate. Guarantees: every unit runs exactly once or the
//! run is reported as stopped, and what a unit may write overlaps with nothing that another unit may write.
//!
//! One run, plainly:
//!
//! ```text
//! for unit in 0..units { work(0, unit, outputs.part(0, unit)) }
//! ```
//!
//! What [`Executor::Rayon`] does instead, and why:
//!  1. The caller works too, and a unit belongs to whoever claims it from one atomic counter: a run is never slower than
//!     its slowest unit because a thread was late to wake.
//!  2. The caller waits for claimed units, not for helpers. A helper that comes late finds nothing to claim and touches
//!     nothing but the counter, which it owns a share of.
//!  3. Rayon is asked for a thread (`rayon::spawn`) and for nothing else: its own joins wait without a time limit, so a
//!     helper that dies in wasm would hang the caller.
//!  4. In wasm the wait is timed. A helper that trapped (its worker stores `POISON`) or that gave no sign of life for two
//!     seconds ends the run with a trap: no code of the caller goes on while a lost helper may still write. A finished unit is
//!     such a sign; in a longer one [`progress`] is.
//!  5. At most as many jobs are queued or running as the pool has threads. Without the count, short runs one after the
//!     other would pile jobs up in rayon's queue while its threads still wake. The caller asks again after each of its
//!     own units, so a long run behind short ones gets its helpers.
//!  6. In wasm a helper without work stays awake for a moment, so that calls one after the other need not wake it.
//!
//! What this costs: a unit should stay under about 10 ms and must not stay longer without [`progress`]; it must not allocate,
//! lock or wait, and its results must not depend on which worker ran it.
#![expect(
    unsafe_code,
    reason = "units write to parts of one buffer that the borrow checker cannot tell apart"
)]

#[cfg(feature = "threads")]
mod host;
#[cfg(feature = "threads")]
mod job;
mod parts;
#[cfg(feature = "threads")]
mod pool;
#[cfg(feature = "threads")]
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
}
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use parts::{Parts, PerWorker, Pieces, Planes, Rows, Strided, Typed};
#[cfg(all(feature = "js", target_arch = "wasm32"))]
pub(crate) use {host::POISON, pool::nap};

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Who runs the blocks of a call. A value, not a build: both are in one binary, and results are the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// The calling thread alone. Never touches rayon and never waits, so it is legal on a browser's main thread.
    #[default]
    Serial,
    /// The calling thread and up to `threads - 1` threads of rayon's current pool (the global one, or that of the
    /// `ThreadPool::install` the call is made in); never more than the pool has. 0 and 1 mean the calling thread alone, and
    /// so does a call too small to be shared.
    ///
    /// ```
    /// use sparse_xent::{CrossEntropy, Executor, Logits, Shape};
    ///
    /// let x: Vec<f32> = (0..1024 * 1000).map(|i| (i % 251) as f32 / 16.0).collect();
    /// let labels: Vec<u16> = (0..1024).map(|row| row % 1000).collect();
    /// let logits = Logits::new(&x, Shape::new(&[1024, 1000], -1)?)?;
    /// let alone = CrossEntropy::new().forward(&logits, &labels)?;
    /// let threads = std::thread::available_parallelism().map_or(1, usize::from);
    /// let op = CrossEntropy::new().executor(Executor::Rayon { threads });
    /// assert_eq!(op.forward(&logits, &labels)?.loss.to_bits(), alone.loss.to_bits());
    /// # Ok::<(), sparse_xent::Error>(())
    /// ```
    #[cfg(feature = "threads")]
    Rayon {
        /// How many threads may work on one call, the calling thread included.
        threads: usize,
    },
}

/// Elements of a long row after which [`progress`] is called: well under a millisecond of any work.
pub(crate) const STEP: usize = 1 << 16;

/// A sign of life. A unit that takes longer than others, such as a row of many millions of classes, calls it now and then, so that the
/// waiting caller can tell it from a unit that hangs. It does something in wasm only, on the thread of a helper.
#[inline(always)]
pub(crate) fn progress() {
    #[cfg(feature = "threads")]
    host::progress();
    #[cfg(test)]
    tests::PROGRESS.set(tests::PROGRESS.get() + 1);
}

/// A sign of life before some of the pieces of a row, which have so many elements each.
#[inline(always)]
pub(crate) fn go_on(piece: usize, elements: usize) {
    if piece > 0 && piece.is_multiple_of(STEP / elements) {
        progress();
    }
}

/// The pieces of a row of this many elements, with a sign of life between them.
#[inline(always)]
pub(crate) fn steps(length: usize) -> impl Iterator<Item = core::ops::Range<usize>> {
    (0..length).step_by(STEP).map(move |start| {
        if start > 0 {
            progress();
        }
        start..length.min(start + STEP)
    })
}

/// Why a run ended before all of its units were done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// A helper panicked; in wasm: the pool was lost in an earlier run.
    #[cfg_attr(not(feature = "threads"), expect(dead_code, reason = "without helpers none is lost"))]
    Lost,
    /// The cancel flag was seen before some unit; the units before it have been written.
    Cancelled,
}

/// Nanoseconds of work that a run must have for each of its threads. A run with less than twice as much is not shared.
///
/// Waking a helper takes the caller some 10 µs, and the helper's first unit begins some 30 µs after the run. In calls that follow one
/// another, helpers are awake still. Sharing shorter calls would pay there, but not where the caller itself slept, or another program has
/// the other core: some 65 µs are then lost, however short the call is. The part `threads` of the benches has the figures.
#[cfg(feature = "threads")]
const SHARE: f64 = 100_000.0;

/// How many units each thread of a run has, unless they would be too small. With fewer and larger units, a thread that is done early finds
/// none to take over.
#[cfg(feature = "threads")]
const UNITS: usize = 16;

impl Executor {
    /// The executor for a run that takes one thread this many nanoseconds: threads only where each has enough to do.
    #[cfg_attr(
        not(feature = "threads"),
        expect(unused_variables, reason = "a serial run is serial whatever it takes")
    )]
    pub(crate) fn for_work(self, nanoseconds: f64) -> Self {
        match self {
            Executor::Serial => Executor::Serial,
            #[cfg(feature = "threads")]
            Executor::Rayon { threads } => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "saturates, and is not negative"
                )]
                let worth = (nanoseconds / SHARE) as usize;
                match threads.min(worth) {
                    0 | 1 => Executor::Serial,
                    threads => Executor::Rayon { threads },
                }
            }
        }
    }

    /// How many workers a run of `units` units uses; worker indices are below it. At least 1.
    #[cfg_attr(
        not(feature = "threads"),
        expect(unused_variables, reason = "the caller alone, whatever the units")
    )]
    pub(crate) fn workers(self, units: usize) -> usize {
        match self {
            Executor::Serial => 1,
            #[cfg(feature = "threads")]
            Executor::Rayon { threads } => 1 + pool::helpers(threads, units),
        }
    }

    /// How many of `all` elements a unit has, `most` at most: a run that threads share has many units for each of them, so that none
    /// waits long for the last one.
    #[cfg_attr(not(feature = "threads"), expect(unused_variables, reason = "the caller has them all"))]
    pub(crate) fn unit(self, all: usize, most: usize) -> usize {
        match self {
            Executor::Serial => most,
            #[cfg(feature = "threads")]
            Executor::Rayon { threads } => (all / (UNITS * threads)).clamp(most / 8, most),
        }
    }

    /// Calls `work(worker, unit, part)` once for each unit in `0..units`, in any order and on any thread.
    ///
    /// `worker` is 0 for the caller and unique among the threads of this run; `part` is what `outputs` grants to that
    /// worker and unit. A non-zero `cancel` stops the run before the next unit.
    ///
    /// Panics when `outputs` are too small for `units`, and passes on a panic of `work` on the calling thread.
    pub(crate) fn run<P, F>(
        self,
        units: usize,
        cancel: Option<&AtomicI32>,
        outputs: P,
        work: F,
    ) -> Result<(), Stopped>
    where
        P: Parts,
        F: for<'a> Fn(usize, usize, P::Part<'a>) + Sync,
    {
        let workers = self.workers(units);
        outputs.check(units, workers);
        let run = Run { outputs, work, cancel, skipped: AtomicBool::new(false) };
        match self {
            #[cfg(feature = "threads")]
            Executor::Rayon { .. } if workers > 1 => pool::run(units, workers - 1, &run)?,
            _ => {
                for unit in 0..units {
                    // SAFETY: this loop is the only caller, on one thread: worker 0, each unit once.
                    unsafe { run.unit(0, unit) };
                }
            }
        }
        if run.skipped.into_inner() { Err(Stopped::Cancelled) } else { Ok(()) }
    }
}

/// What the threads of one run share.
struct Run<'c, P, F> {
    outputs: P,
    work: F,
    cancel: Option<&'c AtomicI32>,
    skipped: AtomicBool,
}

impl<P, F> Run<'_, P, F>
where
    P: Parts,
    F: for<'a> Fn(usize, usize, P::Part<'a>) + Sync,
{
    /// # Safety
    /// At most once per `unit`, below the units that `outputs` were checked for; `worker` is below the checked number
    /// of workers and no other thread uses it at the same time.
    unsafe fn unit(&self, worker: usize, unit: usize) {
        if self.cancel.is_some_and(|flag| flag.load(Ordering::Relaxed) != 0) {
            self.skipped.store(true, Ordering::Relaxed);
            return;
        }
        // SAFETY: the caller's promise is the one that `part` asks for; the part ends with this call, since `work`
        // takes it for any lifetime and so cannot keep it.
        let part = unsafe { self.outputs.part(worker, unit) };
        (self.work)(worker, unit, part);
    }
}
