//! A battery of seeded layers in both languages, as that of the logits: the native twins here and the wasm files in linear.test.ts must
//! give the digests of digests.json.
//!
//! A case draws, in this order, hidden states, weights, bias and labels from the generator of draw.rs. Its digest runs over the words
//! of the gradients of hidden states, weights and bias, and of the loss as f64.

use super::problem::Layer;
use crate::digest::{Digest, TWINS, assert_recorded};
use crate::draw::Draw;
use crate::support::How;
use serde::Deserialize;
use sparse_xent::{Kernel, Reduction, WeightLayout};

#[derive(Deserialize)]
struct Battery {
    cases: Vec<Seeded>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Seeded {
    name: String,
    seed: u32,
    /// rows, depth, classes.
    shape: [usize; 3],
    weight_layout: String,
    chunk_rows: Option<usize>,
    label_smoothing: f64,
    ignore_index: Option<i64>,
    simd: String,
    relaxed: String,
}

impl Seeded {
    fn digest(&self, kernel: Kernel) -> String {
        let [rows, depth, classes] = self.shape;
        let mut draw = Draw(self.seed);
        let hidden = draw.logits(rows * depth, 2.0);
        let weight = draw.logits(classes * depth, 0.25);
        let bias = draw.logits(classes, 0.5);
        let labels: Vec<i64> = (0..rows).map(|_| i64::try_from(draw.below(classes)).unwrap()).collect();
        let layout = if self.weight_layout == "dv" { WeightLayout::Dv } else { WeightLayout::Vd };
        // The weights are drawn in their layout.
        let turned = |layer: &Layer| {
            (0..classes * depth).map(|i| layer.weight[i % depth * classes + i / depth]).collect()
        };
        let mut layer = Layer::new(self.shape, hidden, weight, bias, &labels);
        if layout == WeightLayout::Dv {
            layer.weight = turned(&layer);
        }
        layer.case.set.reduction = Reduction::Mean;
        layer.case.set.label_smoothing = self.label_smoothing;
        layer.case.set.ignore = self.ignore_index.into_iter().collect();
        let (out, grads) = layer.run::<f32, f32>(How::with(kernel), layout, self.chunk_rows);
        let mut digest = Digest(self.seed);
        grads.all().into_iter().flatten().for_each(|x| digest.add_number(*x));
        digest.add_number(out.loss);
        format!("{:08x}", digest.0)
    }
}

#[test]
fn twins_give_the_recorded_digests() {
    let battery: Battery = serde_json::from_str(include_str!("digests.json")).expect("the battery");
    assert_eq!(battery.cases.len(), 8, "number of cases");
    let each = battery
        .cases
        .iter()
        .map(|case| (&case.name[..], [&case.simd[..], &case.relaxed], TWINS.map(|twin| case.digest(twin))));
    assert_recorded("test/linear/digests.json", each);
}
