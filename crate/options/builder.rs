//! One method per option, with its meaning, default, range and source.
//!
//! The examples use the rows of [`CrossEntropy`]'s own.

use super::{
    CrossEntropy, Denominator, EmptyMean, Input, InvalidLabel, ProbsNormalize, Reduction, RowValues,
    SmoothingWeights, Upstream, Weights,
};
#[cfg(doc)]
use crate::Error;
use crate::parallel::Executor;
use crate::simd::Kernel;

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident $(in $group:ident)?: $type:ty;)*) => {$(
        $(#[$doc])*
        pub fn $name(mut self, $name: $type) -> Self {
            self$(.$group)?.$name = $name;
            self
        }
    )*};
}

impl<'a> CrossEntropy<'a> {
    /// The mean over all rows, unweighted.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// What the row losses become; [`Reduction::Mean`] unless set.
        reduction: Reduction;

        /// What the mean divides by; [`Denominator::Weights`] unless set. Other reductions do not use it.
        ///
        /// ```
        /// # use sparse_xent::{CrossEntropy, Denominator, Logits, Shape};
        /// # let x = [0.5_f64, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
        /// # let logits = Logits::new(&x, Shape::new(&[3, 4], -1)?)?;
        /// let op = CrossEntropy::new().ignore_index(-1).sample_weight(&[0.5, 2.0, 1.0]);
        /// // Keras, SparseCategoricalCrossentropy(ignore_class=-1): over 2 rows.
        /// let valid = op.clone().denominator(Denominator::Valid).forward(&logits, &[2, -1, 3])?;
        /// assert!((valid.loss - 0.985744896431).abs() < 1e-12);
        /// // With reduction="mean_with_sample_weight": over 0.5 + 1.
        /// let weights = op.forward(&logits, &[2, -1, 3])?;
        /// assert!((weights.loss - 1.31432652857).abs() < 1e-11);
        ///
        /// // Micro-batches whose gradients add up to that of the whole batch: divide each by its rows.
        /// let part = CrossEntropy::new().denominator(Denominator::Count(3.0));
        /// let first = part.forward(&Logits::new(&x[..8], Shape::new(&[2, 4], -1)?)?, &[2, 0])?;
        /// let second = part.forward(&Logits::new(&x[8..], Shape::new(&[1, 4], -1)?)?, &[3])?;
        /// let whole = CrossEntropy::new().forward(&logits, &[2, 0, 3])?;
        /// assert!((first.loss + second.loss - whole.loss).abs() < 1e-15);
        /// # Ok::<(), sparse_xent::Error>(())
        /// ```
        denominator: Denominator;

        /// What a label does that is neither a class nor ignored; [`InvalidLabel::Throw`] unless set. No label is ever
        /// wrapped or clamped to a class.
        ///
        /// ```
        /// # use sparse_xent::{CrossEntropy, Error, InvalidLabel, Logits, Shape};
        /// # let x = [0.5_f64, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
        /// # let logits = Logits::new(&x, Shape::new(&[3, 4], -1)?)?;
        /// let refused = CrossEntropy::new().forward(&logits, &[2, -1, 3]).unwrap_err();
        /// assert_eq!(
        ///     refused.to_string(),
        ///     "labels[1] got -1, expected 0..3; 1 such labels of 3; set ignore_index: -1 to skip them"
        /// );
        /// let nan = CrossEntropy::new().invalid_label(InvalidLabel::Nan); // TensorFlow on a GPU
        /// assert!(nan.forward(&logits, &[2, -1, 3])?.loss.is_nan());
        /// # Ok::<(), Error>(())
        /// ```
        invalid_label: InvalidLabel;

