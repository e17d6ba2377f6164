// The element-wise operation: TensorFlow's values, positive weights per class, and the same care with arguments.
import { Tensor, type LogitsInput, type WeightedSigmoidOptions, type WeightsInput } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { sigmoidOptionNames } from "../ts/sigmoid.ts";
import { errorOf, expectClose, f64, rejectionOf, useEngine } from "./support.ts";

const engine = useEngine();
const x = [2, 2, -1, 0.5];
const t = [1, 0, 1, 0.25];
const loss = [0.380784033129, 2.12692801104, 3.93978506255, 1.08611547627];
const grad = [-0.357608766066, 0.880797077978, -2.19317573589, 0.183688996803];
const sum = loss.reduce((total, value) => total + value, 0);

describe("values of TensorFlow, positive weight 3", () => {
  test("per element", () => {
    const result = engine.xent.weightedSigmoidCrossEntropy(f64(x), t, { posWeight: 3, reduction: "none", grad: true });
    expectClose(result.loss.toArray(), loss);
    expectClose(result.grad.toArray() as Float64Array, grad);
    expectClose(result.lossSum, sum);
    expect(Object.keys(result).sort()).toEqual(["denominator", "grad", "loss", "lossSum", "nonFiniteCount", "weightSum"]);
  });

  test.each(["f32", "f16", "bf16"] as const)("per element, %s, to the last digit of single precision", (dtype) => {
    const { xent } = engine;
    const grads = xent.tensor("f32", [4]);
    const result = xent.weightedSigmoidCrossEntropy(xent.tensor(dtype, [4], x), t, { posWeight: 3, reduction: "none", grad: grads });
    expectClose(result.loss.toArray(), loss, 2 ** -24);
    expectClose(grads.toArray(), grad, 2 ** -24);
  });

  test("sum and mean", () => {
    expectClose(engine.xent.weightedSigmoidCrossEntropy(f64(x), t, { posWeight: 3, reduction: "sum" }).loss, sum);
    const mean = engine.xent.weightedSigmoidCrossEntropy(f64(x), t, { posWeight: 3, grad: true });
    expectClose(mean.loss, sum / 4);
    expectClose(mean.grad.toArray() as Float64Array, grad.map((value) => value / 4));
    expect([mean.denominator, mean.weightSum]).toEqual([4, 4]);
  });

  test("sample weights are what the mean divides by", () => {
    const sampleWeight = [1, 0, 2, 0];
    const result = engine.xent.weightedSigmoidCrossEntropy(f64(x), t, { posWeight: 3, sampleWeight });
    expectClose(result.loss, ((loss[0] ?? 0) + 2 * (loss[2] ?? 0)) / 3);
    expect(engine.xent.weightedSigmoidCrossEntropy(f64(x), t, { posWeight: 3, sampleWeight, denominator: "nonzero" }).denominator).toBe(2);
    expect(engine.xent.weightedSigmoidCrossEntropy(f64(x), t, { sampleWeight: 0, emptyMean: "nan" }).loss).toBeNaN();
    const rows = { data: x, shape: [2, 2] };
    const perRow = engine.xent.weightedSigmoidCrossEntropy({ ...rows, data: Float64Array.from(x) }, t, { sampleWeight: { data: [5, 0], shape: [2, 1] } });
    expect(perRow.weightSum).toBe(10);
  });

  test("in place, into a tensor, added to it, and asynchronously: the same bits", async () => {
    const { xent } = engine;
    const logits = xent.tensor("f32", [2, 2]);
    logits.view.set(x);
    const expected = xent.weightedSigmoidCrossEntropy(logits, t, { posWeight: 3, grad: true }).grad.toArray();
    const target = xent.tensor("f32", [2, 2]);
    xent.weightedSigmoidCrossEntropy(logits, t, { posWeight: 3, grad: target });
    expect(target.toArray()).toEqual(expected);
    target.view.fill(0);
    xent.weightedSigmoidCrossEntropy(logits, t, { posWeight: 3, grad: target, accumulate: true });
    expect(target.toArray()).toEqual(expected);
    expect((await xent.weightedSigmoidCrossEntropyAsync(logits, t, { posWeight: 3, grad: true })).grad.toArray()).toEqual(expected);
    xent.weightedSigmoidCrossEntropy(logits, t, { posWeight: 3, grad: logits });
    expect(logits.toArray()).toEqual(expected);
  });
});

