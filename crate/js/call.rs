//! One call: a block of words in shared memory says what to do and carries the numbers back.

mod codes;
mod linear;
mod results;

use self::codes::numbers;
use super::fields::{Field, terms};
use super::pool::{ENGINE_LOST, is_lost};
use crate::cross_entropy::{Access, Summary};
use crate::element::{Source, Target};
use crate::labels::Labels;
use crate::options::*;
use crate::parallel::{Executor, Typed};
use crate::{Error, Shape, WeightedSigmoid};
use core::sync::atomic::{AtomicI32, AtomicU64};
use std::borrow::Cow;
use wasm_bindgen::prelude::wasm_bindgen;

/// The code of the last layer with its loss, in `operation`.
const LINEAR: usize = 3;

/// Words for one call at a time, so that a small call asks for no memory for its block.
static BLOCK: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];
/// The words of a block.
const COUNT: usize = Field::cancel as usize + 1;

/// Where these words are. Shared memory is never moved, so the address stays good.
#[wasm_bindgen]
pub fn block() -> usize {
    BLOCK.as_ptr().expose_provenance()
}

/// Runs the call of the block at this address and returns its code: 0, or which error. Losses and gradient are then
/// where the block said, and its result words are filled.
#[wasm_bindgen]
pub fn run(block: usize) -> u32 {
    answer(block, |block, cancel| block.compute(cancel))
}

/// Judges the options, labels and weights of the block at this address: the code that `run` would return, were nothing wrong but
/// those. It forms no slice of logits or results, so there is nothing that it could compute.
#[wasm_bindgen]
pub fn judge(block: usize) -> u32 {
    answer(block, |block, _| block.judge().map(|()| Summary::default()))
}

fn answer(address: usize, work: fn(&Block<'_>, &AtomicI32) -> Result<Summary, Error>) -> u32 {
    if is_lost() {
        return ENGINE_LOST;
    }
    let start: *mut f64 = core::ptr::with_exposed_provenance_mut(address);
    // SAFETY: the caller passes a block of COUNT words, 8-aligned; the last, `cancel`, is not part of the slice.
    let words = unsafe { core::slice::from_raw_parts_mut(start, Field::cancel as usize) };
    // SAFETY: the last word lies behind the slice, and JavaScript stores to it atomically.
    let cancel = unsafe { AtomicI32::from_ptr(start.add(Field::cancel as usize).cast()) };
    let mut block = Block { words };
    let result = work(&block, cancel);
    block.record(result)
}

struct Block<'a> {
    words: &'a mut [f64],
}

/// The elements that an expression gives, as numbers of the type that a code names.
macro_rules! of_dtype {
    ($code:expr, $elements:expr) => {
        match $code {
            0 => $elements.map(Typed::F32),
            1 => $elements.map(Typed::F64),
            2 => $elements.map(Typed::F16),
            3 => $elements.map(Typed::Bf16),
            _ => None,
        }
    };
}

