//! A case (shape, logits, labels, options) and the two ways to run it: by the definition and by the operation.
#![expect(unreachable_pub, reason = "a module of a program")]

use core::any::Any;
use std::io::Write;
use std::sync::Once;

use sparse_xent::reference::{self, Answer, BadLabel, Options, PerRow, Problem};
use sparse_xent::{
    CrossEntropy, Denominator, Element, EmptyMean, Error, Executor, GradElement, Input, InvalidLabel, Kernel,
    Logits, LogitsMut, Output, ProbsNormalize, Reduction, Shape, SmoothingWeights, bf16, f16,
};

/// Upstream gradient: one number, or one per row.
#[derive(Clone, Debug)]
pub enum Upstream {
    One(f64),
    Each(Vec<f64>),
}

/// Every option of the operation, owned.
#[derive(Clone, Debug)]
pub struct Settings {
    pub reduction: Reduction,
    pub denominator: Denominator,
    pub ignore: Vec<i64>,
    pub invalid_label: InvalidLabel,
    pub class_weight: Option<Vec<f64>>,
    pub sample_weight: Option<Vec<f64>>,
    pub label_smoothing: f64,
    pub smoothing_weights: SmoothingWeights,
    pub empty_mean: EmptyMean,
    pub upstream: Upstream,
    pub z_loss: f64,
    pub focal_gamma: f64,
    pub poly1_epsilon: f64,
    pub gce_q: f64,
    pub softcap: f64,
    pub logit_scale: f64,
    pub input: Input,
    pub probs_epsilon: f64,
    pub probs_normalize: ProbsNormalize,
    pub class_mask: Option<Vec<u8>>,
    pub label_matrix: Option<Vec<f64>>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            reduction: Reduction::Mean,
            denominator: Denominator::Weights,
            ignore: Vec::new(),
            invalid_label: InvalidLabel::Throw,
            class_weight: None,
            sample_weight: None,
            label_smoothing: 0.0,
            smoothing_weights: SmoothingWeights::Class,
            empty_mean: EmptyMean::Zero,
            upstream: Upstream::One(1.0),
            z_loss: 0.0,
            focal_gamma: 0.0,
            poly1_epsilon: 0.0,
            gce_q: 0.0,
            softcap: 0.0,
            logit_scale: 1.0,
            input: Input::Logits,
            probs_epsilon: 1e-7,
            probs_normalize: ProbsNormalize::Before,
            class_mask: None,
            label_matrix: None,
        }
    }
}

impl Settings {
    /// Row losses, gradient by an upstream of 1.
    pub fn none() -> Self {
        Settings { reduction: Reduction::None, ..Settings::default() }
    }

