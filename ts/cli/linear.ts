// `sparse-xent linear`: the last layer of a language model and its loss, a few rows of logits at a time, a block of classes at a time, and with all of them stored.
// Memory is measured, not computed: how far each engine's memory has grown, less what its tensors take.

import type { Engine, LinearCrossEntropyOptions, Tensor } from "../index.js";
import { bytes, time } from "./report.js";

/** The sizes of the layer. */
export interface LinearRequest {
  readonly rows: number;
  readonly depth: number;
  readonly classes: number;
}

/** What a way comes to. */
interface Way {
  readonly loss: number;
  readonly ms: number;
  /** Beyond inputs and gradients. */
  readonly scratchBytes: number;
}

/** Runs the layer in each way, each on an engine of its own since an engine's memory never shrinks; `print` gets one text at a time. */
export async function linear(request: LinearRequest, withEngine: <T>(use: (engine: Engine) => T) => Promise<T>, print: (text: string) => void): Promise<void> {
  const { rows, depth, classes } = request;
  print(`Hidden states [${rows}, ${depth}], weights [${classes}, ${depth}]: loss and the gradients of both, all logits would be ${bytes(4 * rows * classes)}\n\n`);
  const ways = [
    { name: "some rows of logits at a time", options: {} },
    { name: "a block of classes, made twice", options: { recompute: true } },
    { name: "all logits stored", options: { chunkRows: rows } },
  ] as const;
  const losses: number[] = [];
  for (const { name, options } of ways) {
    const { loss, ms, scratchBytes } = await withEngine((engine) => run(engine, request, options));
    print(`${name.padEnd(30)}  loss ${loss.toFixed(6)}  ${time(ms)}  ${bytes(scratchBytes)} beside inputs and gradients\n`);
    losses.push(loss);
  }
  const [one = 0] = losses;
  if (losses.some((other) => Math.abs(one - other) > 1e-6 * Math.abs(other))) print(`the losses differ: ${losses.join(", ")}\n`);
}

function run(engine: Engine, { rows, depth, classes }: LinearRequest, options: Pick<LinearCrossEntropyOptions, "chunkRows" | "recompute">): Way {
  const hidden = engine.tensor("f32", [rows, depth]);
  const weight = engine.tensor("f32", [classes, depth]);
  const labels = engine.tensor("u32", [rows]);
  fill(hidden, 1);
  fill(weight, 0.1);
  labels.view.set(Uint32Array.from({ length: rows }, (_, row) => (row * 7919) % classes));
  const grad = { hidden: engine.tensor("f32", [rows, depth]), weight: engine.tensor("f32", [classes, depth]) };
  const start = performance.now();
  const { loss } = engine.linearCrossEntropy(hidden, weight, labels, { grad, ...options });
  const ms = performance.now() - start;
  const { memoryBytes, usedBytes } = engine.info;
  return { loss, ms, scratchBytes: memoryBytes - usedBytes };
}

/** Made-up numbers within ±scale, the same every time. */
function fill(tensor: Tensor<"f32">, scale: number): void {
  const { view } = tensor;
  let state = 1;
  for (let index = 0; index < view.length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    view[index] = (state / 2 ** 31 - 1) * scale;
  }
}
