//! A softmax classifier trained by the gradient: ten clouds of points in sixteen dimensions, a linear layer, mini-batches.
//!
//! ```text
//! cargo run --release --example train
//! ```

use sparse_xent::{CrossEntropy, Error, Logits, LogitsMut, Shape};

const CLASSES: usize = 10;
const FEATURES: usize = 16;
const BATCH: usize = 100;

/// Points around one centre per class.
struct Points {
    /// `[rows, FEATURES]`.
    features: Vec<f32>,
    /// `[rows]`.
    labels: Vec<u8>,
}

impl Points {
    fn draw(centres: &[f32], rows: usize, random: &mut fastrand::Rng) -> Self {
        let labels: Vec<u8> = (0..rows).map(|_| random.u8(0..10)).collect();
        let features = labels.iter().flat_map(|label| {
            let centre = &centres[usize::from(*label) * FEATURES..][..FEATURES];
            centre.iter().map(|x| x + noise(random)).collect::<Vec<f32>>()
        });
        Self { features: features.collect(), labels }
    }
}

/// About normal, with a standard deviation of 1.
fn noise(random: &mut fastrand::Rng) -> f32 {
    (0..12).map(|_| random.f32()).sum::<f32>() - 6.0
}

/// One linear layer: `logits[row][k] = bias[k] + sum over f of features[row][f] weight[f][k]`.
struct Model {
    /// `[FEATURES, CLASSES]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Model {
    fn logits(&self, features: &[f32]) -> Vec<f32> {
        let rows = features.chunks(FEATURES).flat_map(|row| {
            let mut logits = self.bias.clone();
            for (x, weights) in row.iter().zip(self.weight.chunks(CLASSES)) {
                logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit += x * weight);
            }
            logits
        });
        rows.collect()
    }

    /// One step against the gradient, which arrives as d loss / d logits.
    fn step(&mut self, features: &[f32], grad: &[f32], rate: f32) {
        for (row, grad) in features.chunks(FEATURES).zip(grad.chunks(CLASSES)) {
            self.bias.iter_mut().zip(grad).for_each(|(bias, grad)| *bias -= rate * grad);
            for (x, weights) in row.iter().zip(self.weight.chunks_mut(CLASSES)) {
                weights.iter_mut().zip(grad).for_each(|(weight, grad)| *weight -= rate * x * grad);
            }
        }
    }
}

/// Mean loss and share of right answers.
fn score(model: &Model, points: &Points) -> Result<(f64, f64), Error> {
    let logits = model.logits(&points.features);
    let shape = Shape::new(&[points.labels.len(), CLASSES], -1)?;
    let out =
        CrossEntropy::new().with_predictions().forward(&Logits::new(&logits, shape)?, &points.labels)?;
    Ok((out.loss, out.correct_count.unwrap_or(0) as f64 / out.valid_count as f64))
}

/// Trains, and gives loss and accuracy on the test points before and after.
fn train(epochs: usize) -> Result<[(f64, f64); 2], Error> {
    let mut random = fastrand::Rng::with_seed(10);
    let centres: Vec<f32> = (0..CLASSES * FEATURES).map(|_| 3.0 * random.f32() - 1.5).collect();
    let learn = Points::draw(&centres, 4000, &mut random);
    let test = Points::draw(&centres, 1000, &mut random);
    let mut model = Model { weight: vec![0.0; FEATURES * CLASSES], bias: vec![0.0; CLASSES] };

    let before = score(&model, &test)?;
    println!("          training loss   test loss   test accuracy");
    println!("untrained           {:11.4}   {:11.1} %", before.0, 100.0 * before.1);
    let op = CrossEntropy::new();
    let shape = Shape::new(&[BATCH, CLASSES], -1)?;
    let mut after = before;
    for epoch in 1..=epochs {
        let mut sum = 0.0;
        for (features, labels) in learn.features.chunks(BATCH * FEATURES).zip(learn.labels.chunks(BATCH)) {
            let mut values = model.logits(features);
            // The gradient of the mean loss takes the place of the logits.
            sum += op.forward_backward_in_place(&mut LogitsMut::new(&mut values, shape)?, labels)?.loss;
            model.step(features, &values, 0.2);
        }
        after = score(&model, &test)?;
        let mean = sum / (learn.labels.len() / BATCH) as f64;
        println!("epoch {epoch:2}  {mean:13.4} {:11.4}   {:11.1} %", after.0, 100.0 * after.1);
    }
    Ok([before, after])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    train(8)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_loss_falls_and_the_answers_get_right() {
        let [before, after] = super::train(8).unwrap();
        assert!((before.0 - 10.0_f64.ln()).abs() < 1e-6, "equal logits: ln 10, got {}", before.0);
        assert!(after.0 < 0.5 * before.0, "loss {} to {}", before.0, after.0);
        assert!(after.1 > 0.8, "accuracy {}", after.1);
    }
}
