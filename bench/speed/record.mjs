// Records of whole runs, one of each processor family (bench/record/speed.<family>.json, peers.<family>.json, adapters.<family>.json, linear.<family>.json), which README,
// documentation and comments quote.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** @typedef {"speed" | "peers" | "adapters" | "linear"} Name */

const folder = new URL("../record/", import.meta.url);

/** @param {Name} name @param {string} family */
const fileOf = (name, family) => fileURLToPath(new URL(`${name}.${family}.json`, folder));

// More digits than a repetition agrees on.
const digits = 4;

/** @param {Name} name @param {string} family of the processor, see `processorFamily` @param {Readonly<Record<string, unknown>>} head machine, engine, commit @param {Readonly<Record<string, unknown>>} parts results by part */
export function writeRecord(name, family, head, parts) {
  const file = fileOf(name, family);
  /** @param {unknown} value */
  const short = (value) => JSON.stringify(value, (_, each) => (typeof each === "number" && !Number.isInteger(each) ? Number(each.toPrecision(digits)) : each));
  // A line for each measurement, so that two records can be compared line by line.
  const texts = Object.entries(parts).map(([part, value]) => {
    if (!Array.isArray(value)) return `  ${JSON.stringify(part)}: ${short(value)}`;
    return `  ${JSON.stringify(part)}: [\n${value.map((each) => `   ${short(each)}`).join(",\n")}\n  ]`;
  });
  const text = JSON.stringify(head, null, 1).replace(/\n\}$/, "");
  writeFileSync(file, `${text},\n "parts": {\n${texts.join(",\n")}\n }\n}\n`);
  return file;
}

/** All records of a name, the newest first. The family of one that does not name it is that of its file. @param {Name} name @returns {any[]} */
export function readRecords(name) {
  const files = readdirSync(folder).filter((file) => new RegExp(`^${name}\\.[a-z0-9-]+\\.json$`).test(file));
  const records = files.sort().map((file) => ({ family: file.slice(name.length + 1, -".json".length), caches: [], ...JSON.parse(readFileSync(new URL(file, folder), "utf8")), file }));
  return records.sort((a, b) => (a.date < b.date ? 1 : a.date > b.date ? -1 : 0));
}

/**
 * What the ratios of a record of speed are to.
 * @typedef {object} Baseline
 * @property {"unrolled" | "naive"} key of an outcome's ratio; what the baseline's own outcomes are called begins with it
 * @property {string} name in a table's head
 * @property {string} short in the README
 * @property {string} words in the documentation
 * @property {string} apart what else is to be known of the ratios
 */

/** @type {Baseline} */
const unrolled = {
  key: "unrolled",
  name: "unrolled",
  short: "a SIMD kernel of three sweeps, unrolled by four",
  words: "the unrolled baseline ([`bench/naive`](../../bench/naive/lib.rs): three sweeps of SIMD128, four vectors at a time, the same exponential)",
  apart: "",
};

/** Of records that are older than the unrolled one. @type {Baseline} */
const formerTextbook = {
  key: "naive",
  name: "former textbook",
  short: "a textbook SIMD kernel that is not unrolled",
  words: "a former textbook kernel (three sweeps of SIMD128, one vector at a time, the same exponential, constants made anew for each vector), which is slower than the unrolled baseline that newer records are beside",
  apart: "Accumulating reads the gradient as well, which that kernel does not.",
};

/** @param {{ parts: { kernels: readonly { unrolled?: number }[] } }} record @returns {Baseline} */
export const baselineOf = ({ parts }) => (parts.kernels.some((each) => each.unrolled !== undefined) ? unrolled : formerTextbook);
