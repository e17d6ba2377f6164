// Threads change the time and nothing else: `same_bits_any_threads`, `same_bits_sync_async`; a call really uses them, and an asynchronous one leaves
// the caller's event loop free.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { load, type CrossEntropyOptions, type Engine, type Tensor } from "sparse-xent";
import { describe, expect, test, vi } from "vitest";
import { rejectionOf, useEngine } from "./support.js";

/** Numbers that look random, the same in every run, so that blocks which change places change the result. */
function paint(array: { length: number; [index: number]: number }, seed: number, value: (unit: number) => number): void {
  let state = seed;
  for (let index = 0; index < array.length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    array[index] = value(state / 2 ** 32);
  }
}

interface Case {
  readonly name: string;
  readonly shape: readonly number[];
  readonly axis?: number;
  readonly options?: CrossEntropyOptions;
}

// Sizes well above the one from which a second thread is worth its waking, and one below it.
const cases: readonly Case[] = [
  { name: "too small for a second thread", shape: [7, 33] },
  { name: "many classes", shape: [67, 16_001] },
  { name: "few classes, many rows", shape: [120_001, 10] },
  { name: "classes strided", shape: [3, 21, 190, 101], axis: 1 },
  { name: "a loss per row", shape: [513, 2_049], options: { reduction: "none" } },
  { name: "smoothed, focal, z-loss", shape: [301, 4_099], options: { labelSmoothing: 0.1, focalGamma: 2, zLoss: 1e-4 } },
  { name: "ignored rows", shape: [401, 3_001], options: { ignoreIndex: 5, labelSmoothing: 0.05 } },
];

/** The case's logits and labels in an engine's memory. */
function inputs(engine: Engine, { shape, axis = -1 }: Case): { logits: Tensor<"f32">; labels: Tensor<"i32"> } {
  const classes = shape.at(axis) ?? 0;
  const logits = engine.tensor("f32", shape);
  const labels = engine.tensor("i32", shape.filter((_, index) => index !== (axis + shape.length) % shape.length));
  paint(logits.view, 1, (unit) => 40 * unit - 20);
  paint(labels.view, 2, (unit) => Math.floor(unit * classes));
  return { logits, labels };
}

/** One digest of everything a case gives: loss and gradient, bit for bit. */
async function digest(engine: Engine, which: Case, how: "sync" | "async"): Promise<string> {
  const { logits, labels } = inputs(engine, which);
  const options = { axis: which.axis ?? -1, ...which.options, grad: true } as const;
  const result = how === "sync" ? engine.crossEntropy(logits, labels, options) : await engine.crossEntropyAsync(logits, labels, options);
  const { loss, grad } = result as unknown as { loss: number | Tensor; grad: Tensor };
  const hash = createHash("sha256").update(new Uint8Array(grad.toArray().buffer));
  hash.update(typeof loss === "number" ? Float64Array.of(loss) : new Uint8Array(loss.toArray().buffer));
  for (const tensor of [logits, labels, grad, loss]) if (typeof tensor !== "number") tensor.dispose();
  return hash.digest("hex");
}

/** Digests of all cases by name. */
async function digestsOf(engine: Engine, how: "sync" | "async"): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const which of cases) found[which.name] = await digest(engine, which, how);
  expect(engine.info.usedBytes).toBe(0);
  return found;
}

/** The same for a fresh engine. */
async function digests(threads: number, how: "sync" | "async"): Promise<Record<string, string>> {
  const engine = await load({ threads });
  expect(engine.info.threads).toBe(threads);
  const found = await digestsOf(engine, how);
  await engine.dispose();
  return found;
}

test("same_bits_any_threads, same_bits_sync_async", async () => {
  const alone = await digests(1, "sync");
  expect(new Set(Object.values(alone)).size).toBe(cases.length);
  expect(await digests(1, "async"), "1 thread, async").toEqual(alone);
  for (let threads = 2; threads <= 8; threads++) {
    const how = threads % 2 === 0 ? "sync" : "async";
    expect(await digests(threads, how), `${threads} threads, ${how}`).toEqual(alone);
  }
});

