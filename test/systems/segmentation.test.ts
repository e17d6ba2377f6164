// The loss of a segmentation network with 33 classes: logits [8, 6, 5, 33], a byte for the class of each pixel, and weights. It is often written with
// one-hot labels and a weight matrix; the values here are what TensorFlow 2.21.0 gives for that, in f64, and above each test is its Python, with
//     hot = tf.one_hot(y, 33), ce = tf.nn.softmax_cross_entropy_with_logits(hot, x), v and w the weights of classes and pixels,
//     keep = 0 where void and 1 elsewhere, p = tf.nn.log_softmax(x)
// No test has a one-hot tensor. Gradients are compared at four logits of one pixel and by the sum of the magnitudes of all 7920.
import type { Tensor } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { expectClose, useEngine } from "../support.ts";

const engine = useEngine();
const [images, height, width, classes] = [8, 6, 5, 33];
const pixels = images * height * width;
const from = <T>(length: number, each: (index: number) => T): T[] => Array.from({ length }, (_, index) => each(index));

const logits = { data: Float64Array.from(from(pixels * classes, (i) => ((i * i * 7 + i * 13) % 97) / 16 - 3)), shape: [images, height, width, classes] };
const map = (label: (pixel: number) => number) => ({ data: Uint8Array.from(from(pixels, label)), shape: [images, height, width] });
const classOf = (pixel: number): number => (pixel * pixel + 3 * pixel) % classes;
const VOID = 255;

const labels = map(classOf);
const withVoid = map((pixel) => (pixel % 7 === 0 ? VOID : classOf(pixel)));
const classWeight = from(classes, (k) => 0.25 + (k % 8) / 8);
const sampleWeight = { data: Float32Array.from(from(pixels, (pixel) => (pixel % 5) / 2)), shape: [images, height, width] };

/** Four logits of pixel 8, and the sum of all magnitudes. */
function expectGrad(grad: Tensor<"f64">, pixel8: readonly number[], sum: number): void {
  expectClose(grad.view.subarray(8 * classes, 8 * classes + 4), pixel8);
  const magnitudes = grad.view.reduce((total, value) => total + Math.abs(value), 0);
  expectClose(magnitudes, sum);
}

// tf.reduce_mean(tf.linalg.matvec(hot, v) * ce); the same from tf.reduce_mean(-tf.reduce_sum(v * hot * p, -1))
test("a weight per class, the mean over all pixels", () => {
  const { loss, grad } = engine.xent.crossEntropy(logits, labels, { classWeight, denominator: "all", grad: true });
  expectClose(loss, 3.88125143237);
  expectGrad(grad, [0.000710809615513, 1.07930739116e-5, 0.000168832082097, 1.47523829242e-5], 1.56782264674);
});

// tf.reduce_mean(w * ce)
test("a weight per pixel, the mean over all pixels", () => {
  const { loss, grad } = engine.xent.crossEntropy(logits, labels, { sampleWeight, denominator: "all", grad: true });
  expectClose(loss, 4.98916341636);
  expectGrad(grad, [0.00106621442327, 1.61896108673e-5, 0.000253248123146, 2.21285743863e-5], 1.9485989299);
});

// tf.reduce_sum(keep * ce) / tf.reduce_sum(keep)
test("an ignored void class, the mean over the other pixels", () => {
  const { loss, grad, validCount } = engine.xent.crossEntropy(logits, withVoid, { ignoreIndex: VOID, denominator: "valid", grad: true });
  expectClose(loss, 4.8891638123);
  expectGrad(grad, [0.000832167354746, 1.26357938477e-5, 0.000197657071724, 1.72710824479e-5], 1.94410382532);
  expect(validCount).toBe(pixels - 35);
});

// both = keep * w * tf.linalg.matvec(hot, v); tf.reduce_sum(both * ce) / tf.reduce_sum(both)
test("weights per class and per pixel and a void class, the mean over the weights", () => {
  const { loss, grad, weightSum } = engine.xent.crossEntropy(logits, withVoid, { ignoreIndex: VOID, classWeight, sampleWeight, grad: true });
  expectClose(loss, 4.87928577176);
  expectGrad(grad, [0.00155557119504, 2.36201009615e-5, 0.000369480544408, 3.22848501685e-5], 1.94337522938);
  expect(weightSum).toBe(164.5);
});

describe("a matrix of costs M[true, predicted] as detached weights", () => {
  const costs = from(classes * classes, (at) => ((Math.floor(at / classes) * 5 + (at % classes) * 3) % 11) / 4);

  /** Two calls: what is predicted, then the loss with the cost of each pixel's confusion as its weight. */
  function costOf(maps: typeof labels): Float32Array {
    const { predictions } = engine.xent.crossEntropy(logits, maps, { ignoreIndex: VOID, outputs: ["predictions"] });
    const weights = Float32Array.from(maps.data, (label, pixel) => (label === VOID ? 0 : costs[label * classes + predictions.view[pixel]!]!));
    predictions.dispose();
    return weights;
  }

  // c = tf.stop_gradient(tf.einsum("bhwi,ij,bhwj->bhw", hot, M, tf.one_hot(tf.argmax(x, -1), 33))); tf.reduce_mean(c * ce)
  test("the mean over all pixels", () => {
    const { loss, grad } = engine.xent.crossEntropy(logits, labels, { sampleWeight: costOf(labels), denominator: "all", grad: true });
    expectClose(loss, 6.53016470854);
    expectGrad(grad, [0, 0, 0, 0], 2.56402227672); // the cost of pixel 8 is 0
  });

  // tf.reduce_sum(keep * tf.linalg.matvec(hot, v) * c * ce) / tf.reduce_sum(keep)
  test("with a weight per class and a void class", () => {
    const options = { ignoreIndex: VOID, classWeight, sampleWeight: costOf(withVoid), denominator: "valid", grad: true } as const;
    const { loss, grad } = engine.xent.crossEntropy(logits, withVoid, options);
    expectClose(loss, 5.11327376456);
    expectGrad(grad, [0, 0, 0, 0], 2.05908466884);
  });
});

// H = 0.75 on the diagonal, 0.125 beside it; tf.reduce_mean(-tf.reduce_sum(tf.einsum("bhwi,ij->bhwj", hot, H) * p, -1))
test("a matrix H[true, class] over the log-probabilities", () => {
  const beside = (at: number): number => Math.abs(Math.floor(at / classes) - (at % classes));
  const labelMatrix = from(classes * classes, (at) => [0.75, 0.125][beside(at)] ?? 0);
  const { loss, grad } = engine.xent.crossEntropy(logits, labels, { labelMatrix, denominator: "all", grad: true });
  expectClose(loss, 4.83855721719);
  expectGrad(grad, [0.000710809615513, 1.07930739116e-5, 0.000168832082097, 1.47523829242e-5], 1.82368271668);
});
