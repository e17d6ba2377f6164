// The ONNX operators, opset 13, by ONNX Runtime 1.32.0 on CPU, in f32 (nine digits, compared to 1e-6). Above each test the attributes of the node;
// x = A, W = [1, 0.5, 2, 0.25]. ONNX Runtime gives no gradient of them; here it is one more option.
import { presets } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { errorOf, expectClose, f64, flat, useEngine } from "../support.ts";
import { A } from "../vectors.ts";

const engine = useEngine();
const W = [1, 0.5, 2, 0.25];
/** As onnxruntime hands tensors over: `{ data, dims, type }`. */
const f32 = (data: readonly number[], dims: readonly number[]) => ({ data: Float32Array.from(data), dims, type: "float32" });
const int64 = (data: readonly number[], dims: readonly number[]) => ({ data: BigInt64Array.from(data, BigInt), dims, type: "int64" });
const scores = f32(flat(A), [3, 4]);

describe("SoftmaxCrossEntropyLoss", () => {
  // reduction="mean" (the default)
  test("mean, with the gradient", () => {
    const { loss, grad } = engine.xent.crossEntropy(scores, int64([2, 0, 3], [3]), { ...presets.onnx, grad: true });
    expectClose(loss, 1.3069621, 1e-6);
    expect([grad.dtype, grad.shape]).toEqual(["f32", [3, 4]]);
  });

  // reduction="none"
  test("none", () => {
    const { loss } = engine.xent.crossEntropy(scores, int64([2, 0, 3], [3]), { ...presets.onnx, reduction: "none" });
    expectClose(loss.toArray(), [0.36927906, 1.7647573, 1.7868503], 1e-6);
  });

  // reduction="sum", with weights W
  test("sum with weights", () => {
    const { loss } = engine.xent.crossEntropy(scores, int64([2, 0, 3], [3]), { ...presets.onnx, reduction: "sum", classWeight: Float32Array.from(W) });
    expectClose(loss, 2.950028, 1e-6);
  });

  // ignore_index=-1, labels [2, -1, 3], weights W
  test("ignore_index and weights: the mean divides by the weights that are left", () => {
    const { loss, weightSum } = engine.xent.crossEntropy(scores, int64([2, -1, 3], [3]), { ...presets.onnx, ignoreIndex: -1, classWeight: W });
    expectClose(loss, 0.526787, 1e-6);
    expect(weightSum).toBe(2.25);
  });

  // ignore_index=255, scores [1, 2, 2, 2], labels [[[0, 1], [255, 1]]], weights [0.25, 2]
  test("an image, classes on axis 1", () => {
    const image = f32([1, -1, 0, 2, 0.5, 0.5, -2, 1], [1, 2, 2, 2]);
    const { loss } = engine.xent.crossEntropy(image, int64([0, 1, 255, 1], [1, 2, 2]), { ...presets.onnx, ignoreIndex: 255, classWeight: [0.25, 2] });
    expectClose(loss, 0.7406751, 1e-6);
  });

  // the second output, log_prob, at the labels
  test("log_prob at the labels", () => {
    const { targetLogProb } = engine.xent.crossEntropy(scores, int64([2, 0, 3], [3]), { ...presets.onnx, outputs: ["targetLogProb"] });
    expectClose(targetLogProb.toArray(), [-0.36927906, -1.7647573, -1.7868503], 1e-6);
  });

  // ignore_index=-1, labels [-1, -1, -1]
  test("all labels ignored: NaN", () => {
    expect(engine.xent.crossEntropy(scores, int64([-1, -1, -1], [3]), { ...presets.onnx, ignoreIndex: -1 }).loss).toBeNaN();
  });

  // ONNX Runtime, labels [-1, 0, 1] without ignore_index: the loss of the last class, [2.1192791, 1.7647573, 0.78685033]
  test("a label of -1 is an error and not the last class", () => {
    const error = errorOf(() => engine.xent.crossEntropy(scores, int64([-1, 0, 1], [3]), presets.onnx));
    expect(error.message).toBe("labels[0] got -1, expected 0..3; 1 such label of 3; set ignoreIndex: -1 to skip them");
  });
});

describe("NegativeLogLikelihoodLoss", () => {
  // ignore_index=-1, x = log softmax of A, labels [2, -1, 3], weights W
  test("of log-probabilities, with ignore_index and weights", () => {
    const logProbs = f32([-1.869278998, -3.369278998, -0.369278998, -2.119278998, -1.764757254, -3.264757254, -3.764757254, -0.264757254, -3.786850294, -0.786850294, -1.036850294, -1.786850294], [3, 4]); // prettier-ignore
    const { loss } = engine.xent.crossEntropy(logProbs, int64([2, -1, 3], [3]), { ...presets.onnx, input: "logProbs", ignoreIndex: -1, classWeight: W });
    expectClose(loss, 0.5267869, 1e-6);
  });

  // x = [[[-1, -0.5], [-2, -1], [-0.5, -3]]], labels [[1, 0]]
  test("of rank 3", () => {
    const { loss } = engine.xent.crossEntropy(f64([[[-1, -0.5], [-2, -1], [-0.5, -3]]]), int64([1, 0], [1, 2]), { ...presets.onnx, input: "logProbs" }); // prettier-ignore
    expectClose(loss, 1.25);
  });
});
