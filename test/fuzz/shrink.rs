//! Makes a failing call smaller for as long as it fails: fewer rows, classes, options, plainer numbers.

use super::call::{Call, Types};
use crate::support::{Case, Settings, Upstream};
use sparse_xent::{Input, Reduction};
use std::time::{Duration, Instant};

/// What a call may be replaced by, the most daring first.
type Step = fn(&Call, usize) -> Option<Call>;

/// The smallest call that still fails, found within some time.
pub(crate) fn shrink(call: &Call, most: Duration, mut fails: impl FnMut(&Call) -> bool) -> Call {
    let end = Instant::now() + most;
    let mut best = call.clone();
    for steps in [&STRUCTURE[..], &NUMBERS, &STRUCTURE, &NUMBERS] {
        let mut is_smaller = true;
        while is_smaller && Instant::now() < end {
            is_smaller = false;
            for step in steps {
                let mut turn = 0;
                while let Some(next) = step(&best, turn).filter(|_| Instant::now() < end) {
                    if fails(&next) {
                        (best, is_smaller) = (next, true);
                    } else {
                        turn += 1;
                    }
                }
            }
        }
    }
    best
}

const STRUCTURE: [Step; 5] = [fewer_rows, fewer_columns, fewer_classes, fewer_options, plainer_types];
const NUMBERS: [Step; 1] = [plainer_logits];

/// Halves first, then pieces of half the size, down to one.
fn piece(count: usize, mut turn: usize) -> Option<(usize, usize)> {
    let mut size = count / 2;
    while size > 0 {
        let pieces = count.div_ceil(size);
        if turn < pieces {
            return Some((turn * size, ((turn + 1) * size).min(count)));
        }
        turn -= pieces;
        size /= 2;
    }
    None
}

fn fewer_rows(call: &Call, turn: usize) -> Option<Call> {
    let [outer, classes, inner] = call.case.shape;
    let (from, to) = piece(outer, turn)?;
    let rows: Vec<usize> = (0..outer * inner).filter(|row| !(from..to).contains(&(row / inner))).collect();
    Some(of_rows(call, [outer - (to - from), classes, inner], &rows))
}

fn fewer_columns(call: &Call, turn: usize) -> Option<Call> {
    let [outer, classes, inner] = call.case.shape;
    let (from, to) = piece(inner, turn)?;
    let rows: Vec<usize> = (0..outer * inner).filter(|row| !(from..to).contains(&(row % inner))).collect();
    Some(of_rows(call, [outer, classes, inner - (to - from)], &rows))
}

/// As [`Call::of_rows`], with the reduction kept.
fn of_rows(call: &Call, shape: [usize; 3], rows: &[usize]) -> Call {
    let mut part = call.of_rows(shape, rows);
    part.case.set.reduction = call.case.set.reduction;
    part
}

fn fewer_classes(call: &Call, turn: usize) -> Option<Call> {
    let [outer, classes, inner] = call.case.shape;
    let (from, to) = piece(classes, turn)?;
    let kept: Vec<usize> = (0..classes).filter(|class| !(from..to).contains(class)).collect();
    let old = &call.case;
    let mut case = Case { shape: [outer, kept.len(), inner], ..old.clone() };
    case.logits = vec![0.0; old.rows() * kept.len()];
    for row in 0..old.rows() {
        for (place, class) in kept.iter().enumerate() {
            let at = case.place(row, place);
            case.logits[at] = old.logits[old.place(row, *class)];
        }
    }
    let moved = |label: i64| {
        let class = usize::try_from(label).ok().filter(|class| *class < classes);
        class.map_or(label, |class| {
            let place = kept.iter().position(|kept| *kept == class).unwrap_or(0);
            i64::try_from(place).unwrap_or(0)
        })
    };
    case.labels = old.labels.iter().map(|label| moved(*label)).collect();
    let pick = |values: &[f64]| kept.iter().map(|class| values[*class]).collect();
    case.set.class_weight = old.set.class_weight.as_deref().map(pick);
    case.set.class_mask =
        old.set.class_mask.as_ref().map(|mask| kept.iter().map(|class| mask[*class]).collect());
    case.set.label_matrix = old.set.label_matrix.as_ref().map(|matrix| {
        kept.iter().flat_map(|line| kept.iter().map(move |class| matrix[line * classes + class])).collect()
    });
    Some(Call { case, ..call.clone() })
}

fn fewer_options(call: &Call, turn: usize) -> Option<Call> {
    let plain = Settings::none();
    let without: [fn(&mut Call, Settings); 17] = [
        |call, plain| call.case.set = Settings { input: call.case.set.input, ..plain },
        |call, _| call.case.set.class_weight = None,
        |call, _| call.case.set.sample_weight = None,
        |call, plain| call.case.set.label_smoothing = plain.label_smoothing,
        |call, plain| call.case.set.z_loss = plain.z_loss,
        |call, plain| call.case.set.focal_gamma = plain.focal_gamma,
        |call, plain| call.case.set.poly1_epsilon = plain.poly1_epsilon,
        |call, plain| call.case.set.gce_q = plain.gce_q,
        |call, plain| call.case.set.softcap = plain.softcap,
        |call, plain| call.case.set.logit_scale = plain.logit_scale,
        |call, _| call.case.set.class_mask = None,
        |call, _| call.case.set.label_matrix = None,
        |call, plain| call.case.set.upstream = plain.upstream,
        |call, _| call.case.set.upstream = Upstream::One(0.0),
        |call, _| {
            let set = &mut call.case.set;
            if !matches!(set.upstream, Upstream::Each(_)) || set.reduction != Reduction::None {
                set.reduction = Reduction::None;
            }
        },
        |call, plain| call.case.set.ignore = plain.ignore,
        |call, _| call.outputs = 0,
    ];
    // What changes nothing is no step.
    let mut left = turn;
    for change in without {
        let mut next = call.clone();
        change(&mut next, plain.clone());
        if format!("{:?}", (&next.case.set, next.outputs)) == format!("{:?}", (&call.case.set, call.outputs))
        {
            continue;
        }
        if left == 0 {
            return Some(next);
        }
        left -= 1;
    }
    None
}

fn plainer_types(call: &Call, turn: usize) -> Option<Call> {
    let own = match call.types {
        Types::F16ToF32 | Types::F16 | Types::Bf16ToF32 | Types::Bf16 => Types::F32,
        Types::F32 | Types::F64 => return None,
    };
    (turn == 0).then(|| Call { types: own, ..call.clone() })
}

/// A logit becomes 0, or loses its fraction.
fn plainer_logits(call: &Call, turn: usize) -> Option<Call> {
    let all = call.case.logits.len();
    if all > 400 || call.case.set.input != Input::Logits {
        return None;
    }
    let plainer = |x: f64, turn: usize| match turn {
        0 => (x != 0.0 || x.is_sign_negative()).then_some(0.0),
        _ => (x.is_finite() && x.fract() != 0.0).then(|| x.round()),
    };
    let mut left = turn;
    for at in 0..2 * all {
        let place = at % all;
        if let Some(next) = plainer(call.case.logits[place], at / all) {
            if left == 0 {
                let mut plain = call.clone();
                plain.case.logits[place] = next;
                return Some(plain);
            }
            left -= 1;
        }
    }
    None
}
