//! One row of the table, put wherever a row can be: every layout and kernel path, dtype, twin and way to call.

use crate::bound::{Precision, compare};
use crate::support::{
    Case, How, Settings, Upstream, bits, kernels, raw, run, run_in_place, run_loss, widened,
};
use sparse_xent::{Element, Reduction, bf16, f16};

pub(crate) const INF: f64 = f64::INFINITY;
pub(crate) const NAN: f64 = f64::NAN;
/// ln 2 and ln 3.
pub(crate) const LN_2: f64 = core::f64::consts::LN_2;
pub(crate) const LN_3: f64 = 1.0986122886681098;

/// A row and what it must come to under [`Reduction::None`].
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    logits: Vec<f64>,
    label: i64,
    set: Settings,
    loss: f64,
    grad: Vec<f64>,
    prediction: i32,
}

/// Where the row lies: (outer, inner, row). Narrow rows are transposed four by four and by tiles of 128, and planes are
/// cut into tiles of 128.
const SITES: [(usize, usize, usize); 6] =
    [(1, 1, 0), (6, 1, 2), (6, 1, 5), (130, 1, 129), (2, 3, 4), (1, 130, 129)];

/// Long rows do not need many neighbours too.
const MOST_LOGITS: usize = 10_000;

/// Classes put before and after those of the row, which must not change what it comes to.
#[derive(Clone, Copy, Debug)]
enum Frame {
    /// Logits of -inf: probability 0.
    Vanished(usize, usize),
    /// Classes that the mask takes out, with logits of NaN.
    Masked(usize, usize),
}

/// None, and enough to make a row a wide one (over 64 classes), with the row's classes at its head and in its tail.
const FRAMES: [Frame; 6] = [
    Frame::Vanished(0, 0),
    Frame::Vanished(0, 64),
    Frame::Vanished(66, 1),
    Frame::Vanished(300, 0),
    Frame::Masked(1, 2),
    Frame::Masked(34, 33),
];

impl Frame {
    fn sides(self) -> (usize, usize) {
        match self {
            Frame::Vanished(before, after) | Frame::Masked(before, after) => (before, after),
        }
    }

    fn masks(self) -> bool {
        matches!(self, Frame::Masked(..))
    }

    /// Values of the row's classes between values of the frame's.
    fn around<T: Copy>(self, values: &[T], outside: T) -> Vec<T> {
        let (before, after) = self.sides();
        [&vec![outside; before][..], values, &vec![outside; after]].concat()
    }

    /// A label, in or out of range of the row's classes, among the frame's.
    fn label(self, label: i64, classes: usize) -> i64 {
        let (before, after) = self.sides();
        let by = |count: usize| i64::try_from(count).expect("a small count");
        match label {
            ..0 => label,
            _ if label < by(classes) => label + by(before),
            _ => label + by(before + after),
        }
    }
}

pub(crate) fn edge(logits: &[f64], label: i64) -> Edge {
    let grad = vec![NAN; logits.len()];
    Edge { logits: logits.to_vec(), label, set: Settings::none(), loss: NAN, grad, prediction: -1 }
}

impl Edge {
    /// Options; weights and masks are of this row alone.
    pub(crate) fn under(mut self, set: Settings) -> Self {
        assert_eq!(set.reduction, Reduction::None, "an edge is a row");
        self.set = set;
        self
    }

    /// Loss and gradient. Zeros must be +0, infinities exact; other numbers to the precision of the dtype.
    pub(crate) fn gives(mut self, loss: f64, grad: &[f64]) -> Self {
        assert_eq!(grad.len(), self.logits.len(), "one gradient element per class");
        self.loss = loss;
        self.grad = grad.to_vec();
        self
    }

    /// NaN everywhere.
    pub(crate) fn gives_nan(self) -> Self {
        let grad = vec![NAN; self.logits.len()];
        self.gives(NAN, &grad)
    }

