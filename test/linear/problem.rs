//! A layer with labels and options, and the two ways to run it: by the definition in f64, and by the operation.

use crate::draw::Draw;
use crate::support::{Case, How, Settings, bits};
use sparse_xent::reference::cross_entropy;
use sparse_xent::{CrossEntropy, Element, Floats, LinearGrad, Matrix, Output, WeightLayout};

/// The length of a vector.
pub(crate) fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// Labels and options are those of `case`, whose logits are what the layer makes.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) case: Case,
    pub(crate) depth: usize,
    pub(crate) hidden: Vec<f64>,
    pub(crate) weight: Vec<f64>,
    pub(crate) bias: Vec<f64>,
    pub(crate) recompute: bool,
}

/// What the definition gives; `scale` holds the norms of the sums of absolute terms.
pub(crate) struct Expected {
    pub(crate) loss: f64,
    pub(crate) losses: Vec<f64>,
    pub(crate) hidden: Vec<f64>,
    pub(crate) weight: Vec<f64>,
    pub(crate) bias: Vec<f64>,
    pub(crate) scale: [f64; 3],
}

pub(crate) struct Grads {
    pub(crate) hidden: Vec<f32>,
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl Grads {
    /// What a gradient holds before the call, so that an element that was never written shows.
    pub(crate) const PAINT: f32 = 251.0;

    pub(crate) fn all(&self) -> [&[f32]; 3] {
        [&self.hidden, &self.weight, &self.bias]
    }

    pub(crate) fn bits(&self) -> [Vec<u64>; 3] {
        self.all().map(bits)
    }
}

impl Layer {
    pub(crate) fn new(
        [rows, depth, classes]: [usize; 3],
        hidden: Vec<f64>,
        weight: Vec<f64>,
        bias: Vec<f64>,
        labels: &[i64],
    ) -> Self {
        let case =
            Case::new("layer", [rows, classes, 1], &vec![0.0; rows * classes], labels, Settings::none());
        let mut layer = Layer { case, depth, hidden, weight, bias, recompute: false };
        layer.refresh();
        layer
    }

    pub(crate) fn drawn(rows: usize, depth: usize, classes: usize, seed: u32) -> Self {
        let mut draw = Draw(seed);
        let scale = 2.0 / f64::sqrt(depth as f64);
        let (hidden, weight) = (draw.logits(rows * depth, 2.0), draw.logits(classes * depth, scale));
        let bias = draw.logits(classes, 0.5);
        let labels: Vec<i64> = (0..rows).map(|_| i64::try_from(draw.below(classes)).unwrap()).collect();
        Self::new([rows, depth, classes], hidden, weight, bias, &labels)
    }

    /// Rows whose labels lead by about `margin`; every number is exact in single precision.
    pub(crate) fn confident(rows: usize, margin: f64) -> Self {
        let (depth, classes) = (16, 16);
        let mut draw = Draw(5);
        let labels: Vec<i64> = (0..rows).map(|row| i64::try_from(row % classes).unwrap()).collect();
        let mut hidden = vec![0.0; rows * depth];
        for (row, label) in labels.iter().enumerate() {
            hidden[row * depth + usize::try_from(*label).unwrap()] = 1.0;
        }
        let weight = (0..classes * depth)
            .map(|index| {
                let noise = (draw.unit() * 64.0).round() / 64.0;
                if index / depth == index % depth { margin + 1.0 } else { noise }
            })
            .collect();
        Self::new([rows, depth, classes], hidden, weight, vec![0.0; classes], &labels)
    }

    fn classes(&self) -> usize {
        self.case.shape[1]
    }

    /// Rounds what the operation is given to single precision, and makes the logits anew, exactly.
    pub(crate) fn refresh(&mut self) {
        let (depth, classes) = (self.depth, self.classes());
        for values in [&mut self.hidden, &mut self.weight, &mut self.bias] {
            values.iter_mut().for_each(|x| *x = f64::from(*x as f32));
        }
        for (index, logit) in self.case.logits.iter_mut().enumerate() {
            let (row, class) = (index / classes, index % classes);
            let states = &self.hidden[row * depth..][..depth];
            let weights = &self.weight[class * depth..][..depth];
            *logit = self.bias[class] + states.iter().zip(weights).map(|(h, w)| h * w).sum::<f64>();
        }
    }

