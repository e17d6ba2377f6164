// Where the systems differ among each other, or from what the mathematics says: here it is exact, or an error. Above each test what they give, all of it
// measured: TensorFlow 2.21.0, Keras 3.15.1, PyTorch 2.15.0, optax 0.2.8 on JAX 0.10.2, ONNX Runtime 1.32.0, TensorFlow.js 4.22.0, each on CPU in f32.
import { load, presets, type Tensor } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { errorOf, expectClose, f64, flat, useEngine } from "../support.ts";
import { A } from "../vectors.ts";

const engine = useEngine();
const f32 = (rows: readonly (readonly number[])[]) => ({ data: Float32Array.from(flat(rows)), shape: [rows.length, rows[0]?.length ?? 0] });

// Every system: 0 and 0. The values are of 60-digit arithmetic.
test("a confident row, 50 ahead, has a loss and a gradient", () => {
  for (const logits of [f32([[50, 0, 0, -1]]), f64([[50, 0, 0, -1]])]) {
    const tolerance = logits.data instanceof Float32Array ? 4e-6 : 1e-11;
    const { loss, grad } = engine.xent.crossEntropy(logits, [0], { grad: true });
    expectClose(loss, 4.56704711216e-22, tolerance);
    expectClose(grad.toArray(), [-4.56704711216e-22, 1.92874984796e-22, 1.92874984796e-22, 7.09547416228e-23], tolerance);
  }
});

// TensorFlow, Keras, PyTorch and ONNX Runtime: 0.2413. optax and TensorFlow.js: 0.25
test("a million added to every logit changes nothing", () => {
  const { loss, grad } = engine.xent.crossEntropy(f32([[1000002, 999999, 1000000.5]]), [0], { grad: true });
  expectClose(loss, 0.241311296657, 1e-6);
  expectClose(grad.toArray(), [-0.214402965411, 0.0391125732707, 0.17529039214], 1e-6);
});

// TensorFlow, PyTorch, optax and ONNX Runtime: 1.3133. TensorFlow.js, and Keras on JAX: NaN
test("a class masked with -inf has probability 0, and the loss is finite", () => {
  const { loss, grad } = engine.xent.crossEntropy(f32([[-Infinity, 2, 3]]), [1], { grad: true });
  expectClose(loss, 1.31326168752, 1e-6);
  expectClose(grad.toArray(), [0, -0.73105857863, 0.73105857863], 1e-6);
});

describe("a label that is no class", () => {
  // TensorFlow on CPU, PyTorch: an error. ONNX Runtime: an error for 4, the last class for -1. optax: NaN with a finite gradient for 4, the last class
  // for -1. Keras on JAX, TensorFlow.js: a loss of 0 for both.
  test("is an error, or NaN, or skipped, as the caller says, and never another class", () => {
    const run = (invalidLabel: "throw" | "nan" | "ignore") => engine.xent.crossEntropy(f64(A), [4, -1, 0], { ...presets.tensorflow, invalidLabel, grad: true });
    expect(errorOf(() => run("throw")).code).toBe("LABEL_OUT_OF_RANGE");
    const [nan, ignored] = [run("nan"), run("ignore")];
    expectClose(nan.loss.toArray(), [Number.NaN, Number.NaN, 3.78685029364]);
    expect([...nan.grad.view].map(Number.isNaN)).toEqual([...Array<boolean>(8).fill(true), ...Array<boolean>(4).fill(false)]);
    expectClose(ignored.loss.toArray(), [0, 0, 3.78685029364]);
    expectClose(ignored.grad.view.subarray(0, 8), Array<number>(8).fill(0));
  });

  // TensorFlow, PyTorch and ONNX Runtime: an error. optax, and Keras on JAX, whose integers have 32 bits unless told otherwise: class 0.
  // TensorFlow.js has no 64-bit labels.
  test("at 2^32 is not class 0", () => {
    expect(errorOf(() => engine.xent.crossEntropy(f64(A), BigInt64Array.of(2n ** 32n, 0n, 0n))).message).toBe("labels[0] got 4294967296, expected 0..3; 1 such label of 3");
    expect(engine.xent.crossEntropy(f64(A), BigInt64Array.of(2n ** 32n, 0n, 0n), { ignoreIndex: 2n ** 32n }).validCount).toBe(2);
    expect(engine.xent.crossEntropy(f64(A), BigUint64Array.of(2n ** 64n - 1n, 0n, 0n), { ignoreIndex: 2n ** 64n - 1n }).validCount).toBe(2);
  });
});

