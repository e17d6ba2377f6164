//! The last layer of a classifier and its loss in one operation: hidden states and weights go in, loss and gradients come out, and
//! the logits between them are never all there.
//!
//! 1. [`pack`] lays parts of a matrix out as the micro-kernel reads them; [`product`] multiplies them.
//! 2. [`step`] cuts the three products of a chunk of rows into units for the executor's threads.
//! 3. [`chunks`] is the way through a call, and its only writer.

mod chunks;
mod pack;
mod product;
mod step;
#[cfg(test)]
mod tests;

pub(crate) use chunks::{Inputs, States};

use crate::cross_entropy::{Output, fits};
use crate::element::Element;
use crate::labels::Labels;
use crate::{CrossEntropy, Error, bf16, f16};
use core::ops::Range;

/// Numbers of a factor or bias, borrowed in the type they come in: `f32`, or `f16` and `bf16`, which are widened exactly, part by part,
/// when they are used. Made by `From` out of a reference to a slice, array or vector.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
#[expect(missing_docs, reason = "one variant per dtype, named after it")]
pub enum Floats<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
}

macro_rules! floats_from {
    ($($variant:ident($type:ty)),*) => {$(
        impl<'a> From<&'a [$type]> for Floats<'a> {
            fn from(numbers: &'a [$type]) -> Self {
                Floats::$variant(numbers)
            }
        }
        impl<'a, const N: usize> From<&'a [$type; N]> for Floats<'a> {
            fn from(numbers: &'a [$type; N]) -> Self {
                Floats::$variant(numbers)
            }
        }
        impl<'a> From<&'a Vec<$type>> for Floats<'a> {
            fn from(numbers: &'a Vec<$type>) -> Self {
                Floats::$variant(numbers)
            }
        }
    )*};
}
floats_from!(F32(f32), F16(f16), Bf16(bf16));

impl Floats<'_> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Floats::F32(numbers) => numbers.len(),
            Floats::F16(numbers) => numbers.len(),
            Floats::Bf16(numbers) => numbers.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of them in single precision: where they lie, or widened into the buffer.
    #[inline(never)]
    fn widened<'b>(&'b self, range: Range<usize>, buffer: &'b mut [f32]) -> &'b [f32] {
        let into = &mut buffer[..range.len()];
        match self {
            Floats::F32(numbers) => return &numbers[range],
            Floats::F16(numbers) => f16::widen(&numbers[range], into),
            Floats::Bf16(numbers) => bf16::widen(&numbers[range], into),
        }
        into
    }
}

/// A matrix to read: row-major and without gaps, borrowed and not copied.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: Floats<'a>,
    rows: usize,
    columns: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix of `[rows, columns]`.
    ///
    /// # Errors
    /// [`Error::Length`] where there are not `rows * columns` numbers.
    pub fn new(data: impl Into<Floats<'a>>, [rows, columns]: [usize; 2]) -> Result<Self, Error> {
        let data = data.into();
        fits(data.len(), rows.saturating_mul(columns), "matrix")?;
        Ok(Self { data, rows, columns })
    }
}

/// How the weights of the layer lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightLayout {
    /// `[classes, depth]`: a row per class, as `torch.nn.Linear` and most checkpoints have them.
    #[default]
    Vd,
    /// `[depth, classes]`: a column per class, as the `kernel` of a dense layer of TensorFlow, Keras and Flax.
    Dv,
}

/// Where the gradients of a linear layer go; what is `None` is not computed. Each is written in full, or added to what is there
/// under [`accumulate`](CrossEntropy::accumulate), in single precision whatever the type of hidden states and weights.
#[derive(Debug, Default)]
pub struct LinearGrad<'a> {
    /// With respect to the hidden states, `[rows, depth]`; 0 in rows that do not count.
    pub hidden: Option<&'a mut [f32]>,
    /// With respect to the weights, in their layout.
    pub weight: Option<&'a mut [f32]>,
    /// With respect to the bias, one per class.
    pub bias: Option<&'a mut [f32]>,
}

