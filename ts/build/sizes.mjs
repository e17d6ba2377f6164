// How large what ships may be. The build measures it, prints it and fails where a file has outgrown its budget; the documentation shows it. Imports Node built-ins
// and its neighbours.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { pageOf, writePlace } from "../docs/places.mjs";
import { paths } from "./project.mjs";
import { StepFailed, say } from "./report.mjs";

/** Most bytes of each file, gzipped. Who needs more says in the commit what the bytes buy. @type {Readonly<Record<string, number>>} */
export const budgets = {
  "sparse-xent.simd.wasm": 118_900,
  "sparse-xent.relaxed.wasm": 118_900,
  "index.js": 26_000,
  "index.cjs": 26_000,
  // Both wasm files, gzipped and in base64, which costs 4/3 on the disk and a hundredth on the way.
  "inline.js": 266_000,
  "inline.cjs": 266_000,
  "lm.js": 5_000,
  "lm.cjs": 5_000,
  "onnx.js": 2_500,
  "onnx.cjs": 2_500,
  "tfjs.js": 3_000,
  "tfjs.cjs": 3_000,
  "worker.js": 3_000,
  "cli.js": 52_000,
};

/** @param {string} path */
export const sha256 = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");

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
    say("\nfile                            bytes     gzip   budget  SHA-256");
    for (const { name, bytes, gzip, budget } of measured) {
      say(`${name.padEnd(26)} ${String(bytes).padStart(10)} ${String(gzip).padStart(8)} ${String(budget).padStart(8)}  ${sha256(`${paths.dist}/${name}`)}`);
    }
    say("");
  }
  const over = overBudget(measured);
  if (over.length > 0) throw new StepFailed(`too large: ${over.join("; ")}. Budgets are in ts/build/sizes.mjs`);
}

/** What each row of the documentation's table is of. */
const rows = [
  { what: "the wasm, build `relaxed`", names: ["sparse-xent.relaxed.wasm"] },
  { what: "the wasm, build `simd`", names: ["sparse-xent.simd.wasm"] },
  { what: "the JavaScript, as an ES module · for `require`", names: ["index.js", "index.cjs"] },
  { what: "all of it in one file, `sparse-xent/inline`, in the same two forms", names: ["inline.js", "inline.cjs"] },
  { what: "`sparse-xent/lm`, in the same two forms", names: ["lm.js", "lm.cjs"] },
  { what: "`sparse-xent/tfjs`, in the same two forms", names: ["tfjs.js", "tfjs.cjs"] },
  { what: "`sparse-xent/onnx`, in the same two forms", names: ["onnx.js", "onnx.cjs"] },
  { what: "`worker.js`, for `workerUrl`; the text of it is in the JavaScript", names: ["worker.js"] },
];

/** Bytes as the table has them: to the hundred, since other compressors differ more. @param {number} bytes */
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;

/** The documentation's table. @param {ReturnType<typeof sizes>} measured */
export function sizeTable(measured) {
  /** @param {readonly string[]} names @param {"gzip" | "budget"} what */
  const cell = (names, what) => [...new Set(names.map((name) => kilobytes(measured.find((each) => each.name === name)?.[what] ?? Number.NaN)))].join(" · ");
  const lines = rows.map(({ what, names }) => `| ${what} | ${cell(names, "gzip")} | ${cell(names, "budget")} |`);
  return ["| loaded | gzipped | at most |", "|---|--:|--:|", ...lines].join("\n");
}

/** The documentation may lag behind by this share of a size: not every commit that changes a kernel is one about sizes. */
const lag = 0.05;

/** @param {string} table @param {ReturnType<typeof sizes>} measured @returns {boolean} whether a table is still near enough to what was measured */
export function isCurrent(table, measured) {
  /** @param {string} text */
  const apart = (text) => ({ words: text.replaceAll(/[\d.]+ kB/g, "kB"), figures: [...text.matchAll(/([\d.]+) kB/g)].map(([, figure]) => Number(figure)) });
  const [shown, now] = [apart(table), apart(sizeTable(measured))];
  return shown.words === now.words && shown.figures.every((figure, index) => Math.abs(figure / (now.figures[index] ?? Number.NaN) - 1) <= lag);
}

/** The table as the documentation has it. */
export const shownSizes = () => /<!-- sizes: .*-->\n\n([^]*?)\n\n<!-- \/sizes -->/.exec(pageOf("sizes"))?.[1] ?? "";

/** Puts what was measured into the documentation. */
export const recordSizes = () => say(`wrote ${writePlace("sizes", sizeTable(sizes()))}`);
