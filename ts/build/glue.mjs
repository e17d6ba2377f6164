// The generated JavaScript of the wasm as a factory: it keeps its instance in module variables, so a realm could hold only one. Wrapped in a function,
// each call of createGlue(env) is an instance of its own; the text itself is not edited.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { builds, packageOf, paths } from "./project.mjs";
import { StepFailed } from "./report.mjs";

const source = `${packageOf(builds[0].name)}/sparse_xent.js`;

/** wasm-bindgen-rayon's own way to start workers is replaced by the caller's. @type {import("esbuild").Plugin} */
const callersWorkers = {
  name: "callers-workers",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /snippets\/wasm-bindgen-rayon-/ }, () => ({ path: "start-workers", namespace: "caller" }));
    onLoad({ filter: /.*/, namespace: "caller" }, () => ({ contents: "export const startWorkers = (...a) => __env.startWorkers(...a);" }));
  },
};

/**
 * The pages the module was linked with, read from the glue: a memory made elsewhere must have at least the first and at most the second.
 * @param {string} text
 */
function memoryLimits(text) {
  const found = /new WebAssembly\.Memory\(\{\s*initial:\s*(\d+),\s*maximum:\s*(\d+),\s*shared:\s*true\s*\}\)/.exec(text);
  if (found === null) throw new StepFailed(`no shared WebAssembly.Memory in ${source}: was the wasm linked with --shared-memory?`);
  return { initial: Number(found[1]), maximum: Number(found[2]) };
}

/** Writes target/glue/{glue,memory-limits}.js. */
export async function writeGlue() {
  const { initial, maximum } = memoryLimits(readFileSync(source, "utf8"));
  const { outputFiles } = await build({
    entryPoints: [source],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "__glue",
    target: "es2022",
    define: { "import.meta.url": "__env.url" },
    plugins: [callersWorkers],
    logLevel: "error",
  });
  mkdirSync(paths.glue, { recursive: true });
  writeFileSync(`${paths.glue}/glue.js`, `export function createGlue(__env) {\n${outputFiles[0]?.text}\nreturn __glue;\n}\n`);
  writeFileSync(`${paths.glue}/memory-limits.js`, `export const initial = ${initial};\nexport const maximum = ${maximum};\n`);
}