/// The last layer and its loss: [`CrossEntropy`] of the logits `hidden · weightᵀ + bias`, which are made chunk by chunk of rows and
/// never stored.
///
/// ```text
/// logits[n][v]   = sum over d of hidden[n][d] weight[v][d] + bias[v]
/// d hidden[n][d] = sum over v of g[n][v] weight[v][d]            g: what CrossEntropy gives as the gradient of the logits
/// d weight[v][d] = sum over n of g[n][v] hidden[n][d]
/// d bias[v]      = sum over n of g[n][v]
/// ```
///
/// Made by [`CrossEntropy::linear`] out of the options of the loss, all of which it has but [`input`](CrossEntropy::input) and
/// [`label_matrix`](CrossEntropy::label_matrix).
///
/// * Memory beside inputs and gradients: the logits of one chunk, `chunk_rows * classes` numbers, the chunk's hidden states twice,
///   and half a megabyte for each thread; where threads share small chunks, several of them, 4 MB in all. Under
///   [`recompute`](Self::recompute) at most 4,095 classes of the chunk's logits.
/// * Rows that are ignored or weigh nothing are left out before the product: what their hidden states hold is not read, and is
///   nowhere in the gradient of the weights. A NaN in a row that counts makes its loss NaN, which is counted.
/// * Classes that are masked have no part in the products: their weights are not read, and their gradients are 0, or not touched
///   under [`accumulate`](CrossEntropy::accumulate). All results have the bits of a call with the weights of the others alone.
/// * Products are summed in single precision, by pieces of 256 steps. The bits of a result depend on inputs, options, shape,
///   `chunk_rows` and kernel alone. Where further results are asked for, rows that weigh nothing are looked at and take part in chunks.
///
/// ```
/// use sparse_xent::{CrossEntropy, LinearGrad, Matrix};
///
/// let hidden = [1.0_f32, 0.5, -1.0, 2.0, 0.0, 1.0]; // three rows, depth 2
/// let weight = [0.5_f32, 1.0, -0.5, 0.25, 1.0, -1.0, 0.0, 2.0]; // four classes
/// let bias = [0.0_f32, 0.1, 0.2, 0.3];
/// let (mut d_hidden, mut d_weight) = ([0.0_f32; 6], [0.0_f32; 8]);
///
/// let op = CrossEntropy::new().ignore_index(-100).linear().bias(&bias);
/// let (h, w) = (Matrix::new(&hidden, [3, 2])?, Matrix::new(&weight, [4, 2])?);
/// let grad = LinearGrad { hidden: Some(&mut d_hidden), weight: Some(&mut d_weight), bias: None };
/// let out = op.forward_backward(&h, &w, &[3_i32, 0, -100], grad)?;
/// assert!((out.loss - 1.9062160).abs() < 1e-6); // torch: F.cross_entropy(F.linear(h, w, b), y)
/// assert_eq!(d_hidden[4..], [0.0, 0.0]); // the ignored row
/// # Ok::<(), sparse_xent::Error>(())
/// ```
///
/// # Errors
///
/// Every call checks everything and has all memory that it needs before it writes: [`Error::Shape`] for a depth of 0,
/// [`Error::Length`] where hidden states, weights, bias, gradients or labels do not fit one another, and those of [`CrossEntropy`].
#[derive(Debug, Clone)]
#[must_use]
pub struct LinearCrossEntropy<'a> {
    pub(crate) loss: CrossEntropy<'a>,
    pub(crate) bias: Option<Floats<'a>>,
    pub(crate) weight_layout: WeightLayout,
    pub(crate) chunk_rows: Option<usize>,
    pub(crate) recompute: bool,
}

impl<'a> CrossEntropy<'a> {
    /// This loss of the logits that a linear layer makes, without ever storing them.
    pub fn linear(self) -> LinearCrossEntropy<'a> {
        LinearCrossEntropy {
            loss: self,
            bias: None,
            weight_layout: WeightLayout::Vd,
            chunk_rows: None,
            recompute: false,
        }
    }
}

