//! What holds for every call: it agrees with the definition, and no bit depends on the way it is made.

use super::call::{Answer, Call, Place, Subject, Types, Way, adds_once, before, with_types};
use crate::bound::{Beside, Distribution, Judge, Precision};
use crate::support::{Case, Settings, Upstream, kernels};
use fastrand::Rng;
use sparse_xent::{Element, Input, InvalidLabel, Kernel, Reduction};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{LazyLock, Once};

static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| kernels().collect());

thread_local! {
    /// Whether a panic of this thread is told by what `check` returns; where it was.
    static CAUGHT: Cell<Option<String>> = const { Cell::new(None) };
}

/// What is wrong with how `subject` answers a call. The ways that are tried are drawn with the call's seed.
pub(crate) fn check(call: &Call, subject: Subject<'_>) -> Result<(), String> {
    caught(|| checked(call, subject))
}

/// A check, or the panic that it ended with.
pub(crate) fn caught(check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| match CAUGHT.take() {
            Some(_) => CAUGHT.set(Some(panic.to_string())),
            None => loud(panic),
        }));
    });
    CAUGHT.set(Some(String::new()));
    let caught = catch_unwind(AssertUnwindSafe(check));
    let panic = CAUGHT.take().unwrap_or_default();
    caught.unwrap_or(Err(panic))
}

fn checked(call: &Call, subject: Subject<'_>) -> Result<(), String> {
    let mut rng = Rng::with_seed(call.seed.rotate_left(32));
    let kernel = KERNELS[rng.usize(..KERNELS.len())];
    let plain = Way { kernel, threads: 1, place: Place::Apart, outputs: call.every_output(), narrow: false };
    let precision = with_types!(call.types, Precision::of::<E, G>());
    let refused = refusal(&call.case);
    let base = match (subject(call, plain), refused) {
        (Err(got), Some(want)) if got == want => None,
        (Ok(base), None) => Some(base),
        (got, want) => {
            let got = got.map(|_| "an answer");
            return Err(format!("{plain:?}: got {got:?}, expected {}", want.unwrap_or("an answer")));
        }
    };
    let judge = match base {
        Some(_) => Some(Judge::new(&call.case, precision)?),
        None => None,
    };
    if let (Some(base), Some(judge)) = (&base, &judge) {
        agrees(base, judge, &call.case.set).map_err(|what| format!("{plain:?}: {what}"))?;
    }
    for way in ways(call, plain, &mut rng) {
        match (subject(call, way), &base) {
            (Err(got), None) if Some(&got[..]) == refused => {}
            (Ok(got), Some(base)) => {
                same(call, &got, base, way).map_err(|what| format!("{way:?} beside {plain:?}: {what}"))?;
            }
            (got, _) => return Err(format!("{way:?}: {:?}", got.map(|_| "an answer"))),
        }
    }
    match base {
        Some(base) if rng.u8(..3) == 0 => place_in_batch(call, subject, plain, &base, &mut rng),
        _ => Ok(()),
    }
}

/// The error that a call is refused with: labels beyond the classes are reported before those that the mask takes out, and both before
/// weights that are no numbers. Those of ignored rows are not looked at.
pub(crate) fn refusal(case: &Case) -> Option<&'static str> {
    let set = &case.set;
    let class_of = |label: i64| usize::try_from(label).ok().filter(|class| *class < case.shape[1]);
    let is_valid = |label: i64| {
        class_of(label).is_some_and(|class| set.class_mask.as_ref().is_none_or(|mask| mask[class] != 0))
    };
    let labels = || case.labels.iter().copied().filter(|label| !set.ignore.contains(label));
    if set.invalid_label == InvalidLabel::Throw && !labels().all(is_valid) {
        let is_beyond = labels().any(|label| class_of(label).is_none());
        return Some(if is_beyond { "LABEL_OUT_OF_RANGE" } else { "TARGET_MASKED" });
    }
    let counts = |label: i64| {
        !set.ignore.contains(&label) && (set.invalid_label != InvalidLabel::Ignore || is_valid(label))
    };
    let has_bad = |weights: &Option<Vec<f64>>| weights.iter().flatten().any(|weight| !weight.is_finite());
    let mut rows = set.sample_weight.iter().flatten().zip(&case.labels);
    let is_bad = has_bad(&set.class_weight)
        || has_bad(&set.label_matrix)
        || rows.any(|(weight, label)| !weight.is_finite() && counts(*label));
    is_bad.then_some("WEIGHT_VALUE")
}

