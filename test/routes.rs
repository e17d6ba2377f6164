//! A row's bits do not depend on the way it is computed: not on what else is asked for, on what its neighbours are, or on whether the
//! gradient takes the place of the logits.

use crate::bound::{Precision, compare};
use crate::draw::{Setter, option_list, planes};
use crate::support::{Case, How, Upstream, bits, kernels, raw, run, run_in_place, run_loss, widened};
use sparse_xent::{Element, InvalidLabel, Kernel, Logits, Reduction};

/// The gradient and the losses, in every way to call for them, with the bits of the call that asks for everything.
fn has_the_same_bits_on_every_way(case: &Case) {
    for kernel in kernels() {
        let how = How::with(kernel);
        let name = format!("{} {kernel:?} {:?}", case.name, case.set);
        let want = run::<f32, f32>(case, how.with_outputs()).expect(&name);
        let got = run::<f32, f32>(case, how).expect(&name);
        let over = run_in_place::<f32>(case, how).expect(&name);
        let alone = run_loss::<f32>(case, how).expect(&name);
        assert_eq!(bits(&got.grad), bits(&want.grad), "{name}: grad");
        assert_eq!(bits(&over.grad), bits(&want.grad), "{name}: grad in place");
        let added = accumulate(case, how);
        assert_eq!(bits(&added), bits(&accumulate(case, how.with_outputs())), "{name}: added");
        let value = match case.is_in_double() {
            false => widened(&want.grad),
            true => run::<f64, f64>(case, how).expect(&name).grad,
        };
        let sum = |(before, value): (&f32, &f64)| f32::from_f64(before.to_f64() + value);
        let sums: Vec<f32> = before(value.len()).iter().zip(&value).map(sum).collect();
        // Of a row that has nothing to add, -0 stays.
        let unsigned = |values: &[f32]| bits(&values.iter().map(|x| x + 0.0).collect::<Vec<_>>());
        assert_eq!(unsigned(&added), unsigned(&sums), "{name}: added with one rounding");
        for (what, out) in [("apart", &got.out), ("in place", &over.out), ("loss alone", &alone)] {
            assert_eq!(bits(&out.losses), bits(&want.out.losses), "{name}: losses, {what}");
            assert_eq!(bits(&[out.loss]), bits(&[want.out.loss]), "{name}: loss, {what}");
            assert_eq!(out.non_finite_count, want.out.non_finite_count, "{name}: not finite, {what}");
        }
    }
}

/// A gradient that another is added to.
fn before(length: usize) -> Vec<f32> {
    [-0.0, 1.5, -3.25e-3, 1e-38].into_iter().cycle().take(length).collect()
}

/// What it comes to.
fn accumulate(case: &Case, how: How) -> Vec<f32> {
    let logits = case.logits_as::<f32>();
    let mut grad = before(logits.len());
    let logits = Logits::new(&logits, case.crate_shape()).expect("as many as the shape says");
    let op = how.operation(&case.set).accumulate(true);
    op.forward_backward(&logits, &case.labels, &mut grad).expect(&case.name);
    grad
}

/// A case of two classes side by side. Without further results it does not go through the groups; with them it does.
fn two_classes(rows: usize, magnitude: f64) -> Case {
    let mut case = planes(rows, 2, 1, magnitude, 71);
    // A difference of equal logits, and one that loses digits.
    case.logits[..2].copy_from_slice(&[0.75; 2]);
    if rows > 2 {
        case.logits[2..4].copy_from_slice(&[12_345.678, 12_340.1]);
    }
    case.name = format!("{rows} rows of two classes, magnitude {magnitude}");
    case.rounded::<f32>()
}

#[test]
fn two_classes_have_the_bits_of_the_groups() {
    let upstream: [Setter; 4] = [
        |case| case.set.upstream = Upstream::One(1e-38),
        |case| case.set.upstream = Upstream::One(f64::NAN),
        |case| case.set.upstream = Upstream::One(0.0),
        |case| {
            let values = [1.0, -0.5, 1e-38, 0.0, -1e-37, f64::INFINITY];
            let values = values.into_iter().cycle().take(case.rows()).collect();
            case.set.upstream = Upstream::Each(values);
        },
    ];
    for rows in [1, 2, 3, 4, 5, 127, 128, 129, 131, 259, 2051] {
        for magnitude in [1e-3, 8.0, 90.0, 1e4] {
            let plain = two_classes(rows, magnitude);
            has_the_same_bits_on_every_way(&plain);
            let options = option_list();
            for set in options.iter().map(|option| option.1).chain(upstream) {
                let mut case = plain.clone();
                set(&mut case);
                has_the_same_bits_on_every_way(&case);
            }
        }
    }
}

