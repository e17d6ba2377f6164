//! A call as bytes, for a program in another language to make it, with the digests of what the twins of the wasm files answer.
//!
//! ```text
//! record   length of what follows, length of the header (u32 each, little endian), header (JSON), arrays
//! ```
//!
//! Header and arrays begin at multiples of 8 bytes after the two lengths. A digest runs over the words of numbers as
//! digest.rs has it, every NaN being the same.

use super::call::{
    Answer, Call, ENTROPY, LABELS, LOG_PROBS, LOG_SUM_EXP, PER_CLASS, PREDICTIONS, Place, TARGET_LOG_PROB,
    TARGET_RANK, TOP_K, Typed, Types, Way, before, crate_itself, widened, with_types,
};
use super::check::refusal;
use super::drawn::Drawn;
use super::elements::Elements;
use super::layer::{Layer, Numbers};
use crate::digest::Digest;
use crate::support::{Upstream, raw};
use serde_json::{Value, json};
use sparse_xent::{
    Denominator, Element, EmptyMean, Input, InvalidLabel, Kernel, ProbsNormalize, Reduction,
    SmoothingWeights, WeightLayout,
};

/// The bytes of what a seed draws.
pub(crate) fn record_of(drawn: &Drawn) -> Vec<u8> {
    match drawn {
        Drawn::Softmax(call) => record(call),
        Drawn::Layer(layer) => record_layer(layer),
        Drawn::Elements(elements) => record_elements(elements),
    }
}

/// The bytes of a call.
pub(crate) fn record(call: &Call) -> Vec<u8> {
    let mut arrays = Arrays::default();
    let (logits, grad) = with_types!(call.types, {
        arrays.add("logits", E::NAME, &call.case.logits_as::<E>());
        arrays.add("before", G::NAME, &before::<G>(4));
        (E::NAME, G::NAME)
    });
    arrays.add_operands(call);
    let (dims, axis) = call.dims();
    let header = json!({
        "operation": "softmax", "seed": call.seed.to_string(), "dims": dims, "axis": axis, "dtype": logits, "gradDtype": grad,
        "arrays": arrays.names, "options": options(call), "expected": expected(call),
    });
    frame(&header, &arrays.bytes)
}

/// Of each gradient a digest, 0 where it is not asked for, and one of all else.
fn record_layer(layer: &Layer) -> Vec<u8> {
    let (call, mut arrays) = (&layer.call, Arrays::default());
    let (hidden, weight, bias) = layer.factors();
    for (name, numbers) in [("hidden", Some(hidden)), ("weight", Some(weight)), ("bias", bias)] {
        match numbers {
            Some(Numbers::F32(numbers)) => arrays.add(name, "f32", &numbers),
            Some(Numbers::F16(numbers)) => arrays.add(name, "f16", &numbers),
            Some(Numbers::Bf16(numbers)) => arrays.add(name, "bf16", &numbers),
            None => {}
        }
    }
    arrays.add_operands(call);
    let of = |kernel: Kernel| {
        let (answer, grads) = layer.run(kernel, 1, call.outputs, layer.wanted, false).expect("an answer");
        let digest = |at: usize| {
            let mut digest = Digest(1);
            add_all::<f32>(&mut digest, &widened(&grads[at]));
            if layer.wanted[at] { digest.0 } else { 0 }
        };
        json!([digest(0), digest(1), digest(2), rest_digest(call, &answer)])
    };
    let expected = match refusal(&call.case) {
        Some(code) => json!({ "code": code }),
        None => json!({ "simd": of(Kernel::Lanes4), "relaxed": of(Kernel::Lanes4Fused) }),
    };
    let mut options = options(call);
    options["weightLayout"] = json!(if layer.layout == WeightLayout::Vd { "vd" } else { "dv" });
    if layer.recomputes {
        options["recompute"] = json!(true);
    }
    if let Some(rows) = layer.chunk_rows {
        options["chunkRows"] = json!(rows);
    }
    let [rows, classes, _] = call.case.shape;
    let header = json!({
        "operation": "layer", "seed": call.seed.to_string(), "dims": [rows, layer.depth], "classes": classes, "wanted": layer.wanted,
        "arrays": arrays.names, "options": options, "expected": expected,
    });
    frame(&header, &arrays.bytes)
}

