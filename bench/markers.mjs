// Parts of the README that a program writes lie between two comments, `<!-- NAME: by what -->` and `<!-- /NAME -->`. Imports Node built-ins only.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const file = fileURLToPath(new URL("../README.md", import.meta.url));

/** The README with another text in one of its places. @param {string} readme @param {string} name @param {string} text @returns {string} */
export function replaced(readme, name, text) {
  const begin = new RegExp(`<!-- ${name}: .*-->\n`).exec(readme);
  const end = readme.indexOf(`<!-- /${name} -->`);
  if (begin === null || end < begin.index) throw new Error(`README.md has no place between <!-- ${name}: ... --> and <!-- /${name} -->`);
  return `${readme.slice(0, begin.index + begin[0].length)}\n${text}\n\n${readme.slice(end)}`;
}

export const readReadme = () => readFileSync(file, "utf8");

/** Writes one of the README's places and gives the file's name. @param {string} name @param {string} text */
export function writeReadme(name, text) {
  writeFileSync(file, replaced(readReadme(), name, text));
  return file;
}
