// The Node binaries that tests may start: the one that runs this process, and those in test/nodes (put there by `npm test`; absent ones are
// simply not in the list, so a test over `nodes` never passes for a version that did not run: `npm test` prints which are missing).
// Imports Node built-ins only.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** One way to start Node, and the wasm build that `load()` picks there on its own. */
export interface NodeRun {
  /** `node 20`, `node 20 with relaxed`, `node 24`: for test titles. */
  readonly name: string;
  /** The full version without `v`. */
  readonly version: string;
  readonly major: number;
  /** Absolute path of the executable. */
  readonly path: string;
  /** Flags to put before the script. */
  readonly flags: readonly string[];
  /** What `load()` with `build: "auto"` must pick. */
  readonly build: "simd" | "relaxed";
}

const folder = fileURLToPath(new URL("./nodes/", import.meta.url));
// Before V8 12 (Node 22) relaxed SIMD is complete but behind this flag.
const relaxedFlag = "--experimental-wasm-relaxed-simd";
const firstMajorWithRelaxed = 22;

function runs(path: string, version: string): NodeRun[] {
  const major = Number(version.split(".")[0]);
  const plain = { name: `node ${major}`, version, major, path, flags: [] };
  if (major >= firstMajorWithRelaxed) return [{ ...plain, build: "relaxed" }];
  return [
    { ...plain, build: "simd" },
    { ...plain, name: `node ${major} with relaxed`, flags: [relaxedFlag], build: "relaxed" },
  ];
}

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
  .flatMap(({ path, version }) => runs(path, version));
