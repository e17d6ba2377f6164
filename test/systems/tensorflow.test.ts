// TensorFlow 2.21.0 on CPU: the sparse op behind the Python wrapper, the losses of tf.compat.v1, and the weighted sigmoid loss. Values in f64; above
// each test the Python that gave them, with x = A and y = [2, 0, 3] unless it says otherwise.
import { presets } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { errorOf, expectClose, f64, useEngine } from "../support.ts";
import { A } from "../vectors.ts";

const engine = useEngine();
const labels = [2, 0, 3];
const losses = [0.369278998448, 1.76475725432, 1.78685029364];
const backprop = [
  [0.154234825284, 0.0344144412661, -0.308767469258, 0.120118202708],
  [-0.828771653618, 0.0382062083502, 0.0231732367557, 0.767392208512],
  [0.0226668835613, 0.455276526705, 0.354569715512, -0.832513125777],
];

describe("tf.nn.sparse_softmax_cross_entropy_with_logits", () => {
  // tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=x)
  test("a loss per row", () => {
    const { loss } = engine.xent.crossEntropy(f64(A), labels, presets.tensorflow);
    expectClose(loss.toArray(), losses);
  });

  // tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=x, labels=y): (loss, backprop)
  test("loss and backprop, the two outputs of the op", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets.tensorflow, grad: true });
    expectClose(loss.toArray(), losses);
    expectClose(grad.toArray(), backprop);
  });

  // tape.gradient(loss, x, output_gradients=[1, -2, 0.5]): row i of backprop times the i-th number
  test("gradient for an upstream gradient per row", () => {
    const { grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets.tensorflow, upstream: [1, -2, 0.5], grad: true });
    expectClose(grad.toArray(), [
      [0.154234825284, 0.0344144412661, -0.308767469258, 0.120118202708],
      [1.65754330724, -0.0764124167003, -0.0463464735115, -1.53478441702],
      [0.0113334417807, 0.227638263352, 0.177284857756, -0.416256562889],
    ]);
  });

  // tf.nn.sparse_softmax_cross_entropy_with_logits(labels=[[0, 1], [1, 0]], logits=tf.reshape(x, (2, 2, 3)))
  test("rank 3: the loss has the labels' shape", () => {
    const maps = { data: Uint8Array.of(0, 1, 1, 0), shape: [2, 2] };
    const { loss, grad } = engine.xent.crossEntropy({ data: f64(A).data, shape: [2, 2, 3] }, maps, { ...presets.tensorflow, grad: true });
    expect([loss.shape, grad.shape]).toEqual([[2, 2], [2, 2, 3]]); // prettier-ignore
    expectClose(loss.toArray(), [[1.74131129666, 0.411867871275], [0.0362695651248, 0.763922567069]]); // prettier-ignore
  });

  // The op on CPU: "Received a label value of 9 which is outside the valid range of [0, 4)."
  test("on CPU a label out of range is an error", () => {
    const error = errorOf(() => engine.xent.crossEntropy(f64(A), [2, 9, -1], presets.tensorflow));
    expect([error.code, error.message]).toEqual(["LABEL_OUT_OF_RANGE", "labels[1] got 9, expected 0..3; 2 such labels of 3"]);
  });

  // tf.function(lambda x: tf.nn.sparse_softmax_cross_entropy_with_logits(labels=[2, 9, -1], logits=x), jit_compile=True)(x)
  test("on GPU and XLA it makes its row NaN", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), [2, 9, -1], { ...presets.tensorflow, invalidLabel: "nan", grad: true });
    expectClose(loss.toArray(), [0.369278998448, Number.NaN, Number.NaN]);
    expectClose(grad.toArray(), [backprop[0] ?? [], Array<number>(4).fill(Number.NaN), Array<number>(4).fill(Number.NaN)]);
  });
});

