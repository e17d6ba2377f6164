// Every allocation of a call refused in turn, in a build whose allocator fails on demand: the call is OUT_OF_MEMORY and has written nothing, or it did
// without and has the same bits; the engine goes on. The same build has canaries beside every allocation: nothing writes beside what it was given.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { load, type Dtype, type Engine, type Tensor } from "sparse-xent";
import { afterEach, describe, expect, test } from "vitest";
import { rejectionOf } from "./support.ts";

const wasm = new URL("../target/pkg-faults/sparse_xent_bg.wasm", import.meta.url);
const inject = Symbol.for("sparse-xent.injectFault");

/** What the allocator of this build does on demand; see crate/js/faults.rs. */
class Faulty {
  readonly xent: Engine;
  readonly #inject: (kind: number, how: string, value: number) => number;

  constructor(xent: Engine) {
    this.xent = xent;
    this.#inject = (xent as unknown as Record<typeof inject, (kind: number, how: string, value: number) => number>)[inject];
  }

  static async load(threads: number): Promise<Faulty> {
    if (!existsSync(fileURLToPath(wasm))) throw new Error("the wasm of these tests is not built: npm test -- refusals builds it");
    return new Faulty(await load({ wasm, threads }));
  }

  /** Refuses the request of this number from now on, or all from there. */
  refuse(number: number, all: boolean): void {
    this.#inject(all ? 17 : 16, "sync", number);
  }

  /** Refuses none, and says how many requests there were since. */
  requests(): number {
    return this.#inject(18, "sync", 0) - 100;
  }

  brokenCanaries(): number {
    return this.#inject(19, "sync", 0) - 100;
  }
}

/** Numbers that are the same in every run and differ from their neighbours. */
const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => ((at * 7) % 23) / 4 - 2);

function tensorOf<D extends Dtype>(xent: Engine, dtype: D, shape: readonly number[], values: readonly number[]): Tensor<D> {
  const tensor = xent.tensor(dtype, shape);
  const view = tensor.view as unknown as { set(values: ArrayLike<number>): void };
  // The bits of numbers below 1 in 16 bits; that they are odd numbers does no harm.
  view.set(dtype === "f16" || dtype === "bf16" ? values.map((value) => 0x3000 + (Math.abs(value) * 64) % 1024) : values);
  return tensor;
}

interface Case {
  readonly name: string;
  readonly dtype: "f32" | "f64" | "f16" | "bf16";
  readonly shape: readonly number[];
  /** Beside `axis`. `grad` of "logits" is in place, of "given" a tensor. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly grad: boolean | "logits" | "given";
  readonly operation?: "sigmoid";
}

const outputs = ["logSumExp", "targetLogProb", "predictions", "perClass"];
const distribution = ["topK", "targetRank", "entropy", "logProbs"];
const cases: readonly Case[] = [
  { name: "rows", dtype: "f32", shape: [600, 1000], options: {}, grad: true },
  { name: "rows in place", dtype: "f32", shape: [600, 1000], options: { reduction: "none", outputs }, grad: "logits" },
  { name: "narrow rows", dtype: "f32", shape: [20_000, 33], options: { reduction: "none", outputs }, grad: "logits" },
  { name: "a long row in place", dtype: "f32", shape: [1, 520_000], options: { reduction: "none", outputs }, grad: "logits" },
  { name: "double precision", dtype: "f64", shape: [40, 1000], options: { outputs, labelSmoothing: 0.1 }, grad: "given" },
  { name: "half precision under a mask, accumulated", dtype: "f16", shape: [300, 2500], options: { accumulate: true, classMask: Array.from({ length: 2500 }, (_, k) => k < 5 || k % 3 !== 0) }, grad: "given" },
  { name: "planes in place", dtype: "f32", shape: [2, 33, 10_000], options: { axis: 1, reduction: "none", outputs: ["predictions"] }, grad: "logits" },
  { name: "all of a row's distribution, in place", dtype: "f32", shape: [60, 5000], options: { outputs: distribution, k: 7, reduction: "none" }, grad: "logits" },
  { name: "all of a row's distribution, planes of half precision", dtype: "f16", shape: [2, 33, 500], options: { axis: 1, outputs: distribution, k: 7 }, grad: "logits" },
  { name: "planes in double precision", dtype: "f64", shape: [2, 33, 500], options: { axis: 1, reduction: "none" }, grad: "logits" },
  { name: "a label matrix", dtype: "bf16", shape: [50, 70], options: { labelMatrix: { data: Float64Array.from(numbers(70 * 70)), shape: [70, 70] } }, grad: true },
  { name: "log-probabilities", dtype: "f32", shape: [50, 70], options: { input: "logProbs", labelSmoothing: 0.5, classWeight: numbers(70) }, grad: "logits" },
  { name: "probabilities, sums per class", dtype: "f32", shape: [50, 70], options: { input: "probs", outputs: ["perClass"] }, grad: true },
  { name: "weights, ignored labels", dtype: "f32", shape: [9000, 10], options: { sampleWeight: numbers(9000), ignoreIndex: [3, 4], focalGamma: 2 }, grad: true },
  { name: "sigmoid", dtype: "f32", shape: [100_000], options: { posWeight: 3, reduction: "none" }, grad: "logits", operation: "sigmoid" },
];

/** A case's tensors in an engine, and its call. */
class Given {
  readonly #faulty: Faulty;
  readonly #case: Case;
  readonly #values: number[];
  readonly #logits: Tensor<Case["dtype"]>;
  readonly #labels: Tensor<"i32" | "f32">;
  readonly #grad: Tensor | undefined;

