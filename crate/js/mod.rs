//! Everything that JavaScript calls. Private to the crate: these functions look safe and trust addresses, so no Rust
//! caller may reach them. The TypeScript package has checked dtypes, shapes, ranges and overlaps before it calls.
#![expect(unsafe_code, reason = "addresses from JavaScript become slices here")]
#![expect(unreachable_pub, reason = "wasm-bindgen exports these; Rust does not")]

#[cfg(not(target_feature = "atomics"))]
compile_error!("the wasm builds share their memory between threads: compile with +atomics");

mod allocator;
mod call;
mod fields;
mod heap;
mod pool;
#[cfg_attr(feature = "faults", path = "faults.rs")]
mod system;

use wasm_bindgen::prelude::wasm_bindgen;

/// The version of the crate.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Which build this is.
#[wasm_bindgen]
pub fn build_name() -> String {
    if cfg!(target_feature = "relaxed-simd") { "relaxed" } else { "simd" }.to_owned()
}

/// Whether multiply-add rounds once here, which the relaxed build needs for its accuracy.
#[wasm_bindgen]
pub fn is_fused() -> bool {
    crate::simd::is_fused()
}
