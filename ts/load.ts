/// <reference path="./pool/glue.d.ts" />
// load(): features -> build -> instance -> pool -> Engine. Together with pool/ the only code that knows wasm modules and workers.
import { initial, maximum } from "#memory-limits";
import { shipped } from "#shipped";
import { Engine } from "./engine.js";
import { SparseXentError, isSparseXentError, mismatch } from "./errors.js";
import { chooseBuild, detect, type Build } from "./features.js";
import { Crew } from "./pool/crew.js";
import { thisPlatform } from "./pool/host.js";
import { createMemory, instantiate, pagesFor, reserveStacks, workersIn, type Glue, type GlueEnvironment } from "./pool/instance.js";
import { reasonOf } from "./pool/messages.js";
import { bytesOf, type Platform } from "./pool/platform.js";
import { PoolRuntime } from "./pool/runtime.js";
// The last one: it repeats the text of the others, and a compressor sees only 32 KiB back.
import workerText from "#worker";

/** What `load` accepts. */
export interface LoadOptions {
  /**
   * Threads that work on one call, the one that waits for it included: 1 to 256, or `"auto"` (default) for what the machine has and the
   * memory holds, at most 16. Where memory cannot be shared (a page that is not cross-origin isolated), or no worker starts and `workerUrl`
   * is not given, it is 1 whatever was asked; `engine.info.threads` says, and `engine.info.whyOneThread` why.
   */
  readonly threads?: number | "auto" | undefined;
  /**
   * Which wasm: `"relaxed"` (fused multiply-add), `"simd"` (the same bits on every machine), or `"auto"` (default): `relaxed` where
   * the host has it and really fuses, else `simd`.
   */
  readonly build?: Build | "auto" | undefined;
  /**
   * The wasm itself or where to read it; default: the file beside this module, or what `sparse-xent/inline` holds. It must be of the wished build,
   * if one is wished.
   */
  readonly wasm?: URL | Response | BufferSource | WebAssembly.Module | undefined;
  /** Address of the shipped `worker.js`, for pages whose content security policy refuses workers made from text. */
  readonly workerUrl?: string | URL | undefined;
  /**
   * How long it may take until a worker has started, or the next one of many, in milliseconds: 1 to 600 000; default 5000. One whose script
   * is another than this package's never answers.
   */
  readonly workerTimeoutMs?: number | undefined;
  /**
   * The most the memory may grow to, in pages of 64 KiB; default 65 536 (4 GiB), or less where the host refuses to reserve that much address
   * space. A page with many engines at once should set less: WebKit granted 15 memories of 4 GiB on a machine of 23 GiB, Chromium 124.
   * Each thread but the first needs 17 pages.
   */
  readonly maximumPages?: number | undefined;
}

const OPTION_NAMES = ["threads", "build", "wasm", "workerUrl", "workerTimeoutMs", "maximumPages"];
const MOST_THREADS = 256;
const WORKER_TIMEOUT_MS = 5_000;
const MOST_WORKER_TIMEOUT_MS = 600_000;
/** Beyond this, threads of one machine share the memory's bandwidth, which is what a loss over large logits waits for. */
const MOST_AUTO_THREADS = 16;

/** Key of an engine's test hook; see `PoolRuntime.injectFault`. Registered, so that tests of the shipped files can name it. */
const faultHook = Symbol.for("sparse-xent.injectFault");

/**
 * Loads an engine: chooses a build, compiles it, starts its threads.
 *
 * Every call gives an independent engine with a memory and threads of its own; dispose of it when it is no longer needed. Its threads
 * do not keep a Node process running.
 *
 * @param options see {@link LoadOptions}; nothing is required
 * @returns the engine
 * @throws {@link SparseXentError} `OPTION_RANGE`, `OPTION_CONFLICT`; `LOAD_FAILED` when the host lacks wasm SIMD or atomics, or the wasm
 * or a worker could not be read or started; `OUT_OF_MEMORY` when no memory could be reserved
 *
 * @example
 * ```ts
 * const xent = await load({ threads: 4 });
 * console.log(xent.info.build, xent.info.threads); // relaxed 4
 * xent.dispose();
 * ```
 */
