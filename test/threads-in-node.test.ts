// Threads as only Node on Linux can show them, and Node made to answer as browsers do.
import { readFileSync, readdirSync } from "node:fs";
import { load, type Engine } from "sparse-xent";
import { describe, expect, test, vi } from "vitest";
import { digests, digestsOf, inputs } from "./large.ts";
import { rejectionOf, useEngine } from "./support.ts";

const given = useEngine({ threads: 2 });

// Processor time by thread, in ticks of 10 ms; Linux shows it in a file.
const ticks = (): Map<string, number> =>
  new Map(
    readdirSync("/proc/self/task").map((id) => {
      const fields = readFileSync(`/proc/self/task/${id}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
      return [id, Number(fields[11])];
    }),
  );

test.skipIf(process.platform !== "linux")("a helper takes its share of a call", () => {
  const { logits, labels } = inputs(given.xent, { name: "big", shape: [1024, 8192] });
  const before = ticks();
  const busiest = (): number[] => [...ticks()].map(([id, now]) => now - (before.get(id) ?? 0)).sort((a, b) => b - a);
  // Until there is something to compare.
  while ((busiest()[0] ?? 0) < 20) given.xent.crossEntropy(logits, labels, { grad: logits });
  const [caller = 0, helper = 0] = busiest();
  // On a free machine they share evenly, on a busy one the helper still gets something.
  expect(helper).toBeGreaterThan(caller / 5);
  logits.dispose();
  labels.dispose();
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

  test("where no worker starts there is one thread, and the same bits", async () => {
    const threads = process.getBuiltinModule("node:worker_threads");
    const { Worker } = threads;
    const alone = await digests(1, "sync");
    const refuse = function refuse(): never {
      throw new Error("no thread to be had");
    };
    threads.Worker = refuse as unknown as typeof Worker;
    try {
      const engine = await load({ threads: 3 });
      expect(engine.info.threads).toBe(1);
      expect(engine.info.whyOneThread).toMatch(/a helper worker could not be started: Error: no thread to be had/);
      expect(await digestsOf(engine, "async")).toEqual(alone);
      expect(await digestsOf(engine, "sync")).toEqual(alone);
      await engine.dispose();
      // Who names a worker file hears of it.
      const error = await rejectionOf(load({ threads: 3, workerUrl: new URL("../dist/worker.js", import.meta.url) }));
      expect(error.code).toBe("LOAD_FAILED");
    } finally {
      threads.Worker = Worker;
    }
  });

  test("a worker that never answers is given up after workerTimeoutMs, five seconds unless said otherwise", async () => {
    const workerUrl = new URL("data:text/javascript,setInterval(() => {}, 1000)");
    const start = performance.now();
    const hurried = rejectionOf(load({ threads: 2, workerUrl, workerTimeoutMs: 200 })).then((error) => ({ error, ms: performance.now() - start }));
    const patient = rejectionOf(load({ threads: 2, workerUrl }));
    const { error, ms } = await hurried;
    expect(error.code).toBe("LOAD_FAILED");
    expect(error.message).toMatch(/not ready within 0\.2 s/);
    expect(ms).toBeLessThan(4_000);
    expect((await patient).message).toMatch(/not ready within 5 s/);
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
