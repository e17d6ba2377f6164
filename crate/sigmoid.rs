//! Weighted sigmoid cross-entropy: the element-wise loss of independent yes-or-no targets, with its gradient. It has no
//! class axis and no labels, and shares with the softmax loss its reductions, weights and upstream gradient.

mod element;

use crate::cross_entropy::{Access, Logits, LogitsMut, Output, Summary, fits, rows, zeros};
use crate::element::{Element, GradElement, Target};
use crate::options::{Denominator, EmptyMean, Reduction, RowValues, Upstream, Weights, is_positive_weight};
use crate::parallel::{Executor, Rows};
use crate::{Error, Shape};
use core::sync::atomic::AtomicI32;

/// Elements whose losses are one chain of additions, from left to right; then come the sums of the chains, likewise.
const CHAIN: usize = 256;
/// Elements of a unit of work: whole chains, a fraction of a millisecond.
const UNIT: usize = 16 * CHAIN;
/// What an element takes one thread at least, in either wasm file: whether a call is worth a second thread.
const NANOSECONDS: f64 = 20.0;

/// Element-wise sigmoid cross-entropy with a weight on the positive term, as TensorFlow's
/// `weighted_cross_entropy_with_logits`:
///
/// ```text
/// loss = (1 - t) softplus(x) + k t softplus(-x)          softplus(x) = max(x, 0) + ln(1 + exp(-|x|))
/// grad = (1 - t) sigmoid(x) - k t sigmoid(-x)
/// ```
///
/// `x` are logits of any shape, `t` targets of the same shape (from 0 to 1 in every usual reading, but not checked), `k` the
/// positive weight: one for all, or one per class of the shape's class axis, at least 0. A term whose coefficient is 0 is not
/// evaluated: a target of 1 at +inf costs 0 (TensorFlow: NaN), at -inf it costs +inf with gradient `-k`. The smaller sigmoid
/// is computed directly, never as 1 minus the larger, so small losses keep their digits. A NaN logit gives NaN for its element
/// alone.
///
/// Each element is what a row is to [`CrossEntropy`](crate::CrossEntropy): `losses`, sample weights and upstream have one
/// entry per element, the mean divides by the sum of the sample weights or by the number of elements
/// ([`Denominator::Valid`] and [`Denominator::All`] are the same here), and losses are in nats. `k` above 1 makes a missed
/// positive cost more than a false one; it is not part of the denominator.
///
/// ```
/// use sparse_xent::{Logits, Reduction, Shape, WeightedSigmoid};
///
/// let x = [2.0_f32, 2.0, -1.0, 0.5];
/// let logits = Logits::new(&x, Shape::new(&[4], -1)?)?;
/// let out = WeightedSigmoid::new().pos_weight(3.0).reduction(Reduction::None).forward(&logits, &[1.0_f32, 0.0, 1.0, 0.25])?;
/// assert!((out.losses[0] - 0.380784).abs() < 1e-6); // three times ln(1 + exp(-2))
///
/// // Two samples of two independent labels, [2, 2]; the second label is rare.
/// let mut grad = [0.0_f32; 4];
/// let logits = Logits::new(&x, Shape::new(&[2, 2], -1)?)?;
/// let op = WeightedSigmoid::new().pos_weights(&[1.0, 10.0]).reduction(Reduction::Sum);
/// op.forward_backward(&logits, &[1.0_f32, 1.0, 0.0, 0.0], &mut grad)?;
/// assert!((grad[1] / grad[0] - 10.0).abs() < 1e-5); // the same logit, ten times the pull
/// # Ok::<(), sparse_xent::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct WeightedSigmoid<'a> {
    pub(crate) reduction: Reduction,
    pub(crate) denominator: Denominator,
    pub(crate) pos_weight: RowValues<'a>,
    pub(crate) sample_weight: RowValues<'a>,
    pub(crate) empty_mean: EmptyMean,
    pub(crate) upstream: RowValues<'a>,
    pub(crate) accumulate: bool,
    pub(crate) executor: Executor,
}

