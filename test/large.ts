// Calls that are large enough for several threads, and digests of what they give.
import { type CrossEntropyOptions, type Engine, type Tensor } from "sparse-xent";
import { expect } from "vitest";
import { here, loadForTest } from "./support.ts";
import { digestOf, wordsOf } from "./digest.mjs";

/** Numbers that look random, the same in every run, so that blocks which change places change the result. */
function paint(array: { length: number; [index: number]: number }, seed: number, value: (unit: number) => number): void {
  let state = seed;
  for (let index = 0; index < array.length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    array[index] = value(state / 2 ** 32);
  }
}

/** One call. */
export interface Case {
  readonly name: string;
  readonly shape: readonly number[];
  readonly axis?: number;
  readonly options?: CrossEntropyOptions;
}

// Sizes well above the one from which a second thread is worth its waking, and one below it.
export const cases: readonly Case[] = [
  { name: "too small for a second thread", shape: [7, 33] },
  { name: "many classes", shape: [67, 16_001] },
  { name: "few classes, many rows", shape: [120_001, 10] },
  { name: "classes strided", shape: [3, 21, 190, 101], axis: 1 },
  { name: "a loss per row", shape: [513, 2_049], options: { reduction: "none" } },
  { name: "smoothed, focal, z-loss", shape: [301, 4_099], options: { labelSmoothing: 0.1, focalGamma: 2, zLoss: 1e-4 } },
  { name: "ignored rows", shape: [401, 3_001], options: { ignoreIndex: 5, labelSmoothing: 0.05 } },
];

/** The case's logits and labels in an engine's memory. */
export function inputs(engine: Engine, { shape, axis = -1 }: Case): { logits: Tensor<"f32">; labels: Tensor<"i32"> } {
  const classes = shape.at(axis) ?? 0;
  const logits = engine.tensor("f32", shape);
  const labels = engine.tensor("i32", shape.filter((_, index) => index !== (axis + shape.length) % shape.length));
  paint(logits.view, 1, (unit) => 40 * unit - 20);
  paint(labels.view, 2, (unit) => Math.floor(unit * classes));
  return { logits, labels };
}

/** One digest of everything a case gives: loss and gradient, bit for bit. */
export async function digest(engine: Engine, which: Case, how: "sync" | "async"): Promise<string> {
  const { logits, labels } = inputs(engine, which);
  const options = { axis: which.axis ?? -1, ...which.options, grad: true } as const;
  const result = how === "sync" ? engine.crossEntropy(logits, labels, options) : await engine.crossEntropyAsync(logits, labels, options);
  const { loss, grad } = result as unknown as { loss: number | Tensor; grad: Tensor };
  const losses = typeof loss === "number" ? Float64Array.of(loss) : (loss.toArray() as Float32Array);
  const found = digestOf(digestOf(0, wordsOf(grad.toArray() as Float32Array)), wordsOf(losses));
  for (const tensor of [logits, labels, grad, loss]) if (typeof tensor !== "number") tensor.dispose();
  return found.toString(16);
}

/** Digests of all cases by name. */
export async function digestsOf(engine: Engine, how: "sync" | "async"): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const which of cases) found[which.name] = await digest(engine, which, how);
  expect(engine.info.usedBytes).toBe(0);
  return found;
}

/** The same for a fresh engine, with a memory that is large enough; see the thirty engines of engines.test.ts. */
export async function digests(threads: number, how: "sync" | "async"): Promise<Record<string, string>> {
  const engine = await loadForTest({ threads, maximumPages: 2_048 });
  expect(engine.info.threads).toBe(here().canShare ? threads : 1);
  const found = await digestsOf(engine, how);
  await engine.dispose();
  return found;
}
