// The package as a user gets it: packed, installed into an empty folder without the network, then imported, required, compiled against, bundled and
// run, on each Node there is, on Deno and on Bun.
import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { adapters } from "../ts/build/project.mjs";
import { nodes } from "./nodes.js";
import { consumer, type Consumer } from "./package.js";
import { runtimes } from "./runtimes.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));
const minute = 60_000;
/** A process that does not end is one whose workers hold it. */
const limits = { timeout: 20_000, killSignal: "SIGKILL" } as const;

/** The two entries: with the wasm in files of its own, and inside. */
const entries = { index: "sparse-xent", inline: "sparse-xent/inline" };

// What every host does with an entry: calls, losing a thread, disposal under a call; the last engine is left to the end of the process.
const use = `
const { fastestBuild } = await import(${JSON.stringify(new URL("./relaxed.mjs", import.meta.url).href)});
const fault = Symbol.for("sparse-xent.injectFault");
const lossesOf = async (xent) => {
  const call = [new Float32Array(8), [0, 1], { shape: [2, 4] }];
  return [xent.crossEntropy(...call).loss, (await xent.crossEntropyAsync(...call)).loss].map((loss) => loss.toFixed(6));
};
const codeOf = async (use) => {
  try { await use(); return "answered"; } catch (error) { return error.code ?? String(error); }
};
const xent = await load({ threads: 3 });
const { build, threads, whyOneThread, isolated } = xent.info;
const report = { isFastest: build === fastestBuild(), threads, whyOneThread, isolated, losses: await lossesOf(xent), builds: {} };
for (const build of fastestBuild() === "relaxed" ? ["simd", "relaxed"] : ["simd"]) {
  const other = await load({ threads: 2, build });
  report.builds[build] = [other.info.build, ...(await lossesOf(other))];
  await other.dispose();
}
report.trap = await codeOf(() => xent[fault](1, "sync"));
report.afterTrap = await codeOf(() => lossesOf(xent));
await xent.dispose();
const another = await load({ threads: 2 });
report.asyncTrap = await codeOf(() => another[fault](1, "async"));
const third = await load({ threads: 2 });
const big = third.tensor("f32", [256, 8192]);
const pending = codeOf(() => third.crossEntropyAsync(big, new Int32Array(256), { grad: big }));
await third.dispose();
report.pending = await pending;
report.afterDispose = await codeOf(() => lossesOf(third));
report.idle = await lossesOf(await load({ threads: 3 }));
console.log(JSON.stringify(report));
`;
const losses = ["1.386294", "1.386294"];
const expected = {
  isFastest: true, threads: 3, isolated: true, losses, builds: expect.toSatisfy((builds: Record<string, string[]>) =>
    Object.entries(builds).every(([name, found]) => JSON.stringify(found) === JSON.stringify([name, ...losses]))),
  trap: "ENGINE_LOST", afterTrap: "ENGINE_LOST", asyncTrap: "ENGINE_LOST", pending: "DISPOSED", afterDispose: "DISPOSED", idle: losses,
};

let given: Consumer;
let folder: string;

beforeAll(async () => {
  given = await consumer();
  folder = given.folder;
  for (const [name, entry] of Object.entries(entries)) {
    writeFileSync(`${folder}/${name}.mjs`, `import { load } from "${entry}";${use}`);
    writeFileSync(`${folder}/${name}.cjs`, `const { load } = require("${entry}");(async () => {${use}})();`);
  }
}, 2 * minute);
afterAll(() => given?.remove());

test("holds what is needed and nothing else", () => {
  const { files } = given;
  expect(files.filter((file) => !/^(dist\/|package\.json$|README\.md$|CHANGELOG\.md$|LICENSE-(MIT|APACHE)$)/.test(file))).toEqual([]);
  const needed = [...adapters.flatMap((name) => [`${name}.js`, `${name}.cjs`, `types/adapters/${name}/index.d.ts`]), "index.js", "index.cjs", "inline.js", "inline.cjs", "index.js.map", "index.cjs.map", "worker.js", "cli.js", "types/index.d.ts", "types-cjs/index.d.ts", "THIRD-PARTY.txt",
    "sparse-xent.simd.wasm", "sparse-xent.relaxed.wasm"].map((name) => `dist/${name}`);
  expect(files).toEqual(expect.arrayContaining([...needed, "LICENSE-MIT", "LICENSE-APACHE", "README.md", "CHANGELOG.md"]));
});

