// Where a measurement was made: enough to repeat it and to doubt it. Imports Node built-ins only.
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** @param {readonly string[]} args */
function git(args) {
  try {
    return execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined;
  }
}

/** Extensions that decide how fast wasm's vectors are; what Linux says of the first processor. */
function extensions() {
  try {
    const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.split(" ") ?? [];
    return flags.filter((flag) => /^(sse4_2|avx2?|fma|avx512f|amx_tile|asimd|sve)$/.test(flag));
  } catch {
    return [];
  }
}

/** @param {string} field of the first processor, as Linux has it @returns {string | undefined} */
const cpuField = (field) => {
  try {
    return new RegExp(`^${field}\\s*:\\s*(.+)$`, "m").exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1];
  } catch {
    return undefined;
  }
};

/** AMD's families and models by the name of their cores. @param {number} family @param {number} model */
function zen(family, model) {
  if (family === 23) return model < 0x30 ? "zen" : "zen2";
  if (family === 25) return (model >= 0x10 && model < 0x20) || model >= 0x60 ? "zen4" : "zen3";
  return family === 26 ? "zen5" : undefined;
}

/** A name for processors of the same kind, by which their record is filed: `amd-zen4`, `intel-6-143`, otherwise what the system calls the processor. */
export function processorFamily() {
  const vendor = { AuthenticAMD: "amd", GenuineIntel: "intel" }[cpuField("vendor_id") ?? ""];
  const [family, model] = [Number(cpuField("cpu family")), Number(cpuField("model"))];
  const core = vendor === "amd" ? zen(family, model) : undefined;
  if (vendor !== undefined) return `${vendor}-${core ?? `${family}-${model}`}`;
  return (cpus()[0]?.model ?? "unknown").trim().toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
}

/** Data caches of the first processor, from the first level on, as Linux has them: `L1 32K`. @returns {string[]} */
function caches() {
  const folder = "/sys/devices/system/cpu/cpu0/cache";
  const read = (/** @type {string} */ path) => readFileSync(`${folder}/${path}`, "utf8").trim();
  try {
    const entries = readdirSync(folder).filter((entry) => entry.startsWith("index") && read(`${entry}/type`) !== "Instruction");
    return entries.map((entry) => `L${read(`${entry}/level`)} ${read(`${entry}/size`)} ${read(`${entry}/ways_of_associativity`)}-way`).sort();
  } catch {
    return [];
  }
}

/** How busy the machine is with others' work: processes that ran or waited in the last minute, on average. */
export const load = () => Number((loadavg()[0] ?? 0).toFixed(2));

/** The state of the working tree, where there is one. */
function commit() {
  const hash = git(["rev-parse", "--short=12", "HEAD"]);
  if (hash === undefined) return undefined;
  // What the record itself and the prose change does not count.
  const changed = git(["status", "--porcelain", "--", "crate", "ts", "bench/speed", "bench/naive", "bench/native.rs", "bench/peers", "package.json", "Cargo.toml"]);
  return changed === "" ? hash : `${hash} and changes`;
}

export function machine() {
  return {
    date: new Date().toISOString().slice(0, 10),
    processor: cpus()[0]?.model.trim() ?? "unknown processor",
    family: processorFamily(),
    model: ["cpu family", "model", "stepping"].map((field) => `${field} ${cpuField(field) ?? "unknown"}`).join(", "),
    cores: cpus().length,
    caches: caches(),
    extensions: extensions(),
    memoryGiB: Number((totalmem() / 2 ** 30).toFixed(1)),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.versions.node,
    v8: process.versions.v8,
    flags: process.execArgv,
    commit: commit(),
    loadBefore: load(),
  };
}

/** Whether others' work was in the way. @param {{ loadBefore: number }} about */
export const isBusy = ({ loadBefore }) => loadBefore > 0.5;

/** @param {{ loadBefore: number }} about */
export const busyNotice = ({ loadBefore }) =>
  `The machine is not quiet: ${loadBefore} processes on average in the last minute. Ratios hold better than figures.`;
