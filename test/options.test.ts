// Every option: its default, the edges of its range, what is refused, and what it excludes.
import { presets, type CrossEntropyOptions, type CrossEntropyResult, type Tensor } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { optionNames } from "../ts/settings.ts";
import { errorOf, expectClose, f64, rejectionOf, useEngine } from "./support.ts";
import { A } from "./vectors.ts";

const engine = useEngine();

/** A call with options of any kind; a fresh gradient makes their effect visible. */
function run(options: object, logits = f64(A)) {
  const given = { grad: true, reduction: "sum", ...options } as Omit<CrossEntropyOptions, "grad"> & { grad: true };
  const { grad, loss, topK, ...totals } = engine.xent.crossEntropy(logits, [2, 0, 3], given) as CrossEntropyResult<{ grad: true; outputs: ["topK"] }, Tensor<"f64">>;
  const largest = topK && [topK.values, topK.classes].map((tensor) => [...tensor.toArray()]);
  const result = { ...totals, largest, loss: typeof loss === "object" ? [...(loss as { toArray(): Float64Array }).toArray()] : loss, grad: grad && [...(grad.toArray() as Float64Array)] };
  grad?.dispose();
  topK?.values.dispose();
  topK?.classes.dispose();
  if (typeof loss === "object") (loss as { dispose(): void }).dispose();
  return result;
}

const softmax = f64(A.map((row) => row.map((x) => Math.exp(x) / row.reduce((sum, other) => sum + Math.exp(other), 0))));
const logSoftmax = f64(A.map((row) => row.map((x) => x - Math.log(row.reduce((sum, other) => sum + Math.exp(other), 0)))));
const identity = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]; // prettier-ignore

interface Row {
  /** The same as leaving the option out. */
  readonly same?: readonly unknown[];
  /** Accepted, and changes something. */
  readonly other?: readonly unknown[];
  /** Refused, with the code OPTION_RANGE. */
  readonly refused?: readonly unknown[];
  /** Options that go along in every call of the row. */
  readonly with?: CrossEntropyOptions;
  readonly logits?: ReturnType<typeof f64>;
}

