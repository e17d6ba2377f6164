//! The definition of the operation in f64, one row at a time in three plain passes: maxima, sums, gradient.
//!
//! For tests, benches and readers. It uses nothing of the crate and nothing of the crate uses it, so that the
//! kernels have something independent to agree with. It is written to be read, not to be fast: it allocates per row.
//!
//! A row is one position (o, i) of (outer, inner); class k of it is at `(o * classes + k) * inner + i`.
//!
//! ```
//! use sparse_xent::reference::{Options, Problem, cross_entropy};
//! use sparse_xent::{CrossEntropy, Logits, Shape};
//!
//! let x = [0.5, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0];
//! let problem = Problem { outer: 2, classes: 4, inner: 1, logits: &x, labels: &[2, 0] };
//! let plain = cross_entropy(&problem, &Options { label_smoothing: 0.1, ..Options::default() }).unwrap();
//! let logits = Logits::new(&x, Shape::new(&[2, 4], -1)?)?;
//! let fast = CrossEntropy::new().label_smoothing(0.1).forward(&logits, &[2, 0])?;
//! assert!((fast.loss - plain.loss).abs() < 1e-15);
//! # Ok::<(), sparse_xent::Error>(())
//! ```

mod outputs;
mod row;

pub use row::RowStats;

/// How the row losses become one number, and what the gradient is the gradient of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reduction {
    /// The weighted row losses themselves.
    None,
    /// Their sum.
    Sum,
    /// Their sum over the [`Denominator`].
    Mean,
}

/// What [`Reduction::Mean`] divides by. All sums are over valid rows: those whose label is not ignored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Denominator {
    /// Sum of the row weights.
    Weights,
    /// Count of valid rows.
    Valid,
    /// Count of all rows.
    All,
    /// Count of valid rows whose weight is not 0.
    Nonzero,
    /// A given number.
    Number(f64),
}

/// What a label outside `0..classes`, or one taken out by the class mask, means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InvalidLabel {
    /// The whole call is refused: [`BadLabel`].
    Throw,
    /// Loss and gradient of the row are NaN; the row is valid with its sample weight.
    Nan,
    /// The row is ignored.
    Ignore,
}

/// What label smoothing weighs the classes with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SmoothingWeights {
    /// Each class with its own class weight.
    Class,
    /// All classes with the row weight.
    Row,
}

/// The mean when the denominator is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EmptyMean {
    /// Loss 0, gradient 0.
    Zero,
    /// Loss NaN, gradient NaN in valid rows.
    Nan,
}

/// What the input numbers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// Unnormalised scores.
    Logits,
    /// Logarithms of probabilities.
    LogProbs,
    /// Probabilities, clipped to `epsilon..=1 - epsilon`.
    Probs(Normalize, f64),
}

/// When probabilities are divided by their sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalize {
    /// Before clipping.
    Before,
    /// After clipping.
    After,
    /// Never.
    Never,
}

/// One number for all rows, or one per row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PerRow<'a> {
    /// The same for every row.
    Same(f64),
    /// One per row.
    Each(&'a [f64]),
}

impl PerRow<'_> {
    fn at(&self, row: usize) -> f64 {
        match self {
            PerRow::Same(value) => *value,
            PerRow::Each(values) => values[row],
        }
    }
}

/// Every option of the operation, with its default in [`Options::default`].
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the option of the same name of `CrossEntropy`")]
pub struct Options<'a> {
    pub reduction: Reduction,
    pub denominator: Denominator,
    pub ignore: &'a [i64],
    pub invalid_label: InvalidLabel,
    pub class_weight: Option<&'a [f64]>,
    pub sample_weight: PerRow<'a>,
    pub label_smoothing: f64,
    pub smoothing_weights: SmoothingWeights,
    pub empty_mean: EmptyMean,
    pub upstream: PerRow<'a>,
    pub z_loss: f64,
    pub focal_gamma: f64,
    pub poly1_epsilon: f64,
    pub gce_q: f64,
    pub softcap: f64,
    pub logit_scale: f64,
    pub input: Input,
    pub class_mask: Option<&'a [u8]>,
    pub label_matrix: Option<&'a [f64]>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            reduction: Reduction::Mean,
            denominator: Denominator::Weights,
            ignore: &[],
            invalid_label: InvalidLabel::Throw,
            class_weight: None,
            sample_weight: PerRow::Same(1.0),
            label_smoothing: 0.0,
            smoothing_weights: SmoothingWeights::Class,
            empty_mean: EmptyMean::Zero,
            upstream: PerRow::Same(1.0),
            z_loss: 0.0,
            focal_gamma: 0.0,
            poly1_epsilon: 0.0,
            gce_q: 0.0,
            softcap: 0.0,
            logit_scale: 1.0,
            input: Input::Logits,
            class_mask: None,
            label_matrix: None,
        }
    }
}

