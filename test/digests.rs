//! One battery of seeded cases in both languages: each twin here and each wasm file (digests.test.ts) must give the
//! digests recorded in digests.json, which so hold results to the bit across machines, engines and commits.
//!
//! A case draws, in this order, logits, labels, class weights and sample weights from the generator of draw.rs. Its
//! digest runs over the words of the gradient, then of the losses (under a reduction, of the loss as f64). When bits are
//! meant to change, the message of the failing test has the new digests.

use crate::digest::{Digest, TWINS, assert_recorded};
use crate::draw::Draw;
use crate::support::{Case, Got, How, Settings, Upstream, run};
use serde::Deserialize;
use sparse_xent::{Denominator, Element, Kernel, Reduction, SmoothingWeights, bf16, f16};

#[derive(Deserialize)]
struct Battery {
    cases: Vec<Seeded>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Seeded {
    name: String,
    seed: u32,
    dtype: String,
    shape: [usize; 3],
    magnitude: f64,
    class_weight: bool,
    sample_weight: bool,
    options: Chosen,
    simd: String,
    relaxed: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Chosen {
    #[serde(default)]
    reduction: String,
    #[serde(default)]
    denominator: String,
    ignore_index: Option<i64>,
    #[serde(default)]
    smoothing_weights: String,
    #[serde(default)]
    label_smoothing: f64,
    #[serde(default)]
    z_loss: f64,
    #[serde(default)]
    focal_gamma: f64,
    #[serde(default)]
    poly1_epsilon: f64,
    #[serde(default)]
    gce_q: f64,
    #[serde(default)]
    softcap: f64,
    #[serde(default = "one")]
    logit_scale: f64,
    #[serde(default = "one")]
    upstream: f64,
}

fn one() -> f64 {
    1.0
}

impl Chosen {
    fn settings(&self) -> Settings {
        Settings {
            reduction: match self.reduction.as_str() {
                "none" => Reduction::None,
                "sum" => Reduction::Sum,
                "mean" | "" => Reduction::Mean,
                other => panic!("reduction {other}"),
            },
            denominator: match self.denominator.as_str() {
                "weights" | "" => Denominator::Weights,
                "valid" => Denominator::Valid,
                other => panic!("denominator {other}"),
            },
            ignore: self.ignore_index.into_iter().collect(),
            smoothing_weights: match self.smoothing_weights.as_str() {
                "class" | "" => SmoothingWeights::Class,
                "row" => SmoothingWeights::Row,
                other => panic!("smoothingWeights {other}"),
            },
            label_smoothing: self.label_smoothing,
            z_loss: self.z_loss,
            focal_gamma: self.focal_gamma,
            poly1_epsilon: self.poly1_epsilon,
            gce_q: self.gce_q,
            softcap: self.softcap,
            logit_scale: self.logit_scale,
            upstream: Upstream::One(self.upstream),
            ..Settings::default()
        }
    }
}

impl Seeded {
    fn case(&self) -> Case {
        let [outer, classes, inner] = self.shape;
        let rows = outer * inner;
        let mut draw = Draw(self.seed);
        let logits: Vec<f64> = (0..rows * classes)
            .map(|_| match self.dtype.as_str() {
                // 16-bit floats as bits: a sign and a magnitude below 16.
                "f16" => f16::from_bits(half_bits(draw.next(), 0x4c00)).to_f64(),
                "bf16" => bf16::from_bits(half_bits(draw.next(), 0x4180)).to_f64(),
                _ => draw.unit() * self.magnitude,
            })
            .collect();
        let labels: Vec<i64> =
            (0..rows).map(|_| i64::try_from(draw.below(classes)).expect("a small class")).collect();
        let mut weights = |count| (0..count).map(|_| 1.25 + draw.unit()).collect();
        let mut set = self.options.settings();
        set.class_weight = self.class_weight.then(|| weights(classes));
        set.sample_weight = self.sample_weight.then(|| weights(rows));
        Case::new(&self.name, self.shape, &logits, &labels, set)
    }

    fn digest(&self, kernel: Kernel) -> String {
        let digest = match self.dtype.as_str() {
            "f32" => self.digest_of::<f32>(kernel),
            "f64" => self.digest_of::<f64>(kernel),
            "f16" => self.digest_of::<f16>(kernel),
            "bf16" => self.digest_of::<bf16>(kernel),
            other => panic!("dtype {other}"),
        };
        format!("{digest:08x}")
    }

    fn digest_of<E: Element>(&self, kernel: Kernel) -> u32 {
        let Got { out, grad } = run::<E, E>(&self.case(), How::with(kernel)).expect(&self.name);
        let mut digest = Digest(self.seed);
        grad.iter().for_each(|x| digest.add_number(*x));
        if out.losses.is_empty() {
            digest.add_number(out.loss);
        }
        out.losses.iter().for_each(|x| digest.add_number(*x));
        digest.0
    }
}

fn half_bits(drawn: u32, end: u32) -> u16 {
    let bits = drawn >> 16;
    u16::try_from((bits & 0x8000) | ((bits & 0x7fff) % end)).expect("16 bits")
}

#[test]
fn twins_give_the_recorded_digests() {
    let battery: Battery = serde_json::from_str(include_str!("digests.json")).expect("the battery");
    assert_eq!(battery.cases.len(), 51, "number of cases");
    let each = battery
        .cases
        .iter()
        .map(|case| (&case.name[..], [&case.simd[..], &case.relaxed], TWINS.map(|twin| case.digest(twin))));
    assert_recorded("test/digests.json", each);
}

#[test]
fn best_is_the_last_of_those_supported() {
    let best = *Kernel::supported().last().expect("a kernel");
    let battery: Battery = serde_json::from_str(include_str!("digests.json")).expect("the battery");
    for case in &battery.cases {
        assert_eq!(case.digest(Kernel::Best), case.digest(best), "{}", case.name);
    }
}

#[test]
fn doubles_have_the_same_bits_by_every_kernel() {
    let battery: Battery = serde_json::from_str(include_str!("digests.json")).expect("the battery");
    let doubles: Vec<&Seeded> = battery.cases.iter().filter(|case| case.dtype == "f64").collect();
    assert!(doubles.len() > 1, "there are cases in f64");
    for case in doubles {
        for kernel in Kernel::supported() {
            assert_eq!(case.digest(*kernel), case.simd, "{} by {kernel:?}", case.name);
        }
    }
}
