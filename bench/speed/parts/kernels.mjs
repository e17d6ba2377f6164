// Part "kernels": the operation at every shape, in each build, on one thread and on all, against the baselines, a copy, and the plain loop.
import { ordinary, scaled, shapes } from "../cases.mjs";
import { plainLoop } from "../baseline.mjs";
import { contest } from "../contest.mjs";
import { naive } from "../naive.mjs";
import { all, ours } from "../ours.mjs";
import { error, figure, textTable, times } from "../table.mjs";

/** @typedef {import("../contest.mjs").Outcome} Outcome */
/** @typedef {import("../contest.mjs").Context} Context */
/** @typedef {import("../cases.mjs").Shape} Shape */

export const about = "every shape, build and number of threads beside the baseline wasm kernels, a copy and the plain JavaScript loop";

const head = ["", "Glogit/s", "median", "spread", "ns/logit", "GB/s", "x unrolled", "of copy", "x plain", "loss error", "grad error"];

/** @param {Outcome} outcome */
const nameOf = ({ what, build, threads }) => [what, build, threads === undefined ? "" : `t${threads}`].filter(Boolean).join(" ");

/** @param {Shape} shape @param {readonly Outcome[]} outcomes */
export function outcomeTable({ rows, classes }, outcomes) {
  /** @param {number | undefined} ms */
  const rate = (ms) => figure(ms && (rows * classes) / ms / 1e6);
  return textTable(
    head,
    outcomes.map((each) => {
      if (each.wrong !== undefined) return [nameOf(each), "FAIL", each.wrong];
      const spread = each.spread === undefined ? "" : `${(each.spread * 100).toFixed(0)}%`;
      const ratios = [times(each.unrolled), figure(each.copy, 2), each.plain === undefined ? "" : `${figure(each.plain)}x`];
      return [nameOf(each), rate(each.best), rate(each.median), spread, figure(each.nsPerLogit), figure(each.gigabytes), ...ratios, error(each.lossError), error(each.gradError)];
    }),
  );
}

/** @param {Shape} shape @param {Context} context */
async function atShape(shape, { builds, threads, rounds, told }) {
  const data = ordinary(shape);
  const candidates = [];
  const engines = [];
  for (const build of builds) {
    for (const count of threads) {
      const { xent, candidates: own } = await ours(shape, data, { build, threads: count });
      engines.push(xent);
      candidates.push(...own);
    }
    const { candidate, copy } = naive(build, shape, data);
    candidates.push(...all.map((what) => candidate("unrolled", what)), candidate("textbook", "loss"), candidate("textbook", "loss+grad"));
    if (build === builds[0]) candidates.push(copy);
  }
  const losses = new Float32Array(shape.rows);
  const grad = new Float32Array(data.logits.length);
  const run = () => plainLoop(shape, data, losses, grad);
  const results = () => ({ mean: run(), losses, grad, factor: 1 / shape.rows });
  candidates.push({ what: "plain loop", threads: 1, run, results, tolerance: { relative: 1e-5, absolute: 4e-6 } });
  const outcomes = contest(shape, data, candidates, { rounds, told });
  await Promise.all(engines.map((xent) => xent.dispose()));
  return outcomes;
}

/** @param {Context} context @returns {Promise<Outcome[]>} */
export async function run(context) {
  const outcomes = [];
  for (const whole of shapes.filter(context.wants)) {
    const shape = scaled(whole, context.divisor);
    const here = await atShape(shape, context);
    context.print(`\n${shape.name} (${shape.why})\n${outcomeTable(shape, here)}`);
    outcomes.push(...here.map((each) => ({ ...each, shape: whole.name })));
  }
  return outcomes;
}
