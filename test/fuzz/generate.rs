//! Draws whole calls, each from a seed alone.

use super::call::{Call, LABELS, Types, is_half, with_types};
use crate::support::{Case, Settings, Upstream};
use fastrand::Rng;
use sparse_xent::{
    Denominator, Element, EmptyMean, Input, InvalidLabel, ProbsNormalize, Reduction, SmoothingWeights,
};

/// The call of a seed.
pub(crate) fn call(seed: u64) -> Call {
    // Seeds side by side must not give like sequences.
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635_0a9c_21d7);
    let types = pick(&mut rng, &TYPES);
    let large = rng.u16(..1500) == 0;
    let shape = shape(&mut rng, large);
    let [outer, classes, inner] = shape;
    let rows = outer * inner;
    // How likely each option is to be set: a third of the calls have none.
    let density = pick(&mut rng, &[0.0, 0.0, 0.1, 0.25, 0.5, 0.8]);
    let mut set = settings(&mut rng, density, classes, rows);
    let labels = rng.usize(..LABELS.len());
    let drawn = drawn_labels(&mut rng, &mut set, labels, classes, rows);
    mask(&mut rng, density, &mut set, classes, &drawn);
    if rng.u8(..60) == 0 {
        spoil(&mut rng, &mut set);
    }
    let mut case = Case { name: String::new(), shape, logits: vec![0.0; rows * classes], labels: drawn, set };
    logits(&mut rng, &mut case, types);
    with_types!(types, {
        let _ = size_of::<G>();
        case.logits.iter_mut().for_each(|x| *x = E::from_f64(*x).to_f64());
    });
    let mut call = Call { seed, case, types, labels, outputs: 0 };
    if rng.f64() < density {
        call.outputs = rng.u8(..) & call.every_output();
    }
    call
}

const TYPES: [Types; 10] = [
    Types::F32,
    Types::F32,
    Types::F32,
    Types::F32,
    Types::F64,
    Types::F64,
    Types::F16,
    Types::Bf16,
    Types::F16ToF32,
    Types::Bf16ToF32,
];

pub(crate) fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())]
}

fn signed(class: usize) -> i64 {
    i64::try_from(class).expect("a small number")
}

/// Sizes on both sides of each border of the kernels, most of them small.
fn shape(rng: &mut Rng, large: bool) -> [usize; 3] {
    if large {
        // Worth more than one thread.
        return pick(
            rng,
            &[
                [1400, 100, 1],
                [9000, 33, 1],
                [700, 400, 1],
                [3, 33, 3001],
                [70_001, 2, 1],
                [40_000, 3, 1],
                [2, 61_000, 1],
            ],
        );
    }
    let inner = match rng.u8(..10) {
        0..=5 => 1,
        6..=7 => rng.usize(2..7),
        8 => pick(rng, &[15, 16, 17, 31, 32, 33, 64, 65]),
        _ => rng.usize(126..131),
    };
    let most: usize = match rng.u8(..20) {
        0..=13 => 320,
        14..=18 => 2_200,
        _ => 9_000,
    };
    let classes = match rng.u8(..16) {
        0..=3 => rng.usize(1..6),
        4..=6 => rng.usize(6..20),
        7..=8 => rng.usize(30..36),
        9 => rng.usize(62..67),
        10..=11 => rng.usize(94..99),
        12 => rng.usize(126..131),
        13 => rng.usize(254..259),
        14 => rng.usize(100..1030),
        _ => pick(rng, &[1000, 1001, 1023, 1024, 1025, 1537, 2047, 2048, 2049, 3000]),
    };
    let classes = classes.min((most / inner).max(1));
    let room = (most / (inner * classes)).max(1);
    let outer = match rng.u8(..4) {
        0 => rng.usize(1..=room.min(3)),
        1 if room > 120 => pick(rng, &[120, 127, 128, 129, 133, 255, 256, 257]).min(room),
        _ => rng.usize(1..=room.min(40)),
    };
    [outer, classes, inner]
}

/// Exact in every dtype, and so are their products and sums.
pub(crate) const WEIGHTS: [f64; 8] = [1.0, 1.0, 0.0, 0.25, 0.5, 1.5, 2.0, 3.0];
const SIGNED: [f64; 8] = [1.0, 1.0, 0.0, -0.25, 0.5, -1.5, 2.0, -3.0];
const UPSTREAM: [f64; 16] = [
    1.0,
    -0.5,
    0.0,
    2.0,
    -3.0,
    1024.0,
    1e-3,
    1e-20,
    1e-38,
    1e-44,
    -1e15,
    1e25,
    1e37,
    -0.0,
    f64::NAN,
    f64::INFINITY,
];
/// The label matrix has C^2 entries.
const MATRIX_CLASSES: usize = 130;

