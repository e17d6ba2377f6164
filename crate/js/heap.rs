//! Memory for tensors. Refusal is a plain value: the engine goes on.

use super::system;
use crate::cross_entropy::release;
use core::alloc::Layout;
use core::sync::atomic::{AtomicUsize, Ordering};
use wasm_bindgen::prelude::wasm_bindgen;

/// A cache line, and as much as any vector load wants.
const ALIGNMENT: usize = 64;

static USED: AtomicUsize = AtomicUsize::new(0);

/// The address of `bytes` fresh bytes, aligned to 64, or 0 where there is no room. No bytes at all have an address too.
#[wasm_bindgen]
pub fn alloc(bytes: usize) -> usize {
    if bytes == 0 {
        return ALIGNMENT;
    }
    let Ok(layout) = Layout::from_size_align(bytes, ALIGNMENT) else { return 0 };
    // Not from the reserves: they are not for what may be refused.
    // SAFETY: the size is not 0.
    let allocate = || unsafe { system::allocate(layout) }.expose_provenance();
    let mut address = allocate();
    if address == 0 && release() {
        address = allocate();
    }
    if address != 0 {
        USED.fetch_add(bytes, Ordering::Relaxed);
    }
    address
}

/// Gives back what `alloc` returned for the same number of bytes.
#[wasm_bindgen]
pub fn free(address: usize, bytes: usize) {
    let Ok(layout) = Layout::from_size_align(bytes, ALIGNMENT) else { return };
    if bytes == 0 || address == 0 {
        return;
    }
    USED.fetch_sub(bytes, Ordering::Relaxed);
    // SAFETY: the caller passes an address and size that `alloc` gave out, once.
    unsafe { system::release(core::ptr::with_exposed_provenance_mut(address), layout) }
}

/// Bytes given out and not given back.
#[wasm_bindgen]
pub fn used_bytes() -> usize {
    USED.load(Ordering::Relaxed)
}