impl Default for WeightedSigmoid<'_> {
    fn default() -> Self {
        Self {
            reduction: Reduction::Mean,
            denominator: Denominator::Weights,
            pos_weight: RowValues::Scalar(1.0),
            sample_weight: RowValues::Scalar(1.0),
            empty_mean: EmptyMean::Zero,
            upstream: RowValues::Scalar(1.0),
            accumulate: false,
            executor: Executor::Serial,
        }
    }
}

impl<'a> WeightedSigmoid<'a> {
    /// The mean over all elements, unweighted.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the element losses become; [`Reduction::Mean`] unless set.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// What the mean divides by; [`Denominator::Weights`], the sum of the sample weights, unless set.
    pub fn denominator(mut self, denominator: Denominator) -> Self {
        self.denominator = denominator;
        self
    }

    /// The weight of the positive term for all elements; finite and at least 0; 1 unless set.
    pub fn pos_weight(mut self, weight: f64) -> Self {
        self.pos_weight = RowValues::Scalar(weight);
        self
    }

    /// A weight of the positive term per class of the shape's class axis: `classes` numbers, finite and at least 0.
    pub fn pos_weights(mut self, weights: impl Into<Weights<'a>>) -> Self {
        self.pos_weight = RowValues::PerRow(weights.into());
        self
    }

    /// A weight per element (finite, of any sign). An element of weight 0 has loss 0 and gradient 0 and is not read.
    pub fn sample_weight(mut self, weights: impl Into<Weights<'a>>) -> Self {
        self.sample_weight = RowValues::PerRow(weights.into());
        self
    }

    /// The mean over nothing; [`EmptyMean::Zero`] unless set.
    pub fn empty_mean(mut self, empty_mean: EmptyMean) -> Self {
        self.empty_mean = empty_mean;
        self
    }

    /// What the gradient is multiplied by: a number, or one per element under [`Reduction::None`]; 1 unless set. Not
    /// validated.
    pub fn upstream(mut self, upstream: impl Into<Upstream<'a>>) -> Self {
        self.upstream = upstream.into().0;
        self
    }

    /// Whether the gradient is added to what `grad` holds; false unless set. Out of place only.
    pub fn accumulate(mut self, accumulate: bool) -> Self {
        self.accumulate = accumulate;
        self
    }

    /// Who runs the call; [`Executor::Serial`] unless set.
    pub fn executor(mut self, executor: Executor) -> Self {
        self.executor = executor;
        self
    }