pub(crate) fn settings(rng: &mut Rng, density: f64, classes: usize, rows: usize) -> Settings {
    let on = |rng: &mut Rng| rng.f64() < density;
    let weight = if rng.u8(..4) == 0 { &SIGNED } else { &WEIGHTS };
    let list = |rng: &mut Rng, count: usize| (0..count).map(|_| pick(rng, weight)).collect::<Vec<f64>>();
    let mut set = Settings {
        reduction: pick(rng, &[Reduction::None, Reduction::None, Reduction::Mean, Reduction::Sum]),
        denominator: pick(
            rng,
            &[
                Denominator::Weights,
                Denominator::Valid,
                Denominator::All,
                Denominator::NonZero,
                Denominator::Count(12.5),
            ],
        ),
        empty_mean: pick(rng, &[EmptyMean::Zero, EmptyMean::Nan]),
        ..Settings::none()
    };
    if on(rng) {
        let each = set.reduction == Reduction::None && rng.bool();
        set.upstream = if each {
            Upstream::Each((0..rows).map(|_| pick(rng, &UPSTREAM)).collect())
        } else {
            Upstream::One(pick(rng, &UPSTREAM))
        };
    }
    if on(rng) {
        set.sample_weight = Some(list(rng, rows));
    }
    if rng.f64() < density / 8.0 {
        set.input = Input::Probs;
        set.probs_normalize =
            pick(rng, &[ProbsNormalize::Before, ProbsNormalize::After, ProbsNormalize::None]);
        set.probs_epsilon = pick(rng, &[1e-7, 1e-7, 0.125, 0.01]);
        set.class_weight = on(rng).then(|| list(rng, classes));
        return set;
    }
    if rng.f64() < density / 8.0 {
        set.input = Input::LogProbs;
    }
    if classes <= MATRIX_CLASSES && rng.f64() < density / 4.0 {
        // Of a line often one class, or the label's alone.
        let sparse = rng.u8(..3);
        let matrix = (0..classes * classes).map(|at| match sparse {
            0 => pick(rng, weight),
            1 if rng.usize(..classes) == 0 => pick(rng, weight),
            2 if at % (classes + 1) == 0 => pick(rng, weight),
            _ => 0.0,
        });
        set.label_matrix = Some(matrix.collect());
    } else {
        set.class_weight = on(rng).then(|| list(rng, classes));
        if on(rng) {
            set.label_smoothing = pick(rng, &[0.1, 0.125, 0.5, 1.0, 1e-3]);
            set.smoothing_weights = pick(rng, &[SmoothingWeights::Class, SmoothingWeights::Row]);
        }
        if on(rng) {
            set.focal_gamma = pick(rng, &[2.0, 0.5, 1.0, 1.5, 2.5, 4.0, 0.125]);
        }
        if on(rng) {
            set.poly1_epsilon = pick(rng, &[1.0, 2.0, -0.5, -1.0, 1e-40]);
        }
        if set.focal_gamma == 0.0 && set.poly1_epsilon == 0.0 && on(rng) {
            set.gce_q = pick(rng, &[0.7, 1.0, 0.3, 0.01, 1e-30, 1e-300]);
        }
    }
    if set.input == Input::Logits {
        if on(rng) {
            set.z_loss = pick(rng, &[1e-4, 0.01, 0.0078125, 1.0]);
        }
        if on(rng) {
            set.softcap = pick(rng, &[30.0, 50.0, 1.0, 0.25, 1e20]);
        }
        if on(rng) {
            set.logit_scale = pick(rng, &[0.5, 0.25, 2.0, 3.0, 0.01, 10.0]);
        }
    }
    set
}

pub(crate) fn drawn_labels(
    rng: &mut Rng,
    set: &mut Settings,
    labels: usize,
    classes: usize,
    rows: usize,
) -> Vec<i64> {
    let fits = |value: i64| Call::fits_labels(labels, value);
    // Classes beyond what the labels can hold have no rows.
    let mut within = classes;
    while !fits(signed(within - 1)) {
        within -= 1;
    }
    let one = rng.usize(..within);
    let narrow = rng.u8(..6) == 0;
    let mut drawn: Vec<i64> =
        (0..rows).map(|_| signed(if narrow { one } else { rng.usize(..within) })).collect();
    if rng.u8(..4) == 0 {
        let ignored = pick(rng, &[-100, -1, 255, 0, signed(classes)]);
        set.ignore = vec![ignored];
        if rng.bool() {
            set.ignore.push(signed(rng.usize(..classes)));
        }
        let often = pick(rng, &[2, 5, 5, 40, 1]);
        if fits(ignored) {
            drawn.iter_mut().filter(|_| rng.u32(..often) == 0).for_each(|label| *label = ignored);
        }
    }
    let policy = rng.u8(..24);
    if policy < 4 {
        set.invalid_label = if policy < 2 { InvalidLabel::Nan } else { InvalidLabel::Ignore };
    }
    if policy < 5 {
        // The fifth is an error.
        let outside = [-1, signed(classes), signed(classes) + 7, i64::MAX, i64::MIN, 1 << 32];
        for label in &mut drawn {
            let other = pick(rng, &outside);
            if rng.u8(..7) == 0 && fits(other) {
                *label = other;
            }
        }
    }
    drawn
}

