//! What is told of a row beside its loss and gradient.

use super::row::{self, RowStats, sum};
use super::{Answer, Input, Options, Problem};

/// A valid row.
pub(super) struct Row<'a> {
    pub(super) problem: &'a Problem<'a>,
    pub(super) options: &'a Options<'a>,
    pub(super) row: usize,
    pub(super) label: usize,
    pub(super) weight: f64,
}

impl Row<'_> {
    /// Weights play no part but in `per_class`. A cap changes no order, so prediction and ranks are those of the logits as they were given;
    /// `x` are the capped ones.
    pub(super) fn tell(&self, answer: &mut Answer, given: &[f64], x: &[f64]) {
        let Self { options, row, label, weight, .. } = *self;
        let kept = || (0..x.len()).filter(|class| options.keeps(*class));
        let top = kept().reduce(|best, class| if given[class] > given[best] { class } else { best });
        let has_nan = kept().any(|class| x[class].is_nan());
        let prediction = top.filter(|_| !has_nan);
        let is_correct = prediction == Some(label);
        answer.predictions[row] = prediction.and_then(|class| i64::try_from(class).ok()).unwrap_or(-1);
        answer.correct_count += usize::from(is_correct);

        let stats = RowStats::of(x, label, options.logit_scale, |class| options.keeps(class));
        answer.target_log_prob[row] = match (options.input, &stats) {
            (Input::Logits, Some(stats)) => -stats.surprise[label],
            (Input::Logits, None) => f64::NAN,
            (Input::LogProbs, _) => x[label],
            (Input::Probs(normalize, epsilon), _) => -row::probs(x, label, normalize, epsilon).loss,
        };
        if let (Input::Logits, Some(stats)) = (options.input, &stats) {
            answer.log_sum_exp[row] = options.logit_scale * stats.max + stats.ln_sum;
        }
        if options.input == Input::Logits {
            self.tell_distribution(answer, stats.as_ref());
        }
        if !has_nan {
            let is_before =
                |class: usize| given[class] > given[label] || (given[class] == given[label] && class < label);
            let rank = kept().filter(|class| is_before(*class)).count();
            answer.target_rank[row] = i64::try_from(rank).unwrap_or(-1);
        }
        let totals = &mut answer.per_class[label];
        totals[0] += answer.losses[row];
        totals[1] += weight;
        totals[2] += 1.0;
        totals[3] += f64::from(u8::from(is_correct));
    }

    /// The entropy and the log-probabilities.
    fn tell_distribution(&self, answer: &mut Answer, stats: Option<&RowStats>) {
        let Self { problem, options, row, .. } = *self;
        let kept = || (0..problem.classes).filter(|class| options.keeps(*class));
        for class in 0..problem.classes {
            answer.log_probs[problem.place(row, class)] = match stats {
                _ if !options.keeps(class) => f64::NEG_INFINITY,
                Some(stats) => -stats.surprise[class],
                None => f64::NAN,
            };
        }
        let Some(stats) = stats else { return };
        // A class without probability adds nothing, whatever its logarithm is.
        let each =
            |class: usize| if stats.p[class] == 0.0 { 0.0 } else { stats.p[class] * stats.surprise[class] };
        answer.entropy[row] = sum(kept().map(each));
    }
}
