//! Single precision against the definition in f64, for each implementation of the vectors.

use super::{Outcomes, SingleTerms, Smoothed, Spread, Terms};
use crate::Element;
use crate::math::{Exp, Ln};
use crate::objective::{Outcome, RowStats, RowWeights};
use crate::simd::{Isa, Kernel, Task};

const CLASSES: f64 = 10.0;

/// A row, and what it comes to in single precision: loss, scale, bias, target.
#[derive(Debug, Clone, Copy)]
struct Row {
    terms: SingleTerms,
    outcome: Outcome,
    moment: f64,
    weights: RowWeights,
    step: f64,
}

impl Task for Row {
    type Output = [f64; 4];

    fn run<I: Isa>(self) -> [f64; 4] {
        let Self { terms, outcome, moment, weights, step } = self;
        I::enter(
            #[inline(always)]
            || {
                let single = |x: f64| I::splat(f32::from_f64(x));
                let outcomes = Outcomes {
                    nll: single(outcome.nll),
                    log_sum_exp: single(outcome.log_sum_exp),
                    ln_total: single(outcome.ln_total),
                    miss: single(outcome.miss),
                    hit: single(outcome.hit),
                    factor: single(outcome.factor),
                    label: single(outcome.hit),
                    others: single(outcome.miss),
                };
                let spread = || Spread {
                    moment: single(moment),
                    sample: single(weights.sample),
                    sample_step: single(step * weights.sample),
                    others: single(weights.moment_total - weights.class),
                };
                let functions = (Exp::<I>::new(), Ln::<I>::new());
                let given = (single(weights.row), single(step * weights.row));
                let row = terms.rows::<I>(&functions, &outcomes, given, spread);
                [row.loss, row.scale, row.bias, row.target].map(|v| f64::from(I::lanes(v).as_ref()[0]))
            },
        )
    }
}

/// Every option by itself, and those that meet in one formula.
fn options() -> Vec<Terms> {
    let off = Terms::default();
    let mut list = vec![off];
    list.extend([0.1, 0.5, 1.0].map(|label_smoothing| Terms { label_smoothing, ..off }));
    list.extend([1e-4, 0.25].map(|z_loss| Terms { z_loss, ..off }));
    list.extend([0.5, 1.0, 2.0, 3.5].map(|focal_gamma| Terms { focal_gamma, ..off }));
    list.extend([-1.0, 0.5, 2.0].map(|poly1_epsilon| Terms { poly1_epsilon, ..off }));
    list.extend([1e-30, 1e-6, 0.01, 0.3, 0.7, 1.0].map(|gce_q| Terms { gce_q, ..off }));
    let mixed = Terms { label_smoothing: 0.2, z_loss: 0.01, ..off };
    list.push(Terms { focal_gamma: 2.0, poly1_epsilon: 1.0, ..mixed });
    list.push(Terms { gce_q: 0.7, ..mixed });
    list
}

/// By how much the label leads, and what the exponentials of the others add up to: from a label that is sure to one that is far behind.
const LEADS: [f64; 13] = [60.0, 30.0, 12.0, 5.0, 2.0, 0.5, 0.0, -0.5, -2.0, -5.0, -12.0, -30.0, -60.0];
const RESTS: [f64; 3] = [1.0, 1.75, 9.0];

