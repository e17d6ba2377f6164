//! The literal results of other systems, 12 digits each: (name, case, what is expected).

use crate::support::{Case, How, Settings, Upstream, kernels, run, widened};
use sparse_xent::{Denominator, Element, EmptyMean, Reduction, SmoothingWeights};

/// Results to agree with; what is `None` is not compared.
#[derive(Default)]
struct Expected {
    loss: Option<f64>,
    losses: Option<Vec<f64>>,
    grad: Option<Vec<f64>>,
}

struct Vector {
    case: Case,
    expected: Expected,
}

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;
const A: [f64; 12] = [0.5, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
const A_LABELS: [i64; 3] = [2, 0, 3];
const W: [f64; 4] = [1.0, 0.5, 2.0, 0.25];
const SW: [f64; 3] = [0.5, 2.0, 1.0];

fn vector(name: &str, shape: [usize; 3], logits: &[f64], labels: &[i64], set: Settings) -> Vector {
    Vector { case: Case::new(name, shape, logits, labels, set), expected: Expected::default() }
}

impl Vector {
    fn loss(mut self, loss: f64) -> Self {
        self.expected.loss = Some(loss);
        self
    }

    fn losses(mut self, losses: &[f64]) -> Self {
        self.expected.losses = Some(losses.to_vec());
        self
    }

    fn grad(mut self, grad: &[f64]) -> Self {
        self.expected.grad = Some(grad.to_vec());
        self
    }
}

fn none() -> Settings {
    Settings { reduction: Reduction::None, ..Settings::default() }
}

fn mean(denominator: Denominator) -> Settings {
    Settings { denominator, ..Settings::default() }
}

/// A with its labels.
fn on_a(name: &str, set: Settings) -> Vector {
    vector(name, [3, 4, 1], &A, &A_LABELS, set)
}

fn all() -> Vec<Vector> {
    let mut vectors = plain();
    vectors.extend(pytorch());
    vectors.extend(keras_and_tensorflow());
    vectors.extend(confident());
    vectors.extend(modulated());
    vectors.extend(nothing_to_divide_by());
    vectors
}

fn plain() -> Vec<Vector> {
    let pins = [8.0, 1.0, 1.0, 0.0, 9.0, 1.0, 2.0, 3.0, 5.0];
    let pin = |name, set| vector(name, [3, 3, 1], &pins, &[0, 1, 2], set);
    let weighted = Settings { sample_weight: Some(vec![1.2, 3.4, 5.6]), ..mean(Denominator::Valid) };
    vec![
        vector("V1 TensorFlow op", [2, 4, 1], &[1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 4.0], &[3, 0], none())
            .losses(&[1.38629436112, 3.44018969856])
            .grad(&[0.25, 0.25, 0.25, -0.75, -0.96794139672, 0.087144318742, 0.23688281809, 0.643914259888]),
        pin("V2 Keras, losses", none()).losses(&[0.00182210289293, 0.000458767182231, 0.169846019556]),
        pin("V2 Keras, mean", mean(Denominator::Valid)).loss(0.0573756298771),
        pin("V2 Keras, sample weights", weighted).loss(0.318294680469).grad(&[
            -0.000728177548495, 0.000364088774248, 0.000364088774248, 0.000139800294131, -0.000519816893279,
            0.000380016599148, 0.0784187901169, 0.213164372185, -0.291583162301,
        ]),
    ]
}

fn pytorch() -> Vec<Vector> {
    let smooth = |set| Settings { label_smoothing: 0.1, ..set };
    let ignoring = Settings { ignore: vec![-100], class_weight: Some(W.to_vec()), ..Settings::default() };
    let ignored = |name, set| vector(name, [3, 4, 1], &A, &[2, -100, 3], smooth(set));
    let three_d = Settings { class_weight: Some(vec![1.0, 2.0, 0.5]), ..smooth(Settings::default()) };
    let on_three_d = |name, set| vector(name, [1, 3, 2], &[1.0, 0.0, 2.0, -1.0, 0.5, 3.0], &[1, 0], set);
    let four_d = Settings {
        label_smoothing: 0.2,
        ignore: vec![255],
        class_weight: Some(vec![0.25, 2.0]),
        ..Settings::default()
    };
    let images = [1.0, -1.0, 0.0, 2.0, 0.5, 0.5, -2.0, 1.0];
    vec![
        on_a("V3 PyTorch, class weights", Settings { class_weight: Some(W.to_vec()), ..Settings::default() })
            .loss(0.907700869116)
            .grad(&[
                0.0949137386364, 0.0211781177022, -0.190010750313, 0.0739188939743, -0.255006662652,
                0.0117557564154, 0.00713022669407, 0.236120679542, 0.00174360642779, 0.035021271285,
                0.0272745935009, -0.0640394712136,
            ]),
        ignored(
            "V4 PyTorch, ignore and smoothing, losses",
            Settings {
                reduction: Reduction::None,
                upstream: Upstream::Each(vec![1.0, 1.0, -2.0]),
                ..ignoring.clone()
            },
        )
        .losses(&[0.785259603311, 0.0, 0.569558531097])
        .grad(&[
            0.267082200382, 0.0526723481477, -0.540978394908, 0.221223846379, 0.0, 0.0, 0.0, 0.0,
            0.0355498617297, -0.265238785774, -0.126038193639, 0.355727117683,
        ]),
        ignored("V4 PyTorch, ignore and smoothing, mean", ignoring).loss(0.60214139307).grad(&[
            0.11870320017, 0.0234099325101, -0.240434842181, 0.0983217095016, 0.0, 0.0, 0.0, 0.0,
            -0.00789996927326, 0.0589419523943, 0.0280084874752, -0.0790504705962,
        ]),
        on_three_d("V5 PyTorch 3-D, sum", Settings { reduction: Reduction::Sum, ..three_d.clone() })
            .loss(4.08202213836)
            .grad(&[
                0.409845803776, -0.885943833712, -0.661980871511, -0.0492330440287, 0.252135067735,
                0.935176877741,
            ]),
        on_three_d("V5 PyTorch 3-D, mean", Settings { ignore: vec![0], ..three_d })
            .loss(0.474186751437)
            .grad(&[0.204922901888, 0.0, -0.330990435755, 0.0, 0.126067533868, 0.0]),
        vector("V6 PyTorch 4-D", [1, 2, 4], &images, &[0, 1, 255, 1], four_d).loss(0.724297536545).grad(&[
            0.0093047566496, 0.0724533131639, 0.0, 0.308042801412, -0.0093047566496, -0.0724533131639, 0.0,
            -0.308042801412,
        ]),
    ]
}

fn keras_and_tensorflow() -> Vec<Vector> {
    let ignoring =
        |denominator| Settings { ignore: vec![-1], sample_weight: Some(SW.to_vec()), ..mean(denominator) };
    let keras = |name, set| vector(name, [3, 4, 1], &A, &[2, -1, 3], set);
    let by_valid = [
        0.038558706321, 0.00860361031653, -0.0771918673146, 0.030029550677, 0.0, 0.0, 0.0, 0.0,
        0.0113334417807, 0.227638263352, 0.177284857756, -0.416256562889,
    ];
    let v1 = Settings { sample_weight: Some(vec![0.0, 2.0, 1.0]), ..mean(Denominator::NonZero) };
    vec![
        keras("V7 Keras, mean over valid rows", ignoring(Denominator::Valid))
            .loss(0.985744896431)
            .grad(&by_valid),
        keras("V7 Keras, mean over weights", ignoring(Denominator::Weights))
            .loss(1.31432652857)
            .grad(&by_valid.map(|grad| grad * 4.0 / 3.0)),
        on_a("V8 tf.compat.v1", v1).loss(2.65818240114).grad(&[
            0.0, 0.0, 0.0, 0.0, -0.828771653618, 0.0382062083502, 0.0231732367557, 0.767392208512,
            0.0113334417807, 0.227638263352, 0.177284857756, -0.416256562889,
        ]),
        vector("V11 TensorFlow, -inf", [2, 3, 1], &[-INF, 2.0, 3.0, -INF, 2.0, 3.0], &[1, 0], none())
            .losses(&[1.31326168752, INF])
            .grad(&[0.0, -0.73105857863, 0.73105857863, -1.0, 0.26894142137, 0.73105857863]),
    ]
}

fn confident() -> Vec<Vector> {
    let row = |name, top| vector(name, [1, 4, 1], &[top, 0.0, 0.0, -1.0], &[0], none());
    let mut vectors = vec![
        row("V9 margin 20", 20.0)
            .losses(&[4.88056327576e-9])
            .grad(&[-4.88056326385e-9, 2.06115361238e-9, 2.06115361238e-9, 7.5825603909e-10]),
        row("V9 margin 50", 50.0)
            .losses(&[4.56704711216e-22])
            .grad(&[-4.56704711216e-22, 1.92874984796e-22, 1.92874984796e-22, 7.09547416228e-23]),
        row("V9 margin 90", 90.0)
            .losses(&[1.9402434033e-39])
            .grad(&[-1.9402434033e-39, 8.19401262399e-40, 8.19401262399e-40, 3.01440878507e-40]),
    ];
    for offset in [0.0, 1e2, 1e4, 1e6] {
        let logits = [2.0, -1.0, 0.5].map(|x| x + offset);
        vectors.push(
            vector(&format!("V10 offset {offset}"), [1, 3, 1], &logits, &[0], none())
                .losses(&[0.241311296657])
                .grad(&[-0.214402965411, 0.0391125732707, 0.17529039214]),
        );
    }
    // In f32 numbers near 1e8 are 8 apart: the three logits are the same number.
    let logits = [2.0, -1.0, 0.5].map(|x| x + 1e8);
    let mut equal = vector("V10 offset 1e8", [1, 3, 1], &logits, &[0], none());
    equal.case = equal.case.rounded::<f32>();
    assert_eq!(equal.case.logits, [1e8; 3], "what f32 makes of them");
    vectors.push(equal.losses(&[1.0986122886681098]).grad(&[-2.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]));
    vectors
}

fn modulated() -> Vec<Vector> {
    let everything = |smoothing_weights| Settings {
        class_weight: Some(W.to_vec()),
        sample_weight: Some(SW.to_vec()),
        label_smoothing: 0.1,
        smoothing_weights,
        z_loss: 0.01,
        focal_gamma: 2.0,
        poly1_epsilon: 1.0,
        logit_scale: 0.5,
        ..Settings::default()
    };
    vec![
        on_a("V12 Keras focal", Settings { focal_gamma: 2.0, ..none() })
            .losses(&[0.0352060811494, 1.21214549814, 1.2384268147])
            .grad(&[
                0.0390164554442, 0.00870574795168, -0.0781082494484, 0.0303860460526, -0.984359470118,
                0.0453787757371, 0.0275236187848, 0.911457075596, 0.027004806495, 0.542406037958,
                0.422426247105, -0.991837091558,
            ]),
        on_a("V13 optax poly", Settings { poly1_epsilon: 2.0, ..none() })
            .losses(&[0.986813936965, 3.42230056156, 3.45187654519])
            .grad(&[
                0.367459082503, 0.081991203927, -0.735627707631, 0.2861774212, -1.11259005317,
                0.0512901801048, 0.0311090667757, 1.03019080629, 0.0302596945134, 0.607782211434,
                0.473341262202, -1.11138316815,
            ]),
        on_a("V14 PyTorch z-loss", Settings { z_loss: 0.01, ..none() })
            .losses(&[0.425413828173, 1.87134365362, 1.81877863336])
            .grad(&[
                0.161543331932, 0.0360451895248, -0.276013014896, 0.125810073408, -0.817591273898,
                0.0407008882676, 0.0246863366118, 0.817499194105, 0.0234769301123, 0.471546746613,
                0.367240975517, -0.82652764637,
            ]),
        on_a("V15 optax where", Settings { class_mask: Some(vec![1, 0, 1, 1]), ..none() })
            .losses(&[0.334258433394, 1.72580204923, 1.17937329211])
            .grad(&[
                0.159731909709, 0.0, -0.284131246072, 0.124399336363, -0.821969794494, 0.0, 0.0240937682868,
                0.797876026207, 0.0416117253479, 0.0, 0.650916901683, -0.692528627031,
            ]),
        on_a("V16 everything, row", everything(SmoothingWeights::Row)).loss(1.04712295402).grad(&[
            0.0331212357854, 0.0136160045579, -0.0701368311719, 0.0287774530004, -0.307307107857,
            0.0471699053933, 0.0350344268198, 0.238183073068, 0.00379888571411, 0.0203732025367,
            0.0178663043868, -0.040886281464,
        ]),
        on_a("V16 everything, class", everything(SmoothingWeights::Class)).loss(1.06189266339).grad(&[
            0.0332166457919, 0.0156372912216, -0.0740060020646, 0.0305299272229, -0.307793071307,
            0.0507865063599, 0.0271633431651, 0.242923519206, 0.00178443747373, 0.0233114826548,
            0.0145771129732, -0.0385209219282,
        ]),
    ]
}

fn nothing_to_divide_by() -> Vec<Vector> {
    let logits = [1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 3.0, 1.0, 2.0];
    let empty = |name, empty_mean| {
        let set = Settings {
            ignore: vec![-100],
            class_weight: Some(vec![1.0, 2.0, 0.0]),
            empty_mean,
            ..Settings::default()
        };
        vector(name, [3, 3, 1], &logits, &[2, 2, -100], set)
    };
    vec![
        empty("V17 PyTorch, weights sum to 0", EmptyMean::Nan)
            .loss(NAN)
            .grad(&[NAN, NAN, NAN, NAN, NAN, NAN, 0.0, 0.0, 0.0]),
        empty("V17 the same as zero", EmptyMean::Zero).loss(0.0).grad(&[0.0; 9]),
    ]
}

/// How far 12 digits of the peer let a result be off: half a unit of the last digit, with room.
const DIGITS: f64 = 1e-11;

fn is_close(got: f64, want: f64, relative: f64, absolute: f64) -> bool {
    got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= relative * want.abs() + absolute
}

fn check(
    name: &str,
    expected: &Expected,
    loss: f64,
    losses: &[f64],
    grad: &[f64],
    relative: f64,
    absolute: f64,
) {
    let all = |what: &str, got: &[f64], want: &[f64]| {
        assert_eq!(got.len(), want.len(), "{name}: number of {what}");
        for (index, (got, want)) in got.iter().zip(want).enumerate() {
            assert!(
                is_close(*got, *want, relative, absolute),
                "{name}: {what}[{index}] {got:e}, expected {want:e}"
            );
        }
    };
    if let Some(want) = expected.loss {
        assert!(is_close(loss, want, relative, absolute), "{name}: loss {loss:e}, expected {want:e}");
    }
    if let Some(want) = &expected.losses {
        all("losses", losses, want);
    }
    if let Some(want) = &expected.grad {
        all("grad", grad, want);
    }
}

#[test]
fn the_definition_has_the_digits_of_its_peers() {
    let vectors = all();
    assert_eq!(vectors.len(), 30, "number of vectors");
    for Vector { case, expected } in &vectors {
        let answer = case.reference().expect("labels are valid");
        check(&case.name, expected, answer.loss, &answer.losses, &answer.grad, DIGITS, 0.0);
    }
}

/// f64 logits: `relative` is the digits; single precision within its own rounding, `absolute` is its licence T.
fn check_operation<E: Element>(relative: f64, absolute: f64) {
    for kernel in kernels() {
        for Vector { case, expected } in &all() {
            let name = format!("{} in {} by {kernel:?}", case.name, E::NAME);
            let got = run::<E, E>(case, How::with(kernel)).expect(&name);
            let (losses, grad) = (widened(&got.out.losses), widened(&got.grad));
            check(&name, expected, got.out.loss, &losses, &grad, relative, absolute);
        }
    }
}

#[test]
fn f64_logits_have_the_digits_of_the_peers() {
    check_operation::<f64>(DIGITS, 0.0);
}

#[test]
fn f32_logits_have_the_digits_that_f32_holds() {
    check_operation::<f32>(4e-6, 1e-36);
}