    /// The options as the definition has them.
    pub fn reference(&self) -> Options<'_> {
        Options {
            reduction: match self.reduction {
                Reduction::None => reference::Reduction::None,
                Reduction::Sum => reference::Reduction::Sum,
                Reduction::Mean => reference::Reduction::Mean,
            },
            denominator: match self.denominator {
                Denominator::Weights => reference::Denominator::Weights,
                Denominator::Valid => reference::Denominator::Valid,
                Denominator::All => reference::Denominator::All,
                Denominator::NonZero => reference::Denominator::Nonzero,
                Denominator::Count(count) => reference::Denominator::Number(count),
            },
            ignore: &self.ignore,
            invalid_label: match self.invalid_label {
                InvalidLabel::Throw => reference::InvalidLabel::Throw,
                InvalidLabel::Nan => reference::InvalidLabel::Nan,
                InvalidLabel::Ignore => reference::InvalidLabel::Ignore,
            },
            class_weight: self.class_weight.as_deref(),
            sample_weight: self.sample_weight.as_deref().map_or(PerRow::Same(1.0), PerRow::Each),
            label_smoothing: self.label_smoothing,
            smoothing_weights: match self.smoothing_weights {
                SmoothingWeights::Class => reference::SmoothingWeights::Class,
                SmoothingWeights::Row => reference::SmoothingWeights::Row,
            },
            empty_mean: match self.empty_mean {
                EmptyMean::Zero => reference::EmptyMean::Zero,
                EmptyMean::Nan => reference::EmptyMean::Nan,
            },
            upstream: match &self.upstream {
                Upstream::One(value) => PerRow::Same(*value),
                Upstream::Each(values) => PerRow::Each(values),
            },
            z_loss: self.z_loss,
            focal_gamma: self.focal_gamma,
            poly1_epsilon: self.poly1_epsilon,
            gce_q: self.gce_q,
            softcap: self.softcap,
            logit_scale: self.logit_scale,
            input: match (self.input, self.probs_normalize) {
                (Input::Logits, _) => reference::Input::Logits,
                (Input::LogProbs, _) => reference::Input::LogProbs,
                (Input::Probs, ProbsNormalize::Before) => {
                    reference::Input::Probs(reference::Normalize::Before, self.probs_epsilon)
                }
                (Input::Probs, ProbsNormalize::After) => {
                    reference::Input::Probs(reference::Normalize::After, self.probs_epsilon)
                }
                (Input::Probs, ProbsNormalize::None) => {
                    reference::Input::Probs(reference::Normalize::Never, self.probs_epsilon)
                }
            },
            class_mask: self.class_mask.as_deref(),
            label_matrix: self.label_matrix.as_deref(),
        }
    }

    /// The operation with these options.
    pub fn operation(&self, kernel: Kernel) -> CrossEntropy<'_> {
        let mut op = CrossEntropy::new()
            .kernel(kernel)
            .reduction(self.reduction)
            .denominator(self.denominator)
            .invalid_label(self.invalid_label)
            .label_smoothing(self.label_smoothing)
            .smoothing_weights(self.smoothing_weights)
            .empty_mean(self.empty_mean)
            .z_loss(self.z_loss)
            .focal_gamma(self.focal_gamma)
            .poly1_epsilon(self.poly1_epsilon)
            .gce_q(self.gce_q)
            .softcap(self.softcap)
            .logit_scale(self.logit_scale)
            .input(self.input)
            .probs_epsilon(self.probs_epsilon)
            .probs_normalize(self.probs_normalize);
        for label in &self.ignore {
            op = op.ignore_index(*label);
        }
        if let Some(weights) = &self.class_weight {
            op = op.class_weight(weights);
        }
        if let Some(weights) = &self.sample_weight {
            op = op.sample_weight(weights);
        }
        op = match &self.upstream {
            Upstream::One(value) => op.upstream(*value),
            Upstream::Each(values) => op.upstream(values),
        };
        if let Some(mask) = &self.class_mask {
            op = op.class_mask(mask);
        }
        if let Some(matrix) = &self.label_matrix {
            op = op.label_matrix(matrix);
        }
        op
    }
}

/// One problem, its options and a name that says why it is there.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// outer, classes, inner.
    pub shape: [usize; 3],
    pub logits: Vec<f64>,
    pub labels: Vec<i64>,
    pub set: Settings,
}

impl Case {
    pub fn new(name: &str, shape: [usize; 3], logits: &[f64], labels: &[i64], set: Settings) -> Self {
        assert_eq!(logits.len(), shape.iter().product::<usize>(), "{name}: number of logits");
        assert_eq!(labels.len(), shape[0] * shape[2], "{name}: number of labels");
        Case { name: name.to_owned(), shape, logits: logits.to_vec(), labels: labels.to_vec(), set }
    }

    /// The case with every logit rounded to `E`: what the operation is really given.
    pub fn rounded<E: Element>(mut self) -> Self {
        self.logits.iter_mut().for_each(|x| *x = E::from_f64(*x).to_f64());
        self
    }

    /// Whether all is computed in f64, and rounded when it is stored or added: probabilities and their logarithms, a label matrix, and
    /// class planes whose logits are capped.
    pub fn is_in_double(&self) -> bool {
        let capped_planes = self.set.softcap != 0.0 && self.shape[2] > 1;
        self.set.input != Input::Logits || self.set.label_matrix.is_some() || capped_planes
    }

    pub fn rows(&self) -> usize {
        self.shape[0] * self.shape[2]
    }

    /// Where class `class` of row `row` is.
    pub fn place(&self, row: usize, class: usize) -> usize {
        let [_, classes, inner] = self.shape;
        (row / inner * classes + class) * inner + row % inner
    }

    pub fn problem(&self) -> Problem<'_> {
        let [outer, classes, inner] = self.shape;
        Problem { outer, classes, inner, logits: &self.logits, labels: &self.labels }
    }

    /// By the definition.
    pub fn reference(&self) -> Result<Answer, BadLabel> {
        reference::cross_entropy(&self.problem(), &self.set.reference())
    }

    pub fn crate_shape(&self) -> Shape {
        Shape::new(&self.shape, 1).expect("a shape of a test")
    }

    pub fn logits_as<E: Element>(&self) -> Vec<E> {
        self.logits.iter().map(|x| E::from_f64(*x)).collect()
    }
}

