// The public surface from outside: values, kinds of argument, kinds of result.
import {
  isSparseXentError,
  load,
  presets,
  SparseXentError,
  Tensor,
  type CrossEntropyOptions,
  type CrossEntropyResult,
  type FloatTarget,
  type Float16ArrayLike,
  type LogitsDtype,
  type WeightsInput,
} from "sparse-xent";
import { describe, expect, expectTypeOf, test } from "vitest";
import { expectClose, f64, flat, here, shapeOf, useEngine } from "./support.ts";
import { A, rounded, vectors } from "./vectors.ts";

const engine = useEngine();
const labels = [2, 0, 3];
/** Σ (ln Σ exp(x) - x[y]) over the rows of A, written out. */
const plainSum = A.reduce((sum, row, index) => sum + Math.log(row.reduce((total, x) => total + Math.exp(x), 0)) - (row[labels[index] ?? 0] ?? 0), 0);

describe("values of other systems", () => {
  test.each(vectors)("$name", ({ logits, labels: targets, options, loss, grad }) => {
    const { xent } = engine;
    const result = xent.crossEntropy(f64(logits), { data: flat(targets), shape: shapeOf(targets) }, { ...options, grad: true });
    expectClose(typeof result.loss === "number" ? result.loss : result.loss.toArray(), loss);
    expectClose(result.grad.toArray() as Float64Array, grad);
    expect(result.grad.shape).toEqual(shapeOf(logits));
  });

  test.each([...vectors.filter(({ name }) => !name.includes("by 90")), rounded])("as f32: $name", ({ logits, labels: targets, options, loss, grad }) => {
    const { xent } = engine;
    const data = Float32Array.from(flat(logits));
    const result = xent.crossEntropy({ data, shape: shapeOf(logits) }, { data: flat(targets), shape: shapeOf(targets) }, { ...options, grad: true });
    expectClose(typeof result.loss === "number" ? result.loss : result.loss.toArray(), loss, 1e-5);
    expectClose(result.grad.toArray() as Float32Array, grad, 1e-4);
  });
});

describe("ways to run the same call give the same bits", () => {
  test.each(vectors)("$name", async ({ logits, labels: targets, options }) => {
    const { xent } = engine;
    const shape = shapeOf(logits);
    const given = { data: flat(targets), shape: shapeOf(targets) };
    const fresh = (): Tensor<"f32"> => {
      const tensor = xent.tensor("f32", shape);
      tensor.view.set(flat(logits));
      return tensor;
    };
    const bits = ({ loss, grad }: { loss: number | Tensor; grad: Tensor }): unknown => [typeof loss === "number" ? loss : [...loss.toArray()], [...grad.toArray()]];

    const source = fresh();
    const expected = bits(xent.crossEntropy(source, given, { ...options, grad: true }));
    expect(source.toArray()).toEqual(Float32Array.from(flat(logits)));

    const inPlace = fresh();
    const there = xent.crossEntropy(inPlace, given, { ...options, grad: inPlace });
    expect(there.grad).toBe(inPlace);
    expect(bits(there)).toEqual(expected);

    const target = xent.tensor("f32", shape);
    target.view.fill(7);
    expect(bits(xent.crossEntropy(source, given, { ...options, grad: target }))).toEqual(expected);
    expect(bits(await xent.crossEntropyAsync(source, given, { ...options, grad: true }))).toEqual(expected);
    expect(bits(xent.crossEntropy(Float32Array.from(flat(logits)), given, { ...options, shape, grad: true }))).toEqual(expected);
  });
});

