// One named case and more per error code: what is thrown, that nothing was written, that no memory stays behind.
import { errorCodes } from "../ts/errors.ts";
import { isSparseXentError, load, SparseXentError, Tensor, type CrossEntropyOptions, type Engine, type ErrorCode, type LabelsInput, type LogitsInput } from "sparse-xent";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorOf, rejectionOf, useEngine } from "./support.ts";

const engine = useEngine();
let other: Engine;
let foreign: Tensor<"f32">;
beforeAll(async () => {
  other = await load({ threads: 1 });
  foreign = other.tensor("f32", [2, 3]);
});
afterAll(() => other.dispose());

/** What a case may use: an engine's tensors, all filled with numbers that would show if they were written. */
interface Given {
  readonly logits: Tensor<"f32">;
  readonly labels: Tensor<"i32">;
  readonly grad: Tensor<"f32">;
  /** f64, of the logits' shape. */
  readonly wide: Tensor<"f64">;
  /** Of the shape [3,2]. */
  readonly turned: Tensor<"f32">;
  /** Of the shape [2,1]. */
  readonly column: Tensor<"f32">;
}
type Arguments = readonly [logits: unknown, labels: unknown, options?: object];

interface Case {
  readonly name: string;
  readonly code: ErrorCode;
  readonly call: (given: Given) => Arguments;
  readonly message: string;
  readonly index?: number;
  readonly got?: unknown;
}

const values = [0.5, -1, 2, 0.25, 1.5, 0];
const detached = (): Float32Array => {
  const array = Float32Array.from(values);
  structuredClone(array, { transfer: [array.buffer] });
  return array;
};
const disposed = (dtype: "f32" | "i32", shape: readonly number[]): Tensor => {
  const tensor = engine.xent.tensor(dtype, shape);
  tensor.dispose();
  return tensor;
};
const plain = { data: Float32Array.from(values), shape: [2, 3] };
const withGrad = (options: object) => ({ logits, labels, grad }: Given): Arguments => [logits, labels, { grad, ...options }]; // prettier-ignore
const labelled = (labels: unknown, options: object = {}) => ({ logits, grad }: Given): Arguments => [logits, labels, { grad, ...options }]; // prettier-ignore

