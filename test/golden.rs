//! Every golden case by both twins: out of place, in place or added to a gradient that is there, and loss alone. The format is in
//! golden/README.md.

use serde_json::{Map, Value};
use sparse_xent::{
    CrossEntropy, Denominator, Element, EmptyMean, Input, InvalidLabel, Kernel, Labels, Logits, LogitsMut,
    Output, ProbsNormalize, Reduction, Shape, SmoothingWeights, Weights, bf16, f16,
};

/// Files and the number of cases in each, so that none can go missing unseen.
const FILES: [(&str, &str, usize); 7] = [
    ("torch.json", include_str!("golden/torch.json"), 286),
    ("torch_terms.json", include_str!("golden/torch_terms.json"), 39),
    ("tensorflow.json", include_str!("golden/tensorflow.json"), 63),
    ("keras.json", include_str!("golden/keras.json"), 101),
    ("onnx.json", include_str!("golden/onnx.json"), 52),
    ("optax.json", include_str!("golden/optax.json"), 68),
    ("mpmath.json", include_str!("golden/mpmath.json"), 73),
];

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().expect("NaN, Infinity or an integer"),
        other => other.as_f64().expect("a number"),
    }
}

fn integer(value: &Value) -> i128 {
    match value {
        Value::String(text) => text.parse().expect("an integer"),
        other => other.as_i64().map(i128::from).or(other.as_u64().map(i128::from)).expect("an integer"),
    }
}

/// A number or a list of numbers.
fn list(value: &Value) -> Vec<f64> {
    value.as_array().map_or_else(|| vec![number(value)], |values| values.iter().map(number).collect())
}

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    value.as_str().unwrap_or_else(|| panic!("{what} is no text: {value}"))
}

/// `{ dtype, shape, values }`; a bare list has neither dtype nor shape.
struct Array {
    dtype: String,
    shape: Option<Vec<usize>>,
    values: Vec<Value>,
}

impl Array {
    fn of(value: &Value) -> Self {
        let sizes = |shape: &Vec<Value>| {
            shape
                .iter()
                .map(|size| usize::try_from(size.as_u64().expect("a size")).expect("a size"))
                .collect()
        };
        let values = value.get("values").unwrap_or(value);
        Array {
            dtype: value.get("dtype").map_or("f64", |dtype| text(dtype, "dtype")).to_owned(),
            shape: value.get("shape").and_then(Value::as_array).map(sizes),
            values: values.as_array().expect("a list of values").clone(),
        }
    }

    fn shape(&self) -> &[usize] {
        self.shape.as_deref().expect("a shape")
    }

    fn numbers(&self) -> Vec<f64> {
        self.values.iter().map(number).collect()
    }

    /// Hands the labels over in their dtype.
    fn as_labels<R>(&self, then: impl FnOnce(Labels<'_>) -> R) -> R {
        macro_rules! by_dtype {
            ($($name:literal: $type:ty),*) => {
                match self.dtype.as_str() {
                    $($name => {
                        let fit = |value| <$type>::try_from(integer(value)).expect("a value of the dtype");
                        then(Labels::from(&self.values.iter().map(fit).collect::<Vec<$type>>()))
                    })*
                    "f32" => then(Labels::from(&self.numbers().into_iter().map(f32::from_f64).collect::<Vec<f32>>())),
                    "f64" => then(Labels::from(&self.numbers())),
                    other => panic!("labels of dtype {other}"),
                }
            };
        }
        by_dtype!("u8": u8, "i8": i8, "u16": u16, "i16": i16, "u32": u32, "i32": i32, "u64": u64, "i64": i64)
    }
}

/// Weights in their dtype.
enum Held {
    F32(Vec<f32>),
    F64(Vec<f64>),
    U8(Vec<u8>),
}

impl Held {
    fn new(dtype: &str, numbers: Vec<f64>) -> Self {
        match dtype {
            "f64" => Held::F64(numbers),
            "f32" => Held::F32(numbers.into_iter().map(f32::from_f64).collect()),
            "u8" => Held::U8(numbers.into_iter().map(|keep| u8::from(keep != 0.0)).collect()),
            other => panic!("weights of dtype {other}"),
        }
    }

