//! How the loss and its gradient are computed, why no one-hot is needed, and where each step is in this crate.
//!
//! A page to read, without code of its own: for those who know softmax and have lost the thread in a framework's source.
//!
//! # Where TensorFlow's source seems to end
//!
//! `tf.nn.sparse_softmax_cross_entropy_with_logits` (`tensorflow/python/ops/nn_ops.py`) brings its arguments to logits
//! `[N, K]` and labels `[N]` and calls `gen_nn_ops.sparse_softmax_cross_entropy_with_logits`. That file is generated when
//! TensorFlow is built and holds no mathematics: it hands the arguments to the C++ operation of the same name, which is in
//! `tensorflow/core/kernels/sparse_xent_op.h` (`SparseXentEigenImpl::Compute`). The operation has two outputs: `loss`,
//! one number per row, and `backprop`, the derivative of each row's loss by its logits. Nothing is differentiated later:
//! the registered gradient (`nn_grad.py`) multiplies `backprop` by what arrives for each row from upstream.
//!
//! # One row, step by step
//!
//! Logits `x[0..K]`, label `y`. The softmax and the loss are
//!
//! ```text
//! p[i] = exp(x[i]) / sum over j of exp(x[j])                loss = -ln p[y]
//! ```
//!
//! 1. **Maximum.** `m = max x`. Numerator and denominator of `p` may be divided by `exp(m)`; then no exponential is above
//!    1 and none overflows.
//! 2. **Log-sum-exp.** `s = sum over j of exp(x[j] - m)`, and `ln s + m` is the logarithm of the sum of all `exp(x[j])`.
//! 3. **One look at the label's logit.** The logarithm of `p[y]` splits into a difference,
//!    `loss = -ln p[y] = ln s + m - x[y]`.
//! 4. **Gradient.** The derivative of `ln s + m` by `x[i]` is `exp(x[i] - m) / s`, which is `p[i]`; that of `-x[y]` is -1
//!    at the label and 0 elsewhere. So `grad[i] = p[i] - [i == y]`: the softmax, minus one at the label. It sums to 0.
//!
//! ```
//! use sparse_xent::{CrossEntropy, Logits, Reduction, Shape};
//!
//! let (x, y) = ([1.0_f64, 2.0, 3.0, 4.0], 0);
//! let m = x.iter().copied().fold(f64::NEG_INFINITY, f64::max); // 1
//! let s: f64 = x.iter().map(|x| (x - m).exp()).sum(); // 2
//! let loss = s.ln() + m - x[y]; // 3
//! let mut grad = x.map(|x| (x - m).exp() / s); // 4
//! grad[y] -= 1.0;
//!
//! let mut ours = [0.0_f64; 4];
//! let logits = Logits::new(&x, Shape::new(&[1, 4], -1)?)?;
//! let op = CrossEntropy::new().reduction(Reduction::None);
//! let out = op.forward_backward(&logits, &[0_i32], &mut ours)?;
//! assert!((out.losses[0] - loss).abs() < 1e-15, "{loss}"); // 3.4401896985611953
//! assert!(ours.iter().zip(&grad).all(|(ours, plain)| (ours - plain).abs() < 1e-15));
//! # Ok::<(), sparse_xent::Error>(())
//! ```
//!
//! # Why no one-hot
//!
//! The cross-entropy of a distribution `t` and the softmax is `-sum over i of t[i] ln p[i]`. With `t` the one-hot vector of
//! `y`, all terms but one are a number times 0: the sum *is* `-ln p[y]`, and the label is an index, not a vector. In the
//! gradient, `p - t`, the one-hot vector says "subtract 1 at `y`", which is one store. So a one-hot array costs as much
//! memory as the logits and a multiplication per element in order to pick one element per row. (TensorFlow's sparse
//! operation does not store one either: it compares the class index with the label in a generated expression.)
//!
//! A weight matrix applied to a one-hot does not need it either. `one_hot @ w` picks `w[y]`, and a whole matrix of costs
//! `M[true][predicted]` is read at one entry per row:
//!
//! | written with a one-hot | here |
//! |---|---|
//! | `loss * (one_hot @ w)` | [`class_weight`](crate::CrossEntropy::class_weight), `w[y]` |
//! | the same, times a map of pixel weights | and [`sample_weight`](crate::CrossEntropy::sample_weight): they multiply |
//! | pixels without a class, as rows of zeros | [`ignore_index`](crate::CrossEntropy::ignore_index): loss 0, gradient 0, unread |
//! | `-sum(one_hot @ H * ln p)` | [`label_matrix`](crate::CrossEntropy::label_matrix), row `H[y]` |
//! | a cost per (true, predicted) pair | [`with_predictions`](crate::CrossEntropy::with_predictions), then `sample_weight` `M[y][predicted]` |
//! | `(1 - e) * one_hot + e / K` | [`label_smoothing`](crate::CrossEntropy::label_smoothing), `e` |
//!
//! # What is done differently here
//!
//! Steps 2 and 4 lose what matters where the model is confident. A label that leads the only other class by 17 adds 1 to a
//! term of 4e-8, which vanishes in single precision: `ln s` is 0, and so are loss and gradient. Here the label's exponential
//! never enters the sum. With `R`, the sum of `exp(x[j] - x[y])` over the *other* classes,
//!
//! ```text
//! loss = ln(1 + R)          p[y] = 1 / (1 + R)          grad[y] = -R / (1 + R)
//! ```
//!
//! where `ln(1 + R)` is a function of its own (`ln_1p`), exact for small `R`. The kernels sum `rest`, the exponentials of
//! the other classes less their shift; `R` is `rest / exp(x[y] - shift)`. Every other element is `exp(x[i] - shift) /
//! (rest + exp(x[y] - shift))`, one multiplication of what the first sweep stored. The label's own element is computed on
//! its own and stored once, never as `p[y] - 1`.
//!
//! ```
//! use sparse_xent::{CrossEntropy, Logits, Shape};
//!
//! let x = [20.0_f32, 0.0, 0.0, -1.0];
//! let s: f32 = x.iter().map(|x| (x - 20.0).exp()).sum();
//! assert_eq!(s.ln(), 0.0); // the textbook form: no loss left, and so no gradient
//!
//! let out = CrossEntropy::new().forward(&Logits::new(&x, Shape::new(&[1, 4], -1)?)?, &[0_u8])?;
//! assert!((out.loss / 4.880_563e-9 - 1.0).abs() < 1e-6);
//! # Ok::<(), sparse_xent::Error>(())
//! ```
//!
//! # Where each formula is
//!
//! The sweeps exist twice, for classes that lie side by side (`kernels/rows.rs`) and for strided ones
//! (`kernels/planes.rs`), and two classes have a closed form (`kernels/pairs.rs`). What each option does is in
//! `objective/terms.rs`, in f64 and for a vector of rows at a time; `kernels/objective.rs` has the loss without options for such a vector.
//!
//! | formula | function |
//! |---|---|
//! | `shift`, `exp(x[j] - shift)`, `rest` | [`sweep_small`](../../src/sparse_xent/kernels/rows/sweep.rs.html) and [`row`](../../src/sparse_xent/kernels/rows/sweep.rs.html); [`sweep`](../../src/sparse_xent/kernels/planes/sweep.rs.html) and [`look_and_sweep`](../../src/sparse_xent/kernels/planes/shifted.rs.html) of a strip of rows |
//! | `exp`, `ln(1 + y)` over vectors | [`exp`](../../src/sparse_xent/math.rs.html), [`ln_1p`](../../src/sparse_xent/math.rs.html) |
//! | `ln(1 + R)`, `p[y]`, the gradient at the label, every option | [`row`](../../src/sparse_xent/objective.rs.html) of `Objective`; of a vector of rows [`plain_rows`](../../src/sparse_xent/kernels/objective.rs.html) without options and [`rows_with`](../../src/sparse_xent/kernels/objective/shaped.rs.html) with some, which [`rows`](../../src/sparse_xent/objective/terms.rs.html) evaluates |
//! | `grad[i] = scale exp(x[i] - shift) + bias` | [`write_rows`](../../src/sparse_xent/kernels/rows/grad.rs.html); [`write`](../../src/sparse_xent/kernels/planes/grad.rs.html) of a strip |
//! | `w = v[y] omega`, and its sum over the rows | [`weigh`](../../src/sparse_xent/cross_entropy/scan.rs.html), before anything is computed |
//! | what the mean divides by | [`scan`](../../src/sparse_xent/cross_entropy/scan.rs.html) |
//! | `upstream / D` of a row's gradient | [`of`](../../src/sparse_xent/cross_entropy/scan.rs.html) of `Upstream` |
//! | `sum of losses / D` | [`reduce`](../../src/sparse_xent/cross_entropy/scan.rs.html) |
//! | all of it in three plain passes in f64 | [`reference::cross_entropy`](crate::reference::cross_entropy) |
//!
//! # Where weights enter
//!
//! ```text
//! row weight   w = v[y] omega                     class weight of the label, sample weight
//! row loss     h = w nll                          nll = ln(1 + R); `losses` under Reduction::None
//! loss         sum of h / D                       D: Denominator; 1 for a sum or none
//! gradient     upstream / D  w (p[i] - [i == y])  of upstream times loss
//! ```
//!
//! A weight multiplies a row; it never changes its softmax. Whether a mean divides by the sum of the weights or by the
//! number of rows is a choice of its own ([`Denominator`](crate::Denominator)), on which frameworks differ. A weight per
//! class is *not* the weight of `tf.nn.weighted_cross_entropy_with_logits`: that operation is element-wise, see
//! [`WeightedSigmoid`](crate::WeightedSigmoid).
//!
//! # All options at once
//!
//! Whatever the options, the gradient of a row is an affine map of its softmax,
//! `grad[i] = upstream / D (a p[i] + b[i] + c [i == y])` (times `logit_scale`), so options never reach the sweeps:
//!
//! | option | a | b | c |
//! |---|---|---|---|
//! | weights alone | w | 0 | -w |
//! | smoothing `e`, [`SmoothingWeights::Row`](crate::SmoothingWeights::Row) | w | -e w / K | -(1 - e) w |
//! | smoothing `e`, [`SmoothingWeights::Class`](crate::SmoothingWeights::Class) | (1 - e) w + e omega V / K | -e omega v\[i\] / K | -(1 - e) w |
//! | z-loss `l` adds | 2 l w lse | 0 | 0 |
//! | focal `g` and poly-1 `poly` | w f' | 0 | -w f' |
//! | generalised, exponent `t` | w p\[y\]^t | 0 | -w p\[y\]^t |
//! | label matrix `H` | omega sum of H\[y\] | -omega H\[y\]\[i\] | 0 |
//!
//! with `V` the sum of the class weights `v`, `lse` the log-sum-exp, `q = p[y]`, `r = 1 - q`, and
//! `f' = r^g (1 + poly q + g q (nll / r + poly))`, the derivative of the modulated loss `r^g (nll + poly r)` by `nll`; that of the
//! generalised loss `(1 - p[y]^t) / t` is `p[y]^t`. Under `softcap` all this is with respect to the capped logits `c tanh(x / c)`, and each element is
//! then multiplied by `1 - tanh^2(x[i] / c)`.
//!
//! # What is told of a row's distribution
//!
//! With `M` the largest logit, `d[k] = s (M - x[k])` and `R` the sum of `exp(-d[k])` over all kept classes but one place of `M`,
//!
//! ```text
//! ln p[k]  = -d[k] - ln(1 + R)                                           log_probs, the values of top_k
//! entropy  = -sum p[k] ln p[k] = ln(1 + R) + (sum of d[k] exp(-d[k])) / (1 + R)
//! ```
//!
//! No sum has terms of both signs or the 1 of the largest class, so a row that is sure of its class keeps its digits, and an offset changes
//! nothing. `ln p` is within `2^-24 (32 + 2 m)` of its value, `m` being the distance of the two largest logits (`2^-53` for `f64`); of
//! an entropy each term `p (1 + d)` is within `2^-24 (36 + 2 d)`. Order (the classes of `top_k`, `target_rank`, predictions) is that of the logits as they
//! were given: `d` of classes that a softcap or rounding makes equal may be the same.
//!
//! # Memory of both ways
//!
//! A batch of label maps with 33 classes, logits `[8, 512, 512, 33]` in f32: 69,206,016 logits, 277 MB; 2,097,152 labels,
//! 2 MB as `u8`. For the loss and its gradient, beside logits, labels and weights:
//!
//! | | one-hot way | here, in place | here, gradient apart |
//! |---|---|---|---|
//! | one-hot array | 277 MB | none | none |
//! | softmax, then gradient | 277 MB | none: over the logits | 277 MB |
//! | per row | 8 MB: the weights | 17 MB: class index and loss | 17 MB |
//! | together | 562 MB | 17 MB | 294 MB |
//!
//! These are computed from the shapes. `cargo run --release --example segmentation -- 8` measures the first two with an
//! allocator that counts, 562.0 MB and 16.9 MB, and checks that both ways come to the same loss and gradient.
