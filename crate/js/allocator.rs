//! The allocator of the wasm: the system's, with reserves for what must not be refused.
//!
//! Memory for tensors and for a call's own vectors may be refused: the call is an error then, and nothing has been written. What
//! rayon queues and what a thread's start needs is asked for in the middle of things. A refusal there would be a trap that leaves a
//! pool half told or the start of all later threads locked. So the stack of a thread is set aside before the thread is started, and
//! small requests that the system refuses are met from memory that is part of the module.

use super::system;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use wasm_bindgen::prelude::wasm_bindgen;

#[global_allocator]
static ALLOCATOR: WithReserve = WithReserve;

struct WithReserve;

/// Room for what rayon allocates in a run: for each helper a job and its share of the run, of at most 256 helpers.
static FINE: Slots<512, 64> = Slots::new();
/// Room for the blocks of rayon's queue, each of which holds 63 jobs, and for the data of a thread.
static COARSE: Slots<32, 2048> = Slots::new();

// SAFETY: addresses come from the system's allocator, from slots of static memory that one owner has at a time, or from stacks
// that were allocated before and are handed out once. Each goes back to where it came from.
unsafe impl GlobalAlloc for WithReserve {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(stack) = take_stack(layout) {
            return stack;
        }
        // SAFETY: the caller's promise.
        let address = unsafe { system::allocate(layout) };
        if !address.is_null() {
            return address;
        }
        FINE.take(layout).or_else(|| COARSE.take(layout)).unwrap_or(null_mut())
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        if !FINE.give_back(address) && !COARSE.give_back(address) {
            // SAFETY: it is no slot, so it came from the system; the rest is the caller's promise.
            unsafe { system::release(address, layout) }
        }
    }
}

/// Static memory in pieces of one size.
#[repr(align(64))]
struct Slots<const COUNT: usize, const BYTES: usize> {
    room: UnsafeCell<[[u8; BYTES]; COUNT]>,
    is_taken: [AtomicBool; COUNT],
}

// SAFETY: a slot is used by who set its flag, until the flag is cleared.
unsafe impl<const COUNT: usize, const BYTES: usize> Sync for Slots<COUNT, BYTES> {}

impl<const COUNT: usize, const BYTES: usize> Slots<COUNT, BYTES> {
    const fn new() -> Self {
        Self {
            room: UnsafeCell::new([[0; BYTES]; COUNT]),
            is_taken: [const { AtomicBool::new(false) }; COUNT],
        }
    }

    fn take(&self, layout: Layout) -> Option<*mut u8> {
        if layout.size() > BYTES || layout.align() > 64 {
            return None;
        }
        // Acquire: what the last owner did with the slot comes before.
        let slot = self.is_taken.iter().position(|taken| !taken.swap(true, Ordering::Acquire))?;
        Some(self.room.get().cast::<u8>().wrapping_add(slot * BYTES))
    }

    /// Whether it was one of the slots.
    fn give_back(&self, address: *mut u8) -> bool {
        let offset = address.addr().wrapping_sub(self.room.get().addr());
        let Some(taken) = self.is_taken.get(offset / BYTES) else { return false };
        taken.store(false, Ordering::Release);
        true
    }
}

/// The addresses of the stacks that are set aside, one for each thread that may start. 0 stands for none.
static STACKS: [AtomicUsize; 256] = [const { AtomicUsize::new(0) }; 256];
/// How many bytes each of them has.
static STACK_BYTES: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Sets `count` stacks of this many bytes aside, so that as many threads can be started even if memory has run out by then. Stacks that were
/// set aside before and not used count. Returns whether there was room.
#[wasm_bindgen]
pub fn reserve_stacks(count: usize, bytes: usize) -> bool {
    STACK_BYTES.store(bytes, Ordering::Relaxed);
    let Ok(layout) = Layout::from_size_align(bytes, 64) else { return false };
    for stack in &STACKS[..count.min(STACKS.len())] {
        if stack.load(Ordering::Relaxed) == 0 {
            // SAFETY: a stack has bytes.
            let address = unsafe { system::allocate(layout) }.expose_provenance();
            if address == 0 {
                return false;
            }
            stack.store(address, Ordering::Release);
        }
    }
    true
}

/// The alignment that wasm-bindgen asks for a stack. Nothing else here asks for it.
const STACK_ALIGNMENT: usize = 16;

/// A stack that was set aside, where one is asked for.
fn take_stack(layout: Layout) -> Option<*mut u8> {
    if layout.align() != STACK_ALIGNMENT || layout.size() != STACK_BYTES.load(Ordering::Relaxed) {
        return None;
    }
    let taken = STACKS.iter().map(|stack| stack.swap(0, Ordering::Acquire)).find(|address| *address != 0);
    taken.map(core::ptr::with_exposed_provenance_mut)
}