/// Some other ways: where the gradient goes, how many threads, what else is asked for, and in which types the rest comes.
fn ways(call: &Call, plain: Way, rng: &mut Rng) -> Vec<Way> {
    let places = match call.types {
        Types::F16ToF32 | Types::Bf16ToF32 => [Place::Loss, Place::Apart, Place::Added, Place::Added],
        _ => [Place::Loss, Place::Apart, Place::Over, Place::Added],
    };
    let count = if call.case.logits.len() > 20_000 { 4 } else { 2 };
    (0..count)
        .map(|_| Way {
            threads: rng.usize(1..4),
            place: places[rng.usize(..4)],
            outputs: if rng.bool() { call.outputs } else { rng.u8(..) & call.every_output() },
            narrow: rng.bool(),
            ..plain
        })
        .collect()
}

/// Whether every loss is a sum of terms that are none of them negative.
fn cannot_be_negative(set: &Settings) -> bool {
    let weights = [&set.class_weight, &set.sample_weight, &set.label_matrix].into_iter().flatten().flatten();
    set.input == Input::Logits && set.poly1_epsilon >= 0.0 && weights.copied().all(|weight| weight >= 0.0)
}

pub(crate) fn agrees(got: &Answer, judge: &Judge<'_>, set: &Settings) -> Result<(), String> {
    judge.rows(&got.losses, &got.grad)?;
    if let Some(loss) = got.losses.iter().find(|loss| **loss < 0.0 && cannot_be_negative(set)) {
        return Err(format!("a loss of {loss:e}, which cannot be negative"));
    }
    let classes = got.per_class.len() / 4;
    let column = |index: usize| &got.per_class[index * classes..][..classes];
    judge.beside(Beside {
        log_sum_exp: &got.log_sum_exp,
        target_log_prob: &got.target_log_prob,
        predictions: &got.predictions,
        per_class: [column(0), column(1), column(2), column(3)],
        distribution: Distribution {
            top_values: &got.top_values,
            top_classes: &got.top_classes,
            target_rank: &got.target_rank,
            entropy: &got.entropy,
            log_probs: &got.log_probs,
        },
    })?;
    let [loss, loss_sum, weight_sum, denominator] = got.numbers;
    let answer = &judge.answer;
    judge.counts(got.counts)?;
    if (weight_sum, denominator) != (answer.weight_sum, answer.denominator) {
        let (want, over) = (answer.weight_sum, answer.denominator);
        return Err(format!(
            "weights, denominator: got {weight_sum}, {denominator}, expected {want}, {over}"
        ));
    }
    let magnitudes: f64 = answer.losses.iter().map(|loss| loss.abs()).sum();
    let bound = judge.bounds.losses.iter().sum::<f64>() + judge.rounding() * magnitudes;
    if !judge.has_loss_at_the_end() {
        judge.number("loss sum", loss_sum, answer.loss_sum, bound)?;
        let over = if denominator == 0.0 { 1.0 } else { denominator.abs() };
        judge.number("loss", loss, answer.loss, bound / over + 1e-15 * answer.loss.abs())?;
    }
    if got.correct.is_some_and(|correct| correct != answer.correct_count) {
        return Err(format!("correct rows: got {:?}, expected {}", got.correct, answer.correct_count));
    }
    Ok(())
}

/// Whether numbers are the same to the bit.
pub(crate) fn same_bits(what: &str, got: &[f64], want: &[f64]) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{what}: got {} numbers, expected {}", got.len(), want.len()));
    }
    match got.iter().zip(want).position(|(got, want)| got.to_bits() != want.to_bits()) {
        None => Ok(()),
        Some(at) => Err(format!("{what}[{at}]: got {:e}, expected {:e}, to the bit", got[at], want[at])),
    }
}

/// What was asked for is what the call that asks for everything gives.
fn same(call: &Call, got: &Answer, base: &Answer, way: Way) -> Result<(), String> {
    same_bits("losses", &got.losses, &base.losses)?;
    same_bits("numbers", &got.numbers, &base.numbers)?;
    if got.counts != base.counts {
        return Err(format!("counts: got {:?}, expected {:?}", got.counts, base.counts));
    }
    match way.place {
        Place::Loss => {}
        Place::Apart | Place::Over => same_bits("grad", &got.grad, &base.grad)?,
        Place::Added => with_types!(call.types, {
            let _: Option<E> = None;
            added::<G>(adds_once(call.types) && !call.case.is_in_double(), &got.grad, &base.grad)?;
        }),
    }
    for (got, base, what) in [
        (&got.log_sum_exp, &base.log_sum_exp, "log-sum-exp"),
        (&got.target_log_prob, &base.target_log_prob, "log-probability of the label"),
        (&got.per_class, &base.per_class, "per class"),
        (&got.top_values, &base.top_values, "values of the largest"),
        (&got.entropy, &base.entropy, "entropy"),
        (&got.log_probs, &base.log_probs, "log-probabilities"),
    ] {
        if !got.is_empty() {
            same_bits(what, got, base)?;
        }
    }
    for (got, base, what) in [
        (&got.predictions, &base.predictions, "predictions"),
        (&got.top_classes, &base.top_classes, "classes of the largest"),
        (&got.target_rank, &base.target_rank, "ranks of the labels"),
    ] {
        if !got.is_empty() && got != base {
            return Err(format!("{what}: got {got:?}, expected {base:?}"));
        }
    }
    if got.correct.is_some_and(|correct| Some(correct) != base.correct) {
        return Err(format!("correct rows: got {:?}, expected {:?}", got.correct, base.correct));
    }
    Ok(())
}