describe("logits may be", () => {
  const bytes = Float32Array.from(flat(A));
  const halves = Uint16Array.of(0x3800, 0xbc00, 0x4000, 0x3400, 0x3e00, 0, 0xb800, 0x4200, 0xc000, 0x3c00, 0x3a00, 0);
  // A bfloat16 is the upper half of the f32.
  const upper = Uint16Array.from(new Uint32Array(bytes.buffer), (word) => word >>> 16);
  // Newer engines have it; on the others the bits above are the way.
  const { Float16Array: Halves } = globalThis as { Float16Array?: { from(values: Iterable<number>): Float16ArrayLike } };
  // All of A is exact in every logits type.
  const kinds = {
    "a bare Float32Array": () => engine.xent.crossEntropy(bytes, labels, { shape: [3, 4] }),
    "a bare Float64Array": () => engine.xent.crossEntropy(Float64Array.from(bytes), labels, { shape: [3, 4] }),
    "a Uint16Array of f16": () => engine.xent.crossEntropy(halves, labels, { shape: [3, 4], dtype: "f16" }),
    "a Uint16Array of bf16": () => engine.xent.crossEntropy(upper, labels, { shape: [3, 4], dtype: "bfloat16" }),
    "{ data, shape }": () => engine.xent.crossEntropy({ data: bytes, shape: [3, 4] }, labels),
    "{ data, dims, type }, as onnxruntime has them": () => engine.xent.crossEntropy({ data: halves, dims: [3, 4], type: "float16" }, labels),
    "{ data, shape, dtype }": () => engine.xent.crossEntropy({ data: upper, shape: [3, 4], dtype: "bf16" }, labels),
    "a tensor": () => {
      const tensor = engine.xent.tensor("bf16", [3, 4]);
      tensor.view.set(upper);
      return engine.xent.crossEntropy(tensor, labels);
    },
    "classes first": () => {
      const turned = [0, 1, 2, 3].flatMap((k) => A.map((row) => row[k] ?? 0));
      return engine.xent.crossEntropy(Float32Array.from(turned), labels, { shape: [4, 3], axis: 0 });
    },
    "an array over shared memory": () => {
      // The one way to it where SharedArrayBuffer is hidden, in pages that are not isolated.
      const shared = new Float32Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer, 0, 12);
      shared.set(bytes);
      return engine.xent.crossEntropy(shared, labels, { shape: [3, 4] });
    },
    "a part of a larger buffer": () => {
      const larger = new Float32Array(20);
      larger.set(bytes, 5);
      return engine.xent.crossEntropy(larger.subarray(5, 17), labels, { shape: [3, 4] });
    },
    ...(Halves && { "a Float16Array": () => engine.xent.crossEntropy(Halves.from(bytes), labels, { shape: [3, 4] }) }),
  };
  test.each(Object.entries(kinds))("%s", (_, run) => {
    expectClose(run().loss, plainSum / 3, 1e-6);
  });
});

describe("labels may be", () => {
  const kinds = {
    numbers: labels,
    Uint8Array: Uint8Array.from(labels),
    Uint8ClampedArray: Uint8ClampedArray.from(labels),
    Int8Array: Int8Array.from(labels),
    Uint16Array: Uint16Array.from(labels),
    Int16Array: Int16Array.from(labels),
    Uint32Array: Uint32Array.from(labels),
    Int32Array: Int32Array.from(labels),
    BigUint64Array: BigUint64Array.from(labels, BigInt),
    BigInt64Array: BigInt64Array.from(labels, BigInt),
    Float32Array: Float32Array.from(labels),
    Float64Array: Float64Array.from(labels),
    "of shape [3]": { data: Int32Array.from(labels), shape: [3] },
    "of shape [3,1]": { data: labels, shape: [3, 1] },
    "of onnxruntime's form": { data: BigInt64Array.from(labels, BigInt), dims: [3], type: "int64" },
  };
  test.each(Object.entries(kinds))("%s", (_, given) => {
    expectClose(engine.xent.crossEntropy(f64(A), given, { reduction: "sum" }).loss, plainSum);
  });

  test.each(["u8", "i8", "u16", "i16", "u32", "i32", "f32", "f64"] as const)("a tensor of %s", (dtype) => {
    const tensor = engine.xent.tensor(dtype, [3]);
    tensor.view.set(labels);
    expectClose(engine.xent.crossEntropy(f64(A), tensor, { reduction: "sum" }).loss, plainSum);
  });

  test.each(["u64", "i64"] as const)("a tensor of %s", (dtype) => {
    const tensor = engine.xent.tensor(dtype, [3, 1]);
    tensor.view.set(labels.map(BigInt));
    expectClose(engine.xent.crossEntropy(f64(A), tensor, { reduction: "sum" }).loss, plainSum);
  });
});

