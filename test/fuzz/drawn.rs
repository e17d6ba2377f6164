//! What a seed draws: a call of one of the operations.

use super::call::{Call, Subject};
use super::check::{caught, check};
use super::elements::Elements;
use super::generate;
use super::layer::Layer;

pub(crate) enum Drawn {
    Softmax(Call),
    /// The last layer with its loss.
    Layer(Box<Layer>),
    /// The sigmoid.
    Elements(Elements),
}

impl Drawn {
    pub(crate) fn of(seed: u64) -> Self {
        match seed % 10 {
            3 => Drawn::Layer(Box::new(Layer::drawn(seed))),
            7 => Drawn::Elements(Elements::drawn(seed)),
            _ => Drawn::Softmax(generate::call(seed)),
        }
    }

    /// What is wrong with how it is answered; `subject` answers a softmax.
    pub(crate) fn check(&self, subject: Subject<'_>) -> Result<(), String> {
        match self {
            Drawn::Softmax(call) => check(call, subject),
            Drawn::Layer(layer) => caught(|| layer.check()),
            Drawn::Elements(elements) => caught(|| elements.check()),
        }
    }
}
