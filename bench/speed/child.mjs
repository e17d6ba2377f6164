// Measures that need a process of their own: memory is never given back, and a first time comes once. Imports Node built-ins only.
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/**
 * Runs a script of children/ in a fresh process and gives what it prints.
 * @param {string} name @param {unknown} job what the script finds, as JSON, in its first argument
 * @returns {any}
 */
export function inChild(name, job) {
  const script = fileURLToPath(new URL(`./children/${name}.mjs`, import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [...process.execArgv, script, JSON.stringify(job)], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${name} ${JSON.stringify(job)} failed:\n${stderr}`);
  return JSON.parse(stdout);
}