        /// The share of each target that is spread evenly over the `K` kept classes, the label included: `e` in
        /// `(1 - e) nll + e mean(-ln p)`; in `[0, 1]`, 0 unless set.
        ///
        /// As `label_smoothing` in PyTorch and Keras (Szegedy et al. 2016, "Rethinking the Inception Architecture"). For
        /// a share over the *other* classes only, give `e K / (K - 1)`.
        ///
        /// ```
        /// # use sparse_xent::{CrossEntropy, Logits, Shape};
        /// # let x = [0.5_f64, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
        /// # let logits = Logits::new(&x, Shape::new(&[3, 4], -1)?)?;
        /// // torch.nn.functional.cross_entropy(weight=..., label_smoothing=0.1)
        /// let weighted = CrossEntropy::new().class_weight(&[1.0, 0.5, 2.0, 0.25]).ignore_index(-100);
        /// let out = weighted.label_smoothing(0.1).forward(&logits, &[2, -100, 3])?;
        /// assert!((out.loss - 0.60214139307).abs() < 1e-11);
        /// # Ok::<(), sparse_xent::Error>(())
        /// ```
        label_smoothing in terms: f64;

        /// How class weights enter smoothing; [`SmoothingWeights::Class`] unless set. Without class weights both are the
        /// same.
        smoothing_weights: SmoothingWeights;

        /// The mean over nothing (its denominator is 0); [`EmptyMean::Zero`] unless set.
        empty_mean: EmptyMean;

        /// Whether the gradient is added to what `grad` holds, with one rounding; false unless set. Ignored rows stay as
        /// they are. Only where the gradient has memory of its own: in place it is [`Error::OptionConflict`].
        ///
        /// ```
        /// # use sparse_xent::{CrossEntropy, Logits, Shape};
        /// # let x = [0.5_f64, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
        /// # let logits = Logits::new(&x, Shape::new(&[3, 4], -1)?)?;
        /// let (mut once, mut twice) = ([0.0_f64; 12], [0.0_f64; 12]);
        /// CrossEntropy::new().forward_backward(&logits, &[2, 0, 3], &mut once)?;
        /// let add = CrossEntropy::new().accumulate(true);
        /// add.forward_backward(&logits, &[2, 0, 3], &mut twice)?;
        /// add.forward_backward(&logits, &[2, 0, 3], &mut twice)?;
        /// assert!(once.iter().zip(&twice).all(|(once, twice)| 2.0 * once == *twice));
        /// # Ok::<(), sparse_xent::Error>(())
        /// ```
        accumulate: bool;

        /// The factor `l` of `l w lse^2`, the squared log-sum-exp, which keeps logits from drifting; finite and at least
        /// 0, 0 unless set. As in PaLM (Chowdhery et al. 2022), here with the row weight and denominator of the loss.
        ///
        /// ```
        /// # use sparse_xent::{CrossEntropy, Logits, Reduction, Shape};
        /// # let x = [0.5_f64, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
        /// # let logits = Logits::new(&x, Shape::new(&[3, 4], -1)?)?;
        /// let op = CrossEntropy::new().reduction(Reduction::None).with_log_sum_exp();
        /// let plain = op.forward(&logits, &[2, 0, 3])?;
        /// let squared = 0.01 * plain.log_sum_exp[0].powi(2);
        /// let out = op.clone().z_loss(0.01).forward(&logits, &[2, 0, 3])?;
        /// assert!((out.losses[0] - plain.losses[0] - squared).abs() < 1e-15);
        /// # Ok::<(), sparse_xent::Error>(())
        /// ```
        z_loss in terms: f64;

