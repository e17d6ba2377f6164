// The last layer and its loss in one operation, in every build this engine has: the values of PyTorch and JAX, the bits of the native twins, any number
// of threads, gradients in place and added, and the same care with arguments.
/// <reference types="vite/types/importMeta.d.ts" />
import { load, Tensor, type Engine, type LinearCrossEntropyOptions } from "sparse-xent";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { linearOptionNames } from "../ts/linear.ts";
import { Draw } from "./battery.ts";
import { digestOf, wordsOf } from "./digest.mjs";
import { errorOf, rejectionOf, useEngine } from "./support.ts";

type Written = number | string;
interface Golden {
  readonly name: string;
  readonly rows: number;
  readonly depth: number;
  readonly classes: number;
  readonly hidden: readonly Written[];
  readonly weight: readonly Written[];
  readonly bias: readonly Written[];
  readonly labels: readonly number[];
  readonly options: LinearCrossEntropyOptions;
  readonly loss: Written | readonly Written[];
  readonly grad: Readonly<Record<"hidden" | "weight" | "bias", readonly Written[]>>;
}
interface Seeded {
  readonly name: string;
  readonly seed: number;
  readonly shape: readonly [number, number, number];
  readonly weightLayout: "vd" | "dv";
  readonly chunkRows: number | null;
  readonly labelSmoothing: number;
  readonly ignoreIndex: number | null;
  readonly simd: string;
  readonly relaxed: string;
}

const golden = import.meta.glob<readonly Golden[]>("./linear/{torch,jax}.json", { eager: true, import: "cases" });
const { "./linear/digests.json": battery = [] } = import.meta.glob<readonly Seeded[]>("./linear/digests.json", { eager: true, import: "cases" });

const singles = (values: readonly Written[]): Float32Array<ArrayBuffer> => Float32Array.from(values, Number);

/** Numbers that agree as a whole, to a share of their length; NaN meets NaN. */
function expectNear(got: ArrayLike<number>, want: readonly number[], share = 1e-6): void {
  expect(Array.from(got, Number.isNaN)).toEqual(want.map(Number.isNaN));
  const length = (values: readonly number[]): number => Math.hypot(...values.filter((value) => !Number.isNaN(value)));
  expect(length(want.map((value, index) => (got[index] ?? 0) - value))).toBeLessThanOrEqual(share * length(want));
}

const transposed = (values: readonly number[], rows: number, columns: number): number[] =>
  values.map((_, index) => values[(index % rows) * columns + Math.floor(index / rows)] ?? 0);

describe.each(["simd", "relaxed"] as const)("%s", (build) => {
  let engine: Engine | undefined;
  beforeAll(async () => {
    engine = await load({ build, threads: 2 }).catch(() => undefined);
  });
  afterAll(() => engine?.dispose());
  const all = Object.values(golden).flat();

  it("has all golden cases", () => expect(all.length).toBe(29));

  it.for(all)("$name", async ({ rows, depth, classes, hidden, weight, bias, labels, options, loss, grad }, { skip }) => {
    if (engine === undefined) return skip("this engine has no relaxed SIMD");
    const xent = engine;
    for (const weightLayout of ["vd", "dv"] as const) {
      const lying = weightLayout === "vd" ? weight.map(Number) : transposed(weight.map(Number), classes, depth);
      const weights = { data: singles(lying), shape: weightLayout === "vd" ? [classes, depth] : [depth, classes] };
      const given = { ...options, bias: singles(bias), shape: [rows, depth], weightLayout, chunkRows: 2, grad: true } as const;
      for (const result of [xent.linearCrossEntropy(singles(hidden), weights, labels, given), await xent.linearCrossEntropyAsync(singles(hidden), weights, labels, given)]) {
        const found: unknown = result.loss;
        expectNear(found instanceof Tensor ? (found.view as Float32Array) : [found as number], [loss].flat().map(Number));
        expectNear(result.grad.hidden.view, grad.hidden.map(Number));
        expectNear(weightLayout === "vd" ? result.grad.weight.view : transposed([...result.grad.weight.view], depth, classes), grad.weight.map(Number));
        expectNear(result.grad.bias?.view ?? [], grad.bias.map(Number));
        for (const tensor of [result.grad.hidden, result.grad.weight, result.grad.bias, found]) if (tensor instanceof Tensor) tensor.dispose();
      }
    }
    expect(xent.info.usedBytes).toBe(0);
  });

  it.for(battery)("$name has the bits of its native twin", ({ seed, shape, chunkRows, ignoreIndex, ...seeded }, { skip }) => {
    if (engine === undefined) return skip("this engine has no relaxed SIMD");
    const [rows, depth, classes] = shape;
    const draw = new Draw(seed);
    const many = (count: number, scale: number): Float32Array => Float32Array.from({ length: count }, () => draw.unit() * scale);
    const [hidden, weight, bias] = [many(rows * depth, 2), many(classes * depth, 0.25), many(classes, 0.5)];
    const labels = Int32Array.from({ length: rows }, () => draw.below(classes));
    const { weightLayout, labelSmoothing } = seeded;
    const weights = { data: weight, shape: weightLayout === "vd" ? [classes, depth] : [depth, classes] };
    const options = { bias, shape: [rows, depth], weightLayout, labelSmoothing, ignoreIndex, chunkRows: chunkRows ?? "auto", grad: true } as const;
    const { loss, grad } = engine.linearCrossEntropy(hidden, weights, labels, options);
    let digest = seed;
    for (const tensor of [grad.hidden, grad.weight, grad.bias]) if (tensor) digest = digestOf(digest, wordsOf(tensor.toArray()));
    digest = digestOf(digest, wordsOf(Float64Array.of(loss)));
    expect(digest.toString(16).padStart(8, "0")).toBe(seeded[build]);
    for (const tensor of [grad.hidden, grad.weight, grad.bias]) tensor?.dispose();
  });
});

