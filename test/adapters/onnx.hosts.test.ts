// sparse-xent/onnx on tensors of ONNX Runtime, in its two forms: every node case that ONNX has of the two operators, beside what the operators' definition says and what
// ONNX Runtime itself gives.
import { readFileSync } from "node:fs";
import { load, type Engine } from "sparse-xent";
import { onnxLosses, type OnnxTensor } from "sparse-xent/onnx";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { host, moduleOfHosts } from "../hosts.ts";
import { rejectionOf } from "../support.ts";

interface Case {
  readonly name: string;
  readonly logits: { readonly shape: number[]; readonly values: (number | string)[] };
  readonly labels: { readonly dtype: "i32" | "i64"; readonly shape: number[]; readonly values: number[] };
  readonly options: { readonly reduction: "mean" | "sum" | "none"; readonly input?: string; readonly ignoreIndex?: number; readonly classWeight?: { readonly values: number[] }; readonly outputs?: string[] };
  readonly expect: { readonly loss: number | string | (number | string)[]; readonly targetLogProb?: (number | string)[] };
  readonly bound: { readonly loss: number | number[]; readonly targetLogProb?: number[] };
}

const { cases } = JSON.parse(readFileSync(new URL("../golden/onnx.json", import.meta.url), "utf8")) as { cases: Case[] };

/** ln p of all classes by the definition, classes on axis 1. */
function definition(values: readonly number[], [, classes = 0, ...rest]: readonly number[]): number[] {
  const inner = rest.reduce((product, size) => product * size, 1);
  return values.map((value, at) => {
    const first = Math.floor(at / (classes * inner)) * classes * inner + (at % inner);
    const row = Array.from({ length: classes }, (_, k) => values[first + k * inner] ?? 0);
    const most = Math.max(...row);
    return value - most - Math.log(row.reduce((sum, each) => sum + Math.exp(each - most), 0));
  });
}

const near = (found: ArrayLike<unknown>, wanted: readonly unknown[], bound: number | readonly number[]): void => {
  expect(found.length).toBe(wanted.length);
  for (const [at, want] of wanted.map(Number).entries()) {
    if (Number.isNaN(want)) expect(found[at], `at ${at}`).toBeNaN();
    else expect(Math.abs(Number(found[at]) - want), `at ${at}: ${found[at]}, ${want}`).toBeLessThanOrEqual(typeof bound === "number" ? bound : (bound[at] ?? 0));
  }
};

