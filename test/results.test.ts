// Whose memory results are: made by a call and disposed of with it, or written to what the caller has given, step after step.
import { load, Tensor, type CrossEntropyOptions, type Float16ArrayLike, type FloatTarget } from "sparse-xent";
import { describe, expect, expectTypeOf, test } from "vitest";
import { errorOf, f64, here, rejectionOf, useEngine } from "./support.ts";
import { A } from "./vectors.ts";

const engine = useEngine();
const labels = [2, 0, 3];
const all = { grad: true, reduction: "none", outputs: ["logSumExp", "targetLogProb", "predictions", "perClass"] } as const;

describe("a result that is disposed of", () => {
  test("gives back what the call made, once", () => {
    const { xent } = engine;
    const used = xent.info.usedBytes;
    const result = xent.crossEntropy(f64(A), labels, all);
    expect(xent.info.usedBytes).toBeGreaterThan(used);
    result.dispose();
    expect(xent.info.usedBytes).toBe(used);
    for (const tensor of [result.loss, result.grad, result.logSumExp, result.targetLogProb, result.predictions]) expect(tensor.isDisposed).toBe(true);
    expect(result.perClass.count).toEqual(Float64Array.of(1, 0, 1, 1));
    result.dispose();
    expect(xent.info.usedBytes).toBe(used);
  });

  test("keeps what the caller gave", () => {
    const { xent } = engine;
    const logits = xent.tensor("f64", [3, 4], A);
    const [grad, loss, predictions] = [xent.tensor("f64", [3, 4]), xent.tensor("f64", [3, 1]), xent.tensor("i32", [3])];
    const used = xent.info.usedBytes;
    const result = xent.crossEntropy(logits, labels, { reduction: "none", grad, loss, outputs: { predictions, logSumExp: true } });
    expect([result.grad, result.loss, result.predictions]).toEqual([grad, loss, predictions]);
    result.dispose();
    expect([grad, loss, predictions, logits].map((tensor) => tensor.isDisposed)).toEqual([false, false, false, false]);
    expect(xent.info.usedBytes).toBe(used);
    for (const tensor of [logits, grad, loss, predictions]) tensor.dispose();
  });

  test("ends with its using block, also of an asynchronous call and of the sigmoid's", async () => {
    const { xent } = engine;
    const used = xent.info.usedBytes;
    {
      using result = xent.crossEntropy(f64(A), labels, all);
      expect(result.grad.view).toHaveLength(12);
    }
    {
      using result = await xent.crossEntropyAsync(f64(A), labels, all);
      expect(result.predictions.view).toHaveLength(3);
    }
    {
      using result = xent.weightedSigmoidCrossEntropy(f64(A), new Float32Array(12), { grad: true, reduction: "none" });
      expect(result.loss.view).toHaveLength(12);
    }
    expect(xent.info.usedBytes).toBe(used);
  });

  test("a thousand steps need the memory of one", async () => {
    const xent = await load({ threads: 1, maximumPages: 128 });
    const logits = xent.tensor("f32", [100, 1000]);
    for (let step = 0; step < 1000; step += 1) {
      using result = xent.crossEntropy(logits, new Uint8Array(100), all);
      expect(result.grad.byteLength).toBe(400_000);
    }
    await xent.dispose();
  });
});