const cases: readonly Case[] = [
  { name: "logits tensor", code: "DISPOSED", call: ({ labels }) => [disposed("f32", [2, 3]), labels], message: "logits was disposed" },
  { name: "labels tensor", code: "DISPOSED", call: ({ logits }) => [logits, disposed("i32", [2])], message: "labels was disposed" },
  { name: "grad tensor", code: "DISPOSED", call: ({ logits, labels }) => [logits, labels, { grad: disposed("f32", [2, 3]) }], message: "grad was disposed" },
  { name: "weights tensor", code: "DISPOSED", call: ({ logits, labels }) => [logits, labels, { sampleWeight: disposed("f32", [2]) }], message: "sampleWeight was disposed" },
  { name: "detached array", code: "DISPOSED", call: ({ labels }) => [detached(), labels, { shape: [2, 3] }], message: "logits was disposed: the buffer of its array is detached" },
  { name: "detached array with a shape", code: "DISPOSED", call: ({ labels }) => [{ data: detached(), shape: [2, 3] }, labels], message: "logits was disposed: the buffer of its array is detached" },

  { name: "logits", code: "WRONG_ENGINE", call: ({ labels }) => [foreign, labels], message: "logits got a tensor of another engine, expected one of this engine" },
  { name: "grad", code: "WRONG_ENGINE", call: ({ logits, labels }) => [logits, labels, { grad: foreign }], message: "grad got a tensor of another engine, expected one of this engine" },

  { name: "integer logits", code: "DTYPE", call: ({ labels }) => [{ data: Int32Array.from(values), shape: [2, 3] }, labels], message: "logits dtype got i32, expected one of f32, f64, f16, bf16" },
  { name: "Uint16Array logits without a name", code: "DTYPE", call: ({ labels }) => [new Uint16Array(6), labels, { shape: [2, 3] }], message: "logits dtype got u16, expected one of f32, f64, f16, bf16; a Uint16Array needs dtype f16 or bf16 beside it" },
  { name: "numbers as logits", code: "DTYPE", call: ({ labels }) => [values, labels, { shape: [2, 3] }], message: "logits got [0.5,-1,2,0.25,1.5,0], expected a tensor of this engine, a typed array or { data, shape }; Float32Array.from(logits) is one" },
  { name: "no logits", code: "DTYPE", call: ({ labels }) => [undefined, labels], message: "logits got undefined, expected a tensor of this engine, a typed array or { data, shape }" },
  { name: "f16 labels", code: "DTYPE", call: labelled({ data: new Uint16Array(2), shape: [2], dtype: "f16" }), message: "labels dtype got f16, expected one of u8, i8, u16, i16, i32, u32, i64, u64, f32, f64" },
  { name: "boolean labels", code: "DTYPE", call: labelled({ data: new Uint8Array(2), dims: [2], type: "bool" }), message: "labels dtype got bool, expected one of u8, i8, u16, i16, i32, u32, i64, u64, f32, f64" },
  { name: "labels that are no numbers", code: "DTYPE", call: labelled([0, "1"]), message: 'labels[1] got "1", expected a number', index: 1 },
  { name: "labels with a hole", code: "DTYPE", call: labelled(Object.assign([], { 1: 0 })), message: "labels[0] got undefined, expected a number", index: 0 },
  { name: "a name that does not fit the array", code: "DTYPE", call: ({ labels }) => [{ ...plain, dtype: "f64" }, labels], message: "logits dtype got f64, expected f32 for a Float32Array" },
  { name: "a name nobody knows", code: "DTYPE", call: ({ labels }) => [{ ...plain, dtype: "fp8" }, labels], message: "logits dtype got fp8, expected one of f32, f64, f16, bf16" },
  { name: "integer weights", code: "DTYPE", call: withGrad({ classWeight: Uint8Array.of(1, 1, 1) }), message: "classWeight dtype got u8, expected one of f32, f64" },
  { name: "grad of another type", code: "DTYPE", call: ({ logits, labels, wide }) => [logits, labels, { grad: wide }], message: "grad dtype got f64, expected f32 for f32 logits" },

  { name: "array without a shape", code: "SHAPE", call: ({ labels }) => [plain.data, labels], message: "logits shape got none, expected a shape option beside a bare array" },
  { name: "a single number", code: "SHAPE", call: ({ labels }) => [{ data: new Float32Array(1), shape: [] }, labels], message: "logits shape got [], expected at least one dimension" },
  { name: "a broken dimension", code: "SHAPE", call: ({ labels }) => [{ data: plain.data, shape: [2.5, 3] }, labels], message: "logits shape got [2.5,3], expected dimensions that are integers of at least 0" },
  { name: "axis outside", code: "SHAPE", call: withGrad({ axis: 2 }), message: "axis got 2, expected an integer in -2..1 for logits [2,3]" },
  { name: "axis a half", code: "SHAPE", call: withGrad({ axis: 0.5 }), message: "axis got 0.5, expected an integer in -2..1 for logits [2,3]" },
  { name: "no classes", code: "SHAPE", call: ({ labels }) => [{ data: new Float32Array(0), shape: [2, 0] }, labels], message: "classes got 0, expected at least 1 for logits [2,0], axis -1" },
  { name: "labels", code: "SHAPE", call: labelled({ data: [0, 1, 2], shape: [3] }), message: "labels shape got [3], expected [2] or [2,1] for logits [2,3], axis -1; they fit axis: 0" },
  { name: "labels without a shape", code: "SHAPE", call: labelled({ data: [0, 1] }), message: "labels shape got none, expected a property shape or dims beside data" },
  { name: "weights of lower rank", code: "SHAPE", call: withGrad({ sampleWeight: { data: [1], shape: [] } }), message: "sampleWeight shape got [], expected [2] or [2,1], or 1 for any of these dimensions, for logits [2,3], axis -1" },
  { name: "class weights", code: "SHAPE", call: withGrad({ classWeight: { data: [1, 1], shape: [2] } }), message: "classWeight shape got [2], expected [3] for logits [2,3], axis -1" },
  { name: "grad", code: "SHAPE", call: ({ logits, labels, turned }) => [logits, labels, { grad: turned }], message: "grad shape got [3,2], expected [2,3] for logits [2,3], axis -1" },

  { name: "logits", code: "LENGTH", call: ({ labels }) => [plain.data, labels, { shape: [2, 4] }], message: "logits length got 6, expected 8 (shape [2,4])" },
  { name: "labels", code: "LENGTH", call: labelled([0]), message: "labels length got 1, expected 2 (rows)" },
  { name: "labels of a shape", code: "LENGTH", call: labelled({ data: [0], shape: [2] }), message: "labels length got 1, expected 2 (shape [2])" },
  { name: "class weights", code: "LENGTH", call: withGrad({ classWeight: [1, 1] }), message: "classWeight length got 2, expected 3 (classes)" },
  { name: "upstream", code: "LENGTH", call: withGrad({ upstream: [1], reduction: "none" }), message: "upstream length got 1, expected 2 (rows)" },
  { name: "label matrix", code: "LENGTH", call: withGrad({ labelMatrix: [1, 2, 3] }), message: "labelMatrix length got 3, expected 9 (classes x classes)" },

  { name: "classes", code: "SIZE", call: () => [{ data: new Float32Array(0), shape: [0, 2 ** 31] }, []], message: "classes got 2147483648, expected at most 2147483647" },

  { name: "smoothing", code: "OPTION_RANGE", call: withGrad({ labelSmoothing: 1.5 }), message: "labelSmoothing got 1.5, expected 0..1", got: 1.5 },
  { name: "unknown class", code: "OPTION_RANGE", call: withGrad({ classWeight: { 3: 1 } }), message: 'classWeight key got "3", expected a class in 0..2' },
  { name: "options that are none", code: "OPTION_RANGE", call: ({ logits, labels }) => [logits, labels, null as unknown as object], message: "options got null, expected an object" },
  { name: "smoothing of probabilities", code: "OPTION_CONFLICT", call: withGrad({ input: "probs", labelSmoothing: 0.1 }), message: 'labelSmoothing got a value, expected none with input: "probs"' },
  { name: "upstream of a mean", code: "OPTION_CONFLICT", call: withGrad({ upstream: [1, 1] }), message: 'upstream per row got a value, expected a number unless reduction is "none"' },

  { name: "grad over the weights", code: "ALIAS", call: ({ labels, column }) => [{ data: Float32Array.of(1, 2), shape: [2, 1] }, labels, { grad: column, sampleWeight: column }], message: "grad overlaps sampleWeight bytes got 0..8, expected none" },
  { name: "grad over the labels", code: "ALIAS", call: ({ column }) => [{ data: Float32Array.of(1, 2), shape: [2, 1] }, column, { grad: column }], message: "grad overlaps labels bytes got 0..8, expected none" },
  { name: "grad over what comes from upstream", code: "ALIAS", call: ({ labels, column }) => [{ data: Float32Array.of(1, 2), shape: [2, 1] }, labels, { grad: column, upstream: column, reduction: "none" }], message: "grad overlaps upstream bytes got 0..8, expected none" },

  { name: "f32 label", code: "LABEL_NOT_INTEGER", call: labelled(Float32Array.of(0, 2.5)), message: "labels[1] got 2.5, expected an integer below 2^24", index: 1, got: 2.5 },
  { name: "f32 label that may have been rounded", code: "LABEL_NOT_INTEGER", call: labelled(Float32Array.of(2 ** 24, 0)), message: "labels[0] got 16777216, expected an integer below 2^24", index: 0 },
  { name: "NaN label, whatever invalidLabel says", code: "LABEL_NOT_INTEGER", call: labelled([0, Number.NaN], { invalidLabel: "ignore" }), message: "labels[1] got NaN, expected an integer below 2^53", index: 1 },

  { name: "above", code: "LABEL_OUT_OF_RANGE", call: labelled([0, 3]), message: "labels[1] got 3, expected 0..2; 1 such label of 2", index: 1, got: 3 },
  { name: "below, with a hint", code: "LABEL_OUT_OF_RANGE", call: labelled(Int8Array.of(-100, -1)), message: "labels[0] got -100, expected 0..2; 2 such labels of 2; set ignoreIndex: -100 to skip them", index: 0, got: -100 },
  { name: "the usual void byte, with a hint", code: "LABEL_OUT_OF_RANGE", call: labelled(Uint8Array.of(0, 255)), message: "labels[1] got 255, expected 0..2; 1 such label of 2; set ignoreIndex: 255 to skip them", index: 1 },
  { name: "beyond 53 bits, exactly", code: "LABEL_OUT_OF_RANGE", call: labelled(BigInt64Array.of(0n, 2n ** 60n + 1n)), message: "labels[1] got 1152921504606846977, expected 0..2; 1 such label of 2", index: 1, got: 2n ** 60n + 1n },
  { name: "of a row without weight", code: "LABEL_OUT_OF_RANGE", call: labelled([0, 3], { sampleWeight: [1, 0] }), message: "labels[1] got 3, expected 0..2; 1 such label of 2", index: 1 },

  { name: "label of a masked class", code: "TARGET_MASKED", call: labelled([0, 2], { classMask: [1, 1, 0] }), message: "labels[1] got 2, expected a class kept by classMask", index: 1, got: 2 },

  { name: "row weight", code: "WEIGHT_VALUE", call: withGrad({ sampleWeight: [1, Number.NaN] }), message: "sampleWeight[1] got NaN, expected a finite number", index: 1 },
  { name: "broadcast row weight", code: "WEIGHT_VALUE", call: ({ logits, labels }) => [logits, labels, { sampleWeight: { data: [Infinity], shape: [1] } }], message: "sampleWeight[0] got Infinity, expected a finite number", index: 0 },
  { name: "weight for all rows", code: "WEIGHT_VALUE", call: withGrad({ sampleWeight: -Infinity }), message: "sampleWeight got -Infinity, expected a finite number" },
  { name: "class weight, also of an absent class", code: "WEIGHT_VALUE", call: withGrad({ classWeight: [1, 1, Number.NaN] }), message: "classWeight[2] got NaN, expected a finite number", index: 2 },
  { name: "label matrix", code: "WEIGHT_VALUE", call: withGrad({ labelMatrix: [1, 0, 0, 0, Number.NaN, 0, 0, 0, 1] }), message: "labelMatrix[4] got NaN, expected a finite number", index: 4 },
];