/** A layer of some size with its gradients. */
function layerOf(xent: Engine, [rows, depth, classes]: readonly [number, number, number]) {
  const draw = new Draw(rows + depth);
  const filled = (shape: number[], scale: number): Tensor<"f32"> => {
    const tensor = xent.tensor("f32", shape);
    const { view } = tensor;
    for (let index = 0; index < view.length; index += 1) view[index] = draw.unit() * scale;
    return tensor;
  };
  const labels = xent.tensor("i32", [rows]);
  labels.view.set(Int32Array.from({ length: rows }, () => draw.below(classes)));
  return { hidden: filled([rows, depth], 2), weight: filled([classes, depth], 0.25), bias: filled([classes], 0.5), labels };
}

test("same_bits_any_threads, same_bits_sync_async", async () => {
  const digests = new Set<number>();
  for (const threads of [1, 2, 3]) {
    const xent = await load({ threads });
    const { hidden, weight, bias, labels } = layerOf(xent, [300, 70, 1500]);
    for (const how of ["sync", "async"] as const) {
      const options = { bias, grad: true, outputs: ["logSumExp", "predictions"] } as const;
      const result = how === "sync" ? xent.linearCrossEntropy(hidden, weight, labels, options) : await xent.linearCrossEntropyAsync(hidden, weight, labels, options);
      const { loss, grad, logSumExp } = result;
      const words = [grad.hidden, grad.weight, logSumExp].map((tensor) => wordsOf(tensor.toArray()));
      digests.add([...words, wordsOf(Float64Array.of(loss))].reduce((digest, each) => digestOf(digest, each), 1));
    }
    await xent.dispose();
  }
  expect(digests.size).toBe(1);
});

