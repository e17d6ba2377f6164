// `npm run bench:peers -- adapters`: each entry for another library beside what that library's users write without it, on the same data in one process, in turns. One
// thread each; times are of the CPU. A result that disagrees prints FAIL and no figure.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { Command } from "commander";
import { load } from "sparse-xent";
import { countOf, isPartial, listOf } from "../speed/arguments.mjs";
import { writePlace } from "../../ts/docs/places.mjs";
import { busyNotice, isBusy, machine } from "../speed/machine.mjs";
import { readRecords, writeRecord } from "../speed/record.mjs";
import { lm } from "./lm.mjs";
import { onnx } from "./onnx.mjs";
import { adapterTables } from "./table.mjs";
import { tfjs } from "./tfjs.mjs";

const parts = { lm, tfjs, onnx };
const names = /** @type {(keyof typeof parts)[]} */ (Object.keys(parts));
const hosts = new URL("../../test/hosts/", import.meta.url);
const program = new Command("npm run bench:peers -- adapters")
  .description("Speed and memory of the entries for other libraries, beside those libraries alone.")
  .option("--only <entries>", `only these of ${names.join(", ")}, separated by commas`, listOf(names, "entry"))
  .option("--rounds <n>", "rounds (default 7)", countOf(3))
  .option("--divide <n>", "divide the rows of every shape by this (default 1)", countOf(5))
  .option("--node <major>", "the Node to measure on")
  .option("--record", "write the record of this processor family in bench/record and its table in ts/docs/adapters.md; of a whole run only")
  .parse();
/** @type {{ only?: (keyof typeof parts)[], rounds?: number, divide?: number, record?: true }} */
const wishes = program.opts();
if (wishes.record && isPartial(wishes)) program.error("error: a record is of a whole run");

/** @typedef {{ what: string, timings: readonly import("./turns.mjs").Timing[], memory?: readonly string[] }} Group `memory`: what each of the candidates added, in times the logits */
/** @typedef {{ xent: import("sparse-xent").Engine, host: (name: string) => Promise<any>, rounds: number, divisor: number, print: (text: string) => void, keep: (group: Group) => void }} Context */

if (!existsSync(fileURLToPath(new URL("node_modules", hosts)))) {
  console.error("adapters: the libraries are not here: test/hosts has no packages, and they could not be installed");
  process.exit(1);
}
const xent = await load({ threads: 1 });
const about = machine();
console.log(`${about.processor}, ${about.cores} cores; Node ${about.node}; sparse-xent ${xent.info.version} ${xent.info.build}, one thread`);
if (isBusy(about)) console.log(busyNotice(about));
/** @type {(Group & { entry: string })[]} */
const groups = [];
let entry = "";
/** @type {Context} */
const context = { xent, host: (name) => import(new URL(name, hosts).href), rounds: wishes.rounds ?? 7, divisor: wishes.divide ?? 1, print: (text) => console.log(text), keep: (group) => void groups.push({ entry, ...group }) };
for (const name of wishes.only ?? names) {
  entry = name;
  console.log(`\nsparse-xent/${name}`);
  await parts[name](context);
}
if (wishes.record) {
  const versions = Object.fromEntries(Object.entries(JSON.parse(readFileSync(new URL("package.json", hosts), "utf8")).dependencies));
  console.log(`wrote ${writeRecord("adapters", about.family, { ...about, versions, sparseXent: xent.info.version, build: xent.info.build }, { adapters: groups })}`);
  console.log(`wrote ${writePlace("adapters", adapterTables(readRecords("adapters")))}`);
}
await xent.dispose();
// ONNX Runtime's own threads would keep the process.
process.exit(process.exitCode ?? 0);
