//! Sparse (integer-label) softmax cross-entropy: loss and gradient in one call, without one-hot.
//!
//! For logits `x` of one row with `K` classes and the integer label `y`,
//!
//! ```text
//! loss     = -ln softmax(x)[y] = ln(1 + sum over j != y of exp(x[j] - x[y]))
//! d x[i]   = softmax(x)[i] - [i == y]
//! ```
//!
//! and every option (class and sample weights, label smoothing, z-loss, focal, ...) only changes three scalars of the
//! row: `d x[i] = a * softmax(x)[i] + b + c * [i == y]`. So the vector kernels do two things, gather the statistics
//! of a row and write an affine map of its softmax, and [`CrossEntropy`]'s options never reach them. The page
//! [`derivation`] takes both formulas apart, step by step, and names the function of each.
//!
//! ```
//! use sparse_xent::{CrossEntropy, Logits, Shape};
//!
//! let logits = [1.0_f32, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0];
//! let labels = [0_i32, 3];
//! let shape = Shape::new(&[2, 4], -1)?; // two rows of four classes
//! let mut grad = [0.0_f32; 8];
//!
//! let op = CrossEntropy::new();
//! let out = op.forward_backward(&Logits::new(&logits, shape)?, &labels, &mut grad)?;
//! assert!((out.loss - 2.4132420).abs() < 1e-6); // mean of ln(1 + e + e^2 + e^3) and ln 4
//! assert!((grad[4] - 0.125).abs() < 1e-7); // softmax 1/4, half of it by the mean over two rows
//! # Ok::<(), sparse_xent::Error>(())
//! ```
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | the options, which rows count, infinities and NaN, errors | [`CrossEntropy`] and its methods |
//! | the class axis, of any layout | [`Shape`] |
//! | half precision | [`Element`] |
//! | label types | [`Labels`] |
//! | results | [`Output`] |
//! | threads | [`Executor`] |
//! | vector instructions, and which bits to expect | [`Kernel`] |
//! | independent yes-or-no targets | [`WeightedSigmoid`] |
//! | a classifier's last layer and its loss in one, logits never stored | [`LinearCrossEntropy`] |
//! | the definition, in plain f64 | [`mod@reference`] |
//!
//! Four programs, `cargo run --release --example` and one of: `train`, a classifier trained by the gradient;
//! `segmentation`, label maps with 33 classes, weights, a void label, a matrix of costs and the memory of both ways;
//! `token_log_probs`, log-probabilities and perplexity over a vocabulary of 32,000; `linear`, a last layer with and without its
//! logits.
//!
//! # Promises
//!
//! * Everything is checked before anything is written; an error says what was given and what was expected.
//! * The bits of a result depend on inputs, options, shape and kernel alone: not on threads, addresses, in place or not. But
//!   for the mean's denominator, a row's loss and gradient do not depend on its neighbours.
//! * A label that leads by 17 to 80, where `1 + exp(-lead)` rounds to 1, keeps the digits of its loss and gradient.
//!
//! # Features
//!
//! `threads` (default): `Executor::Rayon`. Without it the crate does not depend on rayon. `js` is the boundary to the
//! TypeScript package in WebAssembly, `faults` the same for its tests; nothing for Rust callers.
//!
//! # Layers
//!
//! Each imports only what stands to its right:
//!
//! ```text
//! js -> linear -> cross_entropy -> { shape, labels, kernels }
//!                               -> { objective, math, element } -> { parallel, simd }
//! ```
#![cfg_attr(target_arch = "wasm32", feature(stdarch_wasm_atomic_wait))]

mod cross_entropy;
pub mod derivation;
mod element;
mod error;
mod kernels;
mod labels;
mod linear;
mod math;
mod objective;
mod options;
mod parallel;
pub mod reference;
mod shape;
mod sigmoid;
mod simd;

#[cfg(all(feature = "js", target_arch = "wasm32"))]
mod js;

/// The README's Rust is compiled and run like any other example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub use cross_entropy::{Logits, LogitsMut, Output, PerClass, TopK};
pub use element::{Element, GradElement};
pub use error::Error;
pub use half::{bf16, f16};
pub use labels::Labels;
pub use linear::{Floats, LinearCrossEntropy, LinearGrad, Matrix, WeightLayout};
pub use options::{
    CrossEntropy, Denominator, EmptyMean, Input, InvalidLabel, ProbsNormalize, Reduction, SmoothingWeights,
    Upstream, Weights,
};
pub use parallel::Executor;
pub use shape::Shape;
pub use sigmoid::WeightedSigmoid;
pub use simd::Kernel;
