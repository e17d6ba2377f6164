//! In the place of `human-panic`, of which wasm-pack's library uses nothing.