export async function load(options: LoadOptions = {}): Promise<Engine> {
  const wishes = checked(options);
  const platform = thisPlatform();
  const features = detect();
  const build = chooseBuild(features, wishes.build);
  const crewHere = (): Crew => new Crew({ platform, text: workerText, url: wishes.workerUrl, startLimitMs: wishes.workerTimeoutMs });
  const auto = wishes.wasm === undefined && wishes.build === "auto";
  let parts = await instance(await moduleOf(wishes.wasm, build, platform), wishes.maximumPages, crewHere());
  // Relaxed instructions may be carried out unfused, by calls of a library or step by step: then the other build is the faster one.
  if (auto && build === "relaxed" && !parts.glue.is_fused()) {
    parts = await instance(await moduleOf(undefined, "simd", platform), wishes.maximumPages, crewHere());
  }
  const found = parts.glue.build_name() as Build;
  if (wishes.build !== "auto" && found !== wishes.build) {
    throw new SparseXentError({ code: "OPTION_CONFLICT", message: `wasm got the build ${found}, expected ${wishes.build}, which the option build asks for`, got: found });
  }
  const { canBlock, whyNotShared = platform.whyNoWorkers } = features;
  const canShare = whyNotShared === undefined;
  const { threads, whyAlone } = threadsOf(wishes.threads, platform.parallelism(), parts.maximumPages, { canShare, canBlock });
  const info = { build: found, threads, whyOneThread: whyNotShared ?? whyAlone, isolated: canShare, canBlock };
  // Who names no worker file is better served by one thread than by an error.
  const canDoWithoutWorkers = wishes.workerUrl === undefined;
  const runtime = await PoolRuntime.start({ ...parts, canDoWithoutWorkers, info }).catch(async (error: unknown) => {
    if (!canDoWithoutWorkers || !isSparseXentError(error, "LOAD_FAILED")) throw error;
    const alone = { ...info, threads: 1, whyOneThread: error.message, isolated: false };
    // The first instance has half a pool.
    return PoolRuntime.start({ ...(await instance(parts.module, wishes.maximumPages, crewHere())), canDoWithoutWorkers, info: alone });
  });
  const engine = new Engine(runtime);
  Object.defineProperty(engine, faultHook, { value: runtime.injectFault.bind(runtime) });
  return engine;
}

/**
 * How many threads there shall be, and why one if it is one; errors `OPTION_RANGE` where the memory has no room for those that were asked for.
 * All but the first are workers, and where this thread may not wait there is one more.
 */
function threadsOf(wish: number | "auto", parallelism: number, pages: number, { canShare, canBlock }: { canShare: boolean; canBlock: boolean }) {
  const besides = canBlock ? 1 : 0;
  if (wish === "auto") {
    const most = Math.min(parallelism, MOST_AUTO_THREADS);
    const threads = canShare ? Math.min(most, workersIn(pages, initial) + besides) : 1;
    if (threads > 1) return { threads };
    const whyAlone = most === 1 ? "the machine runs one thread at a time" : `two need ${pagesFor(2 - besides, initial)} pages of memory, which has ${pages}`;
    return { threads: 1, whyAlone };
  }
  if (wish === 1 || !canShare) return { threads: 1, whyAlone: "threads: 1 was asked for" };
  const least = pagesFor(wish - besides, initial);
  if (pages < least) throw mismatch("OPTION_RANGE", "maximumPages", pages, `at least ${least} for ${wish} threads`);
  return { threads: wish };
}

/** An instance over a memory of its own, whose pool would get its helpers from `crew`. */
async function instance(module: WebAssembly.Module, maximumPages: number, crew: Crew) {
  const startWorkers: GlueEnvironment["startWorkers"] = async (_module, poolMemory, builder) => {
    reserveStacks(glue, builder.numThreads());
    await crew.startHelpers(builder.numThreads(), { module, memory: poolMemory, receiver: builder.receiver() });
    builder.build();
    builder.free();
  };
  const { memory, maximumPages: granted } = createMemory(initial, maximumPages);
  let glue: Glue;
  try {
    glue = instantiate(module, memory, startWorkers);
  } catch (cause) {
    throw new SparseXentError({ code: "LOAD_FAILED", message: `the wasm could not be instantiated: ${reasonOf(cause)}`, cause });
  }
  return { glue, module, memory, maximumPages: granted, crew };
}

