// Everything a verb needs before it can do its work: dependencies, toolchain, wasm files, bundles. Each step is skipped when its result is fresh.
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { installPackages } from "./packages.mjs";
import { paths } from "./project.mjs";
import { say, secondsSince } from "./report.mjs";
import { checkSizes } from "./sizes.mjs";

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

/**
 * Brings dist/ up to date.
 */
export async function setUp() {
  const start = performance.now();
  await alone(async () => {
    await installPackages();
    // esbuild is there only from here on.
    const { buildWasm } = await import("./wasm.mjs");
    const { buildScripts } = await import("./bundle.mjs");
    checkSizes(await buildScripts(await buildWasm()));
  });
  say(`set-up ready     ${secondsSince(start).padStart(8)}`);
}
