// `npm run bench:peers -- linear`: the last layer with its loss beside the products of other libraries on wasm and beside PyTorch, one thread, by CPU time. Each takes
// its turns in a process of its own, one after the other for each shape; native is the crate's bench (bench/linear.rs).
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { Command } from "commander";
import { writePlace } from "../../ts/docs/places.mjs";
import { ownPython } from "../peers/entrants.mjs";
import { countOf } from "../speed/arguments.mjs";
import { busyNotice, isBusy, machine } from "../speed/machine.mjs";
import { layerOf, shapes } from "../speed/parts/linear.mjs";
import { readRecords, writeRecord } from "../speed/record.mjs";
import { layerTables } from "./table.mjs";

const program = new Command("npm run bench:peers -- linear")
  .description("The last layer with its loss, beside products of TensorFlow.js and ONNX Runtime on wasm, and beside PyTorch.")
  .option("--rounds <n>", "rounds (default 3)", countOf(3))
  .option("--python <path>", "Python that has PyTorch", process.env["SPARSE_XENT_PYTHON"] ?? ownPython)
  .option("--native <path>", "the crate's bench, as `cargo bench --bench linear --no-run` names it")
  .option("--node <major>", "the Node to measure on")
  .option("--record", "write the record of this processor family in bench/record and its table in ts/docs/linear.md")
  .parse();
/** @type {{ rounds?: number, python: string, native?: string, record?: true }} */
const { rounds = 3, python, native, record } = program.opts();
const about = machine();
console.log(`${about.processor}; Node ${about.node}, one thread, CPU time in milliseconds`);
if (isBusy(about)) console.log(busyNotice(about));

/** What a program prints as JSON, or nothing where it is not here. @param {string | undefined} path @param {readonly string[]} args */
function printed(path, args) {
  if (path === undefined || !existsSync(path)) return undefined;
  const { status, stdout, stderr } = spawnSync(path, args, { encoding: "utf8", env: { ...process.env, OMP_NUM_THREADS: "1", MKL_NUM_THREADS: "1" } });
  if (status !== 0) throw new Error(`${path} ${args.join(" ")} failed:\n${stderr}`);
  return JSON.parse(stdout);
}
const here = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));

const layers = [];
let torch = "";
for (const shape of shapes) {
  const builds = Object.fromEntries(/** @type {const} */ (["relaxed", "simd"]).map((build) => [build, layerOf({ shape, build, threads: 1 }, rounds)]));
  const web = printed(process.execPath, [here("web.mjs"), JSON.stringify({ shape, rounds })]);
  const crate = printed(native, [shape.join(","), "--rounds", String(rounds)]);
  const found = printed(python, [here("torch_layer.py"), JSON.stringify({ shape, rounds })]);
  torch = found?.version ?? torch;
  layers.push({ shape, builds, web, ...(crate && { native: crate }), ...(found && { torch: found.ways }) });
  console.log(JSON.stringify(layers.at(-1)));
}
const head = { ...about, ...(torch && { torch }) };
console.log(`\n${layerTables([{ file: "", ...head, parts: { layers } }])}`);
if (record) {
  console.log(`wrote ${writeRecord("linear", about.family, head, { layers })}`);
  console.log(`wrote ${writePlace("linear", layerTables(readRecords("linear")))}`);
}