describe("recompute", () => {
  const given = useEngine({ threads: 2 });

  test.for(["vd", "dv"] as const)("in blocks of classes, and again for the gradient: the same bits, %s", async (weightLayout) => {
    const { xent } = given;
    const [rows, depth, classes] = [40, 24, 6200] as const;
    const { hidden, weight, bias, labels } = layerOf(xent, [rows, depth, classes]);
    labels.view[2] = -1;
    const weights = { data: weight.view, shape: weightLayout === "vd" ? [classes, depth] : [depth, classes] };
    const options = { bias, grad: true, ignoreIndex: -1, labelSmoothing: 0.1, zLoss: 1e-3, reduction: "none", outputs: ["logSumExp", "targetLogProb", "predictions"], chunkRows: 16, weightLayout } as const;
    const bitsOf = ({ grad, ...result }: ReturnType<typeof whole>): unknown => {
      const all = [grad.hidden, grad.weight, grad.bias, result.loss, result.logSumExp, result.targetLogProb, result.predictions];
      return all.map((tensor) => {
        const bits = digestOf(1, wordsOf((tensor as Tensor<"f32">).toArray()));
        tensor?.dispose();
        return bits;
      });
    };
    const whole = () => xent.linearCrossEntropy(hidden, weights, labels, options);
    const want = bitsOf(whole());
    expect(bitsOf(xent.linearCrossEntropy(hidden, weights, labels, { ...options, recompute: true }))).toEqual(want);
    expect(bitsOf(await xent.linearCrossEntropyAsync(hidden, weights, labels, { ...options, recompute: true }))).toEqual(want);
    // In place of the hidden states, which the second product needs after the first rows were written.
    const { grad } = xent.linearCrossEntropy(hidden, weights, labels, { ...options, recompute: true, grad: { hidden } });
    expect(grad.hidden).toBe(hidden);
    expect(digestOf(1, wordsOf(hidden.toArray()))).toBe((want as number[])[0]);
  });

  test.for(["vd", "dv"] as const)("under a class mask, whose classes' weights are not read: the same bits, %s", (weightLayout) => {
    const { xent } = given;
    const [rows, depth, classes] = [20, 8, 9000] as const;
    const { hidden, weight, bias, labels } = layerOf(xent, [rows, depth, classes]);
    const classMask = Uint8Array.from({ length: classes }, (_, index) => (index % 3 === 1 ? 0 : 1));
    for (const [row, label] of labels.view.entries()) labels.view[row] = label - (label % 3);
    for (const [index] of weight.view.entries()) {
      const classOf = weightLayout === "vd" ? Math.floor(index / depth) : index % classes;
      if (classMask[classOf] === 0) weight.view[index] = Number.NaN;
    }
    const weights = { data: weight.view, shape: weightLayout === "vd" ? [classes, depth] : [depth, classes] };
    const results = [false, true].map((recompute) => {
      const result = xent.linearCrossEntropy(hidden, weights, labels, { bias, grad: true, classMask, chunkRows: 8, weightLayout, recompute, outputs: ["predictions"] });
      const { loss, grad, predictions } = result;
      expect(loss).toBeGreaterThan(0);
      expect([...predictions.view].every((place) => classMask[place] === 1)).toBe(true);
      const ofBias = grad.bias as Tensor<"f32">;
      expect(ofBias.view.every((value, index) => (classMask[index] === 1 ? value !== 0 : Object.is(value, 0)))).toBe(true);
      const bits = [grad.hidden, grad.weight, ofBias].map((tensor) => digestOf(1, wordsOf(tensor.toArray())));
      const places = [...predictions.view];
      for (const tensor of [grad.hidden, grad.weight, ofBias, predictions]) tensor.dispose();
      return { loss, bits, places };
    });
    expect(results[1]).toEqual(results[0]);
  });

  test("what is no boolean is refused", () => {
    const { xent } = given;
    const { hidden, weight, labels } = layerOf(xent, [6, 4, 5]);
    expect(errorOf(() => xent.linearCrossEntropy(hidden, weight, labels, { recompute: 1 as never }))).toMatchObject({ code: "OPTION_RANGE", message: "recompute got 1, expected true or false" });
  });

  test("a call that is called off in its middle leaves an engine that works", async () => {
    const { xent } = given;
    const { hidden, weight, labels } = layerOf(xent, [600, 64, 20_000]);
    const controller = new AbortController();
    const pending = xent.linearCrossEntropyAsync(hidden, weight, labels, { grad: true, recompute: true, signal: controller.signal });
    if (xent.info.isolated) await new Promise((resolve) => setTimeout(resolve, 30));
    controller.abort();
    expect((await rejectionOf(pending)).code).toBe("ABORTED");
    expect(xent.linearCrossEntropy(hidden, weight, labels, { recompute: true }).validCount).toBe(600);
  });
});

