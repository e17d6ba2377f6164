// TensorFlow.js 4.22.0 on its cpu backend, in f32 (compared to 1e-6): tf.losses.softmaxCrossEntropy(tf.oneHot(y, 4), x, weights, 0, reduction), with
// x = A and y = [2, 0, 3]. It wants one-hot labels; here they stay integers.
import { presets } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { errorOf, expectClose, flat, useEngine } from "../support.ts";
import { A } from "../vectors.ts";

const engine = useEngine();
const logits = { data: Float32Array.from(flat(A)), shape: [3, 4] };
// TensorFlow.js hands integers over as f32.
const labels = Float32Array.of(2, 0, 3);
const weighted = { ...presets.tfjs, sampleWeight: [0, 2, 1] } as const;

describe("tf.losses.softmaxCrossEntropy", () => {
  // weights undefined; tf.grad of it
  test("without weights, loss and gradient", () => {
    const { loss, grad } = engine.xent.crossEntropy(logits, labels, { ...presets.tfjs, grad: true });
    expectClose(loss, 1.3069621324539185, 1e-6);
    expectClose(grad.toArray(), [
      [0.05141161382198334, 0.011471481993794441, -0.1029224619269371, 0.04003940522670746],
      [-0.2762572169303894, 0.012735404074192047, 0.0077244131825864315, 0.25579744577407837],
      [0.007555627264082432, 0.1517588496208191, 0.11818990111351013, -0.2775043845176697],
    ], 1e-6); // prettier-ignore
  });

  // weights [0, 2, 1], tf.Reduction.SUM_BY_NONZERO_WEIGHTS (the default)
  test("SUM_BY_NONZERO_WEIGHTS", () => {
    expectClose(engine.xent.crossEntropy(logits, labels, weighted).loss, 2.658182382583618, 1e-6);
  });

  // weights [0, 2, 1], tf.Reduction.SUM, MEAN and NONE
  test("SUM, MEAN and NONE", () => {
    expectClose(engine.xent.crossEntropy(logits, labels, { ...weighted, reduction: "sum" }).loss, 5.316364765167236, 1e-6);
    expectClose(engine.xent.crossEntropy(logits, labels, { ...weighted, denominator: "weights" }).loss, 1.772121548652649, 1e-6);
    expectClose(engine.xent.crossEntropy(logits, labels, { ...weighted, reduction: "none" }).loss.toArray(), [0, 3.5295143127441406, 1.7868503332138062], 1e-6);
  });

  // weights [0, 0, 0]
  test("all weights 0: NaN", () => {
    expect(engine.xent.crossEntropy(logits, labels, { ...presets.tfjs, sampleWeight: [0, 0, 0] }).loss).toBeNaN();
  });

  // labelSmoothing 0.1, tf.Reduction.NONE
  test("labelSmoothing", () => {
    const { loss, grad } = engine.xent.crossEntropy(logits, labels, { ...presets.tfjs, reduction: "none", labelSmoothing: 0.1, grad: true });
    expectClose(loss.toArray(), [0.5255289077758789, 1.8147571086883545, 1.7931002378463745], 1e-6);
    expectClose(grad.toArray().subarray(0, 4), [0.12923483550548553, 0.009414443746209145, -0.2337673306465149, 0.0951182171702385], 1e-6);
  });

  // y = [4, -1, 3]: tf.oneHot gives rows of zeros, losses [0, 0, 1.7868503332138062] and the softmax as gradient
  test("a label out of range is an error and not a loss of 0", () => {
    expect(errorOf(() => engine.xent.crossEntropy(logits, Float32Array.of(4, -1, 3), presets.tfjs)).code).toBe("LABEL_OUT_OF_RANGE");
  });

  // x = [[2 + 1e6, -1 + 1e6, 0.5 + 1e6]], y = [0]: loss 0.25
  test("logits of a million keep their differences", () => {
    const far = { data: Float32Array.of(1000002, 999999, 1000000.5), shape: [1, 3] };
    expectClose(engine.xent.crossEntropy(far, [0], presets.tfjs).loss, 0.241311296657, 1e-6);
  });
});
