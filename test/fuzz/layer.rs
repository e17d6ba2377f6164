//! Calls of the last layer with its loss. Hidden states, weights and bias are eighths, so that every logit is exact in single precision
//! whatever the order of its sum: losses are held to the bound of the logits, and the gradients of hidden states, weights and bias to
//! what that bound and the roundings of their own sums come to.

use super::call::{Answer, Call, LABELS, OF_DISTRIBUTION, Refusal, Typed, answer_of, refused};
use super::check::{agrees, refusal, same_bits};
use super::generate::{drawn_labels, mask, pick, settings};
use crate::bound::{Judge, Precision};
use crate::support::{Case, How, Upstream, kernels, widened};
use fastrand::Rng;
use sparse_xent::{Element, Executor, Floats, Input, Kernel, LinearGrad, Matrix, WeightLayout, bf16, f16};

/// A factor in a type of its own.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl Numbers {
    fn new(name: &str, values: &[f64]) -> Self {
        fn each<T: Element>(values: &[f64]) -> Vec<T> {
            values.iter().map(|x| T::from_f64(*x)).collect()
        }
        match name {
            "f16" => Numbers::F16(each(values)),
            "bf16" => Numbers::Bf16(each(values)),
            _ => Numbers::F32(each(values)),
        }
    }

    fn floats(&self) -> Floats<'_> {
        match self {
            Numbers::F32(numbers) => Floats::F32(numbers),
            Numbers::F16(numbers) => Floats::F16(numbers),
            Numbers::Bf16(numbers) => Floats::Bf16(numbers),
        }
    }
}