describe("with tensors", () => {
  const given = useEngine({ threads: 2 });

  test("in place, into tensors, added to them: the same bits; nothing is left behind", () => {
    const { xent } = given;
    const { hidden, weight, labels } = layerOf(xent, [20, 6, 9]);
    const used = xent.info.usedBytes;
    const { loss, grad } = xent.linearCrossEntropy(hidden, weight, labels, { grad: { hidden: true, weight: true } });
    expect(Object.keys(grad)).toEqual(["hidden", "weight"]);
    const [expectedHidden, expectedWeight] = [grad.hidden.toArray(), grad.weight.toArray()];
    expect(xent.linearCrossEntropy(hidden, weight, labels).loss).toBe(loss);
    const target = xent.tensor("f32", [9, 6]);
    const into = xent.linearCrossEntropy(hidden, weight, labels, { grad: { weight: target } });
    expect(into.grad.weight).toBe(target);
    expect(target.toArray()).toEqual(expectedWeight);
    target.view.fill(1);
    xent.linearCrossEntropy(hidden, weight, labels, { grad: { weight: target }, accumulate: true });
    expect(target.toArray()).toEqual(expectedWeight.map((value) => Math.fround(1 + value)));
    xent.linearCrossEntropy(hidden, weight, labels, { grad: { hidden } });
    expect(hidden.toArray()).toEqual(expectedHidden);
    for (const tensor of [grad.hidden, grad.weight, target]) tensor.dispose();
    expect(xent.info.usedBytes).toBe(used);
  });

  test("hidden states of any rank, labels of their shape, results of the rows", () => {
    const { xent } = given;
    const { hidden, weight, labels } = layerOf(xent, [6, 4, 5]);
    const flatResult = xent.linearCrossEntropy(hidden, weight, labels, { reduction: "none", outputs: ["targetLogProb", "predictions", "perClass"] });
    const batch = { data: hidden.toArray(), shape: [2, 3, 4] };
    const result = xent.linearCrossEntropy(batch, weight, { data: labels.toArray(), shape: [2, 3] }, { reduction: "none", grad: { hidden: true } });
    expect(result.grad.hidden.shape).toEqual([2, 3, 4]);
    expect(result.loss.shape).toEqual([2, 3]);
    expect(result.loss.toArray()).toEqual(flatResult.loss.toArray());
    expect([...flatResult.targetLogProb.view].map((value) => -value)).toEqual([...flatResult.loss.view]);
    expect([flatResult.rowCount, flatResult.validCount, flatResult.perClass.count.reduce((sum, count) => sum + count, 0)]).toEqual([6, 6, 6]);
  });

  test("hidden states of ignored rows are not read, and NaN in another row is its own", () => {
    const { xent } = given;
    const { hidden, weight, labels } = layerOf(xent, [10, 4, 6]);
    labels.view[3] = -1;
    const run = () => xent.linearCrossEntropy(hidden, weight, labels, { ignoreIndex: -1, reduction: "none", grad: true });
    const clean = run();
    hidden.view.subarray(12, 16).fill(Number.NaN);
    const poisoned = run();
    expect(poisoned.loss.toArray()).toEqual(clean.loss.toArray());
    expect(poisoned.grad.weight.toArray()).toEqual(clean.grad.weight.toArray());
    expect([...poisoned.grad.hidden.view.subarray(12, 16)]).toEqual([0, 0, 0, 0]);
    hidden.view[0] = Number.NaN;
    const counted = run();
    expect(counted.nonFiniteCount).toBe(1);
    expect(counted.loss.toArray()[0]).toBeNaN();
    expect([...counted.loss.view.subarray(1)]).toEqual([...clean.loss.view.subarray(1)]);
  });

  test("no rows, and all rows ignored, have gradients of zero", () => {
    const { xent } = given;
    const { weight } = layerOf(xent, [4, 4, 5]);
    for (const rows of [0, 4]) {
      const hidden = xent.tensor("f32", [rows, 4]);
      for (const reduction of ["none", "sum", "mean"] as const) {
        const { grad, validCount } = xent.linearCrossEntropy(hidden, weight, new Int32Array(rows).fill(-1), { ignoreIndex: -1, reduction, grad: { hidden: true, weight: true, bias: true } });
        expect(validCount).toBe(0);
        expect([grad.hidden, grad.weight, grad.bias].map(({ view }) => [view.length, view.every((value) => Object.is(value, 0))])).toEqual([[rows * 4, true], [20, true], [5, true]]);
      }
    }
  });

  test("a call that is called off leaves an engine that works", async () => {
    const { xent } = given;
    const { hidden, weight, labels } = layerOf(xent, [2000, 64, 4000]);
    const controller = new AbortController();
    const pending = xent.linearCrossEntropyAsync(hidden, weight, labels, { grad: true, signal: controller.signal });
    // Time to begin, on another thread; on this one it would be over then.
    if (xent.info.isolated) await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort();
    expect((await rejectionOf(pending)).code).toBe("ABORTED");
    expect(xent.linearCrossEntropy(hidden, weight, labels).validCount).toBe(2000);
  });

  test("what is wrong is said, and nothing is written", () => {
    const { xent } = given;
    const { hidden, weight, bias, labels } = layerOf(xent, [6, 4, 5]);
    const target = xent.tensor("f32", [5, 4]);
    target.view.fill(7);
    const half = xent.tensor("f16", [5, 4]);
    const refused = (code: string, message: string, run: () => unknown): void => {
      const used = xent.info.usedBytes;
      expect(errorOf(run)).toMatchObject({ code, message });
      expect(xent.info.usedBytes).toBe(used);
      expect(new Set(target.view)).toEqual(new Set([7]));
    };
    const call = (options: LinearCrossEntropyOptions, others: { hidden?: never; weight?: unknown; labels?: unknown } = {}) => (): unknown =>
      xent.linearCrossEntropy(others.hidden ?? hidden, (others.weight ?? weight) as Tensor<"f32">, (others.labels ?? labels) as Tensor<"i32">, options as never);
    const grad = { weight: target };
    refused("SHAPE", "weight shape got [4,5], expected [V,4] for hidden [6,4]", call({ grad }, { weight: xent.tensor("f32", [4, 5]) }));
    refused("SHAPE", "weight shape got [5,4], expected [4,V] for hidden [6,4]", call({ weightLayout: "dv", grad: { weight: target } }));
    refused("SHAPE", "weight shape got none, expected [V,4] beside data", call({ grad }, { weight: new Float32Array(20) }));
    refused("SHAPE", "grad.hidden shape got [5,4], expected [6,4]", call({ grad: { hidden: target } }));
    refused("SHAPE", "bias shape got [4], expected [5]", call({ grad, bias: xent.tensor("f32", [4]) }));
    refused("LENGTH", "bias length got 4, expected 5 (classes)", call({ grad, bias: new Float32Array(4) }));
    refused("LENGTH", "labels length got 5, expected 6 (rows)", call({ grad }, { labels: [0, 0, 0, 0, 0] }));
    refused("DTYPE", "grad.weight dtype got f16, expected f32", call({ grad: { weight: half as never } }));
    refused("DTYPE", "hidden dtype got f64, expected one of f32, f16, bf16", call({ grad }, { hidden: { data: new Float64Array(24), shape: [6, 4] } as never }));
    refused("ALIAS", `grad.weight overlaps weight bytes got ${weight.byteOffset}..${weight.byteOffset + 80}, expected none`, call({ grad: { weight } }));
    refused("OPTION_RANGE", 'chunkRows got 0, expected "auto" or an integer of at least 1', call({ grad, chunkRows: 0 }));
    refused("OPTION_RANGE", "weightLayout got \"cd\", expected one of vd, dv", call({ grad, weightLayout: "cd" as never }));
    refused("OPTION_CONFLICT", "accumulate got a value, expected gradients that are all given, and none of them hidden", call({ grad: { weight: true }, accumulate: true }));
    refused("OPTION_CONFLICT", "accumulate got a value, expected gradients that are all given, and none of them hidden", call({ grad: { hidden, weight: target }, accumulate: true }));
    refused("LABEL_OUT_OF_RANGE", "labels[1] got 5, expected 0..4; 1 such label of 6", call({ grad, bias }, { labels: [0, 5, 0, 0, 0, 0] }));
    expect(errorOf(call({ labelMatrix: [] } as never)).code).toBe("OPTION_RANGE");
  });
});