/// A weight that is no number, which is an error unless its row is ignored.
fn spoil(rng: &mut Rng, set: &mut Settings) {
    let lists = [&mut set.sample_weight, &mut set.class_weight, &mut set.label_matrix];
    if let Some(list) = lists.into_iter().flatten().next() {
        let at = rng.usize(..list.len());
        list[at] = pick(rng, &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    }
}

pub(crate) fn mask(rng: &mut Rng, density: f64, set: &mut Settings, classes: usize, labels: &[i64]) {
    if set.input == Input::Probs || rng.f64() > density / 2.0 {
        return;
    }
    let often = pick(rng, &[2, 4, 20]);
    let mut mask: Vec<u8> = (0..classes).map(|_| u8::from(rng.u8(..often) > 0)).collect();
    if rng.u8(..30) == 0 {
        mask.fill(0);
    }
    // A masked label is an error one time in eight only.
    if set.invalid_label == InvalidLabel::Throw && rng.u8(..8) > 0 {
        for label in labels {
            if let Some(keep) = usize::try_from(*label).ok().and_then(|class| mask.get_mut(class)) {
                *keep = 1;
            }
        }
    }
    set.class_mask = Some(mask);
}

const SPECIAL: [f64; 16] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NEG_INFINITY,
    -0.0,
    0.0,
    1e-40,
    -1e-42,
    3e38,
    -3e38,
    1e30,
    -1e9,
    65504.0,
    -86.0,
    40.0,
    -1e4,
];
/// Around these a row's way of being computed changes.
const LEVELS: [f64; 16] = [
    0.0, -0.69, -0.7, -3.46, -3.47, -39.9999, -40.0, -40.0001, -60.0, -86.0, -86.0001, -86.7, -90.0, -104.0,
    39.9999, 40.0,
];
const MAGNITUDES: [f64; 10] = [1.0, 1.0, 4.0, 8.0, 0.1, 1e-3, 20.0, 39.0, 100.0, 1e4];

fn logits(rng: &mut Rng, case: &mut Case, types: Types) {
    let magnitude = pick(rng, &MAGNITUDES);
    match case.set.input {
        Input::Logits => {}
        Input::LogProbs => {
            case.logits.iter_mut().for_each(|x| *x = -magnitude * rng.f64());
            sprinkle(rng, case, &[f64::NEG_INFINITY, -0.0, 0.0, f64::NAN, -1e4]);
            return;
        }
        Input::Probs => {
            case.logits.iter_mut().for_each(|x| *x = rng.f64());
            sprinkle(rng, case, &[0.0, 1.0, 0.125, 0.875, 1e-9]);
            return;
        }
    }
    // One kind of rows, or each row of its own.
    let mixed = rng.u8(..3) == 0;
    let kind = if rng.u8(..3) == 0 { 0 } else { rng.u8(..12) };
    let unit = |rng: &mut Rng| 2.0 * rng.f64() - 1.0;
    for row in 0..case.rows() {
        let kind = if mixed && rng.bool() { rng.u8(..12) } else { kind };
        let level = match kind {
            1 => pick(rng, &[1e2, -1e3, 1e4, 1e6, 1e8, -1e9, 1e30]),
            2 => pick(rng, &LEVELS),
            _ => 0.0,
        };
        let spread = match kind {
            2 | 3 => pick(rng, &[0.0, 0.0, 1e-3, 0.5]),
            4 => pick(rng, &[60.0, 86.0, 90.0, 100.0, 200.0]),
            5 => 1e-38,
            6 => pick(rng, &[1e9, 1e20, 3e38]),
            _ => magnitude,
        };
        for class in 0..case.shape[1] {
            let drawn = level + spread * unit(rng);
            // Ties, and numbers of few digits.
            let at = case.place(row, class);
            case.logits[at] = if kind == 7 { (drawn * 2.0).round() / 2.0 } else { drawn };
        }
        let own = usize::try_from(case.labels[row]).ok().filter(|class| *class < case.shape[1]);
        if let (8 | 9, Some(own)) = (kind, own) {
            // A label far ahead of the others, or far behind.
            let at = case.place(row, own);
            case.logits[at] +=
                pick(rng, &[20.0, 50.0, 85.0, 90.0, 110.0, 200.0, 1e4, 1e9, -20.0, -90.0, -1e4, -1e9]);
        }
        if kind >= 10 {
            let count = pick(rng, &[1, 1, 2, case.shape[1]]);
            for _ in 0..count {
                let at = case.place(row, rng.usize(..case.shape[1]));
                case.logits[at] = pick(rng, &SPECIAL);
            }
            if let Some(own) = own.filter(|_| rng.u8(..3) == 0) {
                let at = case.place(row, own);
                case.logits[at] = pick(rng, &SPECIAL);
            }
        }
    }
    if is_half(types) && rng.u8(..8) == 0 {
        sprinkle(rng, case, &[65504.0, -65504.0, 6e-8, -6e-8, 3e38]);
    }
}

fn sprinkle(rng: &mut Rng, case: &mut Case, values: &[f64]) {
    if rng.u8(..3) == 0 {
        return;
    }
    let often = pick(rng, &[3, 20, 100]);
    for x in &mut case.logits {
        if rng.u8(..often) == 0 {
            *x = pick(rng, values);
        }
    }
}
