// Literal results of other systems for small inputs: one row per case, with the peer that gave the numbers. f64, 12 digits.
import type { CrossEntropyOptions } from "sparse-xent";
import { presets } from "sparse-xent";
import type { Nested } from "./support.ts";

/** One case: what goes in, and what has to come out. */
export interface Vector {
  readonly name: string;
  readonly logits: Nested;
  readonly labels: Nested;
  readonly options: Omit<CrossEntropyOptions, "grad" | "loss">;
  readonly loss: Nested;
  readonly grad: Nested;
}

/** The logits and labels of most cases. */
export const A = [[0.5, -1, 2, 0.25], [1.5, 0, -0.5, 3], [-2, 1, 0.75, 0]]; // prettier-ignore
const labels = [2, 0, 3];
const W = [1, 0.5, 2, 0.25];
const Sw = [0.5, 2, 1];
const ln3 = Math.log(3);
const everything = { classWeight: W, sampleWeight: Sw, labelSmoothing: 0.1, zLoss: 0.01, focalGamma: 2, poly1Epsilon: 1, logitScale: 0.5 };
const offset = { options: { reduction: "none" }, labels: [0], grad: [[-0.214402965411, 0.0391125732707, 0.17529039214]], loss: [0.241311296657] } as const;
const keptGrad = [[0.038558706321, 0.00860361031653, -0.0771918673146, 0.030029550677], [0, 0, 0, 0], [0.0113334417807, 0.227638263352, 0.177284857756, -0.416256562889]]; // prettier-ignore