test("brings no dependency, and every library that an adapter is for may be absent", () => {
  const { dependencies, peerDependencies, peerDependenciesMeta, optionalDependencies } = JSON.parse(readFileSync(`${given.installed}/package.json`, "utf8"));
  expect([dependencies, optionalDependencies]).toEqual([undefined, undefined]);
  const peers = Object.keys(peerDependencies as object);
  expect(peerDependenciesMeta).toEqual(Object.fromEntries(peers.map((name) => [name, { optional: true }])));
  expect(peers.filter((name) => existsSync(`${folder}/node_modules/${name}`))).toEqual([]);
});

describe("an adapter", () => {
  test.each(adapters)("%s is there for import and for require, with the same names, without the library", async (name) => {
    const names = `Object.keys(entry).sort().join()`;
    const script = `import * as entry from "sparse-xent/${name}"; import { createRequire } from "node:module";
      const required = createRequire(${JSON.stringify(`${folder}/x.js`)})("sparse-xent/${name}"); console.log(${names} === ${names.replace("entry", "required")}, ${names});`;
    writeFileSync(`${folder}/${name}.mjs`, script);
    const { stdout, stderr } = await run(process.execPath, [`${folder}/${name}.mjs`], { cwd: folder, ...limits });
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^true \w+/);
  });

  test.each(["index.js", "index.cjs", "inline.js", "inline.cjs"])("is not loaded by %s, nor a word of it", (file) => {
    const text = readFileSync(`${given.installed}/dist/${file}`, "utf8");
    for (const word of ["tokenLogProbs", "compileSparse", "softmaxCrossEntropyLoss"]) expect(text).not.toContain(word);
  });
});

const scripts = Object.keys(entries).flatMap((name) => [`${name}.mjs`, `${name}.cjs`]);

async function outputOf([program, ...args]: readonly [string, ...string[]], script: string): Promise<{ stdout: string; stderr: string }> {
  return run(program, [...args, script], { cwd: folder, ...limits });
}

async function expectWorks(command: readonly [string, ...string[]], script: string): Promise<void> {
  const { stdout, stderr } = await outputOf(command, script);
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual(expected);
}

describe.each(nodes)("$name", ({ path, flags }) => {
  test.each(scripts)("%s", { timeout: minute }, (script) => expectWorks([path, ...flags], script));

  test("the command says its version", async () => {
    const { version } = JSON.parse(readFileSync(`${given.installed}/package.json`, "utf8")) as { version: string };
    const { stdout } = await run(path, [...flags, `${folder}/node_modules/.bin/sparse-xent`, "--version"], { cwd: folder, timeout: minute });
    expect(stdout.trim()).toContain(version);
  });

  test("the command shows its demo", { timeout: minute }, async () => {
    const { stdout } = await run(path, [...flags, `${folder}/node_modules/.bin/sparse-xent`, "demo"], { cwd: folder, timeout: minute });
    expect(stdout).toContain("loss");
  });
});

describe.each(runtimes.map((runtime) => [runtime.name, runtime] as const))("%s", (_, { command }) => {
  test.skipIf(command === undefined).each(scripts)("%s", { timeout: minute }, (script) => expectWorks(command ?? [""], script));
});

test("the command starts by its own first line", async () => {
  const { stdout } = await run(`${folder}/node_modules/.bin/sparse-xent`, ["--help"], { cwd: folder, timeout: minute });
  expect(stdout).toContain("score");
});