describe("weights may be", () => {
  const loss = (options: object): number => engine.xent.crossEntropy(f64(A), labels, { ...options, reduction: "sum" }).loss as unknown as number;
  const tensor = (dtype: "f32" | "f64", values: readonly number[]): Tensor => {
    const made = engine.xent.tensor(dtype, [values.length]);
    made.view.set(values);
    return made;
  };
  const classes = [1, 0.5, 2, 0.25];
  const rows = [0.5, 2, 1];

  test("given per class in every form", () => {
    const wanted = loss({ classWeight: classes });
    for (const classWeight of [
      Float32Array.from(classes),
      Float64Array.from(classes),
      { data: classes, shape: [4] },
      { 1: 0.5, 2: 2, 3: 0.25 },
      { data: Float32Array.from(classes), dims: [4], type: "float32" },
      tensor("f32", classes),
      tensor("f64", classes),
    ]) {
      expect(loss({ classWeight })).toBe(wanted);
    }
  });

  test("given per row in every form", () => {
    const wanted = loss({ sampleWeight: rows });
    for (const sampleWeight of [Float32Array.from(rows), Float64Array.from(rows), { data: rows, shape: [3] }, { data: rows, shape: [3, 1] }, tensor("f32", rows), tensor("f64", rows)]) {
      expect(loss({ sampleWeight })).toBe(wanted);
    }
    expectClose(loss({ sampleWeight: 2 }), 2 * loss({}));
  });

  test("a mask of bytes over the rows", () => {
    const wanted = loss({ sampleWeight: [1, 0, 1] });
    expect(loss({ sampleWeight: Uint8Array.of(1, 0, 1) })).toBe(wanted);
    expect(loss({ sampleWeight: { data: Uint8Array.of(1, 0, 1), dims: [3], type: "bool" } })).toBe(wanted);
  });

  test("of the labels' rank with 1s that are broadcast", () => {
    const { xent } = engine;
    const logits = { data: Float64Array.from({ length: 2 * 3 * 4 }, (_, index) => Math.sin(index)), shape: [2, 3, 4] };
    const run = (sampleWeight: WeightsInput) => xent.crossEntropy(logits, [0, 1, 2, 3, 2, 1], { sampleWeight, denominator: "weights" });
    const full = run([5, 5, 5, 7, 7, 7]);
    const perBatch = run({ data: [5, 7], shape: [2, 1] });
    expect(perBatch).toEqual(full);
    expect(perBatch.weightSum).toBe(36);
    expect(run({ data: [1, 2, 3], shape: [1, 3] })).toEqual(run([1, 2, 3, 1, 2, 3]));
    expect(run({ data: [5, 7], shape: [2, 1, 1] })).toEqual(full);
  });
});

