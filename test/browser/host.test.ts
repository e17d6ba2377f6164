// What a page can do follows from how it is served, and the engine makes the best of it: threads where memory can be shared, one where it cannot, the
// same bits in both; and whatever is called, the page's own thread never waits.
import { isSparseXentError, load, type Engine } from "sparse-xent";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { battery, digest } from "../battery.ts";
import { fastestBuild } from "../relaxed.mjs";
import { here, loadForTest } from "../support.ts";
import type { Findings } from "./worker.ts";
import { canWait, faultError } from "./waits.ts";

const { headers, canShare } = here();
const threads = canShare ? 3 : 1;
const recorded = ({ build }: Engine["info"]): Record<string, string> => Object.fromEntries(battery.map((seeded) => [seeded.name, seeded[build]]));

async function digests(xent: Engine, how: "sync" | "async"): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const seeded of battery) found[seeded.name] = await digest(xent, seeded, how);
  return found;
}

test("the page is isolated if it was served with the two headers", () => {
  expect(globalThis.crossOriginIsolated).toBe(headers);
});

describe("on the page's own thread", () => {
  let xent: Engine;
  let workers = 0;
  beforeAll(async () => {
    const Counted = class extends Worker {
      constructor(...args: ConstructorParameters<typeof Worker>) {
        super(...args);
        workers++;
      }
    };
    vi.stubGlobal("Worker", Counted);
    xent = await load({ threads: 3 }).finally(() => vi.unstubAllGlobals());
  });
  afterAll(() => xent.dispose());
  afterEach(() => vi.restoreAllMocks());

  test("threads where memory can be shared, otherwise one", () => {
    expect(xent.info).toMatchObject({ threads, isolated: canShare, canBlock: false });
    // Two helpers and the coordinator, which is the third thread.
    expect(workers).toBe(canShare ? 3 : 0);
  });

  test("the build that this browser runs fastest", () => {
    expect(xent.info.build).toBe(fastestBuild());
  });

  test("synchronous calls have the recorded bits", async () => {
    expect(await digests(xent, "sync")).toEqual(recorded(xent.info));
  });

  test("asynchronous calls have the recorded bits", async () => {
    expect(await digests(xent, "async")).toEqual(recorded(xent.info));
  });

  test("a synchronous call runs here, an asynchronous one is a message without data", async () => {
    const post = vi.spyOn(Worker.prototype, "postMessage");
    const logits = xent.tensor("f32", [512, 4096]);
    const labels = xent.tensor("i32", [512]);
    xent.crossEntropy(logits, labels, { grad: true }).grad.dispose();
    expect(post).not.toHaveBeenCalled();
    const { grad } = await xent.crossEntropyAsync(logits, labels, { grad: true });
    const [id, block, ticket] = [expect.any(Number), expect.any(Number), expect.any(Number)];
    expect(post.mock.calls).toEqual(canShare ? [[{ type: "run", id, block, ticket }]] : []);
    // What came back is a window onto the memory in which the logits are.
    expect(grad.view.buffer).toBe(logits.view.buffer);
    expect(grad.view[0]).toBeCloseTo((1 / 4096 - 1) / 512, 9);
    for (const tensor of [logits, labels, grad]) tensor.dispose();
  });

  // Where a wait in wasm is a trap (see below), it would be ENGINE_LOST; a wait in JavaScript is counted.
  test("never waits: while asynchronous calls run it calls, allocates and frees", async () => {
    const wait = vi.spyOn(Atomics, "wait");
    const other = await loadForTest({ threads: 3 });
    const logits = other.tensor("f32", [256, 4096]);
    const labels = other.tensor("i32", [256]);
    let pending = 20;
    const calls = Array.from({ length: pending }, async () => {
      const { loss } = await other.crossEntropyAsync(logits, labels, { labelSmoothing: 0.1 });
      pending--;
      return loss;
    });
    const losses: number[] = [];
    while (pending > 0) {
      losses.push(other.crossEntropy(new Float32Array(64), [1, 2, 3, 0], { shape: [4, 16] }).loss);
      const tensors = Array.from({ length: 50 }, (_, index) => other.tensor("f32", [index * 97]));
      for (const tensor of tensors) tensor.dispose();
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    for (const loss of await Promise.all(calls)) expect(loss).toBeCloseTo(Math.log(4096), 4);
    for (const loss of losses) expect(loss).toBeCloseTo(Math.log(16), 5);
    logits.dispose();
    labels.dispose();
    expect(other.info.usedBytes).toBe(0);
    await other.dispose();
    // The question whether waiting is allowed is a wait of no length.
    expect(wait.mock.calls.filter(([, , , timeout]) => timeout !== 0)).toEqual([]);
  });
});

if (!canShare) {
  test("an asynchronous call gives the event loop a turn, and waits for no timer", async () => {
    const xent = await loadForTest();
    const timer = vi.spyOn(globalThis, "setTimeout");
    let isSettled = false;
    const call = xent.crossEntropyAsync(new Float32Array(2), [0], { shape: [1, 2] }).finally(() => void (isSettled = true));
    // Promises alone would be through with it by now.
    for (let step = 0; step < 20; step++) await Promise.resolve();
    expect(isSettled).toBe(false);
    expect((await call).loss).toBeCloseTo(Math.LN2, 6);
    expect(timer).not.toHaveBeenCalled();
    timer.mockRestore();
  });
}

// Not every browser refuses a wait in wasm on the page's own thread: one that does not would wait, and the page with it.
test.skipIf(!canShare || canWait())("a wait in wasm is the end of an engine that believes it may", async () => {
  const wait = vi.spyOn(Atomics, "wait").mockReturnValue("timed-out");
  const fault = async (mistaken: Engine): Promise<unknown> => {
    expect(mistaken.info.canBlock).toBe(true);
    return faultError(mistaken, "helper stalls", "sync");
  };
  // Its first wait is a trap: for a helper that is late when load() builds the pool, or else for one that does not come back from a call.
  const loading = loadForTest({ threads: 3 }).finally(() => wait.mockRestore());
  const error = await loading.then(fault).catch((refused: unknown) => refused);
  expect(isSparseXentError(error, "ENGINE_LOST") ? error.cause : error).toBeInstanceOf(WebAssembly.RuntimeError);
  // After many waits it would give up, and say why.
  expect(String(error)).not.toContain("finished nothing");
});

if (canShare) {
  // A helper can fail in a call only if it takes a share of it.
  test.each(["helper traps", "helper stalls"] as const)("dead_worker_rejects: %s in an asynchronous call", async (kind) => {
    const xent = await loadForTest({ threads: 3 });
    const other = xent.crossEntropyAsync(new Float32Array(2), [0], { shape: [1, 2] });
    expect((await faultError(xent, kind, "async"))?.code).toBe("ENGINE_LOST");
    expect((await other).loss).toBeCloseTo(Math.LN2, 6);
    await expect(xent.crossEntropyAsync(new Float32Array(2), [0], { shape: [1, 2] })).rejects.toMatchObject({ code: "ENGINE_LOST" });
  });
}

// Watched by what drove it, Firefox failed here within 75 rounds, in 15 of 15 runs; marionette.ts says why.
test("a worker starts others whenever it wants: how this browser is driven does not stop it", async () => {
  const addressOf = (text: string): string => URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const inner = addressOf("postMessage(0);");
  const outer = addressOf(`
    let heard = 0;
    const hear = () => void (++heard === 2 && postMessage(0));
    const workers = [0, 1].map(() => new Worker("${inner}"));
    for (const worker of workers) worker.onmessage = hear;
  `);
  for (let round = 0; round < 100; round++) {
    const worker = new Worker(outer);
    await new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`round ${round}: two workers of a worker are not there after 10 s`)), 10_000);
      worker.addEventListener("message", () => resolve(clearTimeout(timer)));
      worker.addEventListener("error", reject);
    });
    worker.terminate();
  }
  URL.revokeObjectURL(inner);
  URL.revokeObjectURL(outer);
});

test("in a worker of the page's own a synchronous call uses all threads, with the same bits", async () => {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  onTestFinished(() => worker.terminate());
  const findings = await new Promise<Findings>((resolve, reject) => {
    worker.addEventListener("message", ({ data }: MessageEvent<Findings | { readonly error: string }>) => {
      if ("error" in data) reject(new Error(data.error));
      else resolve(data);
    });
    worker.addEventListener("error", ({ message }) => reject(new Error(message)));
  });
  expect(findings.info).toMatchObject({ threads, isolated: canShare, canBlock: true });
  expect(findings.canWait).toBe(true);
  expect(findings.digests).toEqual(recorded(findings.info));
  expect(findings.trap).toBe(canShare ? "ENGINE_LOST" : undefined);
});
