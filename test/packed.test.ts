// The package as a user gets it: packed, installed into an empty folder without the network, then imported, required, compiled against, bundled and
// run, on each Node there is.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodes } from "./nodes.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(`${realpathSync(tmpdir())}/sparse-xent-packed-`);
const installed = `${folder}/node_modules/sparse-xent`;
const minute = 60_000;
let files: string[] = [];

// What every consumer below computes: the loss of one row of two equal logits is ln 2.
const use = `
const xent = await load({ threads: 2 });
const logits = xent.tensor("f32", [1, 2]);
const labels = xent.tensor("i32", [1]);
const { loss } = xent.crossEntropy(logits, labels);
console.log(xent.info.build, loss.toFixed(6));
await xent.dispose();
`;

beforeAll(async () => {
  // --ignore-scripts: the files under test are the built ones; packing must not build them again.
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], { cwd: root });
  const packed = JSON.parse(stdout) as { filename: string; files: { path: string }[] }[];
  files = (packed[0]?.files ?? []).map(({ path }) => path);
  writeFileSync(`${folder}/package.json`, JSON.stringify({ private: true, type: "module" }));
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", `${folder}/${packed[0]?.filename}`], { cwd: folder });
  writeFileSync(`${folder}/import.mjs`, `import { load } from "sparse-xent";${use}`);
  writeFileSync(`${folder}/require.cjs`, `const { load } = require("sparse-xent");(async () => {${use}})();`);
}, 2 * minute);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("holds what is needed and nothing else", () => {
  expect(files.filter((file) => !/^(dist\/|package\.json$|README\.md$|CHANGELOG\.md$|LICENSE-(MIT|APACHE)$)/.test(file))).toEqual([]);
  for (const needed of ["dist/index.js", "dist/index.cjs", "dist/worker.js", "dist/cli.js", "dist/types/index.d.ts", "dist/THIRD-PARTY.txt", "LICENSE-MIT",
    "LICENSE-APACHE", "README.md", "CHANGELOG.md"]) {
    expect(files).toContain(needed);
  }
  for (const build of ["simd", "relaxed"]) expect(files).toContain(`dist/sparse-xent.${build}.wasm`);
});

test("brings no dependency", () => {
  const { dependencies, peerDependencies, optionalDependencies } = JSON.parse(readFileSync(`${installed}/package.json`, "utf8"));
  expect([dependencies, peerDependencies, optionalDependencies]).toEqual([undefined, undefined, undefined]);
});

describe.each(nodes)("$name", ({ path, flags, build: expected }) => {
  for (const script of ["import.mjs", "require.cjs"]) {
    test(script, async () => {
      const { stdout, stderr } = await run(path, [...flags, script], { cwd: folder, timeout: minute });
      expect({ stdout, stderr }).toEqual({ stdout: `${expected} 0.693147\n`, stderr: "" });
    });
  }

  test("the command says its version", async () => {
    const { version } = JSON.parse(readFileSync(`${installed}/package.json`, "utf8")) as { version: string };
    const { stdout } = await run(path, [...flags, `${folder}/node_modules/.bin/sparse-xent`, "--version"], { cwd: folder, timeout: minute });
    expect(stdout.trim()).toContain(version);
  });

  test("the command shows its demo", { timeout: minute }, async () => {
    const { stdout } = await run(path, [...flags, `${folder}/node_modules/.bin/sparse-xent`, "demo"], { cwd: folder, timeout: minute });
    expect(stdout).toContain("loss");
  });
});

test("the command starts by its own first line", async () => {
  const { stdout } = await run(`${folder}/node_modules/.bin/sparse-xent`, ["--help"], { cwd: folder, timeout: minute });
  expect(stdout).toContain("score");
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
  const options = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true, skipLibCheck: false, module: "nodenext",
    target: "es2022", lib: ["es2024", "dom", "esnext.disposable"], types: [] };
  const sources = {
    "consumer.mts": `import { load, type Engine } from "sparse-xent";${body}`,
    "consumer.cts": `import { load, type Engine } from "sparse-xent";${body}`,
    "consumer-node16.cts": `import xent = require("sparse-xent"); type Engine = xent.Engine; const load = xent.load;${body}`,
  };

  test.each([
    ["ES module", "consumer.mts", "nodenext"],
    ["CommonJS", "consumer.cts", "nodenext"],
    ["CommonJS, where require cannot load ES modules", "consumer-node16.cts", "node16"],
  ] as const)("%s", { timeout: minute }, async (_, name, module) => {
    writeFileSync(`${folder}/${name}`, sources[name]);
    writeFileSync(`${folder}/tsconfig.json`, JSON.stringify({ compilerOptions: { ...options, module }, files: [name] }));
    const compiled = run(process.execPath, [`${root}node_modules/typescript/bin/tsc`, "-p", folder]).then(() => "", (error: { stdout: string }) => error.stdout);
    expect(await compiled).toBe("");
  });
});

test("a browser's bundler takes it as it is", async () => {
  const { errors, warnings, outputFiles } = await build({
    stdin: { contents: `import { load } from "sparse-xent"; console.log(load);`, resolveDir: folder },
    bundle: true, format: "esm", platform: "browser", write: false, logLevel: "silent",
  });
  expect([...errors, ...warnings]).toEqual([]);
  expect(outputFiles[0]?.text).toContain("sparse-xent.simd.wasm");
});

test("the wasm files and the worker can be named as sub-paths", async () => {
  const paths = ["worker.js", "sparse-xent.simd.wasm", "sparse-xent.relaxed.wasm", "package.json"];
  const script = `for (const path of ${JSON.stringify(paths)}) console.log(import.meta.resolve("sparse-xent/" + path));`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script], { cwd: folder });
  const places = ["dist/worker.js", "dist/sparse-xent.simd.wasm", "dist/sparse-xent.relaxed.wasm", "package.json"];
  expect(stdout.trim().split("\n")).toEqual(places.map((place) => `file://${installed}/${place}`));
});
