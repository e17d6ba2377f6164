// @ts-check
// `npm run accuracy`: measures the error of loss and gradient in every build, dtype, class count and regime, beside the textbook's form.
import process from "node:process";
import { parseArgs } from "node:util";
import cliProgress from "cli-progress";
import { isSparseXentError, load } from "sparse-xent";
import { classCounts } from "./accuracy/cases.mjs";
import { measure, pairs, sizes } from "./accuracy/measure.mjs";
import { writePage, writeRecord } from "./accuracy/record.mjs";
import { caseTable } from "./accuracy/tables.mjs";
import { broken, missed, summary } from "./accuracy/verdict.mjs";
import { machine } from "./speed/machine.mjs";
import { writeSummary } from "./summary.mjs";

const usage = `usage: npm run accuracy -- [--quick] [--record | --readme] [dtype ...]

  --quick      fewer rows and class counts: some seconds
  --record     write bench/record/accuracy.json and its tables in the documentation; needs the full run
  --readme     write the tables of the documentation from the record, and measure nothing
  dtype        of the logits: f32, f64, f16, bf16 (default: all four)

Every cell is the worst relative error and the worst error in units in the last place (ULP) of the results' dtype, over seeded rows with the classes
last and with the classes first, against f64 with ln(1 + R) from the exact inputs (for f64 logits: 128 bits, by MPFR). Class counts: ${classCounts.join(", ")}.
"textbook" is ln(sum) - (x[y] - max) and p - 1 in the precision of the logits, rounded after every step, on the same rows.
Results whose exact value is below 2^-124 (2^-1020 for f64), where the contract lets an exponential count as 0, or below the smallest normal value of
a 16-bit gradient, are not in the cells; they are held to the contract's bound only, and counted.
Exit code 1 if a result is further off than the contract allows.`;

const { values, positionals } = (() => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: "boolean", default: false },
        record: { type: "boolean", default: false },
        readme: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return process.exit(2);
  }
})();
if (values.help) {
  console.log(usage);
  process.exit(0);
}
if (values.readme) {
  console.log(`wrote ${[writePage(), ...writeSummary()].join(", ")}`);
  process.exit(0);
}
const unknown = positionals.filter((name) => pairs.every(({ dtype }) => dtype !== name));
if (unknown.length > 0) {
  console.error(`no dtype of logits is named ${unknown.join(", ")}\n\n${usage}`);
  process.exit(2);
}
if (values.record && (values.quick || positionals.length > 0)) {
  console.error(`a record is of the full run\n\n${usage}`);
  process.exit(2);
}

/** @type {Record<string, import("sparse-xent").Engine>} one thread: results are the same bits for any number */
const engines = {};
for (const build of /** @type {const} */ (["relaxed", "simd"])) {
  try {
    engines[build] = await load({ build, threads: 1 });
  } catch (error) {
    if (!isSparseXentError(error)) throw error;
    console.error(`no figures of the ${build} build: Node ${process.versions.node} cannot run it`);
  }
}
if (values.record && engines["relaxed"] === undefined) {
  console.error("a record has both builds");
  process.exit(2);
}

const { date, processor, node, v8, commit } = machine();
console.log(`${processor}; Node ${node}; builds ${Object.keys(engines).join(", ")}; worst relative error and worst ULP\n`);

const bar = new cliProgress.SingleBar({ format: "{bar} {value}/{total}  {what}", clearOnComplete: true, hideCursor: true, stream: process.stderr });
/** @type {import("./accuracy/measure.mjs").Measured[]} */
const results = [];
for (const dtype of new Set(pairs.map((pair) => pair.dtype))) {
  if (positionals.length > 0 && !positionals.includes(dtype)) continue;
  const wanted = pairs.filter((pair) => pair.dtype === dtype);
  bar.start(1, 0, { what: "" });
  const measured = await measure(engines, values.quick ? sizes.quick : sizes.full, {
    wanted,
    told: (done, total, what) => {
      bar.setTotal(total);
      bar.update(done, { what });
    },
  });
  bar.stop();
  results.push(...measured);
  for (const { grad } of wanted) console.log(`\n${dtype} logits, ${grad} gradient\n${caseTable(measured.filter((each) => each.grad === grad))}`);
}
for (const xent of Object.values(engines)) await xent.dispose();

console.log("");
for (const text of summary(results)) console.log(text);
const misses = missed(results);
console.log(misses.length === 0 ? "\nno f32 figure is more than a fifth over its goal" : `\nmore than a fifth over the goal:\n  ${misses.join("\n  ")}`);
const breaks = broken(results);
console.log(breaks.length === 0 ? "the contract's bound holds everywhere" : `\nTHE CONTRACT IS BROKEN:\n  ${breaks.join("\n  ")}`);

if (values.record && breaks.length === 0) {
  const head = { date, processor, node, v8, commit, size: sizes.full };
  console.log(`\nrecorded in ${writeRecord(head, results)}`);
  console.log(`wrote ${[writePage(), ...writeSummary()].join(", ")}`);
}
process.exitCode = breaks.length === 0 ? 0 : 1;
