//! The pool as JavaScript sees it: start it, see and set its poison, and make it fail on purpose.

use crate::parallel::{Executor, POISON, nap, progress};
use std::sync::atomic::{AtomicBool, Ordering};
use wasm_bindgen::prelude::wasm_bindgen;

// This line makes the linker keep `initThreadPool(helpers)` and `wbg_rayon_start_worker(receiver)`. Rayon's pool lives in the shared memory:
// every engine has its own, and it serves each thread that has an instance over that memory.
use wasm_bindgen_rayon as _;

/// The code of a call that found the pool lost; see `codes` in the call block.
pub(super) const ENGINE_LOST: u32 = 13;

/// Whether the pool of this memory is lost. Every entry asks first, the serial ones too, so that a dead engine never
/// answers.
pub(super) fn is_lost() -> bool {
    POISON.load(Ordering::Relaxed) != 0
}

/// Address of the poison word (i32): 0 alive, else lost. 1: a helper trapped; 2: a helper stalled; 3: disposed. Shared
/// memory is never moved, so the address stays good.
#[wasm_bindgen]
pub fn control() -> usize {
    POISON.as_ptr().addr()
}

/// For the fault tests, which run against the files that ship: a parallel run on `threads` threads that goes wrong.
/// `kind` 0: it does not; 1: a helper traps; 2: a helper never returns; 3: the caller traps; 4: it does not, but the
/// first unit of a helper takes three seconds, with signs of life; 5: a helper does not return before the pool is lost, and traps then.
/// Not every browser can end a worker that loops, so that one of kind 2 would take a processor there for as long as the page is open.
/// Returns 0 when every unit was done, `ENGINE_LOST` when the pool was lost before, and otherwise not at all.
#[wasm_bindgen]
pub fn inject_fault(kind: u32, threads: usize) -> u32 {
    #[cfg(feature = "faults")]
    if kind >= 16 {
        return super::system::command(kind, threads);
    }
    if is_lost() {
        return ENGINE_LOST;
    }
    // Whether the caller and whether a helper has had a unit.
    let began = [AtomicBool::new(false), AtomicBool::new(threads < 2)];
    let result = Executor::Rayon { threads }.run(4_000, None, (), |worker, _, ()| {
        let side = worker.min(1);
        let is_first = !began[side].swap(true, Ordering::Relaxed);
        // About a millisecond a unit until the other side has one too: whoever is to fail gets its chance.
        for _ in 0..1_000_000 {
            if began[1 - side].load(Ordering::Relaxed) {
                break;
            }
            std::hint::spin_loop();
        }
        match kind {
            1 if worker != 0 => std::process::abort(),
            2 | 5 if worker != 0 => {
                while kind == 2 || !is_lost() {
                    std::hint::spin_loop();
                }
                std::process::abort();
            }
            3 if worker == 0 => std::process::abort(),
            4 if worker != 0 && is_first => {
                for _ in 0..60 {
                    nap();
                    progress();
                }
            }
            _ => {}
        }
    });
    if result.is_ok() { 0 } else { ENGINE_LOST }
}