#[test]
fn single_precision_agrees_with_the_definition() {
    let weights = [
        RowWeights { row: 1.0, sample: 1.0, class: 1.0, moment_total: CLASSES },
        RowWeights { row: 1.5, sample: 0.75, class: 2.0, moment_total: 7.5 },
        RowWeights { row: -0.5, sample: -2.0, class: 0.25, moment_total: 12.0 },
    ];
    let mut compared = 0;
    for kernel in Kernel::supported() {
        let kernel = kernel.choose().expect("a kernel that the processor has");
        for terms in options() {
            for (by_class, weights) in weights.iter().flat_map(|weights| [(false, weights), (true, weights)])
            {
                for (lead, rest) in LEADS.into_iter().flat_map(|lead| RESTS.map(|rest| (lead, rest))) {
                    let (shift, moment, step) = (0.5, -3.25, 0.125);
                    let outcome = Outcome::new(1.0, &RowStats { shift, label: shift + lead, rest, moment });
                    let smoothed = Smoothed { by_class, classes: CLASSES };
                    let want = terms.row(&outcome, smoothed, moment, weights, step);
                    let single = SingleTerms::new(&terms, CLASSES, by_class).expect("options that fit");
                    let got = kernel.run(Row { terms: single, outcome, moment, weights: *weights, step });
                    let most = magnitudes(&terms, &outcome, smoothed, moment, weights);
                    let bound = |magnitude: f64| 64.0 * f64::from(f32::EPSILON) * magnitude + 1e-36;
                    let [loss, scale, bias, target] = got;
                    let target_of = want.gradient.target.expect("a target without a matrix");
                    for (what, got, want, magnitude) in [
                        ("loss", loss, want.loss, most[0]),
                        ("scale", scale, want.gradient.scale, step * most[1] * outcome.factor),
                        ("bias", bias, want.gradient.bias, want.gradient.bias.abs()),
                        ("target", target, target_of, step * most[2]),
                    ] {
                        let error = (got - want).abs();
                        assert!(
                            error <= bound(magnitude),
                            "{what} is {got:e}, not {want:e}: {terms:?}, lead {lead}, rest {rest}, {weights:?}, {kernel:?}"
                        );
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 10_000, "{compared} numbers compared");
}

/// The sums of the magnitudes of the terms: of the loss, of the gradient's common factor and of its element at the label.
fn magnitudes(
    terms: &Terms,
    outcome: &Outcome,
    smoothed: Smoothed,
    moment: f64,
    weights: &RowWeights,
) -> [f64; 3] {
    let Outcome { nll, log_sum_exp, ln_total, miss, hit, .. } = *outcome;
    let (value, slope) = Terms { poly1_epsilon: terms.poly1_epsilon.abs(), ..*terms }.target(nll, miss, hit);
    let kept = (1.0 - terms.label_smoothing) * weights.row.abs();
    let (outside, own) = smoothed.of(weights);
    let total = if smoothed.by_class { weights.moment_total } else { CLASSES };
    let share = terms.label_smoothing * outside.abs() / CLASSES;
    let pull = terms.z_loss * weights.row.abs();
    // Focal's power amplifies what rounding takes from its base.
    let powers = 1.0 + terms.focal_gamma;
    let target = powers * kept * slope.abs();
    let spread = share * total;
    let tilt = 2.0 * pull * log_sum_exp.abs();
    let loss = powers * kept * value.abs()
        + share * (own * nll + (total - own) * ln_total.abs() + moment.abs())
        + pull * log_sum_exp * log_sum_exp;
    let others = share * (total - own) + tilt;
    let at_label = if miss < 0.5 {
        others + (target + spread + tilt) * miss
    } else {
        (target + spread + tilt) * hit + share * own + target
    };
    [loss, target + spread + tilt, at_label]
}

#[test]
fn the_generalised_loss_keeps_its_digits() {
    // (1 - p^q) / q = t - q t^2 / 2 + ... for small q t, with t = -ln p.
    for q in [1e-300, 1e-12, 1e-3, 0.5, 1.0] {
        for nll in [1e-300, 1e-20, 1e-8] {
            let terms = Terms { gce_q: q, ..Terms::default() };
            let (value, slope) = terms.target(nll, nll, 1.0 - nll);
            let want = nll - q * nll * nll / 2.0;
            assert!((value / want - 1.0).abs() < 1e-15, "{value:e}, not {want:e}, at q {q:e}");
            assert!((slope - (1.0 - q * nll)).abs() < 1e-15, "slope {slope} at q {q:e}, {nll:e}");
        }
        let terms = Terms { gce_q: q, ..Terms::default() };
        assert_eq!(terms.target(f64::INFINITY, 1.0, 0.0), (1.0 / q, 0.0), "a label that cannot be");
    }
}
