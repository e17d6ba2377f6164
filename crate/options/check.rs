//! The ranges and exclusions of the options, judged when a call begins.

use super::{CrossEntropy, Denominator, Input, Reduction, RowValues};
use crate::Error;

/// The most labels that a call skips.
const MOST_IGNORED: usize = 16;

/// The ranges and exclusions of the options, but for lengths.
pub(crate) fn check(options: &CrossEntropy<'_>) -> Result<(), Error> {
    let range = |ok: bool, option: &'static str, got: f64, expected: &'static str| {
        if ok { Ok(()) } else { Err(Error::OptionRange { option, got, expected }) }
    };
    let not_negative = |got: f64, option: &'static str| {
        range(got >= 0.0 && got.is_finite(), option, got, "a finite number of at least 0")
    };
    let positive = |got: f64, option: &'static str| {
        range(got > 0.0 && got.is_finite(), option, got, "a finite number above 0")
    };
    let terms = &options.terms;
    let smoothing = terms.label_smoothing;
    range((0.0..=1.0).contains(&smoothing), "labelSmoothing", smoothing, "0..1")?;
    not_negative(terms.z_loss, "zLoss")?;
    not_negative(terms.focal_gamma, "focalGamma")?;
    range(terms.poly1_epsilon.is_finite(), "poly1Epsilon", terms.poly1_epsilon, "a finite number")?;
    range((0.0..=1.0).contains(&terms.gce_q), "gceQ", terms.gce_q, "0..1")?;
    not_negative(options.softcap, "softcap")?;
    positive(options.logit_scale, "logitScale")?;
    let clip = options.probs_epsilon;
    range(clip > 0.0 && clip < 0.5, "probsEpsilon", clip, "a number above 0 and below 0.5")?;
    let labels = options.ignore.len();
    range(labels <= MOST_IGNORED, "ignoreIndex", labels as f64, "at most 16 labels")?;
    if let Denominator::Count(count) = options.denominator {
        positive(count, "denominator")?;
    }
    if let Some((option, with)) = conflict(options) {
        return Err(Error::OptionConflict { option, with });
    }
    Ok(())
}

fn conflict(options: &CrossEntropy<'_>) -> Option<(&'static str, &'static str)> {
    let per_row = matches!(options.upstream, RowValues::PerRow(_));
    let excludes =
        options.input != Input::Logits || options.terms.gce_q != 0.0 || options.label_matrix.is_some();
    if !excludes && !per_row {
        return None;
    }
    let of_logits: &[_] = &[
        ("zLoss", options.terms.z_loss != 0.0),
        ("softcap", options.softcap != 0.0),
        ("logitScale", options.logit_scale != 1.0),
        ("outputs logSumExp", options.outputs.log_sum_exp),
        ("outputs topK, entropy or logProbs", options.outputs.needs_logits()),
    ];
    let of_label: &[_] = &[
        ("focalGamma", options.terms.focal_gamma != 0.0),
        ("poly1Epsilon", options.terms.poly1_epsilon != 0.0),
    ];
    let of_loss: &[_] =
        &[("gceQ", options.terms.gce_q != 0.0), ("labelSmoothing", options.terms.label_smoothing != 0.0)];
    let of_classes: &[_] =
        &[("classMask", options.class_mask.is_some()), ("labelMatrix", options.label_matrix.is_some())];
    let first = |lists: &[&[(&'static str, bool)]]| {
        lists.iter().copied().flatten().find(|(_, on)| *on).map(|(name, _)| *name)
    };
    let of_input = match options.input {
        Input::Logits => None,
        Input::LogProbs => first(&[of_logits]).zip(Some("input logProbs")),
        Input::Probs => first(&[of_logits, of_label, of_loss, of_classes]).zip(Some("input probs")),
    };
    if of_input.is_some() {
        return of_input;
    }
    if options.label_matrix.is_some() {
        let weights = options.class_weight.map(|_| "classWeight");
        if let Some(option) = weights.or_else(|| first(&[of_label, of_loss])) {
            return Some((option, "labelMatrix"));
        }
    }
    if options.terms.gce_q != 0.0
        && let Some(option) = first(&[of_label])
    {
        return Some((option, "gceQ"));
    }
    (per_row && options.reduction != Reduction::None)
        .then_some(("upstream per row", "a reduction other than none"))
}
