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
  "@tensorflow/tfjs": "../hosts/tfjs-plain.mjs",
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

describe("the types", () => {
  const libraries = ["@huggingface/transformers", "@tensorflow/tfjs", "onnxruntime-node", "onnxruntime-web"];
  const source = `
import * as tf from "@tensorflow/tfjs";
import * as node from "onnxruntime-node";
import * as web from "onnxruntime-web";
import { AutoModelForCausalLM, AutoTokenizer } from "@huggingface/transformers";
import type { Engine } from "sparse-xent";
import { LogProbsRecorder, perplexity, tokenLogProbs, windows } from "sparse-xent/lm";
import { onnxLosses } from "sparse-xent/onnx";
import { registerMissingKernels, sparseLosses } from "sparse-xent/tfjs";
export async function use(xent: Engine): Promise<void> {
  const names: string[] = registerMissingKernels(tf);
  const losses = sparseLosses(tf, xent);
  const y: tf.Tensor1D = tf.tensor1d([0], "int32");
  const x: tf.Tensor2D = tf.zeros([1, 3]);
  const mean: tf.Scalar = losses.sparseSoftmaxCrossEntropy(y, x, { labelSmoothing: 0.1 });
  const rows: tf.Tensor = losses.sparseSoftmaxCrossEntropyWithLogits(y, x);
  const linear: tf.Scalar = losses.linearSparseSoftmaxCrossEntropy(y, x, x, null);
  // @ts-expect-error the gradient is the operation's own business
  losses.sparseSoftmaxCrossEntropy(y, x, { grad: true });
  const model: tf.Sequential = losses.compileSparse(tf.sequential(), { optimizer: "sgd" });
  const { loss, gradient } = await onnxLosses(node, xent).softmaxCrossEntropyLoss(new node.Tensor("float32", [1, 2], [1, 2]), new node.Tensor("int64", [0n], [1]));
  const one: node.Tensor = loss;
  const other: web.Tensor | undefined = (await onnxLosses(web, xent).negativeLogLikelihoodLoss(new web.Tensor("float32", [1, 2], [1, 2]), new web.Tensor("int64", [0n], [1]), null, { gradient: true })).gradient;
  const tokenizer = await AutoTokenizer.from_pretrained("x");
  const causal = await AutoModelForCausalLM.from_pretrained("x");
  const inputs = tokenizer("x");
  const { logits } = await causal(inputs);
  const { sum }: { sum: number } = tokenLogProbs(xent, logits, inputs.input_ids, { mask: inputs.attention_mask, topK: 2 });
  const recorder = new LogProbsRecorder(xent);
  await causal.generate({ ...inputs, logits_processor: [recorder] as never });
  const { documents } = await perplexity(xent, [...windows([1, 2, 3], { length: 2 })].map((ids) => ({ ids, logits, documents: ["one"] })), { stride: 2 });
  const name: string | number | undefined = documents[0]?.document;
  void [names, mean, rows, linear, model, gradient, one, other, sum, name];
}
`;
  const absent = libraries.filter((name) => !host(name).isHere);
  test.skipIf(absent.length > 0)(`fit those of ${libraries.join(", ")}${absent.length > 0 ? ", which are not all here" : ""}`, { timeout: 60_000 }, async () => {
    const hosts = fileURLToPath(new URL("../hosts/node_modules", import.meta.url));
    const types = fileURLToPath(new URL("../../dist/types", import.meta.url));
    const own = Object.fromEntries([["sparse-xent", [`${types}/index.d.ts`]], ...["lm", "onnx", "tfjs"].map((entry) => [`sparse-xent/${entry}`, [`${types}/adapters/${entry}/index.d.ts`]])]);
    const paths = { ...own, ...Object.fromEntries(libraries.map((name) => [name, [`${hosts}/${name}`]])) };
    const compilerOptions = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true, skipLibCheck: true, target: "es2022", module: "esnext",
      moduleResolution: "bundler", lib: ["esnext", "dom"], types: [], paths };
    writeFileSync(`${folder}/consumer.ts`, source);
    writeFileSync(`${folder}/tsconfig.json`, JSON.stringify({ compilerOptions, files: ["consumer.ts"] }));
    const compiler = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));
    const output = await run(process.execPath, [compiler, "-p", folder]).then(() => "", (error: { stdout: string }) => error.stdout);
    expect(output).toBe("");
  });
});
