//! The protocol of the pool, tried in every order that its steps can come in: each unit runs once, the caller sees what it wrote, and a
//! helper that comes late touches nothing of the run.
#![expect(unsafe_code, reason = "the protocol is what unsafe code relies on")]
#![expect(dead_code, reason = "the sources of the crate have more than these tests use")]

/// Loom's atomics in place of the system's.
mod sync {
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
}

/// Waiting is letting others go on.
mod host {
    use super::sync::AtomicU32;

    pub(super) const SPINS: u32 = 1;

    pub(super) fn wait_for_change(_word: &AtomicU32, _seen: u32) {
        loom::thread::yield_now();
    }

    pub(super) fn wake(_word: &AtomicU32) {}

    pub(super) struct Watched;

    pub(super) fn watch(_moved: Option<&AtomicU32>) -> Watched {
        Watched
    }

    pub(super) fn give_up_when_lost(_idle: u32) {}
}

#[path = "../crate/parallel/job.rs"]
mod job;

use job::Job;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// What a run borrows: a cell for each unit, in which loom notices two accesses that no order keeps apart.
struct Borrowed {
    cells: Vec<UnsafeCell<usize>>,
}

/// # Safety
/// `run` is the address of a `Borrowed` that is alive; no other thread uses this unit.
unsafe fn unit(run: *const (), worker: usize, unit: usize) {
    // SAFETY: the caller's promise.
    let run = unsafe { &*run.cast::<Borrowed>() };
    run.cells[unit].with_mut(|cell| {
        // SAFETY: the caller's promise; loom checks it.
        unsafe { *cell += 1 + 10 * worker }
    });
}

/// A run of so many units, on the caller and so many helpers, in every order.
fn is_sound(units: u32, helpers: usize) {
    loom::model(move || {
        let run = Box::new(Borrowed { cells: (0..units).map(|_| UnsafeCell::new(0)).collect() });
        // SAFETY: `run` lives until `wait` has returned; worker 0 is this thread, and each helper has a number of its own.
        let job = Arc::new(unsafe { Job::new(units, std::ptr::from_ref(&*run).cast(), unit) });
        let helpers: Vec<_> = (1..=helpers)
            .map(|worker| {
                let job = Arc::clone(&job);
                thread::spawn(move || while job.claim(worker) {})
            })
            .collect();
        while job.claim(0) {}
        job.wait();
        // All is the caller's again, though helpers may not have come yet: to read it is to be after every unit.
        for cell in &run.cells {
            // SAFETY: no unit is left; loom checks it.
            let value = cell.with(|cell| unsafe { *cell });
            assert_eq!(value % 10, 1, "a unit runs once: {value}");
        }
        assert!(!job.has_failed(), "nothing panicked");
        drop(run);
        for helper in helpers {
            helper.join().expect("a helper that found nothing to do");
        }
    });
}

#[test]
fn one_helper_and_units_to_share() {
    is_sound(1, 1);
    is_sound(2, 1);
    is_sound(3, 1);
}

#[test]
fn two_helpers_and_too_few_units() {
    is_sound(1, 2);
    is_sound(2, 2);
}
