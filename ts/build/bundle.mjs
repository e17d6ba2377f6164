// The JavaScript of the package: index.js (ESM), index.cjs, the same with the wasm inside as inline.js and inline.cjs, worker.js, cli.js, the adapters, and the
// type declarations.
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { filesOf, forget, isFresh, keyOf, remember } from "./fresh.mjs";
import { writeGlue } from "./glue.mjs";
import { writeNotices } from "./notices.mjs";
import { adapters, paths, root, wasmOf } from "./project.mjs";
import { run, step } from "./report.mjs";

const worker = `${paths.dist}/worker.js`;
const types = `${paths.dist}/types`;
const typesForRequire = `${paths.dist}/types-cjs`;

/** @type {import("esbuild").BuildOptions} */
const common = { bundle: true, target: "es2022", charset: "utf8", legalComments: "none", logLevel: "warning", metafile: true };

/**
 * What the sources call `#glue`, `#memory-limits`, `#worker` and `#wasm` exists only after a build. `#shipped` is where the wasm will be.
 * @param {"files" | "inline"} shipped @returns {import("esbuild").Plugin}
 */
const generated = (shipped) => ({
  name: "generated",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^#shipped$/ }, () => ({ path: `${root}/ts/pool/shipped.${shipped}.ts` }));
    onResolve({ filter: /^#wasm\// }, ({ path }) => ({ path: path.slice("#wasm/".length), namespace: "wasm" }));
    onLoad({ filter: /.*/, namespace: "wasm" }, ({ path }) => ({ contents: gzipSync(readFileSync(wasmOf(path)), { level: 9 }), loader: "base64" }));
    onResolve({ filter: /^#glue$/ }, () => ({ path: `${paths.glue}/glue.js` }));
    onResolve({ filter: /^#memory-limits$/ }, () => ({ path: `${paths.glue}/memory-limits.js` }));
    // A name and not the path: the bundle repeats it in a comment, and that must not name a folder of this machine.
    onResolve({ filter: /^#worker$/ }, () => ({ path: "worker.js", namespace: "text" }));
    onLoad({ filter: /.*/, namespace: "text" }, () => ({ contents: readFileSync(worker, "utf8"), loader: "text" }));
  },
});

/**
 * The documentation ships with the types. esbuild drops comments, but for those inside of classes and objects: a seventh of index.js.
 * @type {import("esbuild").Plugin}
 */
const withoutDocs = {
  name: "without-docs",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]ts[\\/].*\.ts$/ }, ({ path }) => ({ contents: readFileSync(path, "utf8").replace(/^ *\/\*\*(?:(?!\*\/)[^])*\*\/\n/gm, ""), loader: "ts" }));
  },
};

/** The command line shares the library that lies beside it. @type {import("esbuild").Plugin} */
const libraryBeside = {
  name: "library-beside",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.\/index\.[jt]s$/ }, () => ({ path: "./index.js", external: true }));
  },
};

// Lines end: Node prints the whole line that an error comes from, and shorter ones would cost more.
const small = { minify: true, lineLimit: 1000 };
const library = { ...small, entryPoints: [`${root}/ts/index.ts`], platform: /** @type {const} */ ("neutral") };

/** A map beside the file, so that a stack says where one is in the sources, which it holds. @type {import("esbuild").BuildOptions} */
const mapped = { sourcemap: "linked", sourcesContent: true };

/** @param {import("esbuild").BuildOptions} options @returns {Promise<string[]>} the files that went into it, relative to the project */
async function bundle(options) {
  const plugins = [...(options.plugins ?? []), withoutDocs];
  return Object.keys((await build({ ...common, ...options, plugins })).metafile?.inputs ?? {});
}

