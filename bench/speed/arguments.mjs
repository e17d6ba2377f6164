// What the benches' options are read by, and refused by with a reason.
import process from "node:process";
import { InvalidArgumentError, Option } from "commander";

/**
 * Words separated by commas, each of which must fit one of the names.
 * @param {readonly string[]} names @param {string} kind what they are, for the reader
 * @param {(name: string, word: string) => boolean} [fits] default: the whole name
 */
export const listOf = (names, kind, fits = (name, word) => name === word) => (/** @type {string} */ text) => {
  const words = text.split(",").filter((word) => word !== "");
  const unknown = words.filter((word) => !names.some((name) => fits(name, word)));
  if (unknown.length > 0) throw new InvalidArgumentError(`no ${kind} is named ${unknown.join(", ")}.`);
  return words;
};

/** A part of a name. @param {string} name @param {string} word */
export const within = (name, word) => name.includes(word);

/** A whole number of at most so many digits. @param {number} digits */
export const countOf = (digits) => (/** @type {string} */ text) => {
  if (!new RegExp(`^[1-9]\\d{0,${digits - 1}}$`).test(text)) throw new InvalidArgumentError(`a whole number from 1 to ${"9".repeat(digits)}.`);
  return Number(text);
};

/** Numbers of threads separated by commas. @param {string} text */
export const countsOf = (text) => text.split(",").map(countOf(2));

/** Whether options leave out a part of the run, which a record must have. @param {Partial<Record<"only" | "shapes" | "divide" | "quick" | "against" | "builds" | "threads", unknown>>} wishes */
export const isPartial = ({ only, shapes, divide, quick, against, builds, threads }) =>
  (only ?? shapes ?? divide ?? quick ?? against ?? builds ?? threads) !== undefined;

/** The Node to measure on. The npm commands have started it by then, so all that is left is to see that it is so. */
export const nodeOption = () =>
  new Option("--node <major>", "Node of this major version, of those the tests bring (default: the newest)").argParser((/** @type {string} */ text) => {
    if (text !== process.versions.node.split(".")[0]) throw new InvalidArgumentError(`this is Node ${process.versions.node}; the npm command starts another.`);
    return text;
  });
