// One living engine below its surface: an instance, its workers, and the rules by which it dies. Knows calls by their block's
// address only. Guarantees: after a thread of it is lost, or after dispose, it never answers again and leaves no worker behind; every
// pending call is settled.
import { callCodes, isSparseXentError, SparseXentError } from "../errors.js";
import type { Crew } from "./crew.js";
import { loadPoison, poison, reserveStacks, storePoison, takeTicket, type Glue } from "./instance.js";
import { CALLED_OFF, reasonOf, type FromWorker, type ToCoordinator } from "./messages.js";
import type { PoolWorker } from "./platform.js";

/** What an engine's surface needs of it. */
export interface Runtime {
  /** The allocator and the version. After the engine's end `free` does nothing, `used_bytes` is 0 and `alloc` throws. */
  readonly wasm: {
    alloc(bytes: number): number;
    free(address: number, bytes: number): void;
    used_bytes(): number;
    version(): string;
    /** Where the module has words for one call at a time. */
    readonly block: number;
  };
  /** The shared memory. Throws `DISPOSED` after `dispose`; stays readable when a thread was lost. */
  readonly memory: WebAssembly.Memory;
  readonly info: RuntimeInfo;
  /** What the memory can grow to, in bytes. */
  readonly maximumBytes: number;
  /** Threads that a synchronous call may use in this thread: 1 where it must never wait. */
  readonly syncThreads: number;
  /** Runs a call block here and returns its code. Throws `ENGINE_LOST` when the engine is dead or dies of it. */
  run(block: number): number;
  /** The code that a call block would have if nothing were wrong but its options, labels and weights. Nothing is computed or written. */
  judge(block: number): number;
  /**
   * Runs a call block on the coordinator. Rejects with `ENGINE_LOST`, with `DISPOSED` when the engine was disposed meanwhile, and with
   * `OUT_OF_MEMORY` when there is no room to start the coordinator: the next call tries again. `ticket`: the address of a 32-bit word that is 0
   * until the call begins or is called off.
   */
  runAsync(block: number, ticket: number): Promise<number>;
  /** Calls a call off that has not begun: true if it never will. */
  callOff(ticket: number): boolean;
  /** Ends every worker and rejects pending calls. Resolves when the workers are gone. Harmless when repeated. */
  dispose(): Promise<void>;
}

/** How an engine runs where it runs. */
export interface RuntimeInfo {
  readonly build: "relaxed" | "simd";
  /** Threads that work on one call, the one that waits for it included. */
  readonly threads: number;
  /** Why that is one, if it is. */
  readonly whyOneThread: string | undefined;
  /** Whether memory can be shared with workers here. */
  readonly isolated: boolean;
  /** Whether the thread that loaded the engine may wait. */
  readonly canBlock: boolean;
}

/** What `PoolRuntime.start` puts together. */
export interface RuntimeParts {
  readonly glue: Glue;
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly maximumPages: number;
  readonly crew: Crew;
  /** Whether asynchronous calls run here when the worker for them cannot be started. */
  readonly canDoWithoutWorkers: boolean;
  readonly info: RuntimeInfo;
}

/** The code of a call that found the pool lost. */
const ENGINE_LOST = callCodes.indexOf("ENGINE_LOST");

/** How it ended: what every later use throws. */
interface Ending {
  readonly code: "ENGINE_LOST" | "DISPOSED";
  readonly message: string;
  readonly cause?: unknown;
}

interface Pending {
  resolve(code: number): void;
  reject(error: SparseXentError): void;
}

