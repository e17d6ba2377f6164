// What a host is found able to do, and which build follows: the pure half of load().
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { chooseBuild, detect, type Features, type Host } from "../ts/features.js";
import { hasRelaxed } from "./relaxed.mjs";
import { errorOf } from "./support.js";

const all: Features = { simd: true, relaxed: true, canShare: true, canBlock: true };
const notIsolated = { canShare: false, whyNotShared: expect.stringMatching(/Cross-Origin-Opener-Policy: same-origin .*Cross-Origin-Embedder-Policy: require-corp/) };
const noBuffer = { canShare: false, whyNotShared: "this host has no SharedArrayBuffer, or no way to post it" };
const notPosted = { canShare: false, whyNotShared: expect.stringContaining("this host does not post shared memory (DataCloneError: ") };

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
      { ...all, ...notIsolated, canBlock: false },
    ],
    ["a worker of a page that is not isolated", host({ crossOriginIsolated: false, SharedArrayBuffer: undefined }), { ...all, ...notIsolated }],
    ["isolated by its flag, but without SharedArrayBuffer", host({ crossOriginIsolated: true, SharedArrayBuffer: undefined }), { ...all, ...noBuffer }],
    ["SharedArrayBuffer that cannot be posted", host({ MessageChannel: RefusingChannel }), { ...all, ...notPosted }],
    ["no MessageChannel", host({ MessageChannel: undefined }), { ...all, ...noBuffer }],
    ["no wasm features", host({ WebAssembly: { validate: () => false, Memory: WebAssembly.Memory } }), { ...all, simd: false, relaxed: false }],
  ];
  test.each(cases)("%s", (_, given, expected) => {
    expect(detect(given)).toEqual(expected);
  });

  test.each(["simd", "relaxed"] as const)("%s: this host is found to be able to when it validates the file", (build) => {
    const file = readFileSync(new URL(`../dist/sparse-xent.${build}.wasm`, import.meta.url));
    expect(detect()[build]).toBe(WebAssembly.validate(file));
  });

  test("so do the tests", () => {
    expect(hasRelaxed()).toBe(detect().relaxed);
  });

  test("a process may share and wait", () => {
    expect(detect()).toMatchObject({ canShare: true, whyNotShared: undefined, canBlock: true });
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