    /// NaN in every class that is kept.
    pub(crate) fn gives_nan_where_kept(self) -> Self {
        let kept = |class: usize| self.set.class_mask.as_ref().is_none_or(|mask| mask[class] != 0);
        let grad: Vec<f64> =
            (0..self.logits.len()).map(|class| if kept(class) { NAN } else { 0.0 }).collect();
        self.gives(NAN, &grad)
    }

    /// Zero everywhere, unread.
    pub(crate) fn gives_zero(self) -> Self {
        let grad = vec![0.0; self.logits.len()];
        self.gives(0.0, &grad)
    }

    /// The arg-max; -1 unless set.
    pub(crate) fn predicts(mut self, class: i32) -> Self {
        self.prediction = class;
        self
    }

    /// In f32 and f64.
    pub(crate) fn holds(&self) {
        self.holds_in::<f32>();
        self.holds_in::<f64>();
    }

    /// In f32, f64, f16 and bf16.
    pub(crate) fn holds_in_every_dtype(&self) {
        self.holds();
        self.holds_in::<f16>();
        self.holds_in::<bf16>();
    }

    pub(crate) fn holds_in<E: Element>(&self) {
        for frame in FRAMES {
            // Smoothing gives every class a share, the vanished ones too.
            if self.set.label_smoothing > 0.0 && !frame.masks() && frame.sides() != (0, 0) {
                continue;
            }
            let (before, after) = frame.sides();
            for site in SITES {
                if site.0 * site.1 * (before + self.logits.len() + after) <= MOST_LOGITS {
                    self.holds_at::<E>(frame, site);
                }
            }
        }
    }

    fn holds_at<E: Element>(&self, frame: Frame, (outer, inner, row): (usize, usize, usize)) {
        let case = self.case(frame, (outer, inner, row)).rounded::<E>();
        let ordinary = self.with_ordinary_row().case(frame, (outer, inner, row)).rounded::<E>();
        for kernel in kernels() {
            let how = How::with(kernel);
            let name =
                format!("{self:?} in {} {frame:?}, row {row} of {outer} x {inner}, {kernel:?}", E::NAME);
            let got = run::<E, E>(&case, how).expect(&name);
            let (losses, grad) = (&got.out.losses, &got.grad);
            if case.rows() < 10 {
                compare(&case, &widened(losses), &widened(grad), Precision::of::<E, E>()).expect(&name);
            }
            let loss = losses[row];
            assert!(is_met::<E, _>(loss, self.loss), "loss {loss:?}: {name}");
            for class in 0..case.shape[1] {
                let (before, _) = frame.sides();
                let own = class.checked_sub(before).and_then(|class| self.grad.get(class));
                let is_nan = self.grad.iter().any(|grad| grad.is_nan()) && !frame.masks();
                let want = own.copied().unwrap_or(if is_nan { NAN } else { 0.0 });
                let got = grad[case.place(row, class)];
                assert!(is_met::<E, _>(got, want), "gradient {got:?} at class {class}, not {want}: {name}");
            }
            let not_finite = usize::from(!losses[row].to_f64().is_finite());
            assert_eq!(got.out.non_finite_count, not_finite, "rows not finite: {name}");

            let other = run::<E, E>(&ordinary, how).expect(&name);
            for neighbour in (0..case.rows()).filter(|other| *other != row) {
                let same = (0..case.shape[1]).map(|class| case.place(neighbour, class));
                let same = same.map(|place| (raw(grad[place]), raw(other.grad[place])));
                assert!(same.into_iter().all(|(a, b)| a == b), "gradient of neighbour {neighbour} of {name}");
                let loss = raw(other.out.losses[neighbour]);
                assert_eq!(raw(losses[neighbour]), loss, "loss of neighbour {neighbour} of {name}");
            }
            let over = run_in_place::<E>(&case, how).expect(&name);
            assert_eq!(bits(&over.grad), bits(grad), "gradient in place: {name}");
            assert_eq!(bits(&over.out.losses), bits(losses), "losses in place: {name}");
            let alone = run_loss::<E>(&case, how).expect(&name);
            assert_eq!(bits(&alone.losses), bits(losses), "losses alone: {name}");

            let full = run::<E, E>(&case, how.with_outputs()).expect(&name);
            assert_eq!(bits(&full.grad), bits(grad), "gradient with outputs: {name}");
            assert_eq!(bits(&full.out.losses), bits(losses), "losses with outputs: {name}");
            // The first of equals is one of the frame's where all are -inf.
            let is_frame = !frame.masks() && self.logits.iter().all(|x| *x == -INF);
            let before = if is_frame { 0 } else { frame.sides().0 };
            let before = i32::try_from(before).expect("a small count");
            let want = if self.prediction < 0 { -1 } else { self.prediction + before };
            assert_eq!(full.out.predictions[row], want, "prediction: {name}");
        }
    }