/** A turn of the event loop. By a message: browsers hold a timer that follows others back for 4 ms. */
function nextTurn(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

/** The runtime over wasm-bindgen's glue and workers of this host. */
export class PoolRuntime implements Runtime {
  readonly wasm: Runtime["wasm"];
  readonly info: RuntimeInfo;
  readonly maximumBytes: number;
  readonly syncThreads: number;
  readonly #module: WebAssembly.Module;
  readonly #crew: Crew;
  readonly #control: number;
  /** Whether an asynchronous call is for the coordinator. */
  #hasCoordinator: boolean;
  readonly #canDoWithoutWorkers: boolean;
  readonly #pending = new Map<number, Pending>();
  #glue: Glue | undefined;
  #memory: WebAssembly.Memory | undefined;
  #coordinator: Promise<PoolWorker> | undefined;
  #ending: Ending | undefined;
  #gone: Promise<void> | undefined;
  #lastId = 0;
  /** When the last of the asynchronous calls that run on this thread has its turn. */
  #lastTurn: Promise<void> = Promise.resolve();

  private constructor({ glue, module, memory, maximumPages, crew, canDoWithoutWorkers, info }: RuntimeParts) {
    this.#glue = glue;
    this.#module = module;
    this.#memory = memory;
    this.#crew = crew;
    this.#control = glue.control();
    this.#hasCoordinator = info.isolated;
    this.#canDoWithoutWorkers = canDoWithoutWorkers;
    this.info = info;
    this.maximumBytes = maximumPages * 65_536;
    this.syncThreads = info.canBlock ? info.threads : 1;
    const version = glue.version();
    const block = glue.block();
    this.wasm = {
      alloc: (bytes) => this.#guard((alive) => alive.alloc(bytes)),
      free: (address, bytes) => {
        if (!this.#ending) this.#guard((alive) => (alive.free(address, bytes), 0));
      },
      used_bytes: () => (this.#ending ? 0 : this.#guard((alive) => alive.used_bytes())),
      version: () => version,
      block,
    };
    crew.onLost = (reason) => void this.#lose(reason);
  }

  /** Starts the workers that must exist before the first call, and gives the engine its life. */
  static async start(parts: RuntimeParts): Promise<PoolRuntime> {
    const runtime = new PoolRuntime(parts);
    const { threads, canBlock } = parts.info;
    try {
      // The pool is built by a thread that may wait: this one, or the coordinator, which is then needed for every threaded call.
      if (threads > 1 && canBlock) await parts.glue.initThreadPool(threads - 1);
      else if (threads > 1) await runtime.#startCoordinator(threads - 1);
    } catch (error) {
      await runtime.dispose();
      throw error;
    }
    return runtime;
  }

  get memory(): WebAssembly.Memory {
    if (this.#memory) return this.#memory;
    throw this.#error();
  }

  run(block: number): number {
    return this.#call((alive) => alive.run(block));
  }

  judge(block: number): number {
    return this.#call((alive) => alive.judge(block));
  }

  runAsync(block: number, ticket: number): Promise<number> {
    return this.#callAsync(
      (id) => ({ type: "run", id, block, ticket }),
      () => (takeTicket(this.memory, ticket) ? this.run(block) : CALLED_OFF),
    );
  }

  callOff(ticket: number): boolean {
    return this.#memory !== undefined && takeTicket(this.#memory, ticket);
  }

  /** For the fault tests: what `inject_fault` of crate/js/pool.rs says, in a call on all threads, or with a value of its own. */
  injectFault(kind: number, how: "sync" | "async", value?: number): number | Promise<number> {
    const { threads } = this.info;
    const here = (): number => this.#call((alive) => alive.inject_fault(kind, value ?? this.syncThreads));
    return how === "sync" ? here() : this.#callAsync((id) => ({ type: "fault", id, kind, threads }), here);
  }

  dispose(): Promise<void> {
    if (this.#ending?.code !== "DISPOSED") {
      this.#end({ code: "DISPOSED", message: "engine was disposed" }, poison.disposed);
      this.#glue = undefined;
      this.#memory = undefined;
      this.#coordinator = undefined;
    }
    return this.#gone ?? Promise.resolve();
  }

  /** Runs a call that answers with a code. */
  #call(use: (alive: Glue) => number): number {
    return this.#accept(this.#guard(use));
  }

  /** Passes a code on, unless it says that the pool is lost. */
  #accept(code: number): number {
    if (code === ENGINE_LOST) throw this.#lose("its pool is poisoned");
    return code;
  }

  /** Enters the wasm. Whatever is thrown in there has left it half-way: that is the engine's end. */
  #guard(use: (alive: Glue) => number): number {
    if (this.#ending || !this.#glue) throw this.#error();
    try {
      return use(this.#glue);
    } catch (error) {
      throw this.#lose(reasonOf(error), error);
    }
  }

  async #callAsync(message: (id: number) => ToCoordinator, here: () => number): Promise<number> {
    if (this.#ending) throw this.#error();
    const coordinator = this.#hasCoordinator ? await this.#coordinatorIfAny() : undefined;
    if (coordinator === undefined) {
      // No worker can see the memory: the call runs here, after a turn of the event loop, and after those that were begun before it.
      this.#lastTurn = this.#lastTurn.then(nextTurn);
      await this.#lastTurn;
      return here();
    }
    if (this.#ending) throw this.#error();
    const code = await new Promise<number>((resolve, reject) => {
      const id = ++this.#lastId;
      this.#pending.set(id, { resolve, reject });
      // A process must not end under the caller's await.
      coordinator.setReferenced(true);
      coordinator.post(message(id));
    });
    return this.#accept(code);
  }

  /** The coordinator, started at the first need; nothing where it cannot be started and need not be. */
  #coordinatorIfAny(): Promise<PoolWorker | undefined> {
    return (this.#coordinator ?? this.#startCoordinator(0)).catch((error: unknown) => {
      if (!this.#canDoWithoutWorkers || this.#ending || !isSparseXentError(error, "LOAD_FAILED")) throw error;
      this.#hasCoordinator = false;
      return undefined;
    });
  }

  /** Starts the coordinator; with `helpers`, it builds the pool too. A failed start is forgotten, so that the next call tries again. */
  #startCoordinator(helpers: number): Promise<PoolWorker> {
    const module = this.#module;
    reserveStacks({ reserve_stacks: (count, bytes) => this.#guard((alive) => Number(alive.reserve_stacks(count, bytes))) === 1 }, helpers + 1);
    const starting = this.#crew.start({ module, memory: this.memory, sparseXent: true, role: "coordinator", helpers }, (message, worker) => {
      if (message.type === "done") this.#settle(message, worker);
      else if (message.type === "spawn") {
        // Asked for again: who kept the memory here would keep it beyond the engine.
        this.#crew.startHelpers(message.helpers, { module, memory: this.memory, receiver: message.receiver }).then(
          () => worker.post({ type: "spawned" }),
          (error: SparseXentError) => void this.#crew.terminate(error),
        );
      }
    });
    this.#coordinator = starting;
    starting.catch(() => {
      if (this.#coordinator === starting) this.#coordinator = undefined;
    });
    return starting;
  }

  #settle({ id, code }: Extract<FromWorker, { type: "done" }>, coordinator: PoolWorker): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) coordinator.setReferenced(false);
    pending?.resolve(code);
  }

  /** Buries the engine because of a lost thread and returns what to throw. */
  #lose(reason: string, cause?: unknown): SparseXentError {
    if (!this.#ending) {
      const stored = this.#memory ? loadPoison(this.#memory, this.#control) : 0;
      const why = stored === poison.stalled ? "a helper finished nothing for two seconds" : reason;
      const message = `the engine was lost with one of its threads (${why}); load() starts another`;
      this.#end({ code: "ENGINE_LOST", message, cause }, poison.trapped);
    }
    return this.#error();
  }

  #end(ending: Ending, word: number): void {
    this.#ending = ending;
    if (this.#memory) storePoison(this.#memory, this.#control, word);
    const error = this.#error();
    this.#gone = this.#crew.terminate(error);
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #error(): SparseXentError {
    return new SparseXentError(this.#ending ?? { code: "DISPOSED", message: "engine was disposed" });
  }
}
