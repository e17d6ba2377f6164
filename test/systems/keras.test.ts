// Keras 3.15.1: its sparse losses and what it wraps around them. Values in f64 on TensorFlow 2.21.0, JAX 0.10.2 and PyTorch 2.15.0; above each
// group the Python that gave them, with x = A, y = [2, 0, 3] and w = [0.5, 2, 1] unless it says otherwise.
import { presets } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { errorOf, expectClose, f64, useEngine } from "../support.ts";
import { A } from "../vectors.ts";

const engine = useEngine();
const labels = [2, 0, 3];
const sampleWeight = [0.5, 2, 1];

// SparseCategoricalCrossentropy(from_logits=True)(y, x)
test("SparseCategoricalCrossentropy(from_logits=True)", () => {
  const { loss, grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, grad: true });
  expectClose(loss, 1.30696218214);
  expectClose(grad.toArray(), [
    [0.0514116084281, 0.011471480422, -0.102922489753, 0.0400394009027],
    [-0.276257217873, 0.0127354027834, 0.00772441225191, 0.255797402837],
    [0.00755562785377, 0.151758842235, 0.118189905171, -0.277504375259],
  ]);
});

// SparseCategoricalCrossentropy(from_logits=True, reduction=...)(y, x, sample_weight=w)
describe("SparseCategoricalCrossentropy with sample_weight, reduction", () => {
  test("sum_over_batch_size", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, sampleWeight, grad: true });
    expectClose(loss, 1.8336681005);
    expectClose(grad.toArray(), [
      [0.025705804214, 0.00573574021102, -0.0514612448764, 0.0200197004514],
      [-0.552514435745, 0.0254708055668, 0.0154488245038, 0.511594805675],
      [0.00755562785377, 0.151758842235, 0.118189905171, -0.277504375259],
    ]);
  });

  test("mean_with_sample_weight", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, denominator: "weights", sampleWeight, grad: true });
    expectClose(loss, 1.57171551471);
    expectClose(grad.toArray(), [
      [0.0220335464692, 0.0049163487523, -0.0441096384655, 0.017159743244],
      [-0.473583802067, 0.0218321190572, 0.0132418495747, 0.438509833436],
      [0.00647625244609, 0.13007900763, 0.101305633003, -0.237860893079],
    ]);
  });

  test("sum", () => {
    const { loss } = engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, reduction: "sum", sampleWeight });
    expectClose(loss, 5.5010043015);
  });

  test("None", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, reduction: "none", sampleWeight, grad: true });
    expectClose(loss.toArray(), [0.184639499224, 3.52951450864, 1.78685029364]);
    expectClose(grad.toArray(), [
      [0.0771174126421, 0.0172072206331, -0.154383734629, 0.0600591013541],
      [-1.65754330724, 0.0764124167003, 0.0463464735115, 1.53478441702],
      [0.0226668835613, 0.455276526705, 0.354569715512, -0.832513125777],
    ]);
  });
});

// SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1, reduction=...)([2, -1, 3], x, sample_weight=w)
describe("SparseCategoricalCrossentropy(ignore_class=-1) with sample_weight", () => {
  const ignoring = { ...presets.keras, ignoreIndex: -1, sampleWeight } as const;

  test("sum_over_batch_size divides by the rows that are left", () => {
    const { loss, grad, denominator } = engine.xent.crossEntropy(f64(A), [2, -1, 3], { ...ignoring, grad: true });
    expectClose(loss, 0.985744896431);
    expect(denominator).toBe(2);
    expectClose(grad.toArray(), [
      [0.038558706321, 0.00860361031653, -0.0771918673146, 0.030029550677],
      [0, 0, 0, 0],
      [0.0113334417807, 0.227638263352, 0.177284857756, -0.416256562889],
    ]);
  });

  test("mean_with_sample_weight divides by their weights", () => {
    const { loss, denominator } = engine.xent.crossEntropy(f64(A), [2, -1, 3], { ...ignoring, denominator: "weights" });
    expectClose(loss, 1.31432652857);
    expect(denominator).toBe(1.5);
  });

  // ([-1, -1, -1], x)
  test("all rows ignored: 0", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), [-1, -1, -1], { ...ignoring, grad: true });
    expect(loss).toBe(0);
    expectClose(grad.toArray(), Array<number>(12).fill(0));
  });

  test("None has 0 in the ignored row", () => {
    const { loss } = engine.xent.crossEntropy(f64(A), [2, -1, 3], { ...ignoring, reduction: "none" });
    expectClose(loss.toArray(), [0.184639499224, 0, 1.78685029364]);
  });
});

// x = [[0.7, 0.2, 0.1], [0.25, 0.5, 0.5], [0, 1, 0]]; SparseCategoricalCrossentropy(from_logits=False, reduction=None)([0, 2, 1], x)
describe("SparseCategoricalCrossentropy(from_logits=False)", () => {
  const probabilities = f64([[0.7, 0.2, 0.1], [0.25, 0.5, 0.5], [0, 1, 0]]); // prettier-ignore
  const grads = [[-0.428571428571, 1, 1], [0.8, 0.8, -1.2], [0, 0, 0]]; // prettier-ignore
  const probs = { ...presets.keras, input: "probs", grad: true } as const;

  test("on TensorFlow: clipped, then divided by the sum", () => {
    const { loss, grad } = engine.xent.crossEntropy(probabilities, [0, 2, 1], { ...probs, probsNormalize: "after", reduction: "none" });
    expectClose(loss.toArray(), [0.356674943939, 0.916290731874, 2.00000000101e-7], 1e-9);
    expectClose(grad.toArray(), grads, 1e-9);
  });

  test("on JAX and PyTorch: divided by the sum, then clipped", () => {
    const { loss, grad } = engine.xent.crossEntropy(probabilities, [0, 2, 1], { ...probs, probsNormalize: "before", reduction: "none" });
    expectClose(loss.toArray(), [0.356674943939, 0.916290731874, 1.00000004947e-7], 1e-9);
    expectClose(grad.toArray(), grads, 1e-9);
  });

  // (from_logits=False, ignore_class=-1)([0, 2, -1], x, sample_weight=w), the same on every backend
  test("with ignore_class and sample_weight", () => {
    for (const probsNormalize of ["before", "after"] as const) {
      const { loss, grad } = engine.xent.crossEntropy(probabilities, [0, 2, -1], { ...probs, probsNormalize, ignoreIndex: -1, sampleWeight });
      expectClose(loss, 1.00545946786, 1e-9);
      expectClose(grad.toArray(), [[-0.107142857143, 0.25, 0.25], [0.8, 0.8, -1.2], [0, 0, 0]], 1e-9); // prettier-ignore
    }
  });
});

