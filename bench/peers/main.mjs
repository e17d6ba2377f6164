// `npm run bench:peers`: the package beside other libraries' sparse softmax cross-entropy, each in a process of its own, run in turns by this one. A peer
// that is not here is named; one that disagrees with the definition prints FAIL and no figure.
import process from "node:process";
import { Command } from "commander";
import { writePlace } from "../../ts/docs/places.mjs";
import { writeSummary } from "../summary.mjs";
import { countOf, isPartial, listOf, nodeOption, within } from "../speed/arguments.mjs";
import { batch, scaled, shapes } from "../speed/cases.mjs";
import { busyNotice, isBusy, load, machine } from "../speed/machine.mjs";
import { threadCounts } from "../speed/ours.mjs";
import { progress } from "../speed/progress.mjs";
import { readRecords, writeRecord } from "../speed/record.mjs";
import { ownPython, start } from "./entrants.mjs";
import { makeJob } from "./jobs.mjs";
import { answerMs, meet, reasonOf } from "./meeting.mjs";
import { measureMemory, modesOf } from "./memory.mjs";
import { absence, noGradient, peers, whats } from "./peers.mjs";
import { leadTable, memoryTable, outcomeTable, pageTables } from "./tables.mjs";

/** @typedef {import("./meeting.mjs").Entrant} Entrant @typedef {import("./meeting.mjs").Outcome} Outcome @typedef {import("./peers.mjs").Peer} Peer */

const count = countOf(7);
const everyShape = [...shapes, batch];
const rivals = peers.slice(1);
const help = `
Peers: ${rivals.map(({ name }) => name).join(", ")}
Shapes: ${everyShape.map(({ name }) => name).join(", ")}

Every call makes its gradient anew, in memory of its own. ${batch.name} has class weights and ignored pixels, its mean is by weight; it is run by one peer
at a time beside the package, since not all of them fit in memory together. "sparse-xent is 2x": it was twice as fast with as many threads, by best
rounds. Errors: of the mean loss, relative, and of gradient elements in sampled rows, as a share of the row's largest possible; against the definition
in f64.`;

const program = new Command("npm run bench:peers --")
  .description("Speed, error and memory of the package beside other libraries.")
  .option("--only <peers>", "only these peers, separated by commas", listOf(rivals.map(({ name }) => name), "peer"))
  .option("--shapes <names>", "only shapes whose names contain one of these", listOf(everyShape.map(({ name }) => name), "shape", within))
  .option("--python <path>", "Python that has the packages of bench/peers/requirements.txt", process.env["SPARSE_XENT_PYTHON"] ?? ownPython)
  .option("--install", "first install those packages in target/peers-venv, where they are not (on Linux several gigabytes)")
  .option("--rounds <n>", "rounds of each contest (default 9; 3 with --quick)", count)
  .option("--budget <seconds>", "nobody starts another round once its calls took so long (default 10; 1 with --quick)", count)
  .option("--divide <n>", "divide the rows of every shape by this (default 1; 16 with --quick)", count)
  .option("--quick", "a sixteenth of the rows and three rounds: a few minutes")
  .addOption(nodeOption())
  .option("--record", "write the record of this processor family in bench/record, and from the records the tables of the documentation; of a whole run only")
  .option("--readme", "write the documentation from the records, and measure nothing")
  .addHelpText("after", help)
  .parse();

/** @type {{ only?: string[], shapes?: string[], python: string, rounds?: number, budget?: number, divide?: number, quick?: true, record?: true, readme?: true, install?: true }} */
const wishes = program.opts();
if (wishes.record && isPartial(wishes)) program.error("error: a record is of a whole run");
const publish = () => [writePlace("peers", pageTables(readRecords("peers"))), ...writeSummary()].join(", ");
if (wishes.install) program.error("error: --install is of npm run bench:peers");
if (wishes.readme) {
  console.log(`wrote ${publish()}`);
  process.exit(0);
}

const rounds = wishes.rounds ?? (wishes.quick ? 3 : 9);
const budgetSeconds = wishes.budget ?? (wishes.quick ? 1 : 10);
const divisor = wishes.divide ?? (wishes.quick ? 16 : 1);
const chosen = peers.filter(({ name }, index) => index === 0 || (wishes.only?.includes(name) ?? true));
const threads = await threadCounts();
const told = progress();
const about = machine();
told.print(`${about.processor}, ${about.cores} cores (${about.extensions.join(" ")}); Node ${about.node}; ${rounds} rounds`);
if (isBusy(about)) told.print(busyNotice(about));

/** @type {Record<string, string>} */
const versions = {};
/** @type {(Omit<Entrant, "child"> & { child?: Entrant["child"], absent?: string })[]} */
const entrants = [];
for (const peer of chosen) {
  for (const number of threads) {
    if (number > 1 && peer.oneThread !== undefined) continue;
    told.say(`starting ${peer.name} t${number}`);
    entrants.push(await begin(peer, number));
  }
}

/** @param {Peer} peer @param {number} number of threads */
async function begin(peer, number) {
  try {
    const child = await start(peer, number, wishes.python);
    Object.assign(versions, child.versions);
    return { peer, threads: number, child };
  } catch (error) {
    return { peer, threads: number, absent: reasonOf(error) };
  }
}

