// What the tests of the engine share: an engine per file, exact comparison, and errors as values. Imports the package by its name, so that
// the tests run against the files that ship. Imports nothing of Node: browsers run the same tests.
/// <reference types="vite/types/importMeta.d.ts" />
import { isSparseXentError, load, type Engine, type LoadOptions, type SparseXentError, type Tensor } from "sparse-xent";
import { afterAll, beforeAll, expect, inject, onTestFinished } from "vitest";

/** Where a test runs, as the vitest project says; the tests hold the engine to it. */
export interface TestHost {
  readonly browser?: "chromium" | "firefox" | "webkit";
  /** Whether the page is served with the two isolation headers. */
  readonly headers: boolean;
  /** Whether this thread may wait. */
  readonly canBlock: boolean;
}

declare module "vitest" {
  interface ProvidedContext {
    readonly host: TestHost;
  }
}

/**
 * Where these tests run. Memory can be shared with workers in every process, and in a page that is isolated if its browser has `SharedArrayBuffer`: there is
 * one that is built without.
 */
export function here(): TestHost & { readonly canShare: boolean } {
  const host = inject("host");
  return { ...host, canShare: (host.browser === undefined || host.headers) && typeof SharedArrayBuffer === "function" };
}

/** The bytes of a file of this project, from where the tests run: the disk, or the server of their page. */
export async function bytesAt(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  const files = globalThis.process?.getBuiltinModule?.("node:fs");
  return new Uint8Array(files ? files.readFileSync(url) : await (await fetch(url)).arrayBuffer());
}

/** Numbers, nested as deeply as a tensor is. */
export type Nested = number | readonly Nested[];

/** The numbers of a nested list in row-major order. */
export function flat(numbers: Nested): number[] {
  return typeof numbers === "number" ? [numbers] : numbers.flatMap(flat);
}

/** The dimensions of a nested list. */
export function shapeOf(numbers: Nested): number[] {
  return typeof numbers === "number" ? [] : [numbers.length, ...shapeOf(numbers[0] ?? 0).slice(0, numbers.length === 0 ? 0 : undefined)];
}

/** Nested numbers as f64 logits. */
export function f64(numbers: Nested): { data: Float64Array; shape: number[] } {
  return { data: Float64Array.from(flat(numbers)), shape: shapeOf(numbers) };
}

/** On a busy machine workers start late, and an engine would do without them. */
const patience = { workerTimeoutMs: 30_000 };

/** An engine for all tests of a file. */
export function useEngine(options?: LoadOptions): { readonly xent: Engine } {
  let engine: Engine | undefined;
  beforeAll(async () => {
    engine = await load({ ...patience, ...options });
  });
  afterAll(() => engine?.dispose());
  return {
    get xent() {
      if (engine === undefined) throw new Error("no engine before the tests begin");
      return engine;
    },
  };
}

/** An engine for the test that runs. It ends with the test, also if that fails or takes too long: its threads would slow down all tests that follow. */
export function loadForTest(options?: LoadOptions): Promise<Engine> {
  const loading = load({ ...patience, ...options });
  onTestFinished(() => loading.then((engine) => engine.dispose(), () => {}));
  return loading;
}

/** Compares numbers to a relative tolerance; zeros (as +0), infinities and NaN exactly. */
export function expectClose(actual: number | ArrayLike<number>, expected: Nested, relative = 1e-11): void {
  const got = typeof actual === "number" ? [actual] : Array.from(actual);
  const wanted = flat(expected);
  const agree = got.length === wanted.length && wanted.every((want, index) => isClose(got[index] ?? Number.NaN, want, relative));
  // On failure both lists are shown whole.
  if (!agree) expect({ relative, numbers: got }).toEqual({ relative, numbers: wanted });
  expect(agree).toBe(true);
}

function isClose(got: number, want: number, relative: number): boolean {
  if (want === 0 || !Number.isFinite(want)) return Object.is(got, want);
  return Math.abs(got - want) <= relative * Math.abs(want);
}

/** Whether two tensors hold the same bytes; -0 is not +0, and every NaN is itself. */
export function haveSameBits(one: Tensor, other: Tensor): boolean {
  const [a, b] = [one, other].map(({ view }) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength)) as [Uint8Array, Uint8Array];
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** The error that a function throws. */
export function errorOf(run: () => unknown): SparseXentError {
  try {
    run();
  } catch (error) {
    return checked(error);
  }
  throw new Error("nothing was thrown");
}

/** The error that a promise rejects with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<SparseXentError> {
  const outcome = await promise.then(
    () => ({ error: new Error("nothing was rejected") }),
    (error: unknown) => ({ error }),
  );
  return checked(outcome.error);
}

function checked(error: unknown): SparseXentError {
  if (!isSparseXentError(error)) throw error;
  return error;
}