describe("keras.losses.sparse_categorical_crossentropy", () => {
  // sparse_categorical_crossentropy([2, -1, 3], x, from_logits=True, ignore_class=-1)
  test("a loss per row, 0 where ignored", () => {
    const { loss } = engine.xent.crossEntropy(f64(A), [2, -1, 3], { ...presets.keras, reduction: "none", ignoreIndex: -1 });
    expectClose(loss.toArray(), [0.369278998448, 0, 1.78685029364]);
  });

  // sparse_categorical_crossentropy([[0, 1], [1, 0]], reshape(x, (2, 2, 3)), from_logits=True)
  test("of rank 3 in the labels' shape", () => {
    const { loss } = engine.xent.crossEntropy({ data: f64(A).data, shape: [2, 2, 3] }, { data: [0, 1, 1, 0], shape: [2, 2] }, { ...presets.keras, reduction: "none" });
    expect(loss.shape).toEqual([2, 2]);
    expectClose(loss.toArray(), [[1.74131129666, 0.411867871275], [0.0362695651248, 0.763922567069]]); // prettier-ignore
  });
});

// model = Sequential([Input((4,)), Activation("linear")]); model.compile(loss=SparseCategoricalCrossentropy(from_logits=True), optimizer=SGD(0.0))
// model.fit(x, y, batch_size=3, class_weight={0: 1, 1: 0.5, 2: 2, 3: 0.25}).history["loss"], and sample_weight=w in its place
describe("fit", () => {
  const classWeight = { 0: 1, 1: 0.5, 2: 2, 3: 0.25 };

  test("class_weight", () => {
    expectClose(engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, classWeight }).loss, 0.983342608208);
  });

  // tf.reduce_mean(tf.gather([1, 0.5, 2], y) * tf.nn.sparse_softmax_cross_entropy_with_logits(y, x)), y = [[0, 1], [1, 2]], x of shape [2, 2, 3].
  // fit() takes labels of rank 2 for one-hot ones and weighs each row of the map by its arg-max: 0.494171412516
  test("class_weight over a map of labels, each by its own", () => {
    const maps = { data: [0, 1, 1, 2], shape: [2, 2] };
    const { loss } = engine.xent.crossEntropy({ data: f64(A).data, shape: [2, 2, 3] }, maps, { ...presets.keras, classWeight: [1, 0.5, 2] });
    expectClose(loss, 1.37330628725);
  });

  test("sample_weight", () => {
    expectClose(engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, sampleWeight }).loss, 1.8336681005);
  });

  // Keras: "You cannot `class_weight` and `sample_weight` at the same time." Here a row has the product of both.
  test("class_weight and sample_weight at the same time", () => {
    const { loss } = engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, classWeight, sampleWeight });
    const products = [0.5 * 2, 2 * 1, 1 * 0.25];
    expect(loss).toBe(engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, sampleWeight: products }).loss);
  });
});

// CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)(one_hot(y), x): Keras smooths one-hot labels only.
test("CategoricalCrossentropy(label_smoothing=0.1) without its one-hot labels", () => {
  const { loss } = engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, labelSmoothing: 0.1 });
  expectClose(loss, 1.37779551547);
});

// model.compile(loss=CategoricalCrossentropy(from_logits=True, label_smoothing=0.1), ...), as under fit above; model.fit(x, one_hot(y), batch_size=3,
// class_weight={0: 1, 1: 0.5, 2: 2, 3: 0.25}).history["loss"]: a smoothed row has the weight of its label
test("label_smoothing with class_weight weighs the whole row by its label", () => {
  const { loss } = engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, labelSmoothing: 0.1, classWeight: [1, 0.5, 2, 0.25] });
  expectClose(loss, 1.10469677488);
});

// CategoricalFocalCrossentropy(from_logits=True, alpha=1.0, gamma=2.0, reduction=None)(one_hot(y), x)
test("CategoricalFocalCrossentropy(alpha=1, gamma=2) without its one-hot labels", () => {
  const { loss } = engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, focalGamma: 2, reduction: "none" });
  expectClose(loss.toArray(), [0.0352060811494, 1.21214549814, 1.2384268147]);
});

// sparse_categorical_crossentropy([2, 0.7, 3], x, from_logits=True) casts 0.7 to class 0: [0.369278998448, 1.76475725432, 1.78685029364]
test("a label of 0.7 is an error and not class 0", () => {
  const error = errorOf(() => engine.xent.crossEntropy(f64(A), [2, 0.7, 3], presets.keras));
  expect([error.code, error.message]).toEqual(["LABEL_NOT_INTEGER", "labels[1] got 0.7, expected an integer below 2^53"]);
});
