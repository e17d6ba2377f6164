// The last layer with its loss, of one shape on one build: times of its ways in turns, and what the first call adds to the memory. Run by parts/linear in a fresh
// process, since memory is never given back.
import process from "node:process";
import { load } from "sparse-xent";
import { drawing } from "../drawn.mjs";
import { productRoof } from "../naive.mjs";

/** @type {{ shape: [number, number, number], build: "relaxed" | "simd", threads: number, rounds: number, recompute: boolean }} */
const { shape: [rows, depth, classes], build, threads, rounds, recompute } = JSON.parse(process.argv[2] ?? "{}");
const xent = await load({ build, threads });

const draw = drawing();
/** @param {number[]} shape @param {number} scale */
function filled(shape, scale) {
  const tensor = xent.tensor("f32", shape);
  draw(tensor.view, scale);
  return tensor;
}

const hidden = filled([rows, depth], 1);
const weight = filled([classes, depth], 1 / Math.sqrt(depth));
const labels = xent.tensor("u32", [rows]);
labels.view.set(Uint32Array.from({ length: rows }, (_, row) => (row * 7919) % classes));

/** The loss of a row by its definition in f64. @param {number} row */
function exact(row) {
  const h = hidden.view.subarray(row * depth, (row + 1) * depth);
  const w = weight.view;
  const logits = Float64Array.from({ length: classes }, (_, v) => h.reduce((sum, x, d) => sum + x * (w[v * depth + d] ?? 0), 0));
  const label = logits[labels.view[row] ?? 0] ?? 0;
  return Math.log(logits.reduce((sum, x) => sum + Math.exp(x - label), 0));
}

const sample = [0, Math.floor(rows / 2), rows - 1];
const { loss: losses } = xent.linearCrossEntropy(hidden, weight, labels, { reduction: "none", recompute });
const error = Math.max(...sample.map((row) => Math.abs((losses.view[row] ?? Number.NaN) / exact(row) - 1)));
losses.dispose();

const grad = { hidden: xent.tensor("f32", [rows, depth]), weight: xent.tensor("f32", [classes, depth]) };
grad.hidden.view.fill(1);
grad.weight.view.fill(1);
const before = xent.info;
xent.linearCrossEntropy(hidden, weight, labels, { grad, recompute });
// What was free before the call counts as its own.
const scratch = xent.info.memoryBytes - before.usedBytes;

const chunk = Math.min(rows, Math.max(64, Math.min(128, Math.floor((32 * 2 ** 20) / 4 / classes))));
const logits = xent.tensor("f32", [chunk, classes]);
const some = xent.tensor("u32", [chunk]);
const ways = {
  step: () => xent.linearCrossEntropy(hidden, weight, labels, { grad }),
  again: () => xent.linearCrossEntropy(hidden, weight, labels, { grad, recompute: true }),
  loss: () => xent.linearCrossEntropy(hidden, weight, labels),
  // What the operation does beyond its products: the loss of as many logits, its gradient in place.
  beyond: () => {
    for (let row = 0; row < rows; row += chunk) xent.crossEntropy(logits, some, { grad: logits });
  },
};
// A roof for the products of one thread: milliseconds, and in the end GFLOP/s.
const product = threads === 1 ? productRoof(build) : undefined;
const work = product?.() ?? 0;
if (product !== undefined) Object.assign(ways, { roof: product });
/** Wall time, or that of the processors where one thread had to wait for others' work. @param {() => unknown} run */
function milliseconds(run) {
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  run();
  const wall = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  return threads === 1 ? Math.min(wall, (user + system) / 1000) : wall;
}
/** @type {Record<string, number>} */
const best = {};
for (let round = 0; round < rounds; round += 1) {
  for (const [name, run] of Object.entries(ways)) {
    if (name === "beyond") logits.view.fill(0.5);
    best[name] = Math.min(best[name] ?? Infinity, milliseconds(run));
  }
}
const { roof, ...times } = best;
console.log(JSON.stringify({ error, scratch, ...times, ...(roof && { roof: (1e3 * work) / roof }) }));
await xent.dispose();
