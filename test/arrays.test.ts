// Arrays as callers have them: with strides, at odd places, nested, as masks; and what is said of those that do not fit.
import { type LabelsInput, type SampleWeightInput } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { errorOf, expectClose, f64, useEngine } from "./support.ts";
import { A } from "./vectors.ts";

const engine = useEngine();
const labels = [2, 0, 3];
const flat = A.flat();
const turned = [0, 1, 2, 3].flatMap((k) => A.map((row) => row[k] ?? 0));
const run = (logits: object, targets: LabelsInput = labels, options: object = {}): number => engine.xent.crossEntropy(logits as never, targets, { ...options, reduction: "sum" }).loss;
const expected = (): number => run(f64(A));

describe("objects with stride and offset are read as they say", () => {
  const reversed = [...flat].reverse();
  const spaced = flat.flatMap((value) => [value, Number.NaN]);
  const forms: Record<string, object> = {
    "row-major, said in full": { data: Float64Array.from(flat), shape: [3, 4], stride: [4, 1], offset: 0 },
    "transposed, as ndarray has it": { data: Float64Array.from(turned), shape: [3, 4], stride: [1, 3], offset: 0, dtype: "float64" },
    "transposed, as strides": { data: Float64Array.from(turned), shape: [3, 4], strides: [1, 3] },
    "from an offset on": { data: Float64Array.from([7, 7, 7, ...flat]), shape: [3, 4], offset: 3 },
    "with gaps": { data: Float64Array.from(spaced), shape: [3, 4], stride: [8, 2] },
    "backwards": { data: Float64Array.from(reversed), shape: [3, 4], stride: [-4, -1], offset: 11 },
    "a dimension of 1, whose stride says nothing": { data: Float64Array.from(flat), shape: [3, 1, 4], stride: [4, 99, 1] },
  };
  test.each(Object.entries(forms))("%s", (_, logits) => {
    expect(run(logits)).toBe(expected());
  });

  test("labels and weights too, and 16-bit floats", () => {
    const spread = { data: Int32Array.of(2, 9, 0, 9, 3, 9), shape: [3], stride: [2] };
    expect(run(f64(A), spread)).toBe(expected());
    expect(run(f64(A), { data: [3, 0, 2], shape: [3], stride: [-1], offset: 2, dtype: "generic" } as LabelsInput)).toBe(expected());
    const weights = { data: Float32Array.of(1, 2, 3), shape: [3] };
    expect(run(f64(A), labels, { sampleWeight: { ...weights, data: Float32Array.of(3, 2, 1), stride: [-1], offset: 2 } })).toBe(run(f64(A), labels, { sampleWeight: weights }));
    const bits = engine.xent.tensor("bf16", [4, 3], turned).toArray();
    const rows = engine.xent.tensor("bf16", [3, 4], flat).toArray();
    expect(run({ data: bits, shape: [3, 4], stride: [1, 3], dtype: "bf16" })).toBe(run({ data: rows, shape: [3, 4], dtype: "bf16" }));
  });

  test("a gradient of them is row-major", () => {
    const logits = forms["transposed, as ndarray has it"] as { data: Float64Array; shape: number[] };
    using one = engine.xent.crossEntropy(logits, labels, { grad: true });
    using other = engine.xent.crossEntropy(f64(A), labels, { grad: true });
    expect(one.grad.toArray()).toEqual(other.grad.toArray());
    expect([...logits.data]).toEqual(turned);
  });

  test.each([
    [{ stride: [1] }, "logits stride got [1], expected an integer for each dimension of [3,4]"],
    [{ stride: [1, 0.5] }, "logits stride got [1,0.5], expected an integer for each dimension of [3,4]"],
    [{ stride: [5, 1] }, "logits stride got [5,1] from offset 0, elements 0..13, expected elements within 0..11"],
    [{ stride: [-4, 1] }, "logits stride got [-4,1] from offset 0, elements -8..3, expected elements within 0..11"],
    [{ offset: 1 }, "logits stride got [4,1] from offset 1, elements 1..12, expected elements within 0..11"],
    [{ offset: "0" }, 'logits offset got "0", expected an integer'],
  ])("%o is SHAPE", (lies, message) => {
    expect(errorOf(() => run({ data: Float64Array.from(flat), shape: [3, 4], ...lies }))).toMatchObject({ code: "SHAPE", message });
  });
});