function given(xent: Engine): Given {
  const made: Given = {
    logits: xent.tensor("f32", [2, 3]),
    labels: xent.tensor("i32", [2]),
    grad: xent.tensor("f32", [2, 3]),
    wide: xent.tensor("f64", [2, 3]),
    turned: xent.tensor("f32", [3, 2]),
    column: xent.tensor("f32", [2, 1]),
  };
  made.logits.view.set(values);
  for (const { view } of [made.grad, made.turned, made.column]) view.fill(42);
  made.wide.view.fill(42);
  return made;
}

const contents = (tensors: Given): unknown => Object.values(tensors as unknown as Record<string, Tensor>).map((tensor) => [...tensor.view]);

describe.each(errorCodes)("%s", (code) => {
  const own = cases.filter((candidate) => candidate.code === code);

  test.each(own)("$name", async ({ call, message, ...more }: Case) => {
    const { xent } = engine;
    const tensors = given(xent);
    const [logits, labels, options] = call(tensors) as [LogitsInput, LabelsInput, CrossEntropyOptions?];
    const [before, used] = [contents(tensors), xent.info.usedBytes];
    const error = errorOf(() => xent.crossEntropy(logits, labels, options));
    const rejected = await rejectionOf(xent.crossEntropyAsync(logits, labels, options));

    expect(error).toBeInstanceOf(SparseXentError);
    // Addresses are not part of the promise.
    expect({ code: error.code, message: error.message.replace(/bytes got \d+\.\.\d+/, "bytes got 0..8") }).toEqual({ code, message });
    if (more.index !== undefined) expect(error.index).toBe(more.index);
    if (more.got !== undefined) expect(error.got).toBe(more.got);
    expect({ code: rejected.code, message: rejected.message, index: rejected.index }).toEqual({ code, message: error.message, index: error.index });
    expect(contents(tensors)).toEqual(before);
    expect(xent.info.usedBytes).toBe(used);
    for (const tensor of Object.values(tensors as unknown as Record<string, Tensor>)) tensor.dispose();
  });

  if (own.length === 0) {
    test("has tests of its own below", () => {
      expect(["OUT_OF_MEMORY", "ABORTED", "ENGINE_LOST", "LOAD_FAILED"]).toContain(code);
    });
  }
});

