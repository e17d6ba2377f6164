// `dead_worker_rejects`: a thread that traps or never returns becomes ENGINE_LOST soon, in every pending and every later call, and a fresh engine
// works. Each Node and build runs in a process of its own, against the files that ship: a wrong wait would be a hang.
import { expect, test } from "vitest";
import { runScript } from "./child.js";
import { nodes, type NodeRun } from "./nodes.js";

/** What may pass until the error, in ms: a stalled helper is given up within 2 s, a trap is seen at the next slice of 50 ms. Slack for a busy machine. */
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
// A helper that works for three seconds and shows that it does.
const busy = await load({ threads: 2, build: "${build}" });
report.busy = await Promise.all([busy[inject](4, "async"), busy.crossEntropyAsync(logits, [0, 1], { shape: [2, 4] }).then(({ loss }) => loss)]);
await busy.dispose();
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
  const report = JSON.parse(stdout) as { build: string; faults: readonly Fault[]; fresh: number; busy: readonly number[] };
  expect(report.build).toBe(build);
  expect(report.fresh).toBeCloseTo(Math.log(4), 6);
  expect(report.faults).toHaveLength(6);
  expect(report.busy[0], "a helper in a long unit is not lost").toBe(0);
  expect(report.busy[1]).toBeCloseTo(Math.log(4), 6);
  for (const { name, how, ms, ...rest } of report.faults) {
    const lost = "ENGINE_LOST";
    expect({ name, how, ...rest }).toEqual({ name, how, healthy: 0, code: lost, after: [lost, lost, lost, lost], readable: 7, disposed: "DISPOSED" });
    expect(ms, `${name}, ${how}`).toBeLessThan(limits[name]);
  }
});

/** Ends workers from outside, in each state that they can be in. `at` is when, after the call or `load` that it is about. */
const killScript = `
const { getBuiltinModule } = process;
const threads = getBuiltinModule("node:worker_threads");
const workers = { helper: [], coordinator: [] };
let born = () => {};
threads.Worker = class extends threads.Worker {
  constructor(text, options) {
    super(text, options);
    workers[options.workerData.role].push(this);
    born(options.workerData.role, this);
  }
};
const { load } = await import("sparse-xent");
const small = [new Float32Array(8), [0, 1], { shape: [2, 4] }];
const said = async (use) => {
  try { const { loss } = await use(); return loss.toFixed(4); } catch (error) { return error.code ?? String(error); }
};
const report = {};
async function kill(name, role, { before = async () => {}, during } = {}) {
  workers.helper = [];
  workers.coordinator = [];
  const xent = await load({ threads: 2 });
  await before(xent);
  const pending = during && said(() => during(xent));
  if (during) await new Promise((resolve) => setTimeout(resolve, 20));
  const start = performance.now();
  await workers[role][0].terminate();
  const first = pending && (await pending);
  const ms = performance.now() - start;
  const after = [await said(() => xent.crossEntropy(...small)), await said(() => xent.crossEntropyAsync(...small))];
  await xent.dispose();
  report[name] = { ...(first && { first }), ms, after };
}
const async = (xent) => xent.crossEntropyAsync(...small);
const big = async (xent) => {
  const [logits, labels] = [xent.tensor("f32", [4096, 8192]), xent.tensor("i32", [4096])];
  const [first] = await Promise.all(Array.from({ length: 20 }, () => xent.crossEntropyAsync(logits, labels, { grad: logits })));
  return first;
};
await kill("helper idle", "helper");
await kill("helper at work", "helper", { before: async, during: big });
await kill("coordinator idle", "coordinator", { before: async });
await kill("coordinator at work", "coordinator", { before: async, during: big });

async function killAtBirth(name, role) {
  born = (its, worker) => void (its === role && worker.terminate());
  const start = performance.now();
  const xent = await load({ threads: 2 });
  const first = await said(() => xent.crossEntropyAsync(...small));
  const ms = performance.now() - start;
  born = () => {};
  const after = [await said(() => xent.crossEntropy(...small)), await said(() => xent.crossEntropyAsync(...small))];
  report[name] = { first, ms, after, threads: xent.info.threads, why: xent.info.whyOneThread ?? "" };
  await xent.dispose();
}
await killAtBirth("helper starting", "helper");
await killAtBirth("coordinator starting", "coordinator");
console.log(JSON.stringify(report));
`;

test("killed_worker_rejects: in each state that a worker can be in", async () => {
  const node = nodes.find(({ version }) => version === process.versions.node) ?? { path: process.execPath, flags: [] };
  const { code, stdout, stderr } = await runScript(node, `import "sparse-xent";${killScript}`, 30_000);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const report = JSON.parse(stdout) as Record<string, { first?: string; ms: number; after: string[]; threads?: number; why?: string }>;
  const lost = ["ENGINE_LOST", "ENGINE_LOST"];
  const answers = ["1.3863", "1.3863"];
  const ms = expect.any(Number) as number;
  const why = expect.stringMatching(/worker could not be started/) as string;
  expect(report).toEqual({
    "helper idle": { ms, after: lost },
    "helper at work": { first: "ENGINE_LOST", ms, after: lost },
    "coordinator idle": { ms, after: lost },
    "coordinator at work": { first: "ENGINE_LOST", ms, after: lost },
    // One that never came to be is done without.
    "helper starting": { first: "1.3863", ms, after: answers, threads: 1, why },
    "coordinator starting": { first: "1.3863", ms, after: answers, threads: 2, why: "" },
  });
  for (const [name, { ms }] of Object.entries(report)) expect(ms, name).toBeLessThan(1_500);
}, 40_000);