        /// The exponent `g` of `(1 - p[y])^g nll`, which gives rows that are right already less weight; finite and at
        /// least 0, 0 unless set. Acts on the target term, not on smoothing. As the focal loss of Lin et al. 2017 with
        /// alpha as the class weight, and Keras's `CategoricalFocalCrossentropy` with alpha 1.
        ///
        /// ```
        /// # use sparse_xent::{CrossEntropy, Logits, Reduction, Shape};
        /// # let x = [0.5_f64, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
        /// # let logits = Logits::new(&x, Shape::new(&[3, 4], -1)?)?;
        /// let op = CrossEntropy::new().reduction(Reduction::None).focal_gamma(2.0);
        /// let losses = op.forward(&logits, &[2, 0, 3])?.losses;
        /// let keras = [0.0352060811494, 1.21214549814, 1.2384268147];
        /// assert!(losses.iter().zip(keras).all(|(loss, keras)| (loss - keras).abs() < 1e-10));
        /// # Ok::<(), sparse_xent::Error>(())
        /// ```
        focal_gamma in terms: f64;

        /// The coefficient `p` of `nll + p (1 - p[y])`; finite, 0 unless set. Below -1 the loss may fall as the error
        /// grows. Acts on the target term, not on smoothing. As poly-1 of Leng et al. 2022 ("PolyLoss") and optax's
        /// `poly_loss_cross_entropy`, whose default is 2.
        poly1_epsilon in terms: f64;

        /// The exponent `q` of the generalised cross-entropy `(1 - p[y]^q) / q`, whose gradient is `p[y]^q` times that of `nll`: rows
        /// that the model thinks unlikely, as those with a wrong label are, pull less. In `[0, 1]`, 0 unless set: towards 0 it is `nll`,
        /// which 0 stands for, and 1 is the mean absolute error `1 - p[y]`. Acts on the target term, not on smoothing, and in place of
        /// focal and poly-1, with which it is [`Error::OptionConflict`]. As Zhang and Sabuncu 2018 ("Generalized Cross Entropy Loss for
        /// Training Deep Neural Networks with Noisy Labels"), who use 0.7.
        ///
        /// ```
        /// # use sparse_xent::{CrossEntropy, Logits, Shape};
        /// let probabilities = [0.25_f64, 0.5, 0.25].map(f64::ln);
        /// let logits = Logits::new(&probabilities, Shape::new(&[1, 3], -1)?)?;
        /// let loss = |q| CrossEntropy::new().gce_q(q).forward(&logits, &[0]).map(|out| out.loss);
        /// assert!((loss(1.0)? - 0.75).abs() < 1e-15);
        /// assert!((loss(0.5)? - 2.0 * (1.0 - 0.25_f64.sqrt())).abs() < 1e-15);
        /// # Ok::<(), sparse_xent::Error>(())
        /// ```
        gce_q in terms: f64;

        /// The bound `c` of softly capped logits `c tanh(x / c)`, which take the logits' place; finite and at least 0, 0 (none) unless set.
        /// The gradient is that with respect to the logits as they are given. They are capped before they are multiplied by
        /// [`logit_scale`](Self::logit_scale): the head of Gemma 2 caps its logits (at 30), and a temperature divides what is capped. All
        /// results are those of the capped logits, the log-sum-exp and the log-probabilities too; predictions are the same either way,
        /// since a cap keeps the order. An infinite logit becomes `c` or `-c`, so a class that shall not count is to be
        /// taken out by [`class_mask`](Self::class_mask). Rows are copied for it, and one row is not shared between threads; class
        /// planes are computed row by row, in f64.
        ///
        /// ```
        /// # use sparse_xent::{CrossEntropy, Logits, Shape};
        /// let x = [100.0_f64, 0.0, -20.0];
        /// let capped = x.map(|x| 30.0 * (x / 30.0).tanh());
        /// let shape = Shape::new(&[1, 3], -1)?;
        /// let out = CrossEntropy::new().softcap(30.0).forward(&Logits::new(&x, shape)?, &[1])?;
        /// let same = CrossEntropy::new().forward(&Logits::new(&capped, shape)?, &[1])?;
        /// assert!((out.loss - same.loss).abs() < 1e-13);
        /// # Ok::<(), sparse_xent::Error>(())
        /// ```
        softcap: f64;