describe("results", () => {
  test("totals", () => {
    const { xent } = engine;
    const { lossSum, weightSum, validCount, invalidCount, rowCount, nonFiniteCount, denominator, loss } = xent.crossEntropy(f64([...A, ...A]), [2, -1, 3, 0, 9, 1], {
      ignoreIndex: -1,
      invalidLabel: "nan",
      sampleWeight: [1, 1, 3, 1, 0.5, 0],
      denominator: "valid",
    });
    expect({ validCount, invalidCount, rowCount, nonFiniteCount, denominator, weightSum }).toEqual({
      validCount: 5,
      invalidCount: 1,
      rowCount: 6,
      nonFiniteCount: 1,
      denominator: 5,
      weightSum: 5.5,
    });
    expect(lossSum).toBeNaN();
    expect(loss).toBeNaN();
  });

  test("hold what was asked for and nothing else, the loss first", () => {
    const { xent } = engine;
    const sums = ["lossSum", "weightSum", "nonFiniteCount", "denominator"];
    const counts = ["validCount", "invalidCount", "rowCount"];
    expect(Object.keys(xent.crossEntropy(f64(A), labels))).toEqual(["loss", ...sums, ...counts]);
    expect(Object.keys(xent.crossEntropy(f64(A), labels, { grad: true, reduction: "none", outputs: [] }))).toEqual(["loss", "grad", ...sums, ...counts]);
    expect(Object.keys(xent.crossEntropy(f64(A), labels, { outputs: ["predictions", "logSumExp"] }))).toEqual(["loss", ...sums, ...counts, "logSumExp", "predictions", "correctCount"]);
    expect(Object.keys(xent.crossEntropy(f64(A), labels, { outputs: ["perClass", "targetLogProb"] }))).toEqual(["loss", ...sums, ...counts, "targetLogProb", "perClass"]);
    expect(Object.keys(xent.weightedSigmoidCrossEntropy(f64(A), new Float32Array(12), { grad: true }))).toEqual(["loss", "grad", ...sums]);
  });

  test("the denominator is 1 unless a mean is taken", () => {
    for (const reduction of ["none", "sum"] as const) expect(engine.xent.crossEntropy(f64(A), labels, { reduction }).denominator).toBe(1);
  });

  test("types follow the options", () => {
    const { xent } = engine;
    const mean: number = xent.crossEntropy(f64(A), labels).loss;
    const wide = xent.tensor("f64", [3, 4]);
    const perRow: Tensor<"f64"> = xent.crossEntropy(wide, labels, { reduction: "none" }).loss;
    const narrow: Tensor<"f32"> = xent.crossEntropy(new Float32Array(12), labels, { shape: [3, 4], reduction: "none" }).loss;
    const grad: Tensor<"f64"> = xent.crossEntropy(wide, labels, { grad: true }).grad;
    const result: CrossEntropyResult<{ outputs: readonly ["predictions"] }> = xent.crossEntropy(f64(A), labels, { outputs: ["predictions"] });
    expect(mean).toBeTypeOf("number");
    expect([perRow.dtype, narrow.dtype, grad.dtype, result.predictions.dtype]).toEqual(["f64", "f32", "f64", "i32"]);
    // @ts-expect-error a key nobody knows is an error in the editor too
    expect(() => xent.crossEntropy(wide, labels, { reductoin: "sum" })).toThrow("reductoin");
    // @ts-expect-error there is no gradient unless it is asked for
    expect(xent.crossEntropy(wide, labels).grad).toBeUndefined();
  });

  test("types follow the element type of an array, bare or with its shape", () => {
    const { xent } = engine;
    const narrow = { data: new Float32Array(12), dims: [3, 4], type: "float32" };
    const halves = { data: new Uint16Array(12), shape: [3, 4], dtype: "bf16" };
    const options = { reduction: "none", grad: true } as const;
    const [wide, single, half] = [xent.crossEntropy(f64(A), labels, options), xent.crossEntropy(narrow, labels, options), xent.crossEntropy(halves, labels, options)];
    expectTypeOf([wide.loss, wide.grad]).toEqualTypeOf<Tensor<"f64">[]>();
    expectTypeOf([single.loss, single.grad]).toEqualTypeOf<Tensor<"f32">[]>();
    expectTypeOf(half.grad).toEqualTypeOf<Tensor<LogitsDtype>>();
    expect([wide, single, half].map(({ loss, grad }) => [loss.dtype, grad.dtype])).toEqual([["f64", "f64"], ["f32", "f32"], ["f32", "bf16"]]); // prettier-ignore
  });

  test("the losses have the labels' shape", () => {
    const { loss } = engine.xent.crossEntropy(f64(A), { data: labels, shape: [3, 1] }, { reduction: "none" });
    expect(loss.shape).toEqual([3, 1]);
  });

  test("outputs come from the same pass", () => {
    const { xent } = engine;
    const result = xent.crossEntropy(f64(A), [2, -1, 3], {
      ignoreIndex: -1,
      classWeight: [1, 1, 1, 4],
      outputs: ["logSumExp", "targetLogProb", "predictions", "perClass"],
    });
    const lse = A.map((row) => Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)));
    expectClose(result.logSumExp.toArray(), [lse[0] ?? 0, Number.NaN, lse[2] ?? 0]);
    expectClose(result.targetLogProb.toArray(), [2 - (lse[0] ?? 0), Number.NaN, 0 - (lse[2] ?? 0)]);
    expect([...result.predictions.toArray()]).toEqual([2, -1, 1]);
    expect(result.correctCount).toBe(1);
    expectClose(result.perClass.loss, [0, 0, (lse[0] ?? 0) - 2, 4 * (lse[2] ?? 0)]);
    expect(result.perClass).toMatchObject({
      weight: Float64Array.of(0, 0, 1, 4),
      count: Float64Array.of(0, 0, 1, 1),
      correct: Float64Array.of(0, 0, 1, 0),
    });
  });

  test("a tensor that the call made is the caller's to dispose of", () => {
    const { xent } = engine;
    const before = xent.info.usedBytes;
    const { grad, loss } = xent.crossEntropy(f64(A), labels, { grad: true, reduction: "none" });
    expect(xent.info.usedBytes).toBe(before + 12 * 8 + 3 * 8);
    grad.dispose();
    loss.dispose();
    expect(xent.info.usedBytes).toBe(before);
  });

  test("no rows: an empty result, a sum of 0, a mean of what emptyMean says", () => {
    const { xent } = engine;
    const none = { data: new Float32Array(0), shape: [0, 4] };
    const empty = xent.crossEntropy(none, [], { reduction: "none", grad: true });
    expect([empty.loss.length, empty.grad.shape]).toEqual([0, [0, 4]]);
    expect(xent.crossEntropy(none, [], { reduction: "sum" }).loss).toBe(0);
    expect(xent.crossEntropy(none, []).loss).toBe(0);
    expect(xent.crossEntropy(none, [], { emptyMean: "nan" }).loss).toBeNaN();
  });
});