describe("an array may begin anywhere in its buffer", () => {
  test.each(["u8", "u16", "f32", "f64"] as const)("%s, of every length around the pieces it is copied in", (dtype) => {
    const arrays = { u8: Uint8Array, u16: Uint16Array, f32: Float32Array, f64: Float64Array } as const;
    const Kind = arrays[dtype];
    const { BYTES_PER_ELEMENT: bytes } = Kind;
    for (const length of [0, 1, 63 / bytes, 64 / bytes, 2 ** 12 / bytes - 1, 2 ** 12 / bytes, 2 ** 12 / bytes + 1, 2 ** 15 / bytes + 3].map(Math.floor)) {
      const larger = new Kind(length + 16).map((_, index) => index % 251);
      for (let start = 0; start < 8; start += 1) {
        const part = larger.subarray(start, start + length);
        using tensor = engine.xent.tensor(dtype, [length], part);
        expect(tensor.toArray()).toEqual(part.slice());
      }
    }
  });

  test("also one that is written", () => {
    const logits = { data: Float32Array.from({ length: 40_000 }, (_, index) => Math.sin(index)), shape: [10, 4000] };
    const rows = new Uint8Array(10);
    using made = engine.xent.crossEntropy(logits, rows, { grad: true });
    for (let start = 0; start < 3; start += 1) {
      const larger = new Float32Array(40_004).fill(7);
      engine.xent.crossEntropy(logits, rows, { grad: larger.subarray(start, start + 40_000) });
      expect(larger.slice(start, start + 40_000)).toEqual(made.grad.toArray());
      expect([...larger.slice(0, start), ...larger.slice(start + 40_000)]).toEqual(Array(4).fill(7));
    }
  });
});

describe("sample weights may be a mask of any type", () => {
  const mask = [1, 0, 1];
  const wanted = (): number => run(f64(A), labels, { sampleWeight: mask });
  const arrays = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array] as const;
  test.each(arrays.map((Kind) => [Kind.name, Kind.from(mask)] as const))("%s", (_, sampleWeight) => {
    expect(run(f64(A), labels, { sampleWeight })).toBe(wanted());
  });

  const others: readonly (readonly [string, () => SampleWeightInput])[] = [
    ["BigInt64Array", () => BigInt64Array.from(mask, BigInt)],
    ["BigUint64Array", () => BigUint64Array.from(mask, BigInt)],
    ["attention_mask of onnxruntime, int64", () => ({ data: BigInt64Array.from(mask, BigInt), dims: [3], type: "int64" })],
    ["bool of onnxruntime", () => ({ data: Uint8Array.from(mask), dims: [3], type: "bool" })],
    ["booleans in a list", () => [true, false, true]],
    ["nested", () => [[1], [0], [1]]],
    ["a tensor of i32", () => engine.xent.tensor("i32", [3], mask)],
    ["a tensor of i64, broadcast", () => engine.xent.tensor("int64", [3, 1], [[1n], [0n], [1n]])],
  ];
  test.each(others)("%s", (_, sampleWeight) => {
    expect(run(f64(A), labels, { sampleWeight: sampleWeight() })).toBe(wanted());
  });

  test("whole numbers are weights", () => {
    expectClose(run(f64(A), labels, { sampleWeight: Int8Array.of(3, 3, 3) }), 3 * expected());
    const weights = { data: Float64Array.of(1, 2, 3, 4, 5, 6), shape: [2, 3] };
    expectClose(engine.xent.weightedSigmoidCrossEntropy(weights, new Uint8Array(6), { sampleWeight: { data: Int32Array.of(2, 0), shape: [2, 1] } }).weightSum, 6);
  });
});

