// Part "overhead": what a call costs before it computes anything: one row of ten classes, from tensors and from arrays, at once and by promise.
import { load } from "sparse-xent";
import { takeTurns, takeTurnsByClock } from "../rounds.mjs";
import { figure, textTable } from "../table.mjs";

export const about = "microseconds of a call with one row of ten classes, synchronous and asynchronous";

/** What a synchronous call may cost, in microseconds. */
const mustMicroseconds = 5;
const leastMs = 4;
const asyncCalls = 100;
const exactLoss = 6.458_629_751;

/** @param {import("sparse-xent").Engine} xent */
function casesOf(xent) {
  const logits = xent.tensor("f32", [1, 10]);
  const labels = xent.tensor("i32", [1]);
  const grad = xent.tensor("f32", [1, 10]);
  const array = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
  const labelArray = Int32Array.of(3);
  logits.view.set(array);
  labels.view.set(labelArray);
  const shape = [1, 10];
  const into = { grad };
  const bare = { shape };
  const bareGrad = /** @type {const} */ ({ shape, grad: true });
  /** @param {{ loss: number, grad: { dispose(): void } }} result */
  const drop = ({ loss, grad: made }) => {
    made.dispose();
    return loss;
  };
  return [
    { name: "tensors, loss", sync: () => xent.crossEntropy(logits, labels).loss, async: async () => (await xent.crossEntropyAsync(logits, labels)).loss },
    {
      name: "tensors, loss and gradient into a tensor",
      sync: () => xent.crossEntropy(logits, labels, into).loss,
      async: async () => (await xent.crossEntropyAsync(logits, labels, into)).loss,
    },
    {
      name: "tensors, loss and a new gradient, disposed of",
      sync: () => drop(xent.crossEntropy(logits, labels, { grad: true })),
      async: async () => drop(await xent.crossEntropyAsync(logits, labels, { grad: true })),
    },
    { name: "arrays, loss", sync: () => xent.crossEntropy(array, labelArray, bare).loss, async: async () => (await xent.crossEntropyAsync(array, labelArray, bare)).loss },
    {
      name: "arrays, loss and a new gradient, disposed of",
      sync: () => drop(xent.crossEntropy(array, labelArray, bareGrad)),
      async: async () => drop(await xent.crossEntropyAsync(array, labelArray, bareGrad)),
    },
  ];
}

/** Milliseconds of one of many calls by promise. @param {() => Promise<unknown>} call */
async function timedAsync(call) {
  const start = performance.now();
  for (let i = 0; i < asyncCalls; i += 1) await call();
  return (performance.now() - start) / asyncCalls;
}

/** @param {import("../contest.mjs").Context} context */
export async function run({ rounds, threads, print, told }) {
  const results = [];
  for (const count of threads) {
    told(`overhead, ${count} threads`);
    const xent = await load({ threads: count });
    const cases = casesOf(xent);
    for (const { name, sync, async } of cases) {
      for (const loss of [sync(), await async()]) if (!(Math.abs(loss - exactLoss) < 1e-5)) throw new Error(`${name}: the loss is ${loss}`);
    }
    const sync = takeTurns(cases.map((each) => ({ run: each.sync, threads: count })), { rounds: rounds * 3, leastMs });
    const later = await takeTurnsByClock(cases.map((each) => () => timedAsync(each.async)), { rounds });
    await xent.dispose();
    const here = cases.map(({ name }, index) => {
      const micro = (/** @type {import("../rounds.mjs").Times | undefined} */ times) => ({ best: (times?.best ?? Number.NaN) * 1000, median: (times?.median ?? Number.NaN) * 1000 });
      return { shape: "1x10", what: name, threads: count, sync: micro(sync[index]), async: micro(later[index]) };
    });
    results.push(...here);
    const lines = here.map(({ what, sync: now, async: by }) => [
      what, figure(now.best), figure(now.median), now.median < mustMicroseconds ? "met" : "missed", figure(by.best), figure(by.median),
    ]);
    const head = ["", "sync, best", "median", `below ${mustMicroseconds}`, "async, best", "median"];
    print(`\n1x10, a call from JavaScript in microseconds, t${count}\n${textTable(head, lines)}`);
  }
  return results;
}
