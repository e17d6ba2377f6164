//! Calls one after the other, each checked; what fails is made smaller and told with the seed that repeats it.

use super::call::{Call, Subject};
use super::check::check;
use super::generate::call;
use super::shrink::shrink;
use std::time::{Duration, Instant};

/// How long a failure is made smaller.
const SHRINKING: Duration = Duration::from_secs(5);

/// A call that fails.
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) what: String,
    pub(crate) smallest: Call,
}

/// How far it may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) cases: u64,
    pub(crate) time: Duration,
    pub(crate) failures: usize,
}

/// The calls of the seeds from `first` on, up to some limit: how many there were, and which failed. Ends where `tell` says no.
pub(crate) fn campaign(
    first: u64,
    limits: Limits,
    subject: Subject<'_>,
    mut tell: impl FnMut(u64, &Call, Option<&Failure>) -> bool,
) -> (u64, Vec<Failure>) {
    let start = Instant::now();
    let mut failures = Vec::new();
    let mut done = 0;
    while done < limits.cases && failures.len() < limits.failures && start.elapsed() < limits.time {
        let seed = first.wrapping_add(done);
        let drawn = call(seed);
        done += 1;
        let Err(what) = check(&drawn, subject) else {
            if tell(done, &drawn, None) {
                continue;
            }
            break;
        };
        let smallest = shrink(&drawn, SHRINKING, |call| check(call, subject).is_err());
        let what = check(&smallest, subject).err().unwrap_or(what);
        failures.push(Failure { seed, what, smallest });
        if !tell(done, &drawn, failures.last()) {
            break;
        }
    }
    (done, failures)
}

impl Failure {
    pub(crate) fn text(&self) -> String {
        format!("seed {}: {}\n  {}", self.seed, self.what, text_of(&self.smallest))
    }
}

/// A call in words, long lists left out.
pub(crate) fn text_of(call: &Call) -> String {
    let Call { case, types, outputs, .. } = call;
    let few = |text: String| if text.len() > 3_000 { "many".to_owned() } else { text };
    let (labels, logits) = (few(format!("{:?}", case.labels)), few(format!("{:?}", case.logits)));
    let (shape, set) = (case.shape, few(format!("{:?}", case.set)));
    format!("smallest: {shape:?} {types:?}, outputs {outputs}, labels {labels}, logits {logits}\n  {set}")
}