describe.each(["onnxruntime-node", "onnxruntime-web"])("%s", (name) => {
  const { title, isHere } = host(name);
  describe.skipIf(!isHere)(title, () => {
    let ort: Awaited<ReturnType<typeof moduleOfHosts>>;
    let xent: Engine;
    let losses: ReturnType<typeof onnxLosses<{ Tensor: new (...args: unknown[]) => OnnxTensor & { readonly data: ArrayLike<number> } }>>;
    let lossModel: Awaited<ReturnType<typeof moduleOfHosts>>;
    beforeAll(async () => {
      ({ ort } = await moduleOfHosts(name));
      ({ lossModel } = await moduleOfHosts("loss-model"));
      xent = await load();
      losses = onnxLosses(ort, xent);
    }, 60_000);
    afterAll(() => xent?.dispose());

    const tensorOf = (type: string, values: readonly (number | string)[], dims: readonly number[]) =>
      new ort.Tensor(type, type === "int64" ? BigInt64Array.from(values, BigInt) : new { int32: Int32Array, float32: Float32Array, float64: Float64Array }[type as "int32"](values.map(Number)), dims);
    const inputsOf = ({ logits, labels, options }: Case) => ({
      scores: tensorOf("float32", logits.values, logits.shape),
      labels: tensorOf(labels.dtype === "i32" ? "int32" : "int64", labels.values, labels.shape),
      weights: options.classWeight && tensorOf("float32", options.classWeight.values, [options.classWeight.values.length]),
    });

    test("there are 34 and 18 cases", () => {
      const nll = cases.filter(({ options }) => options.input === "logProbs");
      expect([cases.length - nll.length, nll.length]).toEqual([34, 18]);
    });

    test.each(cases.map((each) => [each.name, each] as const))("%s", async (_, each) => {
      const { scores, labels, weights } = inputsOf(each);
      const { reduction, ignoreIndex, input, outputs } = each.options;
      const logProb = outputs?.includes("targetLogProb") === true;
      const isNll = input === "logProbs";
      const operation = isNll ? losses.negativeLogLikelihoodLoss : losses.softmaxCrossEntropyLoss;
      const found = await operation(scores, labels, weights, { reduction, ignoreIndex, ...(logProb && { logProb }) });
      expect(found.loss).toBeInstanceOf(ort.Tensor);
      expect([found.loss.type, found.loss.dims]).toEqual(["float32", reduction === "none" ? labels.dims : []]);
      const wanted = each.expect.loss;
      near(found.loss.data, Array.isArray(wanted) ? wanted : [wanted], each.bound.loss);
      if (logProb) {
        const values = each.logits.values.map(Number);
        expect([found.logProb?.type, found.logProb?.dims]).toEqual(["float32", each.logits.shape]);
        near(found.logProb?.data ?? [], definition(values, each.logits.shape), 1e-5);
      } else expect(found.logProb).toBeUndefined();

      // ONNX Runtime on the same inputs.
      const model = lossModel(isNll ? "NegativeLogLikelihoodLoss" : "SoftmaxCrossEntropyLoss", {
        dims: each.logits.shape, labels: labels.type, reduction, ignoreIndex, weighted: weights !== undefined, logProb,
      }); // prettier-ignore
      const session = await ort.InferenceSession.create(model);
      const its = await session.run({ scores, labels, ...(weights && { weights }) });
      near(found.loss.data, [...its.loss.data], 1e-5 * Math.max(1, ...[...its.loss.data].map((value) => Math.abs(Number(value)))));
      if (logProb) near(found.logProb?.data ?? [], [...its.log_prob.data], 1e-5);
      await session.release();
      expect(xent.info.usedBytes).toBe(0);
    });

    const scores = () => tensorOf("float32", [0.5, -1, 2, 0.25, 1.5, 0, -0.5, 3, -2, 1, 0.75, 0], [3, 4]);
    const labels = () => tensorOf("int64", [2, 0, 3], [3]);

    test("gradients, of both operators, under upstream and ignored labels", async () => {
      const { gradient, loss } = await losses.softmaxCrossEntropyLoss(scores(), labels(), null, { gradient: true });
      expect([gradient?.type, gradient?.dims]).toEqual(["float32", [3, 4]]);
      const p = definition([...scores().data], [3, 4]).map(Math.exp);
      near(gradient?.data ?? [], p.map((each, at) => (each - Number([2, 4, 11].includes(at))) / 3), 1e-7);
      near(loss.data, [1.306962], 1e-6);
      const upstream = tensorOf("float32", [1, -2, 5], [3]);
      const each = await losses.softmaxCrossEntropyLoss(scores(), labels(), null, { gradient: true, reduction: "none", upstream, ignoreIndex: 3 });
      near(each.gradient?.data ?? [], p.map((value, at) => (value - Number([2, 4].includes(at))) * ([1, -2, 0][Math.floor(at / 4)] ?? 0)), 1e-6);
      const nll = await losses.negativeLogLikelihoodLoss(scores(), labels(), tensorOf("float32", [1, 2, 3, 4], [4]), { gradient: true, reduction: "sum", upstream: 2 });
      near(nll.gradient?.data ?? [], [0, 0, -6, 0, -2, 0, 0, 0, 0, 0, 0, -8], 0);
    });

    test("logProb of scores far from 0 is that of scores near 0, and a row with a NaN is its own", async () => {
      const far = tensorOf("float32", [1e6 + 2, 1e6 - 1, 1e6 + 0.5, 1, Number.NaN, 2], [2, 3]);
      const { logProb } = await losses.softmaxCrossEntropyLoss(far, tensorOf("int64", [0, 1], [2]), null, { reduction: "none", logProb: true });
      near(logProb?.data ?? [], [...definition([2, -1, 0.5], [1, 3]), Number.NaN, Number.NaN, Number.NaN], 1e-6);
    });

    test("float64 stays float64; float16 scores give a float32 loss and a float16 gradient", async () => {
      const wide = tensorOf("float64", [...scores().data], [3, 4]);
      const { loss, logProb } = await losses.softmaxCrossEntropyLoss(wide, labels(), null, { logProb: true });
      expect([loss.type, logProb?.type]).toEqual(["float64", "float64"]);
      near(logProb?.data ?? [], definition([...wide.data], [3, 4]), 1e-14);
      // 1, 0 and 2, -1, in the class of array that this engine has for them.
      const bits = Uint16Array.of(0x3c00, 0, 0x4000, 0xbc00);
      const Halves = (globalThis as unknown as { Float16Array?: new (buffer: ArrayBuffer) => ArrayLike<number> }).Float16Array ?? Uint16Array;
      const half = new ort.Tensor("float16", new Halves(bits.buffer), [2, 2]);
      const narrow = await losses.softmaxCrossEntropyLoss(half, tensorOf("int64", [0, 1], [2]), null, { gradient: true });
      expect([narrow.loss.type, narrow.gradient?.type, narrow.gradient?.data.constructor]).toEqual(["float32", "float16", Halves]);
      near(narrow.loss.data, [(Math.log1p(Math.exp(-1)) + Math.log1p(Math.exp(3))) / 2], 1e-6);
      const error = await rejectionOf(losses.softmaxCrossEntropyLoss(half, tensorOf("int64", [0, 1], [2]), null, { logProb: true }));
      expect([error.code, error.message]).toEqual(["DTYPE", "scores type got float16, expected float32 or float64 where logProb is asked for"]);
    });

    test("a tensor on a device is fetched", async () => {
      const own = scores();
      const onDevice = { type: "float32", dims: [3, 4], location: "gpu-buffer", get data(): never { throw new Error("not here"); }, getData: async () => own.data };
      near((await losses.softmaxCrossEntropyLoss(onDevice as never, labels())).loss.data, [1.306962], 1e-6);
    });

    test("errors", async () => {
      const bad = await rejectionOf(losses.softmaxCrossEntropyLoss(scores(), tensorOf("int64", [2, -1, 3], [3]), null, { gradient: true }));
      expect([bad.code, bad.index]).toEqual(["LABEL_OUT_OF_RANGE", 1]);
      const conflict = await rejectionOf(losses.negativeLogLikelihoodLoss(scores(), labels(), null, { logProb: true } as never));
      expect(conflict.code).toBe("OPTION_CONFLICT");
      const unknown = await rejectionOf(losses.softmaxCrossEntropyLoss(scores(), labels(), null, { ignore_index: 1 } as never));
      expect(unknown.message).toBe('settings got "ignore_index", expected keys among reduction, ignoreIndex, logProb, gradient, upstream, signal');
      const aborted = await rejectionOf(losses.softmaxCrossEntropyLoss(scores(), labels(), null, { signal: AbortSignal.abort() }));
      expect(aborted.code).toBe("ABORTED");
      expect(xent.info.usedBytes).toBe(0);
    });
  });
});
