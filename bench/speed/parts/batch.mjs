// Part "batch": label images as a training step has them, with class weights and pixels to ignore; the baseline has neither and computes all.
import { batch, labelImages, ordinary, scaled } from "../cases.mjs";
import { exactGrad, exactLosses } from "../definition.mjs";
import { compare } from "../judge.mjs";
import { naive } from "../naive.mjs";
import { ours } from "../ours.mjs";
import { takeTurns } from "../rounds.mjs";
import { figure, textTable, times } from "../table.mjs";

export const about = "a batch [8,512,512,33] of label images with class weights and ignored pixels";

const what = /** @type {const} */ (["loss", "loss+grad", "in place"]);

/** @param {import("../contest.mjs").Context} context */
export async function run({ builds, threads, rounds, divisor, wants, print, told }) {
  if (!wants(batch)) return [];
  const build = builds[0] ?? "simd";
  const shape = scaled(batch, divisor);
  const data = ordinary(shape);
  const { labels, ignored, classWeight } = labelImages(shape, data.labels);
  const options = { classWeight, ignoreIndex: ignored };

  told(`${shape.name}: validating`);
  const losses = exactLosses(shape, data);
  const weights = Float64Array.from(labels, (label) => (label === ignored ? 0 : (classWeight[label] ?? 0)));
  const total = weights.reduce((a, b) => a + b, 0);
  const mean = losses.reduce((sum, loss, row) => sum + loss * (weights[row] ?? 0), 0) / total;
  /** @type {import("../judge.mjs").Candidate[]} */
  const candidates = [];
  const engines = [];
  /** @type {string[]} */
  const wrong = [];
  for (const count of threads) {
    const { xent, labelsTensor, candidate } = await ours(shape, data, { build, threads: count });
    engines.push(xent);
    const images = labelsTensor(labels);
    const all = what.map((name) => candidate(name, options, images));
    for (const each of all) {
      const got = each.results?.();
      if (compare([got?.mean ?? Number.NaN], [mean], { relative: 1e-6, absolute: 0 }).wrong === 0) wrong.push(`${each.what}: the mean is ${got?.mean} and not ${mean}`);
      if (got?.grad === undefined) continue;
      for (let row = 0; row < shape.rows; row += Math.ceil(shape.rows / 64)) {
        const exact = exactGrad(shape, data, row).map((value) => (value * (weights[row] ?? 0)) / total);
        const own = Float32Array.from(exact, (_, k) => got.grad?.[row * shape.classes + k] ?? Number.NaN);
        if (compare(own, exact, { relative: 1e-5, absolute: 1e-30 }).wrong >= 0) wrong.push(`${each.what}: the gradient of row ${row} is off`);
      }
    }
    candidates.push(...all);
  }
  const { candidate: baseline } = naive(build, shape, data);
  candidates.push(...what.map((name) => baseline("unrolled", name)));
  const timed = wrong.length > 0 ? [] : takeTurns(candidates, { rounds, told: (round) => told(`${shape.name}: round ${round} of ${rounds}`) });
  await Promise.all(engines.map((xent) => xent.dispose()));
  const logits = shape.rows * shape.classes;
  const outcomes = candidates.map(({ what: name, threads: count }, index) => {
    const rival = candidates.findIndex((each) => each.what === name.replace(/^(unrolled )?/, "unrolled "));
    const [best, other] = [timed[index]?.best, timed[rival]?.best];
    if (best === undefined) return { shape: batch.name, what: name, build, threads: count, wrong: wrong.join("; ") };
    return { shape: batch.name, what: name, build, threads: count, best, nsPerLogit: (best * 1e6) / logits, unrolled: (other ?? Number.NaN) / best };
  });
  const rows = outcomes.map(({ what: name, threads: count, best, nsPerLogit, unrolled: ratio, wrong: reason }) =>
    reason !== undefined ? [`${name} t${count}`, "FAIL", reason] : [`${name} t${count}`, figure(best), figure(nsPerLogit), times(ratio)],
  );
  const title = `${shape.name} (${shape.why}), ${build}; the baseline computes every pixel, unweighted`;
  print(`\n${title}\n${textTable(["", "ms", "ns/logit", "x unrolled"], rows)}`);
  return outcomes;
}