/// Every kernel there is, but for `Best`, which is one of them.
pub const KERNELS: [Kernel; 4] = [Kernel::Lanes4, Kernel::Lanes4Fused, Kernel::Lanes8, Kernel::Lanes16];

/// Those that this processor has. The others are named, once, where no test's captured output can swallow it.
pub fn kernels() -> impl Iterator<Item = Kernel> {
    static NAMED: Once = Once::new();
    let is_there = |kernel: &Kernel| Kernel::supported().contains(kernel);
    NAMED.call_once(|| {
        for kernel in KERNELS.iter().filter(|kernel| !is_there(kernel)) {
            writeln!(std::io::stderr(), "skipped: {kernel:?}, which this processor does not have")
                .expect("stderr");
        }
    });
    KERNELS.into_iter().filter(is_there)
}

/// How a case is run.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub kernel: Kernel,
    pub executor: Executor,
    /// Whether every optional result is asked for.
    pub outputs: bool,
}

impl How {
    pub const fn with(kernel: Kernel) -> Self {
        How { kernel, executor: Executor::Serial, outputs: false }
    }

    pub fn on(self, threads: usize) -> Self {
        How { executor: Executor::Rayon { threads }, ..self }
    }

    pub fn with_outputs(self) -> Self {
        How { outputs: true, ..self }
    }

    pub fn operation(self, set: &Settings) -> CrossEntropy<'_> {
        let op = set.operation(self.kernel).executor(self.executor);
        if !self.outputs {
            return op;
        }
        let op = op.with_target_log_prob().with_predictions().with_per_class();
        if set.input == Input::Logits { op.with_log_sum_exp() } else { op }
    }
}

/// What a gradient buffer is painted with, so that an element that was never written shows.
pub const PAINT: f64 = 251.0;

/// The operation's answer and the gradient.
#[derive(Clone, Debug)]
pub struct Got<L, G> {
    pub out: Output<L>,
    pub grad: Vec<G>,
}

/// Loss and gradient, out of place.
pub fn run<E: Element, G: GradElement<E>>(case: &Case, how: How) -> Result<Got<E::PerRow, G>, Error> {
    let logits = case.logits_as::<E>();
    let mut grad = vec![G::from_f64(PAINT); logits.len()];
    let logits = Logits::new(&logits, case.crate_shape())?;
    let out = how.operation(&case.set).forward_backward(&logits, &case.labels, &mut grad)?;
    Ok(Got { out, grad })
}

/// Loss and gradient, the gradient over the logits.
pub fn run_in_place<E: Element>(case: &Case, how: How) -> Result<Got<E::PerRow, E>, Error> {
    let mut grad = case.logits_as::<E>();
    let mut logits = LogitsMut::new(&mut grad, case.crate_shape())?;
    let out = how.operation(&case.set).forward_backward_in_place(&mut logits, &case.labels)?;
    Ok(Got { out, grad })
}

/// Loss alone.
pub fn run_loss<E: Element>(case: &Case, how: How) -> Result<Output<E::PerRow>, Error> {
    let logits = case.logits_as::<E>();
    how.operation(&case.set).forward(&Logits::new(&logits, case.crate_shape())?, &case.labels)
}

/// The bits of a number.
pub fn raw<T: Element>(x: T) -> u64 {
    let x: &dyn Any = &x;
    x.downcast_ref::<f32>()
        .map(|x| u64::from(x.to_bits()))
        .or_else(|| x.downcast_ref::<f64>().map(|x| x.to_bits()))
        .or_else(|| x.downcast_ref::<f16>().map(|x| u64::from(x.to_bits())))
        .or_else(|| x.downcast_ref::<bf16>().map(|x| u64::from(x.to_bits())))
        .expect("one of the four element types")
}

/// The bits of numbers, NaNs included, for comparisons that mean every bit.
pub fn bits<T: Element>(values: &[T]) -> Vec<u64> {
    values.iter().map(|x| raw(*x)).collect()
}

/// The f64 values of numbers.
pub fn widened<T: Element>(values: &[T]) -> Vec<f64> {
    values.iter().map(|x| x.to_f64()).collect()
}
