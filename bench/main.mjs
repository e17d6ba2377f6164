// `npm run bench`: validates, then times. Candidates take turns, round by round, in one process; one that disagrees with the definition prints FAIL and
// no figure. Figures on standard output, progress on standard error.
import process from "node:process";
import { Command } from "commander";
import { countOf, countsOf, isPartial, listOf, nodeOption, within } from "./speed/arguments.mjs";
import { against } from "./against.mjs";
import { batch, classShapes, planeShapes, shapeOf, shapes } from "./speed/cases.mjs";
import { busyNotice, isBusy, load, machine } from "./speed/machine.mjs";
import { all, supportedBuilds, threadCounts } from "./speed/ours.mjs";
import { parts } from "./speed/parts/index.mjs";
import { progress } from "./speed/progress.mjs";
import { publish } from "./speed/publish.mjs";
import { keep } from "./speed/keep.mjs";
import { writeRecord } from "./speed/record.mjs";
import { targetTable } from "./speed/report.mjs";

const count = countOf(4);
const shapeNames = [...shapes, batch, ...classShapes, ...planeShapes].map(({ name }) => name);

const help = `
Parts:
${Object.entries(parts).map(([name, { about }]) => `  ${name.padEnd(12)} ${about}`).join("\n")}

Shapes: ${[...shapes, batch].map(({ name }) => name).join(", ")}, and those of parts classes and planes

--against names a checkout with a built dist/, or such a folder: instead of the parts above, this build and that one take turns at every shape, or at those
that --shapes names, which may be of any size here (2000x33 for rows, 33x64x64 for planes).

Part native runs where it is named, with --native and with --record: it compiles the crate first, in about a minute where the crate has changed.

"textbook" and "unrolled" are the baseline wasm kernels of bench/naive, one vector at a time and four, of the same build, on one thread; "copy" a wasm copy
of the logits; "plain" a JavaScript loop. Figures and ratios are of the best round; spread is the distance of the quartiles by the median, large where the machine is not quiet.
Errors are the largest relative ones of a row's loss and of a gradient element, against the definition in f64.`;

const program = new Command("npm run bench --")
  .description("Speed of the package, measured beside what it is compared with.")
  .option("--only <parts>", "run only these parts, separated by commas", listOf(Object.keys(parts), "part"))
  .option("--shapes <names>", "run only shapes whose names contain one of these, separated by commas", listOf(shapeNames, "shape", (name, word) => within(name, word) || shapeOf(word) !== undefined))
  .option("--rounds <n>", "rounds of each contest (default 9; 3 with --quick)", count)
  .option("--divide <n>", "divide the rows of every shape by this (default 1; 16 with --quick)", count)
  .option("--quick", "a sixteenth of the rows and three rounds: within two minutes")
  .option("--against <folder>", "measure this build beside the one in that folder, and nothing else")
  .option("--builds <names>", "of these wasm builds, separated by commas (default: all that this engine runs)", listOf(["relaxed", "simd"], "build"))
  .option("--threads <counts>", "on so many threads, separated by commas (default: 1 and all)", countsOf)
  .option("--what <jobs>", "with --against: of loss, loss+grad, in place, accumulate (default: all)", listOf(all, "job"))
  .option("--native", "part native as well, which a run without options leaves out")
  .addOption(nodeOption())
  .option("--record", "write the record of this processor family in bench/record, and from the records the page of the documentation and its picture; of a whole run only")
  .option("--readme", "write the page of the documentation and its picture from the records, and measure nothing")
  .addHelpText("after", help)
  .parse();

/**
 * @type {{ only?: string[], shapes?: string[], rounds?: number, divide?: number, quick?: true, against?: string, builds?: import("./speed/ours.mjs").Build[],
 *   threads?: number[], what?: import("./speed/ours.mjs").Ours[], native?: true, record?: true, readme?: true }}
 */
const wishes = program.opts();
const unknown = (wishes.shapes ?? []).filter((word) => !shapeNames.some((name) => within(name, word)));
if (wishes.against === undefined && unknown.length > 0) program.error(`error: no shape is named ${unknown.join(", ")}`);
if (wishes.record && isPartial(wishes)) program.error("error: a record is of a whole run");
if (wishes.readme) {
  for (const file of await publish()) console.log(`wrote ${file}`);
  process.exit(0);
}

const told = progress();
const builds = (await supportedBuilds()).filter((build) => wishes.builds?.includes(build) ?? true);
/** @type {import("./speed/contest.mjs").Context} */
const context = {
  builds,
  threads: wishes.threads ?? (await threadCounts()),
  rounds: wishes.rounds ?? (wishes.quick ? 3 : 9),
  divisor: wishes.divide ?? (wishes.quick ? 16 : 1),
  wants: ({ name }) => wishes.shapes?.some((word) => name.includes(word)) ?? true,
  told: told.say,
  print: told.print,
};
const about = machine();
told.print(`${about.processor} (${about.family}), ${about.cores} cores (${about.extensions.join(" ")}), caches ${about.caches.join(", ")}; Node ${about.node}, V8 ${about.v8}; builds ${builds.join(", ")}; ${context.rounds} rounds`);
if (isBusy(about)) told.print(busyNotice(about));

if (wishes.against !== undefined) {
  const named = (wishes.shapes ?? []).flatMap((word) => shapeOf(word) ?? []);
  const wrong = await against(wishes.against, { ...context, named, ...(wishes.what && { what: wishes.what }) });
  told.end();
  for (const text of wrong) console.error(`FAIL ${text}`);
  process.exit(wrong.length === 0 ? 0 : 1);
}

/** @type {Record<string, any>} */
const results = {};
for (const [name, part] of Object.entries(parts)) {
  const isExtra = name === "native";
  if (!(wishes.only?.includes(name) ?? (!isExtra || wishes.record)) && !(isExtra && wishes.native)) continue;
  results[name] = await part.run(context);
}
const reached = targetTable(results);
if (reached !== "") told.print(`\n${reached}`);
told.end();

const wrong = Object.values(results).flat().filter((each) => each?.wrong !== undefined);
for (const each of wrong) console.error(`FAIL ${each.shape} ${each.what} ${each.build ?? ""}: ${each.wrong}`);
if (wishes.record && wrong.length === 0) {
  console.log(`\nrecorded in ${writeRecord("speed", about.family, { ...about, builds, threads: context.threads, rounds: context.rounds, loadAfter: load() }, keep(results))}`);
  for (const file of await publish()) console.log(`wrote ${file}`);
}
process.exitCode = wrong.length === 0 ? 0 : 1;