const numberLike = [Number.NaN, "0", null, true, [], {}];
const rows: Partial<Record<keyof CrossEntropyOptions, Row>> = {
  axis: { same: [undefined, -1, 1] },
  shape: { same: [undefined, [3, 4]] },
  dtype: { same: [undefined, "f64", "float64"] },
  reduction: { with: { reduction: "mean" }, other: ["none", "sum"], refused: ["Mean", "", null, 0] },
  denominator: {
    with: { reduction: "mean", sampleWeight: [0, 2, 3] },
    same: [undefined, "weights", 5],
    other: ["valid", "nonzero", 0.5, Number.MIN_VALUE],
    refused: [0, -1, Number.NaN, Infinity, "rows", null],
  },
  ignoreIndex: { same: [undefined, null, [], -1, 4n, [-100, 255], 2n ** 70n], other: [0, 2n, [0, 3], -0], refused: ["0", 0.5, Number.NaN, Infinity, [0.5], [[0]], Array(17).fill(0)] },
  invalidLabel: { same: [undefined, "throw", "nan", "ignore"], refused: ["skip", null, false] },
  classWeight: { same: [undefined, [1, 1, 1, 1], {}, { 0: 1 }], other: [[1, 2, 3, 4], { 2: -1 }, { 3: 0 }], refused: [{ 4: 1 }, { [-1]: 1 }, { x: 1 }, { 1.5: 1 }, { 0: "1" }, { 0: null }] },
  sampleWeight: { same: [undefined, 1, [1, 1, 1]], other: [0, -2, [1, 0, 1]] },
  labelSmoothing: { same: [undefined, 0], other: [1e-9, 0.5, 1], refused: [-0.001, 1.001, ...numberLike] },
  smoothingWeights: { with: { labelSmoothing: 0.2, classWeight: [1, 2, 3, 4] }, same: [undefined, "class"], other: ["row"], refused: ["none", null] },
  emptyMean: { with: { reduction: "mean", sampleWeight: 0 }, same: [undefined, "zero"], other: ["nan"], refused: ["NaN", 0, null] },
  upstream: { same: [undefined, 1], other: [0, -3, Number.NaN, Infinity] },
  loss: { with: { reduction: "none" }, same: [undefined], refused: [true, false, null, "none", [], {}] },
  grad: { same: [true], other: [false, undefined], refused: ["true", 1, null, [], {}] },
  accumulate: { same: [undefined, false], refused: [0, "true", null] },
  zLoss: { same: [undefined, 0], other: [1e-4, 10], refused: [-1e-9, Infinity, ...numberLike] },
  focalGamma: { same: [undefined, 0], other: [0.5, 2, 5], refused: [-1, Infinity, ...numberLike] },
  poly1Epsilon: { same: [undefined, 0], other: [-2, 0.1, 5], refused: [Infinity, -Infinity, ...numberLike] },
  gceQ: { same: [undefined, 0], other: [1e-3, 0.7, 1], refused: [-0.001, 1.001, ...numberLike] },
  softcap: { same: [undefined, 0], other: [0.5, 30], refused: [-1, Infinity, ...numberLike] },
  logitScale: { same: [undefined, 1], other: [0.01, 20], refused: [0, -1, Infinity, ...numberLike] },
  input: { same: [undefined, "logits"], refused: ["logit", "log_probs", null] },
  probsEpsilon: { with: { input: "probs" }, logits: softmax, same: [undefined, 1e-7, 1e-12], other: [0.2, 0.49], refused: [0, 0.5, -1, Infinity, ...numberLike] },
  probsNormalize: { with: { input: "probs" }, logits: softmax, same: [undefined, "before"], refused: ["both", null, true] },
  classMask: { same: [undefined, [1, 1, 1, 1], [true, true, true, true], Uint8Array.of(1, 1, 1, 1)], other: [[1, 0, 1, 1], [true, false, true, true]] },
  labelMatrix: { other: [[[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2]]] },
  outputs: { same: [undefined, [], {}, { predictions: false, logSumExp: undefined }], other: [["logSumExp"], ["targetLogProb"], { predictions: true }, ["perClass"], ["topK"], { targetRank: true }, ["entropy"], ["logProbs"]], refused: ["logSumExp", ["lse"], [null], null, { length: 0 }, { lse: true }, { topK: { k: 3 } }] },
  k: { with: { outputs: ["topK"] }, same: [undefined, 1], other: [2, 4], refused: [0, -1, 1.5, 5, Infinity, ...numberLike] },
}; // prettier-ignore

test("the table has every option", () => {
  expect(Object.keys(rows)).toEqual([...optionNames]);
});

describe.each(Object.entries(rows))("%s", (name, { same = [], other = [], refused = [], with: companions = {}, logits }) => {
  const plain = () => run(companions, logits);
  const given = (value: unknown) => run({ ...companions, [name]: value }, logits);

  test.each(same.map((value) => [value]))("%o is the same as nothing", (value) => {
    expect(given(value)).toEqual(plain());
  });

  test.each(other.map((value) => [value]))("%o makes a difference", (value) => {
    expect(given(value)).not.toEqual(plain());
  });

  test.each(refused.map((value) => [value]))("%o is refused", (value) => {
    const error = errorOf(() => given(value));
    expect(error.code).toBe("OPTION_RANGE");
    expect(error.message).toMatch(new RegExp(`^${name}\\b.* got .+, expected .+`));
  });
});

describe("defaults written out give the same call", () => {
  test("in one object", () => {
    const defaults: CrossEntropyOptions = {
      axis: -1,
      reduction: "mean",
      denominator: "weights",
      ignoreIndex: null,
      invalidLabel: "throw",
      sampleWeight: 1,
      labelSmoothing: 0,
      smoothingWeights: "class",
      emptyMean: "zero",
      upstream: 1,
      grad: false,
      accumulate: false,
      zLoss: 0,
      focalGamma: 0,
      poly1Epsilon: 0,
      gceQ: 0,
      softcap: 0,
      logitScale: 1,
      input: "logits",
      outputs: [],
    };
    expect(engine.xent.crossEntropy(f64(A), [2, 0, 3], defaults)).toEqual(engine.xent.crossEntropy(f64(A), [2, 0, 3]));
  });

  test("undefined counts as left out", () => {
    const nothing: CrossEntropyOptions = Object.fromEntries(optionNames.map((name) => [name, undefined]));
    expect(engine.xent.crossEntropy(f64(A), [2, 0, 3], nothing)).toEqual(engine.xent.crossEntropy(f64(A), [2, 0, 3]));
  });
});