test("of two mistakes the one whose code comes first is thrown", () => {
  const { xent } = engine;
  const wrong = { labelSmoothing: 2, sampleWeight: [Number.NaN, 1] };
  const codes = [
    errorOf(() => xent.crossEntropy(foreign, [0.5], wrong)),
    errorOf(() => xent.crossEntropy({ data: new Int32Array(6), shape: [2, 4] }, [0.5], wrong)),
    errorOf(() => xent.crossEntropy({ data: plain.data, shape: [2, 0] }, [0.5], wrong)),
    errorOf(() => xent.crossEntropy({ data: plain.data, shape: [2, 4] }, [0.5], wrong)),
    errorOf(() => xent.crossEntropy(plain, [0.5, 0], wrong)),
    errorOf(() => xent.crossEntropy(plain, [0.5, 0], { ...wrong, labelSmoothing: 0 })),
    errorOf(() => xent.crossEntropy(plain, [7, 0], { ...wrong, labelSmoothing: 0 })),
    errorOf(() => xent.crossEntropy(plain, [1, 0], { ...wrong, labelSmoothing: 0 })),
  ].map(({ code }) => code);
  expect(codes).toEqual(["WRONG_ENGINE", "DTYPE", "SHAPE", "LENGTH", "OPTION_RANGE", "LABEL_NOT_INTEGER", "LABEL_OUT_OF_RANGE", "WEIGHT_VALUE"]);
});