describe("results are written to what the caller has given", () => {
  const expected = (): { loss: Float64Array; grad: Float64Array; logSumExp: Float64Array; targetLogProb: Float64Array; predictions: Int32Array } => {
    using made = engine.xent.crossEntropy(f64(A), labels, all);
    return {
      loss: made.loss.toArray(),
      grad: made.grad.toArray(),
      logSumExp: made.logSumExp.toArray(),
      targetLogProb: made.targetLogProb.toArray(),
      predictions: made.predictions.toArray(),
    };
  };
  const arrays = () => ({ loss: new Float64Array(3), grad: new Float64Array(12), logSumExp: new Float64Array(3), targetLogProb: new Float64Array(3), predictions: new Int32Array(3) });
  const options = ({ loss, grad, ...outputs }: ReturnType<typeof arrays>) => ({ reduction: "none", loss, grad, outputs }) as const;

  test("typed arrays, reused from step to step: the same bits, the same objects, no memory kept", async () => {
    const { xent } = engine;
    const used = xent.info.usedBytes;
    const given = arrays();
    for (let step = 0; step < 3; step += 1) {
      for (const array of Object.values(given)) array.fill(9);
      const result = step < 2 ? xent.crossEntropy(f64(A), labels, options(given)) : await xent.crossEntropyAsync(f64(A), labels, options(given));
      expect(result.grad).toBe(given.grad);
      expect(result.loss).toBe(given.loss);
      expect(result.predictions).toBe(given.predictions);
      expect(result.correctCount).toBe(1);
      expect(given).toEqual(expected());
      expect(xent.info.usedBytes).toBe(used);
    }
  });

  test("logits that lie in the engine, and parts of larger arrays", () => {
    const { xent } = engine;
    const logits = xent.tensor("f64", [3, 4], A);
    const larger = new Float64Array(20).fill(7);
    const grad = larger.subarray(5, 17);
    const loss = larger.subarray(0, 3);
    xent.crossEntropy(logits, labels, { reduction: "none", grad, loss });
    expect([...larger]).toEqual([...expected().loss, 7, 7, ...expected().grad, 7, 7, 7]);
    logits.dispose();
  });

  test("the logits' own array is their gradient afterwards", () => {
    const array = Float64Array.from(A.flat());
    const { grad } = engine.xent.crossEntropy(array, labels, { shape: [3, 4], reduction: "none", grad: array });
    expect(grad).toBe(array);
    expect(array).toEqual(expected().grad);
  });

  test("accumulate adds to an array", () => {
    const grad = new Float64Array(12).fill(1);
    engine.xent.crossEntropy(f64(A), [2, -1, 3], { reduction: "none", grad, accumulate: true, ignoreIndex: -1 });
    expect([...grad].map((value, index) => value - (expected().grad[index] ?? 0))).toEqual([1, 1, 1, 1, ...[4, 5, 6, 7].map((index) => 1 - (expected().grad[index] ?? 0)), 1, 1, 1, 1].map((value) => expect.closeTo(value, 12) as unknown as number));
  });

  test("16 bits: an array of bits, or f32 under them", () => {
    const { xent } = engine;
    const logits = xent.tensor("bf16", [3, 4], A);
    using made = xent.crossEntropy(logits, labels, { grad: true });
    const bits = new Uint16Array(12);
    xent.crossEntropy(logits, labels, { grad: bits });
    expect(bits).toEqual(made.grad.toArray());
    const wide = new Float32Array(12);
    const target = xent.tensor("f32", [3, 4]);
    xent.crossEntropy(logits, labels, { grad: wide });
    xent.crossEntropy(logits, labels, { grad: target });
    expect(wide).toEqual(target.toArray());
    const array = xent.tensor("bf16", [3, 4], A).toArray();
    xent.crossEntropy({ data: array, shape: [3, 4], dtype: "bf16" }, labels, { grad: wide.fill(0) });
    expect(wide).toEqual(target.toArray());
  });

  test("types follow what was given", () => {
    const { xent } = engine;
    const given = arrays();
    const result = xent.crossEntropy(f64(A), labels, { reduction: "none", loss: given.loss, grad: given.grad, outputs: { predictions: given.predictions, logSumExp: true, perClass: false } });
    expectTypeOf(result.loss).toEqualTypeOf<Float64Array<ArrayBuffer>>();
    expectTypeOf(result.grad).toEqualTypeOf<Float64Array<ArrayBuffer>>();
    expectTypeOf(result.predictions).toEqualTypeOf<Int32Array<ArrayBuffer>>();
    expectTypeOf(result.logSumExp).toEqualTypeOf<Tensor<"f64">>();
    expectTypeOf(result.correctCount).toEqualTypeOf<number>();
    expect("perClass" in result).toBe(false);
    result.dispose();
    const wrong = xent.tensor("i32", [3, 4]);
    // @ts-expect-error a gradient is no tensor of integers
    expect(errorOf(() => xent.crossEntropy(f64(A), labels, { grad: wrong })).code).toBe("DTYPE");
    // @ts-expect-error the key is named: "reductoin is not an option of this call"
    expect(errorOf(() => xent.crossEntropy(f64(A), labels, { reductoin: "sum" })).code).toBe("OPTION_RANGE");
    const weights: CrossEntropyOptions = { classWeight: new Map([[1, 0.5]]) };
    const loss = (options: CrossEntropyOptions): number | Tensor | FloatTarget => xent.crossEntropy(f64(A), labels, options).loss;
    expect(loss(weights)).toBe(loss({ classWeight: { 1: 0.5 } }));
    wrong.dispose();
  });

  const wrong: readonly (readonly [string, string, object])[] = [
    ["DTYPE", "grad dtype got f32, expected f64 for f64 logits", { grad: new Float32Array(12) }],
    ["DTYPE", "loss dtype got f32, expected f64 for f64 logits", { reduction: "none", loss: new Float32Array(3) }],
    ["DTYPE", "predictions dtype got u32, expected i32", { outputs: { predictions: new Uint32Array(3) } }],
    ["LENGTH", "grad length got 11, expected 12 (logits)", { grad: new Float64Array(11) }],
    ["LENGTH", "logSumExp length got 4, expected 3 (rows)", { outputs: { logSumExp: new Float64Array(4) } }],
    ["OPTION_RANGE", "outputs predictions got 1, expected a tensor of this engine or a typed array", { outputs: { predictions: 1 } }],
    ["OPTION_RANGE", "outputs perClass got an object (Float64Array), expected true or false", { outputs: { perClass: new Float64Array(16) } }],
    ["OPTION_CONFLICT", 'loss got a value, expected none unless reduction is "none"', { loss: new Float64Array(3) }],
  ];
  test.each(wrong)("%s: %s", (code, message, more) => {
    expect(errorOf(() => engine.xent.crossEntropy(f64(A), labels, more))).toMatchObject({ code, message });
  });

  test("targets share no byte with each other or with what is read", () => {
    const { xent } = engine;
    const column = xent.tensor("f64", [3], [1, 1, 1]);
    const buffer = new Float64Array(14);
    const overlaps: readonly (readonly [string, object])[] = [
      ["loss overlaps sampleWeight", { reduction: "none", loss: column, sampleWeight: column }],
      ["logSumExp overlaps loss", { reduction: "none", loss: column, outputs: { logSumExp: column } }],
      ["grad overlaps loss", { reduction: "none", grad: buffer.subarray(0, 12), loss: buffer.subarray(11) }],
    ];
    for (const [message, options] of overlaps) expect(errorOf(() => xent.crossEntropy(f64(A), labels, options))).toMatchObject({ code: "ALIAS", message: expect.stringContaining(message) as string });
    column.dispose();
  });

  test("an array that is transferred before the call ends: DISPOSED, and no memory is kept", async () => {
    const { xent } = engine;
    const used = xent.info.usedBytes;
    const { grad, loss } = arrays();
    const promise = xent.crossEntropyAsync(f64(A), labels, { reduction: "none", grad, loss, outputs: ["predictions"] });
    structuredClone(grad, { transfer: [grad.buffer] });
    expect(await rejectionOf(promise)).toMatchObject({ code: "DISPOSED", message: "grad was disposed: the buffer of its array is detached" });
    expect([...loss]).toEqual([0, 0, 0]);
    expect(xent.info.usedBytes).toBe(used);
  });
});