// The logits are exact in every type; ONNX Runtime has no bf16, TensorFlow.js f32 only.
test("f16, bf16, f32 and f64 logits give the same loss", () => {
  const { xent } = engine;
  const halves = { 0.5: 0x3800, [-1]: 0xbc00, 2: 0x4000, 0.25: 0x3400, 1.5: 0x3e00, 0: 0, [-0.5]: 0xb800, 3: 0x4200, [-2]: 0xc000, 1: 0x3c00, 0.75: 0x3a00 };
  const f16 = { data: Uint16Array.from(flat(A), (x) => halves[x as keyof typeof halves]), shape: [3, 4], dtype: "f16" };
  const bf16 = { data: Uint16Array.from(flat(A), (x) => (new Uint32Array(Float32Array.of(x).buffer)[0] ?? 0) >>> 16), shape: [3, 4], dtype: "bf16" };
  for (const logits of [f16, bf16, f32(A)]) expectClose(xent.crossEntropy(logits, [2, 0, 3]).loss, 1.30696218214, 1e-6);
  expectClose(xent.crossEntropy(f64(A), [2, 0, 3]).loss, 1.30696218214);
});

// PyTorch and ONNX: axis 1. TensorFlow, TensorFlow.js, and Keras on TensorFlow: the last. optax: any.
test("the class axis may be any, in place and with the same numbers", () => {
  const { xent } = engine;
  /** Rows [2, 2] of 3 classes, these on `axis`. */
  const at = (axis: number): Tensor<"f64"> => {
    const shape = [2, 2];
    shape.splice(axis, 0, 3);
    const logits = xent.tensor("f64", shape);
    const strides = shape.map((_, k) => shape.slice(k + 1).reduce((product, size) => product * size, 1));
    const places = [0, 1, 2].filter((k) => k !== axis);
    for (const [index, x] of flat(A).entries()) {
      const [outer, inner, k] = [Math.floor(index / 6), Math.floor(index / 3) % 2, index % 3];
      logits.view[outer * strides[places[0]!]! + inner * strides[places[1]!]! + k * strides[axis]!] = x;
    }
    return logits;
  };
  for (const axis of [0, 1, 2]) {
    const logits = at(axis);
    const { loss, grad } = xent.crossEntropy(logits, [0, 1, 1, 0], { axis, reduction: "none", grad: logits });
    expectClose(loss.toArray(), [1.74131129666, 0.411867871275, 0.0362695651248, 0.763922567069]);
    expect(grad).toBe(logits);
  }
});

// loss.sum() / tokens, where the tokens of the other machines count too
test("the mean may divide by any number", () => {
  expectClose(engine.xent.crossEntropy(f64(A), [2, 0, 3], { denominator: 12 }).loss, (3 * 1.30696218214) / 12);
});

describe("memory beside the tensors of the caller", () => {
  const [images, side, classes] = [8, 128, 33];
  const rows = images * side * side;

  async function growth(shape: readonly number[], axis: number): Promise<{ readonly before: number; readonly after: number }> {
    const xent = await load({ threads: 1 });
    const logits = xent.tensor("f32", shape);
    const labels = xent.tensor("u8", shape.filter((_, k) => k !== (axis + shape.length) % shape.length));
    const before = xent.info.memoryBytes;
    // Free memory in which a tensor of the logits' size could hide would show nothing.
    expect(before - xent.info.usedBytes).toBeLessThan((rows * classes * 4) / 2);
    xent.crossEntropy(logits, labels, { axis, grad: logits, classWeight: new Float32Array(classes).fill(0.5), labelSmoothing: 0.1 });
    const after = xent.info.memoryBytes;
    await xent.dispose();
    return { before, after };
  }

  // Logits of [8, 128, 128, 33] take 17.3 MB, and so would one-hot labels; the memory grows by 9 bytes a row.
  test("is a few bytes a row: no one-hot tensor, no softmax, the gradient over the logits", async () => {
    const { before, after } = await growth([images, side, side, classes], -1);
    expect(after - before).toBeLessThan(16 * rows);
  });

  test("is the same with the classes on axis 1: no transposing copy", async () => {
    const { before, after } = await growth([images, classes, side, side], 1);
    expect(after - before).toBeLessThan(16 * rows);
  });
});