describe("labels in nested lists", () => {
  const logits = { data: Float64Array.from([...flat, ...flat]), shape: [2, 3, 4] };
  test("have the shape of their nesting", () => {
    const { loss } = engine.xent.crossEntropy(logits, [[2, 0, 3], [2, 0, 3]], { reduction: "none" }); // prettier-ignore
    expect(loss.shape).toEqual([2, 3]);
    expect(loss.view[5]).toBe(loss.view[2]);
    loss.dispose();
    expect(engine.xent.crossEntropy(logits, [Uint8Array.of(2, 0, 3), Uint8Array.of(2, 0, 3)], { reduction: "sum" }).loss).toBeCloseTo(2 * expected(), 10);
  });

  test.each<readonly [unknown, string, string]>([
    [[[2, 0, 3]], "SHAPE", "labels shape got [1,3], expected [2,3] or [2,3,1] for logits [2,3,4], axis -1"],
    [[[2, 0, 3], [2, 0]], "SHAPE", "labels got lists of the lengths 3 and 2, expected lists of one length"],
    [[[2, 0, 3], [2, 0, "3"]], "DTYPE", 'labels[5] got "3", expected a number'],
    [[0n, 1n], "DTYPE", "labels[0] got 0n, expected a number"],
  ])("%o: %s", (given, code, message) => {
    expect(errorOf(() => engine.xent.crossEntropy(logits, given as LabelsInput))).toMatchObject({ code, message });
  });

  test("logits are no list, since a list does not say its type", () => {
    const message = /^logits got .*, expected a tensor of this engine, a typed array or \{ data, shape \}; Float32Array\.from\(logits\.flat\(Infinity\)\) is one$/;
    expect(errorOf(() => run(A as never))).toMatchObject({ code: "DTYPE", message: expect.stringMatching(message) as string });
  });
});

describe("hints", () => {
  const oneHot = "; these look one-hot: pass the class number of each row";
  test.each<readonly [string, object, LabelsInput, string]>([
    ["one-hot with a shape", f64(A), { data: new Float32Array(12), shape: [3, 4] }, `labels shape got [3,4], expected [3] or [3,1] for logits [3,4], axis -1${oneHot}`],
    ["one-hot, nested", f64(A), [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], `labels shape got [3,4], expected [3] or [3,1] for logits [3,4], axis -1${oneHot}`],
    ["one-hot, bare", f64(A), new Uint8Array(12), `labels length got 12, expected 3 (rows)${oneHot}`],
    ["classes first", { data: new Float32Array(2 * 33 * 20), shape: [2, 33, 4, 5] }, { data: new Uint8Array(40), shape: [2, 4, 5] }, "labels shape got [2,4,5], expected [2,33,4] or [2,33,4,1] for logits [2,33,4,5], axis -1; they fit axis: 1"],
    ["classes first, kept", { data: new Float32Array(2 * 33 * 20), shape: [2, 33, 4, 5] }, { data: new Uint8Array(40), shape: [2, 1, 4, 5] }, "labels shape got [2,1,4,5], expected [2,33,4] or [2,33,4,1] for logits [2,33,4,5], axis -1; they fit axis: 1"],
    ["classes first, bare labels", { data: new Float32Array(2 * 33 * 20), shape: [2, 33, 4, 5] }, new Uint8Array(40), "labels length got 40, expected 264 (rows); they fit axis: 1"],
    ["neither", f64(A), new Uint8Array(5), "labels length got 5, expected 3 (rows)"],
  ])("%s", (_, logits, targets, message) => {
    expect(errorOf(() => run(logits, targets)).message).toBe(message);
  });
});
