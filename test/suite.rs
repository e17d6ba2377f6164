//! The tests of the crate's public surface, in one program: the crate is generic, so every program compiles its kernels again.
//! One part of them runs as `cargo test --test suite routes::`.

mod bound;
mod digest;
mod draw;
mod support;

mod conformance;
mod digests;
mod distribution;
mod errors;
mod fuzz;
mod golden;
mod inlining;
mod linear;
mod mutants;
mod pool;
mod properties;
mod reference;
mod routes;
mod sigmoid;
mod special;
mod threads;
mod vectors;