    fn weights(&self) -> Weights<'_> {
        match self {
            Held::F32(weights) => Weights::from(weights),
            Held::F64(weights) => Weights::from(weights),
            Held::U8(weights) => Weights::from(weights),
        }
    }
}

/// The array options of a case, which the operation borrows.
#[derive(Default)]
struct Arrays {
    class_weight: Option<Held>,
    sample_weight: Option<Held>,
    upstream: Option<Held>,
    class_mask: Option<Vec<u8>>,
    label_matrix: Option<Held>,
}

/// Repeats the values along the axes where their shape has 1: in TypeScript the engine does this.
fn broadcast(array: &Array, to: &[usize]) -> Vec<f64> {
    let numbers = array.numbers();
    let Some(shape) = array.shape.as_deref().filter(|_| numbers.len() != to.iter().product::<usize>()) else {
        return numbers;
    };
    (0..to.iter().product::<usize>())
        .map(|mut place| {
            let (mut index, mut stride) = (0, 1);
            for (size, full) in shape.iter().zip(to).rev() {
                index += if *size == 1 { 0 } else { place % full * stride };
                stride *= size;
                place /= full;
            }
            numbers[index]
        })
        .collect()
}

impl Arrays {
    fn of(options: &Map<String, Value>, classes: usize, label_shape: &[usize]) -> Self {
        let held = |name: &str| {
            let array = options.get(name).filter(|value| !value.is_number()).map(Array::of)?;
            Some(Held::new(&array.dtype, broadcast(&array, label_shape)))
        };
        let by_class = |value: &Value| match value.as_object().filter(|map| !map.contains_key("values")) {
            Some(map) => {
                let of = |class: usize| map.get(&class.to_string()).map_or(1.0, number);
                Held::F64((0..classes).map(of).collect())
            }
            None => Held::new(&Array::of(value).dtype, Array::of(value).numbers()),
        };
        let scalar = |value: &f64| Held::F64(vec![*value; label_shape.iter().product()]);
        Arrays {
            class_weight: options.get("classWeight").map(by_class),
            sample_weight: held("sampleWeight").or(options
                .get("sampleWeight")
                .and_then(Value::as_f64)
                .as_ref()
                .map(scalar)),
            upstream: held("upstream"),
            class_mask: options
                .get("classMask")
                .map(|mask| list(mask).iter().map(|keep| u8::from(*keep != 0.0)).collect()),
            label_matrix: options.get("labelMatrix").map(by_class),
        }
    }
}

