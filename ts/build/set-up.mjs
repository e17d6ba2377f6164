// Everything a verb needs before it can do its work: dependencies, toolchain, wasm files, bundles. Each step is skipped when its result is fresh. What will be
// done, and how long that takes, is said first.
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { RELAXED } from "../probes.js";
import { installPackages, packagesAreFresh } from "./packages.mjs";
import { builds, paths, root } from "./project.mjs";
import { say, secondsSince } from "./report.mjs";
import { checkSizes } from "./sizes.mjs";
import { toolsAreFresh } from "./tools.mjs";
import { buildWasm, stale } from "./wasm.mjs";

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

/** @typedef {import("./wasm.mjs").Build} Build */

/**
 * What takes long, and the CPU seconds it took on an AMD EPYC (Zen 4). The two in the middle share the cores.
 * @param {readonly Build[]} missing the wasm files to build
 */
const work = (missing) => [
  { what: "npm packages", seconds: 15, isDone: packagesAreFresh(root) },
  { what: "wasm-pack and wasm-bindgen", seconds: 60, isDone: missing.length === 0 || toolsAreFresh() },
  {
    what: `${missing.length === 1 ? "one wasm file" : "the wasm files"} and Rust's standard library for ${missing.length === 1 ? "it" : "them"}`,
    seconds: 80 + 40 * missing.length,
    isDone: missing.length === 0,
  },
];

/** @param {readonly Build[]} wanted */
function announce(wanted) {
  const toDo = work(stale(wanted)).filter(({ isDone }) => !isDone);
  if (toDo.length === 0) return;
  const seconds = toDo.reduce((sum, each) => sum + each.seconds, 0);
  const cores = Math.min(availableParallelism(), 2);
  const minutes = Math.max(1, Math.round(seconds / cores / 60));
  say(`This builds, once: ${toDo.map(({ what }) => what).join("; ")}.`);
  say(`It takes about ${minutes} ${minutes === 1 ? "minute" : "minutes"} on ${cores === 1 ? "one idle core" : `${cores} idle cores`}.`);
}

/** @param {() => Promise<void>} work */
async function timed(work) {
  const start = performance.now();
  await alone(work);
  say(`set-up ready     ${secondsSince(start).padStart(8)}`);
}

/** Brings dist/ up to date. */
export const setUp = () =>
  timed(async () => {
    announce(builds);
    await installPackages();
    // esbuild is there only from here on.
    const { buildScripts } = await import("./bundle.mjs");
    checkSizes(await buildScripts(await buildWasm(builds)));
  });

/** Brings up to date what the command line needs on this Node. Without relaxed SIMD that is one wasm file, with it both: the engine tries which is faster. */
export const setUpCommand = () =>
  timed(async () => {
    const wanted = builds.filter(({ name }) => name === "simd" || WebAssembly.validate(RELAXED));
    announce(wanted);
    await installPackages();
    const { buildCommand } = await import("./bundle.mjs");
    await buildCommand(await buildWasm(wanted));
  });
