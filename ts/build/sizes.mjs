// How large what ships may be. The build measures it, prints it and fails where a file has outgrown its budget. Imports Node built-ins and its neighbours.
import { readFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { paths } from "./project.mjs";
import { StepFailed, say } from "./report.mjs";

/** Most bytes of each file, gzipped. Who needs more says in the commit what the bytes buy. @type {Readonly<Record<string, number>>} */
export const budgets = {
  "sparse-xent.simd.wasm": 115_000,
  "sparse-xent.relaxed.wasm": 115_000,
  "index.js": 30_000,
  "index.cjs": 30_000,
  // Both wasm files, gzipped and in base64, which costs 4/3 on the disk and a hundredth on the way.
  "inline.js": 262_000,
  "inline.cjs": 262_000,
  "worker.js": 3_500,
  "cli.js": 70_000,
};

/** @returns {{ name: string, bytes: number, gzip: number, budget: number }[]} */
export const sizes = () =>
  Object.entries(budgets).map(([name, budget]) => {
    const bytes = readFileSync(`${paths.dist}/${name}`);
    return { name, bytes: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length, budget };
  });

/** Not part of `sizes`: it takes a second. @param {string} name */
export const brotliOf = (name) => brotliCompressSync(readFileSync(`${paths.dist}/${name}`)).length;

/** @param {ReturnType<typeof sizes>} measured @returns {string[]} a line for each file over its budget */
export const overBudget = (measured) =>
  measured.filter(({ gzip, budget }) => gzip > budget).map(({ name, gzip, budget }) => `${name} has ${gzip} bytes gzipped, its budget is ${budget}`);

/** @param {boolean} print whether the sizes are of interest, or only whether they are kept */
export function checkSizes(print) {
  const measured = sizes();
  if (print) {
    say("\nfile                            bytes     gzip   budget");
    for (const { name, bytes, gzip, budget } of measured) {
      say(`${name.padEnd(26)} ${String(bytes).padStart(10)} ${String(gzip).padStart(8)} ${String(budget).padStart(8)}`);
    }
    say("");
  }
  const over = overBudget(measured);
  if (over.length > 0) throw new StepFailed(`too large: ${over.join("; ")}. Budgets are in ts/build/sizes.mjs`);
}
