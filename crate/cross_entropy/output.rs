//! What a call comes to, in memory of its own.

use super::{Distribution, Results, Summary, zeros};
use crate::Error;
use crate::element::Element;
use crate::options::{CrossEntropy, Reduction};

/// What a call comes to. `L` is the type of per-row results: `f64` for `f64` logits, otherwise `f32`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Output<L> {
    /// The reduced loss, in nats; under [`Reduction::None`] the sum of `losses`.
    pub loss: f64,
    /// The weighted loss of each row under [`Reduction::None`], in the order of the labels; otherwise empty.
    pub losses: Vec<L>,
    /// The sum of the weighted row losses, each rounded to `L`; before the denominator, and without upstream.
    pub loss_sum: f64,
    /// The sum of the row weights over valid rows, the denominator of [`Denominator::Weights`](crate::Denominator::Weights).
    pub weight_sum: f64,
    /// Rows that are not ignored.
    pub valid_count: usize,
    /// Rows whose label was invalid, under [`InvalidLabel::Nan`](crate::InvalidLabel::Nan) or
    /// [`Ignore`](crate::InvalidLabel::Ignore).
    pub invalid_count: usize,
    /// All rows.
    pub row_count: usize,
    /// Rows whose loss is NaN or infinite.
    pub non_finite_count: usize,
    /// What the mean was divided by; 1 for other reductions.
    pub denominator: f64,
    /// The log-sum-exp of each row, where asked for; NaN for ignored and invalid rows.
    pub log_sum_exp: Vec<L>,
    /// `ln softmax[label]` of each row, where asked for: unweighted, at most 0; NaN for ignored and invalid rows.
    pub target_log_prob: Vec<L>,
    /// The first of the largest logits of each row, where asked for; -1 for ignored and invalid rows and rows with NaN.
    pub predictions: Vec<i32>,
    /// Valid rows whose prediction is their label, where predictions or `per_class` were asked for.
    pub correct_count: Option<usize>,
    /// Sums by label, where asked for.
    pub per_class: Option<PerClass>,
    /// The largest classes of each row, where asked for.
    pub top_k: Option<TopK<L>>,
    /// How many classes come before the label in the order of [`TopK`], where asked for: 0 where the prediction is right; -1 as there.
    pub target_rank: Vec<i32>,
    /// `-sum p ln p` of each row, in nats, where asked for; NaN for ignored and invalid rows and those whose loss is NaN.
    pub entropy: Vec<L>,
    /// `ln p` of each class of each row, where asked for, as the logits lie; -inf for classes that are not kept, NaN as for the entropy.
    pub log_probs: Vec<L>,
}

impl<L> Output<L> {
    /// What an element-wise operation comes to.
    pub(crate) fn of_elements(summary: &Summary, losses: Vec<L>, elements: usize) -> Self {
        Self {
            loss: summary.loss,
            losses,
            loss_sum: summary.loss_sum,
            weight_sum: summary.weight_sum,
            valid_count: summary.valid,
            invalid_count: summary.invalid,
            row_count: elements,
            non_finite_count: summary.non_finite,
            denominator: summary.denominator,
            log_sum_exp: Vec::new(),
            target_log_prob: Vec::new(),
            predictions: Vec::new(),
            correct_count: None,
            per_class: None,
            top_k: None,
            target_rank: Vec::new(),
            entropy: Vec::new(),
            log_probs: Vec::new(),
        }
    }
}

impl<L: Element> Output<L> {
    /// What a computation under these options comes to, over arrays of its own.
    pub(crate) fn collected(
        options: &CrossEntropy<'_>,
        rows: usize,
        classes: usize,
        compute: impl FnOnce(Results<'_>) -> Result<Summary, Error>,
    ) -> Result<Self, Error> {
        let wanted = options.outputs;
        let mut losses = zeros(rows)?;
        let mut log_sum_exp = zeros_if(wanted.log_sum_exp, rows)?;
        let mut target_log_prob = zeros_if(wanted.target_log_prob, rows)?;
        let mut predictions = zeros_if(wanted.predictions || wanted.per_class, rows)?;
        let mut per_class = zeros_if(wanted.per_class, 4 * classes)?;
        // More than there are will be refused.
        let k = if wanted.top_k <= classes { wanted.top_k } else { 0 };
        let (mut values, mut top_classes) = (zeros(rows.saturating_mul(k))?, zeros(rows.saturating_mul(k))?);
        let mut target_rank = zeros_if(wanted.target_rank, rows)?;
        let mut entropy = zeros_if(wanted.entropy, rows)?;
        let mut log_probs = zeros_if(wanted.log_probs, rows.saturating_mul(classes))?;
        let distribution = Distribution {
            top: (k > 0).then_some((L::target(&mut values), &mut top_classes)),
            target_rank: some_if(wanted.target_rank, &mut target_rank),
            entropy: some_if(wanted.entropy, &mut entropy).map(L::target),
            log_probs: some_if(wanted.log_probs, &mut log_probs).map(L::target),
        };
        let results = Results {
            losses: L::target(&mut losses),
            log_sum_exp: some_if(wanted.log_sum_exp, &mut log_sum_exp).map(L::target),
            target_log_prob: some_if(wanted.target_log_prob, &mut target_log_prob).map(L::target),
            predictions: some_if(wanted.predictions || wanted.per_class, &mut predictions),
            per_class: some_if(wanted.per_class, &mut per_class),
            distribution: distribution.if_any(),
        };
        let summary = compute(results)?;
        if options.reduction != Reduction::None {
            losses = Vec::new();
        }
        if !wanted.predictions {
            predictions = Vec::new();
        }
        let mut columns = per_class.chunks_exact(classes).map(<[f64]>::to_vec);
        let mut column = || columns.next().unwrap_or_default();
        Ok(Self {
            log_sum_exp,
            target_log_prob,
            predictions,
            correct_count: (wanted.predictions || wanted.per_class).then_some(summary.correct),
            per_class: wanted.per_class.then(|| PerClass {
                loss: column(),
                weight: column(),
                count: column(),
                correct: column(),
            }),
            top_k: (k > 0).then_some(TopK { k, values, classes: top_classes }),
            target_rank,
            entropy,
            log_probs,
            ..Self::of_elements(&summary, losses, rows)
        })
    }
}

/// Sums over the valid rows of each label; vectors of `classes` entries, that of a label without rows 0.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct PerClass {
    /// Weighted losses.
    pub loss: Vec<f64>,
    /// Row weights.
    pub weight: Vec<f64>,
    /// Rows.
    pub count: Vec<f64>,
    /// Rows whose prediction is their label.
    pub correct: Vec<f64>,
}

/// The `k` largest logits of each row: the largest first, of equals the first class. Both vectors are `[rows][k]`.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct TopK<L> {
    /// How many of each row.
    pub k: usize,
    /// `ln p` of them: NaN for ignored and invalid rows and those whose loss is NaN, -inf where there are fewer classes that are kept.
    pub values: Vec<L>,
    /// Which classes they are: -1 for ignored and invalid rows, rows with NaN, and where there are fewer classes that are kept.
    pub classes: Vec<i32>,
}

fn zeros_if<T: Copy + Default>(wanted: bool, length: usize) -> Result<Vec<T>, Error> {
    if wanted { zeros(length) } else { Ok(Vec::new()) }
}

fn some_if<T>(wanted: bool, slice: &mut [T]) -> Option<&mut [T]> {
    wanted.then_some(slice)
}
