// The crate's native kernels as candidates: bench/native.rs in a process of its own, over the same data, which times itself. May import ours and Node
// built-ins.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { encoder } from "../accuracy/formats.mjs";
import { tolerance } from "./ours.mjs";

/** @typedef {"Lanes16" | "Lanes8" | "Lanes4"} Kernel */

/**
 * A candidate that another process runs.
 * @typedef {object} NativeCandidate
 * @property {import("./ours.mjs").Ours} what
 * @property {Kernel} kernel
 * @property {{ relative: number, absolute: number }} tolerance
 * @property {() => Promise<number>} time milliseconds of one run
 * @property {() => Promise<import("./judge.mjs").Results>} results runs once and gives what it computed
 */

/** What `npm run bench -- --native` builds. */
export const program = fileURLToPath(new URL("../../target/native/native", import.meta.url));

/** @param {string} file */
function floats(file) {
  const bytes = readFileSync(file);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/**
 * A process with the data, and a candidate for each of its kernels, the fastest first, and each thing to time.
 *
 * @param {import("./cases.mjs").Shape} shape @param {import("./cases.mjs").Data} data of this dtype, see `roundTo`
 * @param {{ dtype: import("./ours.mjs").Dtype, what: readonly import("./ours.mjs").Ours[] }} wishes
 * @returns {Promise<{ candidates: NativeCandidate[], stop: () => Promise<void> }>}
 */
export async function native({ dims, axis, rows }, data, { dtype, what }) {
  const folder = mkdtempSync(`${tmpdir()}/sparse-xent-`);
  writeFileSync(`${folder}/logits`, dtype === "f32" ? data.logits : Uint16Array.from(data.logits, encoder(dtype)));
  writeFileSync(`${folder}/labels`, data.labels);
  const child = spawn(program, ["--serve", dtype, dims.join("x"), String(axis), folder], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => void child.on("error", resolve).on("close", resolve));
  const stop = async () => {
    child.stdin.end();
    await ended;
    rmSync(folder, { recursive: true });
  };
  // A request to a process that has ended is answered by its end.
  child.stdin.on("error", () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${program} ended: ${await ended}`);
    return value;
  };
  /** @param {readonly string[]} words */
  const ask = (words) => {
    child.stdin.write(`${words.join("\t")}\n`);
    return answer();
  };

  let names;
  try {
    names = /** @type {Kernel[]} */ ((await answer()).split("\t").reverse());
  } catch (error) {
    await stop();
    throw error;
  }
  const candidates = names.flatMap((kernel) =>
    what.map((name) => ({
      what: name,
      kernel,
      tolerance,
      time: async () => Number(await ask(["time", kernel, name])),
      results: async () => {
        const mean = Number(await ask(["results", kernel, name]));
        const losses = floats(`${folder}/losses`);
        // As of the package's candidates, a 16-bit gradient is the accuracy table's subject.
        const hasGradient = name !== "loss" && !(name === "in place" && dtype !== "f32");
        return { mean, losses, ...(hasGradient && { grad: floats(`${folder}/grad`), factor: 1 / rows }) };
      },
    })),
  );
  return { candidates, stop };
}