describe("a call", () => {
  test("grows the memory in the middle, and later ones still find their way in it", async () => {
    const xent = await load({ threads: 1 });
    const [rows, classes] = [4096, 1024];
    const small = (): number => xent.crossEntropy(Float32Array.of(0, 0), [1], { shape: [1, 2] }).loss;
    expect(small()).toBe(Math.fround(Math.LN2));
    const before = xent.info.memoryBytes;
    const { loss, grad, rowCount } = xent.crossEntropy(new Float32Array(rows * classes), new Int32Array(rows), { shape: [rows, classes], grad: true, reduction: "sum" });
    expect(xent.info.memoryBytes).toBeGreaterThan(before);
    expect({ rowCount, last: grad.view.at(-1) }).toEqual({ rowCount: rows, last: 1 / classes });
    expect(loss / rows).toBeCloseTo(Math.log(classes), 5);
    // What was free is taken, so that what a call takes from now on lies past where the memory ended when the engine was new.
    let far = xent.tensor("f32", [1, 2]);
    while (far.byteOffset < before) far = xent.tensor("f32", [1, 2]);
    expect(xent.crossEntropy(far, [1], { grad: far }).loss).toBe(Math.fround(Math.LN2));
    expect([...far.view]).toEqual([0.5, -0.5]);
    expect(small()).toBe(Math.fround(Math.LN2));
    await xent.dispose();
  });

  test("may be made while the arguments of another are read", () => {
    const { xent } = engine;
    const inner = (): number => xent.crossEntropy(f64(A), [0, 0, 0], { reduction: "sum" }).loss;
    const seen: number[] = [];
    const nested = new Proxy([...labels], { get: (list, key) => (seen.push(inner()), Reflect.get(list, key)) });
    const options = {
      get labelSmoothing() {
        seen.push(inner());
        return 0.1;
      },
    };
    const { loss, rowCount } = xent.crossEntropy(f64(A), nested, options);
    expect({ loss, rowCount }).toEqual({ loss: xent.crossEntropy(f64(A), labels, { labelSmoothing: 0.1 }).loss, rowCount: 3 });
    expect(seen.length).toBeGreaterThan(labels.length);
    expect(new Set(seen)).toEqual(new Set([inner()]));
  });
});