/// Options, labels and the logits that the layer makes are those of `call`.
pub(crate) struct Layer {
    pub(crate) call: Call,
    pub(crate) depth: usize,
    hidden: Vec<f64>,
    /// A row per class.
    weight: Vec<f64>,
    bias: Option<Vec<f64>>,
    /// Types of hidden states, weights and bias.
    pub(crate) types: [&'static str; 3],
    pub(crate) layout: WeightLayout,
    pub(crate) chunk_rows: Option<usize>,
    /// Which gradients are asked for: of hidden states, weights and bias.
    pub(crate) wanted: [bool; 3],
    /// Whether the logits are made again for the gradient, which changes no bit.
    pub(crate) recomputes: bool,
}

/// The gradients that were asked for; the others are empty.
pub(crate) type Grads = [Vec<f32>; 3];

const PAINT: f32 = 251.0;

impl Layer {
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x6c61_7965_7200_0000);
        let most = pick(&mut rng, &[4, 12, 40]);
        // So many classes go in strips, where logits are made again.
        let is_wide = rng.u8(..40) == 0;
        let rows = rng.usize(1..if is_wide { 4 } else { most });
        let depth = if is_wide {
            rng.usize(1..6)
        } else if rng.u8(..12) == 0 {
            pick(&mut rng, &[255, 256, 257, 300])
        } else {
            rng.usize(1..40)
        };
        let classes = match rng.u8(..8) {
            _ if is_wide => pick(&mut rng, &[4_095, 4_096, 4_100, 8_200, 9_001]),
            0..=2 => rng.usize(1..9),
            3..=5 => rng.usize(9..70),
            6 => rng.usize(94..130),
            _ => pick(&mut rng, &[255, 256, 257, 511, 512, 513, 520]),
        };
        let density = pick(&mut rng, &[0.0, 0.1, 0.3, 0.6]);
        let mut set = settings(&mut rng, density, classes, rows);
        if set.input != Input::Logits || set.label_matrix.is_some() {
            set = crate::support::Settings { reduction: set.reduction, ..crate::support::Settings::none() };
        }
        // The gradient's bound is about its sums here; steps of all sizes are the softmax's own business.
        const STEPS: [f64; 5] = [1.0, -0.5, 2.0, 0.0, 1024.0];
        set.upstream = match set.upstream {
            Upstream::One(_) => Upstream::One(pick(&mut rng, &STEPS)),
            Upstream::Each(each) => Upstream::Each(each.iter().map(|_| pick(&mut rng, &STEPS)).collect()),
        };
        let labels = rng.usize(..LABELS.len());
        let drawn = drawn_labels(&mut rng, &mut set, labels, classes, rows);
        mask(&mut rng, density, &mut set, classes, &drawn);
        let mut eighths = |count: usize, most: i32| -> Vec<f64> {
            (0..count).map(|_| f64::from(rng.i32(-most..=most)) / 8.0).collect()
        };
        let (hidden, weight) = (eighths(rows * depth, 16), eighths(classes * depth, 8));
        let bias = Some(eighths(classes, 30)).filter(|bias| bias[0] > 0.0);
        let mut case =
            Case { name: String::new(), shape: [rows, classes, 1], logits: Vec::new(), labels: drawn, set };
        for row in hidden.chunks_exact(depth) {
            for (class, weight) in weight.chunks_exact(depth).enumerate() {
                let sum: f64 = row.iter().zip(weight).map(|(hidden, weight)| hidden * weight).sum();
                case.logits.push(sum + bias.as_ref().map_or(0.0, |bias| bias[class]));
            }
        }
        let mut call = Call { seed, case, types: super::call::Types::F32, labels, outputs: 0 };
        call.outputs = rng.u8(..16) & call.every_output();
        const NAMES: [&str; 3] = ["f32", "f16", "bf16"];
        let wide = rng.bool();
        let types = [(); 3].map(|()| if wide { "f32" } else { pick(&mut rng, &NAMES) });
        let layout = pick(&mut rng, &[WeightLayout::Vd, WeightLayout::Dv]);
        let chunk_rows = pick(&mut rng, &[None, None, Some(1), Some(3), Some(16), Some(1000)]);
        let wanted = [(); 3].map(|()| rng.u8(..4) > 0);
        let recomputes = rng.bool();
        Layer { call, depth, hidden, weight, bias, types, layout, chunk_rows, wanted, recomputes }
    }

    /// Hidden states, weights as they lie, and bias, in their types.
    pub(crate) fn factors(&self) -> (Numbers, Numbers, Option<Numbers>) {
        let (classes, depth) = (self.call.case.shape[1], self.depth);
        let weight: Vec<f64> = match self.layout {
            WeightLayout::Vd => self.weight.clone(),
            WeightLayout::Dv => {
                (0..depth * classes).map(|at| self.weight[at % classes * depth + at / classes]).collect()
            }
        };
        let [hidden_type, weight_type, bias_type] = self.types;
        let bias = self.bias.as_ref().map(|bias| Numbers::new(bias_type, bias));
        (Numbers::new(hidden_type, &self.hidden), Numbers::new(weight_type, &weight), bias)
    }

    pub(crate) fn run(
        &self,
        kernel: Kernel,
        threads: usize,
        outputs: u8,
        wanted: [bool; 3],
        recomputes: bool,
    ) -> Result<(Answer, Grads), Refusal> {
        let (case, depth) = (&self.call.case, self.depth);
        let [rows, classes, _] = case.shape;
        let executor = if threads > 1 { Executor::Rayon { threads } } else { Executor::Serial };
        let how = How { kernel, executor, outputs: false };
        let op = super::call::with_outputs(how.operation(&case.set), outputs, 0);
        let (hidden, weight, bias) = self.factors();
        let mut op = op.linear().weight_layout(self.layout).recompute(recomputes);
        if let Some(bias) = &bias {
            op = op.bias(bias.floats());
        }
        if let Some(rows) = self.chunk_rows {
            op = op.chunk_rows(rows);
        }
        let dims = match self.layout {
            WeightLayout::Vd => [classes, depth],
            WeightLayout::Dv => [depth, classes],
        };
        let refusal = |error| refused(&error);
        let states = Matrix::new(hidden.floats(), [rows, depth]).map_err(refusal)?;
        let weights = Matrix::new(weight.floats(), dims).map_err(refusal)?;
        let lengths = [rows * depth, classes * depth, classes];
        let mut grads: Grads = [0, 1, 2].map(|at| vec![PAINT; if wanted[at] { lengths[at] } else { 0 }]);
        let [of_hidden, of_weight, of_bias] = &mut grads;
        let grad = LinearGrad {
            hidden: wanted[0].then_some(of_hidden),
            weight: wanted[1].then_some(of_weight),
            bias: wanted[2].then_some(of_bias),
        };
        let typed = Typed::of(&self.call, true);
        match op.forward_backward(&states, &weights, typed.labels(), grad) {
            Ok(out) => Ok((answer_of(out), grads)),
            Err(_) if grads.iter().flatten().any(|x| *x != PAINT) => {
                Err("refused after a gradient was written".to_owned())
            }
            Err(error) => Err(refused(&error)),
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let mut rng = Rng::with_seed(self.call.seed.rotate_left(32));
        let all: Vec<Kernel> = kernels().collect();
        let kernel = all[rng.usize(..all.len())];
        let (case, every) = (&self.call.case, self.call.every_output() & !OF_DISTRIBUTION);
        let base = match (self.run(kernel, 1, every, [true; 3], false), refusal(case)) {
            (Err(got), Some(want)) if got == want => None,
            (Ok(base), None) => Some(base),
            (got, want) => {
                return Err(format!("{kernel:?}: got {:?}, expected {want:?}", got.map(|_| "an answer")));
            }
        };
        if let Some((answer, grads)) = &base {
            let judge = Judge::new(case, Precision::of::<f32, f32>())?;
            // There is no gradient of the logits to compare.
            let losses = Answer { grad: judge.answer.grad.clone(), ..answer.clone() };
            agrees(&losses, &judge, &case.set)?;
            self.grads_agree(grads, &judge).map_err(|what| format!("{kernel:?}: {what}"))?;
        }
        for _ in 0..2 {
            // For further results rows of weight 0 are looked at, and are then among those of a chunk.
            let outputs = if self.has_weights_of_0() { every } else { rng.u8(..16) & every };
            let threads = rng.usize(1..4);
            match (self.run(kernel, threads, outputs, self.wanted, self.recomputes), &base) {
                (Err(got), None) if Some(&got[..]) == refusal(case) => {}
                (Ok((answer, grads)), Some((base, all))) => {
                    same_bits("losses", &answer.losses, &base.losses)?;
                    same_bits("numbers", &answer.numbers, &base.numbers)?;
                    for (at, what) in ["hidden", "weight", "bias"].into_iter().enumerate() {
                        let want = if self.wanted[at] { widened(&all[at]) } else { Vec::new() };
                        let what = format!("grad.{what} on {threads} threads of {kernel:?}");
                        same_bits(&what, &canonical(&widened(&grads[at])), &canonical(&want))?;
                    }
                }
                (got, _) => return Err(format!("{threads} threads: {:?}", got.map(|_| "an answer"))),
            }
        }
        Ok(())
    }

    fn has_weights_of_0(&self) -> bool {
        let set = &self.call.case.set;
        [&set.class_weight, &set.sample_weight].into_iter().flatten().flatten().any(|weight| *weight == 0.0)
    }

    /// Sums over classes or rows of what the gradient of the logits is.
    fn grads_agree(&self, got: &Grads, judge: &Judge<'_>) -> Result<(), String> {
        let (depth, [rows, classes, _]) = (self.depth, self.call.case.shape);
        // A sum runs over 256 terms at most before it joins others.
        const ROUNDINGS: f64 = 300.0 / (1 << 24) as f64;
        let lengths = [rows * depth, classes * depth, classes];
        let (mut want, mut bound) =
            (lengths.map(|length| vec![0.0; length]), lengths.map(|length| vec![0.0; length]));
        for (at, g) in judge.answer.grad.iter().enumerate() {
            let (row, class) = (at / classes, at % classes);
            let off = judge.bounds.grad[at] + ROUNDINGS * g.abs();
            // A row that does not count is no part of any sum.
            if *g == 0.0 && off == 0.0 {
                continue;
            }
            for step in 0..depth {
                let (state, weight) = (row * depth + step, class * depth + step);
                want[0][state] += g * self.weight[weight];
                want[1][weight] += g * self.hidden[state];
                bound[0][state] += off * self.weight[weight].abs();
                bound[1][weight] += off * self.hidden[state].abs();
            }
            want[2][class] += g;
            bound[2][class] += off;
        }
        for (which, what) in ["hidden", "weight", "bias"].into_iter().enumerate() {
            for (at, want) in want[which].iter().enumerate() {
                let place = match (which, self.layout) {
                    (1, WeightLayout::Dv) => at % depth * classes + at / depth,
                    _ => at,
                };
                let (got, bound) = (f64::from(got[which][place]), bound[which][at] + 1e-44);
                // Where nothing is promised of a logit's gradient the bound is infinite, and that times 0 is NaN.
                let is_met =
                    if want.is_nan() { got.is_nan() } else { bound.is_nan() || (got - want).abs() <= bound };
                if !is_met {
                    return Err(format!("grad.{what}[{place}]: got {got:e}, expected {want:e} +- {bound:e}"));
                }
            }
        }
        Ok(())
    }

    /// In words, long lists left out.
    pub(crate) fn text(&self) -> String {
        let Layer { depth, types, layout, chunk_rows, wanted, recomputes, .. } = self;
        let about = format!(
            "layer of depth {depth}, {types:?}, {layout:?}, chunks of {chunk_rows:?}, gradients {wanted:?}, recompute {recomputes}"
        );
        format!("{about}; {}", super::campaign::text_of(&self.call))
    }
}

/// Every NaN is one.
fn canonical(values: &[f64]) -> Vec<f64> {
    values.iter().map(|x| if x.is_nan() { f64::NAN } else { *x }).collect()
}
