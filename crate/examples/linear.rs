//! The memory of a language model's last layer, both ways: with its logits stored, and without.
//!
//! `cargo run --release --example linear [rows depth classes]`
//!
//! Prints the loss, the time and the largest memory of each way, beside the inputs and the gradients that both need.

use peak_alloc::PeakAlloc;
use sparse_xent::{CrossEntropy, Error, Executor, LinearGrad, LogitsMut, Matrix, Shape};
use std::time::Instant;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Hidden states, weights and labels of a made-up model.
struct Model {
    shape: [usize; 3],
    hidden: Vec<f32>,
    weight: Vec<f32>,
    labels: Vec<u32>,
}

/// What a way comes to.
struct Way {
    loss: f64,
    weight_grad: Vec<f32>,
    seconds: f64,
    megabytes: f64,
}

impl Model {
    fn new([rows, depth, classes]: [usize; 3]) -> Self {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut draw = |count: usize, scale: f32| (0..count).map(|_| (rng.f32() - 0.5) * scale).collect();
        let (hidden, weight) = (draw(rows * depth, 2.0), draw(classes * depth, 0.5));
        let labels = (0..rows).map(|row| u32::try_from(row * 7919 % classes).unwrap_or(0)).collect();
        Self { shape: [rows, depth, classes], hidden, weight, labels }
    }

    /// One call: the logits are never all there.
    fn fused(&self, executor: Executor) -> Result<Way, Error> {
        let [rows, depth, classes] = self.shape;
        let mut hidden_grad = vec![0.0; rows * depth];
        let mut weight_grad = vec![0.0; classes * depth];
        let (hidden, weight) =
            (Matrix::new(&self.hidden, [rows, depth])?, Matrix::new(&self.weight, [classes, depth])?);
        measured(|| {
            let grad =
                LinearGrad { hidden: Some(&mut hidden_grad), weight: Some(&mut weight_grad), bias: None };
            let op = CrossEntropy::new().executor(executor).linear();
            op.forward_backward(&hidden, &weight, &self.labels, grad).map(|out| out.loss)
        })
        .map(|way| Way { weight_grad, ..way })
    }

    /// The logits, their loss with the gradient in place, and the gradient of the weights, by plain loops.
    fn with_logits(&self, executor: Executor) -> Result<Way, Error> {
        let [rows, depth, classes] = self.shape;
        let mut weight_grad = vec![0.0; classes * depth];
        measured(|| {
            let mut logits = vec![0.0_f32; rows * classes];
            for (states, logits) in self.hidden.chunks_exact(depth).zip(logits.chunks_exact_mut(classes)) {
                for (weights, logit) in self.weight.chunks_exact(depth).zip(logits) {
                    *logit = states.iter().zip(weights).map(|(h, w)| h * w).sum();
                }
            }
            let mut matrix = LogitsMut::new(&mut logits, Shape::new(&[rows, classes], -1)?)?;
            let op = CrossEntropy::new().executor(executor);
            let out = op.forward_backward_in_place(&mut matrix, &self.labels)?;
            for (states, grads) in self.hidden.chunks_exact(depth).zip(logits.chunks_exact(classes)) {
                for (into, g) in weight_grad.chunks_exact_mut(depth).zip(grads) {
                    into.iter_mut().zip(states).for_each(|(slot, h)| *slot += g * h);
                }
            }
            Ok(out.loss)
        })
        .map(|way| Way { weight_grad, ..way })
    }
}

/// Time, and how far memory grew beyond what was there.
fn measured(call: impl FnOnce() -> Result<f64, Error>) -> Result<Way, Error> {
    MEMORY.reset_peak_usage();
    let (before, start) = (MEMORY.current_usage_as_mb(), Instant::now());
    let loss = call()?;
    let megabytes = f64::from(MEMORY.peak_usage_as_mb() - before);
    Ok(Way { loss, weight_grad: Vec::new(), seconds: start.elapsed().as_secs_f64(), megabytes })
}

fn main() -> Result<(), Error> {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    let shape = <[usize; 3]>::try_from(sizes).unwrap_or([512, 256, 50_257]);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let executor = Executor::Rayon { threads };
    let model = Model::new(shape);
    println!("{shape:?} rows, depth, classes; {threads} threads");
    for (name, way) in [("fused", model.fused(executor)?), ("with logits", model.with_logits(executor)?)] {
        let length = way.weight_grad.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let (loss, seconds, megabytes) = (way.loss, way.seconds, way.megabytes);
        println!(
            "{name:12} loss {loss:.6}, gradient of the weights {length:.6}; {seconds:.2} s, {megabytes:.1} MB of scratch"
        );
    }
    Ok(())
}

#[test]
fn both_ways_agree() {
    let model = Model::new([40, 24, 300]);
    let [one, two] =
        [model.fused(Executor::Serial), model.with_logits(Executor::Serial)].map(|way| way.expect("a loss"));
    assert!((one.loss / two.loss - 1.0).abs() < 1e-6, "{} and {}", one.loss, two.loss);
    let largest = two.weight_grad.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    for (one, two) in one.weight_grad.iter().zip(&two.weight_grad) {
        assert!((one - two).abs() <= 1e-5 * largest, "{one} and {two}");
    }
    assert!(one.seconds >= 0.0 && one.megabytes >= 0.0, "both are measured");
}