describe("inputs other than logits", () => {
  test("log-probabilities give the loss of their logits", () => {
    expectClose(run({ input: "logProbs" }, logSoftmax).loss as number, run({}).loss as number);
    expectClose(run({ input: "logProbs" }, logSoftmax).grad, [0, 0, -1, 0, -1, 0, 0, 0, 0, 0, 0, -1]);
  });

  test("probabilities give the loss of their logits, whatever they are multiplied by", () => {
    const times3 = { ...softmax, data: softmax.data.map((p) => 3 * p) };
    for (const probsNormalize of ["before", "after"]) {
      expectClose(run({ input: "probs", probsNormalize }, softmax).loss as number, run({}).loss as number, 1e-9);
    }
    expectClose(run({ input: "probs" }, times3).loss as number, run({}).loss as number, 1e-9);
    expectClose(run({ input: "probs", probsNormalize: "none" }, softmax).loss as number, run({}).loss as number, 1e-9);
  });

  test("a label matrix of ones on the diagonal is the plain loss", () => {
    expectClose(run({ labelMatrix: identity }).loss as number, run({}).loss as number);
    expectClose(run({ labelMatrix: identity.flat() }).grad, run({}).grad, 1e-9);
    expect(run({ labelMatrix: { data: identity.flat(), shape: [4, 4] } })).toEqual(run({ labelMatrix: identity }));
  });
});

