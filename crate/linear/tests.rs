//! The three products of a step against plain sums in f64, and bit by bit against themselves cut in other ways.

use super::pack::Source;
use super::step::{Hidden, Layer, Part};
use super::{Floats, WeightLayout};
use crate::parallel::Executor;
use crate::simd::{Isa, Kernel, Task};
use crate::{bf16, f16};

/// Sizes around the edges of panels, stripes and cuts.
const SHAPES: [[usize; 3]; 14] = [
    [1, 1, 1],
    [2, 3, 5],
    [3, 8, 7],
    [4, 9, 8],
    [5, 31, 33],
    [6, 32, 64],
    [7, 33, 65],
    [8, 255, 31],
    [9, 256, 17],
    [17, 257, 16],
    [33, 513, 40],
    [65, 300, 257],
    [129, 520, 513],
    [300, 70, 20],
];

/// Numbers that are no multiples of one another, and exact in `bf16` so that every type has the same.
fn drawn(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| bf16::from_f32(rng.f32() * 2.0 - 1.0).to_f32()).collect()
}

struct Problem {
    chunk: usize,
    classes: usize,
    depth: usize,
    layout: WeightLayout,
    hidden: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    gradient: Vec<f32>,
}

#[derive(Debug, Default, PartialEq)]
struct Answer {
    logits: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    hidden: Vec<f32>,
}

impl Problem {
    fn new([chunk, classes, depth]: [usize; 3], layout: WeightLayout) -> Self {
        Self {
            chunk,
            classes,
            depth,
            layout,
            hidden: drawn(chunk * depth, 1),
            weight: drawn(classes * depth, 2),
            bias: drawn(classes, 3),
            gradient: drawn(chunk * classes, 4),
        }
    }

    fn weight_at(&self, class: usize, step: usize) -> usize {
        match self.layout {
            WeightLayout::Vd => class * self.depth + step,
            WeightLayout::Dv => step * self.classes + class,
        }
    }

    /// The products in double precision.
    fn expected(&self) -> [Vec<f64>; 4] {
        let (b, v, d) = (self.chunk, self.classes, self.depth);
        let mut answer = [vec![0.0; b * v], vec![0.0; v * d], vec![0.0; v], vec![0.0; b * d]];
        for row in 0..b {
            for class in 0..v {
                let gradient = f64::from(self.gradient[row * v + class]);
                let mut sum = 0.0;
                for step in 0..d {
                    let weight = f64::from(self.weight[self.weight_at(class, step)]);
                    let hidden = f64::from(self.hidden[row * d + step]);
                    sum += hidden * weight;
                    answer[1][self.weight_at(class, step)] += gradient * hidden;
                    answer[3][row * d + step] += gradient * weight;
                }
                answer[0][row * v + class] = sum + f64::from(self.bias[class]);
                answer[2][class] += gradient;
            }
        }
        answer
    }

    fn run<I: Isa>(
        &self,
        executor: Executor,
        weight: Floats<'_>,
        hidden: Floats<'_>,
        first: usize,
    ) -> Answer {
        let (v, d) = (self.classes, self.depth);
        let count = self.chunk - first;
        let stride = if self.layout == WeightLayout::Vd { d } else { v };
        let layer = Layer {
            weight: Source::new(weight, stride),
            layout: self.layout,
            classes: v,
            kept: None,
            all: v,
            together: count.max(1),
            depth: d,
            bias: Some(Source::new(Floats::F32(&self.bias), v)),
            executor,
            cancel: None,
        };
        let rows: Vec<u32> = (0..count).map(|row| u32::try_from(first + row).unwrap()).collect();
        let (left, right) = layer.hidden_lengths::<I>(count);
        // What is left of an earlier chunk must not show.
        let mut packed = Hidden { left: vec![f32::NAN; left], right: vec![f32::NAN; right] };
        let mut scratch = vec![f32::NAN; Layer::SCRATCH * layer.workers(count)];
        let source = Source { rows: Some(&rows), ..Source::new(hidden, d) };
        layer.pack::<I>(&source, count, |_| false, &mut packed);
        let part = Part { rows: count, classes: 0..v };
        let nan = |length| vec![f32::NAN; length];
        let mut answer =
            Answer { logits: nan(count * v), weight: nan(v * d), bias: nan(v), hidden: Vec::new() };
        layer.logits::<I>(&part, &packed, &mut answer.logits, &mut scratch).unwrap();
        let gradient = &self.gradient[first * v..];
        let into = (Some(&mut answer.weight[..]), Some(&mut answer.bias[..]));
        layer.weight_gradient::<I>(&part, &packed, gradient, into, false, &mut scratch).unwrap();
        answer.hidden = nan(layer.gradient_rows::<I>(count) * d);
        layer.hidden_gradient::<I>(&part, gradient, &mut answer.hidden, &mut scratch).unwrap();
        answer.hidden.truncate(count * d);
        answer
    }

