// `npm run bench`: validates, then times. Every candidate of a shape is run in turn, round by round, in one process, so that a machine that
// changes its speed changes it for all of them; a candidate that disagrees with the definition prints FAIL and no figure.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { load, isSparseXentError } from "../dist/index.js";
import { exactRow, plainLoop } from "./baseline.mjs";
import { fill, quick, shapes } from "./cases.mjs";
import { naive } from "./naive.mjs";

const usage = `usage: npm run bench -- [--quick] [--rounds N] [--record] [shape ...]

  --quick      a sixteenth of the rows and three rounds: under a minute
  --rounds N   rounds per shape, at least 3 (default 7)
  --record     write bench/record/DATE-PROCESSOR.json
  shape        names (or parts of names) of the shapes to run: ${shapes.map((shape) => shape.name).join(", ")}

Figures are the best round, in billions of logits a second; (x) is the ratio to the plain JavaScript loop of the same run. The error is the
largest relative error of the losses of sampled rows against the definition in f64.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    record: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const rounds = Math.max(3, Number(values.rounds ?? (values.quick ? 3 : 7)) || 7);
const chosen = shapes.filter(({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)));
if (chosen.length === 0) {
  console.error(`no shape is named ${positionals.join(", ")}\n\n${usage}`);
  process.exit(2);
}

/** The builds that this Node can run. @returns {Promise<("relaxed" | "simd")[]>} */
async function supportedBuilds() {
  /** @type {("relaxed" | "simd")[]} */
  const builds = [];
  for (const build of /** @type {const} */ (["relaxed", "simd"])) {
    try {
      await (await load({ build, threads: 1 })).dispose();
      builds.push(build);
    } catch (error) {
      if (!isSparseXentError(error)) throw error;
    }
  }
  return builds;
}

/** The largest relative error of losses and gradients in a sample of rows; infinite where a gradient element is off by more than 1e-5 of the row's scale. */
function errorOf(shape, logits, labels, losses, grad, rows) {
  let worst = 0;
  for (let sample = 0; sample < 32; sample += 1) {
    const row = Math.floor((sample * (shape.rows - 1)) / 31);
    const exact = exactRow(shape, logits, row, labels[row]);
    if (losses) worst = Math.max(worst, Math.abs(losses[row] - exact.loss) / exact.loss);
    for (let k = 0; k < shape.classes; k += 1) {
      const difference = Math.abs(grad[exact.first + k * shape.inner] * rows - exact.grad[k]);
      if (!(difference <= 1e-5)) return Infinity;
    }
  }
  return worst;
}

async function bench(shape, builds, threadCounts) {
  const { rows, classes, inner } = shape;
  const dims = inner === 1 ? [rows, classes] : [rows / inner, classes, inner];
  const axis = inner === 1 ? -1 : 1;
  const outer = { logits: new Float32Array(rows * classes), labels: new Int32Array(rows), grad: new Float32Array(rows * classes) };
  fill(shape, outer.logits, outer.labels);
  const candidates = [];
  const engines = [];
  for (const build of builds) {
    for (const threads of threadCounts) {
      const xent = await load({ build, threads });
      engines.push(xent);
      const logits = xent.tensor("f32", dims);
      const grad = xent.tensor("f32", dims);
      const labels = xent.tensor("i32", inner === 1 ? [rows] : [rows / inner, inner]);
      logits.view.set(outer.logits);
      labels.view.set(outer.labels);
      const { loss: losses } = xent.crossEntropy(logits, labels, { axis, grad, reduction: "none" });
      xent.crossEntropy(logits, labels, { axis, grad });
      const error = errorOf(shape, outer.logits, outer.labels, losses.view, grad.view, rows);
      losses.dispose();
      const label = (what) => `${what} f32 ${shape.name} ${build} t${threads}`;
      candidates.push({ label: label("loss"), build, threads, what: "loss", error, run: () => xent.crossEntropy(logits, labels, { axis }) });
      candidates.push({ label: label("loss+grad"), build, threads, what: "loss+grad", error, run: () => xent.crossEntropy(logits, labels, { axis, grad }) });
      candidates.push({ label: label("in place"), build, threads, what: "in place", error, run: () => xent.crossEntropy(grad, labels, { axis, grad }) });
    }
    const textbook = naive(build, shape);
    textbook.logits.set(outer.logits);
    textbook.labels.set(outer.labels);
    textbook.lossGrad();
    const error = errorOf(shape, outer.logits, outer.labels, undefined, textbook.grad, rows);
    const label = (what) => `${what} f32 ${shape.name} ${build} t1`;
    candidates.push({ label: label("naive loss"), build, threads: 1, what: "naive loss", error, run: textbook.loss });
    candidates.push({ label: label("naive loss+grad"), build, threads: 1, what: "naive loss+grad", error, run: textbook.lossGrad });
    if (build === builds[0]) candidates.push({ label: `copy f32 ${shape.name}`, what: "copy", error: 0, run: textbook.copy });
  }
  const loop = () => plainLoop(shape, outer.logits, outer.labels, outer.grad);
  loop();
  const loopError = errorOf(shape, outer.logits, outer.labels, undefined, outer.grad, rows);
  candidates.push({ label: `plain loop f32 ${shape.name}`, what: "plain loop", error: loopError, run: loop });

  const times = candidates.map(() => []);
  for (let round = 0; round < rounds + 2; round += 1) {
    for (const [index, candidate] of candidates.entries()) {
      const start = performance.now();
      candidate.run();
      const ms = performance.now() - start;
      // The first two rounds bring the code to its final tier and the memory into place.
      if (round >= 2) times[index].push(ms);
    }
  }
  await Promise.all(engines.map((xent) => xent.dispose()));
  return candidates.map(({ run, ...candidate }, index) => {
    const sorted = times[index].sort((a, b) => a - b);
    const rate = (ms) => (rows * classes) / ms / 1e6;
    const [best, median, worst] = [sorted[0], sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
    return { ...candidate, shape: shape.name, best: rate(best), median: rate(median), worst: rate(worst), ms: best };
  });
}

const builds = await supportedBuilds();
const all = (await load()).info.threads;
const threadCounts = all > 1 ? [1, all] : [1];
const processor = cpus()[0]?.model.trim() ?? "unknown processor";
console.log(`${processor}, ${cpus().length} cores; Node ${process.versions.node}; builds ${builds.join(", ")}; ${rounds} rounds\n`);

const results = [];
for (const shape of chosen.map((each) => (values.quick ? quick(each) : each))) {
  const rows = await bench(shape, builds, threadCounts);
  results.push(...rows);
  const loop = rows.find(({ what }) => what === "plain loop");
  const copied = rows.find(({ what }) => what === "copy");
  console.log(`${shape.name} (${shape.why})`);
  for (const { what, build, threads, best, median, error } of rows) {
    const name = build === undefined ? what : `${what} ${build} t${threads}`;
    const figure = error === Infinity ? "FAIL" : `${best.toFixed(3).padStart(7)} (${(best / loop.best).toFixed(1)}x)`;
    const textbook = rows.find((row) => row.build === build && row.what === (what.endsWith("loss") ? "naive loss" : "naive loss+grad"));
    const ratios = build === undefined ? "" : `   ${(best / textbook.best).toFixed(2)} of naive   ${(best / copied.best).toFixed(2)} of copy`;
    console.log(`  ${name.padEnd(24)} ${figure.padEnd(16)} median ${median.toFixed(3)}${build === undefined ? "" : `   error ${error.toExponential(1)}`}${ratios}`);
  }
  console.log("");
}
if (values.record) {
  const date = new Date().toISOString().slice(0, 10);
  const file = `bench/record/${date}-${processor.replace(/\W+/g, "-").toLowerCase()}.json`;
  mkdirSync("bench/record", { recursive: true });
  const head = { date, processor, cores: cpus().length, node: process.versions.node, v8: process.versions.v8, rounds, unit: "1e9 logits per second" };
  writeFileSync(file, `${JSON.stringify({ ...head, results }, (_, value) => (typeof value === "number" ? Number(value.toPrecision(5)) : value), 1)}\n`);
  console.log(`recorded in ${file}`);
}
process.exitCode = results.some(({ error }) => error === Infinity) ? 1 : 0;