test("positive weights per class follow the axis", () => {
  const { xent } = engine;
  const logits = { data: Float64Array.of(1, 1, 1, 1, 1, 1), shape: [2, 3] };
  const ones = new Uint8Array(6).fill(1);
  const last = xent.weightedSigmoidCrossEntropy(logits, ones, { posWeight: [1, 2, 0], reduction: "none" }).loss.toArray();
  const unit = Math.log1p(Math.exp(-1));
  expectClose(last, [unit, 2 * unit, 0, unit, 2 * unit, 0]);
  const first = xent.weightedSigmoidCrossEntropy(logits, ones, { posWeight: Float32Array.of(1, 2), axis: 0, reduction: "none" }).loss.toArray();
  expectClose(first, [unit, unit, unit, 2 * unit, 2 * unit, 2 * unit]);
});

test("a term without weight is not evaluated", () => {
  const result = engine.xent.weightedSigmoidCrossEntropy(f64([Infinity, -Infinity, -Infinity, Number.NaN]), [1, 1, 0, 0], { posWeight: 3, reduction: "none", grad: true });
  expectClose(result.loss.toArray(), [0, Infinity, 0, Number.NaN]);
  expectClose(result.grad.toArray() as Float64Array, [0, -3, 0, Number.NaN]);
  expect(result.nonFiniteCount).toBe(2);
});

describe("is refused with nothing written", () => {
  const bare = Float32Array.from(x);
  const cases: readonly (readonly [string, string, unknown, unknown, object])[] = [
    ["DTYPE", "targets dtype got i32, expected one of f32, f64, u8", f64(x), Int32Array.from(t), {}],
    ["SHAPE", "targets shape got [3], expected [4] for logits [4], axis -1", f64(x), { data: [1, 0, 1], shape: [3] }, {}],
    ["SHAPE", "posWeight shape got [2], expected [4] for logits [4], axis -1", f64(x), t, { posWeight: { data: [1, 1], shape: [2] } }],
    ["LENGTH", "targets length got 1, expected 4 (elements)", f64(x), [1], {}],
    ["LENGTH", "posWeight length got 1, expected 4 (classes)", bare, t, { shape: [4], posWeight: [1] }],
    ["OPTION_RANGE", "posWeight got -1, expected a finite number of at least 0", f64(x), t, { posWeight: -1 }],
    ["OPTION_RANGE", "posWeight got NaN, expected a finite number of at least 0", f64(x), t, { posWeight: Number.NaN }],
    ["OPTION_RANGE", `options got "labelSmoothing", expected one of ${sigmoidOptionNames.join(", ")}`, f64(x), t, { labelSmoothing: 0.1 }],
    ["OPTION_CONFLICT", 'upstream per element got a value, expected a number unless reduction is "none"', f64(x), t, { upstream: t }],
    ["WEIGHT_VALUE", "posWeight[2] got -1, expected a finite number of at least 0", f64(x), t, { posWeight: [1, 1, -1, 1] }],
    ["WEIGHT_VALUE", "sampleWeight[1] got NaN, expected a finite number", f64(x), t, { sampleWeight: [1, Number.NaN, 1, 1] }],
  ];
  test.each(cases)("%s: %s", async (code, message, logits, targets, more) => {
    const { xent } = engine;
    const used = xent.info.usedBytes;
    const options = { grad: true, ...more } as WeightedSigmoidOptions;
    expect(errorOf(() => xent.weightedSigmoidCrossEntropy(logits as LogitsInput, targets as WeightsInput, options))).toMatchObject({ code, message });
    // The asynchronous form says the same, and knows one more key.
    const rejection = await rejectionOf(xent.weightedSigmoidCrossEntropyAsync(logits as LogitsInput, targets as WeightsInput, options));
    expect(rejection.message.replace(/, signal$/, "")).toBe(message);
    expect(xent.info.usedBytes).toBe(used);
  });

  test("ALIAS: a gradient over the targets", () => {
    const targets: Tensor<"f32"> = engine.xent.tensor("f32", [4]);
    expect(errorOf(() => engine.xent.weightedSigmoidCrossEntropy(bare, targets, { shape: [4], grad: targets }))).toMatchObject({ code: "ALIAS" });
  });
});