/// As of a softmax; no digest depends on the build.
fn record_elements(elements: &Elements) -> Vec<u8> {
    let mut arrays = Arrays::default();
    let (logits, grad) = with_types!(elements.types, {
        let x: Vec<E> = elements.x.iter().map(|x| E::from_f64(*x)).collect();
        arrays.add("logits", E::NAME, &x);
        arrays.add("before", G::NAME, &before::<G>(4));
        (E::NAME, G::NAME)
    });
    arrays.add("targets", "f64", &elements.targets);
    arrays.add("posWeight", "f64", &elements.pos_weight);
    if let Some(weights) = &elements.sample_weight {
        arrays.add("sampleWeight", "f64", weights);
    }
    let of = |place| elements.run(1, place);
    let expected = match (elements.refusal(), of(Place::Apart), of(Place::Added)) {
        (Some(code), ..) => json!({ "code": code }),
        (None, Ok(apart), Ok(added)) => {
            let mut digest = Digest(2);
            let add_losses = if elements.types == Types::F64 { add_all::<f64> } else { add_all::<f32> };
            add_losses(&mut digest, &apart.losses);
            let [loss, rest @ ..] = apart.numbers;
            if elements.reduction != Reduction::None {
                add_all::<f64>(&mut digest, &[loss]);
            }
            add_all::<f64>(&mut digest, &rest);
            add_all::<f64>(&mut digest, &[apart.counts[3] as f64]);
            let of_grad = |answer: &Answer| grad_digest(elements.types, answer);
            let all = json!([of_grad(&apart), of_grad(&added), digest.0]);
            json!({ "simd": all, "relaxed": all })
        }
        (_, apart, _) => unreachable!("the check was passed: {apart:?}"),
    };
    let header = json!({
        "operation": "elements", "seed": elements.seed.to_string(), "dims": elements.shape, "axis": 1, "dtype": logits, "gradDtype": grad,
        "arrays": arrays.names, "expected": expected,
        "options": {
            "reduction": reduction(elements.reduction), "denominator": denominator(elements.denominator),
            "emptyMean": empty_mean(elements.empty_mean), "upstream": elements.upstream,
        },
    });
    frame(&header, &arrays.bytes)
}

/// The bytes of a header and what follows it.
pub(crate) fn frame(header: &Value, arrays: &[u8]) -> Vec<u8> {
    let mut text = header.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let word = |length: usize| u32::try_from(length).expect("less than 4 GiB").to_le_bytes();
    [&word(text.len() + arrays.len())[..], &word(text.len()), &text, arrays].concat()
}

#[derive(Default)]
struct Arrays {
    names: Vec<Value>,
    bytes: Vec<u8>,
}

impl Arrays {
    fn name(&mut self, name: &str, dtype: &str, length: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.names.push(json!([name, dtype, length, self.bytes.len()]));
    }

    fn add<T: Element>(&mut self, name: &str, dtype: &str, values: &[T]) {
        self.name(name, dtype, values.len());
        values.iter().for_each(|x| self.bytes.extend(&raw(*x).to_le_bytes()[..size_of::<T>()]));
    }

    /// What a call has beside logits, or what they are made of.
    fn add_operands(&mut self, call: &Call) {
        let set = &call.case.set;
        self.add_labels(call);
        let lists = [
            ("classWeight", &set.class_weight),
            ("sampleWeight", &set.sample_weight),
            ("labelMatrix", &set.label_matrix),
        ];
        for (name, list) in lists {
            if let Some(list) = list {
                self.add(name, "f64", list);
            }
        }
        if let Some(mask) = &set.class_mask {
            self.name("classMask", "u8", mask.len());
            self.bytes.extend(mask);
        }
        match &set.upstream {
            Upstream::One(one) => self.add("upstreamOfAll", "f64", &[*one]),
            Upstream::Each(each) => self.add("upstream", "f64", each),
        }
    }

    fn add_labels(&mut self, call: &Call) {
        self.name("labels", LABELS[call.labels], call.case.labels.len());
        let bytes = &mut self.bytes;
        match Typed::of(call, true) {
            Typed::U8(labels) => bytes.extend(labels),
            Typed::I8(labels) => labels.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
            Typed::U16(labels) => labels.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
            Typed::I16(labels) => labels.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
            Typed::U32(labels) => labels.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
            Typed::I32(labels) => labels.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
            Typed::U64(labels) => labels.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
            Typed::I64(labels) => labels.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
            Typed::F32(labels) => labels.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
            Typed::F64(labels) => labels.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
        }
    }
}

fn reduction(reduction: Reduction) -> &'static str {
    match reduction {
        Reduction::None => "none",
        Reduction::Sum => "sum",
        Reduction::Mean => "mean",
    }
}

fn denominator(denominator: Denominator) -> Value {
    match denominator {
        Denominator::Weights => json!("weights"),
        Denominator::Valid => json!("valid"),
        Denominator::All => json!("all"),
        Denominator::NonZero => json!("nonzero"),
        Denominator::Count(count) => json!(count),
    }
}

fn empty_mean(empty_mean: EmptyMean) -> &'static str {
    if empty_mean == EmptyMean::Zero { "zero" } else { "nan" }
}

