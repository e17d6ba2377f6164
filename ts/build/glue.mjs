// The generated JavaScript of the wasm as a factory: it keeps its instance in module variables, so a realm could hold only one. Wrapped in a function,
// each call of createGlue(env) is an instance of its own; the text itself is not edited, but what nobody here calls is left out.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { builds, packageOf, paths, root } from "./project.mjs";
import { StepFailed } from "./report.mjs";

const source = `${packageOf(builds[0].name)}/sparse_xent.js`;

/** What is called of it: the members of `Glue` in ts/pool/instance.ts. The rest loads a wasm file in ways of its own, a fifth of the text. */
const called = [
  "initSync", "initThreadPool", "wbg_rayon_start_worker", "version", "build_name", "is_fused", "alloc", "free", "used_bytes", "block", "run", "judge",
  "reserve_stacks", "control", "inject_fault",
].join(", ");

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
    stdin: { contents: `import { ${called} } from ${JSON.stringify(source)};\n__glue = { ${called} };`, resolveDir: root },
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    // A warning about arguments that are not given here.
    drop: ["console"],
    plugins: [callersWorkers],
    logLevel: "error",
  });
  mkdirSync(paths.glue, { recursive: true });
  writeFileSync(`${paths.glue}/glue.js`, `export function createGlue(__env) {\nlet __glue;\n${outputFiles[0]?.text}\nreturn __glue;\n}\n`);
  writeFileSync(`${paths.glue}/memory-limits.js`, `export const initial = ${initial};\nexport const maximum = ${maximum};\n`);
}