impl Options<'_> {
    fn keeps(&self, class: usize) -> bool {
        self.class_mask.is_none_or(|mask| mask[class] != 0)
    }

    fn class_weight_of(&self, class: usize) -> f64 {
        self.class_weight.map_or(1.0, |weights| weights[class])
    }
}

/// The numbers the operation works on.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Positions before the class axis.
    pub outer: usize,
    /// Length of the class axis.
    pub classes: usize,
    /// Positions after the class axis.
    pub inner: usize,
    /// `outer * classes * inner` numbers.
    pub logits: &'a [f64],
    /// One label per row, row `o * inner + i`.
    pub labels: &'a [i64],
}

impl Problem<'_> {
    fn place(&self, row: usize, class: usize) -> usize {
        (row / self.inner * self.classes + class) * self.inner + row % self.inner
    }

    /// The logits of one row.
    pub fn row(&self, row: usize) -> Vec<f64> {
        (0..self.classes).map(|class| self.logits[self.place(row, class)]).collect()
    }
}

/// A label that [`InvalidLabel::Throw`] refuses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadLabel {
    /// The first such row.
    pub row: usize,
    /// Its label.
    pub label: i64,
    /// How many such rows there are.
    pub count: usize,
}

/// Everything the operation can say about a problem.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the field of the same name of `Output`")]
pub struct Answer {
    /// The sum for [`Reduction::None`].
    pub loss: f64,
    pub losses: Vec<f64>,
    pub grad: Vec<f64>,
    pub loss_sum: f64,
    pub weight_sum: f64,
    pub valid_count: usize,
    pub invalid_count: usize,
    pub row_count: usize,
    pub non_finite_count: usize,
    pub denominator: f64,
    pub correct_count: usize,
    pub log_sum_exp: Vec<f64>,
    pub target_log_prob: Vec<f64>,
    /// -1 where there is none.
    pub predictions: Vec<i64>,
    /// loss, weight, count, correct of each class.
    pub per_class: Vec<[f64; 4]>,
    /// How many kept classes come before the label: those with a larger logit, and those before it with the same. -1 where a row has a NaN.
    pub target_rank: Vec<i64>,
    pub entropy: Vec<f64>,
    /// As the logits lie.
    pub log_probs: Vec<f64>,
}

/// What becomes of a row; decided in this order, labels before weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Its label is to be skipped: loss 0, gradient 0, unread.
    Ignored,
    /// Its label names no class that is kept.
    Invalid,
    /// Its weights make loss and gradient 0: unread.
    Inactive,
    /// All others.
    Active,
}

/// The kind of a row. An invalid label is `Invalid` here whatever [`InvalidLabel`] makes of it.
pub fn kind_of(problem: &Problem<'_>, options: &Options<'_>, row: usize) -> Kind {
    let label = problem.labels[row];
    if options.ignore.contains(&label) {
        return Kind::Ignored;
    }
    let Some(class) = usize::try_from(label).ok().filter(|class| *class < problem.classes) else {
        return Kind::Invalid;
    };
    if !options.keeps(class) {
        return Kind::Invalid;
    }
    let smooths = options.label_smoothing > 0.0 && options.smoothing_weights == SmoothingWeights::Class;
    let sample = options.sample_weight.at(row);
    let weight = options.class_weight_of(class) * sample;
    if sample == 0.0 || (weight == 0.0 && !smooths) { Kind::Inactive } else { Kind::Active }
}

