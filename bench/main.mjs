// `npm run bench`: validates, then times. Candidates take turns, round by round, in one process; one that disagrees with the definition prints FAIL and
// no figure. Figures on standard output, progress on standard error.
import process from "node:process";
import { Command, InvalidArgumentError } from "commander";
import { batch, shapes } from "./speed/cases.mjs";
import { load, machine } from "./speed/machine.mjs";
import { supportedBuilds, threadCounts } from "./speed/ours.mjs";
import { parts } from "./speed/parts/index.mjs";
import { progress } from "./speed/progress.mjs";
import { publish } from "./speed/publish.mjs";
import { writeRecord } from "./speed/record.mjs";
import { targetTable } from "./speed/report.mjs";

/** @param {string} text */
const list = (text) => text.split(",").filter((word) => word !== "");

/** @param {string} text */
function partList(text) {
  const unknown = list(text).filter((name) => !Object.hasOwn(parts, name));
  if (unknown.length > 0) throw new InvalidArgumentError(`no part is named ${unknown.join(", ")}.`);
  return list(text);
}

/** @param {string} text */
function shapeList(text) {
  const unknown = list(text).filter((word) => ![...shapes, batch].some(({ name }) => name.includes(word)));
  if (unknown.length > 0) throw new InvalidArgumentError(`no shape is named ${unknown.join(", ")}.`);
  return list(text);
}

/** @param {string} text */
function count(text) {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError("a whole number from 1 to 9999.");
  return Number(text);
}

const help = `
Parts:
${Object.entries(parts).map(([name, { about }]) => `  ${name.padEnd(12)} ${about}`).join("\n")}

Shapes: ${[...shapes, batch].map(({ name }) => name).join(", ")}

"naive" is the textbook wasm kernel of bench/naive, of the same build and on one thread; "copy" a wasm copy of the logits; "plain" a JavaScript
loop. Figures and ratios are of the best round; spread is the distance of the quartiles by the median, large where the machine is not quiet.
Errors are the largest relative ones of a row's loss and of a gradient element, against the definition in f64.`;

const program = new Command("npm run bench --")
  .description("Speed of the package, measured beside what it is compared with.")
  .option("--only <parts>", "run only these parts, separated by commas", partList)
  .option("--shapes <names>", "run only shapes whose names contain one of these, separated by commas", shapeList)
  .option("--rounds <n>", "rounds of each contest (default 9; 3 with --quick)", count)
  .option("--divide <n>", "divide the rows of every shape by this (default 1; 16 with --quick)", count)
  .option("--quick", "a sixteenth of the rows and three rounds: within two minutes")
  .option("--record", "write bench/record/speed.json, and from it the README's section and picture; of a whole run only")
  .option("--readme", "write the README's section and picture from the record, and measure nothing")
  .addHelpText("after", help)
  .parse();

/** @type {{ only?: string[], shapes?: string[], rounds?: number, divide?: number, quick?: true, record?: true, readme?: true }} */
const wishes = program.opts();
if (wishes.record && (wishes.only ?? wishes.shapes ?? wishes.divide ?? wishes.quick) !== undefined) program.error("error: a record is of a whole run");
if (wishes.readme) {
  for (const file of await publish()) console.log(`wrote ${file}`);
  process.exit(0);
}

const told = progress();
const builds = await supportedBuilds();
/** @type {import("./speed/contest.mjs").Context} */
const context = {
  builds,
  threads: await threadCounts(),
  rounds: wishes.rounds ?? (wishes.quick ? 3 : 9),
  divisor: wishes.divide ?? (wishes.quick ? 16 : 1),
  wants: ({ name }) => wishes.shapes?.some((word) => name.includes(word)) ?? true,
  told: told.say,
  print: told.print,
};
const about = machine();
told.print(`${about.processor}, ${about.cores} cores (${about.extensions.join(" ")}); Node ${about.node}, V8 ${about.v8}; builds ${builds.join(", ")}; ${context.rounds} rounds`);
if (about.loadBefore > 0.5) told.print(`The machine is not quiet: ${about.loadBefore} processes on average in the last minute. Ratios hold better than figures.`);

/** @type {Record<string, any>} */
const results = {};
for (const [name, part] of Object.entries(parts)) {
  if (wishes.only !== undefined && !wishes.only.includes(name)) continue;
  results[name] = await part.run(context);
}
if (results["kernels"] !== undefined) told.print(`\n${targetTable(results["kernels"])}`);
told.end();

const wrong = Object.values(results).flat().filter((each) => each?.wrong !== undefined);
for (const each of wrong) console.error(`FAIL ${each.shape} ${each.what} ${each.build ?? ""}: ${each.wrong}`);
if (wishes.record && wrong.length === 0) {
  console.log(`\nrecorded in ${writeRecord("speed", { ...about, builds, threads: context.threads, rounds: context.rounds, loadAfter: load() }, results)}`);
  for (const file of await publish()) console.log(`wrote ${file}`);
}
process.exitCode = wrong.length === 0 ? 0 : 1;