describe("grad", () => {
  test("of f16 logits may be f32", () => {
    const { xent } = engine;
    const logits = xent.tensor("f16", [1, 2]);
    logits.view.set([0x3c00, 0x3c00]);
    const grad = xent.tensor("f32", [1, 2]);
    xent.crossEntropy(logits, [0], { grad });
    expect([...grad.view]).toEqual([-0.5, 0.5]);
    const own = xent.crossEntropy(logits, [0], { grad: true }).grad;
    expect([own.dtype, [...own.view]]).toEqual(["f16", [0xb800, 0x3800]]);
  });

  test("accumulates over calls and leaves ignored rows alone", () => {
    const { xent } = engine;
    const logits = xent.tensor("f64", [3, 4]);
    logits.view.set(flat(A));
    const once = xent.crossEntropy(logits, [2, -1, 3], { ignoreIndex: -1, grad: true }).grad.toArray();
    const grad = xent.tensor("f64", [3, 4]);
    grad.view.fill(1);
    const before = grad.toArray();
    xent.crossEntropy(logits, [2, -1, 3], { ignoreIndex: -1, grad, accumulate: true });
    expect([...grad.view]).toEqual([...before.map((value, index) => value + (once[index] ?? 0))]);
    expect([...grad.view.slice(4, 8)]).toEqual([1, 1, 1, 1]);
  });

  test("is multiplied by upstream, the loss is not", () => {
    const { xent } = engine;
    const plain = xent.crossEntropy(f64(A), labels, { grad: true });
    const scaled = xent.crossEntropy(f64(A), labels, { grad: true, upstream: 4 });
    expect(scaled.loss).toBe(plain.loss);
    expectClose(scaled.grad.toArray() as Float64Array, [...(plain.grad.toArray() as Float64Array)].map((value) => 4 * value));
  });

  test("of a row with a NaN is NaN, and of its neighbours exact", () => {
    const { xent } = engine;
    const clean = xent.crossEntropy(f64(A), labels, { grad: true, reduction: "none" });
    const dirty = A.map((row, index) => (index === 1 ? [0, Number.NaN, 0, 0] : row));
    const result = xent.crossEntropy(f64(dirty), labels, { grad: true, reduction: "none" });
    const expected = clean.grad.toArray() as Float64Array;
    expect([...result.grad.view]).toEqual([...expected.fill(Number.NaN, 4, 8)]);
    expect(result.nonFiniteCount).toBe(1);
  });
});

