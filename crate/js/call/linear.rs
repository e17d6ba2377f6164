//! The call of the last layer with its loss. Hidden states and their gradient are where other calls have logits.

use super::{Block, Field};
use crate::cross_entropy::Summary;
use crate::linear::{Floats, Inputs, LinearCrossEntropy, States, WeightLayout};
use crate::{Error, Shape};
use core::sync::atomic::AtomicI32;

/// The rows, whose logits need not fit in memory.
fn layer_shape(block: &Block<'_>) -> Result<Shape, Error> {
    Shape::of_rows(block.whole(Field::outer), block.whole(Field::classes))
}

fn layer<'m>(block: &Block<'_>, shape: Shape) -> Result<LinearCrossEntropy<'m>, Error> {
    let mut loss = block.options(shape)?;
    loss.accumulate = block.whole(Field::accumulates) != 0;
    let layouts = [WeightLayout::Vd, WeightLayout::Dv];
    let rows = block.whole(Field::chunkRows);
    Ok(LinearCrossEntropy {
        loss,
        bias: floats(block, Field::biasAddress, Field::biasDtype, shape.classes()),
        weight_layout: block.choose(Field::weightLayout, "weightLayout", &layouts)?,
        chunk_rows: (rows > 0).then_some(rows),
        recompute: block.whole(Field::recompute) != 0,
    })
}

fn floats<'m>(block: &Block<'_>, address: Field, dtype: Field, length: usize) -> Option<Floats<'m>> {
    match block.whole(dtype) {
        2 => block.slice(address, length).map(Floats::F16),
        3 => block.slice(address, length).map(Floats::Bf16),
        _ => block.slice(address, length).map(Floats::F32),
    }
}

/// Whatever is wrong with a call.
pub(super) fn judge(block: &Block<'_>) -> Result<(), Error> {
    let shape = layer_shape(block)?;
    layer(block, shape)?.judge(shape.rows(), shape.classes(), &block.labels(shape.rows())?, None).map(|_| ())
}

pub(super) fn compute(block: &Block<'_>, cancel: &AtomicI32) -> Result<Summary, Error> {
    let shape = layer_shape(block)?;
    let (rows, classes, depth) = (shape.rows(), shape.classes(), block.whole(Field::depth));
    let layer = layer(block, shape)?;
    let missing = Error::OptionRange { option: "hidden", got: 0.0, expected: "an address" };
    let (states, weights) = (rows * depth, classes * depth);
    let states = match block.whole(Field::gradMode) {
        2 => States::InPlace(block.slice_mut(Field::logitsAddress, states).ok_or(missing)?),
        _ => States::Apart(
            floats(block, Field::logitsAddress, Field::logitsDtype, states).ok_or(missing)?,
            block.slice_mut(Field::gradAddress, states),
        ),
    };
    let weight = floats(block, Field::weightAddress, Field::weightDtype, weights).ok_or(missing)?;
    let inputs = Inputs { rows, depth, classes, weight, labels: block.labels(rows)? };
    let gradients = (
        block.slice_mut(Field::weightGradAddress, weights),
        block.slice_mut(Field::biasGradAddress, classes),
    );
    block.with_results(rows, classes, |results| {
        layer.execute(&inputs, states, gradients, results, Some(cancel))
    })
}