  constructor(faulty: Faulty, which: Case) {
    const { xent } = faulty;
    this.#faulty = faulty;
    this.#case = which;
    const { dtype, shape, options, operation } = which;
    const axis = options["axis"] === 1 ? 1 : shape.length - 1;
    const size = shape.reduce((all, one) => all * one, 1);
    const classes = shape[axis] ?? 1;
    this.#values = numbers(size);
    if (options["input"] === "probs") this.#values = this.#values.map((value) => Math.abs(value) / classes + 1e-3);
    this.#logits = tensorOf(xent, dtype, shape, this.#values);
    this.#labels =
      operation === "sigmoid"
        ? tensorOf(xent, "f32", shape, this.#values.map((_, at) => at % 2))
        : tensorOf(xent, "i32", shape.filter((_, at) => at !== axis), Array.from({ length: size / classes }, (_, at) => [1, 4, 0, 3][at % 4] ?? 0));
    this.#grad = which.grad === "given" ? tensorOf(xent, dtype === "f16" ? "f32" : dtype, shape, this.#values) : undefined;
    this.#before = this.#bytes();
  }

  readonly #before: string;
  /** Allocations of the last call. */
  requests = 0;

  /** What is in the tensors that a call may not change unless it succeeds. */
  #bytes(): string {
    const digest = ({ view }: Tensor): string => {
      let hash = 0;
      const words = new Int32Array(view.buffer, view.byteOffset, view.byteLength >> 2);
      for (const word of words) hash = (Math.imul(hash, 31) + word) | 0;
      return `${hash}`;
    };
    return [this.#logits, this.#labels, ...(this.#grad ? [this.#grad] : [])].map(digest).join(" ");
  }

  /** Calls, and says what came of it; the tensors are as before then. */
  async call(how: "sync" | "async"): Promise<string> {
    const { xent } = this.#faulty;
    const { options, grad, operation } = this.#case;
    const all = { ...options, grad: grad === "logits" ? this.#logits : grad === "given" ? this.#grad : grad };
    const name = operation === "sigmoid" ? "weightedSigmoidCrossEntropy" : "crossEntropy";
    const call = (xent as unknown as Record<string, (...args: unknown[]) => unknown>)[how === "sync" ? name : `${name}Async`] as (...args: unknown[]) => unknown;
    const used = xent.info.usedBytes;
    try {
      const result = (await call.call(xent, this.#logits, this.#labels, all)) as Record<string, unknown>;
      this.requests = this.#faulty.requests();
      const said: string[] = [];
      const { topK, ...others } = result;
      for (const [key, value] of Object.entries({ ...others, ...(topK as object) })) {
        const view = (value as Tensor | undefined)?.view;
        const made = view !== undefined && value !== this.#logits && value !== this.#grad;
        said.push(`${key} ${view === undefined ? JSON.stringify(value, (_, inner: unknown) => (ArrayBuffer.isView(inner) ? Array.from(inner as Float64Array) : inner)) : this.#sum(view as never)}`);
        if (made) (value as Tensor).dispose();
      }
      return said.join("\n");
    } catch (error) {
      this.#faulty.requests();
      const { code } = error as { code?: string };
      expect(code, String(error)).toBe("OUT_OF_MEMORY");
      expect(this.#bytes(), "nothing is written").toBe(this.#before);
      return "OUT_OF_MEMORY";
    } finally {
      expect(xent.info.usedBytes, "nothing is left").toBe(used);
      this.#restore();
    }
  }

  /** All bits of a view, in short. */
  #sum(view: Float32Array): string {
    let hash = 0;
    const bytes = view.byteLength % 4 === 0 ? new Int32Array(view.buffer, view.byteOffset, view.byteLength / 4) : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    for (const word of bytes) hash = (Math.imul(hash, 31) + word) | 0;
    return `${view.length}:${hash}`;
  }

  #restore(): void {
    const { dtype } = this.#case;
    const again = tensorOf(this.#faulty.xent, dtype, this.#case.shape, this.#values);
    this.#logits.view.set(again.view as never);
    again.dispose();
    if (this.#grad) (this.#grad.view as Float32Array).set(this.#values);
  }

  dispose(): void {
    for (const tensor of [this.#logits, this.#labels, this.#grad]) tensor?.dispose();
  }
}

let engines: Faulty[] = [];
async function loaded(threads: number): Promise<Faulty> {
  const faulty = await Faulty.load(threads);
  engines.push(faulty);
  return faulty;
}
afterEach(async () => {
  await Promise.all(engines.map(({ xent }) => xent.dispose()));
  engines = [];
});

describe("every allocation of a call refused in turn", () => {
  for (const threads of [1, 2]) {
    test.each(cases)(`$name, ${threads} threads`, async (which) => {
      const faulty = await loaded(threads);
      const given = new Given(faulty, which);
      const codes = new Set<string>();
      for (const how of ["sync", "async"] as const) {
        // The first call of its kind may start a thread; the second one's requests are counted.
        const want = await given.call(how);
        faulty.refuse(0, false);
        expect(await given.call(how)).toBe(want);
        const { requests } = given;
        expect(requests).toBeGreaterThan(2);
        for (const all of [false, true]) {
          // How many jobs are queued, and so how often rayon's queue grows, is a matter of time.
          for (let number = 1; number <= requests + 3; number += 1) {
            faulty.refuse(number, all);
            const said = await given.call(how);
            if (said !== "OUT_OF_MEMORY") expect(said, `${how}, request ${number} refused`).toBe(want);
            codes.add(said === "OUT_OF_MEMORY" ? said : "the same bits");
          }
        }
        expect(await given.call(how), "after all of them").toBe(want);
      }
      expect([...codes].sort()).toEqual(["OUT_OF_MEMORY", "the same bits"]);
      given.dispose();
      expect(faulty.brokenCanaries()).toBe(0);
    }, 90_000);
  }
});

test("the first asynchronous call, with every allocation of its worker's start refused in turn", async () => {
  for (const all of [false, true]) {
    for (let number = 1; number <= 24; number += 1) {
      const faulty = await loaded(2);
      const { xent } = faulty;
      const call = (): Promise<{ loss: number }> => xent.crossEntropyAsync(new Float32Array(8), [0, 1], { shape: [2, 4] });
      faulty.refuse(number, all);
      const first = await call().then(
        ({ loss }) => loss,
        (error: { code?: string }) => error.code,
      );
      faulty.requests();
      if (typeof first === "number") expect(first).toBeCloseTo(Math.log(4), 6);
      else expect(first, `request ${number}`).toBe("OUT_OF_MEMORY");
      expect((await call()).loss).toBeCloseTo(Math.log(4), 6);
      await xent.dispose();
    }
  }
}, 60_000);

test("a byte beside a tensor is seen", async () => {
  const faulty = await loaded(1);
  const { xent } = faulty;
  for (const length of [1, 63, 64, 65]) {
    const tensor = xent.tensor("u8", [length]);
    new Uint8Array(tensor.view.buffer, tensor.byteOffset + length, 1)[0] = 7;
    const before = faulty.brokenCanaries();
    tensor.dispose();
    expect(faulty.brokenCanaries()).toBe(before + 1);
  }
});

test("judging a refused call computes nothing", async () => {
  const faulty = await loaded(2);
  const { xent } = faulty;
  const logits = tensorOf(xent, "f32", [1, 5000], numbers(5000));
  const before = logits.toArray();
  const options = { grad: logits, reduction: "none", outputs: ["logSumExp", "perClass"] } as const;
  // The labels, three results. The first call's block is part of the module.
  for (let number = 1; number <= 4; number += 1) {
    for (const how of ["sync", "async"] as const) {
      faulty.refuse(number, false);
      const failed = how === "sync" ? Promise.resolve().then(() => xent.crossEntropy(logits, [0], options)) : xent.crossEntropyAsync(logits, [0], options);
      expect((await rejectionOf(failed)).code, `${how}, request ${number}`).toBe("OUT_OF_MEMORY");
      expect(logits.toArray()).toEqual(before);
    }
  }
  // What is wrong with a label is said first, where its array has been read.
  faulty.refuse(2, true);
  expect((await rejectionOf(xent.crossEntropyAsync(logits, [7000], options))).code).toBe("LABEL_OUT_OF_RANGE");
});