export const vectors: readonly Vector[] = [
  {
    name: "TensorFlow, the op's own example",
    logits: [[1, 1, 1, 1], [1, 2, 3, 4]],
    labels: [3, 0],
    options: presets.tensorflow,
    loss: [1.38629436112, 3.44018969856],
    grad: [[0.25, 0.25, 0.25, -0.75], [-0.96794139672, 0.087144318742, 0.23688281809, 0.643914259888]],
  },
  {
    name: "Keras, sample weights",
    logits: [[8, 1, 1], [0, 9, 1], [2, 3, 5]],
    labels: [0, 1, 2],
    options: { ...presets.keras, sampleWeight: [1.2, 3.4, 5.6] },
    loss: 0.318294680469,
    grad: [[-0.000728177548495, 0.000364088774248, 0.000364088774248], [0.000139800294131, -0.000519816893279, 0.000380016599148], [0.0784187901169, 0.213164372185, -0.291583162301]],
  },
  {
    name: "PyTorch, class weights",
    logits: A,
    labels,
    options: { ...presets.pytorch, classWeight: W },
    loss: 0.907700869116,
    grad: [[0.0949137386364, 0.0211781177022, -0.190010750313, 0.0739188939743], [-0.255006662652, 0.0117557564154, 0.00713022669407, 0.236120679542], [0.00174360642779, 0.035021271285, 0.0272745935009, -0.0640394712136]],
  },
  {
    name: "PyTorch, ignored row, smoothing, an upstream number per row",
    logits: A,
    labels: [2, -100, 3],
    options: { ...presets.pytorch, classWeight: W, labelSmoothing: 0.1, reduction: "none", upstream: [1, 1, -2] },
    loss: [0.785259603311, 0, 0.569558531097],
    grad: [[0.267082200382, 0.0526723481477, -0.540978394908, 0.221223846379], [0, 0, 0, 0], [0.0355498617297, -0.265238785774, -0.126038193639, 0.355727117683]],
  },
  {
    name: "PyTorch, ignored row, smoothing, mean",
    logits: A,
    labels: [2, -100, 3],
    options: { ...presets.pytorch, classWeight: W, labelSmoothing: 0.1 },
    loss: 0.60214139307,
    grad: [[0.11870320017, 0.0234099325101, -0.240434842181, 0.0983217095016], [0, 0, 0, 0], [-0.00789996927326, 0.0589419523943, 0.0280084874752, -0.0790504705962]],
  },
  {
    name: "PyTorch, three dimensions, sum",
    logits: [[[1, 0], [2, -1], [0.5, 3]]],
    labels: [[1, 0]],
    options: { ...presets.pytorch, classWeight: [1, 2, 0.5], labelSmoothing: 0.1, reduction: "sum" },
    loss: 4.08202213836,
    grad: [[[0.409845803776, -0.885943833712], [-0.661980871511, -0.0492330440287], [0.252135067735, 0.935176877741]]],
  },
  {
    name: "PyTorch, three dimensions, a class ignored",
    logits: [[[1, 0], [2, -1], [0.5, 3]]],
    labels: [[1, 0]],
    options: { ...presets.pytorch, classWeight: [1, 2, 0.5], labelSmoothing: 0.1, ignoreIndex: 0 },
    loss: 0.474186751437,
    grad: [[[0.204922901888, 0], [-0.330990435755, 0], [0.126067533868, 0]]],
  },
  {
    name: "PyTorch, four dimensions, 255 ignored",
    logits: [[[[1, -1], [0, 2]], [[0.5, 0.5], [-2, 1]]]],
    labels: [[[0, 1], [255, 1]]],
    options: { ...presets.pytorch, classWeight: [0.25, 2], labelSmoothing: 0.2, ignoreIndex: 255 },
    loss: 0.724297536545,
    grad: [[[[0.0093047566496, 0.0724533131639], [0, 0.308042801412]], [[-0.0093047566496, -0.0724533131639], [0, -0.308042801412]]]],
  },
  {
    name: "Keras, ignored row, divided by the valid rows",
    logits: A,
    labels: [2, -1, 3],
    options: { ...presets.keras, ignoreIndex: -1, sampleWeight: Sw },
    loss: 0.985744896431,
    grad: keptGrad,
  },
  {
    name: "Keras, mean_with_sample_weight",
    logits: A,
    labels: [2, -1, 3],
    options: { ...presets.keras, ignoreIndex: -1, sampleWeight: Sw, denominator: "weights" },
    loss: 1.31432652857,
    grad: keptGrad.map((row) => row.map((value) => (value * 4) / 3)),
  },
  {
    name: "tf.compat.v1, divided by the rows with a weight",
    logits: A,
    labels,
    options: { ...presets.tfV1, sampleWeight: [0, 2, 1] },
    loss: 2.65818240114,
    grad: [[0, 0, 0, 0], [-0.828771653618, 0.0382062083502, 0.0231732367557, 0.767392208512], [0.0113334417807, 0.227638263352, 0.177284857756, -0.416256562889]],
  },
  {
    name: "confident rows in 60-digit arithmetic, by 20",
    logits: [[20, 0, 0, -1]],
    labels: [0],
    options: { reduction: "none" },
    loss: [4.88056327576e-9],
    grad: [[-4.88056326385e-9, 2.06115361238e-9, 2.06115361238e-9, 7.5825603909e-10]],
  },
  {
    name: "confident rows in 60-digit arithmetic, by 90",
    logits: [[90, 0, 0, -1]],
    labels: [0],
    options: { reduction: "none" },
    loss: [1.9402434033e-39],
    grad: [[-1.9402434033e-39, 8.19401262399e-40, 8.19401262399e-40, 3.01440878507e-40]],
  },
  { name: "no offset", logits: [[2, -1, 0.5]], ...offset },
  { name: "an offset of 10 000", logits: [[10_002, 9_999, 10_000.5]], ...offset },
  { name: "an offset of a million", logits: [[1_000_002, 999_999, 1_000_000.5]], ...offset },
  {
    name: "TensorFlow, -inf beside and at the label",
    logits: [[-Infinity, 2, 3], [-Infinity, 2, 3]],
    labels: [1, 0],
    options: presets.tensorflow,
    loss: [1.31326168752, Infinity],
    grad: [[0, -0.73105857863, 0.73105857863], [-1, 0.26894142137, 0.73105857863]],
  },
  {
    name: "Keras, dense focal",
    logits: A,
    labels,
    options: { focalGamma: 2, reduction: "none" },
    loss: [0.0352060811494, 1.21214549814, 1.2384268147],
    grad: [[0.0390164554442, 0.00870574795168, -0.0781082494484, 0.0303860460526], [-0.984359470118, 0.0453787757371, 0.0275236187848, 0.911457075596], [0.027004806495, 0.542406037958, 0.422426247105, -0.991837091558]],
  },
  {
    name: "optax, poly-1",
    logits: A,
    labels,
    options: { ...presets.optax, poly1Epsilon: 2 },
    loss: [0.986813936965, 3.42230056156, 3.45187654519],
    grad: [[0.367459082503, 0.081991203927, -0.735627707631, 0.2861774212], [-1.11259005317, 0.0512901801048, 0.0311090667757, 1.03019080629], [0.0302596945134, 0.607782211434, 0.473341262202, -1.11138316815]],
  },
  {
    name: "PyTorch with the square of the log-sum-exp",
    logits: A,
    labels,
    options: { zLoss: 0.01, reduction: "none" },
    loss: [0.425413828173, 1.87134365362, 1.81877863336],
    grad: [[0.161543331932, 0.0360451895248, -0.276013014896, 0.125810073408], [-0.817591273898, 0.0407008882676, 0.0246863366118, 0.817499194105], [0.0234769301123, 0.471546746613, 0.367240975517, -0.82652764637]],
  },
  {
    name: "optax, a class masked",
    logits: A,
    labels,
    options: { ...presets.optax, classMask: [1, 0, 1, 1] },
    loss: [0.334258433394, 1.72580204923, 1.17937329211],
    grad: [[0.159731909709, 0, -0.284131246072, 0.124399336363], [-0.821969794494, 0, 0.0240937682868, 0.797876026207], [0.0416117253479, 0, 0.650916901683, -0.692528627031]],
  },
  {
    name: "PyTorch autograd, all terms at once, smoothing by row",
    logits: A,
    labels,
    options: { ...everything, smoothingWeights: "row" },
    loss: 1.04712295402,
    grad: [[0.0331212357854, 0.0136160045579, -0.0701368311719, 0.0287774530004], [-0.307307107857, 0.0471699053933, 0.0350344268198, 0.238183073068], [0.00379888571411, 0.0203732025367, 0.0178663043868, -0.040886281464]],
  },
  {
    name: "PyTorch autograd, all terms at once, smoothing by class",
    logits: A,
    labels,
    options: { ...everything, smoothingWeights: "class" },
    loss: 1.06189266339,
    grad: [[0.0332166457919, 0.0156372912216, -0.0740060020646, 0.0305299272229], [-0.307793071307, 0.0507865063599, 0.0271633431651, 0.242923519206], [0.00178443747373, 0.0233114826548, 0.0145771129732, -0.0385209219282]],
  },
  {
    name: "PyTorch, a mean over no weight is NaN",
    logits: [[1, 2, 3], [0, 0, 0], [3, 1, 2]],
    labels: [2, 2, -100],
    options: { ...presets.pytorch, classWeight: [1, 2, 0] },
    loss: Number.NaN,
    grad: [[Number.NaN, Number.NaN, Number.NaN], [Number.NaN, Number.NaN, Number.NaN], [0, 0, 0]],
  },
  {
    name: "Keras, a mean over no weight is 0",
    logits: [[1, 2, 3], [0, 0, 0], [3, 1, 2]],
    labels: [2, 2, -100],
    options: { ...presets.keras, denominator: "weights", ignoreIndex: -100, classWeight: [1, 2, 0] },
    loss: 0,
    grad: [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
  },
];

/** As f32, where the three logits round to the same number. */
export const rounded: Vector = {
  name: "an offset of 1e8, where f32 logits round to equal",
  logits: [[100_000_002, 99_999_999, 100_000_000.5]],
  labels: [0],
  options: { reduction: "none" },
  loss: [ln3],
  grad: [[-2 / 3, 1 / 3, 1 / 3]],
};
