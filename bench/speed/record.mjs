// The record of a whole run, bench/record/speed.json or peers.json: what README and comments quote.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** @typedef {"speed" | "peers" | "adapters"} Name */

/** @param {Name} name */
const fileOf = (name) => fileURLToPath(new URL(`../record/${name}.json`, import.meta.url));

// More digits than a repetition agrees on.
const digits = 4;

/** @param {Name} name @param {Readonly<Record<string, unknown>>} head machine, engine, commit @param {Readonly<Record<string, unknown>>} parts results by part */
export function writeRecord(name, head, parts) {
  const file = fileOf(name);
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

/** @param {Name} name @returns {any} */
export const readRecord = (name) => JSON.parse(readFileSync(fileOf(name), "utf8"));
