// Every test file but those in test/browser runs in Node, on the main thread of a process of its own ("node"). The files that load the wasm run again
// wherever the engine differs:
//   "relaxed"   with a flag for relaxed SIMD where Node needs one, so that `load()` picks the other wasm file;
//   "worker"    inside a worker_threads worker, where the pool's own workers are nested;
//   in every browser that is here, on an isolated page and on one that is not (test/browser/projects.ts): the files that import nothing of Node;
//   other Node versions: `npm test` starts this same configuration once per binary in test/nodes with SPARSE_XENT_TESTS=engine, which leaves out the
//   files whose subject is the package and not the engine. Tests that need a particular version start it themselves, see test/nodes.ts.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { browserProjects } from "./test/browser/projects.ts";
import { runsOf } from "./test/node-runs.ts";

const engineOnly = process.env["SPARSE_XENT_TESTS"] === "engine";
const flagged = runsOf(process.execPath, process.versions.node).filter(({ flags }) => flags.length > 0);

// Not about the engine (the artifacts, the package, the sources, the command line), or starting every Node by themselves.
const once = ["test/{artifact,bench,packed,page,page-models,peers,layers,readme,recipes,coming-from,faults,fault-table,lifecycle,refusals,flips}.test.ts", "test/cli/**"];
// On the libraries that adapters are for, which know Node's main thread and pages.
const hosted = ["test/adapters/*.*.test.ts"];
const never = ["**/node_modules/**", "test/browser/**"];
// Nothing of Node is imported there.
const inBrowsers = [
  "test/{api,arrays,callers,digests,engines,errors,golden,linear,load,options,properties,results,sigmoid,threads,views}.test.ts",
  "test/systems/*.test.ts",
  "test/adapters/lm.test.ts",
  "test/browser/*.test.ts",
];

const built = (name: string): string => fileURLToPath(new URL(`./target/glue/${name}.js`, import.meta.url));
const alias = { "#glue": built("glue"), "#memory-limits": built("memory-limits") };

const provide = { host: { headers: false, canBlock: true } };
const common = { include: ["test/**/*.test.ts"], provide, testTimeout: 30_000, hookTimeout: 30_000 };
const engine = { ...common, exclude: [...never, ...once] };

export default defineConfig({
  test: {
    projects: [
      { resolve: { alias }, test: { ...(engineOnly ? engine : { ...common, exclude: never }), name: "node", pool: "forks" } },
      ...flagged.map(({ flags }) => ({ resolve: { alias }, test: { ...engine, exclude: [...engine.exclude, ...hosted], name: "relaxed", pool: "forks" as const, execArgv: [...flags] } })),
      ...(engineOnly ? [] : browserProjects(inBrowsers)),
      ...(engineOnly ? [] : [{ resolve: { alias }, test: { ...engine, exclude: [...engine.exclude, ...hosted], name: "worker", pool: "threads" as const } }]),
    ],
  },
});
