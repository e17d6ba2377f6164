//! Sums over rows, in chains of fixed size: their bits do not depend on which thread computed which rows.

use super::{Call, Results, Summary, zeros};
use crate::Error;
use crate::element::{Element, Source};
use crate::parallel::Rows;
use crate::simd::arrays;

/// Rows whose losses are added in one chain, from left to right. The sums of the chains are added in the same way.
pub(super) const CHAIN: usize = 256;
/// Rows of a unit of work of the passes over rows: whole chains.
pub(super) const UNIT: usize = 16 * CHAIN;
/// Nanoseconds that a row takes one thread in a pass over rows: whether the pass is worth a second thread. Bits do not depend on it.
pub(super) const ROW: f64 = 0.2;

#[derive(Clone, Copy, Default)]
struct Partial {
    loss: [f64; UNIT / CHAIN],
    non_finite: usize,
    correct: usize,
}

/// Chains that are summed side by side: an addition waits for the one before it in its chain, and meanwhile other chains go on.
pub(super) const CHAINS: usize = 8;

fn chain_sums(losses: Source<'_>) -> [f64; CHAINS] {
    match losses {
        Source::F32(losses) => sums_of(losses),
        Source::F64(losses) => sums_of(losses),
        // Losses are never of 16 bits.
        Source::F16(_) | Source::Bf16(_) => [f64::NAN; CHAINS],
    }
}

/// The sums of up to [`CHAINS`] chains, each from left to right.
pub(super) fn sums_of<L: Element>(losses: &[L]) -> [f64; CHAINS] {
    let mut sums = [0.0; CHAINS];
    let (chains, _) = losses.as_chunks::<CHAIN>();
    if let Ok(chains) = <&[[L; CHAIN]; CHAINS]>::try_from(chains) {
        for row in 0..CHAIN {
            for (sum, chain) in sums.iter_mut().zip(chains) {
                *sum += chain[row].to_f64();
            }
        }
    } else {
        for (sum, losses) in sums.iter_mut().zip(losses.chunks(CHAIN)) {
            losses.iter().for_each(|loss| *sum += loss.to_f64());
        }
    }
    sums
}

/// The memory that [`Room::totals`] needs. It is asked for before anything is written, since a call that fails writes nothing.
pub(crate) struct Room {
    partials: Vec<Partial>,
    /// The sums of each class over one chain, and which classes the chain has. Both are empty unless sums per class are wanted.
    chain: Vec<[f64; 4]>,
    touched: Vec<usize>,
}

impl Room {
    pub(super) fn new(call: &Call<'_>, results: &Results<'_>) -> Result<Self, Error> {
        let by_class = results.per_class.is_some();
        Ok(Self {
            partials: zeros(call.scan.classes.len().div_ceil(UNIT))?,
            chain: zeros(if by_class { call.plan.shape.classes() } else { 0 })?,
            touched: zeros(if by_class { CHAIN } else { 0 })?,
        })
    }

    /// The sums over all rows, whose results are there.
    pub(super) fn totals(self, call: &Call<'_>, results: &mut Results<'_>) -> Result<Summary, Error> {
        let Self { mut partials, chain, touched } = self;
        let units = partials.len();
        let (losses, predictions) = (results.losses.read(), results.predictions.as_deref());
        let outputs = Rows::new(&mut partials, 1, 1);
        let executor = call.plan.options.executor.for_work(losses.len() as f64 * ROW);
        executor.run(units, call.cancel, outputs, |_, unit, partial| {
            let partial = &mut partial[0];
            let rows = unit * UNIT..losses.len().min((unit + 1) * UNIT);
            for (chain, start) in rows.clone().step_by(CHAINS * CHAIN).enumerate() {
                let losses = losses.part(start..rows.end.min(start + CHAINS * CHAIN));
                let sums = chain_sums(losses);
                partial.loss[CHAINS * chain..][..CHAINS].copy_from_slice(&sums);
                if !sums.iter().all(|sum| sum.is_finite()) {
                    partial.non_finite +=
                        (0..losses.len()).filter(|row| !losses.get(*row).is_finite()).count();
                }
            }
            if let Some(predictions) = predictions {
                let (predictions, classes) = (&predictions[rows.clone()], &call.scan.classes[rows]);
                partial.correct = arrays::count(predictions, classes, |prediction, class| {
                    (prediction >= 0) & (prediction == class)
                });
            }
        })?;
        let mut summary = Summary {
            weight_sum: call.scan.weight_sum,
            valid: call.scan.valid,
            invalid: call.scan.invalid,
            denominator: call.scan.denominator,
            ..Summary::default()
        };
        for partial in &partials {
            summary.non_finite += partial.non_finite;
            summary.correct += partial.correct;
            for chain in partial.loss {
                summary.loss_sum += chain;
            }
        }
        summary.loss = call.scan.reduce(call.plan, summary.loss_sum);
        if let Some(per_class) = results.per_class.as_deref_mut() {
            fill_per_class(call, losses, predictions, per_class, (chain, touched));
        }
        Ok(summary)
    }
}

/// Fills `into` with the loss, weight, count and correct rows of each class. The rows are taken in the same chains: at the end of a
/// chain, the sums of each class that occurs in it are added to the class's totals.
fn fill_per_class(
    call: &Call<'_>,
    losses: Source<'_>,
    predictions: Option<&[i32]>,
    into: &mut [f64],
    (mut chain, mut touched): (Vec<[f64; 4]>, Vec<usize>),
) {
    let classes = call.plan.shape.classes();
    into.fill(0.0);
    for start in (0..losses.len()).step_by(CHAIN) {
        let mut count = 0;
        for row in start..losses.len().min(start + CHAIN) {
            let Ok(class) = usize::try_from(call.scan.classes[row]) else { continue };
            if chain[class][2] == 0.0 {
                touched[count] = class;
                count += 1;
            }
            let weight = call.plan.class_weight(class) * call.plan.options.sample_weight.get(row);
            let hit = predictions.is_some_and(|predictions| predictions[row] == call.scan.classes[row]);
            let sums = &mut chain[class];
            sums[0] += losses.get(row);
            sums[1] += weight;
            sums[2] += 1.0;
            sums[3] += f64::from(u8::from(hit));
        }
        for class in &touched[..count] {
            for (column, sum) in core::mem::take(&mut chain[*class]).into_iter().enumerate() {
                into[column * classes + class] += sum;
            }
        }
    }
}