#[test]
fn one_odd_row_of_two_classes_leaves_the_others_their_bits() {
    let odd: [(&str, [f64; 2]); 9] = [
        ("NaN first", [f64::NAN, 1.0]),
        ("NaN second", [1.0, f64::NAN]),
        ("+inf first", [f64::INFINITY, 1.0]),
        ("+inf second", [1.0, f64::INFINITY]),
        ("-inf first", [f64::NEG_INFINITY, 1.0]),
        ("-inf second", [1.0, f64::NEG_INFINITY]),
        ("-inf both", [f64::NEG_INFINITY; 2]),
        ("+inf both", [f64::INFINITY; 2]),
        ("a difference that overflows", [3e38, -3e38]),
    ];
    for rows in [1, 4, 7, 131, 300] {
        let plain = two_classes(rows, 8.0);
        let want = run::<f32, f32>(&plain, How::with(Kernel::Best)).expect(&plain.name);
        for row in [0, rows / 2, rows - 1] {
            let mut cases: Vec<Case> = odd
                .iter()
                .map(|(name, logits)| {
                    let mut case = plain.clone();
                    case.name = format!("row {row} of {}: {name}", case.name);
                    case.logits[2 * row..][..2].copy_from_slice(logits);
                    case
                })
                .collect();
            let mut ignored = plain.clone();
            ignored.labels[row] = -100;
            ignored.set.ignore = vec![-100];
            let mut invalid = plain.clone();
            invalid.labels[row] = 2;
            invalid.set.invalid_label = InvalidLabel::Nan;
            let mut weightless = plain.clone();
            weightless.set.sample_weight =
                Some((0..rows).map(|each| if each == row { 0.0 } else { 1.0 }).collect());
            cases.extend([ignored, invalid, weightless]);
            for case in cases {
                has_the_same_bits_on_every_way(&case);
                let got = run::<f32, f32>(&case, How::with(Kernel::Best)).expect(&case.name);
                for each in (0..rows).filter(|each| *each != row) {
                    assert_eq!(
                        bits(&got.grad[2 * each..][..2]),
                        bits(&want.grad[2 * each..][..2]),
                        "{}: grad of {each}",
                        case.name
                    );
                    assert_eq!(
                        bits(&got.out.losses[each..=each]),
                        bits(&want.out.losses[each..=each]),
                        "{}: loss of {each}",
                        case.name
                    );
                }
            }
        }
    }
}

#[test]
fn two_classes_may_begin_anywhere() {
    let case = two_classes(203, 8.0);
    let how = How::with(Kernel::Best);
    let want = run::<f32, f32>(&case, how).expect(&case.name);
    for offset in 1..4 {
        let mut logits = vec![0.0; offset];
        logits.extend(case.logits_as::<f32>());
        let mut grad = logits.clone();
        let logits = Logits::new(&logits[offset..], case.crate_shape()).expect("as many as the shape says");
        let got = how
            .operation(&case.set)
            .forward_backward(&logits, &case.labels, &mut grad[offset..])
            .expect(&case.name);
        assert_eq!(bits(&grad[offset..]), bits(&want.grad), "{offset} floats into an array");
        assert_eq!(bits(&got.losses), bits(&want.out.losses), "{offset} floats into an array");
        assert_eq!(grad[..offset], vec![0.0; offset], "nothing before it is written");
    }
}

#[test]
fn every_class_may_be_the_label() {
    // Rows of up to 64 vectors of each width, and one vector more, with floats left over.
    for classes in [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 256, 259, 260, 511, 519, 520, 1024, 1039, 1040, 1041]
    {
        let mut case = planes(classes, classes, 1, 8.0, 73).rounded::<f32>();
        for (row, label) in case.labels.iter_mut().enumerate() {
            *label = i64::try_from(row).expect("a label");
        }
        case.name = format!("each of {classes} classes");
        agrees_with_the_definition(&case);
    }
}