/// The operation with the options of a case.
fn operation<'a>(options: &Map<String, Value>, arrays: &'a Arrays, kernel: Kernel) -> CrossEntropy<'a> {
    let mut op = CrossEntropy::new().kernel(kernel);
    for (name, value) in options {
        op = match name.as_str() {
            "axis" => op,
            "reduction" => op.reduction(match text(value, name) {
                "none" => Reduction::None,
                "sum" => Reduction::Sum,
                "mean" => Reduction::Mean,
                other => panic!("reduction {other}"),
            }),
            "denominator" => op.denominator(match value.as_str() {
                None => Denominator::Count(number(value)),
                Some("weights") => Denominator::Weights,
                Some("valid") => Denominator::Valid,
                Some("all") => Denominator::All,
                Some("nonzero") => Denominator::NonZero,
                Some(other) => panic!("denominator {other}"),
            }),
            "ignoreIndex" => value
                .as_array()
                .map_or_else(|| vec![integer(value)], |labels| labels.iter().map(integer).collect())
                .into_iter()
                .fold(op, CrossEntropy::ignore_index),
            "invalidLabel" => op.invalid_label(match text(value, name) {
                "throw" => InvalidLabel::Throw,
                "nan" => InvalidLabel::Nan,
                "ignore" => InvalidLabel::Ignore,
                other => panic!("invalidLabel {other}"),
            }),
            "classWeight" => op.class_weight(arrays.class_weight.as_ref().expect("read").weights()),
            "sampleWeight" => op.sample_weight(arrays.sample_weight.as_ref().expect("read").weights()),
            "labelMatrix" => op.label_matrix(arrays.label_matrix.as_ref().expect("read").weights()),
            "classMask" => op.class_mask(arrays.class_mask.as_ref().expect("read")),
            "upstream" => match &arrays.upstream {
                Some(Held::F32(values)) => op.upstream(values),
                Some(Held::F64(values)) => op.upstream(values),
                Some(Held::U8(_)) => panic!("upstream of bytes"),
                None => op.upstream(number(value)),
            },
            "labelSmoothing" => op.label_smoothing(number(value)),
            "smoothingWeights" => op.smoothing_weights(match text(value, name) {
                "class" => SmoothingWeights::Class,
                "row" => SmoothingWeights::Row,
                other => panic!("smoothingWeights {other}"),
            }),
            "emptyMean" => op.empty_mean(match text(value, name) {
                "zero" => EmptyMean::Zero,
                "nan" => EmptyMean::Nan,
                other => panic!("emptyMean {other}"),
            }),
            "zLoss" => op.z_loss(number(value)),
            "focalGamma" => op.focal_gamma(number(value)),
            "poly1Epsilon" => op.poly1_epsilon(number(value)),
            "softcap" => op.softcap(number(value)),
            "gceQ" => op.gce_q(number(value)),
            "logitScale" => op.logit_scale(number(value)),
            "input" => op.input(match text(value, name) {
                "logits" => Input::Logits,
                "logProbs" => Input::LogProbs,
                "probs" => Input::Probs,
                other => panic!("input {other}"),
            }),
            "probsEpsilon" => op.probs_epsilon(number(value)),
            "probsNormalize" => op.probs_normalize(match text(value, name) {
                "before" => ProbsNormalize::Before,
                "after" => ProbsNormalize::After,
                "none" => ProbsNormalize::None,
                other => panic!("probsNormalize {other}"),
            }),
            "outputs" => {
                value.as_array().expect("a list").iter().fold(op, |op, output| match text(output, name) {
                    "logSumExp" => op.with_log_sum_exp(),
                    "targetLogProb" => op.with_target_log_prob(),
                    "predictions" => op.with_predictions(),
                    "perClass" => op.with_per_class(),
                    other => panic!("output {other}"),
                })
            }
            other => panic!("option {other}"),
        };
    }
    op
}

/// One case and what it is called in a failure.
struct Golden<'a> {
    name: String,
    case: &'a Value,
}