    /// The loss alone. `targets` has one entry per logit: `f32`, `f64`, or bytes of 0 and 1.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::OptionRange`], [`Error::OptionConflict`], [`Error::WeightValue`], checked in this
    /// order, and [`Error::OutOfMemory`].
    pub fn forward<'t, E: Element>(
        &self,
        logits: &Logits<'_, E>,
        targets: impl Into<Weights<'t>>,
    ) -> Result<Output<E::PerRow>, Error> {
        self.output(Access::Loss(E::source(logits.data)), logits.shape, targets.into())
    }

    /// The loss, and its gradient with respect to the logits written (or, under `accumulate`, added) to `grad`, which has
    /// the logits' shape and type; `f32` too under `f16` and `bf16` logits.
    ///
    /// # Errors
    /// As [`WeightedSigmoid::forward`]; nothing has been written then.
    pub fn forward_backward<'t, E: Element, G: GradElement<E>>(
        &self,
        logits: &Logits<'_, E>,
        targets: impl Into<Weights<'t>>,
        grad: &mut [G],
    ) -> Result<Output<E::PerRow>, Error> {
        fits(grad.len(), logits.shape.elements(), "grad")?;
        let access = Access::Apart(E::source(logits.data), G::target(grad));
        self.output(access, logits.shape, targets.into())
    }

    /// The loss, and its gradient in place of the logits.
    ///
    /// # Errors
    /// As [`WeightedSigmoid::forward`], and [`Error::OptionConflict`] with `accumulate`; nothing has been written then.
    pub fn forward_backward_in_place<'t, E: Element>(
        &self,
        logits: &mut LogitsMut<'_, E>,
        targets: impl Into<Weights<'t>>,
    ) -> Result<Output<E::PerRow>, Error> {
        if self.accumulate {
            return Err(Error::OptionConflict { option: "accumulate", with: "a gradient in place" });
        }
        self.output(Access::InPlace(E::target(logits.data)), logits.shape, targets.into())
    }

    fn output<L: Element>(
        &self,
        access: Access<'_>,
        shape: Shape,
        targets: Weights<'_>,
    ) -> Result<Output<L>, Error> {
        let mut losses = zeros(shape.elements())?;
        let summary = self.execute(access, shape, targets, L::target(&mut losses), None)?;
        if self.reduction != Reduction::None {
            losses = Vec::new();
        }
        Ok(Output::of_elements(&summary, losses, shape.elements()))
    }

    /// The whole call over caller-owned memory.
    pub(crate) fn execute(
        &self,
        access: Access<'_>,
        shape: Shape,
        targets: Weights<'_>,
        losses: Target<'_>,
        cancel: Option<&AtomicI32>,
    ) -> Result<Summary, Error> {
        let elements = shape.elements();
        self.check(shape, targets)?;
        let (weight_sum, nonzero) = self.weigh(elements);
        let denominator = match (self.reduction, self.denominator) {
            (Reduction::None | Reduction::Sum, _) => 1.0,
            (Reduction::Mean, Denominator::Weights) => weight_sum,
            (Reduction::Mean, Denominator::Valid | Denominator::All) => elements as f64,
            (Reduction::Mean, Denominator::NonZero) => nonzero as f64,
            (Reduction::Mean, Denominator::Count(count)) => count,
        };
        let empty = match (denominator == 0.0, self.empty_mean) {
            (false, _) => None,
            (true, EmptyMean::Zero) => Some(0.0),
            (true, EmptyMean::Nan) => Some(f64::NAN),
        };
        let units = elements.div_ceil(UNIT);
        let mut partials = zeros::<Partial>(units)?;
        let (logits, gradient) = access.by_rows(1, UNIT);
        let outputs = (gradient, rows(losses, 1, UNIT), Rows::new(&mut partials, 1, 1));
        let executor = self.executor.for_work(elements as f64 * NANOSECONDS);
        executor.run(units, cancel, outputs, |_, unit, (mut gradient, mut losses, partial)| {
            let mut scratch = [[0.0; CHAIN]; 5];
            for (chain, start) in (0..losses.len()).step_by(CHAIN).enumerate() {
                let cells = start..losses.len().min(start + CHAIN);
                let first = unit * UNIT + start;
                let [x, target, positive, numbers, slopes] =
                    scratch.each_mut().map(|slots| &mut slots[..cells.len()]);
                let mut access = Access::in_unit(logits, &mut gradient, first, cells.clone());
                access.logits().widen_double(x);
                targets.copy(first, target);
                self.positive_weights(shape, first, positive);
                element::all(access.logits().is_double(), [x, target, positive], numbers, slopes);
                // The logits and targets have been read.
                let weights = x;
                if let RowValues::PerRow(all) = self.sample_weight {
                    all.copy(first, weights);
                    for ((number, slope), weight) in numbers.iter_mut().zip(&mut *slopes).zip(&*weights) {
                        let is_off = *weight == 0.0;
                        *number = if is_off { 0.0 } else { weight * *number };
                        *slope = if is_off { 0.0 } else { weight * *slope };
                    }
                }
                let mut losses = losses.part(cells);
                losses.narrow_double(numbers, false);
                // As they were rounded.
                losses.read().widen_double(numbers);
                for loss in numbers {
                    partial[0].loss[chain] += *loss;
                    partial[0].non_finite += usize::from(!loss.is_finite());
                }
                if let Some(gradient) = access.gradient() {
                    // A mean over nothing settles every element's gradient. A factor of 0 is no part of the loss: 0, whatever the logit.
                    match self.upstream {
                        RowValues::Scalar(upstream) => weights.fill(upstream / denominator),
                        RowValues::PerRow(upstream) => {
                            upstream.copy(first, weights);
                            weights.iter_mut().for_each(|upstream| *upstream /= denominator);
                        }
                    }
                    for (slope, step) in slopes.iter_mut().zip(&*weights) {
                        *slope = empty.unwrap_or_else(|| scaled(*step, *slope));
                    }
                    gradient.narrow_double(slopes, self.accumulate);
                }
            }
        })?;
        let loss_sum = partials.iter().flat_map(|partial| partial.loss).fold(0.0, |sum, chain| sum + chain);
        Ok(Summary {
            loss: empty.unwrap_or(loss_sum / denominator),
            loss_sum,
            weight_sum,
            valid: elements,
            non_finite: partials.iter().map(|partial| partial.non_finite).sum(),
            denominator,
            ..Summary::default()
        })
    }

    /// Everything that can be wrong with options, targets and weights. Logits play no part.
    pub(crate) fn check(&self, shape: Shape, targets: Weights<'_>) -> Result<(), Error> {
        fits(targets.len(), shape.elements(), "targets")?;
        if let RowValues::PerRow(weights) = self.pos_weight {
            fits(weights.len(), shape.classes(), "posWeight")?;
        }
        for (values, what) in [(self.sample_weight, "sampleWeight"), (self.upstream, "upstream")] {
            if let RowValues::PerRow(values) = values {
                fits(values.len(), shape.elements(), what)?;
            }
        }
        if let RowValues::Scalar(got) = self.pos_weight
            && !is_positive_weight(got)
        {
            let (option, expected) = ("posWeight", "a finite number of at least 0");
            return Err(Error::OptionRange { option, got, expected });
        }
        if let Denominator::Count(got) = self.denominator
            && !(got > 0.0 && got.is_finite())
        {
            let (option, expected) = ("denominator", "a finite number above 0");
            return Err(Error::OptionRange { option, got, expected });
        }
        if matches!(self.upstream, RowValues::PerRow(_)) && self.reduction != Reduction::None {
            return Err(Error::OptionConflict {
                option: "upstream per element",
                with: "a reduction other than none",
            });
        }
        if let RowValues::PerRow(weights) = self.pos_weight
            && let Some((index, got)) = weights.first_not_positive()
        {
            return Err(Error::WeightValue { what: "posWeight", index, got });
        }
        let what = "sampleWeight";
        match self.sample_weight {
            RowValues::Scalar(got) if !got.is_finite() => Err(Error::WeightValue { what, index: 0, got }),
            RowValues::Scalar(_) => Ok(()),
            RowValues::PerRow(weights) => weights
                .first_not_finite()
                .map_or(Ok(()), |(index, got)| Err(Error::WeightValue { what, index, got })),
        }
    }

    /// The weights of the positive terms of some elements.
    fn positive_weights(&self, shape: Shape, first: usize, into: &mut [f64]) {
        let weights = match self.pos_weight {
            RowValues::Scalar(weight) => return into.fill(weight),
            RowValues::PerRow(weights) => weights,
        };
        let (mut class, mut place) = (first / shape.inner() % shape.classes(), first % shape.inner());
        for slot in into {
            *slot = weights.get(class);
            place += 1;
            if place == shape.inner() {
                (class, place) = (if class + 1 == shape.classes() { 0 } else { class + 1 }, 0);
            }
        }
    }

    /// The sum of the sample weights, by chains, and how many are not 0.
    fn weigh(&self, elements: usize) -> (f64, usize) {
        if let RowValues::Scalar(weight) = self.sample_weight {
            return (weight * elements as f64, if weight == 0.0 { 0 } else { elements });
        }
        let (mut sum, mut nonzero) = (0.0, 0);
        for start in (0..elements).step_by(CHAIN) {
            let mut chain = 0.0;
            for element in start..elements.min(start + CHAIN) {
                let weight = self.sample_weight.get(element);
                chain += weight;
                nonzero += usize::from(weight != 0.0);
            }
            sum += chain;
        }
        (sum, nonzero)
    }
}

#[derive(Clone, Copy, Default)]
struct Partial {
    loss: [f64; UNIT / CHAIN],
    non_finite: usize,
}

/// `step * slope`, with +0 wherever nothing is asked for or nothing comes.
fn scaled(step: f64, slope: f64) -> f64 {
    if step == 0.0 || slope == 0.0 { 0.0 } else { step * slope + 0.0 }
}