/** What the command line needs. @returns {Promise<string[]>} the files that went into the bundles, relative to the project */
async function commandBundles() {
  await writeGlue();
  const workerInputs = await bundle({
    entryPoints: [`${root}/ts/pool/worker.ts`], outfile: worker, format: "iife", minify: true, platform: "neutral", plugins: [generated("files")],
  });
  const others = await Promise.all([
    bundle({ ...library, ...mapped, outfile: `${paths.dist}/index.js`, format: "esm", plugins: [generated("files")] }),
    bundle({
      ...small, entryPoints: [`${root}/ts/cli/main.ts`], outfile: `${paths.dist}/cli.js`, format: "esm", platform: "node", plugins: [libraryBeside],
      // The bundled CommonJS packages ask for Node's built-ins with require.
      banner: { js: '#!/usr/bin/env node\nimport { createRequire as __createRequire } from "node:module";\nconst require = __createRequire(import.meta.url);' },
    }),
  ]);
  // The example data of `sparse-xent demo` lies beside the command.
  cpSync(`${root}/ts/cli/data`, `${paths.dist}/data`, { recursive: true });
  return [...workerInputs, ...others.flat()];
}

/** The other forms of the library, and the adapters. @returns {Promise<string[]>} as above */
async function otherBundles() {
  const others = await Promise.all([
    bundle({
      ...library, ...mapped, outfile: `${paths.dist}/index.cjs`, format: "cjs", plugins: [generated("files")],
      define: { "import.meta.url": "__url" },
      banner: { js: 'const __url = require("node:url").pathToFileURL(__filename).href;' },
    }),
    bundle({ ...library, outfile: `${paths.dist}/inline.js`, format: "esm", plugins: [generated("inline")] }),
    bundle({ ...library, outfile: `${paths.dist}/inline.cjs`, format: "cjs", plugins: [generated("inline")] }),
    ...adapters.flatMap((name) =>
      /** @type {const} */ ([["esm", "js"], ["cjs", "cjs"]]).map(([format, ending]) =>
        bundle({ ...small, entryPoints: [`${root}/ts/adapters/${name}/index.ts`], outfile: `${paths.dist}/${name}.${ending}`, format, platform: "neutral" }),
      ),
    ),
  ]);
  return others.flat();
}

async function declarations() {
  for (const folder of [types, typesForRequire]) rmSync(folder, { recursive: true, force: true });
  await run(process.execPath, [`${root}/node_modules/typescript/bin/tsc`, "-p", `${root}/ts/build/tsconfig.types.json`], { name: "types" });
  // The same declarations once more, in a folder that says CommonJS: that is how TypeScript knows what `require` gives.
  cpSync(types, typesForRequire, { recursive: true });
  writeFileSync(`${typesForRequire}/package.json`, '{ "type": "commonjs" }\n');
}

/** @param {readonly string[]} names @returns {string[]} */
const inDist = (names) => names.map((name) => `${paths.dist}/${name}`);

/** What the scripts are made from. The live page uses them and is no part of them. @param {string} wasmKey */
function scriptsKey(wasmKey) {
  const sources = filesOf(["ts"]).filter((file) => !file.startsWith("ts/page/"));
  return keyOf([...sources, "package.json", "package-lock.json", "tsconfig.json"], wasmKey);
}

/** The command line alone. @param {string} wasmKey */
export async function buildCommand(wasmKey) {
  const key = scriptsKey(wasmKey);
  if (isFresh("command", key, inDist(["index.js", "worker.js", "cli.js", "data"]))) return;
  forget("command");
  mkdirSync(paths.dist, { recursive: true });
  await step("bundles", commandBundles, () => "index.js, worker.js, cli.js");
  remember("command", key);
}

/** All scripts, and the types. @param {string} wasmKey @returns {Promise<boolean>} whether they are made anew */
export async function buildScripts(wasmKey) {
  const key = scriptsKey(wasmKey);
  const outputs = ["index.js", "index.cjs", "inline.js", "inline.cjs", "worker.js", "cli.js", "data", "types/index.d.ts", "types-cjs/package.json", "THIRD-PARTY.txt",
    ...adapters.flatMap((name) => [`${name}.js`, `${name}.cjs`, `types/adapters/${name}/index.d.ts`])];
  if (isFresh("scripts", key, inDist(outputs))) return false;
  forget("scripts");
  mkdirSync(paths.dist, { recursive: true });
  await step("bundles", async () => {
    writeNotices([...await commandBundles(), ...await otherBundles()]);
  }, () => readdirSync(paths.dist).filter((name) => /\.c?js$/.test(name)).join(", "));
  await step("types", declarations);
  for (const name of ["scripts", "command"]) remember(name, key);
  return true;
}