/// A gradient was added with one rounding. Of a row that has nothing to add, -0 stays.
///
/// Where the value was rounded to the gradient's type before, the sum is known to the bit; else to half a step of each.
pub(crate) fn added<G: Element>(is_known: bool, got: &[f64], value: &[f64]) -> Result<(), String> {
    let (relative, least) = match G::NAME {
        "f16" => (2_f64.powi(-11), 2_f64.powi(-25)),
        "bf16" => (2_f64.powi(-8), 2_f64.powi(-134)),
        "f32" => (2_f64.powi(-24), 2_f64.powi(-150)),
        _ => (2_f64.powi(-53), 0.0),
    };
    let step = |x: f64| x.abs() * relative + least;
    for (at, (before, value)) in before::<G>(got.len()).iter().zip(value).enumerate() {
        let (before, got) = (before.to_f64(), got[at]);
        let sum = G::from_f64(before + value).to_f64();
        let is_near = !is_known
            && (!value.is_finite()
                || !sum.is_finite()
                || (got - (before + value)).abs() <= 1.01 * (step(got) + step(*value)));
        if !(got == sum || (got.is_nan() && sum.is_nan()) || is_near) {
            return Err(format!("added[{at}]: got {got:e}, expected {before:e} + {value:e}"));
        }
    }
    Ok(())
}

/// Whether no row's gradient has so large or small a factor that the row is computed in double precision.
fn has_plain_steps(call: &Call, base: &Answer) -> bool {
    let denominator = base.numbers[3];
    let is_plain = |step: f64| (1e-6..=1e6).contains(&(step / denominator).abs());
    match &call.case.set.upstream {
        Upstream::One(step) => is_plain(*step),
        Upstream::Each(steps) => steps.iter().all(|step| is_plain(*step)),
    }
}

/// Rows alone, or among fewer others and in another order, give the same bits.
fn place_in_batch(
    call: &Call,
    subject: Subject<'_>,
    way: Way,
    base: &Answer,
    rng: &mut Rng,
) -> Result<(), String> {
    let [outer, classes, inner] = call.case.shape;
    let all: Vec<usize> = (0..outer * inner).collect();
    // The reduction is not the rows' business: both calls are made without.
    let full = call.of_rows(call.case.shape, &all);
    let whole = if call.case.set.reduction == Reduction::None { base.clone() } else { subject(&full, way)? };
    if has_plain_steps(call, base) && whole.numbers[1].to_bits() != base.numbers[1].to_bits() {
        return Err(format!("loss sum {:e}, without reduction {:e}", base.numbers[1], whole.numbers[1]));
    }
    // Classes side by side stay so, and planes stay planes.
    let (rows, shape) = if inner == 1 {
        let mut rows = all;
        rng.shuffle(&mut rows);
        rows.truncate(rng.usize(1..=outer.min(9)));
        let count = rows.len();
        (rows, [count, classes, 1])
    } else {
        let mut columns: Vec<usize> = (0..inner).collect();
        rng.shuffle(&mut columns);
        columns.truncate(rng.usize(2..=inner.min(9)));
        let from = rng.usize(..outer);
        let count = columns.len();
        (columns.into_iter().map(|column| from * inner + column).collect(), [1, classes, count])
    };
    let part = call.of_rows(shape, &rows);
    let got = subject(&part, way)?;
    for (place, row) in rows.iter().enumerate() {
        let one = |what: &str, got: f64, want: f64| {
            same_bits(
                &format!("{what} of row {row}, alone or among {} others", rows.len() - 1),
                &[got],
                &[want],
            )
        };
        one("loss", got.losses[place], whole.losses[*row])?;
        one("log-probability", got.target_log_prob[place], whole.target_log_prob[*row])?;
        one("prediction", f64::from(got.predictions[place]), f64::from(whole.predictions[*row]))?;
        one("rank", f64::from(got.target_rank[place]), f64::from(whole.target_rank[*row]))?;
        for (what, got, whole) in
            [("entropy", &got.entropy, &whole.entropy), ("largest", &got.top_values, &whole.top_values)]
        {
            let each = got.len() / rows.len();
            same_bits(what, &got[place * each..][..each], &whole[row * each..][..each])?;
        }
        for class in 0..classes {
            let (at, from) = (part.case.place(place, class), call.case.place(*row, class));
            one(&format!("grad {class}"), got.grad[at], whole.grad[from])?;
            if !got.log_probs.is_empty() {
                one(&format!("log-probability {class}"), got.log_probs[at], whole.log_probs[from])?;
            }
        }
    }
    Ok(())
}
