// What this host can do, and which wasm build follows from it. May import errors and probes. Both functions are pure: they read what they are
// given and keep nothing.
import { SparseXentError } from "./errors.js";
import { RELAXED, SIMD_AND_ATOMICS } from "./probes.js";

/** The two wasm files. */
export type Build = "relaxed" | "simd";

/** What was found. */
export interface Features {
  /** 128-bit SIMD, atomics and shared memory in wasm: without them there is no build. */
  readonly simd: boolean;
  /** Relaxed SIMD: the multiply-add that may fuse, and the maximum. */
  readonly relaxed: boolean;
  /** Memory can be posted to workers. In browsers: the page is cross-origin isolated. */
  readonly canShare: boolean;
  /** What stands in the way of that, and what would change it; undefined where nothing does. */
  readonly whyNotShared?: string | undefined;
  /** This thread may wait; false on a browser's main thread. */
  readonly canBlock: boolean;
}

/** The part of a global scope that is asked. */
export interface Host {
  readonly WebAssembly: { validate(bytes: Uint8Array<ArrayBuffer>): boolean; readonly Memory: typeof WebAssembly.Memory };
  readonly Atomics: { wait(words: Int32Array, index: number, value: number, timeout: number): unknown };
  readonly SharedArrayBuffer?: typeof SharedArrayBuffer | undefined;
  readonly MessageChannel?: typeof MessageChannel | undefined;
  readonly crossOriginIsolated?: boolean | undefined;
}

/** Asks a host what it can do. */
export function detect(host: Host = globalThis): Features {
  const whyNotShared = obstacleToSharing(host);
  return {
    simd: host.WebAssembly.validate(SIMD_AND_ATOMICS),
    relaxed: host.WebAssembly.validate(RELAXED),
    canShare: whyNotShared === undefined,
    whyNotShared,
    canBlock: canBlock(host),
  };
}

/** Why memory cannot be posted, if it cannot. The flag alone does not say: WebKit can be isolated without having SharedArrayBuffer. */
function obstacleToSharing(host: Host): string | undefined {
  if (host.crossOriginIsolated === false) {
    return (
      "the page is not cross-origin isolated; serve it with the headers Cross-Origin-Opener-Policy: same-origin and " +
      'Cross-Origin-Embedder-Policy: require-corp (a frame: also the page around it, which must say allow="cross-origin-isolated")'
    );
  }
  if (typeof host.SharedArrayBuffer !== "function" || !host.MessageChannel) return "this host has no SharedArrayBuffer, or no way to post it";
  const { port1, port2 } = new host.MessageChannel();
  try {
    port1.postMessage(new host.SharedArrayBuffer(1));
    return undefined;
  } catch (error) {
    return `this host does not post shared memory (${error})`;
  } finally {
    port1.close();
    port2.close();
  }
}

/** Whether waiting is allowed here. Asked by a wait of no length, since a refused wait inside wasm would be a trap. */
function canBlock(host: Host): boolean {
  try {
    // Shared memory exists in wasm even where SharedArrayBuffer is hidden.
    const shared = host.SharedArrayBuffer ? new host.SharedArrayBuffer(4) : new host.WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer;
    host.Atomics.wait(new Int32Array(shared), 0, 0, 0);
    return true;
  } catch {
    return false;
  }
}

/** The build to load: the wished one, or the fastest that this host validates. Throws `LOAD_FAILED` when there is none. */
export function chooseBuild(features: Pick<Features, "simd" | "relaxed">, wish: Build | "auto"): Build {
  if (!features.simd) {
    throw new SparseXentError({
      code: "LOAD_FAILED",
      message: "this host has no wasm with 128-bit SIMD, atomics and shared memory; the package needs all three",
    });
  }
  if (wish === "relaxed" && !features.relaxed) {
    throw new SparseXentError({
      code: "LOAD_FAILED",
      message: 'build got "relaxed" on a host without relaxed SIMD, expected "simd" or "auto"',
      got: wish,
      expected: '"simd" or "auto"',
    });
  }
  if (wish !== "auto") return wish;
  return features.relaxed ? "relaxed" : "simd";
}
