// What stands behind `npm run VERB --` for the verbs that run before any package is installed. Imports Node built-ins and its neighbours only.
import { parseArgs } from "node:util";
import { StepFailed, say } from "./report.mjs";

/**
 * The options given, or undefined where help was asked for and is printed. Errors with the usage where one is unknown or lacks its value.
 * @param {string} usage
 * @param {readonly string[]} numbers options with a number
 * @param {readonly string[]} flags options without one
 * @param {readonly string[]} argv
 * @returns {Record<string, string | boolean | undefined> | undefined}
 */
export function givenOptions(usage, numbers, flags, argv) {
  const typed = (/** @type {readonly string[]} */ names, /** @type {"string" | "boolean"} */ type) => names.map((name) => /** @type {const} */ ([name, { type }]));
  const options = { ...Object.fromEntries([...typed(numbers, "string"), ...typed(flags, "boolean")]), help: { type: /** @type {const} */ ("boolean"), short: "h" } };
  try {
    const { values } = parseArgs({ args: [...argv], options });
    if (values.help !== true) return values;
  } catch (error) {
    throw new StepFailed(`${error instanceof Error ? error.message : error}\n${usage}`);
  }
  say(usage);
  return undefined;
}
