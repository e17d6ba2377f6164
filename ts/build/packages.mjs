// npm dependencies: `npm ci` when what is installed is not what the lock file says. Imports Node built-ins and its neighbours only.
import { existsSync, readFileSync } from "node:fs";
import { root } from "./project.mjs";
import { run, say, step } from "./report.mjs";

/** @typedef {Record<string, { version?: string, integrity?: string, optional?: boolean }>} Packages */

/** @param {string} file @returns {Packages} */
const packagesIn = (file) => JSON.parse(readFileSync(file, "utf8")).packages;

/**
 * npm keeps a lock file of what it installed inside node_modules; it and the project's own must agree. Packages for other systems are optional and
 * may be absent.
 * @param {string} folder
 */
export function packagesAreFresh(folder) {
  const installedLock = `${folder}/node_modules/.package-lock.json`;
  if (!existsSync(installedLock)) return false;
  const installed = packagesIn(installedLock);
  return Object.entries(packagesIn(`${folder}/package-lock.json`)).every(([path, wanted]) => {
    if (path === "") return true;
    const found = installed[path];
    if (found === undefined || !existsSync(`${folder}/${path}`)) return wanted.optional === true && found === undefined;
    return found.version === wanted.version && found.integrity === wanted.integrity;
  });
}

// Install scripts are off: none of our dependencies needs one (esbuild's only saves a process start).
const quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"];

/** @param {string} [folder] of a package.json with its lock file; default the project's own */
export async function installPackages(folder = root) {
  if (packagesAreFresh(folder)) return;
  await step("npm packages", () => run("npm", quiet, { cwd: folder, name: "npm ci" }), () => folder.slice(root.length + 1));
}

/**
 * Packages in a folder of their own, which the project can do without: what needs them then says so.
 * @param {string} name @param {string} folder
 * @returns {Promise<boolean>} whether they are there
 */
export async function installApart(name, folder) {
  if (packagesAreFresh(folder)) return true;
  try {
    await step(name, () => run("npm", quiet, { cwd: folder, name: `npm ci (${name})` }));
    return true;
  } catch (error) {
    say(String(error));
    return false;
  }
}

/** The Node versions the tests run on: without them the tests run on fewer versions and say so. @param {string} folder */
export const installNodes = (folder) => installApart("test Nodes", folder);

/** The libraries that the adapters are for: without them the tests name what they skip. @param {string} folder */
export const installHosts = (folder) => installApart("test hosts", folder);

/** Deno, Bun and the oldest TypeScript, on which the packed package is tried: without them the tests name what they skip. @param {string} folder */
export const installRuntimes = (folder) => installApart("test runtimes", folder);