impl<'a> LinearCrossEntropy<'a> {
    /// A bias per class; none unless set.
    pub fn bias(mut self, bias: impl Into<Floats<'a>>) -> Self {
        self.bias = Some(bias.into());
        self
    }

    /// How the weights lie; [`WeightLayout::Vd`] unless set. Both are read as they lie.
    pub fn weight_layout(mut self, layout: WeightLayout) -> Self {
        self.weight_layout = layout;
        self
    }

    /// Rows whose logits are there at the same time, at least 1: fewer take less memory, and more time since the weights are read
    /// once for each chunk. Unless set, as many as give 32 MiB of logits, but 64 to 128; under [`recompute`](Self::recompute) as many
    /// as give 12 MiB of logits and hidden states, but 64 to 512, from 4,096 classes on.
    pub fn chunk_rows(mut self, rows: usize) -> Self {
        self.chunk_rows = Some(rows);
        self
    }

    /// Makes the logits block by block of 2,048 classes (the last of up to 4,095), and again for the gradient: four products in place
    /// of three, and never more than a block of logits in memory. Unless set, a chunk's logits are all there.
    ///
    /// Losses and results have the same bits either way, and so has every gradient where the chunks have the same rows. Below 4,096
    /// classes there is one block, which is not made again. Under a [`class_mask`](CrossEntropy::class_mask) the classes that it keeps
    /// are cut so.
    pub fn recompute(mut self, recompute: bool) -> Self {
        self.recompute = recompute;
        self
    }

    /// The loss alone.
    ///
    /// `hidden` is `[rows, depth]`, `weight` `[classes, depth]` (or as [`weight_layout`](Self::weight_layout) says), `labels` one per row.
    ///
    /// # Errors
    /// Those of [`LinearCrossEntropy`], and [`Error::OutOfMemory`].
    pub fn forward<'l>(
        &self,
        hidden: &Matrix<'_>,
        weight: &Matrix<'_>,
        labels: impl Into<Labels<'l>>,
    ) -> Result<Output<f32>, Error> {
        self.output(hidden, weight, labels.into(), LinearGrad::default())
    }

    /// The loss, and the gradients that are asked for. The reduction's division and `upstream` are part of them.
    ///
    /// # Errors
    /// Those of [`LinearCrossEntropy`], and [`Error::OutOfMemory`]; nothing has been written then.
    pub fn forward_backward<'l>(
        &self,
        hidden: &Matrix<'_>,
        weight: &Matrix<'_>,
        labels: impl Into<Labels<'l>>,
        grad: LinearGrad<'_>,
    ) -> Result<Output<f32>, Error> {
        self.output(hidden, weight, labels.into(), grad)
    }

    fn output(
        &self,
        hidden: &Matrix<'_>,
        weight: &Matrix<'_>,
        labels: Labels<'_>,
        grad: LinearGrad<'_>,
    ) -> Result<Output<f32>, Error> {
        let (rows, depth) = (hidden.rows, hidden.columns);
        let (classes, weight_depth, line) = match self.weight_layout {
            WeightLayout::Vd => (weight.rows, weight.columns, "weight row"),
            WeightLayout::Dv => (weight.columns, weight.rows, "weight column"),
        };
        fits(weight_depth, depth, line)?;
        if self.loss.outputs.of_distribution() {
            let option = "topK, targetRank, entropy or logProbs";
            return Err(Error::OptionConflict { option, with: "a linear layer" });
        }
        let inputs = Inputs { rows, depth, classes, weight: weight.data, labels };
        Output::collected(&self.loss, rows, classes, |results| {
            self.execute(
                &inputs,
                States::Apart(hidden.data, grad.hidden),
                (grad.weight, grad.bias),
                results,
                None,
            )
        })
    }
}
