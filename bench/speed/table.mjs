// Tables for a terminal and for Markdown, and figures as the benches print them. Imports the table package only.
import Table from "cli-table3";

/** Text without lines around its cells. @param {readonly string[]} head @param {readonly (readonly string[])[]} rows the first column is text, the others are figures */
export function textTable(head, rows) {
  const none = { top: "", "top-mid": "", "top-left": "", "top-right": "", bottom: "", "bottom-mid": "", "bottom-left": "", "bottom-right": "", left: "  ",
    "left-mid": "", mid: "", "mid-mid": "", right: "", "right-mid": "", middle: "  " };
  const table = new Table({
    head: [...head],
    chars: none,
    colAligns: head.map((_, index) => (index === 0 ? "left" : "right")),
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0, compact: true },
  });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}

/** @param {readonly string[]} head @param {readonly (readonly string[])[]} rows */
export function markdownTable(head, rows) {
  const line = (/** @type {readonly string[]} */ cells) => `| ${cells.join(" | ")} |`;
  return [line(head), `|${head.map((_, index) => (index === 0 ? "---" : "--:")).join("|")}|`, ...rows.map(line)].join("\n");
}

/** A figure with so many digits that count, without an exponent. @param {number | undefined} value @param {number} [digits] */
export function figure(value, digits = 3) {
  if (value === undefined || Number.isNaN(value)) return "";
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(places, 9));
}

/** `1.45x`. @param {number | undefined} value */
export const times = (value) => (value === undefined ? "" : `${value.toFixed(2)}x`);

/** A small error. @param {number | undefined} value */
export const error = (value) => (value === undefined ? "" : value === 0 ? "0" : value.toExponential(1));

/** @param {number} bytes */
export function bytesOf(bytes) {
  if (Math.abs(bytes) < 10_000) return `${Math.round(bytes)} B`;
  return Math.abs(bytes) < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
