// `dead_worker_rejects`: a thread that traps or never returns becomes ENGINE_LOST soon, in every pending and every later call, and a fresh engine
// works. Each Node and build runs in a process of its own, against the files that ship: a wrong wait would be a hang.
import { expect, test } from "vitest";
import { runScript } from "./child.js";
import { nodes, type NodeRun } from "./nodes.js";

/** What may pass until the error, in ms: a stalled helper is given up after 2 s, a trap is seen at the next slice of 50 ms. Slack for a busy machine. */
const limits = { "helper traps": 1_500, "helper stalls": 3_500, "caller traps": 1_500 };

const script = (build: string): string => `
import { load } from "sparse-xent";
const inject = Symbol.for("sparse-xent.injectFault");
const logits = new Float32Array(8);
const codeOf = async (use) => {
  try { await use(); return "answered"; } catch (error) { return error.code ?? String(error); }
};
const kinds = { "helper traps": 1, "helper stalls": 2, "caller traps": 3 };
const report = { build: "", faults: [], fresh: 0 };

async function fault(name, how, begun = () => {}) {
  const xent = await load({ threads: 2, build: "${build}" });
  report.build = xent.info.build;
  const healthy = await xent[inject](0, how);
  const tensor = xent.tensor("f32", [2, 4]);
  tensor.view.fill(7);
  const start = performance.now();
  const lost = codeOf(() => xent[inject](kinds[name], how));
  // A call behind the one that is lost; after a synchronous one, a call of a dead engine.
  const behind = codeOf(() => xent.crossEntropyAsync(logits, [0, 1], { shape: [2, 4] }));
  setTimeout(begun, 10);
  const code = await lost;
  const ms = performance.now() - start;
  const after = [
    await behind,
    await codeOf(() => xent.crossEntropy(logits, [0, 1], { shape: [2, 4] })),
    await codeOf(() => xent.crossEntropyAsync(logits, [0, 1], { shape: [2, 4] })),
    await codeOf(() => xent.tensor("f32", [1])),
  ];
  const readable = tensor.view[7];
  tensor.dispose();
  await xent.dispose();
  report.faults.push({ name, how, healthy, code, ms, after, readable, disposed: await codeOf(() => xent.tensor("f32", [1])) });
}

// The slow ones at the same time: both must see a helper that finishes nothing for two seconds.
let slow;
await new Promise((begun) => void (slow = fault("helper stalls", "async", begun)));
await Promise.all([slow, fault("helper stalls", "sync")]);
for (const how of ["sync", "async"]) for (const name of ["helper traps", "caller traps"]) await fault(name, how);
const xent = await load({ threads: 2, build: "${build}" });
report.fresh = xent.crossEntropy(logits, [0, 1], { shape: [2, 4] }).loss;
console.log(JSON.stringify(report));
`;

interface Fault {
  readonly name: keyof typeof limits;
  readonly how: string;
  readonly healthy: number;
  readonly code: string;
  readonly ms: number;
  readonly after: readonly string[];
  readonly readable: number;
  readonly disposed: string;
}

// Where there is a choice both builds; with a flag, the one that it is for.
const buildsOf = ({ hasRelaxed, flags }: NodeRun): string[] => (!hasRelaxed ? ["simd"] : flags.length > 0 ? ["relaxed"] : ["simd", "relaxed"]);
const runs = nodes.flatMap((node) => buildsOf(node).map((build) => ({ title: `${node.name}, ${build}`, node, build })));

test.each(runs)("dead_worker_rejects: $title", async ({ node, build }) => {
  const { code, stdout, stderr } = await runScript(node, script(build));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const report = JSON.parse(stdout) as { build: string; faults: readonly Fault[]; fresh: number };
  expect(report.build).toBe(build);
  expect(report.fresh).toBeCloseTo(Math.log(4), 6);
  expect(report.faults).toHaveLength(6);
  for (const { name, how, ms, ...rest } of report.faults) {
    const lost = "ENGINE_LOST";
    expect({ name, how, ...rest }).toEqual({ name, how, healthy: 0, code: lost, after: [lost, lost, lost, lost], readable: 7, disposed: "DISPOSED" });
    expect(ms, `${name}, ${how}`).toBeLessThan(limits[name]);
  }
});
