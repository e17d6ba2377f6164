// Part "native": the crate's kernels as a Rust program runs them, each that the processor has, beside the fastest wasm build, on one thread. Two
// processes take turns call by call: while one computes, the other waits.
import { ordinary, scaled, shapeNamed, shapes } from "../cases.mjs";
import { judgeOf } from "../judge.mjs";
import { native } from "../native.mjs";
import { all, ours, roundTo } from "../ours.mjs";
import { once, pairedRatio, takeTurnsByClock } from "../rounds.mjs";
import { error, figure, textTable, times } from "../table.mjs";

/** @typedef {import("../contest.mjs").Context} Context */
/** @typedef {import("../cases.mjs").Shape} Shape */
/** @typedef {import("../ours.mjs").Dtype} Dtype */

/**
 * @typedef {object} NativeOutcome
 * @property {string} shape
 * @property {import("../ours.mjs").Ours} what
 * @property {Dtype} dtype
 * @property {import("../ours.mjs").Build} [build] of the package's candidates
 * @property {import("../native.mjs").Kernel} [kernel] of the crate's
 * @property {number} [best] milliseconds of the best round; absent where the result is wrong, as are all below
 * @property {number} [median] milliseconds
 * @property {number} [spread] quartile distance by median
 * @property {number} [nsPerLogit] of the best round
 * @property {number} [wasm] how many times as fast as the wasm build, by best rounds
 * @property {number} [wasmMedian] the same, in the median of the rounds
 * @property {number} [lossError] largest relative error of a row's loss
 * @property {number} [gradError] largest relative error of a gradient element in sampled rows
 * @property {string} [wrong]
 */

export const about = "the crate's kernels in a Rust program (AVX-512, AVX2, plain Rust), as many times as fast as the wasm on one thread";

/** 16-bit logits are widened by code of their own. */
const halvesAt = ["65536x33", "512x32000"];
const halves = /** @type {const} */ (["f16", "bf16"]);

/** @param {Shape} shape @param {Dtype} dtype @param {Context} context @returns {Promise<NativeOutcome[]>} */
async function atShape(shape, dtype, { builds, rounds, told }) {
  const data = ordinary(shape);
  roundTo(dtype, data);
  const what = all.filter((name) => dtype === "f32" || name !== "accumulate");
  const build = builds[0] ?? "simd";
  const crate = await native(shape, data, { dtype, what });
  const { xent, candidates: own } = await ours(shape, data, { build, threads: 1, dtype, what });
  try {
    told(`${shape.name}, native ${dtype}: validating`);
    const judge = judgeOf(shape, data);
    const candidates = [
      ...own.map((each) => ({ ...each, kernel: undefined, time: () => once(each) })),
      ...crate.candidates.map((each) => ({ ...each, build: undefined })),
    ];
    /** @type {import("../judge.mjs").Verdict[]} */
    const verdicts = [];
    for (const { results, tolerance } of candidates) {
      const got = await results?.();
      verdicts.push(got === undefined ? {} : judge({ results: () => got, ...(tolerance && { tolerance }) }));
    }
    // A candidate that is wrong prints no figure.
    const right = candidates.filter((_, index) => verdicts[index]?.wrong === undefined);
    const clocks = right.map(({ time }) => time);
    const timed = await takeTurnsByClock(clocks, { rounds, told: (round) => told(`${shape.name}, native ${dtype}: round ${round} of ${rounds}`) });
    const timesOf = new Map(right.map((candidate, index) => [candidate, timed[index]]));
    return candidates.map((candidate, index) => {
      const { kernel } = candidate;
      const name = /** @type {import("../ours.mjs").Ours} */ (candidate.what);
      const { loss: lossError, grad: gradError, wrong } = verdicts[index] ?? {};
      const head = { shape: shape.name, what: name, dtype, ...(kernel ? { kernel } : { build }), ...(wrong !== undefined && { wrong }) };
      const mine = timesOf.get(candidate);
      if (mine === undefined) return head;
      const rival = right.find((each) => each.what === name && each.kernel === undefined);
      const wasm = kernel && rival && timesOf.get(rival);
      return {
        ...head,
        best: mine.best,
        median: mine.median,
        spread: mine.spread,
        nsPerLogit: (mine.best * 1e6) / (shape.rows * shape.classes),
        ...(wasm && { wasm: wasm.best / mine.best, wasmMedian: pairedRatio(mine, wasm) }),
        ...(lossError !== undefined && { lossError }),
        ...(gradError !== undefined && { gradError }),
      };
    });
  } finally {
    await xent.dispose();
    await crate.stop();
  }
}

/** @param {Shape} shape @param {readonly NativeOutcome[]} outcomes */
function outcomeTable({ rows, classes }, outcomes) {
  const lines = outcomes.map(({ what, kernel, build, wrong, best, spread, nsPerLogit, wasm, wasmMedian, lossError, gradError }) => {
    const name = `${what} ${kernel ?? build}`;
    if (wrong !== undefined) return [name, "FAIL", wrong];
    const rate = figure(best && (rows * classes) / best / 1e6);
    return [name, rate, `${((spread ?? 0) * 100).toFixed(0)}%`, figure(nsPerLogit), times(wasm), times(wasmMedian), error(lossError), error(gradError)];
  });
  return textTable(["", "Glogit/s", "spread", "ns/logit", "x wasm", "in the median", "loss error", "grad error"], lines);
}

/** @param {Context} context */
export async function run(context) {
  const results = [];
  for (const dtype of /** @type {const} */ (["f32", ...halves])) {
    for (const whole of (dtype === "f32" ? shapes : halvesAt.map(shapeNamed)).filter(context.wants)) {
      const shape = scaled(whole, context.divisor);
      const here = await atShape(shape, dtype, context);
      context.print(`\n${shape.name} ${dtype}, native and wasm on one thread\n${outcomeTable(shape, here)}`);
      results.push(...here.map((each) => ({ ...each, shape: whole.name })));
    }
  }
  return results;
}
