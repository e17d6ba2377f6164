// The record of a whole run, bench/record/speed.json: what README and comments quote.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const file = fileURLToPath(new URL("../record/speed.json", import.meta.url));

// More digits than a repetition agrees on.
const digits = 4;

/** @param {Readonly<Record<string, unknown>>} head machine, engine, commit @param {Readonly<Record<string, unknown>>} parts results by part */
export function writeRecord(head, parts) {
  /** @param {unknown} value */
  const short = (value) => JSON.stringify(value, (_, each) => (typeof each === "number" && !Number.isInteger(each) ? Number(each.toPrecision(digits)) : each));
  // A line for each measurement, so that two records can be compared line by line.
  const texts = Object.entries(parts).map(([name, value]) => {
    if (!Array.isArray(value)) return `  ${JSON.stringify(name)}: ${short(value)}`;
    return `  ${JSON.stringify(name)}: [\n${value.map((each) => `   ${short(each)}`).join(",\n")}\n  ]`;
  });
  const text = JSON.stringify(head, null, 1).replace(/\n\}$/, "");
  writeFileSync(file, `${text},\n "parts": {\n${texts.join(",\n")}\n }\n}\n`);
  return file;
}

/** @returns {any} */
export const readRecord = () => JSON.parse(readFileSync(file, "utf8"));
