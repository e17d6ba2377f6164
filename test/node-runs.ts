// One Node binary, and how to start it with each of the builds it can load: asked of the binary, since a flag may be needed. Imports Node built-ins only.
import { execFileSync } from "node:child_process";

/** One way to start Node, and the wasm build that `load()` picks there on its own. */
export interface NodeRun {
  /** `node 20`, `node 20 with relaxed`, `node 24`: for test titles. */
  readonly name: string;
  /** The full version without `v`. */
  readonly version: string;
  /** Absolute path of the executable. */
  readonly path: string;
  /** Flags to put before the script. */
  readonly flags: readonly string[];
  /** Whether the `relaxed` build can be loaded. */
  readonly hasRelaxed: boolean;
  /** What `load()` with `build: "auto"` must pick. */
  readonly build: "simd" | "relaxed";
}

/** For those that have relaxed SIMD, but not without being asked. */
const relaxedFlag = "--experimental-wasm-relaxed-simd";
const question = `
import { fastestBuild, hasRelaxed } from ${JSON.stringify(new URL("./relaxed.mjs", import.meta.url).href)};
console.log(JSON.stringify({ hasRelaxed: hasRelaxed(), build: fastestBuild() }));
`;

/** What a binary makes of relaxed SIMD under these flags; undefined when it refuses them. */
function ask(path: string, flags: readonly string[]): Pick<NodeRun, "hasRelaxed" | "build"> | undefined {
  const env = { ...process.env, NODE_OPTIONS: "" };
  try {
    return JSON.parse(execFileSync(path, [...flags, "--input-type=module", "--eval", question], { encoding: "utf8", env, stdio: ["ignore", "pipe", "pipe"] }));
  } catch (error) {
    if (flags.length === 0) throw error;
    return undefined;
  }
}

/** The ways to start a binary: as it is, and with a flag where that brings relaxed SIMD. */
export function runsOf(path: string, version: string): NodeRun[] {
  const name = `node ${version.split(".")[0]}`;
  const plain = ask(path, []);
  const flagged = plain?.hasRelaxed ? undefined : ask(path, [relaxedFlag]);
  return [
    ...(plain ? [{ name, version, path, flags: [], ...plain }] : []),
    ...(flagged?.hasRelaxed ? [{ name: `${name} with relaxed`, version, path, flags: [relaxedFlag], ...flagged }] : []),
  ];
}
