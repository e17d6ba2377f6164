//! Few rows of many classes: threads share the blocks of a row. A first pass sweeps the blocks, the caller concludes the rows,
//! and a second pass writes the gradient. The blocks are those of a row on one thread, and so are the bits.
//!
//! What is shared: f32 logits whose gradient, if any, is f32 and holds the exponentials between the two passes. Rows of 16-bit
//! or double precision, with masked classes, or whose gradient is accumulated need a row of scratch, which one thread has: they
//! are not split, and neither are the rows of a call that ignores one of them.
//!
//! A call that is cancelled between the passes leaves exponentials where its gradient was to be, in place of the logits too.

use super::plan::{Fate, RowPlan};
use super::route::{block_copies, keeps_blocks};
use super::rules::{Columns, Rules};
use super::scratch::BlockRow;
use super::single::{self, Concluded, Hints};
use super::{Access, Call, Results, empty, zeros};
use crate::Error;
use crate::kernels::rows::{BLOCK, block, blocks};
use crate::parallel::{PerWorker, Rows};
use crate::simd::{Isa, MOST_LANES};

/// How many blocks of a row make a unit of work.
const BLOCKS: usize = 8;

/// A call with this many rows for each thread, or more, is not split: whole rows keep all threads busy.
const ROWS_PER_WORKER: usize = 4;

/// A row to compute, the factor of its gradient, and its label's logit.
type Planned = (RowPlan, f64, f32);

/// Computes the call if its rows are few and of a kind that can be shared. Returns whether it did.
pub(super) fn run<I: Isa>(
    call: &Call<'_>,
    rules: &Rules<'_>,
    access: &mut Access<'_>,
    results: &mut Results<'_>,
) -> Result<bool, Error> {
    let (rows, classes) = (call.plan.shape.rows(), call.plan.shape.classes());
    let blocks = blocks(classes);
    let pieces = blocks.div_ceil(BLOCKS);
    let units = rows.saturating_mul(pieces);
    let workers = call.executor.workers(units);
    if workers == 1 || pieces == 1 || rows >= ROWS_PER_WORKER * workers || !can_share(rules, access) {
        return Ok(false);
    }
    let Some(planned) = planned::<I>(call, rules, access)? else { return Ok(false) };
    let mut found = zeros::<BlockRow>(units * BLOCKS)?;
    let mut concluded = empty::<Concluded>(rows)?;
    let logits_length = block_copies(call.plan, access, true);
    let mut scratch = zeros(logits_length * workers)?;

    loop {
        let all = 0..access.logits().len();
        let (logits, gradient) = access.part(all).by_pieces(classes, BLOCKS * BLOCK, pieces);
        let outputs =
            (gradient, Rows::new(&mut found, BLOCKS, 1), PerWorker::new(&mut scratch, logits_length));
        call.executor.run(units, call.cancel, outputs, |_, unit, (mut gradient, found, scratch)| {
            let (row, first) = (unit / pieces, unit % pieces * BLOCKS);
            let (plan, mut hints) = (&planned[row].0, Hints::NONE);
            for (index, found) in (first..blocks).zip(found) {
                let range = block(classes, index);
                let cells = range.start - first * BLOCK..range.end - first * BLOCK;
                let access = Access::in_unit(logits, &mut gradient, row * classes + range.start, cells);
                match concluded.get(row) {
                    None => {
                        let floats = single::floats::<I>(rules, access, &range, scratch, &mut []);
                        *found = single::sweep::<I>(rules, plan, &range, floats, &mut hints);
                    }
                    Some(row) => {
                        single::write_block::<I>(rules, plan, row, found, &range, access, (&[], &mut []));
                    }
                }
            }
        })?;
        if !concluded.is_empty() {
            return Ok(true);
        }
        let mut columns = Columns::all(results);
        for (row, (plan, upstream, label)) in planned.iter().enumerate() {
            let found = &found[row * pieces * BLOCKS..][..blocks];
            let row_concluded = single::conclude(rules, plan, *upstream, found, *label);
            columns.put(row, &row_concluded.values);
            concluded.push(row_concluded);
        }
        if !access.wants_gradient() {
            return Ok(true);
        }
    }
}

