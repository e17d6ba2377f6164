//! A whole call: what it is given, in which types, and the ways to make it.

use crate::support::{self, Case, How, PAINT, Upstream};
use fastrand::Rng;
use sparse_xent::{
    CrossEntropy, Element, Error, Executor, GradElement, Input, Kernel, Labels, Logits, LogitsMut, Output,
    Reduction, Shape,
};

/// Types of logits and, where it is another one, of their gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Types {
    F32,
    F64,
    F16,
    Bf16,
    F16ToF32,
    Bf16ToF32,
}

/// Runs code with `E` the type of the logits and `G` that of the gradient.
macro_rules! with_types {
    ($types:expr, $($code:tt)*) => {
        match $types {
            super::call::Types::F32 => { type E = f32; type G = f32; $($code)* }
            super::call::Types::F64 => { type E = f64; type G = f64; $($code)* }
            super::call::Types::F16 => { type E = sparse_xent::f16; type G = sparse_xent::f16; $($code)* }
            super::call::Types::Bf16 => { type E = sparse_xent::bf16; type G = sparse_xent::bf16; $($code)* }
            super::call::Types::F16ToF32 => { type E = sparse_xent::f16; type G = f32; $($code)* }
            super::call::Types::Bf16ToF32 => { type E = sparse_xent::bf16; type G = f32; $($code)* }
        }
    };
}
pub(crate) use with_types;

/// Types of labels, by the names that TypeScript has for them.
pub(crate) const LABELS: [&str; 10] = ["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"];

/// The further results, as bits.
pub(crate) const LOG_SUM_EXP: u8 = 1;
pub(crate) const TARGET_LOG_PROB: u8 = 2;
pub(crate) const PREDICTIONS: u8 = 4;
pub(crate) const PER_CLASS: u8 = 8;
pub(crate) const TOP_K: u8 = 16;
pub(crate) const TARGET_RANK: u8 = 32;
pub(crate) const ENTROPY: u8 = 64;
pub(crate) const LOG_PROBS: u8 = 128;
/// Those that need a row of logits at once, which a layer that makes them does not give.
pub(crate) const OF_DISTRIBUTION: u8 = TOP_K | TARGET_RANK | ENTROPY | LOG_PROBS;

/// What is called for.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Draws it again.
    pub(crate) seed: u64,
    pub(crate) case: Case,
    pub(crate) types: Types,
    /// Which of [`LABELS`].
    pub(crate) labels: usize,
    /// The further results that are asked for.
    pub(crate) outputs: u8,
}

impl Call {
    pub(crate) fn fits_labels(labels: usize, value: i64) -> bool {
        match LABELS[labels] {
            "u8" => u8::try_from(value).is_ok(),
            "i8" => i8::try_from(value).is_ok(),
            "u16" => u16::try_from(value).is_ok(),
            "i16" => i16::try_from(value).is_ok(),
            "u32" => u32::try_from(value).is_ok(),
            "i32" => i32::try_from(value).is_ok(),
            "u64" => value >= 0,
            "f32" => value.unsigned_abs() < 1 << 24,
            "f64" => value.unsigned_abs() < 1 << 53,
            _ => true,
        }
    }

    /// The dimensions of the logits, and which of them is the class axis, counted from the front or from the back: the same memory,
    /// said in another way.
    pub(crate) fn dims(&self) -> (Vec<usize>, isize) {
        let mut rng = Rng::with_seed(self.seed ^ 0x6469_6d73);
        let [outer, classes, inner] = self.case.shape;
        let mut parts = |count: usize| {
            let divisors: Vec<usize> = (1..=count).filter(|part| count.is_multiple_of(*part)).collect();
            match rng.u8(..3) {
                0 if count == 1 => Vec::new(),
                1 => {
                    let part = divisors[rng.usize(..divisors.len())];
                    vec![part, count / part]
                }
                _ => vec![count],
            }
        };
        let (before, after) = (parts(outer), parts(inner));
        let (axis, rank) = (before.len(), before.len() + 1 + after.len());
        let signed = |place: usize| isize::try_from(place).expect("a small number");
        let axis = if rng.bool() { signed(axis) } else { signed(axis) - signed(rank) };
        ([before, vec![classes], after].concat(), axis)
    }

    /// All further results that the input allows.
    pub(crate) fn every_output(&self) -> u8 {
        if self.case.set.input == Input::Logits {
            u8::MAX
        } else {
            TARGET_LOG_PROB | PREDICTIONS | PER_CLASS | TARGET_RANK
        }
    }

    /// How many of the largest classes are asked for: few, or all.
    pub(crate) fn k(&self) -> usize {
        let classes = self.case.shape[1];
        let most = if self.seed.is_multiple_of(7) { classes } else { classes.min(6) };
        1 + usize::try_from(self.seed / 7).unwrap_or_default() % most
    }

