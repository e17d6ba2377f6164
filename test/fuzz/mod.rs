//! Whole calls drawn at random, against the definition and against each other: `npm run fuzz` for as long as wanted, a
//! short run here. A fault planted in how calls are answered must be found, and be made small.

mod call;
mod campaign;
mod check;
mod drawn;
mod elements;
mod faults;
mod generate;
mod layer;
mod shrink;

use call::crate_itself;
use campaign::{Limits, campaign};
use std::time::Duration;

#[test]
fn calls_drawn_at_random_agree() {
    let limits = Limits { cases: 20_000, time: Duration::from_secs(60), failures: 10 };
    let (done, failures) = campaign(0, limits, &crate_itself, |_, _, _| true);
    let texts: Vec<String> = failures.iter().map(campaign::Failure::text).collect();
    assert!(texts.is_empty(), "{} of {done} calls failed:\n{}", texts.len(), texts.join("\n"));
}
