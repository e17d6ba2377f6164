// What load() accepts, refuses and reports.
import { isSparseXentError, load, type Engine, type LoadOptions, type Tensor } from "sparse-xent";
import { afterEach, describe, expect, test } from "vitest";
import { bytesAt, here, rejectionOf } from "./support.ts";

// With their endings: of what may lie there Vite imports every file.
const wasm = (name: string): URL => new URL(`../dist/${name}.wasm`, import.meta.url);
const script = (name: string): URL => new URL(`../dist/${name}.js`, import.meta.url);
const simd = await bytesAt(wasm("sparse-xent.simd"));
const { browser, canShare, canBlock } = here();
// -ln(1 / 4)
const LN_4 = Math.log(4);

const engines: Engine[] = [];
async function loaded(options?: LoadOptions): Promise<Engine> {
  const engine = await load(options);
  engines.push(engine);
  return engine;
}
afterEach(async () => void (await Promise.all(engines.splice(0).map((engine) => engine.dispose()))));

const lossOf = (engine: Engine): number => engine.crossEntropy({ data: new Float32Array(8), shape: [2, 4] }, [0, 3]).loss;

describe("refused options", () => {
  const rows: [name: string, options: unknown, message: string][] = [
    ["threads 0", { threads: 0 }, 'threads got 0, expected an integer 1..256 or "auto"'],
    ["threads 257", { threads: 257 }, 'threads got 257, expected an integer 1..256 or "auto"'],
    ["threads 1.5", { threads: 1.5 }, 'threads got 1.5, expected an integer 1..256 or "auto"'],
    ["threads as text", { threads: "2" }, 'threads got "2", expected an integer 1..256 or "auto"'],
    ["build unknown", { build: "fast" }, 'build got "fast", expected "auto", "relaxed" or "simd"'],
    ["wasm as text", { wasm: "x.wasm" }, 'wasm got "x.wasm", expected a URL, Response, BufferSource or WebAssembly.Module'],
    ["workerUrl as number", { workerUrl: 1 }, "workerUrl got 1, expected a URL or its text"],
    ["maximumPages 1", { maximumPages: 1 }, "maximumPages got 1, expected an integer"],
    ["maximumPages 65537", { maximumPages: 65_537 }, "maximumPages got 65537, expected an integer"],
    ["workerTimeoutMs 0", { workerTimeoutMs: 0 }, "workerTimeoutMs got 0, expected an integer 1..600000"],
    ["an unknown name", { thread: 1 }, 'options got "thread", expected only threads, build, wasm, workerUrl, workerTimeoutMs, maximumPages'],
    ["null", null, "options got null, expected an object"],
  ];
  test.each(rows)("%s", async (_name, options, message) => {
    const error = await rejectionOf(load(options as LoadOptions));
    expect(error.code).toBe("OPTION_RANGE");
    expect(error.message).toContain(message);
  });
});

describe("wasm may be", () => {
  const rows: [name: string, wasm: () => NonNullable<LoadOptions["wasm"]> | Promise<WebAssembly.Module>][] = [
    ["a URL", () => wasm("sparse-xent.simd")],
    ["a data URL", () => new URL(`data:application/wasm;base64,${btoa(Array.from(simd, (byte) => String.fromCharCode(byte)).join(""))}`)],
    ["a Response", () => new Response(simd)],
    ["a Uint8Array", () => new Uint8Array(simd)],
    ["an ArrayBuffer", () => new Uint8Array(simd).buffer],
    ["a Module", () => WebAssembly.compile(new Uint8Array(simd))],
  ];
  test.each(rows)("%s", async (_name, wasm) => {
    const engine = await loaded({ wasm: await wasm(), threads: 2 });
    expect(engine.info.build).toBe("simd");
    expect(lossOf(engine)).toBeCloseTo(LN_4, 6);
  });
});

describe("what cannot be loaded is LOAD_FAILED", () => {
  const rows: (readonly [name: string, options: LoadOptions, message: RegExp])[] = [
    ["a file that is not there", { wasm: wasm("absent") }, /the given wasm could not be read or compiled: .*(ENOENT|no wasm|404)/],
    ["an answer that is an error", { wasm: new Response("no", { status: 404 }) }, /answered 404/],
    ["bytes that are no wasm", { wasm: new Uint8Array(8) }, /the given wasm could not be read or compiled: CompileError/],
    ["another wasm", { wasm: Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0) }, /could not be instantiated/],
    // pages.test.ts has what browsers say of it.
    ...(browser ? [] : [["a worker file that is not there", { workerUrl: script("absent"), threads: 3 }, /a helper worker could not be started: .*absent\.js/] as const]),
  ];
  test.each(rows)("%s", async (_name, options, message) => {
    const error = await rejectionOf(load(options));
    expect(error.code).toBe("LOAD_FAILED");
    expect(error.message).toMatch(message);
    expect(error.cause).toBeDefined();
  });
});

test("a wasm of another build than the wished one is a conflict", async () => {
  const error = await rejectionOf(load({ wasm: simd, build: "relaxed" }).catch((thrown: unknown) => {
    // A host without relaxed SIMD says so before it looks at the file.
    if (isSparseXentError(thrown, "LOAD_FAILED")) expect(thrown.message).toContain("without relaxed SIMD");
    throw thrown;
  }));
  expect(["OPTION_CONFLICT", "LOAD_FAILED"]).toContain(error.code);
});