        /// What logits are multiplied by before the softmax, the inverse of a temperature; finite and above 0, 1 unless
        /// set. The gradient is that with respect to the logits as they are given.
        logit_scale: f64;

        /// What the logits array holds; [`Input::Logits`] unless set, never guessed.
        ///
        /// ```
        /// # use sparse_xent::{CrossEntropy, Input, Logits, Shape};
        /// let log_probs = [0.25_f64, 0.5, 0.25].map(f64::ln);
        /// let logits = Logits::new(&log_probs, Shape::new(&[1, 3], -1)?)?;
        /// let out = CrossEntropy::new().input(Input::LogProbs).forward(&logits, &[1])?; // torch's nll_loss
        /// assert_eq!(out.loss, 2.0_f64.ln());
        /// # Ok::<(), sparse_xent::Error>(())
        /// ```
        input: Input;

        /// The bound `eps` to which [`Input::Probs`] are clipped; above 0 and below 0.5, 1e-7 (Keras's) unless set.
        probs_epsilon: f64;

        /// How [`Input::Probs`] are normalised; [`ProbsNormalize::Before`] unless set.
        probs_normalize: ProbsNormalize;

        /// Who runs the call; [`Executor::Serial`] unless set. Results have the same bits whatever it is.
        executor: Executor;