describe("tensor()", () => {
  test.each([
    ["DTYPE", "f8", [1], 'tensor dtype got "f8", expected one of f32, f64, f16, bf16, u8, i8, u16, i16, u32, i32, u64, i64'],
    ["DTYPE", "toString", [1], /^tensor dtype got "toString"/],
    ["SHAPE", "f32", [-1], "tensor shape got [-1], expected dimensions that are integers of at least 0"],
    ["SHAPE", "f32", 4, "tensor shape got 4, expected dimensions that are integers of at least 0"],
    ["SIZE", "f64", [2 ** 40], /^tensor size got 8796093022208 bytes, expected at most \d+$/],
    ["OUT_OF_MEMORY", "u8", [2 ** 31], "tensor size got 2147 MB, expected at most 2147483647 bytes in one piece"],
  ] as const)("%s: %s of %o", (code, dtype, shape, message) => {
    const { xent } = engine;
    const used = xent.info.usedBytes;
    const error = errorOf(() => xent.tensor(dtype as "f32", shape as unknown as number[]));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(xent.info.usedBytes).toBe(used);
  });
});

describe("OUT_OF_MEMORY", () => {
  const noRoom =
    "grad size got 4 MB, expected a free piece of memory of that size; 4 MB of 8 MB are in use. " +
    "Tensors that were not disposed of: 1 made by tensor() (4 MB); dispose() of a tensor or of a result frees its memory";

  test("leaves the engine usable, and nothing behind", async () => {
    const xent = await load({ threads: 1, maximumPages: 128 });
    const logits = xent.tensor("f32", [500, 2000]);
    const used = xent.info.usedBytes;
    for (const options of [{ grad: true }, { grad: true, reduction: "none", outputs: ["logSumExp"] }] as readonly CrossEntropyOptions[]) {
      const error = errorOf(() => xent.crossEntropy(logits, new Int32Array(500), options));
      expect(error).toMatchObject({ code: "OUT_OF_MEMORY", got: 4_000_000 });
      expect(error.message).toBe(noRoom);
      expect(xent.info.usedBytes).toBe(used);
    }
    // Without a second copy there is room.
    expect(xent.crossEntropy(logits, new Int32Array(500), { grad: logits }).loss).toBeCloseTo(Math.log(2000), 5);
    logits.dispose();
    expect(xent.tensor("f32", [500, 2000]).length).toBe(1_000_000);
    await xent.dispose();
  });

  test("says which tensors were not disposed of: how many, how many bytes, made by what", async () => {
    const xent = await load({ threads: 1, maximumPages: 128 });
    const logits = xent.tensor("f32", [500, 500]);
    const make = () => xent.crossEntropy(logits, new Uint8Array(500), { grad: true, reduction: "none", outputs: ["predictions", "logSumExp"] });
    let error: SparseXentError | undefined;
    let results = 0;
    // A loop of training that forgets its results.
    while (error === undefined) {
      try {
        make();
        results += 1;
      } catch (thrown) {
        error = thrown as SparseXentError;
      }
    }
    expect(error.code).toBe("OUT_OF_MEMORY");
    const held = `1 made by tensor() (1 MB), ${results} made by reduction: "none" (${results * 2000} bytes), ${results} made by grad: true (${results} MB), ${results} made by outputs: ["logSumExp"]`;
    expect(error.message).toContain(held);
    expect(error.message).toMatch(/dispose\(\) of a tensor or of a result frees its memory$/);
    await xent.dispose();
  });

  test("of logits or results comes after what is wrong with labels and weights", async () => {
    const xent = await load({ threads: 1, maximumPages: 128 });
    const logits = xent.tensor("f32", [500, 2000]);
    const used = xent.info.usedBytes;
    const labels = Int32Array.from({ length: 500 }, (_, row) => (row === 7 ? 2000 : row));
    const bad = Float32Array.from({ length: 500 }, (_, row) => (row === 9 ? Number.NaN : 1));
    const faults: readonly (readonly [string, Int32Array, CrossEntropyOptions])[] = [
      ["labels[7] got 2000, expected 0..1999; 1 such label of 500", labels, {}],
      ["labels[0] got 0, expected a class kept by classMask", labels.map((label) => label % 2000), { classMask: Array.from({ length: 2000 }, (_, k) => k !== 0) }],
      ["sampleWeight[9] got NaN, expected a finite number", labels, { sampleWeight: bad, invalidLabel: "nan" }],
      [noRoom, labels, { invalidLabel: "ignore" }],
    ];
    for (const [message, given, options] of faults) {
      for (const input of [logits, { data: new Float32Array(1_000_000), shape: [500, 2000] }]) {
        const call = { ...options, grad: true, outputs: ["logSumExp"] } as const;
        expect(errorOf(() => xent.crossEntropy(input, given, call)).message).toBe(message);
        expect((await rejectionOf(xent.crossEntropyAsync(input, given, call))).message).toBe(message);
        expect(xent.info.usedBytes).toBe(used);
      }
    }
    const targets = xent.tensor("u8", [500, 2000]);
    const posWeight = Float32Array.from({ length: 2000 }, (_, k) => (k === 3 ? -1 : 1));
    expect(errorOf(() => xent.weightedSigmoidCrossEntropy(logits, targets, { posWeight, grad: true })).code).toBe("WEIGHT_VALUE");
    expect(errorOf(() => xent.weightedSigmoidCrossEntropy(logits, targets, { grad: true })).code).toBe("OUT_OF_MEMORY");
    await xent.dispose();
  });

  test("SIZE is what could never fit", async () => {
    const xent = await load({ threads: 1, maximumPages: 128 });
    const error = errorOf(() => xent.crossEntropy(new Float32Array(3_000_000), new Uint8Array(3), { shape: [3, 1_000_000] }));
    expect(error).toMatchObject({ code: "SIZE", message: "logits size got 12000000 bytes, expected at most 8388608" });
    await xent.dispose();
  });
});

