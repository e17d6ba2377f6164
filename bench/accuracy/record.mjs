// @ts-check
// The record of a full run, bench/record/accuracy.json, and its tables in the documentation, between two markers.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { replaced, writePlace } from "../../ts/docs/places.mjs";
import { pageTables } from "./tables.mjs";

/** @typedef {import("./compare.mjs").Figures} Figures @typedef {import("./compare.mjs").Worst} Worst @typedef {import("./measure.mjs").Measured} Measured */

const recordFile = fileURLToPath(new URL("../record/accuracy.json", import.meta.url));

// Two digits are what the tables show; the worst of another seed differs by more.
/** @param {number} value */
const short = (value) => Number(value.toPrecision(2));

const keys = /** @type {const} */ (["relative", "ulp", "used", "count", "apart", "zeros"]);
/** @param {Worst} worst */
const packed = (worst) => keys.map((key) => short(worst[key]));
/** @param {readonly number[]} numbers @returns {Worst} */
const unpacked = (numbers) => /** @type {Worst} */ (Object.fromEntries(keys.map((key, index) => [key, numbers[index]])));

/** @template A, B @param {Readonly<Record<string, A>>} record @param {(value: A) => B} change @returns {Record<string, B>} */
const mapped = (record, change) => Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));

/** Writes the record, a line for each case. @param {Readonly<Record<string, unknown>>} head machine, engine, date @param {readonly Measured[]} results */
export function writeRecord(head, results) {
  const lines = results.map((each) =>
    JSON.stringify({ ...each, of: mapped(each.of, ({ loss, label, others }) => ({ loss: packed(loss), label: packed(label), others: packed(others) })) }),
  );
  const text = JSON.stringify({ ...head, figures: keys }, null, 1).replace(/\n\}$/, "");
  writeFileSync(recordFile, `${text},\n "cases": [\n${lines.join(",\n")}\n ]\n}\n`);
  return recordFile;
}

/** The recorded cases. @returns {Measured[]} */
export function readRecord() {
  /** @type {{ cases: (Omit<Measured, "of"> & { of: Record<string, { loss: number[], label: number[], others: number[] }> })[] }} */
  const { cases } = JSON.parse(readFileSync(recordFile, "utf8"));
  return cases.map((each) => ({
    ...each,
    of: mapped(each.of, ({ loss, label, others }) => ({ loss: unpacked(loss), label: unpacked(label), others: unpacked(others) })),
  }));
}

/** The page with the tables of these results. @param {string} page @param {readonly Measured[]} results */
export const withTables = (page, results) => replaced(page, "accuracy", pageTables(results));

/** Puts the recorded figures into the documentation. */
export const writePage = () => writePlace("accuracy", pageTables(readRecord()));