    /// The same row without what makes it special.
    fn with_ordinary_row(&self) -> Edge {
        let mut other = self.clone();
        other.logits.iter_mut().for_each(|x| *x = 0.25);
        other.label = self.ordinary_label();
        other
    }

    /// A label that is none of the ignored ones, of a class that is kept.
    fn ordinary_label(&self) -> i64 {
        let is_kept = |class: usize| self.set.class_mask.as_ref().is_none_or(|mask| mask[class] != 0);
        (0..self.logits.len())
            .filter(|class| is_kept(*class))
            .filter_map(|class| i64::try_from(class).ok())
            .find(|label| !self.set.ignore.contains(label))
            .expect("an ordinary label")
    }

    /// The row in its frame, among ordinary rows.
    fn case(&self, frame: Frame, (outer, inner, row): (usize, usize, usize)) -> Case {
        let (rows, own) = (outer * inner, self.logits.len());
        let mut set = self.set.clone();
        set.ignore.iter_mut().for_each(|label| *label = frame.label(*label, own));
        set.class_weight = set.class_weight.map(|weights| frame.around(&weights, 3.0));
        let mask = set.class_mask.unwrap_or(vec![1; own]);
        let mask = frame.around(&mask, u8::from(!frame.masks()));
        set.class_mask = mask.contains(&0).then_some(mask);
        if let Some([weight]) = self.set.sample_weight.as_deref() {
            set.sample_weight = Some((0..rows).map(|at| if at == row { *weight } else { 1.0 }).collect());
        }
        if let Upstream::Each(upstream) = &self.set.upstream {
            let at = |other| if other == row { upstream[0] } else { 1.0 };
            set.upstream = Upstream::Each((0..rows).map(at).collect());
        }
        let outside = if frame.masks() { NAN } else { -INF };
        let classes = frame.around(&self.logits, outside).len();
        let label = frame.label(self.ordinary_label(), own);
        let mut case = Case {
            name: String::from("edge"),
            shape: [outer, classes, inner],
            logits: vec![0.0; rows * classes],
            labels: vec![label; rows],
            set,
        };
        case.labels[row] = frame.label(self.label, own);
        for at in 0..rows {
            let neighbour: Vec<f64> = (0..own).map(|class| ((class + at) % 3) as f64 / 4.0).collect();
            let logits = frame.around(if at == row { &self.logits } else { &neighbour }, outside);
            for (class, x) in logits.into_iter().enumerate() {
                let place = case.place(at, class);
                case.logits[place] = x;
            }
        }
        case
    }
}

/// Whether a number of a call with logits `E` is the one wanted: zeros, infinities and NaN to the bit, others within the
/// precision of its type.
fn is_met<E: Element, T: Element>(got: T, want: f64) -> bool {
    let relative = match (E::NAME, T::NAME) {
        ("f64", _) => 33.0 * 2_f64.powi(-53),
        (_, "f16") => 1.01 * 2_f64.powi(-11),
        (_, "bf16") => 1.01 * 2_f64.powi(-8),
        _ => 33.0 * 2_f64.powi(-24),
    };
    if want == 0.0 || !want.is_finite() {
        raw(got) == raw(T::from_f64(want))
    } else {
        (got.to_f64() - want).abs() <= relative * want.abs()
    }
}
