// Many shapes on one thread, each build beside the baselines of the same build. May import contest and what makes its candidates.
import { freemem } from "node:os";
import { load } from "sparse-xent";
import { plainLoop } from "./baseline.mjs";
import { ordinary, scaled } from "./cases.mjs";
import { contest } from "./contest.mjs";
import { naive } from "./naive.mjs";
import { all, ours } from "./ours.mjs";
import { bytesOf, figure, textTable, times } from "./table.mjs";

/** @typedef {import("./cases.mjs").Shape} Shape @typedef {import("./contest.mjs").Outcome} Outcome @typedef {import("./contest.mjs").Context} Context */

// A call of some microseconds is repeated until a clock shows enough of it.
const leastMs = 1;
const warmMs = 10;
// Logits and gradient, those of the baselines, and the data they come from.
const copies = 5;

/** @param {Shape} shape @param {Context} context @param {Map<string, import("sparse-xent").Engine>} engines @param {boolean} withLoop */
async function atShape(shape, { builds, rounds, told }, engines, withLoop) {
  const data = ordinary(shape);
  /** @type {Outcome[]} */
  const outcomes = [];
  for (const build of builds) {
    const engine = engines.get(build);
    const { candidates, drop } = await ours(shape, data, { build, threads: 1, ...(engine && { engine }) });
    const { candidate } = naive(build, shape, data);
    const baselines = [...all.map((what) => candidate("unrolled", what)), candidate("textbook", "loss+grad")];
    const grad = withLoop && build === builds[0] ? [new Float32Array(data.logits.length)] : [];
    const loops = grad.map((written) => ({ what: "plain loop", threads: 1, run: () => plainLoop(shape, data, new Float32Array(shape.rows), written) }));
    outcomes.push(...contest(shape, data, [...candidates, ...baselines, ...loops], { rounds, told, leastMs, warmMs }));
    drop();
  }
  return outcomes;
}

/**
 * @param {readonly Shape[]} shapes @param {Context} context @param {{ title: string, withLoop?: (shape: Shape) => boolean }} how `withLoop`: the JavaScript loop too
 * @returns {Promise<(Outcome & { skipped?: string })[]>}
 */
export async function sweep(shapes, context, { title, withLoop = () => false }) {
  const { builds, divisor, wants, print } = context;
  const wanted = shapes.filter(wants);
  /** @type {(Outcome & { skipped?: string })[]} */
  const results = [];
  // One engine of each build for all shapes: by the second shape its code is compiled for good.
  const engines = new Map();
  for (const build of builds) engines.set(build, await load({ build, threads: 1 }));
  for (const whole of wanted) {
    const shape = scaled(whole, divisor);
    const bytes = shape.rows * shape.classes * 4 * copies;
    if (bytes > freemem()) results.push({ shape: whole.name, what: "loss", skipped: `${bytesOf(bytes)} of memory are not free` });
    else results.push(...(await atShape(shape, context, engines, withLoop(whole))).map((each) => ({ ...each, shape: whole.name })));
  }
  for (const engine of engines.values()) await engine.dispose();
  for (const build of builds) {
    const lines = wanted.map(({ name, rows, classes }) => {
      const of = (/** @type {string} */ what) => results.find((each) => each.shape === name && each.build === build && each.what === what);
      const skipped = results.find((each) => each.shape === name)?.skipped;
      if (skipped !== undefined) return [name, skipped];
      const logits = (rows * classes) / divisor;
      const cells = all.flatMap((what) => {
        const found = of(what);
        return found?.wrong === undefined ? [figure(found?.best && logits / found.best / 1e6, 2), times(found?.unrolled)] : ["FAIL", found.wrong];
      });
      return [name, ...cells, times(of("textbook loss+grad")?.unrolled)];
    });
    if (lines.length > 0) print(`\n${title}, ${build} t1: Glogit/s, and as a multiple of the unrolled baseline\n${textTable(["", ...all.flatMap((what) => [what, ""]), "textbook"], lines)}`);
  }
  return results;
}