    /// The rows alone that `rows` names, in this order, their losses not reduced. `shape` is theirs.
    pub(crate) fn of_rows(&self, shape: [usize; 3], rows: &[usize]) -> Call {
        let from = &self.case;
        let mut to = Case { name: String::new(), shape, ..from.clone() };
        let classes = shape[1];
        to.logits = vec![0.0; rows.len() * classes];
        for (place, row) in rows.iter().enumerate() {
            for class in 0..classes {
                let at = to.place(place, class);
                to.logits[at] = from.logits[from.place(*row, class)];
            }
        }
        let pick = |values: &[f64]| rows.iter().map(|row| values[*row]).collect();
        to.labels = rows.iter().map(|row| from.labels[*row]).collect();
        to.set.reduction = Reduction::None;
        to.set.sample_weight = from.set.sample_weight.as_deref().map(pick);
        if let Upstream::Each(values) = &from.set.upstream {
            to.set.upstream = Upstream::Each(pick(values));
        }
        Call { case: to, ..self.clone() }
    }
}

/// Where logits and gradient are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// No gradient.
    Loss,
    Apart,
    Over,
    /// Added to what [`before`] gives.
    Added,
}

/// A way to make a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) kernel: Kernel,
    pub(crate) threads: usize,
    pub(crate) place: Place,
    pub(crate) outputs: u8,
    /// Whether weights are handed over as f32 and labels in the call's type, and not as f64 and i64.
    pub(crate) narrow: bool,
}

/// All that a call gives, widened, NaN being one number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) grad: Vec<f64>,
    /// Empty where a reduction keeps them back.
    pub(crate) losses: Vec<f64>,
    pub(crate) log_sum_exp: Vec<f64>,
    pub(crate) target_log_prob: Vec<f64>,
    pub(crate) predictions: Vec<i32>,
    /// Four runs: loss, weight, count, correct.
    pub(crate) per_class: Vec<f64>,
    /// Loss, loss sum, weight sum, denominator.
    pub(crate) numbers: [f64; 4],
    /// All, valid, invalid, not finite rows.
    pub(crate) counts: [usize; 4],
    pub(crate) correct: Option<usize>,
    pub(crate) top_values: Vec<f64>,
    pub(crate) top_classes: Vec<i32>,
    pub(crate) target_rank: Vec<i32>,
    pub(crate) entropy: Vec<f64>,
    pub(crate) log_probs: Vec<f64>,
}

/// Why there is no answer, by the name that TypeScript has for it.
pub(crate) type Refusal = String;

/// What is tested: how a call is answered.
pub(crate) type Subject<'a> = &'a dyn Fn(&Call, Way) -> Result<Answer, Refusal>;

/// The crate.
pub(crate) fn crate_itself(call: &Call, way: Way) -> Result<Answer, Refusal> {
    with_types!(call.types, answer::<E, G>(call, way))
}

/// What a gradient is added to.
pub(crate) fn before<G: Element>(length: usize) -> Vec<G> {
    [-0.0, 1.5, -3.25e-3, 1e-38].into_iter().cycle().take(length).map(G::from_f64).collect()
}

pub(crate) fn refused(error: &Error) -> Refusal {
    match error {
        Error::LabelOutOfRange { .. } => "LABEL_OUT_OF_RANGE".to_owned(),
        Error::TargetMasked { .. } => "TARGET_MASKED".to_owned(),
        Error::WeightValue { .. } => "WEIGHT_VALUE".to_owned(),
        _ => error.to_string(),
    }
}

/// Labels in a type of their own.
pub(crate) enum Typed {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Typed {
    pub(crate) fn of(call: &Call, narrow: bool) -> Self {
        fn each<T: TryFrom<i64>>(labels: &[i64]) -> Vec<T> {
            labels.iter().map(|label| T::try_from(*label).ok().expect("a label of this type")).collect()
        }
        let labels = &call.case.labels;
        match LABELS[if narrow { call.labels } else { 7 }] {
            "u8" => Typed::U8(each(labels)),
            "i8" => Typed::I8(each(labels)),
            "u16" => Typed::U16(each(labels)),
            "i16" => Typed::I16(each(labels)),
            "u32" => Typed::U32(each(labels)),
            "i32" => Typed::I32(each(labels)),
            "u64" => Typed::U64(each(labels)),
            "f32" => Typed::F32(labels.iter().map(|label| f32::from_f64(*label as f64)).collect()),
            "f64" => Typed::F64(labels.iter().map(|label| *label as f64).collect()),
            _ => Typed::I64(labels.clone()),
        }
    }

    pub(crate) fn labels(&self) -> Labels<'_> {
        match self {
            Typed::U8(labels) => labels.into(),
            Typed::I8(labels) => labels.into(),
            Typed::U16(labels) => labels.into(),
            Typed::I16(labels) => labels.into(),
            Typed::U32(labels) => labels.into(),
            Typed::I32(labels) => labels.into(),
            Typed::U64(labels) => labels.into(),
            Typed::I64(labels) => labels.into(),
            Typed::F32(labels) => labels.into(),
            Typed::F64(labels) => labels.into(),
        }
    }
}