const INF: f64 = f64::INFINITY;

/// What a row may be: the logit of its label, and one other; the rest are ordinary.
const PECULIAR: [(&str, f64, f64); 25] = [
    ("ordinary", 1.0, 2.0),
    ("the least small logit", 1.0, -86.0),
    ("just below it", 1.0, -86.0001),
    ("the largest small logit", 1.0, 40.0),
    ("just above it", 1.0, 40.0001),
    ("a sure label", 40.0, -3.0),
    ("too sure a label", 40.0001, -3.0),
    ("a sure label among large logits", 40.0, 24.0),
    ("an unlikely label", -40.0, 3.0),
    ("too unlikely a label", -40.0001, 3.0),
    ("a label far away", -1e4, 3.0),
    ("a label far ahead", 1e4, 3.0),
    ("a logit far ahead", 1.0, 1e4),
    ("a logit far behind", 1.0, -1e30),
    ("subnormal", 1e-40, -1e-40),
    ("zeros", -0.0, 0.0),
    ("NaN", 1.0, f64::NAN),
    ("a negative NaN", 1.0, -f64::NAN),
    ("NaN at the label", f64::NAN, 1.0),
    ("+inf", 1.0, INF),
    ("-inf", 1.0, -INF),
    ("+inf at the label", INF, 1.0),
    ("-inf at the label", -INF, 1.0),
    ("-inf at both", -INF, -INF),
    ("+inf at both", INF, INF),
];

/// What all logits but the label's may be.
const LEVELS: [f64; 14] = [
    -0.69, -0.7, -3.46, -3.47, -39.9999, -40.0, -40.0001, -60.0, -86.0, -86.0001, -90.0, 39.9999, 40.0, -INF,
];

fn set(case: &mut Case, row: usize, label: f64, other: impl Fn(usize) -> Option<f64>) {
    let own = usize::try_from(case.labels[row]).expect("a label");
    for class in 0..case.shape[1] {
        let at = case.place(row, class);
        match other(class) {
            _ if class == own => case.logits[at] = label,
            Some(value) => case.logits[at] = value,
            None => {}
        }
    }
}

/// One row made peculiar, in each of the ways.
fn peculiar(case: &Case, row: usize) -> Vec<Case> {
    let own = usize::try_from(case.labels[row]).expect("a label");
    let next = (own + 1) % case.shape[1];
    let mut cases: Vec<Case> = PECULIAR
        .iter()
        .map(|(name, label, other)| {
            let mut case = case.clone();
            case.name = format!("{name} in row {row} of {}", case.name);
            set(&mut case, row, *label, |class| (class == next).then_some(*other));
            case
        })
        .collect();
    cases.extend(LEVELS.iter().flat_map(|level| [-40.0, 0.5, 40.0].map(|label| (*level, label))).map(
        |(level, label)| {
            let mut case = case.clone();
            case.name = format!("{label} before {level} in row {row} of {}", case.name);
            set(&mut case, row, label, |_| Some(level));
            case
        },
    ));
    for (level, label) in
        [(-0.69, 0.5), (-0.7, 0.5), (-3.46, 0.5), (-3.47, 0.5), (-10.0, -10.0), (-39.9, -39.9)]
    {
        for low in [-86.0, -86.0001, -86.7, -90.0, -200.0, -INF] {
            let mut case = case.clone();
            case.name = format!("one {low} among {level} in row {row} of {}", case.name);
            set(&mut case, row, label, |class| Some(if class == next { low } else { level }));
            cases.push(case);
        }
    }
    cases.into_iter().map(Case::rounded::<f32>).collect()
}

fn agrees_with_the_definition(case: &Case) {
    for kernel in kernels() {
        let got = run::<f32, f32>(case, How::with(kernel)).expect(&case.name);
        let what = format!("{} {kernel:?}", case.name);
        compare(case, &widened(&got.out.losses), &widened(&got.grad), Precision::of::<f32, f32>())
            .expect(&what);
    }
}

