// The Node binaries that tests may start: the one that runs this process, and those in test/nodes (put there by `npm test`; absent ones are
// simply not in the list, so a test over `nodes` never passes for a version that did not run: `npm test` prints which are missing).
// Imports Node built-ins and node-runs.ts only.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runsOf, type NodeRun } from "./node-runs.ts";

export type { NodeRun };

const folder = fileURLToPath(new URL("./nodes/", import.meta.url));
function installed(): { path: string; version: string }[] {
  const wanted = JSON.parse(readFileSync(`${folder}package.json`, "utf8")) as { optionalDependencies: Record<string, string> };
  return Object.entries(wanted.optionalDependencies).flatMap(([name, spec]) => {
    const path = `${folder}node_modules/${name}/bin/node`;
    return existsSync(path) ? [{ path, version: spec.slice(spec.lastIndexOf("@") + 1) }] : [];
  });
}

const own = { path: process.execPath, version: process.versions.node };
const major = (version: string): number => Number(version.split(".")[0]);

/** Every available way to start Node, one per major version, oldest first; this process's own binary stands for its major version. */
export const nodes: readonly NodeRun[] = [own, ...installed().filter((node) => major(node.version) !== major(own.version))]
  .sort((a, b) => major(a.version) - major(b.version))
  .flatMap(({ path, version }) => runsOf(path, version));