test("memory that is refused is refused before anything is written", async () => {
  const xent = await load({ threads: 1, maximumPages: 96 });
  const { hidden, weight, labels } = layerOf(xent, [64, 8, 20_000]);
  const target = xent.tensor("f32", [20_000, 8]);
  target.view.fill(7);
  const used = xent.info.usedBytes;
  // 64 rows of logits are 5.1 MB, of which there is no room.
  const error = errorOf(() => xent.linearCrossEntropy(hidden, weight, labels, { grad: { weight: target, hidden } }));
  expect(error.code).toBe("OUT_OF_MEMORY");
  expect(new Set(target.view)).toEqual(new Set([7]));
  expect(xent.info.usedBytes).toBe(used);
  // A block of the classes is a fraction of that, and with fewer rows at a time there is room as well.
  expect(xent.linearCrossEntropy(hidden, weight, labels, { grad: { weight: target }, recompute: true }).validCount).toBe(64);
  expect(xent.linearCrossEntropy(hidden, weight, labels, { grad: { weight: target }, chunkRows: 8 }).validCount).toBe(64);
  await xent.dispose();
});

test("the options are those of crossEntropy, but for what logits alone have", () => {
  expect(linearOptionNames).not.toContain("axis");
  expect(linearOptionNames).toEqual(expect.arrayContaining(["bias", "weightLayout", "chunkRows", "recompute", "grad", "accumulate", "outputs", "zLoss"]));
});