describe("tensor(dtype, shape, data)", () => {
  const rows = [[1, 2, 3], [4, 5, 6]]; // prettier-ignore

  test.each([
    ["a flat list", [1, 2, 3, 4, 5, 6]],
    ["nested lists", rows],
    ["typed rows", rows.map((row) => Float32Array.from(row))],
    ["a typed array of its own type", Float32Array.of(1, 2, 3, 4, 5, 6)],
    ["a typed array of another type", Int8Array.of(1, 2, 3, 4, 5, 6)],
    ["big integers", BigInt64Array.of(1n, 2n, 3n, 4n, 5n, 6n)],
    ["a part of a larger array", Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7).subarray(1, 7)],
  ])("%s", (_, data) => {
    using tensor = engine.xent.tensor("float32", [2, 3], data);
    expectTypeOf(tensor).toEqualTypeOf<Tensor<"f32">>();
    expect([tensor.dtype, ...tensor.view]).toEqual(["f32", 1, 2, 3, 4, 5, 6]);
  });

  test("every type holds what it is given", () => {
    const { xent } = engine;
    const edges = { u8: [0, 255], i8: [-128, 127], u16: [0, 65535], i16: [-32768, 32767], u32: [0, 2 ** 32 - 1], i32: [-(2 ** 31), 2 ** 31 - 1], f64: [Number.MIN_VALUE, -Infinity] } as const;
    for (const [dtype, values] of Object.entries(edges)) {
      using tensor = xent.tensor(dtype as keyof typeof edges, [2], values);
      expect([...tensor.view], dtype).toEqual([...values]);
    }
    using wide = xent.tensor("uint64", [3], [0, 2n ** 64n - 1n, 7]);
    expect([...wide.view]).toEqual([0n, 2n ** 64n - 1n, 7n]);
    using single = xent.tensor("f32", [], [0.1]);
    expect(single.view[0]).toBe(Math.fround(0.1));
    expect(errorOf(() => xent.tensor("bool" as "u8", [1])).code).toBe("DTYPE");
  });

  test("16-bit floats are rounded to the nearest, ties to even", () => {
    const { xent } = engine;
    const numbers = [1, -2, 65504, 65519.99, 65520, 2 ** -24, 2 ** -25, 2 ** -25 * 1.001, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 2 ** -14 - 2 ** -26, -0, Infinity, Number.NaN, 0.1, 1 / 3];
    const halves = [0x3c00, 0xc000, 0x7bff, 0x7bff, 0x7c00, 1, 0, 1, 0x3c00, 0x3c02, 0x0400, 0x8000, 0x7c00, 0x7e00, 0x2e66, 0x3555];
    using half = xent.tensor("f16", [numbers.length], numbers);
    expect([...half.view]).toEqual(halves);
    using brain = xent.tensor("bf16", [5], [1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, Number.NaN, -0.1]);
    expect([...brain.view]).toEqual([0x3f80, 0x3f80, 0x3f82, 0x7fc0, 0xbdcd]);
    using bits = xent.tensor("f16", [2], Uint16Array.of(0x3c00, 0xc000));
    expect([...bits.view]).toEqual([0x3c00, 0xc000]);
    const { Float16Array: Halves } = globalThis as { Float16Array?: { from(values: Iterable<number>): Float16ArrayLike } };
    if (Halves !== undefined) expect(new Uint16Array(Halves.from(numbers).buffer).slice(0, 13)).toEqual(Uint16Array.from(halves.slice(0, 13)));
  });

  test.each([
    ["LENGTH", "tensor data length got 5, expected 6 (shape [2,3])", "f32", [1, 2, 3, 4, 5]],
    ["SHAPE", "tensor data shape got [3,2], expected [2,3]", "f32", [[1, 2], [3, 4], [5, 6]]],
    ["SHAPE", "tensor data got lists of the lengths 3 and 2, expected lists of one length", "f32", [[1, 2, 3], [4, 5]]],
    ["DTYPE", 'tensor data[1] got "2", expected a number', "f32", [1, "2", 3, 4, 5, 6]],
    ["DTYPE", "tensor data got 7, expected a typed array or numbers in a list, nested or not", "f32", 7],
    ["OPTION_RANGE", "tensor data[5] got 256, expected an integer that u8 holds", "u8", [1, 2, 3, 4, 5, 256]],
    ["OPTION_RANGE", "tensor data[0] got 0.5, expected an integer that i64 holds", "i64", [0.5, 2, 3, 4, 5, 6]],
    ["OPTION_RANGE", "tensor data[0] got -1, expected an integer that u64 holds", "u64", [-1, 2, 3, 4, 5, 6]],
    ["OPTION_RANGE", "tensor data[2] got NaN, expected an integer that i32 holds", "i32", Float32Array.of(1, 2, Number.NaN, 4, 5, 6)],
  ] as const)("%s: %s", (code, message, dtype, data) => {
    const { xent } = engine;
    const used = xent.info.usedBytes;
    expect(errorOf(() => xent.tensor(dtype, [2, 3], data as never))).toMatchObject({ code, message });
    expect(xent.info.usedBytes).toBe(used);
  });
});

describe("tensors and engines say what they are", () => {
  test("Object.prototype.toString", () => {
    using tensor = engine.xent.tensor("f32", [1]);
    expect([tensor, engine.xent].map((each) => Object.prototype.toString.call(each))).toEqual(["[object Tensor]", "[object Engine]"]);
  });

  // Node alone has the printer.
  const inspect = globalThis.process?.getBuiltinModule?.("node:util").inspect;
  test.skipIf(inspect === undefined || here().browser !== undefined)("printed by Node", () => {
    const { xent } = engine;
    const tensor = xent.tensor("f32", [2, 5], [0.5, -1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(inspect?.(tensor)).toBe("Tensor f32 [2,5] [0.5,-1,2,3,4,5,6,7,… 10 in all]");
    tensor.dispose();
    expect(inspect?.(tensor)).toBe("Tensor f32 [2,5] disposed");
    expect(inspect?.(xent)).toMatch(/^Engine \{\s+version: '\d/);
  });
});