describe("ABORTED", () => {
  test("before it begins: nothing is written", async () => {
    const { xent } = engine;
    const tensors = given(xent);
    const [before, used] = [contents(tensors), xent.info.usedBytes];
    const signal = AbortSignal.abort(new Error("changed my mind"));
    const error = await rejectionOf(xent.crossEntropyAsync(tensors.logits, tensors.labels, { grad: tensors.grad, signal }));
    expect(error).toMatchObject({ code: "ABORTED", message: "the call was aborted by its signal", cause: signal.reason });
    expect([contents(tensors), xent.info.usedBytes]).toEqual([before, used]);
  });

  test("while it runs: it ends, gives its memory back, and the engine goes on", async () => {
    const { xent } = engine;
    const used = xent.info.usedBytes;
    const logits = xent.tensor("f64", [10_000, 1000]);
    const abort = new AbortController();
    const promise = xent.crossEntropyAsync(logits, new Int32Array(10_000), { grad: true, signal: abort.signal });
    // Time to begin, on another thread; on this one it would be over then.
    if (xent.info.isolated) await new Promise((resolve) => setTimeout(resolve, 5));
    abort.abort();
    expect((await rejectionOf(promise)).code).toBe("ABORTED");
    expect(xent.crossEntropy(plain, [0, 1]).rowCount).toBe(2);
    // Behind it, if it had not.
    expect((await xent.crossEntropyAsync(plain, [0, 1])).rowCount).toBe(2);
    logits.dispose();
    expect(xent.info.usedBytes).toBe(used);
  });

  test("after it ended, the signal does nothing", async () => {
    const abort = new AbortController();
    await engine.xent.crossEntropyAsync(plain, [0, 1], { signal: abort.signal });
    expect(() => abort.abort()).not.toThrow();
    expect(engine.xent.crossEntropy(plain, [0, 1]).rowCount).toBe(2);
  });
});

