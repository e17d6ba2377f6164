//! The call of the last layer with its loss. Hidden states and their gradient are where other calls have logits.

use super::{Block, Field};
use crate::cross_entropy::Summary;
use crate::linear::{Floats, Inputs, LinearCrossEntropy, States, WeightLayout};
use crate::{Error, Shape};
use core::sync::atomic::AtomicI32;

impl Block<'_> {
    /// The rows, whose logits need not fit in memory.
    fn layer_shape(&self) -> Result<Shape, Error> {
        Shape::of_rows(self.whole(Field::outer), self.whole(Field::classes))
    }

    fn layer<'m>(&self, shape: Shape) -> Result<LinearCrossEntropy<'m>, Error> {
        let mut loss = self.options(shape)?;
        loss.accumulate = self.whole(Field::accumulates) != 0;
        let layouts = [WeightLayout::Vd, WeightLayout::Dv];
        let rows = self.whole(Field::chunkRows);
        Ok(LinearCrossEntropy {
            loss,
            bias: self.floats(Field::biasAddress, Field::biasDtype, shape.classes()),
            weight_layout: self.choose(Field::weightLayout, "weightLayout", &layouts)?,
            chunk_rows: (rows > 0).then_some(rows),
            recompute: self.whole(Field::recompute) != 0,
        })
    }

    fn floats<'m>(&self, address: Field, dtype: Field, length: usize) -> Option<Floats<'m>> {
        match self.whole(dtype) {
            2 => self.slice(address, length).map(Floats::F16),
            3 => self.slice(address, length).map(Floats::Bf16),
            _ => self.slice(address, length).map(Floats::F32),
        }
    }

    pub(super) fn judge_linear(&self) -> Result<(), Error> {
        let shape = self.layer_shape()?;
        self.layer(shape)?.judge(shape.rows(), shape.classes(), &self.labels(shape.rows())?, None).map(|_| ())
    }

    pub(super) fn linear(&self, cancel: &AtomicI32) -> Result<Summary, Error> {
        let shape = self.layer_shape()?;
        let (rows, classes, depth) = (shape.rows(), shape.classes(), self.whole(Field::depth));
        let layer = self.layer(shape)?;
        let missing = Error::OptionRange { option: "hidden", got: 0.0, expected: "an address" };
        let (states, weights) = (rows * depth, classes * depth);
        let states = match self.whole(Field::gradMode) {
            2 => States::InPlace(self.slice_mut(Field::logitsAddress, states).ok_or(missing)?),
            _ => States::Apart(
                self.floats(Field::logitsAddress, Field::logitsDtype, states).ok_or(missing)?,
                self.slice_mut(Field::gradAddress, states),
            ),
        };
        let weight = self.floats(Field::weightAddress, Field::weightDtype, weights).ok_or(missing)?;
        let inputs = Inputs { rows, depth, classes, weight, labels: self.labels(rows)? };
        let gradients = (
            self.slice_mut(Field::weightGradAddress, weights),
            self.slice_mut(Field::biasGradAddress, classes),
        );
        self.with_results(rows, classes, |results| {
            layer.execute(&inputs, states, gradients, results, Some(cancel))
        })
    }
}