told.print(Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", "));
for (const { peer, threads: number, absent } of entrants) if (absent !== undefined) told.print(`absent: ${peer.name} t${number}: ${absent}`);
for (const { name, does } of chosen) if (!does.includes("loss+grad")) told.print(`absent: ${name}, loss+grad: ${noGradient}`);
for (const peer of chosen) if (threads.length > 1 && peer.oneThread !== undefined) told.print(`absent: ${peer.name} t${threads.at(-1)}: ${peer.oneThread}`);

// Said once, not in every table.
const known = new Set([noGradient, ...entrants.map(({ absent }) => absent)]);

/**
 * Runs a job's contests among some of the entrants.
 * @param {import("./jobs.mjs").Job} job @param {readonly typeof entrants[number][]} group
 */
async function run(job, group) {
  /** @type {Entrant[]} */
  const ready = [];
  /** @type {Outcome[]} */
  const outcomes = [];
  for (const entrant of group) {
    const { peer, threads: number } = entrant;
    const missing = whats.map((what) => ({ shape: job.shape.name, what, peer: peer.name, threads: number, absent: entrant.absent ?? absence(peer, job.shape, what, number) }));
    outcomes.push(...missing.flatMap((each) => (each.absent === undefined ? [] : [/** @type {Outcome} */ (each)])));
    if (missing.every(({ absent }) => absent !== undefined)) continue;
    told.say(`${job.shape.name}: preparing ${peer.name} t${number}`);
    try {
      // A process that a former job has ended is replaced.
      if (!entrant.child?.alive) entrant.child = await start(peer, number, wishes.python);
      await entrant.child.ask({ ask: "prepare", job: job.message }, answerMs);
      ready.push({ peer, threads: number, child: entrant.child });
    } catch (error) {
      const absent = reasonOf(error);
      outcomes.push(...missing.flatMap((each) => (each.absent === undefined ? [/** @type {Outcome} */ ({ ...each, absent })] : [])));
    }
  }
  for (const what of whats) {
    const able = ready.filter(({ peer, threads: number }) => absence(peer, job.shape, what, number) === undefined);
    const met = await meet(able, job, what, { rounds, budgetSeconds, told: told.say });
    outcomes.push(...met);
    told.print(`\n${what} ${job.shape.name} (${job.shape.why})\n${outcomeTable(outcomes.filter((each) => each.what === what && (each.absent === undefined || !known.has(each.absent))))}`);
  }
  for (const { child } of ready) if (child.alive) await child.ask({ ask: "drop" }, answerMs).catch(reasonOf);
  return outcomes;
}

/** @type {Outcome[]} */
const outcomes = [];
/** @type {import("./memory.mjs").Memory[]} */
const memory = [];
const wants = (/** @type {{ name: string }} */ { name }) => wishes.shapes?.some((word) => name.includes(word)) ?? true;
for (const shape of shapes.filter(wants)) {
  told.say(`${shape.name}: data`);
  const job = makeJob(scaled(shape, divisor), false);
  outcomes.push(...(await run(job, entrants)));
  job.remove();
}
if (wants(batch)) {
  told.say(`${batch.name}: data`);
  const job = makeJob(scaled(batch, divisor), true);
  const [own, ...others] = chosen;
  for (const peer of others.length === 0 ? [own] : others) {
    const met = await run(job, entrants.filter((each) => each.peer === own || each.peer === peer));
    // The package ran beside each of them; its own figure is the best.
    for (const each of met) {
      const former = outcomes.findIndex(({ shape, what, peer: name, threads: number }) => shape === each.shape && what === each.what && name === each.peer && number === each.threads);
      if (former < 0) outcomes.push(each);
      else if ((each.best ?? Infinity) < (outcomes[former]?.best ?? Infinity)) outcomes[former] = each;
    }
  }
  for (const { child } of entrants) await child?.stop();
  const small = makeJob(scaled(batch, 65_536), true);
  for (const peer of chosen) {
    for (const mode of modesOf(peer)) {
      told.say(`${batch.name}: memory of ${peer.name}`);
      memory.push(await measureMemory(peer, mode, job, small, wishes.python));
    }
  }
  told.print(`\nmemory beside logits and labels, ${job.shape.name}, one thread\n${memoryTable(memory)}`);
  job.remove();
  small.remove();
}
for (const { child } of entrants) await child?.stop();
told.print(`\n${leadTable(outcomes)}`);
told.end();
if (wishes.record) {
  const head = { ...about, threads, rounds, budgetSeconds, versions, loadAfter: load() };
  console.log(`\nrecorded in ${writeRecord("peers", about.family, head, { outcomes, memory })}\nwrote ${publish()}`);
}
const failed = outcomes.filter(({ absent }) => absent?.startsWith("FAIL"));
for (const { shape, what, peer, threads: number, absent } of failed) console.error(`${absent} (${what} ${shape}, ${peer} t${number})`);
const ownFigures = outcomes.filter(({ peer, best }) => peer === "sparse-xent" && best !== undefined);
process.exitCode = failed.length === 0 && ownFigures.length > 0 ? 0 : 1;