/// The options by the names and words of TypeScript, but for the arrays.
fn options(call: &Call) -> Value {
    let set = &call.case.set;
    let outputs = [
        (LOG_SUM_EXP, "logSumExp"),
        (TARGET_LOG_PROB, "targetLogProb"),
        (PREDICTIONS, "predictions"),
        (PER_CLASS, "perClass"),
        (TOP_K, "topK"),
        (TARGET_RANK, "targetRank"),
        (ENTROPY, "entropy"),
        (LOG_PROBS, "logProbs"),
    ];
    let outputs: Vec<&str> =
        outputs.iter().filter(|(bit, _)| call.outputs & bit != 0).map(|(_, name)| *name).collect();
    let mut options = json!({
        "reduction": reduction(set.reduction),
        "denominator": denominator(set.denominator),
        "ignoreIndex": set.ignore,
        "invalidLabel": match set.invalid_label {
            InvalidLabel::Throw => "throw",
            InvalidLabel::Nan => "nan",
            InvalidLabel::Ignore => "ignore",
        },
        "labelSmoothing": set.label_smoothing,
        "smoothingWeights": if set.smoothing_weights == SmoothingWeights::Class { "class" } else { "row" },
        "emptyMean": empty_mean(set.empty_mean),
        "zLoss": set.z_loss, "focalGamma": set.focal_gamma, "poly1Epsilon": set.poly1_epsilon,
        "gceQ": set.gce_q,
        "softcap": set.softcap, "logitScale": set.logit_scale, "outputs": outputs,
    });
    if call.outputs & TOP_K != 0 {
        options["k"] = json!(call.k());
    }
    let (input, normalize) = match (set.input, set.probs_normalize) {
        (Input::Logits, _) => return options,
        (Input::LogProbs, _) => ("logProbs", None),
        (Input::Probs, ProbsNormalize::Before) => ("probs", Some("before")),
        (Input::Probs, ProbsNormalize::After) => ("probs", Some("after")),
        (Input::Probs, ProbsNormalize::None) => ("probs", Some("none")),
    };
    options["input"] = json!(input);
    if let Some(normalize) = normalize {
        options["probsNormalize"] = json!(normalize);
        options["probsEpsilon"] = json!(set.probs_epsilon);
    }
    options
}

/// By build, the digests: of the gradient, of one that is added, of all else. Or the error.
fn expected(call: &Call) -> Value {
    if let Some(code) = refusal(&call.case) {
        return json!({ "code": code });
    }
    let of = |kernel: Kernel| {
        let way = |place| Way { kernel, threads: 1, place, outputs: call.outputs, narrow: true };
        let apart = crate_itself(call, way(Place::Apart)).expect("an answer");
        let added = crate_itself(call, way(Place::Added)).expect("an answer");
        json!([grad_digest(call.types, &apart), grad_digest(call.types, &added), rest_digest(call, &apart)])
    };
    json!({ "simd": of(Kernel::Lanes4), "relaxed": of(Kernel::Lanes4Fused) })
}

fn add_all<T: Element>(digest: &mut Digest, values: &[f64]) {
    values
        .iter()
        .for_each(|x| digest.add_number(if x.is_nan() { T::from_f64(f64::NAN) } else { T::from_f64(*x) }));
}

fn grad_digest(types: Types, answer: &Answer) -> u32 {
    let mut digest = Digest(1);
    with_types!(types, {
        let _: Option<E> = None;
        add_all::<G>(&mut digest, &answer.grad);
    });
    digest.0
}

fn rest_digest(call: &Call, answer: &Answer) -> u32 {
    let mut digest = Digest(2);
    let add_per_row = if call.types == Types::F64 { add_all::<f64> } else { add_all::<f32> };
    for values in [&answer.losses, &answer.log_sum_exp, &answer.target_log_prob] {
        add_per_row(&mut digest, values);
    }
    for values in [&answer.top_values, &answer.entropy, &answer.log_probs] {
        add_per_row(&mut digest, values);
    }
    for values in [&answer.predictions, &answer.top_classes, &answer.target_rank] {
        values.iter().for_each(|x| digest.add(x.cast_unsigned()));
    }
    add_all::<f64>(&mut digest, &answer.per_class);
    let [loss, rest @ ..] = answer.numbers;
    if call.case.set.reduction != Reduction::None {
        add_all::<f64>(&mut digest, &[loss]);
    }
    add_all::<f64>(&mut digest, &rest);
    add_all::<f64>(&mut digest, &answer.counts.map(|count| count as f64));
    if call.outputs & PREDICTIONS != 0 {
        add_all::<f64>(&mut digest, &[answer.correct.unwrap_or_default() as f64]);
    }
    digest.0
}