describe("at work", () => {
  const given = useEngine({ threads: 2 });
  const big: Case = { name: "big", shape: [1024, 8192] };

  // Processor time by thread, in ticks of 10 ms; Linux shows it in a file.
  const ticks = (): Map<string, number> =>
    new Map(
      readdirSync("/proc/self/task").map((id) => {
        const fields = readFileSync(`/proc/self/task/${id}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
        return [id, Number(fields[11])];
      }),
    );

  test.skipIf(process.platform !== "linux")("a helper takes its share of a call", () => {
    const { logits, labels } = inputs(given.xent, big);
    const before = ticks();
    for (let call = 0; call < 20; call++) given.xent.crossEntropy(logits, labels, { grad: logits });
    const busy = [...ticks()].map(([id, now]) => now - (before.get(id) ?? 0)).sort((a, b) => b - a);
    // The caller, then its helper: on a free machine they share evenly, on a busy one the helper still gets something.
    expect(busy[0]).toBeGreaterThan(5);
    expect(busy[1]).toBeGreaterThan((busy[0] ?? 0) / 5);
    logits.dispose();
    labels.dispose();
  });

  test("the event loop stays free during an asynchronous call", async () => {
    const { logits, labels } = inputs(given.xent, big);
    const count = 20;
    let isPending = true;
    const calls = Array.from({ length: count }, () => given.xent.crossEntropyAsync(logits, labels, { grad: logits }));
    const done = Promise.all(calls).finally(() => void (isPending = false));
    let turns = 0;
    while (isPending) {
      await new Promise((resolve) => void setImmediate(resolve));
      turns++;
    }
    await done;
    // Were the calls to run here, there would be about one turn for each; a free loop makes hundreds in the time.
    expect(turns).toBeGreaterThan(10 * count);
    logits.dispose();
    labels.dispose();
  });

  test("synchronous and asynchronous calls at the same time", async () => {
    const sizes = cases.slice(1, 4);
    const alone = await Promise.all(sizes.map((which) => digest(given.xent, which, "async")));
    const mixed = await Promise.all([...sizes, ...sizes].map((which, index) => digest(given.xent, which, index % 2 === 0 ? "async" : "sync")));
    expect(mixed).toEqual([...alone, ...alone]);
  });
});

// What a browser's main thread and a page without isolation are like; Node is made to answer the questions as they do.
describe("elsewhere", () => {
  const inject = Symbol.for("sparse-xent.injectFault");

  async function loadWhereWaitingIsForbidden(): Promise<Engine> {
    const wait = vi.spyOn(Atomics, "wait").mockImplementation(() => {
      throw new TypeError("Atomics.wait cannot be called in this context");
    });
    try {
      return await load({ threads: 3 });
    } finally {
      wait.mockRestore();
    }
  }

  test("where waiting is forbidden a worker builds the pool and runs the asynchronous calls", async () => {
    const engine = await loadWhereWaitingIsForbidden();
    expect(engine.info).toMatchObject({ threads: 3, isolated: true, canBlock: false });
    const alone = await digests(1, "sync");
    expect(await digestsOf(engine, "async")).toEqual(alone);
    expect(await digestsOf(engine, "sync")).toEqual(alone);
    await engine.dispose();
  });

  test("dead_worker_rejects where waiting is forbidden", async () => {
    const engine = (await loadWhereWaitingIsForbidden()) as Engine & Record<typeof inject, (kind: number, how: string) => Promise<number>>;
    expect(await engine[inject](0, "async")).toBe(0);
    expect((await rejectionOf(engine[inject](1, "async"))).code).toBe("ENGINE_LOST");
    await engine.dispose();
  });

  test("where memory cannot be shared there is one thread, and the same bits", async () => {
    vi.stubGlobal("crossOriginIsolated", false);
    const engine = await load({ threads: 3 }).finally(() => vi.unstubAllGlobals());
    expect(engine.info).toMatchObject({ threads: 1, isolated: false });
    const alone = await digests(1, "sync");
    expect(await digestsOf(engine, "async")).toEqual(alone);
    expect(await digestsOf(engine, "sync")).toEqual(alone);
    await engine.dispose();
  });
});