describe("labels that are no class", () => {
  const call = (invalidLabel: "nan" | "ignore") => engine.xent.crossEntropy(f64(A), [2, 9, 3], { invalidLabel, grad: true, reduction: "none" });

  test("make their row NaN", () => {
    const { loss, grad, validCount, invalidCount } = call("nan");
    expect([...loss.view].map(Number.isNaN)).toEqual([false, true, false]);
    expect([...grad.view.slice(4, 8)]).toEqual([Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
    expect([validCount, invalidCount]).toEqual([3, 1]);
  });

  test("or are ignored", () => {
    const { loss, grad, validCount, invalidCount } = call("ignore");
    expect(loss.view[1]).toBe(0);
    expect([...grad.view.slice(4, 8)]).toEqual([0, 0, 0, 0]);
    expect([validCount, invalidCount]).toEqual([2, 1]);
  });

  test("never wrap around 32 bits", () => {
    const far = BigInt64Array.of(2n, 2n ** 32n, 3n);
    expect(errorOf(() => engine.xent.crossEntropy(f64(A), far)).got).toBe(2 ** 32);
    expect(engine.xent.crossEntropy(f64(A), far, { ignoreIndex: 2n ** 32n }).validCount).toBe(2);
    expect(engine.xent.crossEntropy(f64(A), BigUint64Array.of(2n, 2n ** 64n - 1n, 3n), { ignoreIndex: 2n ** 64n - 1n }).validCount).toBe(2);
  });
});

describe("options that exclude each other", () => {
  const conflicts: readonly (readonly [string, object])[] = [
    ["zLoss", { input: "logProbs", zLoss: 0.1 }],
    ["softcap", { input: "logProbs", softcap: 30 }],
    ["logitScale", { input: "logProbs", logitScale: 2 }],
    ["outputs logSumExp", { input: "logProbs", outputs: ["logSumExp"] }],
    ["zLoss", { input: "probs", zLoss: 0.1 }],
    ["softcap", { input: "probs", softcap: 30 }],
    ["logitScale", { input: "probs", logitScale: 2 }],
    ["outputs logSumExp", { input: "probs", outputs: ["logSumExp"] }],
    ["outputs topK", { input: "logProbs", outputs: ["topK"] }],
    ["outputs entropy", { input: "probs", outputs: ["entropy"] }],
    ["outputs logProbs", { input: "logProbs", outputs: ["logProbs"] }],
    ["focalGamma", { input: "probs", focalGamma: 1 }],
    ["poly1Epsilon", { input: "probs", poly1Epsilon: 1 }],
    ["gceQ", { input: "probs", gceQ: 0.7 }],
    ["labelSmoothing", { input: "probs", labelSmoothing: 0.1 }],
    ["classMask", { input: "probs", classMask: [1, 1, 1, 1] }],
    ["labelMatrix", { input: "probs", labelMatrix: identity }],
    ["probsEpsilon", { probsEpsilon: 1e-3 }],
    ["probsNormalize", { input: "logProbs", probsNormalize: "none" }],
    ["classWeight", { labelMatrix: identity, classWeight: [1, 1, 1, 1] }],
    ["labelSmoothing", { labelMatrix: identity, labelSmoothing: 0.1 }],
    ["focalGamma", { labelMatrix: identity, focalGamma: 1 }],
    ["poly1Epsilon", { labelMatrix: identity, poly1Epsilon: 1 }],
    ["gceQ", { labelMatrix: identity, gceQ: 0.7 }],
    ["focalGamma", { gceQ: 0.7, focalGamma: 2 }],
    ["poly1Epsilon", { gceQ: 0.7, poly1Epsilon: 1 }],
    ["upstream per row", { upstream: [1, 1, 1], reduction: "mean" }],
    ["accumulate", { accumulate: true, grad: true }],
    ["accumulate", { accumulate: true, grad: false }],
  ];
  test.each(conflicts)("%s in %o", (name, options) => {
    const error = errorOf(() => run(options));
    expect(error.code).toBe("OPTION_CONFLICT");
    expect(error.message).toMatch(new RegExp(`^${name} got a value, expected `));
  });

  test("in place and accumulate", () => {
    const logits = engine.xent.tensor("f64", [3, 4]);
    expect(errorOf(() => engine.xent.crossEntropy(logits, [0, 0, 0], { grad: logits, accumulate: true })).code).toBe("OPTION_CONFLICT");
  });

  test("a default beside what excludes it is no conflict", () => {
    expect(() => run({ input: "logProbs", zLoss: 0, logitScale: 1 }, logSoftmax)).not.toThrow();
  });
});

test("an unknown key is refused, and the message lists the known ones", async () => {
  const error = errorOf(() => run({ label_smoothing: 0.1 }));
  expect([error.code, error.got]).toEqual(["OPTION_RANGE", "label_smoothing"]);
  for (const name of optionNames) expect(error.message).toContain(name);
  expect(error.message).toMatch(/; did you mean labelSmoothing\?$/);
  expect(errorOf(() => run({ signal: new AbortController().signal })).got).toBe("signal");
  const promise = engine.xent.crossEntropyAsync(f64(A), [2, 0, 3], { signal: new AbortController().signal });
  await expect(promise).resolves.toHaveProperty("rowCount", 3);
  expect((await rejectionOf(engine.xent.crossEntropyAsync(f64(A), [2, 0, 3], { sginal: 1 } as object))).got).toBe("sginal");
});

test.each([
  ["labelSmooting", "labelSmoothing"],
  ["labelsmoothing", "labelSmoothing"],
  ["reductoin", "reduction"],
  ["ignore_index", "ignoreIndex"],
  ["classWeights", "classWeight"],
  ["zloss", "zLoss"],
  ["grads", "grad"],
  ["temperature", undefined],
])("a misspelt %s is taken for %s", (key, meant) => {
  const hint = /; did you mean (\w+)\?$/.exec(errorOf(() => run({ [key]: 1 })).message);
  expect(hint?.[1]).toBe(meant);
});

test.each(Object.entries<CrossEntropyOptions>(presets))("preset %s is accepted as it is", (_, preset) => {
  const { rowCount } = engine.xent.crossEntropy(f64(A), [2, 0, 3], preset);
  expect(rowCount).toBe(3);
});
