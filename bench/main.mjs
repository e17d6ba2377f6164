// `npm run bench`: validates, then times. Candidates take turns, round by round, in one process; one that disagrees with the definition prints FAIL and
// no figure. Figures on standard output, progress on standard error.
import process from "node:process";
import { Command } from "commander";
import { countOf, isPartial, listOf, nodeOption, within } from "./speed/arguments.mjs";
import { batch, shapes } from "./speed/cases.mjs";
import { busyNotice, isBusy, load, machine } from "./speed/machine.mjs";
import { supportedBuilds, threadCounts } from "./speed/ours.mjs";
import { parts } from "./speed/parts/index.mjs";
import { progress } from "./speed/progress.mjs";
import { publish } from "./speed/publish.mjs";
import { writeRecord } from "./speed/record.mjs";
import { targetTable } from "./speed/report.mjs";

const count = countOf(4);
const shapeNames = [...shapes, batch].map(({ name }) => name);

const help = `
Parts:
${Object.entries(parts).map(([name, { about }]) => `  ${name.padEnd(12)} ${about}`).join("\n")}

Shapes: ${shapeNames.join(", ")}

Part native runs where it is named, with --native and with --record: it compiles the crate first, in about a minute where the crate has changed.

"naive" is the textbook wasm kernel of bench/naive, of the same build and on one thread; "copy" a wasm copy of the logits; "plain" a JavaScript
loop. Figures and ratios are of the best round; spread is the distance of the quartiles by the median, large where the machine is not quiet.
Errors are the largest relative ones of a row's loss and of a gradient element, against the definition in f64.`;

const program = new Command("npm run bench --")
  .description("Speed of the package, measured beside what it is compared with.")
  .option("--only <parts>", "run only these parts, separated by commas", listOf(Object.keys(parts), "part"))
  .option("--shapes <names>", "run only shapes whose names contain one of these, separated by commas", listOf(shapeNames, "shape", within))
  .option("--rounds <n>", "rounds of each contest (default 9; 3 with --quick)", count)
  .option("--divide <n>", "divide the rows of every shape by this (default 1; 16 with --quick)", count)
  .option("--quick", "a sixteenth of the rows and three rounds: within two minutes")
  .option("--native", "part native as well, which a run without options leaves out")
  .addOption(nodeOption())
  .option("--record", "write bench/record/speed.json, and from it the README's section and picture; of a whole run only")
  .option("--readme", "write the README's section and picture from the record, and measure nothing")
  .addHelpText("after", help)
  .parse();

/** @type {{ only?: string[], shapes?: string[], rounds?: number, divide?: number, quick?: true, native?: true, record?: true, readme?: true }} */
const wishes = program.opts();
if (wishes.record && isPartial(wishes)) program.error("error: a record is of a whole run");
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
if (isBusy(about)) told.print(busyNotice(about));

/** @type {Record<string, any>} */
const results = {};
for (const [name, part] of Object.entries(parts)) {
  const isExtra = name === "native";
  if (!(wishes.only?.includes(name) ?? (!isExtra || wishes.record)) && !(isExtra && wishes.native)) continue;
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
