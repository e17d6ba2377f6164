// Whether a step's result still fits its inputs: a stamp file holds a hash over the contents of every input, and counts only while the outputs exist.
// Times of files are never compared: a checkout or an unpacked archive sets them at will.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { paths, root } from "./project.mjs";

/**
 * Every file under the given files and folders, in a fixed order, relative to the project; installed packages, which a lock file names, are left out.
 * @param {readonly string[]} inputs relative to the project; what does not exist counts as empty
 * @returns {string[]}
 */
export function filesOf(inputs) {
  return inputs.flatMap((input) => {
    const path = `${root}/${input}`;
    if (!existsSync(path)) return [];
    if (!statSync(path).isDirectory()) return [input];
    return filesOf(readdirSync(path).filter((entry) => entry !== "node_modules").sort().map((entry) => `${input}/${entry}`));
  });
}

/**
 * @param {readonly string[]} inputs files and folders, relative to the project
 * @param {...string} also further text that decides the result, for example the key of an earlier step
 */
export function keyOf(inputs, ...also) {
  const hash = createHash("sha256");
  for (const file of filesOf(inputs)) {
    const bytes = readFileSync(`${root}/${file}`);
    hash.update(`${file}\0${bytes.length}\0`).update(bytes);
  }
  for (const text of also) hash.update(`\0${text}`);
  return hash.digest("hex");
}

/**
 * @param {string} step
 * @param {string} key
 * @param {readonly string[]} outputs absolute paths
 */
export function isFresh(step, key, outputs) {
  const stamp = `${paths.stamps}/${step}`;
  return existsSync(stamp) && readFileSync(stamp, "utf8") === key && outputs.every((output) => existsSync(output));
}

/** @param {string} step */
export const forget = (step) => rmSync(`${paths.stamps}/${step}`, { force: true });

/**
 * @param {string} step
 * @param {string} key
 */
export function remember(step, key) {
  mkdirSync(paths.stamps, { recursive: true });
  writeFileSync(`${paths.stamps}/${step}`, key);
}