describe("an engine", () => {
  test("says what it is and runs on", () => {
    const { info } = engine.xent;
    expect(info.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(["relaxed", "simd"]).toContain(info.build);
    expect(info.threads).toBeGreaterThanOrEqual(1);
    expect(info.memoryBytes % 65_536).toBe(0);
    expect(info.usedBytes).toBeLessThan(info.memoryBytes);
    const { canShare, canBlock } = here();
    expect([info.isolated, info.canBlock]).toEqual([canShare, canBlock]);
  });

  test("has a memory of its own and gives everything back at the end", async () => {
    const other = await load({ threads: 1 });
    const tensor = other.tensor("f32", [1000]);
    expect(other.info.usedBytes).toBe(4000);
    await other.dispose();
    expect(tensor.isDisposed).toBe(true);
    expect(other.info).toMatchObject({ threads: 1, memoryBytes: 0, usedBytes: 0 });
    await other.dispose();
  });

  test("and its tensors end with the block they are used in", async () => {
    const other = await load({ threads: 1 });
    const tensor = other.tensor("f32", [1]);
    // Where an engine has no such symbols, these are what compiled `using` looks up.
    const { dispose = Symbol.for("Symbol.dispose"), asyncDispose = Symbol.for("Symbol.asyncDispose") } = Symbol as Partial<SymbolConstructor>;
    tensor[dispose as typeof Symbol.dispose]();
    expect(tensor.isDisposed).toBe(true);
    await other[asyncDispose as typeof Symbol.asyncDispose]();
    expect(() => other.tensor("f32", [1])).toThrow(SparseXentError);
  });
});

test("presets are data that can be spread", () => {
  expect(Object.keys(presets)).toEqual(["tensorflow", "keras", "pytorch", "onnx", "optax", "tfV1", "tfjs"]);
  expect(presets.pytorch).toEqual({
    reduction: "mean",
    denominator: "weights",
    ignoreIndex: -100,
    smoothingWeights: "class",
    emptyMean: "nan",
    axis: 1,
    invalidLabel: "throw",
  });
});

describe("a preset decides the type of the loss", () => {
  test.each(Object.keys(presets) as (keyof typeof presets)[])("%s, named when the program runs", (name) => {
    const { loss } = engine.xent.crossEntropy(f64(A), labels, presets[name]);
    expectTypeOf(loss).toEqualTypeOf<number | Tensor<"f64">>();
    const hasOnePerRow = presets[name].reduction === "none";
    expect(typeof loss === "number" ? [] : loss.shape).toEqual(hasOnePerRow ? [3] : []);
    const { grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets[name], labelSmoothing: 0.1, grad: true });
    expectTypeOf(grad).toEqualTypeOf<Tensor<"f64">>();
    expect(grad.shape).toEqual([3, 4]);
  });

  test("reduction none: a tensor with a loss per row", () => {
    const { xent } = engine;
    const [tensorflow, optax] = [xent.crossEntropy(f64(A), labels, presets.tensorflow), xent.crossEntropy(f64(A), labels, { ...presets.optax, grad: true })];
    expectTypeOf([tensorflow.loss, optax.loss]).toEqualTypeOf<Tensor<"f64">[]>();
    expect([tensorflow.loss.shape, optax.loss.shape]).toEqual([[3], [3]]);
  });

  test("reduction mean: a number", () => {
    const { xent } = engine;
    const means = [presets.keras, presets.pytorch, presets.onnx, presets.tfV1, presets.tfjs].map((preset) => xent.crossEntropy(f64(A), labels, preset).loss);
    expectTypeOf(means).toEqualTypeOf<number[]>();
    for (const loss of means) expectClose(loss, 1.30696218214);
  });

  test("what is set beside the preset wins", () => {
    const { loss } = engine.xent.crossEntropy(f64(A), labels, { ...presets.keras, reduction: "none" });
    expectTypeOf(loss).toEqualTypeOf<Tensor<"f64">>();
    expect(loss.shape).toEqual([3]);
  });

  test("options of which less is known: either", () => {
    const loss = (options: CrossEntropyOptions) => engine.xent.crossEntropy(f64(A), labels, options).loss;
    const other = (options: { readonly reduction: "none" } | { readonly grad: true }) => engine.xent.crossEntropy(f64(A), labels, options).loss;
    expectTypeOf(loss).returns.toEqualTypeOf<number | Tensor<"f64"> | FloatTarget>();
    expectTypeOf(other).returns.toEqualTypeOf<number | Tensor<"f64">>();
    expect([loss(presets.tensorflow), other({ reduction: "none" })].map((result) => typeof result)).toEqual(["object", "object"]);
    expect([loss(presets.keras), other({ grad: true })].map((result) => typeof result)).toEqual(["number", "number"]);
  });
});

test("errors are recognised by name and code, also across two copies of the package", () => {
  const error = Object.assign(new Error("x"), { name: "SparseXentError", code: "SHAPE" });
  expect(isSparseXentError(error)).toBe(true);
  expect(isSparseXentError(error, "SHAPE")).toBe(true);
  expect(isSparseXentError(error, "LENGTH")).toBe(false);
  expect(isSparseXentError(new Error("x"))).toBe(false);
});