impl Golden<'_> {
    /// Fails unless `got` is within the bound of what is expected; a bound of 0 asks for the same bits. `what` is a pointer into both.
    fn within(&self, what: &str, got: &[f64]) {
        let place = format!("/{what}");
        let want = list(self.case["expect"].pointer(&place).expect(what));
        let bounds = self.case["bound"].pointer(&place).map_or(vec![0.0], list);
        assert_eq!(got.len(), want.len(), "{}: number of {what}", self.name);
        for (index, (got, want)) in got.iter().zip(&want).enumerate() {
            let bound = bounds[if bounds.len() == 1 { 0 } else { index }];
            let is_same = got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan());
            let fits = is_same || (bound > 0.0 && (got - want).abs() <= bound) || got == want && bound > 0.0;
            assert!(fits, "{}: {what}[{index}] got {got:e}, expected {want:e} within {bound:e}", self.name);
        }
    }

    /// Fails unless `got` is what is expected to 1e-12.
    fn equals(&self, what: &str, got: f64) {
        let want = number(&self.case["expect"][what]);
        assert!((got - want).abs() <= 1e-12 * want.abs(), "{}: {what} got {got}, expected {want}", self.name);
    }

    fn judge<L: Element>(&self, out: &Output<L>) {
        let widened = |values: &[L]| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
        for (what, _) in self.case["expect"].as_object().expect("an object") {
            match what.as_str() {
                "loss" if self.case["expect"]["loss"].is_array() => self.within(what, &widened(&out.losses)),
                "loss" => self.within(what, &[out.loss]),
                "lossSum" => self.within(what, &[out.loss_sum]),
                "logSumExp" => self.within(what, &widened(&out.log_sum_exp)),
                "targetLogProb" => self.within(what, &widened(&out.target_log_prob)),
                "validCount" => self.equals(what, out.valid_count as f64),
                "invalidCount" => self.equals(what, out.invalid_count as f64),
                "weightSum" => self.equals(what, out.weight_sum),
                "denominator" => self.equals(what, out.denominator),
                "correctCount" => self.equals(what, out.correct_count.expect("predictions") as f64),
                "predictions" => {
                    self.within(
                        what,
                        &out.predictions.iter().map(|class| f64::from(*class)).collect::<Vec<_>>(),
                    );
                }
                "perClass" => {
                    let sums = out.per_class.as_ref().expect("sums by label");
                    self.within("perClass/loss", &sums.loss);
                    self.within("perClass/weight", &sums.weight);
                    self.within("perClass/count", &sums.count);
                    self.within("perClass/correct", &sums.correct);
                }
                "grad" => {}
                other => panic!("{}: expected {other}", self.name),
            }
        }
    }
}

fn check<E: Element>(case: &Value, kernel: Kernel) {
    let name = format!("{} by {kernel:?}", text(&case["name"], "name"));
    let golden = Golden { name, case };
    let name = &golden.name;
    let options = case["options"].as_object().expect("options");
    let (logits, labels) = (Array::of(&case["logits"]), Array::of(&case["labels"]));
    let axis = options.get("axis").map_or(-1, |axis| isize::try_from(integer(axis)).expect("an axis"));
    let shape = Shape::new(logits.shape(), axis).expect(name);
    let arrays = Arrays::of(options, shape.classes(), labels.shape());
    let op = operation(options, &arrays, kernel);

    let given: Vec<E> = logits.numbers().into_iter().map(E::from_f64).collect();
    let widened = |values: &[E]| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
    let previous = case.get("previous").map(|gradient| Array::of(gradient).numbers());
    let op = op.accumulate(previous.is_some());
    let mut grad = match &previous {
        Some(previous) => previous.iter().copied().map(E::from_f64).collect(),
        None => vec![E::from_f64(251.0); given.len()],
    };
    let mut over = given.clone();
    labels.as_labels(|labels| {
        let view = Logits::new(&given, shape).expect(name);
        golden.judge(&op.forward(&view, labels).expect(name));
        golden.judge(&op.forward_backward(&view, labels, &mut grad).expect(name));
        if previous.is_none() {
            let mut view = LogitsMut::new(&mut over, shape).expect(name);
            golden.judge(&op.forward_backward_in_place(&mut view, labels).expect(name));
        }
    });
    if case["expect"].get("grad").is_some() {
        golden.within("grad", &widened(&grad));
        if previous.is_none() {
            golden.within("grad", &widened(&over));
        }
    }
}

#[test]
fn every_golden_case_agrees_by_both_twins() {
    for (file, text_of, count) in FILES {
        let golden: Value = serde_json::from_str(text_of).expect(file);
        let cases = golden["cases"].as_array().expect("cases");
        assert_eq!(cases.len(), count, "{file}: number of cases");
        for case in cases {
            for kernel in Kernel::supported().iter().copied() {
                match text(&case["logits"]["dtype"], "dtype") {
                    "f32" => check::<f32>(case, kernel),
                    "f64" => check::<f64>(case, kernel),
                    "f16" => check::<f16>(case, kernel),
                    "bf16" => check::<bf16>(case, kernel),
                    other => panic!("{file}: logits of dtype {other}"),
                }
            }
        }
    }
}