/// Whether the blocks of a row need no memory but the call's, and a copy, so that threads may share them.
fn can_share(rules: &Rules<'_>, access: &Access<'_>) -> bool {
    rules.in_single && rules.plan.takes(access.logits(), MOST_LANES) && keeps_blocks(rules.plan, access)
}

/// The rows' plans; `None` where a row is ignored, invalid or without a gradient.
fn planned<I: Isa>(
    call: &Call<'_>,
    rules: &Rules<'_>,
    access: &Access<'_>,
) -> Result<Option<Vec<Planned>>, Error> {
    let mut planned = empty(call.scan.classes.len())?;
    for (row, class) in call.scan.classes.iter().enumerate() {
        let sample = call.plan.options.sample_weight.get(row);
        let Fate::Row(plan) = call.plan.fate(*class, sample) else { return Ok(None) };
        let upstream = rules.upstream.of(row);
        if upstream == 0.0 && access.wants_gradient() {
            return Ok(None);
        }
        let classes = call.plan.shape.classes();
        let label =
            single::label_logit::<I>(rules, &plan, access.logits().part(row * classes..(row + 1) * classes));
        planned.push((plan, upstream, label));
    }
    Ok(Some(planned))
}

#[cfg(all(test, feature = "threads", not(miri)))]
mod tests {
    use super::super::{Access, Logits, Results};
    use crate::element::Target;
    use crate::parallel::Executor;
    use crate::{CrossEntropy, Error, Shape};
    use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
    use core::time::Duration;

    const CLASSES: usize = 4_000_001;

    fn logits() -> Vec<f32> {
        (0..CLASSES).map(|class| (class * 7 % 251) as f32 / 16.0).collect()
    }

    /// A call in place on two threads that is cancelled after this time, and what the logits are then.
    fn cancelled_after(delay: Duration) -> (Result<f64, Error>, Vec<f32>) {
        let (mut x, mut losses) = (logits(), [0.0]);
        let (flag, begun) = (AtomicI32::new(0), AtomicBool::new(false));
        let op = CrossEntropy::new().executor(Executor::Rayon { threads: 2 });
        let shape = Shape::new(&[1, CLASSES], -1).expect("a shape");
        let result = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !begun.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                std::thread::sleep(delay);
                flag.store(1, Ordering::Relaxed);
            });
            let mut results = Results {
                losses: Target::F32(&mut losses),
                log_sum_exp: None,
                target_log_prob: None,
                predictions: None,
                per_class: None,
                distribution: None,
            };
            begun.store(true, Ordering::Relaxed);
            op.execute(
                Access::InPlace(Target::F32(&mut x)),
                shape,
                (&[7_u32]).into(),
                &mut results,
                Some(&flag),
            )
        });
        (result.map(|summary| summary.loss), x)
    }

    #[test]
    fn a_cancelled_call_in_place_leaves_what_it_had_come_to_and_says_so() {
        let plain = logits();
        let shape = Shape::new(&[1, CLASSES], -1).expect("a shape");
        let mut grad = vec![0.0; CLASSES];
        let input = Logits::new(&plain, shape).expect("as many");
        let want = CrossEntropy::new().forward_backward(&input, &[7_u32], &mut grad).expect("a loss");
        // Other delays until one ends between the first block and the last.
        let mut partly = 0;
        for attempt in 0..400 {
            let (result, left) = cancelled_after(Duration::from_micros(25 * attempt % 4000));
            let is = |what: &[f32]| left.iter().zip(what).all(|(x, what)| x.to_bits() == what.to_bits());
            match result {
                // The flag came too late: all is as without it.
                Ok(loss) => assert!(is(&grad) && loss.to_bits() == want.loss.to_bits(), "whole"),
                Err(error) => {
                    assert_eq!(error, Error::Aborted, "the one error of a cancelled call");
                    assert!(left.iter().all(|x| x.is_finite()), "logits, exponentials and gradient");
                    partly += usize::from(!is(&plain));
                }
            }
            if partly == 3 {
                return;
            }
        }
        panic!("no call was cancelled in its middle");
    }
}
