//! Calls of the sigmoid: each element against its formula in f64, and bits across threads and places.

use super::call::{Answer, Place, Refusal, Types, answer_of, before, refused, widened, with_types};
use super::check::{added, same_bits};
use super::generate::{WEIGHTS, pick};
use crate::bound::agrees as within;
use crate::support::bits;
use fastrand::Rng;
use sparse_xent::{
    Denominator, Element, EmptyMean, Executor, GradElement, Logits, LogitsMut, Reduction, Shape,
    WeightedSigmoid,
};

pub(crate) struct Elements {
    pub(crate) seed: u64,
    pub(crate) types: Types,
    /// The class axis is the second of three.
    pub(crate) shape: [usize; 3],
    pub(crate) x: Vec<f64>,
    pub(crate) targets: Vec<f64>,
    /// One for all, or one per class.
    pub(crate) pos_weight: Vec<f64>,
    pub(crate) sample_weight: Option<Vec<f64>>,
    pub(crate) upstream: f64,
    pub(crate) reduction: Reduction,
    pub(crate) denominator: Denominator,
    pub(crate) empty_mean: EmptyMean,
}

impl Elements {
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x7369_676d_6f69_6400);
        let types = pick(&mut rng, &[Types::F32, Types::F32, Types::F64, Types::F16, Types::Bf16ToF32]);
        let large = rng.u8(..40) == 0;
        let shape = [rng.usize(1..if large { 300 } else { 12 }), rng.usize(1..40), rng.usize(1..4)];
        let count = shape.iter().product();
        let magnitude = pick(&mut rng, &[1.0, 5.0, 40.0, 120.0, 1e4]);
        const SPECIAL: [f64; 8] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1e-40, 3e38, -3e38];
        let special = rng.u8(..4) == 0;
        let mut x: Vec<f64> = (0..count)
            .map(|_| match special && rng.u8(..5) == 0 {
                true => pick(&mut rng, &SPECIAL),
                false => magnitude * (2.0 * rng.f64() - 1.0),
            })
            .collect();
        with_types!(types, {
            let _: Option<G> = None;
            x.iter_mut().for_each(|x| *x = E::from_f64(*x).to_f64());
        });
        const TARGETS: [f64; 6] = [0.0, 1.0, 1.0, 0.0, 0.25, 0.5];
        let targets = (0..count).map(|_| pick(&mut rng, &TARGETS)).collect();
        let weights =
            |rng: &mut Rng, count: usize| -> Vec<f64> { (0..count).map(|_| pick(rng, &WEIGHTS)).collect() };
        let each = if rng.bool() { 1 } else { shape[1] };
        let mut pos_weight = weights(&mut rng, each);
        let mut sample_weight = (rng.u8(..3) == 0).then(|| weights(&mut rng, count));
        if rng.u8(..30) == 0 {
            // An error; of a single weight it would be another one.
            let list = sample_weight.as_mut().unwrap_or(&mut pos_weight);
            if list.len() > 1 {
                let at = rng.usize(..list.len());
                list[at] = pick(&mut rng, &[f64::NAN, f64::INFINITY]);
            }
        }
        Elements {
            seed,
            types,
            shape,
            x,
            targets,
            pos_weight,
            sample_weight,
            upstream: pick(&mut rng, &[1.0, 1.0, -0.5, 0.0, 1024.0, 1e-3]),
            reduction: pick(&mut rng, &[Reduction::None, Reduction::Mean, Reduction::Sum]),
            denominator: pick(
                &mut rng,
                &[Denominator::Weights, Denominator::Valid, Denominator::NonZero, Denominator::Count(12.5)],
            ),
            empty_mean: pick(&mut rng, &[EmptyMean::Zero, EmptyMean::Nan]),
        }
    }

    pub(crate) fn refusal(&self) -> Option<&'static str> {
        let lists = [Some(&self.pos_weight), self.sample_weight.as_ref()];
        lists.into_iter().flatten().flatten().any(|weight| !weight.is_finite()).then_some("WEIGHT_VALUE")
    }

    pub(crate) fn run(&self, threads: usize, place: Place) -> Result<Answer, Refusal> {
        with_types!(self.types, self.run_as::<E, G>(threads, place))
    }

    fn run_as<E: Element, G: GradElement<E>>(&self, threads: usize, place: Place) -> Result<Answer, Refusal> {
        let mut op = WeightedSigmoid::new()
            .reduction(self.reduction)
            .denominator(self.denominator)
            .empty_mean(self.empty_mean)
            .upstream(self.upstream)
            .executor(if threads > 1 { Executor::Rayon { threads } } else { Executor::Serial });
        op = match &self.pos_weight[..] {
            [one] => op.pos_weight(*one),
            each => op.pos_weights(each),
        };
        if let Some(weights) = &self.sample_weight {
            op = op.sample_weight(weights);
        }
        let mut x: Vec<E> = self.x.iter().map(|x| E::from_f64(*x)).collect();
        let untouched = x.clone();
        let mut grad = match place {
            Place::Apart => vec![G::from_f64(251.0); x.len()],
            Place::Added => before(x.len()),
            Place::Loss | Place::Over => Vec::new(),
        };
        let start = grad.clone();
        let shape = Shape::new(&self.shape, 1).map_err(|error| refused(&error))?;
        let logits = Logits::new(&untouched, shape).map_err(|error| refused(&error))?;
        let out = match place {
            Place::Loss => op.forward(&logits, &self.targets),
            Place::Apart => op.forward_backward(&logits, &self.targets, &mut grad),
            Place::Added => op.accumulate(true).forward_backward(&logits, &self.targets, &mut grad),
            Place::Over => LogitsMut::new(&mut x, shape)
                .and_then(|mut logits| op.forward_backward_in_place(&mut logits, &self.targets)),
        };
        if out.is_err() && (bits(&grad) != bits(&start) || bits(&x) != bits(&untouched)) {
            return Err("refused after something was written".to_owned());
        }
        let out = out.map_err(|error| refused(&error))?;
        let grad = if place == Place::Over { widened(&x) } else { widened(&grad) };
        Ok(Answer { grad, ..answer_of(out) })
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let mut rng = Rng::with_seed(self.seed.rotate_left(32));
        let base = match (self.run(1, Place::Apart), self.refusal()) {
            (Err(got), Some(want)) if got == want => return Ok(()),
            (Ok(base), None) => base,
            (got, want) => return Err(format!("got {:?}, expected {want:?}", got.map(|_| "an answer"))),
        };
        self.agrees(&base)?;
        let into_f32 = self.types == Types::Bf16ToF32;
        for _ in 0..2 {
            let place = pick(&mut rng, &[Place::Loss, Place::Apart, Place::Over, Place::Added]);
            let place = if into_f32 && place == Place::Over { Place::Apart } else { place };
            let got = self.run(rng.usize(1..4), place)?;
            same_bits("losses", &got.losses, &base.losses)?;
            same_bits("numbers", &got.numbers, &base.numbers)?;
            match place {
                Place::Loss => {}
                Place::Apart | Place::Over => same_bits("grad", &got.grad, &base.grad)?,
                Place::Added => with_types!(self.types, {
                    let _: Option<E> = None;
                    added::<G>(false, &got.grad, &base.grad)?;
                }),
            }
        }
        Ok(())
    }

    /// (1 - t) softplus(x) + k t softplus(-x) and its slope, a term without a coefficient left out; and the magnitudes of the terms.
    fn element(&self, at: usize) -> ([f64; 2], [f64; 2]) {
        let (x, target) = (self.x[at], self.targets[at]);
        let [_, classes, inner] = self.shape;
        let positive = self.pos_weight[at / inner % classes % self.pos_weight.len()];
        let softplus = |x: f64| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
        let sigmoid = |x: f64| if x > 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) };
        if x.is_nan() {
            return ([x; 2], [0.0; 2]);
        }
        let term = |factor: f64, value: f64| if factor == 0.0 { 0.0 } else { factor * value };
        let losses = [term(1.0 - target, softplus(x)), term(positive * target, softplus(-x))];
        let slopes = [term(1.0 - target, sigmoid(x)), term(positive * target, sigmoid(-x))];
        ([losses[0] + losses[1], slopes[0] - slopes[1]], [losses[0] + losses[1], slopes[0] + slopes[1]])
    }

    fn agrees(&self, got: &Answer) -> Result<(), String> {
        let count = self.x.len();
        let weight = |at: usize| self.sample_weight.as_ref().map_or(1.0, |weights| weights[at]);
        let weight_sum: f64 = (0..count).map(weight).sum();
        let denominator = match (self.reduction, self.denominator) {
            (Reduction::None | Reduction::Sum, _) => 1.0,
            (_, Denominator::Weights) => weight_sum,
            (_, Denominator::NonZero) => (0..count).filter(|at| weight(*at) != 0.0).count() as f64,
            (_, Denominator::Count(count)) => count,
            _ => count as f64,
        };
        if got.numbers[2..] != [weight_sum, denominator] {
            return Err(format!(
                "weights, denominator: got {:?}, expected {weight_sum}, {denominator}",
                &got.numbers[2..]
            ));
        }
        let is_double = self.types == Types::F64;
        let (unit, largest, least) = if is_double {
            // A factor below the normal range is rounded before it is multiplied.
            (2_f64.powi(-50), f64::MAX, 2.5e-323)
        } else {
            (2_f64.powi(-24), f64::from(f32::MAX), 1e-45)
        };
        // One rounding to the type of the gradient.
        let (step, end) = match self.types {
            Types::F64 => (2_f64.powi(-50), f64::MAX),
            Types::F16 => (2_f64.powi(-11), 65504.0),
            _ => (2_f64.powi(-24), f64::from(f32::MAX)),
        };
        let smallest = if self.types == Types::F16 { 2_f64.powi(-25) } else { least };
        for at in 0..count {
            let ([loss, slope], [loss_size, slope_size]) = self.element(at);
            let (weight, factor) = (weight(at), self.upstream / denominator);
            let times = |factor: f64, value: f64| if factor == 0.0 { 0.0 } else { factor * value };
            let want = times(weight, loss);
            if let Some(got) = got.losses.get(at)
                && !within(*got, want, 1.01 * unit * weight.abs() * loss_size + least, largest)
            {
                return Err(format!("loss of element {at}: got {got:e}, expected {want:e}"));
            }
            let want = match self.empty_mean {
                EmptyMean::Zero if denominator == 0.0 => 0.0,
                EmptyMean::Nan if denominator == 0.0 => f64::NAN,
                _ => times(factor, times(weight, slope)),
            };
            // An exponential below the normal range has few digits, and more of them do not come of what it is multiplied by.
            let smallest = if is_double { smallest * (factor * weight).abs().max(1.0) } else { smallest };
            let bound = (1.01 * step + 2_f64.powi(-48)) * (factor * weight * slope_size).abs() + smallest;
            let bound = if denominator == 0.0 { 0.0 } else { bound };
            if !within(got.grad[at], want, bound, end) {
                return Err(format!(
                    "grad of element {at}: got {:e}, expected {want:e} +- {bound:e}",
                    got.grad[at]
                ));
            }
        }
        if !got.losses.is_empty() {
            let sum: f64 = got.losses.iter().sum();
            let size: f64 = got.losses.iter().map(|loss| loss.abs()).sum();
            if !within(got.numbers[1], sum, 1e-12 * size, f64::MAX) {
                return Err(format!("loss sum: got {:e}, expected {sum:e}", got.numbers[1]));
            }
        }
        Ok(())
    }

    pub(crate) fn text(&self) -> String {
        let few = |values: &[f64]| if values.len() > 200 { "many".to_owned() } else { format!("{values:?}") };
        let Elements { types, shape, upstream, reduction, denominator, empty_mean, .. } = self;
        let lists = [&self.x, &self.targets, &self.pos_weight].map(|list| few(list)).join("; ");
        let weights = self.sample_weight.as_deref().map(few);
        format!(
            "sigmoid {shape:?} {types:?}, {reduction:?}, {denominator:?}, {empty_mean:?}, upstream {upstream}\n  logits, targets, posWeight {lists}\n  sampleWeight {weights:?}"
        )
    }
}
