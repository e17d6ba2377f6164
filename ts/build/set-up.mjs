// Everything a verb needs before it can do its work: dependencies, toolchain, wasm files, bundles. Each step is skipped when its result is fresh. What will be
// done, and how long that takes, is said first.
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { installPackages, packagesAreFresh } from "./packages.mjs";
import { paths, root } from "./project.mjs";
import { say, secondsSince } from "./report.mjs";
import { checkSizes } from "./sizes.mjs";
import { toolsAreFresh } from "./tools.mjs";
import { buildWasm, wasmIsFresh } from "./wasm.mjs";

const lock = `${paths.target}/set-up.lock`;
const lockPollMs = 500;

/** @param {string} file */
function isAbandoned(file) {
  try {
    process.kill(Number(readFileSync(file, "utf8")), 0);
    return false;
  } catch (error) {
    // EPERM: it runs, as another user.
    return /** @type {NodeJS.ErrnoException} */ (error).code !== "EPERM";
  }
}

/** One set-up at a time per checkout: two would write the same files. @template T @param {() => Promise<T>} work @returns {Promise<T>} */
async function alone(work) {
  mkdirSync(paths.target, { recursive: true });
  for (let told = false; ; ) {
    try {
      const file = openSync(lock, "wx");
      writeSync(file, String(process.pid));
      closeSync(file);
      break;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
      if (isAbandoned(lock)) {
        rmSync(lock, { force: true });
        continue;
      }
      if (!told) say("another set-up of this folder is running: waiting for it");
      told = true;
      await wait(lockPollMs);
    }
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** What takes long, and the CPU seconds it took on an AMD EPYC (Zen 4). The two in the middle share the cores. */
const work = [
  { what: "npm packages", seconds: 15, isDone: () => packagesAreFresh(root) },
  { what: "wasm-pack and wasm-bindgen", seconds: 60, isDone: () => wasmIsFresh() || toolsAreFresh() },
  { what: "the two wasm files and Rust's standard library for them", seconds: 160, isDone: wasmIsFresh },
];

function announce() {
  const toDo = work.filter(({ isDone }) => !isDone());
  if (toDo.length === 0) return;
  const seconds = toDo.reduce((sum, each) => sum + each.seconds, 0);
  const cores = Math.min(availableParallelism(), 2);
  const minutes = Math.max(1, Math.round(seconds / cores / 60));
  say(`This builds, once: ${toDo.map(({ what }) => what).join("; ")}.`);
  say(`It takes about ${minutes} ${minutes === 1 ? "minute" : "minutes"} on ${cores === 1 ? "one idle core" : `${cores} idle cores`}.`);
}

/** Brings dist/ up to date. */
export async function setUp() {
  const start = performance.now();
  await alone(async () => {
    announce();
    await installPackages();
    // esbuild is there only from here on.
    const { buildScripts } = await import("./bundle.mjs");
    checkSizes(await buildScripts(await buildWasm()));
  });
  say(`set-up ready     ${secondsSince(start).padStart(8)}`);
}
