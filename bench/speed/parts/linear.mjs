// Part "linear": the last layer and its loss in one operation: the speed of its products, what it takes beyond them, and its memory.
import { inChild } from "../child.mjs";
import { bytesOf, error as errorText, figure, textTable, times } from "../table.mjs";

export const about = "the last layer with its loss, logits never stored: products, what is beyond them, memory";

/** Rows, depth, classes. @type {readonly [number, number, number][]} */
export const shapes = [
  [4096, 64, 1000],
  [512, 256, 32_000],
  [256, 768, 50_257],
  [128, 512, 128_256],
];
/** The largest relative error of a sampled row's loss. */
const tolerance = 1e-5;

/**
 * What one build makes of a layer: times, and the memory of both forms. Memory is never given back, so that each takes a process.
 * @param {{ shape: readonly number[], build: "relaxed" | "simd", threads: number }} asked @param {number} rounds
 */
export const layerOf = (asked, rounds) => ({
  ...inChild("linear", { ...asked, recompute: false, rounds }),
  stripScratch: inChild("linear", { ...asked, recompute: true, rounds: 0 }).scratch,
});

/** @param {import("../contest.mjs").Context} context */
export async function run({ builds, threads, rounds, divisor, wants, print, told }) {
  const results = [];
  for (const [whole, depth, vocabulary] of shapes) {
    const name = `linear ${whole}x${depth}x${vocabulary}`;
    if (!wants({ name })) continue;
    const rows = Math.max(8, Math.floor(whole / divisor));
    // A run that only shows that it runs has no use for hundreds of megabytes of weights.
    const classes = Math.floor(vocabulary / Math.ceil(divisor / 16));
    const lines = [];
    for (const build of builds) {
      for (const count of threads) {
        told(`${name}, ${build}, ${count} threads`);
        const asked = { shape: [rows, depth, classes], build, threads: count };
        const { error, scratch, stripScratch, step, again, loss, beyond, roof } = layerOf(asked, Math.max(2, Math.floor(rounds / 3)));
        const label = `${build} t${count}`;
        if (!(error <= tolerance)) {
          lines.push([label, "FAIL", `a loss is off by ${error}`]);
          results.push({ shape: name, build, threads: count, wrong: `a loss is off by ${error}` });
          continue;
        }
        const gigaflops = (6e-6 * rows * depth * classes) / (step - beyond);
        const [overProducts, againOverProducts] = [step, again].map((way) => way / (step - beyond));
        lines.push([label, figure(step), figure(loss), figure(gigaflops), roof === undefined ? "" : (gigaflops / roof).toFixed(2), times(overProducts), bytesOf(scratch), figure(again), times(againOverProducts), bytesOf(stripScratch), errorText(error)]);
        results.push({ shape: name, build, threads: count, step, again, loss, gigaflops, roof, overProducts, againOverProducts, scratch, stripScratch, error });
      }
    }
    const head = ["", "ms, loss and gradients", "loss alone", "GFLOP/s of its products", "of a hand-written 4x8 loop", "x its products", "memory beside inputs and gradients", "ms, recompute", "x the products", "memory", "error of a loss"];
    print(`\n${rows} hidden states of ${depth}, ${classes} classes; logits would be ${bytesOf(4 * rows * classes)}\n${textTable(head, lines)}`);
  }
  return results;
}