    /// Weights, or their gradient, in a layout.
    pub(crate) fn in_layout(&self, values: &[f64], layout: WeightLayout) -> Vec<f64> {
        let (depth, classes) = (self.depth, self.classes());
        match layout {
            WeightLayout::Vd => values.to_vec(),
            WeightLayout::Dv => {
                (0..depth * classes).map(|index| values[index % classes * depth + index / classes]).collect()
            }
        }
    }

    pub(crate) fn reference(&self) -> Expected {
        let answer = cross_entropy(&self.case.problem(), &self.case.set.reference()).expect("good labels");
        let (depth, classes) = (self.depth, self.classes());
        let mut expected = Expected {
            loss: answer.loss,
            losses: answer.losses.clone(),
            hidden: vec![0.0; self.hidden.len()],
            weight: vec![0.0; self.weight.len()],
            bias: vec![0.0; classes],
            scale: [0.0; 3],
        };
        let mut sizes = [expected.hidden.clone(), expected.weight.clone(), expected.bias.clone()];
        for (index, g) in answer.grad.iter().enumerate().filter(|(_, g)| **g != 0.0) {
            let (row, class) = (index / classes, index % classes);
            for step in 0..depth {
                let (at, of) = (row * depth + step, class * depth + step);
                expected.hidden[at] += g * self.weight[of];
                expected.weight[of] += g * self.hidden[at];
                sizes[0][at] += (g * self.weight[of]).abs();
                sizes[1][of] += (g * self.hidden[at]).abs();
            }
            expected.bias[class] += g;
            sizes[2][class] += g.abs();
        }
        expected.scale = sizes.map(|sizes| norm(sizes.into_iter().filter(|x| x.is_finite())));
        expected
    }

    /// Hidden states of type `H`, weights of type `W`, everything asked for.
    pub(crate) fn run<H: Element, W: Element>(
        &self,
        how: How,
        layout: WeightLayout,
        chunk_rows: Option<usize>,
    ) -> (Output<f32>, Grads)
    where
        for<'a> Floats<'a>: From<&'a Vec<H>> + From<&'a Vec<W>>,
    {
        self.run_some::<H, W>(how.operation(&self.case.set), layout, chunk_rows, [true; 3])
    }

    pub(crate) fn run_some<H: Element, W: Element>(
        &self,
        op: CrossEntropy<'_>,
        layout: WeightLayout,
        chunk_rows: Option<usize>,
        [hidden, weight, bias]: [bool; 3],
    ) -> (Output<f32>, Grads)
    where
        for<'a> Floats<'a>: From<&'a Vec<H>> + From<&'a Vec<W>>,
    {
        let states: Vec<H> = self.hidden.iter().map(|x| H::from_f64(*x)).collect();
        let weights: Vec<W> = self.in_layout(&self.weight, layout).iter().map(|x| W::from_f64(*x)).collect();
        let biases: Vec<f32> = self.bias.iter().map(|x| *x as f32).collect();
        let dims = match layout {
            WeightLayout::Vd => [self.classes(), self.depth],
            WeightLayout::Dv => [self.depth, self.classes()],
        };
        let painted = |wanted: bool, length| vec![Grads::PAINT; if wanted { length } else { 0 }];
        let mut grads = Grads {
            hidden: painted(hidden, states.len()),
            weight: painted(weight, weights.len()),
            bias: painted(bias, biases.len()),
        };
        let mut op = op.linear().bias(&biases).weight_layout(layout).recompute(self.recompute);
        if let Some(rows) = chunk_rows {
            op = op.chunk_rows(rows);
        }
        let states = Matrix::new(&states, [self.case.rows(), self.depth]).unwrap();
        let weights = Matrix::new(&weights, dims).unwrap();
        let grad = LinearGrad {
            hidden: hidden.then_some(&mut grads.hidden[..]),
            weight: weight.then_some(&mut grads.weight[..]),
            bias: bias.then_some(&mut grads.bias[..]),
        };
        let out = op.forward_backward(&states, &weights, &self.case.labels, grad).unwrap();
        (out, grads)
    }
}
