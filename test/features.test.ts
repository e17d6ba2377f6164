// What a host is found able to do, and which build follows: the pure half of load(). Then load() itself against what it is given.
import { readFile } from "node:fs/promises";
import { load, type LoadOptions } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { chooseBuild, detect, type Features, type Host } from "../ts/features.js";
import { errorOf, rejectionOf } from "./support.js";

const all: Features = { simd: true, relaxed: true, canShare: true, canBlock: true };

class RefusingChannel extends MessageChannel {
  constructor() {
    super();
    this.port1.postMessage = () => {
      throw new DOMException("SharedArrayBuffer transfer requires self.crossOriginIsolated", "DataCloneError");
    };
  }
}

/** A host like this one, which validates every wasm, apart from what is given. */
function host(parts: Partial<Host>): Host {
  return { WebAssembly: { validate: () => true, Memory: WebAssembly.Memory }, Atomics, SharedArrayBuffer, MessageChannel, ...parts };
}

const cannotWait = {
  wait(): never {
    throw new TypeError("Atomics.wait cannot be called in this context");
  },
};

describe("detect", () => {
  const cases: readonly (readonly [name: string, host: Host, expected: Features])[] = [
    ["Node", host({}), all],
    ["an isolated page", host({ crossOriginIsolated: true, Atomics: cannotWait }), { ...all, canBlock: false }],
    ["a worker of an isolated page", host({ crossOriginIsolated: true }), all],
    [
      "a page that is not isolated",
      host({ crossOriginIsolated: false, SharedArrayBuffer: undefined, Atomics: cannotWait }),
      { ...all, canShare: false, canBlock: false },
    ],
    ["a worker of a page that is not isolated", host({ crossOriginIsolated: false, SharedArrayBuffer: undefined }), { ...all, canShare: false }],
    ["isolated by its flag, but without SharedArrayBuffer", host({ crossOriginIsolated: true, SharedArrayBuffer: undefined }), { ...all, canShare: false }],
    ["SharedArrayBuffer that cannot be posted", host({ MessageChannel: RefusingChannel }), { ...all, canShare: false }],
    ["no MessageChannel", host({ MessageChannel: undefined }), { ...all, canShare: false }],
    ["no wasm features", host({ WebAssembly: { validate: () => false, Memory: WebAssembly.Memory } }), { ...all, simd: false, relaxed: false }],
  ];
  test.each(cases)("%s", (_, given, expected) => {
    expect(detect(given)).toEqual(expected);
  });

  test("the probes are modules: this host validates them as its version says", () => {
    const major = Number(process.versions.node.split(".")[0]);
    const relaxed = major >= 22 || process.execArgv.includes("--experimental-wasm-relaxed-simd");
    expect(detect()).toEqual({ ...all, relaxed });
  });
});

describe("chooseBuild", () => {
  test.each([
    [true, true, "auto", "relaxed"],
    [true, false, "auto", "simd"],
    [true, true, "simd", "simd"],
    [true, false, "simd", "simd"],
    [true, true, "relaxed", "relaxed"],
  ] as const)("simd %s, relaxed %s, wished %s: %s", (simd, relaxed, wish, expected) => {
    expect(chooseBuild({ simd, relaxed }, wish)).toBe(expected);
  });

  test.each([
    [false, false, "auto"],
    [false, false, "simd"],
    [false, true, "relaxed"],
    [true, false, "relaxed"],
  ] as const)("simd %s, relaxed %s, wished %s: LOAD_FAILED", (simd, relaxed, wish) => {
    expect(errorOf(() => chooseBuild({ simd, relaxed }, wish)).code).toBe("LOAD_FAILED");
  });
});

const wasmUrl = new URL("../dist/sparse-xent.simd.wasm", import.meta.url);

describe("load", () => {
  test.each<readonly [name: string, options: unknown, code: string]>([
    ["options that are no object", 4, "OPTION_RANGE"],
    ["an unknown option", { thread: 4 }, "OPTION_RANGE"],
    ["no threads", { threads: 0 }, "OPTION_RANGE"],
    ["half a thread", { threads: 1.5 }, "OPTION_RANGE"],
    ["too many threads", { threads: 257 }, "OPTION_RANGE"],
    ["an unknown build", { build: "sse" }, "OPTION_RANGE"],
    ["wasm as text", { wasm: "x.wasm" }, "OPTION_RANGE"],
    ["a number for an address", { workerUrl: 1 }, "OPTION_RANGE"],
    ["less memory than the module has", { maximumPages: 1 }, "OPTION_RANGE"],
    ["more memory than 4 GiB", { maximumPages: 65_537 }, "OPTION_RANGE"],
    ["wasm of another build than wished", { wasm: new URL("../dist/sparse-xent.relaxed.wasm", import.meta.url), build: "simd" }, "OPTION_CONFLICT"],
    ["bytes that are no wasm", { wasm: new Uint8Array(8) }, "LOAD_FAILED"],
    ["a file that is not there", { wasm: new URL("file:///nowhere/x.wasm") }, "LOAD_FAILED"],
    ["a response that failed", { wasm: new Response("gone", { status: 404 }) }, "LOAD_FAILED"],
    ["another module", { wasm: new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)) }, "LOAD_FAILED"],
    ["a worker that is not there", { threads: 2, workerUrl: "file:///nowhere/worker.js" }, "LOAD_FAILED"],
  ])("%s: rejected", async (_, options, code) => {
    // On a host without relaxed SIMD a relaxed module does not compile, which comes first.
    const expected = code === "OPTION_CONFLICT" && !detect().relaxed ? "LOAD_FAILED" : code;
    expect((await rejectionOf(load(options as LoadOptions))).code).toBe(expected);
  });

  const sources: readonly (readonly [name: string, wasm: () => Promise<LoadOptions["wasm"]>])[] = [
    ["an address", async () => wasmUrl],
    ["bytes", async () => readFile(wasmUrl)],
    ["a buffer", async () => new Uint8Array(await readFile(wasmUrl)).buffer],
    ["a response", async () => new Response(await readFile(wasmUrl))],
    ["a module", async () => WebAssembly.compile(await readFile(wasmUrl))],
  ];
  test.each(sources)("wasm from %s", async (_, wasm) => {
    const xent = await load({ threads: 1, wasm: await wasm() });
    expect(xent.info).toMatchObject({ build: "simd", threads: 1 });
    await xent.dispose();
  });

  test("workers from the shipped file", async () => {
    const xent = await load({ threads: 3, workerUrl: new URL("../dist/worker.js", import.meta.url) });
    const { loss } = await xent.crossEntropyAsync(new Float32Array(8), [0, 1], { shape: [2, 4] });
    expect([xent.info.threads, loss]).toEqual([3, Math.log(4)].map((number) => expect.closeTo(number, 6) as number));
    await xent.dispose();
  });

  test("a small maximumPages bounds the memory, and the engine survives the refusal", async () => {
    const xent = await load({ threads: 1, maximumPages: 64 });
    expect(errorOf(() => xent.tensor("f32", [2 ** 20])).code).toMatch(/^(SIZE|OUT_OF_MEMORY)$/);
    expect(xent.tensor("f32", [4]).length).toBe(4);
    await xent.dispose();
  });
});