impl Block<'_> {
    fn get(&self, field: Field) -> f64 {
        self.words[field as usize]
    }

    fn set(&mut self, field: Field, value: f64) {
        self.words[field as usize] = value;
    }

    /// A size, address or code: TypeScript writes whole numbers from 0 to 2^53.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and whole by agreement"
    )]
    fn whole(&self, field: Field) -> usize {
        self.get(field) as usize
    }

    fn choose<T: Copy>(&self, field: Field, option: &'static str, choices: &[T]) -> Result<T, Error> {
        choices.get(self.whole(field)).copied().ok_or(Error::OptionRange {
            option,
            got: self.get(field),
            expected: "a known choice",
        })
    }

    /// The elements at the address that a word holds; `None` for address 0.
    fn slice<'m, T>(&self, address: Field, length: usize) -> Option<&'m [T]> {
        let address = self.whole(address);
        // SAFETY: a tensor of the engine with this dtype and length lies there and lives as long as the call.
        (address != 0).then(|| unsafe {
            core::slice::from_raw_parts(core::ptr::with_exposed_provenance(address), length)
        })
    }

    /// As [`Block::slice`], to write.
    fn slice_mut<'m, T>(&self, address: Field, length: usize) -> Option<&'m mut [T]> {
        let address = self.whole(address);
        // SAFETY: as above, and the TypeScript side has refused outputs that overlap with anything else.
        (address != 0).then(|| unsafe {
            core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(address), length)
        })
    }

    fn labels<'m>(&self, rows: usize) -> Result<Labels<'m>, Error> {
        let at = Field::labelsAddress;
        let labels = match self.whole(Field::labelsDtype) {
            0 => self.slice(at, rows).map(Labels::F32),
            1 => self.slice(at, rows).map(Labels::F64),
            4 => self.slice(at, rows).map(Labels::U8),
            5 => self.slice(at, rows).map(Labels::I8),
            6 => self.slice(at, rows).map(Labels::U16),
            7 => self.slice(at, rows).map(Labels::I16),
            8 => self.slice(at, rows).map(Labels::U32),
            9 => self.slice(at, rows).map(Labels::I32),
            10 => self.slice(at, rows).map(Labels::U64),
            11 => self.slice(at, rows).map(Labels::I64),
            _ => None,
        };
        let (option, got) = ("labels dtype", self.get(Field::labelsDtype));
        labels.ok_or(Error::OptionRange { option, got, expected: "a label dtype" })
    }

    fn weights<'m>(&self, address: Field, dtype: Field, length: usize) -> Option<Weights<'m>> {
        match self.whole(dtype) {
            0 => self.slice(address, length).map(Weights::F32),
            1 => self.slice(address, length).map(Weights::F64),
            _ => self.slice(address, length).map(Weights::U8),
        }
    }

    /// The values at an address, or the one number where there is no address.
    fn row_values<'m>(&self, address: Field, dtype: Field, value: Field, length: usize) -> RowValues<'m> {
        let values = self.weights(address, dtype, length);
        values.map_or(RowValues::Scalar(self.get(value)), RowValues::PerRow)
    }

    fn compute(&self, cancel: &AtomicI32) -> Result<Summary, Error> {
        // The last layer has a shape of its own, and tells the types of its arrays apart part by part.
        if self.whole(Field::operation) == LINEAR {
            return linear::compute(self, cancel);
        }
        let shape = self.shape()?;
        // They stay where they are made: moved out of the result, they would be copied.
        let options = self.options(shape);
        let options = options.as_ref().map_err(|error| *error)?;
        match self.whole(Field::operation) {
            1 => self.cross_entropy(options, shape, cancel),
            2 => self.weighted_sigmoid(options, shape, cancel),
            code => Err(unknown_operation(code)),
        }
    }

    fn judge(&self) -> Result<(), Error> {
        if self.whole(Field::operation) == LINEAR {
            return linear::judge(self);
        }
        let shape = self.shape()?;
        let options = self.options(shape)?;
        match self.whole(Field::operation) {
            1 => options.judge(shape, &self.labels(shape.rows())?),
            2 => self.sigmoid_options(&options, shape).check(shape, self.targets(shape)?),
            code => Err(unknown_operation(code)),
        }
    }

    fn cross_entropy(
        &self,
        options: &CrossEntropy<'_>,
        shape: Shape,
        cancel: &AtomicI32,
    ) -> Result<Summary, Error> {
        let (rows, classes) = (shape.rows(), shape.classes());
        let labels = self.labels(rows)?;
        let access = self.access(shape.elements())?;
        self.with_results(rows, classes, |mut results| {
            options.execute(access, shape, labels, &mut results, Some(cancel))
        })
    }

    /// Numbers of this dtype at an address.
    fn source<'m>(&self, address: Field, dtype: usize, length: usize) -> Option<Source<'m>> {
        of_dtype!(dtype, self.slice(address, length))
    }

    /// As [`Block::source`], to write.
    fn target<'m>(&self, address: Field, dtype: usize, length: usize) -> Option<Target<'m>> {
        of_dtype!(dtype, self.slice_mut(address, length))
    }

    fn access<'m>(&self, elements: usize) -> Result<Access<'m>, Error> {
        let dtype = self.whole(Field::logitsDtype);
        // The gradient has the logits' dtype, or is f32 under half-precision ones.
        let grad_dtype = if dtype > 1 && self.whole(Field::gradDtype) == 0 { 0 } else { dtype };
        let missing = Error::OptionRange {
            option: "logits dtype",
            got: dtype as f64,
            expected: "f32, f64, f16 or bf16 at an address",
        };
        let logits = || self.source(Field::logitsAddress, dtype, elements);
        let access = match self.whole(Field::gradMode) {
            0 => logits().map(Access::Loss),
            2 => self.target(Field::logitsAddress, dtype, elements).map(Access::InPlace),
            _ => logits()
                .zip(self.target(Field::gradAddress, grad_dtype, elements))
                .map(|(logits, grad)| Access::Apart(logits, grad)),
        };
        access.ok_or(missing)
    }

    fn weighted_sigmoid(
        &self,
        shared: &CrossEntropy<'_>,
        shape: Shape,
        cancel: &AtomicI32,
    ) -> Result<Summary, Error> {
        let elements = shape.elements();
        let options = self.sigmoid_options(shared, shape);
        let targets = self.targets(shape)?;
        let access = self.access(elements)?;
        let mut own_losses = self.own_losses(elements)?;
        let losses = self.losses(&mut own_losses, elements);
        options.execute(access, shape, targets, losses, Some(cancel))
    }

    fn sigmoid_options<'m>(&self, shared: &CrossEntropy<'m>, shape: Shape) -> WeightedSigmoid<'m> {
        let row_values = |address, dtype, value| self.row_values(address, dtype, value, shape.elements());
        let pos_weight = self.weights(Field::classWeightAddress, Field::classWeightDtype, shape.classes());
        let (sample, upstream) = (Field::sampleWeightAddress, Field::upstreamAddress);
        WeightedSigmoid {
            reduction: shared.reduction,
            denominator: shared.denominator,
            pos_weight: pos_weight.map_or(RowValues::Scalar(1.0), RowValues::PerRow),
            sample_weight: row_values(sample, Field::sampleWeightDtype, Field::sampleWeightValue),
            empty_mean: shared.empty_mean,
            upstream: row_values(upstream, Field::upstreamDtype, Field::upstreamValue),
            accumulate: shared.accumulate,
            executor: shared.executor,
        }
    }

    fn targets<'m>(&self, shape: Shape) -> Result<Weights<'m>, Error> {
        let targets = self.weights(Field::labelsAddress, Field::labelsDtype, shape.elements());
        targets.ok_or(Error::OptionRange { option: "targets", got: 0.0, expected: "an address" })
    }

    fn shape(&self) -> Result<Shape, Error> {
        let product = |field| self.whole(field) as u64;
        Shape::from_parts(product(Field::outer), product(Field::classes), product(Field::inner))
    }

    fn options<'m>(&self, shape: Shape) -> Result<CrossEntropy<'m>, Error> {
        let (rows, classes) = (shape.rows(), shape.classes());
        let threads = self.whole(Field::threads);
        let count = Denominator::Count(self.get(Field::denominatorValue));
        let denominators =
            [Denominator::Weights, Denominator::Valid, Denominator::All, Denominator::NonZero, count];
        let policies = [InvalidLabel::Throw, InvalidLabel::Nan, InvalidLabel::Ignore];
        let reductions = [Reduction::None, Reduction::Sum, Reduction::Mean];
        let normalizations = [ProbsNormalize::Before, ProbsNormalize::After, ProbsNormalize::None];
        let smoothing = [SmoothingWeights::Class, SmoothingWeights::Row];
        let row_values = |address, dtype, value| self.row_values(address, dtype, value, rows);
        let (sample, upstream) = (Field::sampleWeightAddress, Field::upstreamAddress);
        let outputs = Wanted {
            log_sum_exp: self.whole(Field::logSumExpAddress) != 0,
            target_log_prob: self.whole(Field::targetLogProbAddress) != 0,
            predictions: self.whole(Field::predictionsAddress) != 0,
            per_class: self.whole(Field::perClassAddress) != 0,
            top_k: self.whole(Field::topK),
            target_rank: self.whole(Field::targetRankAddress) != 0,
            entropy: self.whole(Field::entropyAddress) != 0,
            log_probs: self.whole(Field::logProbsAddress) != 0,
        };
        Ok(CrossEntropy {
            reduction: self.choose(Field::reduction, "reduction", &reductions)?,
            denominator: self.choose(Field::denominator, "denominator", &denominators)?,
            ignore: Cow::Borrowed(
                self.slice(Field::ignoreAddress, self.whole(Field::ignoreCount)).unwrap_or_default(),
            ),
            invalid_label: self.choose(Field::invalidLabel, "invalidLabel", &policies)?,
            class_weight: self.weights(Field::classWeightAddress, Field::classWeightDtype, classes),
            sample_weight: row_values(sample, Field::sampleWeightDtype, Field::sampleWeightValue),
            terms: terms(|field| self.get(field)),
            smoothing_weights: self.choose(Field::smoothingWeights, "smoothingWeights", &smoothing)?,
            empty_mean: self.choose(Field::emptyMean, "emptyMean", &[EmptyMean::Zero, EmptyMean::Nan])?,
            upstream: row_values(upstream, Field::upstreamDtype, Field::upstreamValue),
            accumulate: self.whole(Field::gradMode) == 3,
            softcap: self.get(Field::softcap),
            logit_scale: self.get(Field::logitScale),
            input: self.choose(Field::input, "input", &[Input::Logits, Input::LogProbs, Input::Probs])?,
            probs_epsilon: self.get(Field::probsEpsilon),
            probs_normalize: self.choose(Field::probsNormalize, "probsNormalize", &normalizations)?,
            class_mask: self.slice(Field::classMaskAddress, classes),
            label_matrix: self.weights(
                Field::labelMatrixAddress,
                Field::labelMatrixDtype,
                classes.saturating_mul(classes),
            ),
            outputs,
            executor: if threads > 1 { Executor::Rayon { threads } } else { Executor::Serial },
            kernel: crate::Kernel::Best,
        })
    }

    /// Writes the results or the error's numbers, and returns the code.
    fn record(&mut self, result: Result<Summary, Error>) -> u32 {
        let rows = self.get(Field::outer) * self.get(Field::inner);
        let code = match result {
            Ok(summary) => {
                self.set(Field::loss, summary.loss);
                self.set(Field::lossSum, summary.loss_sum);
                self.set(Field::weightSum, summary.weight_sum);
                self.set(Field::validCount, summary.valid as f64);
                self.set(Field::invalidCount, summary.invalid as f64);
                self.set(Field::rowCount, rows);
                self.set(Field::nonFiniteCount, summary.non_finite as f64);
                self.set(Field::denominatorUsed, summary.denominator);
                self.set(Field::correctCount, summary.correct as f64);
                0
            }
            Err(error) => {
                let (code, index, got, count) = numbers(&error);
                self.set(Field::errorIndex, index as f64);
                self.set(Field::errorGot, got);
                self.set(Field::errorCount, count as f64);
                code
            }
        };
        self.set(Field::code, f64::from(code));
        code
    }
}

fn unknown_operation(code: usize) -> Error {
    Error::OptionRange { option: "operation", got: code as f64, expected: "a known one" }
}
