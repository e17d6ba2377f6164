/// <reference path="./glue.d.ts" />
// One instance of the wasm in this thread: the memory, the glue over it, the poison word in it. May import the glue and errors.
// Guarantees: every instance over one memory sees the same poison.
import { createGlue } from "#glue";
import { SparseXentError } from "../errors.js";

/** What the glue asks of its surroundings. */
export interface GlueEnvironment {
  /** Called by `initThreadPool`: start as many threads as the builder says, then build. */
  readonly startWorkers: (module: WebAssembly.Module, memory: WebAssembly.Memory, builder: PoolBuilder) => Promise<void>;
}

/** wasm-bindgen-rayon's half-built pool. */
export interface PoolBuilder {
  numThreads(): number;
  /** Address at which a thread finds what it shall run. */
  receiver(): number;
  /** Waits until every thread has taken its part, so only a thread that may wait can call it. */
  build(): void;
  /** To be called by hand after `build`: a finalizer would call into an instance that may be gone by then. */
  free(): void;
}

/** The exports of the wasm. */
export interface Glue {
  initSync(parts: { module: WebAssembly.Module; memory: WebAssembly.Memory; thread_stack_size?: number }): unknown;
  initThreadPool(helpers: number): Promise<void>;
  wbg_rayon_start_worker(receiver: number): void;
  version(): string;
  build_name(): string;
  is_fused(): boolean;
  alloc(bytes: number): number;
  free(address: number, bytes: number): void;
  used_bytes(): number;
  /** Where the module has words for one call at a time. */
  block(): number;
  run(block: number): number;
  /** What `run` would return if nothing were wrong but options, labels and weights. */
  judge(block: number): number;
  /** Sets stacks aside for threads that are to start; whether there was room for all. */
  reserve_stacks(count: number, bytes: number): boolean;
  control(): number;
  inject_fault(kind: number, threads: number): number;
}

/** Values of the poison word that JavaScript stores; the crate stores 2 for a stalled helper. Any value but 0 is death. */
export const poison = { trapped: 1, stalled: 2, disposed: 3 } as const;

/** Stack of every thread but the first, in bytes; a multiple of the page size. Overflowing it is not caught, so blocks keep to small frames. */
const STACK_BYTES = 1 << 20;
const PAGE_BYTES = 65_536;
/** Pages that one more thread takes: its stack, and a page for what else it has. */
const THREAD_PAGES = STACK_BYTES / PAGE_BYTES + 1;
/** Pages that a pool takes besides. */
const POOL_PAGES = 2;

/** Pages that an engine with so many workers needs before its first call, `initial` being those of the wasm itself. */
export function pagesFor(workers: number, initial: number): number {
  return workers === 0 ? initial : initial + POOL_PAGES + workers * THREAD_PAGES;
}

/** The most workers that so many pages have room for. */
export function workersIn(pages: number, initial: number): number {
  return Math.max(0, Math.floor((pages - initial - POOL_PAGES) / THREAD_PAGES));
}

/** Sets the stacks of threads aside, or errors `OUT_OF_MEMORY`. In the middle of a thread's start it would be too late: no thread could start any more. */
export function reserveStacks(glue: Pick<Glue, "reserve_stacks">, count: number): void {
  if (glue.reserve_stacks(count, STACK_BYTES)) return;
  const got = count * STACK_BYTES;
  const whose = count === 1 ? "the stack of a thread needs" : `the stacks of ${count} threads need`;
  const message = `${whose} ${got} bytes, for which there is no room in the engine's memory`;
  throw new SparseXentError({ code: "OUT_OF_MEMORY", message, got });
}

/** Instantiates the wasm over a memory. The first instance over a memory owns the linker's stack, later ones get one of their own. */
export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  startWorkers: GlueEnvironment["startWorkers"],
): Glue {
  const glue = createGlue({ startWorkers });
  glue.initSync({ module, memory, thread_stack_size: STACK_BYTES });
  return glue;
}

/** For instances that never build a pool. */
export function noWorkers(): Promise<void> {
  return Promise.reject(new Error("this thread builds no pool"));
}

/** The word at an address: `control()`, or a ticket. */
function word(memory: WebAssembly.Memory, address: number): Int32Array {
  return new Int32Array(memory.buffer, address, 1);
}

/** Marks the pool of this memory as lost, unless it is already. */
export function storePoison(memory: WebAssembly.Memory, address: number, value: number): void {
  Atomics.compareExchange(word(memory, address), 0, 0, value);
}

/** Why the pool is lost; 0 when it is not. */
export function loadPoison(memory: WebAssembly.Memory, address: number): number {
  return Atomics.load(word(memory, address), 0);
}

/** Takes the ticket at this address; true for the first who does, in whichever thread. */
export function takeTicket(memory: WebAssembly.Memory, address: number): boolean {
  return Atomics.compareExchange(word(memory, address), 0, 0, 1) === 0;
}

/** Page counts to try, largest first: 4 GiB where the address space allows it, less under a limit on it. */
const STEPS = [65_536, 32_768, 16_384, 8_192, 4_096];

/** A shared memory, as large as wished or as the host grants, and its maximum in pages. */
export function createMemory(initial: number, maximum: number): { memory: WebAssembly.Memory; maximumPages: number } {
  let refusal: unknown;
  for (const pages of [maximum, ...STEPS.filter((step) => step < maximum && step >= initial)]) {
    try {
      return { memory: new WebAssembly.Memory({ initial, maximum: pages, shared: true }), maximumPages: pages };
    } catch (error) {
      // Only a refused reservation is worth a smaller try.
      if (!(error instanceof RangeError)) throw error;
      refusal = error;
    }
  }
  const expected =
    "address space for them: V8 reserves about 10 GiB for each memory, however small it is; a limit (ulimit -v) may stand in the way, " +
    "or the memories of engines that were not disposed of";
  throw new SparseXentError({
    code: "OUT_OF_MEMORY",
    message: `the engine's memory got ${initial} pages of 64 KiB refused, expected ${expected}`,
    got: initial * PAGE_BYTES,
    expected,
    cause: refusal,
  });
}