/** The compiled builds. Modules are immutable and serve any number of engines. */
const compiled = new Map<Build, Promise<WebAssembly.Module>>();

async function moduleOf(wasm: LoadOptions["wasm"], build: Build, platform: Platform): Promise<WebAssembly.Module> {
  if (wasm === undefined) return shippedModule(build, platform);
  try {
    if (isA<WebAssembly.Module>(wasm, "WebAssembly.Module")) return wasm;
    if (isA<URL>(wasm, "URL")) return await WebAssembly.compile(await platform.read(wasm));
    if (isA<Response>(wasm, "Response")) return await WebAssembly.compile(await bytesOf(wasm));
    return await WebAssembly.compile(wasm);
  } catch (cause) {
    throw new SparseXentError({ code: "LOAD_FAILED", message: `the given wasm could not be read or compiled: ${reasonOf(cause)}`, cause });
  }
}

async function shippedModule(build: Build, platform: Platform): Promise<WebAssembly.Module> {
  const failed = (what: string, advice: string) => (cause: unknown) => {
    const message = `sparse-xent.${build}.wasm could not be ${what}: ${reasonOf(cause)}; ${advice}`;
    throw new SparseXentError({ code: "LOAD_FAILED", message, cause });
  };
  let module = compiled.get(build);
  if (!module) {
    module = shipped
      .read(build, platform)
      .catch(failed("read", shipped.advice))
      .then((bytes) => WebAssembly.compile(bytes).catch(failed("compiled", "a content security policy must have 'wasm-unsafe-eval' in script-src")));
    compiled.set(build, module);
    // A network that failed once may answer the next time.
    module.catch(() => compiled.delete(build));
  }
  return module;
}

/** By tag and not by class: the value may come from another realm. */
function isA<T>(value: unknown, tag: string): value is T {
  return Object.prototype.toString.call(value) === `[object ${tag}]`;
}

function isWasmSource(value: unknown): boolean {
  return ArrayBuffer.isView(value) || ["ArrayBuffer", "URL", "Response", "WebAssembly.Module"].some((tag) => isA(value, tag));
}

function isInteger(value: unknown, least: number, most: number): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

/** Options with their defaults, or `OPTION_RANGE`. */
function checked(options: LoadOptions) {
  if (typeof options !== "object" || options === null) throw mismatch("OPTION_RANGE", "options", options, "an object");
  for (const name of Object.keys(options)) {
    if (!OPTION_NAMES.includes(name)) throw mismatch("OPTION_RANGE", "options", name, `only ${OPTION_NAMES.join(", ")}`);
  }
  const { threads = "auto", build = "auto", wasm, workerUrl, workerTimeoutMs = WORKER_TIMEOUT_MS, maximumPages = maximum } = options;
  if (threads !== "auto" && !isInteger(threads, 1, MOST_THREADS)) {
    throw mismatch("OPTION_RANGE", "threads", threads, `an integer 1..${MOST_THREADS} or "auto"`);
  }
  if (!["auto", "relaxed", "simd"].includes(build)) throw mismatch("OPTION_RANGE", "build", build, '"auto", "relaxed" or "simd"');
  if (wasm !== undefined && !isWasmSource(wasm)) throw mismatch("OPTION_RANGE", "wasm", wasm, "a URL, Response, BufferSource or WebAssembly.Module");
  if (workerUrl !== undefined && typeof workerUrl !== "string" && !isA<URL>(workerUrl, "URL")) {
    throw mismatch("OPTION_RANGE", "workerUrl", workerUrl, "a URL or its text");
  }
  if (!isInteger(workerTimeoutMs, 1, MOST_WORKER_TIMEOUT_MS)) {
    throw mismatch("OPTION_RANGE", "workerTimeoutMs", workerTimeoutMs, `an integer 1..${MOST_WORKER_TIMEOUT_MS}`);
  }
  if (!isInteger(maximumPages, initial, maximum)) {
    throw mismatch("OPTION_RANGE", "maximumPages", maximumPages, `an integer ${initial}..${maximum}`);
  }
  return { threads, build, wasm, workerUrl, workerTimeoutMs, maximumPages };
}
