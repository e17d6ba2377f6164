//! The values of PyTorch and JAX for loss and all three gradients: golden.json, made by from_torch.py and from_jax.py.

use super::problem::{Layer, norm};
use crate::support::{How, Upstream, kernels};
use serde_json::Value;
use sparse_xent::{EmptyMean, Reduction, WeightLayout};

/// Files and the number of cases in each, so that none can go missing unseen.
const FILES: [(&str, usize); 2] = [(include_str!("torch.json"), 21), (include_str!("jax.json"), 8)];

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        Value::String(text) => vec![text.parse().expect("NaN or an infinity")],
        other => vec![other.as_f64().expect("a number")],
    }
}

fn layer_of(case: &Value) -> Layer {
    let size = |name: &str| usize::try_from(case[name].as_u64().expect("a size")).expect("a size");
    let labels: Vec<i64> = numbers(&case["labels"]).into_iter().map(|label| label as i64).collect();
    let [hidden, weight, bias] = ["hidden", "weight", "bias"].map(|name| numbers(&case[name]));
    let dims = [size("rows"), size("depth"), size("classes")];
    let mut layer = Layer::new(dims, hidden, weight, bias, &labels);
    let set = &mut layer.case.set;
    set.reduction = Reduction::Mean;
    for (name, value) in case["options"].as_object().expect("options") {
        let all = numbers;
        match name.as_str() {
            "reduction" => {
                set.reduction = match value.as_str() {
                    Some("none") => Reduction::None,
                    Some("sum") => Reduction::Sum,
                    _ => Reduction::Mean,
                };
            }
            "classWeight" => set.class_weight = Some(all(value)),
            "sampleWeight" => set.sample_weight = Some(all(value)),
            "ignoreIndex" => set.ignore = vec![value.as_i64().expect("a label")],
            "labelSmoothing" => set.label_smoothing = all(value)[0],
            "zLoss" => set.z_loss = all(value)[0],
            "logitScale" => set.logit_scale = all(value)[0],
            "softcap" => set.softcap = all(value)[0],
            "classMask" => {
                set.class_mask = Some(all(value).into_iter().map(|keep| u8::from(keep != 0.0)).collect())
            }
            "emptyMean" => set.empty_mean = EmptyMean::Nan,
            "upstream" => {
                let values = all(value);
                set.upstream =
                    if value.is_array() { Upstream::Each(values) } else { Upstream::One(values[0]) };
            }
            other => panic!("no such option: {other}"),
        }
    }
    layer
}

#[test]
fn every_golden_case() {
    for (file, count) in FILES {
        let file: Value = serde_json::from_str(file).expect("JSON");
        let cases = file["cases"].as_array().expect("cases");
        assert_eq!(cases.len(), count, "cases of {}", file["made"]);
        for case in cases {
            let layer = layer_of(case);
            for kernel in kernels() {
                for layout in [WeightLayout::Vd, WeightLayout::Dv] {
                    let (out, grads) = layer.run::<f32, f32>(How::with(kernel), layout, Some(2));
                    let name = format!("{}, {kernel:?}, {layout:?}", case["name"]);
                    let losses = if out.losses.is_empty() {
                        vec![out.loss]
                    } else {
                        out.losses.iter().map(|x| f64::from(*x)).collect()
                    };
                    close(&format!("{name}: loss"), &losses, &numbers(&case["loss"]));
                    for (what, got) in ["hidden", "weight", "bias"].into_iter().zip(grads.all()) {
                        let want = numbers(&case["grad"][what]);
                        let want = if what == "weight" { layer.in_layout(&want, layout) } else { want };
                        let got: Vec<f64> = got.iter().map(|x| f64::from(*x)).collect();
                        close(&format!("{name}: {what}"), &got, &want);
                    }
                }
            }
        }
    }
}

/// Numbers that agree with their peer's to a few units of single precision, as a whole; NaN meets NaN.
fn close(name: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{name}");
    assert!(
        got.iter().zip(want).all(|(got, want)| got.is_nan() == want.is_nan()),
        "{name}: {got:?}, expected {want:?}"
    );
    let error = norm(got.iter().zip(want).map(|(got, want)| got - want).filter(|x| !x.is_nan()));
    let scale = norm(want.iter().copied().filter(|x| !x.is_nan()));
    assert!(error <= 1e-6 * scale, "{name}: {got:?}, expected {want:?}");
}
