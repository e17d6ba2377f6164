// Part "copies": what it costs to copy an array in, and a gradient out, by where in its buffer the array begins. Every label is ignored, so that the
// call reads no logit and next to nothing but the copy is timed.
import { load } from "sparse-xent";
import { takeTurns } from "../rounds.mjs";
import { figure, textTable, times } from "../table.mjs";

export const about = "arrays copied in and out, by where they begin in their buffer";

const shapes = [[1, 50257], [512, 2000], [64, 50257]];
/** In elements of 4 bytes: aligned, and one off. */
const starts = [0, 1];
const ignored = -1;
const leastMs = 4;

/** @param {import("../contest.mjs").Context} context */
export async function run({ rounds, divisor, print, told }) {
  const xent = await load({ threads: 1 });
  const results = [];
  for (const [rows = 1, wide = 1] of shapes) {
    const classes = Math.max(2, Math.ceil(wide / divisor));
    const elements = rows * classes;
    const larger = Float32Array.from({ length: elements + 1 }, (_, index) => index % 7);
    const written = new Float32Array(elements + 1);
    const labels = new Int8Array(rows).fill(ignored);
    const shape = [rows, classes];
    const entries = starts.flatMap((start) => {
      const logits = larger.subarray(start, start + elements);
      const grad = written.subarray(start, start + elements);
      const options = { shape, ignoreIndex: ignored };
      const { loss } = xent.crossEntropy(logits, new Uint8Array(rows), { shape });
      const { loss: expected } = xent.crossEntropy(logits.slice(), new Uint8Array(rows), { shape });
      if (loss !== expected) throw new Error(`${rows}x${classes} from ${start}: the loss is ${loss} and not ${expected}`);
      return [
        { what: "in", start, run: () => xent.crossEntropy(logits, labels, options).loss },
        { what: "in, a gradient out", start, run: () => xent.crossEntropy(logits, labels, { ...options, grad }).loss },
        {
          what: "in, a new gradient",
          start,
          run: () => {
            const result = xent.crossEntropy(logits, labels, { ...options, grad: true });
            result.dispose();
            return result.loss;
          },
        },
      ];
    });
    const timed = takeTurns(entries, { rounds: rounds * 3, leastMs, told: (round) => told(`copies of ${rows}x${classes}: round ${round}`) });
    const here = entries.map(({ what, start }, index) => ({ shape: `${rows}x${wide}`, what, start, best: timed[index]?.best ?? Number.NaN }));
    results.push(...here);
    const lines = [...new Set(here.map(({ what }) => what))].map((what) => {
      const [aligned, odd] = starts.map((start) => here.find((each) => each.what === what && each.start === start)?.best ?? Number.NaN);
      return [what, figure(aligned), figure(odd), times((odd ?? Number.NaN) / (aligned ?? Number.NaN))];
    });
    print(`\n${rows}x${classes} f32, copies, milliseconds\n${textTable(["", "aligned", "one element off", ""], lines)}`);
  }
  await xent.dispose();
  return results;
}
