// The starts of ts/docs/adapters.md as programs of their own, on each Node there is: the blocks under a heading in a row, with names turned into the places of the
// packages.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { host, moduleOfHosts } from "../hosts.ts";
import { nodes } from "../nodes.ts";

const run = promisify(execFile);
const text = readFileSync(new URL("../../ts/docs/adapters.md", import.meta.url), "utf8");
const folder = mkdtempSync(`${tmpdir()}/sparse-xent-starts-`);
afterAll(() => rmSync(folder, { recursive: true }));

/** The JavaScript under a heading. */
function program(heading: string): string {
  const [, section = ""] = text.split(`\n## ${heading}\n`);
  const [own = ""] = section.split("\n## ");
  const code = [...own.matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block).join("\n");
  if (code === "") throw new Error(`no code under ${heading}`);
  return code;
}

const place = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
const packages: Readonly<Record<string, string>> = {
  "sparse-xent": "../../dist/index.js",
  "sparse-xent/lm": "../../dist/lm.js",
  "sparse-xent/onnx": "../../dist/onnx.js",
  "sparse-xent/tfjs": "../../dist/tfjs.js",
  "@huggingface/transformers": "../hosts/transformers.mjs",
  "@tensorflow/tfjs": "../hosts/tfjs.mjs",
  "onnxruntime-node": "../hosts/onnxruntime-node.mjs",
};

const starts = [
  {
    heading: "transformers.js",
    name: "@huggingface/transformers",
    before: `import { env } from ${place("../hosts/transformers.mjs")};\nObject.assign(env, { allowRemoteModels: false, localModelPath: ${JSON.stringify(`${folder}/`)} });\n`,
    after: "await model.dispose();\nawait xent.dispose();\n",
    prints: /^\d+ tokens, perplexity \d+\.\d+ Float32Array\(\d+\).*\n5 Float32Array\(5\)/s,
  },
  { heading: "TensorFlow.js", name: "@tensorflow/tfjs", before: "", after: "await xent.dispose();\n", prints: /true\n$/ },
  { heading: "ONNX Runtime", name: "onnxruntime-node", before: "", after: "await xent.dispose();\n", prints: /^2\.4132 \[ 2, 4 \] float32\n$/ },
];

describe.each(starts)("$heading", ({ heading, name, before, after, prints }) => {
  const { title, isHere } = host(name);
  beforeAll(async () => {
    if (isHere && name.startsWith("@huggingface")) (await moduleOfHosts("tiny-gpt2")).writeTinyGpt2(folder);
  });

  test.skipIf(!isHere).each(nodes)(`${title}, on $name`, { timeout: 60_000 }, async ({ name: node, path, flags }) => {
    const code = program(heading).replaceAll(/(from )"([^"]+)"/g, (all, from: string, id: string) => (packages[id] === undefined ? all : from + place(packages[id])));
    const file = `${folder}/${node.replaceAll(/\W/g, "-")}.mjs`;
    writeFileSync(file, `${before}${code}${after}`);
    const { stdout } = await run(path, [...flags, file], { cwd: fileURLToPath(new URL("../..", import.meta.url)) });
    expect(stdout).toMatch(prints);
  });
});
