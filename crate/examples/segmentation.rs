//! Semantic segmentation with 33 classes: label maps of bytes, class weights, pixel weights, a void label and a cost
//! matrix, with the classes last and first, and the memory that this way and the one-hot way take for the same gradient.
//!
//! ```text
//! cargo run --release --example segmentation          one image of 512 x 512
//! cargo run --release --example segmentation -- 8     a batch of 8: the one-hot way needs about 0.9 GB
//! ```

use peak_alloc::PeakAlloc;
use sparse_xent::{CrossEntropy, Denominator, Element, Error, Executor, Logits, LogitsMut, Shape};
use std::thread::available_parallelism;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const CLASSES: usize = 33;
/// The label of pixels that belong to no class.
const VOID: u8 = 255;

/// Images of `side` x `side` pixels.
struct Batch {
    images: usize,
    side: usize,
    /// `[images, side, side, 33]`.
    logits: Vec<f32>,
    /// `[images, side, side]`.
    labels: Vec<u8>,
    /// `[images, side, side]`: 3 where two classes meet.
    pixel_weight: Vec<f32>,
}

impl Batch {
    /// Tiles of 32 x 32 pixels of a class each, with a void frame, and the scores of a model that is mostly right.
    fn draw(images: usize, side: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(33);
        let tiles = side.div_ceil(32);
        let classes: Vec<u8> = (0..images * tiles * tiles).map(|_| random.u8(0..33)).collect();
        let class_at = |image: usize, y: usize, x: usize| classes[(image * tiles + y / 32) * tiles + x / 32];
        let mut batch = Self { images, side, logits: vec![], labels: vec![], pixel_weight: vec![] };
        batch.logits.reserve_exact(images * side * side * CLASSES);
        for (image, y, x) in
            (0..images * side * side).map(|row| (row / side / side, row / side % side, row % side))
        {
            let class = class_at(image, y, x);
            let is_frame = y.min(x) < 2 || y.max(x) >= side - 2;
            let is_edge = class_at(image, y, x.saturating_sub(1)) != class
                || class_at(image, y.saturating_sub(1), x) != class;
            batch.labels.push(if is_frame { VOID } else { class });
            batch.pixel_weight.push(if is_edge { 3.0 } else { 1.0 });
            let seen = if random.u8(0..10) == 0 { random.u8(0..33) } else { class };
            batch
                .logits
                .extend((0..33).map(|class| 2.0 * random.f32() + if class == seen { 4.0 } else { 0.0 }));
        }
        batch
    }

    fn shape_classes_last(&self) -> Result<Shape, Error> {
        Shape::new(&[self.images, self.side, self.side, CLASSES], -1)
    }

    /// The same scores as `[images, 33, side, side]`.
    fn classes_first(&self) -> Result<(Vec<f32>, Shape), Error> {
        let plane = self.side * self.side;
        let image = plane * CLASSES;
        let at = |index: usize| index / image * image + index % plane * CLASSES + index % image / plane;
        let logits = (0..self.logits.len()).map(|index| self.logits[at(index)]).collect();
        Ok((logits, Shape::new(&[self.images, CLASSES, self.side, self.side], 1)?))
    }

    /// Rare classes weigh more: the mean frequency over a class's own.
    fn class_weight(&self) -> Vec<f32> {
        let count = |class: usize| self.labels.iter().filter(|label| usize::from(**label) == class).count();
        let counts: Vec<f32> = (0..CLASSES).map(|class| count(class) as f32).collect();
        let mean = counts.iter().sum::<f32>() / 33.0;
        counts.iter().map(|count| if *count == 0.0 { 0.0 } else { mean / count }).collect()
    }
}

/// Textbook: one-hot labels, softmax, minus the sum over all classes of one-hot times logarithm, times the weights; the
/// gradient is softmax minus one-hot, formed in the memory of the softmax.
fn one_hot_way(logits: &[f32], labels: &[u8], class_weight: &[f32], pixel_weight: &[f32]) -> (f64, Vec<f32>) {
    let mut one_hot = vec![0.0_f32; logits.len()];
    for (row, label) in one_hot.chunks_mut(CLASSES).zip(labels).filter(|(_, label)| **label != VOID) {
        row[usize::from(*label)] = 1.0;
    }
    let mut softmax = vec![0.0_f32; logits.len()];
    for (p, x) in softmax.chunks_mut(CLASSES).zip(logits.chunks(CLASSES)) {
        let max = x.iter().fold(f32::NEG_INFINITY, |max, x| max.max(*x));
        p.iter_mut().zip(x).for_each(|(p, x)| *p = (x - max).exp());
        let sum: f32 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= sum);
    }
    let weights: Vec<f32> = one_hot
        .chunks(CLASSES)
        .zip(pixel_weight)
        .map(|(row, pixel)| {
            pixel * row.iter().zip(class_weight).map(|(hit, weight)| hit * weight).sum::<f32>()
        })
        .collect();
    let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    let mut loss = 0.0;
    for ((p, hit), weight) in softmax.chunks_mut(CLASSES).zip(one_hot.chunks(CLASSES)).zip(&weights) {
        let row: f32 = p.iter().zip(hit).map(|(p, hit)| -hit * p.ln()).sum();
        loss += f64::from(weight * row) / total;
        p.iter_mut().zip(hit).for_each(|(p, hit)| *p = f32::from_f64(f64::from((*p - hit) * weight) / total));
    }
    (loss, softmax)
}

/// Calls `work` and says how many bytes it had allocated at most, beyond what was there before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = work();
    (result, MEMORY.peak_usage() - before)
}

fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// What both ways took beside the logits, and how far their losses and gradients are apart.
struct Comparison {
    one_hot_bytes: usize,
    in_place_bytes: usize,
    loss_difference: f64,
    grad_difference: f32,
}

fn run(images: usize, side: usize) -> Result<Comparison, Error> {
    let mut batch = Batch::draw(images, side);
    let shape = batch.shape_classes_last()?;
    let rows = shape.rows();
    println!("logits [{images}, {side}, {side}, {CLASSES}] f32: {}", megabytes(4 * shape.elements()));
    println!("labels [{images}, {side}, {side}] u8: {}", megabytes(rows));

    let threads = available_parallelism().map_or(1, usize::from);
    let plain = CrossEntropy::new().ignore_index(VOID).executor(Executor::Rayon { threads });
    let last = plain.forward(&Logits::new(&batch.logits, shape)?, &batch.labels)?;
    let (planes, planes_shape) = batch.classes_first()?;
    let first = plain.forward(&Logits::new(&planes, planes_shape)?, &batch.labels)?;
    drop(planes);
    println!("\nmean over {} of {rows} pixels, void ones ignored", last.valid_count);
    println!("  classes last  {:.6}", last.loss);
    println!("  classes first {:.6}   read as it lies, without a transposed copy", first.loss);

    let class_weight = batch.class_weight();
    let weighted = plain.clone().class_weight(&class_weight).sample_weight(&batch.pixel_weight);
    let out =
        weighted.clone().with_per_class().forward(&Logits::new(&batch.logits, shape)?, &batch.labels)?;
    println!("\nclass weight times pixel weight, over their sum {:.0}: {:.6}", out.weight_sum, out.loss);
    if let Some(per_class) = out.per_class {
        for class in 0..3 {
            let (count, correct) = (per_class.count[class], per_class.correct[class]);
            let loss = per_class.loss[class] / per_class.weight[class];
            println!(
                "  class {class}: {count:.0} pixels, {:.1} % right, loss {loss:.4}",
                100.0 * correct / count
            );
        }
    }

    // A matrix of costs, a line per true class and a column per predicted one: the predictions first, then each pixel's
    // entry as its weight. Void pixels have no prediction, and their weight is not looked at.
    let is_far = |true_class: usize, predicted: usize| true_class / 11 != predicted / 11;
    let costs: Vec<f32> = (0..CLASSES * CLASSES)
        .map(|pair| if is_far(pair / CLASSES, pair % CLASSES) { 5.0 } else { 1.0 })
        .collect();
    let seen =
        plain.clone().with_predictions().forward(&Logits::new(&batch.logits, shape)?, &batch.labels)?;
    let pairs = batch.labels.iter().zip(&seen.predictions);
    let cost = |(label, predicted): (&u8, &i32)| {
        usize::try_from(*predicted).map_or(1.0, |predicted| costs[usize::from(*label) * CLASSES + predicted])
    };
    let pixel_costs: Vec<f32> = pairs.map(cost).collect();
    let by_cost = plain.clone().sample_weight(&pixel_costs).denominator(Denominator::Valid);
    let out = by_cost.forward(&Logits::new(&batch.logits, shape)?, &batch.labels)?;
    println!("\na mistake between groups of eleven classes costs five times as much: {:.6}", out.loss);

    // Both ways to the same weighted loss and gradient.
    let ((one_hot_loss, one_hot_grad), one_hot_bytes) =
        peak_of(|| one_hot_way(&batch.logits, &batch.labels, &class_weight, &batch.pixel_weight));
    let (weight, labels) = (&batch.pixel_weight, &batch.labels);
    let weighted = plain.class_weight(&class_weight).sample_weight(weight);
    let mut logits = LogitsMut::new(&mut batch.logits, shape)?;
    let (out, in_place_bytes) = peak_of(|| weighted.forward_backward_in_place(&mut logits, labels));
    let loss_difference = (out?.loss - one_hot_loss).abs();
    let differences = batch.logits.iter().zip(&one_hot_grad).map(|(ours, theirs)| (ours - theirs).abs());
    let largest = one_hot_grad.iter().fold(0.0_f32, |largest, grad| largest.max(grad.abs()));
    // `f32::max` would drop a NaN.
    let most = differences.fold(0.0, |most, each| if each > most || each.is_nan() { each } else { most });
    let grad_difference = most / largest;
    Ok(Comparison { one_hot_bytes, in_place_bytes, loss_difference, grad_difference })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let images = std::env::args().nth(1).map_or(Ok(1), |images| images.parse())?;
    let seen = run(images, 512)?;
    println!("\nloss and gradient, memory at the peak beside logits, labels and weights");
    println!("  one-hot and softmax  {}", megabytes(seen.one_hot_bytes));
    println!("  sparse, in place     {}", megabytes(seen.in_place_bytes));
    let (loss, grad) = (seen.loss_difference, seen.grad_difference);
    println!("  apart: loss {loss:.1e}, gradient {grad:.1e} of its largest element");
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_ways_agree_and_one_needs_no_second_array() {
        let rows = 64 * 64;
        let seen = super::run(1, 64).unwrap();
        assert!(seen.loss_difference < 1e-5, "losses differ by {}", seen.loss_difference);
        assert!(seen.grad_difference < 1e-5, "gradients differ by {}", seen.grad_difference);
        assert!(seen.one_hot_bytes >= 2 * 4 * 33 * rows, "one-hot and softmax: {}", seen.one_hot_bytes);
        assert!(seen.in_place_bytes < 4 * 33 * rows / 2, "in place: {}", seen.in_place_bytes);
    }
}