    fn singles(&self) -> (Floats<'_>, Floats<'_>) {
        (Floats::F32(&self.weight), Floats::F32(&self.hidden))
    }
}

fn each_problem(check: impl Fn(&str, &Problem)) {
    for shape in SHAPES {
        for layout in [WeightLayout::Vd, WeightLayout::Dv] {
            check(&format!("{shape:?} {layout:?}"), &Problem::new(shape, layout));
        }
    }
}

struct Products;

impl Task for Products {
    type Output = ();

    fn run<I: Isa>(self) {
        each_problem(|name, problem| {
            let (weight, hidden) = problem.singles();
            let answer = problem.run::<I>(Executor::Serial, weight, hidden, 0);
            let got = [&answer.logits, &answer.weight, &answer.bias, &answer.hidden];
            for (which, (got, want)) in got.into_iter().zip(problem.expected()).enumerate() {
                assert_eq!(got.len(), want.len(), "{name}, product {which}");
                for (index, (got, want)) in got.iter().zip(&want).enumerate() {
                    let error = (f64::from(*got) - want).abs();
                    assert!(error < 2e-5, "{name}, product {which}[{index}]: {got}, expected {want}");
                }
            }
        });
    }
}

#[test]
fn products_are_those_of_plain_sums() {
    for kernel in Kernel::supported() {
        kernel.choose().expect("a supported kernel").run(Products);
    }
}

struct Types;

impl Task for Types {
    type Output = ();

    fn run<I: Isa>(self) {
        each_problem(|name, problem| {
            let (weight, hidden) = problem.singles();
            let single = problem.run::<I>(Executor::Serial, weight, hidden, 0);
            let weight: Vec<bf16> = problem.weight.iter().map(|x| bf16::from_f32(*x)).collect();
            let hidden: Vec<f16> = problem.hidden.iter().map(|x| f16::from_f32(*x)).collect();
            let half = problem.run::<I>(Executor::Serial, (&weight).into(), (&hidden).into(), 0);
            assert_eq!(half, single, "{name}");
        });
    }
}

#[test]
fn halves_give_the_bits_of_the_same_numbers_in_single_precision() {
    Kernel::Lanes4.choose().expect("everywhere").run(Types);
    Kernel::Best.choose().expect("everywhere").run(Types);
}

struct Splits;

impl Task for Splits {
    type Output = ();

    fn run<I: Isa>(self) {
        each_problem(|name, problem| {
            let (weight, hidden) = problem.singles();
            let whole = problem.run::<I>(Executor::Serial, weight, hidden, 0);
            // The last row alone: one line of a panel instead of a full one.
            let last = problem.run::<I>(Executor::Serial, weight, hidden, problem.chunk - 1);
            let row = |values: &[f32], width: usize| values[values.len() - width..].to_vec();
            assert_eq!(last.logits, row(&whole.logits, problem.classes), "{name}: a row alone");
            assert_eq!(last.hidden, row(&whole.hidden, problem.depth), "{name}: a row alone");
            #[cfg(feature = "threads")]
            for threads in [2, 3, 5] {
                let shared = problem.run::<I>(Executor::Rayon { threads }, weight, hidden, 0);
                assert_eq!(shared, whole, "{name}: {threads} threads");
            }
        });
    }
}

#[test]
fn same_bits_for_any_split() {
    for kernel in Kernel::supported() {
        kernel.choose().expect("a supported kernel").run(Splits);
    }
}