test("the shipped worker file serves as workerUrl", async () => {
  for (const workerUrl of [script("worker"), script("worker").href]) {
    const engine = await loaded({ workerUrl, threads: 3 });
    expect(lossOf(engine)).toBeCloseTo(LN_4, 6);
    const { loss } = await engine.crossEntropyAsync({ data: new Float32Array(8), shape: [2, 4] }, [0, 3]);
    expect(loss).toBeCloseTo(LN_4, 6);
  }
});

test("maximumPages bounds the memory, and refusal leaves the engine usable", async () => {
  const engine = await loaded({ maximumPages: 256, threads: 2 });
  const error = await rejectionOf(Promise.resolve().then(() => engine.tensor("u8", [15_900_000])));
  expect(error.code).toBe("OUT_OF_MEMORY");
  expect(lossOf(engine)).toBeCloseTo(LN_4, 6);
  expect(engine.info.memoryBytes).toBeLessThanOrEqual(256 * 65_536);
});

if (canShare) {
  test("threads that the memory has no room for are refused at once, with the pages that they need", async () => {
    const start = performance.now();
    const error = await rejectionOf(load({ threads: 4, maximumPages: 30 }));
    expect(performance.now() - start).toBeLessThan(5_000);
    const [, least = "0"] = /^maximumPages got 30, expected at least (\d+) for 4 threads$/.exec(error.message) ?? [];
    expect({ code: error.code, message: error.message }).toEqual({ code: "OPTION_RANGE", message: `maximumPages got 30, expected at least ${least} for 4 threads` });
    // What it asks for is enough.
    const engine = await loaded({ threads: 4, maximumPages: Number(least) });
    expect(engine.info.threads).toBe(4);
    expect(lossOf(engine)).toBeCloseTo(LN_4, 6);
    // Who did not say how many gets what there is room for.
    const auto = await loaded({ maximumPages: Number(least) - 3 * 17 });
    expect(auto.info.threads).toBe(1);
    expect(auto.info.whyOneThread).toMatch(/^(two need \d+ pages of memory, which has \d+|the machine runs one thread at a time)$/);
  });

  /** Takes all memory in pieces that get smaller, down to this size. */
  function fill(engine: Engine, least: number): Tensor[] {
    const tensors: Tensor[] = [];
    for (let bytes = 2 ** 24; bytes >= least; ) {
      try {
        tensors.push(engine.tensor("u8", [bytes]));
      } catch (error) {
        if (!isSparseXentError(error, "OUT_OF_MEMORY")) throw error;
        bytes /= 2;
      }
    }
    return tensors;
  }

  // Where this thread may not wait, the worker of asynchronous calls is there from the start.
  test.skipIf(!canBlock)("the first asynchronous call in a nearly full memory is OUT_OF_MEMORY, and works once there is room", async () => {
    const engine = await loaded({ threads: 2, maximumPages: 300 });
    const rest = fill(engine, 2 ** 19);
    const small = fill(engine, 2 ** 14);
    small.pop()?.dispose();
    const call = () => engine.crossEntropyAsync({ data: new Float32Array(8), shape: [2, 4] }, [0, 3]);
    for (let time = 0; time < 2; time++) {
      const start = performance.now();
      expect((await rejectionOf(call())).code).toBe("OUT_OF_MEMORY");
      expect(performance.now() - start).toBeLessThan(3_000);
    }
    expect(lossOf(engine)).toBeCloseTo(LN_4, 6);
    rest.splice(0, 4).forEach((tensor) => tensor.dispose());
    expect((await call()).loss).toBeCloseTo(LN_4, 6);
  });

  test("a refused call has computed nothing, however much of it was ready", async () => {
    const engine = await loaded({ threads: 1, maximumPages: 800 });
    const logits = engine.tensor("f32", [1, 1_310_720]);
    logits.view.forEach((_, at) => void (logits.view[at] = (at % 7) / 2));
    const before = logits.toArray();
    const rest = fill(engine, 2 ** 12);
    // Room for all but one result: what a call could compute with is there.
    rest.find(({ byteLength }) => byteLength === 2 ** 19)?.dispose();
    const options = { grad: logits, reduction: "none", outputs: ["logSumExp", "perClass"] } as const;
    for (const code of [(await rejectionOf(Promise.resolve().then(() => engine.crossEntropy(logits, [0], options)))).code, (await rejectionOf(engine.crossEntropyAsync(logits, [0], options))).code]) {
      expect(code).toBe("OUT_OF_MEMORY");
      expect(logits.view.every((value, at) => value === before[at])).toBe(true);
    }
    // What is wrong with a label comes first.
    expect((await rejectionOf(engine.crossEntropyAsync(logits, [-7], options))).code).toBe("LABEL_OUT_OF_RANGE");
  });
}

test("info tells threads, isolation and build", async () => {
  const one = await loaded({ threads: 1, build: "simd" });
  expect(one.info).toMatchObject({ build: "simd", threads: 1, isolated: canShare, canBlock });
  expect(one.info.whyOneThread).toMatch(canShare ? /^threads: 1 was asked for$/ : /not cross-origin isolated|no SharedArrayBuffer/);
  const two = await loaded({ threads: 2 });
  expect(two.info.threads).toBe(canShare ? 2 : 1);
  if (canShare) expect(two.info.whyOneThread).toBeUndefined();
  const auto = await loaded();
  expect(auto.info.threads).toBeGreaterThanOrEqual(1);
  expect(auto.info.threads).toBeLessThanOrEqual(16);
});