        /// Which implementation of the kernels runs; the fastest unless set.
        kernel: Kernel;
    }

    /// Adds a label to skip: such rows have loss 0 and gradient 0, and their logits are not read, so they may hold
    /// anything. Up to 16 labels, inside or outside `0..classes`; none unless set. As PyTorch's `ignore_index` (whose
    /// default is -100) and Keras's `ignore_class`.
    ///
    /// ```
    /// # use sparse_xent::{CrossEntropy, Logits, Shape};
    /// let x = [1.0_f32, 2.0, f32::NAN, f32::NAN, 0.0, 0.0];
    /// let logits = Logits::new(&x, Shape::new(&[3, 2], -1)?)?;
    /// let out = CrossEntropy::new().ignore_index(255_u8).forward(&logits, &[1_u8, 255, 0])?;
    /// assert_eq!((out.valid_count, out.row_count, out.loss.is_nan()), (2, 3, false));
    /// # Ok::<(), sparse_xent::Error>(())
    /// ```
    pub fn ignore_index(mut self, label: impl Into<i128>) -> Self {
        let label = label.into();
        if !self.ignore.contains(&label) {
            self.ignore.to_mut().push(label);
        }
        self
    }

    /// A weight per class: `classes` finite numbers of any sign; all 1 unless set. The row weight is the label's class
    /// weight times the row's [`sample_weight`](Self::sample_weight).
    ///
    /// A weight vector multiplied with one-hot labels is this: see [`derivation`](crate::derivation).
    pub fn class_weight(mut self, weights: impl Into<Weights<'a>>) -> Self {
        self.class_weight = Some(weights.into());
        self
    }

    /// A weight per row, in the order of the labels: finite numbers of any sign; all 1 unless set. Bytes are a 0/1 mask.
    /// Entries of ignored rows are not looked at.
    ///
    /// ```
    /// # use sparse_xent::{CrossEntropy, Logits, Shape};
    /// # let x = [0.5_f64, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
    /// # let logits = Logits::new(&x, Shape::new(&[3, 4], -1)?)?;
    /// let weighted = CrossEntropy::new().class_weight(&[1.0, 0.5, 2.0, 0.25]);
    /// let op = weighted.sample_weight(&[0.5, 2.0, 1.0]);
    /// let out = op.forward(&logits, &[2, 0, 3])?;
    /// assert_eq!(out.weight_sum, 2.0 * 0.5 + 1.0 * 2.0 + 0.25 * 1.0);
    /// assert_eq!(out.loss, out.loss_sum / out.weight_sum);
    /// # Ok::<(), sparse_xent::Error>(())
    /// ```
    pub fn sample_weight(mut self, weights: impl Into<Weights<'a>>) -> Self {
        self.sample_weight = RowValues::PerRow(weights.into());
        self
    }

    /// What the gradient (not the loss) is multiplied by: a number, or one per row under [`Reduction::None`]; 1 unless
    /// set. Not validated: NaN and infinities propagate. The incoming gradient of automatic differentiation, or a loss
    /// scale for gradients in half precision.
    ///
    /// ```
    /// # use sparse_xent::{CrossEntropy, Logits, Reduction, Shape};
    /// # let x = [0.5_f64, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
    /// # let logits = Logits::new(&x, Shape::new(&[3, 4], -1)?)?;
    /// let mut grad = [1.0_f64; 12];
    /// let op = CrossEntropy::new().reduction(Reduction::None).upstream(&[1.0, 0.0, -2.0]);
    /// op.forward_backward(&logits, &[2, 0, 3], &mut grad)?;
    /// assert_eq!(grad[4..8], [0.0; 4]); // the second row is no part of what is differentiated
    /// # Ok::<(), sparse_xent::Error>(())
    /// ```
    pub fn upstream(mut self, upstream: impl Into<Upstream<'a>>) -> Self {
        self.upstream = upstream.into().0;
        self
    }

    /// `classes` bytes, 0 for a class that is taken out of the softmax and of smoothing: its logits are not read, its
    /// gradient is 0, and a row with that label is invalid. None is taken out unless set. Zeros alone leave no class, and
    /// every label that is not ignored invalid. As `where` in optax.
    ///
    /// ```
    /// # use sparse_xent::{CrossEntropy, Logits, Shape};
    /// let x = [1.0_f32, f32::NAN, 3.0];
    /// let logits = Logits::new(&x, Shape::new(&[1, 3], -1)?)?;
    /// let mut grad = [9.0_f32; 3];
    /// let op = CrossEntropy::new().class_mask(&[1, 0, 1]);
    /// let out = op.forward_backward(&logits, &[2], &mut grad)?;
    /// assert!((out.loss - (-2.0_f64).exp().ln_1p()).abs() < 1e-7);
    /// assert_eq!(grad[1], 0.0);
    /// # Ok::<(), sparse_xent::Error>(())
    /// ```
    pub fn class_mask(mut self, keep: &'a [u8]) -> Self {
        self.class_mask = Some(keep);
        self
    }

    /// `classes` x `classes` finite numbers `H`, row-major, a line per label: the loss of a row becomes
    /// `-omega * sum over k of H[y][k] ln p[k]`. None unless set. As Caffe's `InfogainLoss`; the identity gives the
    /// plain loss. Excludes class weights, smoothing, focal, poly-1 and the generalised loss.
    ///
    /// For a cost per (label, *predicted class*), see [`with_predictions`](Self::with_predictions).
    ///
    /// ```
    /// # use sparse_xent::{CrossEntropy, Logits, Shape};
    /// # let x = [0.5_f64, -1.0, 2.0, 0.25];
    /// # let logits = Logits::new(&x, Shape::new(&[1, 4], -1)?)?;
    /// let mut soft = [0.0; 16]; // label 2 is often mistaken for label 0
    /// soft[2 * 4..].copy_from_slice(&[0.2, 0.0, 0.8, 0.0, 0.0, 0.0, 0.0, 1.0]);
    /// let op = CrossEntropy::new();
    /// let mixed = 0.2 * op.forward(&logits, &[0])?.loss + 0.8 * op.forward(&logits, &[2])?.loss;
    /// assert!((op.label_matrix(&soft).forward(&logits, &[2])?.loss - mixed).abs() < 1e-15);
    /// # Ok::<(), sparse_xent::Error>(())
    /// ```
    pub fn label_matrix(mut self, matrix: impl Into<Weights<'a>>) -> Self {
        self.label_matrix = Some(matrix.into());
        self
    }
}
