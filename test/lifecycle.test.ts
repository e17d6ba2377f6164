// Engines and the processes they live in: gone without a trace after dispose, never in the way of a process that wants to end; in the main thread, in
// workers, by import and by require, on every Node there is.
import { describe, expect, test } from "vitest";
import { runScript } from "./child.js";
import { nodes } from "./nodes.js";

const expected = Math.log(1 + Math.exp(-1) + Math.exp(-2) + Math.exp(-3));

const calls = `
async function use(load) {
  const engine = await load({ threads: 3 });
  const logits = Float32Array.of(1, 2, 3, 4, 4, 3, 2, 1);
  const { loss } = engine.crossEntropy(logits, [3, 0], { shape: [2, 4] });
  const later = await engine.crossEntropyAsync(logits, [3, 0], { shape: [2, 4] });
  return [loss.toFixed(5), later.loss.toFixed(5), engine.info.threads].join(" ");
}
`;

/** Scripts that print what `use` returns and never dispose. */
const scripts = {
  "import, engine left idle": `import { load } from "sparse-xent"; ${calls} console.log(await use(load));`,
  "require, engine left idle": `const { load } = require("sparse-xent"); ${calls} use(load).then(console.log);`,
  "worker, engine left idle": `
const { Worker } = require("node:worker_threads");
const text = ${JSON.stringify(`const { load } = require("sparse-xent"); ${calls} use(load).then((said) => require("node:worker_threads").parentPort.postMessage(said));`)};
new Worker(text, { eval: true }).on("message", console.log);`,
};

describe.each(nodes)("$name", (node) => {
  test.each(Object.entries(scripts))("%s: answers and ends", async (_, script) => {
    const { code, stdout, stderr } = await runScript(node, script, 10_000);
    const loss = expected.toFixed(5);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `${loss} ${loss} 3\n`, stderr: "" });
  });
});

test.skipIf(process.platform !== "linux")("under a small limit on address space load() says what is missing", async () => {
  const limited = { path: "/bin/sh", flags: ["-c", 'ulimit -v 3000000; exec "$0" "$@"', process.execPath] };
  const script = `import { load } from "sparse-xent"; load({ threads: 2 }).catch(({ code, message }) => console.log(code, message));`;
  const { code, stdout } = await runScript(limited, script);
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^OUT_OF_MEMORY .*address space.*ulimit -v/) as string });
});

/** What a script does with engines that it has done with, and what must be gone afterwards. */
const collected: Record<string, string> = {
  "engines that were dropped": `
  const engine = await load({ threads: 2 });
  engine.tensor("f32", [8 << 20]).view.fill(1);
  await engine.crossEntropyAsync(new Float32Array(8), [0, 1], { shape: [2, 4] });`,
  "engines that were disposed of, whose tensors are kept": `
  const engine = await load({ threads: 2 });
  const tensor = engine.tensor("f32", [8 << 20]);
  tensor.view.fill(1);
  kept.push(tensor, engine);
  await engine.crossEntropyAsync(new Float32Array(8), [0, 1], { shape: [2, 4] });
  await engine.dispose();`,
};

test.each(Object.entries(collected))("%s leave no thread and no memory", async (_, use) => {
  const script = `
import { load } from "sparse-xent";
import { readdirSync } from "node:fs";
const kept = [];
async function use() {${use}
}
const now = () => ({ threads: readdirSync("/proc/self/task").length, rss: process.memoryUsage.rss() });
const turn = async () => {
  globalThis.gc();
  await new Promise((resolve) => setTimeout(resolve, 20));
};
await use();
for (let count = 0; count < 20; count++) await turn();
const before = now();
for (let count = 0; count < 10; count++) await use();
for (let count = 0; count < 20; count++) await turn();
const after = now();
console.log(JSON.stringify({ threads: after.threads - before.threads, rss: after.rss - before.rss }));
`;
  const { code, stdout, stderr } = await runScript({ path: process.execPath, flags: ["--expose-gc"] }, script, 30_000);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const grown = JSON.parse(stdout) as { threads: number; rss: number };
  if (process.platform === "linux") expect(grown.threads).toBeLessThanOrEqual(0);
  // Ten engines that stayed would hold 320 MiB.
  expect(grown.rss).toBeLessThan(96 * 2 ** 20);
}, 40_000);

test("an engine whose tensor is in use is not collected", async () => {
  const script = `
import { load } from "sparse-xent";
const tensor = (await load({ threads: 2 })).tensor("f32", [4]);
tensor.view.fill(3);
for (let count = 0; count < 20; count++) {
  globalThis.gc();
  await new Promise((resolve) => setTimeout(resolve, 10));
}
console.log(tensor.isDisposed, tensor.view[3]);
`;
  const { code, stdout } = await runScript({ path: process.execPath, flags: ["--expose-gc"] }, script);
  expect({ code, stdout }).toEqual({ code: 0, stdout: "false 3\n" });
});

// The oldest and the newest Node: workers and memories are V8's, which differs most between those two.
const ends = nodes.filter(({ version }) => version === nodes[0]?.version || version === nodes.at(-1)?.version).filter(({ flags }) => flags.length === 0);

test.each(ends)("$name: 200 engines leave no thread and no memory", async (node) => {
  const script = `
import { load } from "sparse-xent";
import { readdirSync } from "node:fs";
const logits = new Float32Array(64).fill(1);
const seen = {};
for (let cycle = 1; cycle <= 200; cycle++) {
  const engine = await load({ threads: 3 });
  engine.crossEntropy(logits, [0, 1, 2, 3], { shape: [4, 16] });
  if (cycle % 10 === 0) await engine.crossEntropyAsync(logits, [0, 1, 2, 3], { shape: [4, 16] });
  await engine.dispose();
  if (cycle % 20 === 0) globalThis.gc();
  if (cycle === 40 || cycle === 200) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    globalThis.gc();
    const threads = process.platform === "linux" ? readdirSync("/proc/self/task").length : 0;
    seen[cycle] = { threads, rss: process.memoryUsage.rss(), workers: process.getActiveResourcesInfo().filter((name) => name === "Worker").length };
  }
}
console.log(JSON.stringify(seen));
`;
  const { code, stdout, stderr } = await runScript({ path: node.path, flags: [...node.flags, "--expose-gc"] }, script, 30_000);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const seen = JSON.parse(stdout) as Record<"40" | "200", { threads: number; rss: number; workers: number }>;
  expect(seen[200].workers).toBe(0);
  expect(seen[200].threads).toBe(seen[40].threads);
  // An engine that stayed would hold 1.5 MiB of memory and two workers of several MiB each.
  expect(seen[200].rss - seen[40].rss).toBeLessThan(64 * 2 ** 20);
}, 40_000);
