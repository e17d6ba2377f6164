//! The system's allocator, which `faults.rs` stands in for in the build of the tests.

use core::alloc::Layout;
use std::alloc::{GlobalAlloc, System};

/// The address of fresh bytes, or null.
///
/// # Safety
/// The size is not 0.
pub(super) unsafe fn allocate(layout: Layout) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { System.alloc(layout) }
}

/// # Safety
/// `address` is what `allocate` returned for this layout, given back once.
pub(super) unsafe fn release(address: *mut u8, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { System.dealloc(address, layout) }
}
