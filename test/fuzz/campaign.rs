//! Calls one after the other, each checked; what fails is made smaller and told with the seed that repeats it.

use super::call::{Call, Subject};
use super::check::check;
use super::drawn::Drawn;
use super::shrink::shrink;
use std::time::{Duration, Instant};

/// How long a failure is made smaller.
const SHRINKING: Duration = Duration::from_secs(5);

/// A call that fails.
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) what: String,
    /// The smallest call that was found to fail, in words, and its logits.
    pub(crate) smallest: String,
    pub(crate) logits: usize,
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
    mut tell: impl FnMut(u64, &Drawn, Option<&Failure>) -> bool,
) -> (u64, Vec<Failure>) {
    let start = Instant::now();
    let mut failures = Vec::new();
    let mut done = 0;
    while done < limits.cases && failures.len() < limits.failures && start.elapsed() < limits.time {
        let seed = first.wrapping_add(done);
        let drawn = Drawn::of(seed);
        done += 1;
        let Err(what) = drawn.check(subject) else {
            if tell(done, &drawn, None) {
                continue;
            }
            break;
        };
        failures.push(match &drawn {
            Drawn::Softmax(call) => {
                let smallest = shrink(call, SHRINKING, |call| check(call, subject).is_err());
                let what = check(&smallest, subject).err().unwrap_or(what);
                Failure { seed, what, smallest: text_of(&smallest), logits: smallest.case.logits.len() }
            }
            Drawn::Layer(layer) => {
                Failure { seed, what, smallest: layer.text(), logits: layer.call.case.logits.len() }
            }
            Drawn::Elements(elements) => {
                Failure { seed, what, smallest: elements.text(), logits: elements.x.len() }
            }
        });
        if !tell(done, &drawn, failures.last()) {
            break;
        }
    }
    (done, failures)
}

impl Failure {
    pub(crate) fn text(&self) -> String {
        format!("seed {}: {}\n  of {} logits: {}", self.seed, self.what, self.logits, self.smallest)
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