test("DISPOSED is what an engine throws after dispose()", async () => {
  const xent = await load({ threads: 1 });
  await xent.dispose();
  for (const use of [() => xent.tensor("f32", [1]), () => xent.crossEntropy(plain, [0, 1])]) {
    expect(errorOf(use)).toMatchObject({ code: "DISPOSED", message: "engine was disposed" });
  }
  expect((await rejectionOf(xent.crossEntropyAsync(plain, [0, 1]))).code).toBe("DISPOSED");
});

test("LOAD_FAILED is what load() throws for bytes that are no wasm", async () => {
  const error = await rejectionOf(load({ wasm: Uint8Array.of(1, 2, 3) }));
  expect(error.code).toBe("LOAD_FAILED");
});

test("ENGINE_LOST ends an engine; what its tensors hold can still be read", async () => {
  const xent = await load({ threads: 2 });
  const tensor = xent.tensor("f32", [2]);
  tensor.view.set([1, 2]);
  const fault = Symbol.for("sparse-xent.injectFault");
  const inject = (xent as unknown as Record<symbol, (kind: number, how: "sync") => number>)[fault];
  const callerTraps = 3;
  expect(errorOf(() => inject?.(callerTraps, "sync")).code).toBe("ENGINE_LOST");
  expect(errorOf(() => xent.crossEntropy(plain, [0, 1])).code).toBe("ENGINE_LOST");
  expect((await rejectionOf(xent.crossEntropyAsync(plain, [0, 1]))).code).toBe("ENGINE_LOST");
  expect(errorOf(() => xent.tensor("f32", [1])).code).toBe("ENGINE_LOST");
  expect([...tensor.toArray()]).toEqual([1, 2]);
  expect(() => tensor.dispose()).not.toThrow();
  await xent.dispose();
  expect(errorOf(() => xent.tensor("f32", [1])).code).toBe("DISPOSED");
});

test("an error can be told apart by code", () => {
  const error: unknown = errorOf(() => engine.xent.crossEntropy(plain, [0, 9]));
  expect(isSparseXentError(error) && error.name).toBe("SparseXentError");
  expect(isSparseXentError(error, "LABEL_OUT_OF_RANGE") && error.index).toBe(1);
  expect(isSparseXentError(error, "SHAPE")).toBe(false);
  expect(String(error)).toBe("SparseXentError: labels[1] got 9, expected 0..2; 1 such label of 2");
});