/// The operation with the further results that some bits say.
pub(crate) fn with_outputs(mut op: CrossEntropy<'_>, outputs: u8, k: usize) -> CrossEntropy<'_> {
    let wanted = |bit: u8| outputs & bit != 0;
    op = if wanted(LOG_SUM_EXP) { op.with_log_sum_exp() } else { op };
    op = if wanted(TARGET_LOG_PROB) { op.with_target_log_prob() } else { op };
    op = if wanted(PREDICTIONS) { op.with_predictions() } else { op };
    op = if wanted(TOP_K) { op.with_top_k(k) } else { op };
    op = if wanted(TARGET_RANK) { op.with_target_rank() } else { op };
    op = if wanted(ENTROPY) { op.with_entropy() } else { op };
    op = if wanted(LOG_PROBS) { op.with_log_probs() } else { op };
    if wanted(PER_CLASS) { op.with_per_class() } else { op }
}

fn answer<E: Element, G: GradElement<E>>(call: &Call, way: Way) -> Result<Answer, Refusal> {
    let case = &call.case;
    let narrowed = |values: &Option<Vec<f64>>| -> Option<Vec<f32>> {
        values
            .as_ref()
            .filter(|_| way.narrow)
            .map(|values| values.iter().map(|x| f32::from_f64(*x)).collect())
    };
    let (class, sample) = (narrowed(&case.set.class_weight), narrowed(&case.set.sample_weight));
    let matrix = narrowed(&case.set.label_matrix);
    let executor = if way.threads > 1 { Executor::Rayon { threads: way.threads } } else { Executor::Serial };
    let mut op = How { kernel: way.kernel, executor, outputs: false }.operation(&case.set);
    if let Some(weights) = &class {
        op = op.class_weight(weights);
    }
    if let Some(weights) = &sample {
        op = op.sample_weight(weights);
    }
    if let Some(matrix) = &matrix {
        op = op.label_matrix(matrix);
    }
    op = with_outputs(op, way.outputs, call.k());
    let typed = Typed::of(call, way.narrow);
    let mut x: Vec<E> = case.logits_as();
    let mut grad = match way.place {
        Place::Apart => vec![G::from_f64(PAINT); x.len()],
        Place::Added => before(x.len()),
        Place::Loss | Place::Over => Vec::new(),
    };
    let untouched = grad.clone();
    let (dims, axis) = call.dims();
    let shape = Shape::new(&dims, axis).expect("a shape of a test");
    let refusal = |error| refused(&error);
    let logits = Logits::new(&x, shape).map_err(refusal)?;
    let out = match way.place {
        Place::Loss => op.forward(&logits, typed.labels()),
        Place::Apart => op.forward_backward(&logits, typed.labels(), &mut grad),
        Place::Added => op.accumulate(true).forward_backward(&logits, typed.labels(), &mut grad),
        Place::Over => {
            let mut logits = LogitsMut::new(&mut x, shape).map_err(refusal)?;
            op.forward_backward_in_place(&mut logits, typed.labels())
        }
    };
    if out.is_err() && support::bits(&grad) != support::bits(&untouched) {
        return Err("refused after the gradient was written".to_owned());
    }
    if out.is_err() && way.place == Place::Over && support::bits(&x) != support::bits(&case.logits_as::<E>())
    {
        return Err("refused after the logits were written".to_owned());
    }
    let out = out.map_err(refusal)?;
    let grad = match way.place {
        Place::Over => widened(&x),
        _ => widened(&grad),
    };
    Ok(Answer { grad, ..answer_of(out) })
}

pub(crate) fn widened<T: Element>(values: &[T]) -> Vec<f64> {
    let one = |x: &T| x.to_f64();
    values.iter().map(one).map(|x| if x.is_nan() { f64::NAN } else { x }).collect()
}

pub(crate) fn answer_of<L: Element>(out: Output<L>) -> Answer {
    let per_class = out.per_class.as_ref().map(|columns| {
        [&columns.loss, &columns.weight, &columns.count, &columns.correct]
            .map(|column| widened(column))
            .concat()
    });
    Answer {
        grad: Vec::new(),
        losses: widened(&out.losses),
        log_sum_exp: widened(&out.log_sum_exp),
        target_log_prob: widened(&out.target_log_prob),
        predictions: out.predictions,
        per_class: per_class.unwrap_or_default(),
        numbers: [out.loss, out.loss_sum, out.weight_sum, out.denominator]
            .map(|x| if x.is_nan() { f64::NAN } else { x }),
        counts: [out.row_count, out.valid_count, out.invalid_count, out.non_finite_count],
        correct: out.correct_count,
        top_values: out.top_k.as_ref().map(|top| widened(&top.values)).unwrap_or_default(),
        top_classes: out.top_k.map(|top| top.classes).unwrap_or_default(),
        target_rank: out.target_rank,
        entropy: widened(&out.entropy),
        log_probs: widened(&out.log_probs),
    }
}

/// Whether the logits have 16 bits.
pub(crate) fn is_half(types: Types) -> bool {
    !matches!(types, Types::F32 | Types::F64)
}

/// Whether what is added to a gradient was rounded to its type before, so that the sum is known to the bit.
pub(crate) fn adds_once(types: Types) -> bool {
    !matches!(types, Types::F16 | Types::Bf16)
}
