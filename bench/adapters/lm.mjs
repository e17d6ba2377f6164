// Log-probabilities of 511 tokens of a text under GPT-2's vocabulary: the entry, transformers.js' log_softmax row by row as its users write it, and a plain loop.
import { tokenLogProbs } from "sparse-xent/lm";
import { inTurns, linesOf } from "./turns.mjs";

/** @param {import("./main.mjs").Context} context */
export async function lm({ xent, host, rounds, divisor, print, keep }) {
  const { log_softmax } = await host("transformers.mjs");
  const [length, classes] = [Math.max(2, Math.floor(512 / divisor)), 50_257];
  const data = Float32Array.from({ length: length * classes }, (_, at) => Math.sin(at * 12.9898) * 8);
  const ids = Int32Array.from({ length }, (_, at) => (at * 9973) % classes);
  const logits = { data, dims: [1, length, classes], type: "float32" };
  const bySoftmax = () => Array.from({ length: length - 1 }, (_, row) => log_softmax(data.subarray(row * classes, (row + 1) * classes))[ids[row + 1] ?? 0]);
  const byLoop = () =>
    Array.from({ length: length - 1 }, (_, row) => {
      const from = row * classes;
      let most = -Infinity;
      for (let k = 0; k < classes; k += 1) if ((data[from + k] ?? 0) > most) most = data[from + k] ?? 0;
      let sum = 0;
      for (let k = 0; k < classes; k += 1) sum += Math.exp((data[from + k] ?? 0) - most);
      return (data[from + (ids[row + 1] ?? 0)] ?? 0) - most - Math.log(sum);
    });
  const own = tokenLogProbs(xent, logits, ids).logProbs;
  const apart = Math.max(...byLoop().map((value, row) => Math.abs(value - (own[row + 1] ?? Number.NaN))), ...bySoftmax().map((value, row) => Math.abs(value - (own[row + 1] ?? Number.NaN))));
  if (!(apart < 1e-5)) return print(`FAIL: the results are ${apart} apart`);
  const candidates = [
    { name: "tokenLogProbs", run: () => tokenLogProbs(xent, logits, ids) },
    { name: "tokenLogProbs, topK: 5", run: () => tokenLogProbs(xent, logits, ids, { topK: 5 }) },
    { name: "plain loop", run: byLoop },
    { name: "log_softmax of transformers.js, row by row", run: bySoftmax },
  ];
  print(`[${length}, ${classes}] f32, largest difference ${apart.toExponential(1)}; ${(xent.info.memoryBytes / 1e6).toFixed(0)} MB of the engine for ${(data.byteLength / 1e6).toFixed(0)} MB of logits`);
  const timings = await inTurns(candidates, rounds);
  print(linesOf(timings));
  keep({ what: `log-probabilities of tokens, [${length}, ${classes}]`, timings });
}
