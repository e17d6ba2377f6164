// Parts of the README and of the documentation's pages that a program writes lie between two comments, `<!-- NAME: by what -->` and `<!-- /NAME -->`.
// Imports Node built-ins only.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Where each of them is. */
const pages = /** @type {const} */ ({
  headline: "README.md",
  figures: "README.md",
  sizes: "ts/docs/speed.md",
  accuracy: "ts/docs/accuracy.md",
  speed: "ts/docs/speed.md",
  peers: "ts/docs/peers.md",
  adapters: "ts/docs/adapters.md",
  linear: "ts/docs/linear.md",
});

/** @typedef {keyof typeof pages} Place */

/** @param {Place} name */
const fileOf = (name) => fileURLToPath(new URL(`../../${pages[name]}`, import.meta.url));

/** A page with another text in one of its places. @param {string} page @param {string} name @param {string} text @returns {string} */
export function replaced(page, name, text) {
  const begin = new RegExp(`<!-- ${name}: .*-->\n`).exec(page);
  const end = page.indexOf(`<!-- /${name} -->`);
  if (begin === null || end < begin.index) throw new Error(`the page has no place between <!-- ${name}: ... --> and <!-- /${name} -->`);
  return `${page.slice(0, begin.index + begin[0].length)}\n${text}\n\n${page.slice(end)}`;
}

/** The page that a place is in. @param {Place} name */
export const pageOf = (name) => readFileSync(fileOf(name), "utf8");

/** Writes one of the places and gives the file's name. @param {Place} name @param {string} text */
export function writePlace(name, text) {
  const page = replaced(pageOf(name), name, text);
  writeFileSync(fileOf(name), page);
  return fileOf(name);
}
