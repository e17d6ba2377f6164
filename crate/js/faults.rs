//! The system's allocator for the tests: it refuses on demand, and knows whether anyone wrote beside what was given out.

use core::alloc::Layout;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::{GlobalAlloc, System};

/// What lies before and, at least, behind every allocation; the gap up to the next multiple of it belongs to the canary too.
const CANARY: usize = 64;
const PATTERN: u8 = 0xa5;

/// Requests since [`command`] said so, and the first of them to be refused; 0 for none.
static ASKED: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);
/// How many from the first one on are refused.
static LENGTH: AtomicUsize = AtomicUsize::new(0);
/// Canaries that were found written.
static BROKEN: AtomicUsize = AtomicUsize::new(0);

/// What the tests ask for by `inject_fault`, `kind` from 16 on. 16: refuse the request number `value` from now on, and no other; 17:
/// that and all after it; 18: how many requests there were, and refuse none; 19: how many canaries were found written.
/// The answers to 18 and 19 begin at 100, above every code.
pub(super) fn command(kind: u32, value: usize) -> u32 {
    let answer = match kind {
        16 | 17 => {
            ASKED.store(0, Ordering::Relaxed);
            LENGTH.store(if kind == 16 { 1 } else { usize::MAX }, Ordering::Relaxed);
            REFUSED.store(value, Ordering::Relaxed);
            return 0;
        }
        18 => {
            REFUSED.store(0, Ordering::Relaxed);
            ASKED.load(Ordering::Relaxed)
        }
        _ => BROKEN.load(Ordering::Relaxed),
    };
    u32::try_from(answer).map_or(u32::MAX, |answer| answer.saturating_add(100))
}

/// The layout with canaries, and where in it the caller's part begins.
fn guarded(layout: Layout) -> Option<(Layout, usize)> {
    let front = CANARY.max(layout.align());
    let size = layout.size().checked_next_multiple_of(CANARY)?.checked_add(front + CANARY)?;
    Some((Layout::from_size_align(size, layout.align()).ok()?, front))
}

/// # Safety
/// As of the system's.
pub(super) unsafe fn allocate(layout: Layout) -> *mut u8 {
    let first = REFUSED.load(Ordering::Relaxed);
    let number = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
    if first != 0 && number >= first && number - first < LENGTH.load(Ordering::Relaxed) {
        return null_mut();
    }
    let Some((whole, front)) = guarded(layout) else { return null_mut() };
    // SAFETY: the size is not 0.
    let start = unsafe { System.alloc(whole) };
    if start.is_null() {
        return start;
    }
    // SAFETY: these bytes were just given out.
    unsafe { start.write_bytes(PATTERN, front) };
    // SAFETY: they lie inside.
    let address = unsafe { start.add(front) };
    // SAFETY: as before.
    let end = unsafe { address.add(layout.size()) };
    // SAFETY: what is left of the allocation.
    unsafe { end.write_bytes(PATTERN, whole.size() - front - layout.size()) };
    address
}

/// # Safety
/// As of the system's.
pub(super) unsafe fn release(address: *mut u8, layout: Layout) {
    let Some((whole, front)) = guarded(layout) else { return };
    // SAFETY: `allocate` returned this address, which has `front` bytes before it.
    let start = unsafe { address.sub(front) };
    // SAFETY: the whole allocation, which nobody uses any more.
    let bytes = unsafe { core::slice::from_raw_parts(start, whole.size()) };
    let (before, rest) = bytes.split_at(front);
    if !before.iter().chain(&rest[layout.size()..]).all(|byte| *byte == PATTERN) {
        BROKEN.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: from the system, with this layout, given back once.
    unsafe { System.dealloc(start, whole) }
}