#[test]
fn one_peculiar_row_leaves_the_others_their_bits() {
    for (outer, classes, inner) in
        [(130, 3, 1), (9, 33, 1), (1, 10, 140), (2, 256, 3), (2, 257, 3), (3, 64, 1)]
    {
        let plain = planes(outer, classes, inner, 8.0, 72).rounded::<f32>();
        let rows = plain.rows();
        let own = |grad: &[f32], row: usize| {
            bits(&(0..classes).map(|class| grad[plain.place(row, class)]).collect::<Vec<_>>())
        };
        for kernel in kernels() {
            let how = How::with(kernel);
            let want = run::<f32, f32>(&plain, how).expect(&plain.name);
            for case in peculiar(&plain, rows / 2) {
                let got = run::<f32, f32>(&case, how).expect(&case.name);
                for row in (0..rows).filter(|row| *row != rows / 2) {
                    assert_eq!(
                        own(&got.grad, row),
                        own(&want.grad, row),
                        "{} {kernel:?}: grad of {row}",
                        case.name
                    );
                    let losses = [got.out.losses[row], want.out.losses[row]];
                    assert_eq!(raw(losses[0]), raw(losses[1]), "{} {kernel:?}: loss of {row}", case.name);
                }
            }
        }
    }
}

#[test]
fn peculiar_rows_have_the_same_bits_on_every_way_and_agree_with_the_definition() {
    // No option; some; one that single precision cannot hold, so that each row is computed in double; a gradient that it hardly holds.
    let options: [Setter; 6] = [
        |_| (),
        |case| {
            (case.set.focal_gamma, case.set.poly1_epsilon, case.set.z_loss) = (1.5, 2.0, 0.0078125);
        },
        |case| case.set.poly1_epsilon = 1e-40,
        |case| (case.set.focal_gamma, case.set.poly1_epsilon, case.set.z_loss) = (4.0, 0.0, 0.0),
        |case| (case.set.focal_gamma, case.set.gce_q) = (0.0, 0.7),
        |case| (case.set.gce_q, case.set.softcap) = (0.0, 30.0),
    ];
    for (outer, classes, inner) in [(5, 3, 1), (2, 33, 1), (1, 10, 4), (1, 256, 2), (1, 257, 2)] {
        for mut case in peculiar(&planes(outer, classes, inner, 8.0, 73), 1) {
            for set in options {
                set(&mut case);
                has_the_same_bits_on_every_way(&case);
                agrees_with_the_definition(&case);
            }
        }
    }
}

#[test]
fn groups_of_all_kinds_of_rows_have_the_same_bits_on_every_way() {
    for (outer, classes, inner) in [(300, 3, 1), (300, 10, 1), (2, 33, 150)] {
        let mut all = planes(outer, classes, inner, 8.0, 74);
        let rows = all.rows();
        // Two groups in three have such rows, so that the guess goes wrong and right again.
        for row in (0..rows).filter(|row| row / 128 != 1 && row % 3 == 0) {
            let mut kinds = peculiar(&all, row);
            all = kinds.swap_remove(row % kinds.len());
        }
        all.name = format!("all kinds of rows of {classes} classes");
        has_the_same_bits_on_every_way(&all);
        agrees_with_the_definition(&all);
    }
}

#[test]
fn steps_of_any_size_agree_with_the_definition() {
    let steps = [
        1.0, 1e-14, 1e-15, 9e-16, 1e-16, 1e-25, 1e-37, 0.0, -1e-30, 1e14, 1e15, 1.1e15, 1e16, 1e25, -1e30,
        1e37,
    ];
    for (level, label) in [(0.0, 0.0), (-39.0, -40.0), (39.0, 40.0), (-39.0, 40.0), (39.0, -40.0)] {
        let mut case = planes(48, 10, 1, 1.0, 75);
        for row in 0..48 {
            let others: Vec<f64> = (0..10).map(|class| level + case.logits[case.place(row, class)]).collect();
            set(&mut case, row, label, |class| Some(others[class]));
        }
        case.set.reduction = Reduction::None;
        case.set.upstream = Upstream::Each(steps.into_iter().cycle().take(48).collect());
        case.name = format!("steps of any size, labels {label}, others about {level}");
        let case = case.rounded::<f32>();
        has_the_same_bits_on_every_way(&case);
        agrees_with_the_definition(&case);
    }
}

