//! The program of `npm run fuzz`; by itself it checks the crate alone.
//!
//! ```text
//! fuzz check  FIRST CASES SECONDS    calls of the seeds from FIRST on, checked, with what fails in words
//! fuzz serve  FIRST CASES SECONDS    the same, and each call as a record to standard output for the wasm files to make
//! fuzz records FIRST CASES SECONDS   the records alone, for what is compared with them
//! fuzz shrink SEED                   smaller and smaller calls of a seed (a softmax), each followed by a line that says 1 if it still fails
//! ```

#[path = "../bound.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod bound;
#[path = "../digest.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod digest;
#[path = "../support.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

mod call;
mod campaign;
mod check;
mod drawn;
mod elements;
mod generate;
mod layer;
mod record;
mod shrink;

use call::crate_itself;
use campaign::{Limits, campaign, text_of};
use drawn::Drawn;
use record::{frame, record, record_of};
use serde_json::json;
use std::io::{BufWriter, Write, stdin, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Failures that end a run.
const MOST: usize = 20;
const EVERY: Duration = Duration::from_secs(10);

fn main() -> std::io::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |place: usize, otherwise: u64| words.get(place).map_or(Ok(otherwise), |word| word.parse());
    let (first, cases, seconds) = match (number(1, 0), number(2, u64::MAX), number(3, 60)) {
        (Ok(first), Ok(cases), Ok(seconds)) => (first, cases, seconds),
        _ => (0, 0, 0),
    };
    let limits = Limits { cases, time: Duration::from_secs(seconds), failures: MOST };
    match words.first().map(String::as_str) {
        Some("check") => Ok(alone(first, limits)),
        Some("serve") => serve(first, limits),
        Some("records") => records(first, limits),
        Some("shrink") => smaller(first),
        _ => {
            eprintln!("usage: fuzz check | serve | records [FIRST [CASES [SECONDS]]], fuzz shrink SEED");
            Ok(ExitCode::from(2))
        }
    }
}

fn alone(first: u64, limits: Limits) -> ExitCode {
    let start = Instant::now();
    let mut told = start;
    let say = |done: u64| {
        let seconds = start.elapsed().as_secs_f64();
        println!("{done} calls in {seconds:.0} s, {:.0} a second", done as f64 / seconds);
    };
    let (done, failures) = campaign(first, limits, &crate_itself, |done, _, failure| {
        if let Some(failure) = failure {
            println!("{}", failure.text());
        }
        if told.elapsed() > EVERY {
            told = Instant::now();
            say(done);
        }
        true
    });
    say(done);
    println!("{done} calls, {} failed", failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whoever reads may have had enough.
fn serve(first: u64, limits: Limits) -> std::io::Result<ExitCode> {
    let mut out = BufWriter::with_capacity(1 << 20, stdout().lock());
    let mut broken = Ok(());
    let (done, failures) = campaign(first, limits, &crate_itself, |_, drawn, failure| {
        let bytes = match failure {
            Some(failure) => frame(&json!({ "failure": failure.text() }), &[]),
            None => record_of(drawn),
        };
        if broken.is_ok() {
            broken = out.write_all(&bytes);
        }
        broken.is_ok()
    });
    broken?;
    out.write_all(&frame(&json!({ "calls": done, "failed": failures.len() }), &[]))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn records(first: u64, limits: Limits) -> std::io::Result<ExitCode> {
    let mut out = BufWriter::with_capacity(1 << 20, stdout().lock());
    let (start, mut done) = (Instant::now(), 0);
    while done < limits.cases && start.elapsed() < limits.time {
        out.write_all(&record_of(&Drawn::of(first.wrapping_add(done))))?;
        done += 1;
    }
    out.write_all(&frame(&json!({ "calls": done, "failed": 0 }), &[]))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn smaller(seed: u64) -> std::io::Result<ExitCode> {
    let mut out = stdout().lock();
    let mut fails = |call: &call::Call| -> std::io::Result<bool> {
        out.write_all(&record(call))?;
        out.flush()?;
        let mut line = String::new();
        stdin().read_line(&mut line)?;
        Ok(line.trim() == "1")
    };
    let most = Duration::from_secs(60);
    let smallest = match Drawn::of(seed) {
        Drawn::Softmax(call) => text_of(&shrink::shrink(&call, most, |call| fails(call).unwrap_or(false))),
        Drawn::Layer(layer) => layer.text(),
        Drawn::Elements(elements) => elements.text(),
    };
    out.write_all(&frame(&json!({ "smallest": smallest }), &[]))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
