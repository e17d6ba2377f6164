//! Tests the tester: each of these faults must be found among some thousands of calls, and be told with a small call.

use super::call::{Answer, Call, Place, Refusal, Way, crate_itself};
use super::campaign::{Limits, campaign};
use sparse_xent::{Input, Kernel};
use std::time::Duration;

type Fault = fn(&Call, Way) -> Result<Answer, Refusal>;

/// What the crate answers, as `spoil` changes it.
fn spoilt(call: &Call, way: Way, spoil: impl FnOnce(&mut Answer)) -> Result<Answer, Refusal> {
    let mut answer = crate_itself(call, way)?;
    spoil(&mut answer);
    Ok(answer)
}

/// The last class of 97 is left out of the sums.
fn a_dropped_tail(call: &Call, way: Way) -> Result<Answer, Refusal> {
    let [outer, classes, inner] = call.case.shape;
    if classes != 97 || inner != 1 || call.case.set.input != Input::Logits {
        return crate_itself(call, way);
    }
    let mut other = call.clone();
    (0..outer).for_each(|row| other.case.logits[row * classes + 96] = -1e4);
    crate_itself(&other, way)
}

/// In planes of more than 128, a gradient element at the border of a tile is that of its neighbour.
fn a_tile_one_off(call: &Call, way: Way) -> Result<Answer, Refusal> {
    let inner = call.case.shape[2];
    spoilt(call, way, |answer| {
        if inner > 128 && !answer.grad.is_empty() {
            answer.grad[127] = answer.grad[128];
        }
    })
}

/// In place, and there alone, one bit differs.
fn a_bit_in_place(call: &Call, way: Way) -> Result<Answer, Refusal> {
    spoilt(call, way, |answer| {
        if let (Place::Over, Some(last)) = (way.place, answer.grad.last_mut()) {
            *last = f64::from_bits(last.to_bits() ^ 1);
        }
    })
}

/// One kernel of one width loses a NaN.
fn an_eaten_nan(call: &Call, way: Way) -> Result<Answer, Refusal> {
    spoilt(call, way, |answer| {
        if way.kernel == Kernel::Lanes4 {
            answer.losses.iter_mut().filter(|loss| loss.is_nan()).for_each(|loss| *loss = 0.0);
        }
    })
}

/// Ignored rows are -0.
fn a_signed_zero(call: &Call, way: Way) -> Result<Answer, Refusal> {
    spoilt(call, way, |answer| {
        for (loss, label) in answer.losses.iter_mut().zip(&call.case.labels) {
            if call.case.set.ignore.contains(label) {
                *loss = -0.0;
            }
        }
    })
}

/// A label subtracted late: of a sure row the loss is 0.
fn a_lost_small_loss(call: &Call, way: Way) -> Result<Answer, Refusal> {
    spoilt(call, way, |answer| {
        answer.losses.iter_mut().filter(|loss| loss.abs() < 1e-7).for_each(|loss| *loss = 0.0);
    })
}

/// The second of two largest logits is predicted.
fn a_later_tie(call: &Call, way: Way) -> Result<Answer, Refusal> {
    let case = &call.case;
    spoilt(call, way, |answer| {
        for (row, prediction) in answer.predictions.iter_mut().enumerate() {
            let Ok(first) = usize::try_from(*prediction) else { continue };
            let is_tie =
                |class: &usize| case.logits[case.place(row, *class)] == case.logits[case.place(row, first)];
            if let Some(later) = (first + 1..case.shape[1]).find(is_tie) {
                *prediction = i32::try_from(later).expect("a class");
            }
        }
    })
}

/// More than one thread adds the losses in another order.
fn a_sum_by_threads(call: &Call, way: Way) -> Result<Answer, Refusal> {
    spoilt(call, way, |answer| {
        if way.threads > 1 && call.case.rows() > 1000 {
            answer.numbers[1] *= 1.0 + 2.0 * f64::EPSILON;
        }
    })
}

/// A row's bits depend on how many others there are.
fn a_neighbour_that_matters(call: &Call, way: Way) -> Result<Answer, Refusal> {
    spoilt(call, way, |answer| {
        if call.case.rows() % 4 == 3 {
            answer.losses.iter_mut().for_each(|loss| *loss = loss.next_up());
        }
    })
}

/// An error of a hundred thousandth in a gradient under one option.
fn an_option_slightly_off(call: &Call, way: Way) -> Result<Answer, Refusal> {
    spoilt(call, way, |answer| {
        if call.case.set.focal_gamma > 0.0 {
            answer.grad.iter_mut().for_each(|grad| *grad *= 1.0 + 1e-5);
        }
    })
}

/// Written before it is refused.
fn a_mask_that_panics(call: &Call, way: Way) -> Result<Answer, Refusal> {
    assert!(call.case.set.class_mask.as_ref().is_none_or(|mask| mask[0] != 0), "the first class is kept");
    crate_itself(call, way)
}

#[test]
fn planted_faults_are_found_and_made_small() {
    let faults: [(&str, Fault, usize); 11] = [
        ("a dropped tail", a_dropped_tail, 97),
        ("a tile one off", a_tile_one_off, 800),
        ("a bit in place", a_bit_in_place, 12),
        ("an eaten NaN", an_eaten_nan, 12),
        ("a signed zero", a_signed_zero, 12),
        ("a lost small loss", a_lost_small_loss, 12),
        ("a later tie", a_later_tie, 12),
        ("a sum by threads", a_sum_by_threads, 1 << 20),
        ("a neighbour that matters", a_neighbour_that_matters, 200),
        ("an option slightly off", an_option_slightly_off, 12),
        ("a mask that panics", a_mask_that_panics, 12),
    ];
    let mut missed = Vec::new();
    for (name, fault, elements) in faults {
        let limits = Limits { cases: 20_000, time: Duration::from_secs(60), failures: 1 };
        let (done, failures) = campaign(1 << 40, limits, &fault, |_, _, _| true);
        match failures.first() {
            None => missed.push(format!("{name}: not found in {done} calls")),
            Some(failure) if failure.logits > elements => {
                missed.push(format!("{name}: told with a large call after {done}: {}", failure.text()));
            }
            Some(_) => println!("{name}: found after {done} calls"),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