/// Large planes, with some rows that are not small, so that guesses about a strip go wrong and right again.
fn large_planes(classes: usize, inner: usize, magnitude: f64) -> Case {
    let mut case = planes(1, classes, inner, magnitude, 77);
    for (index, row) in (500..case.rows()).step_by(4999).enumerate() {
        let (_, label, other) = PECULIAR[index % PECULIAR.len()];
        let own = usize::try_from(case.labels[row]).expect("a label");
        set(&mut case, row, label, |class| (class == (own + 1) % classes).then_some(other));
    }
    case.rounded::<f32>()
}

#[test]
fn strips_have_the_same_bits_on_every_way() {
    // Four classes at once and one; whole strips, shorter ones, and rows that fill no vector; one run of sums, and two.
    for (classes, inner, magnitude) in
        [(3, 1_400_001, 39.0), (7, 600_128, 8.0), (33, 131_072, 39.0), (70, 60_200, 8.0)]
    {
        let mut case = large_planes(classes, inner, magnitude);
        has_the_same_bits_on_every_way(&case);
        let steps = [1.0, 1.0, 1e-15, 0.0, -1e-15, 1e15, -1.0].into_iter().chain([1.0; 1001]);
        case.set.upstream = Upstream::Each(steps.cycle().take(case.rows()).collect());
        case.set.ignore = vec![2];
        case.set.invalid_label = InvalidLabel::Nan;
        case.labels[12_345] = 1_000;
        case.set.reduction = Reduction::None;
        has_the_same_bits_on_every_way(&case);
        if classes == 7 {
            (case.set.focal_gamma, case.set.poly1_epsilon, case.set.z_loss) = (2.0, 0.5, 0.001);
            has_the_same_bits_on_every_way(&case);
        }
    }
}

#[test]
fn a_row_of_one_class_that_options_look_at_has_a_gradient_of_0() {
    let options: [Setter; 2] =
        [|case| case.set.label_matrix = Some(vec![1.0]), |case| case.set.label_smoothing = 0.25];
    for set in options {
        for logit in [-1e4, -100.0, 0.0, 100.0, 1e4] {
            let mut case = planes(2, 1, 1, 1.0, 78);
            set(&mut case);
            case.logits.fill(logit);
            case.name = format!("one class of {logit}, {:?}", case.set);
            has_the_same_bits_on_every_way(&case);
            agrees_with_the_definition(&case);
        }
    }
}

#[test]
fn rows_of_many_blocks_have_the_same_bits_on_every_way() {
    // Up to 2^20 classes a row in place keeps its exponentials in scratch, beyond them a copy of a block's logits.
    for classes in [4096, 4099, 65_537, 1 << 20, (1 << 20) + 1] {
        for (set, name) in [
            ((|_| ()) as Setter, "plain"),
            (|case| (case.set.label_smoothing, case.set.z_loss) = (0.1, 0.0078125), "smoothed"),
            (|case| case.logits[5] = 1e4, "a logit far ahead"),
        ] {
            let mut case = planes(3, classes, 1, 8.0, 79);
            set(&mut case);
            case.name = format!("{classes} classes, {name}");
            has_the_same_bits_on_every_way(&case.rounded::<f32>());
        }
    }
}

#[test]
fn rows_that_come_from_memory_have_the_same_bits_on_every_way() {
    // From 4 MiB of logits on, groups and rows take their scratch in turn, and a gradient that is added to is read ahead.
    for (rows, classes) in [(262_145, 4), (31_777, 33), (1_100, 1_000), (257, 4_096), (3, 393_217)] {
        let mut case = planes(rows, classes, 1, 8.0, 80);
        case.name = format!("{rows} x {classes}");
        let mut case = case.rounded::<f32>();
        has_the_same_bits_on_every_way(&case);
        case.set.reduction = Reduction::None;
        case.set.ignore = vec![2];
        case.logits[classes + 1] = 1e4;
        has_the_same_bits_on_every_way(&case);
    }
}