// tf.compat.v1.losses.sparse_softmax_cross_entropy(y, x, weights=[0, 2, 1], reduction=...), which reduces in f32: 1e-7
describe("tf.compat.v1.losses.sparse_softmax_cross_entropy", () => {
  const weighted = { ...presets.tfV1, sampleWeight: [0, 2, 1] } as const;

  test("SUM_BY_NONZERO_WEIGHTS", () => {
    const { loss, grad, denominator } = engine.xent.crossEntropy(f64(A), labels, { ...weighted, grad: true });
    expectClose(loss, 2.65818238258, 1e-7);
    expect(denominator).toBe(2);
    expectClose(grad.toArray(), [[0, 0, 0, 0], [-0.828771653618, 0.0382062083502, 0.0231732367557, 0.767392208512], [0.0113334417807, 0.227638263352, 0.177284857756, -0.416256562889]]);
  });

  test("SUM, MEAN, SUM_OVER_BATCH_SIZE and NONE", () => {
    expectClose(engine.xent.crossEntropy(f64(A), labels, { ...weighted, reduction: "sum" }).loss, 5.31636476517, 1e-7);
    expectClose(engine.xent.crossEntropy(f64(A), labels, { ...weighted, denominator: "weights" }).loss, 1.77212154865, 1e-7);
    expectClose(engine.xent.crossEntropy(f64(A), labels, { ...weighted, denominator: "all" }).loss, 1.77212154865, 1e-7);
    expectClose(engine.xent.crossEntropy(f64(A), labels, { ...weighted, reduction: "none" }).loss.toArray(), [0, 3.52951455116, 1.78685033321], 1e-7);
  });
});

describe("tf.nn.weighted_cross_entropy_with_logits", () => {
  // tf.nn.weighted_cross_entropy_with_logits(labels=[1, 0, 1, 0.25], logits=[2, 2, -1, 0.5], pos_weight=3)
  test("loss and gradient per element", () => {
    const { loss, grad } = engine.xent.weightedSigmoidCrossEntropy(f64([2, 2, -1, 0.5]), [1, 0, 1, 0.25], { posWeight: 3, reduction: "none", grad: true });
    expectClose(loss.toArray(), [0.380784033129, 2.12692801104, 3.93978506255, 1.08611547627]);
    expectClose(grad.toArray(), [-0.357608766066, 0.880797077978, -2.19317573589, 0.183688996803]);
  });

  const logits = f64([[0.5, -1, 2], [0.25, 3, -2]]); // prettier-ignore
  const targets = [1, 0, 1, 0, 1, 0];

  // tf.nn.weighted_cross_entropy_with_logits(labels=[[1, 0, 1], [0, 1, 0]], logits=[[0.5, -1, 2], [0.25, 3, -2]], pos_weight=[1, 2, 0.5])
  test("pos_weight per class", () => {
    const { loss, grad } = engine.xent.weightedSigmoidCrossEntropy(logits, targets, { posWeight: [1, 2, 0.5], reduction: "none", grad: true });
    expectClose(loss.toArray(), [[0.47407698418, 0.313261687518, 0.0634640055215], [0.825939419879, 0.0971747031475, 0.126928011043]]); // prettier-ignore
    expectClose(grad.toArray(), [[-0.377540668798, 0.26894142137, -0.0596014610111], [0.562176500886, -0.0948517463551, 0.119202922022]]); // prettier-ignore
  });

  // tf.reduce_mean(tf.nn.weighted_cross_entropy_with_logits(..., pos_weight=2))
  test("mean", () => {
    const { loss, grad } = engine.xent.weightedSigmoidCrossEntropy(logits, targets, { posWeight: 2, grad: true });
    expectClose(loss, 0.427552302006);
    expectClose(grad.toArray(), [[-0.125846889599, 0.0448235702283, -0.0397343073407], [0.093696083481, -0.0158086243925, 0.0198671536704]]); // prettier-ignore
  });

  // (labels=[0, 1], logits=[0, 0], pos_weight=3): TensorFlow's gradient is [1, 0], of a formula with |x| and max(-x, 0). The derivative is [1/2, -3/2].
  test("the gradient at a logit of exactly 0 is the derivative", () => {
    const { grad } = engine.xent.weightedSigmoidCrossEntropy(f64([0, 0]), [0, 1], { posWeight: 3, reduction: "sum", grad: true });
    expectClose(grad.toArray(), [0.5, -1.5]);
  });
});