describe("importing does nothing", () => {
  // Whatever an engine is made of; a server that renders pages may lack any of it.
  const ingredients = ["WebAssembly", "SharedArrayBuffer", "Atomics", "Worker", "MessageChannel", "Blob", "Response", "DecompressionStream", "fetch", "navigator",
    "document", "window", "self", "crossOriginIsolated"];
  const forbid = `for (const name of ${JSON.stringify(ingredients)}) {
  Object.defineProperty(globalThis, name, { configurable: true, get() { throw new Error(name + " was touched"); } });
}`;
  const workers = `process.getBuiltinModule = () => { throw new Error("a built-in module was asked for"); };`;
  test.each(Object.entries(entries))("%s: by import and by require, where nothing is there to work with", async (_, entry) => {
    const script = `
import { createRequire } from "node:module";
const require = createRequire(${JSON.stringify(`file://${folder}/x.js`)});
${forbid}
${workers}
const [one, other] = [await import("${entry}"), require("${entry}")];
process.stdout.write(JSON.stringify([Object.keys(one).sort(), Object.keys(other).sort()]));
`;
    const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: folder, ...limits });
    const names = ["Engine", "SparseXentError", "Tensor", "isSparseXentError", "load", "presets"];
    expect(JSON.parse(stdout)).toEqual([names, names]);
  });

  test("and what package.json says of side effects is so", async () => {
    const bundled = async (path: string): Promise<string> => {
      const stdin = { contents: `import "${path}";`, resolveDir: folder };
      const { outputFiles } = await build({ stdin, bundle: true, format: "esm", platform: "browser", write: false, logLevel: "silent" });
      return outputFiles[0]?.text ?? "";
    };
    for (const entry of Object.values(entries)) expect(await bundled(entry)).toBe("");
    expect(await bundled("sparse-xent/worker.js")).toContain("messageerror");
  });
});

describe("inline, where no worker may be started", () => {
  const script = (threads: string): string => `
import { load } from "sparse-xent/inline";
const xent = await load({ threads: ${threads} });
const call = [new Float32Array(8), [0, 1], { shape: [2, 4] }];
const losses = [xent.crossEntropy(...call).loss, (await xent.crossEntropyAsync(...call)).loss, (await xent.crossEntropyAsync(...call)).loss];
console.log(JSON.stringify({ info: xent.info, losses: losses.map((loss) => loss.toFixed(6)) }));
`;
  // Node's permissions begin with Node 20, and got their shorter name later.
  const permission = process.allowedNodeEnvironmentFlags.has("--permission") ? "--permission" : "--experimental-permission";
  test.each([
    ["3", /^a helper worker could not be started: .*restricted/],
    ["1", /^threads: 1 was asked for$/],
  ])("threads: %s is one thread, and info says why", async (threads, why) => {
    const args = [permission, "--allow-fs-read=*", "--no-warnings", "--input-type=module", "--eval", script(threads)];
    const { stdout } = await run(process.execPath, args, { cwd: folder, ...limits });
    const { info, losses: found } = JSON.parse(stdout) as { info: { threads: number; whyOneThread: string }; losses: string[] };
    expect(info.threads).toBe(1);
    expect(info.whyOneThread).toMatch(why);
    expect(found).toEqual([...losses, losses[0]]);
  });

  test("but a worker file that was named must do", async () => {
    const named = script(`2, workerUrl: new URL("file:///absent/worker.js")`);
    const failed = run(process.execPath, ["--input-type=module", "--eval", named], { cwd: folder, ...limits });
    await expect(failed).rejects.toMatchObject({ stderr: expect.stringContaining("LOAD_FAILED") });
  });
});

test("are-the-types-wrong finds nothing wrong", { timeout: minute }, async () => {
  // The other sub-paths are files to be served, and have no types.
  const args = [`${root}node_modules/@arethetypeswrong/cli/dist/index.js`, given.tarball, "--entrypoints", ".", "inline", ...adapters, "--format", "ascii", "--no-color", "--no-emoji"];
  const { code, stdout } = await run(process.execPath, args, { cwd: folder }).then(
    (done) => ({ code: 0, ...done }),
    (error: { code: number; stdout: string }) => error,
  );
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining("No problems found") });
  for (const entry of [...Object.values(entries), ...adapters.map((name) => `sparse-xent/${name}`)]) expect(stdout).toContain(`"${entry}"`);
});

describe("a strict TypeScript consumer", () => {
  const body = `
export async function lossOf(values: Float32Array<ArrayBuffer>): Promise<number> {
  const xent: Engine = await load({ build: "simd" });
  const logits = xent.tensor("f32", [1, values.length]);
  logits.view.set(values);
  const window: Float32Array<SharedArrayBuffer> = logits.view;
  const copy: Float32Array<ArrayBuffer> = logits.toArray();
  // @ts-expect-error a window over shared memory is not a copy
  const wrong: Float32Array<ArrayBuffer> = logits.view;
  const labels = xent.tensor("i32", [1]);
  const result = xent.crossEntropy(logits, labels, { grad: true });
  const loss: number = result.loss;
  // @ts-expect-error there is no such option
  xent.crossEntropy(logits, labels, { smoothing: 0.1 });
  void [window, copy, wrong];
  return loss;
}
`;
  const strict = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noPropertyAccessFromIndexSignature: true, noEmit: true,
    skipLibCheck: false, target: "es2022", types: [] };
  const esm = `import { load, type Engine } from "sparse-xent"; import { load as inline } from "sparse-xent/inline"; export const same: typeof load = inline;${body}`;
  const cjs = `import xent = require("sparse-xent"); import inline = require("sparse-xent/inline"); type Engine = xent.Engine; const load = xent.load;
export const same: typeof load = inline.load;${body}`;
  const libraries = { newest: ["esnext", "dom"], oldest: ["es2022", "dom"], worker: ["es2024", "webworker"] };

  const compile = async (compiler: string, name: string, source: string, options: object): Promise<string> => {
    writeFileSync(`${folder}/${name}`, source);
    writeFileSync(`${folder}/tsconfig.json`, JSON.stringify({ compilerOptions: { ...strict, ...options }, files: [name] }));
    return run(process.execPath, [compiler, "-p", folder]).then(() => "", (error: { stdout: string }) => error.stdout);
  };

  test.each([
    ["ES module", "consumer.mts", esm, { module: "nodenext", lib: libraries.newest }],
    ["ES module, an older library", "consumer.mts", esm, { module: "nodenext", lib: libraries.oldest }],
    ["ES module, in a worker", "consumer.mts", esm, { module: "nodenext", lib: libraries.worker }],
    ["CommonJS", "consumer.cts", esm, { module: "nodenext", lib: libraries.newest }],
    ["CommonJS, where require cannot load ES modules", "consumer-node16.cts", cjs, { module: "node16", lib: libraries.oldest }],
    ["a bundler's", "consumer-bundled.ts", esm, { module: "esnext", moduleResolution: "bundler", lib: libraries.newest }],
    ["a bundler's that keeps what it is given", "consumer-bundled.ts", esm, { module: "preserve", lib: libraries.newest, verbatimModuleSyntax: true }],
  ] as const)("%s", { timeout: minute }, async (_, name, source, options) => {
    expect(await compile(`${root}node_modules/typescript/bin/tsc`, name, source, options)).toBe("");
  });

  // Before this one, typed arrays do not say what their buffer is.
  const oldest = `${root}test/runtimes/node_modules/typescript-5.7/bin/tsc`;
  test.skipIf(!existsSync(oldest)).each([
    ["ES module", "consumer.mts", esm, { module: "nodenext", lib: libraries.newest }],
    // The resolution that reads no `exports`.
    ["what came before ES modules", "consumer-node10.ts", esm, { module: "commonjs", moduleResolution: "node10", lib: libraries.newest }],
  ] as const)("%s, for TypeScript 5.7", { timeout: minute }, async (_, name, source, options) => {
    expect(await compile(oldest, name, source, options)).toBe("");
  });
});

test.each([
  ["index", "esm", true],
  ["inline", "esm", false],
  // One script without modules has no address of its own; this entry needs none.
  ["inline", "iife", false],
] as const)("a browser's bundler takes %s as it is, for %s", async (name, format, hasFiles) => {
  const stdin = { contents: `import { load } from "${entries[name]}"; console.log(load);`, resolveDir: folder };
  const { errors, warnings, outputFiles } = await build({ stdin, bundle: true, format, platform: "browser", write: false, logLevel: "silent" });
  expect([...errors, ...warnings]).toEqual([]);
  expect(outputFiles[0]?.text.includes('new URL("./sparse-xent.simd.wasm", import.meta.url)')).toBe(hasFiles);
});

describe("bundled for a server", () => {
  const source = (entry: string): string => `
import { load } from "${entry}";
const run = async () => {
  const xent = await load({ threads: 2 });
  const { loss } = await xent.crossEntropyAsync(new Float32Array(8), [0, 1], { shape: [2, 4] });
  await xent.dispose();
  return loss.toFixed(6);
};
run().then(console.log, (error) => console.log(error.code, error.message));
`;
  const bundlers: Readonly<Record<string, (input: string, output: string) => Promise<unknown>>> = {
    esbuild: (input, output) => build({ entryPoints: [input], outfile: output, bundle: true, platform: "node", format: "cjs", logLevel: "error" }),
    async webpack(input, output) {
      const { default: webpack } = await import("webpack");
      const compiler = webpack({ context: folder, mode: "production", target: "node", entry: input, output: { path: dirname(output), filename: basename(output) } });
      await new Promise<void>((resolve, reject) => compiler.run((error, stats) => (error ?? stats?.hasErrors() ? reject(error ?? stats?.toString()) : resolve())));
    },
    async rollup(input, output) {
      const [{ rollup }, { nodeResolve }] = await Promise.all([import("rollup"), import("@rollup/plugin-node-resolve")]);
      const bundle = await rollup({ input, plugins: [nodeResolve()] });
      await bundle.write({ file: output, format: "cjs" });
      await bundle.close();
    },
    async vite(input, output) {
      const { build } = await import("vite");
      const rolldownOptions = { output: { entryFileNames: basename(output), format: "cjs" as const } };
      await build({ configFile: false, root: folder, logLevel: "warn", ssr: { noExternal: true }, build: { ssr: input, outDir: dirname(output), emptyOutDir: false, rolldownOptions } });
    },
  };
  const said = async (name: string, entry: keyof typeof entries): Promise<string> => {
    const [input, output] = [`${folder}/server-${entry}.mjs`, `${folder}/server-${name}-${entry}/main.cjs`];
    writeFileSync(input, source(entries[entry]));
    await bundlers[name]?.(input, output);
    const { stdout } = await run(process.execPath, [output], { cwd: folder, ...limits });
    return stdout.trim();
  };

  test.each(Object.keys(bundlers))("by %s, the entry that is one file works", { timeout: minute }, async (name) => {
    expect(await said(name, "inline")).toBe(losses[0]);
  });

  test("the other says what it lacks where it has no address", { timeout: minute }, async () => {
    expect(await said("esbuild", "index")).toMatch(/^LOAD_FAILED .*could not be read: .*or import sparse-xent\/inline/);
  });
});

test.each(["mjs", "cjs"])("a stack of the shortened JavaScript says where one is in the sources, by its map (%s)", async (ending) => {
  const use = `load({ threads: 1 }).then((xent) => xent.crossEntropy(new Float32Array(2), [7], { shape: [1, 2] })).catch((error) => console.log(error.stack));`;
  const script = `${folder}/stack.${ending}`;
  writeFileSync(script, ending === "mjs" ? `import { load } from "sparse-xent"; ${use}` : `const { load } = require("sparse-xent"); ${use}`);
  const { stdout } = await run(process.execPath, ["--enable-source-maps", script], { cwd: folder, ...limits });
  expect(stdout).toMatch(/^SparseXentError: labels\[0\] got 7/);
  expect(stdout).toMatch(/crossEntropy \(.*[\\/]ts[\\/]engine\.ts:\d+:\d+\)/);
});

test("the wasm files and the worker can be named as sub-paths", async () => {
  const paths = ["worker.js", "sparse-xent.simd.wasm", "sparse-xent.relaxed.wasm", "package.json"];
  const script = `for (const path of ${JSON.stringify(paths)}) console.log(import.meta.resolve("sparse-xent/" + path));`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script], { cwd: folder });
  const places = ["dist/worker.js", "dist/sparse-xent.simd.wasm", "dist/sparse-xent.relaxed.wasm", "package.json"];
  expect(stdout.trim().split("\n")).toEqual(places.map((place) => `file://${given.installed}/${place}`));
});