/// Loss, gradient and all other results.
///
/// # Errors
/// [`BadLabel`] under [`InvalidLabel::Throw`]. Ranges of options and lengths are the caller's business.
pub fn cross_entropy(problem: &Problem<'_>, options: &Options<'_>) -> Result<Answer, BadLabel> {
    let rows = problem.outer * problem.inner;
    let kinds: Vec<Kind> = (0..rows).map(|row| kind_of(problem, options, row)).collect();
    let bad: Vec<usize> = (0..rows).filter(|row| kinds[*row] == Kind::Invalid).collect();
    if let (InvalidLabel::Throw, Some(&row)) = (options.invalid_label, bad.first()) {
        return Err(BadLabel { row, label: problem.labels[row], count: bad.len() });
    }
    let is_valid = |row: usize| match kinds[row] {
        Kind::Ignored => false,
        Kind::Invalid => options.invalid_label == InvalidLabel::Nan,
        Kind::Inactive | Kind::Active => true,
    };
    let label_of = |row: usize| usize::try_from(problem.labels[row]).unwrap_or(usize::MAX);
    let weight_of = |row: usize| match kinds[row] {
        Kind::Invalid => options.sample_weight.at(row),
        _ => options.sample_weight.at(row) * options.class_weight_of(label_of(row)),
    };
    let valid = || (0..rows).filter(|row| is_valid(*row));
    let weight_sum: f64 = valid().map(weight_of).sum();
    let valid_count = valid().count();
    let denominator = match (options.reduction, options.denominator) {
        (Reduction::None | Reduction::Sum, _) => 1.0,
        (_, Denominator::Weights) => weight_sum,
        (_, Denominator::Valid) => valid_count as f64,
        (_, Denominator::All) => rows as f64,
        (_, Denominator::Nonzero) => valid().filter(|row| weight_of(*row) != 0.0).count() as f64,
        (_, Denominator::Number(number)) => number,
    };

    let mut answer = Answer {
        loss: 0.0,
        losses: vec![0.0; rows],
        grad: vec![0.0; problem.logits.len()],
        loss_sum: 0.0,
        weight_sum,
        valid_count,
        invalid_count: bad.len(),
        row_count: rows,
        non_finite_count: 0,
        denominator,
        correct_count: 0,
        log_sum_exp: vec![f64::NAN; rows],
        target_log_prob: vec![f64::NAN; rows],
        predictions: vec![-1; rows],
        per_class: vec![[0.0; 4]; problem.classes],
        target_rank: vec![-1; rows],
        entropy: vec![f64::NAN; rows],
        log_probs: vec![f64::NAN; problem.logits.len()],
    };
    for row in valid() {
        let factor = options.upstream.at(row) / denominator;
        let element = |grad: f64| match (denominator == 0.0, options.empty_mean, kinds[row]) {
            (true, EmptyMean::Zero, _) => 0.0,
            (true, EmptyMean::Nan, _) | (_, _, Kind::Invalid) => f64::NAN,
            // A factor of 0 is no part of the loss: 0, however infinite the gradient.
            (_, _, Kind::Active) if factor != 0.0 => factor * grad,
            _ => 0.0,
        };
        let given = problem.row(row);
        let x = options.capped(&given);
        let (loss, grad) = match kinds[row] {
            Kind::Active => row::active(&x, label_of(row), options.sample_weight.at(row), options),
            Kind::Inactive => (0.0, vec![0.0; problem.classes]),
            Kind::Ignored | Kind::Invalid => (f64::NAN, vec![f64::NAN; problem.classes]),
        };
        answer.losses[row] = loss;
        for (class, grad) in grad.into_iter().enumerate() {
            let grad = if grad == 0.0 { grad } else { grad * options.slope_of_cap(given[class]) };
            answer.grad[problem.place(row, class)] = if options.keeps(class) { element(grad) } else { 0.0 };
        }
        if kinds[row] != Kind::Invalid {
            let own = outputs::Row { problem, options, row, label: label_of(row), weight: weight_of(row) };
            own.tell(&mut answer, &given, &x);
        }
    }
    answer.loss_sum = answer.losses.iter().sum();
    answer.non_finite_count = answer.losses.iter().filter(|loss| !loss.is_finite()).count();
    answer.loss = match (denominator, options.empty_mean) {
        (0.0, EmptyMean::Zero) => 0.0,
        (0.0, EmptyMean::Nan) => f64::NAN,
        _ => answer.loss_sum / denominator,
    };
    Ok(answer)
}
