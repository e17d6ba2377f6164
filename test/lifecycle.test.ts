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
