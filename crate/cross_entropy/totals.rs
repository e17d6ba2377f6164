//! Sums over rows, in blocks of fixed size, so that they have the same bits whoever computed the rows.

use super::{Call, Results, Summary, zeros};
use crate::Error;
use crate::element::{Element, Source};
use crate::parallel::Rows;

/// Rows whose sums are one number: sums over rows run through a block from left to right, and over the blocks likewise.
pub(super) const BLOCK: usize = 256;
/// Rows of a unit of work of the passes over rows: whole blocks.
pub(super) const UNIT: usize = 16 * BLOCK;
/// Nanoseconds that a row takes one thread in a pass over rows: whether the pass is worth a second thread. Bits do not depend on it.
pub(super) const ROW: f64 = 0.2;

#[derive(Clone, Copy, Default)]
struct Partial {
    loss: [f64; UNIT / BLOCK],
    non_finite: usize,
    correct: usize,
}

/// Blocks that are summed side by side: each is a chain of additions that wait for one another.
pub(super) const SIDE: usize = 8;

/// The sums of up to [`SIDE`] blocks, each from left to right.
fn block_sums(losses: Source<'_>) -> [f64; SIDE] {
    match losses {
        Source::F32(losses) => sums_of(losses),
        Source::F64(losses) => sums_of(losses),
        // No losses are.
        Source::F16(_) | Source::Bf16(_) => [f64::NAN; SIDE],
    }
}

fn sums_of<L: Element>(losses: &[L]) -> [f64; SIDE] {
    let mut sums = [0.0; SIDE];
    let (blocks, _) = losses.as_chunks::<BLOCK>();
    if let Ok(blocks) = <&[[L; BLOCK]; SIDE]>::try_from(blocks) {
        for row in 0..BLOCK {
            for (sum, block) in sums.iter_mut().zip(blocks) {
                *sum += block[row].to_f64();
            }
        }
    } else {
        for (sum, losses) in sums.iter_mut().zip(losses.chunks(BLOCK)) {
            losses.iter().for_each(|loss| *sum += loss.to_f64());
        }
    }
    sums
}

/// The memory that [`Call::totals`] needs: asked for before anything is written, since a call that fails writes nothing.
pub(crate) struct Room {
    partials: Vec<Partial>,
    /// One class's sums over a block, per class; and the classes of a block. Empty unless there are sums per class.
    block: Vec<[f64; 4]>,
    touched: Vec<usize>,
}

impl Call<'_> {
    pub(super) fn room(&self, results: &Results<'_>) -> Result<Room, Error> {
        let by_class = results.per_class.is_some();
        Ok(Room {
            partials: zeros(self.scan.classes.len().div_ceil(UNIT))?,
            block: zeros(if by_class { self.plan.shape.classes() } else { 0 })?,
            touched: zeros(if by_class { BLOCK } else { 0 })?,
        })
    }

    pub(super) fn totals(&self, results: Results<'_>, room: Room) -> Result<Summary, Error> {
        let Room { mut partials, block, touched } = room;
        let units = partials.len();
        let (losses, predictions) = (results.losses.read(), results.predictions.as_deref());
        let outputs = Rows::new(&mut partials, 1, 1);
        let executor = self.plan.options.executor.for_work(losses.len() as f64 * ROW);
        executor.run(units, self.cancel, outputs, |_, unit, partial| {
            let partial = &mut partial[0];
            let rows = unit * UNIT..losses.len().min((unit + 1) * UNIT);
            for (block, start) in rows.clone().step_by(SIDE * BLOCK).enumerate() {
                let losses = losses.part(start..rows.end.min(start + SIDE * BLOCK));
                let sums = block_sums(losses);
                partial.loss[SIDE * block..][..SIDE].copy_from_slice(&sums);
                if !sums.iter().all(|sum| sum.is_finite()) {
                    partial.non_finite +=
                        (0..losses.len()).filter(|row| !losses.get(*row).is_finite()).count();
                }
            }
            if let Some(predictions) = predictions {
                let pairs = predictions[rows.clone()].iter().zip(&self.scan.classes[rows]);
                partial.correct =
                    pairs.filter(|(prediction, class)| **prediction >= 0 && prediction == class).count();
            }
        })?;
        let mut summary = Summary {
            weight_sum: self.scan.weight_sum,
            valid: self.scan.valid,
            invalid: self.scan.invalid,
            denominator: self.scan.denominator,
            ..Summary::default()
        };
        for partial in &partials {
            summary.non_finite += partial.non_finite;
            summary.correct += partial.correct;
            for block in partial.loss {
                summary.loss_sum += block;
            }
        }
        summary.loss = self.scan.reduce(self.plan, summary.loss_sum);
        if let Some(per_class) = results.per_class {
            self.per_class(losses, predictions, per_class, (block, touched));
        }
        Ok(summary)
    }

    /// Fills `into` with the loss, weight, count and correct rows of each class, by blocks as above: a class's sums over
    /// a block are added to its totals when the block ends.
    fn per_class(
        &self,
        losses: Source<'_>,
        predictions: Option<&[i32]>,
        into: &mut [f64],
        (mut block, mut touched): (Vec<[f64; 4]>, Vec<usize>),
    ) {
        let classes = self.plan.shape.classes();
        into.fill(0.0);
        for start in (0..losses.len()).step_by(BLOCK) {
            let mut count = 0;
            for row in start..losses.len().min(start + BLOCK) {
                let Ok(class) = usize::try_from(self.scan.classes[row]) else { continue };
                if block[class][2] == 0.0 {
                    touched[count] = class;
                    count += 1;
                }
                let weight = self.plan.class_weight(class) * self.plan.options.sample_weight.get(row);
                let hit = predictions.is_some_and(|predictions| predictions[row] == self.scan.classes[row]);
                let sums = &mut block[class];
                sums[0] += losses.get(row);
                sums[1] += weight;
                sums[2] += 1.0;
                sums[3] += f64::from(u8::from(hit));
            }
            for class in &touched[..count] {
                for (column, sum) in core::mem::take(&mut block[*class]).into_iter().enumerate() {
                    into[column * classes + class] += sum;
                }
            }
        }
    }
}
