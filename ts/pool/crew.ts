// The workers of one engine: start them, hear when one is lost, end them all. Guarantees: a worker that cannot start takes down
// those that were started with it, and `terminate` leaves none, not even one that is still starting.
import { SparseXentError } from "../errors.js";
import { reasonOf, type Boot, type FromWorker } from "./messages.js";
import type { Platform, PoolWorker } from "./platform.js";

/** Where workers come from. */
export interface WorkerSource {
  readonly platform: Platform;
  /** The bundled worker. */
  readonly text: string;
  /** The shipped worker file, for pages that refuse the text. */
  readonly url: string | URL | undefined;
  /**
   * How long it may take until a worker is ready, or the next one of many. One that never speaks, because its script is not ours, would leave
   * `load` without an end.
   */
  readonly startLimitMs: number;
}

/** A worker that is on its way. */
interface Starting {
  fail(cause: unknown): void;
  /** Gives it the full time once more. */
  wait(): void;
}

/** All workers of one engine. */
export class Crew {
  readonly #source: WorkerSource;
  readonly #workers = new Set<PoolWorker>();
  readonly #starting = new Set<Starting>();
  #ended: SparseXentError | undefined;
  /** Called when a worker that had started is lost; set by the engine. */
  onLost: (reason: string) => void = () => {};

  constructor(source: WorkerSource) {
    this.#source = source;
  }

  /** Starts a worker and resolves when it is ready; `listen` gets what it says besides. It no longer keeps the process running then. */
  start(boot: Boot, listen: (message: FromWorker, worker: PoolWorker) => void = () => {}): Promise<PoolWorker> {
    return new Promise((resolve, reject) => {
      if (this.#ended) throw this.#ended;
      let isReady = false;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const settle = (): void => {
        clearTimeout(timer);
        this.#starting.delete(starting);
      };
      const lose = (reason: string): void => {
        if (isReady) this.onLost(reason);
        else {
          void this.#end(worker);
          starting.fail(reason);
        }
      };
      const { startLimitMs } = this.#source;
      const starting: Starting = {
        fail: (cause) => {
          settle();
          reject(cause instanceof SparseXentError ? cause : this.#cannotStart(boot.role, cause));
        },
        wait: () => {
          clearTimeout(timer);
          timer = setTimeout(() => lose(`it was not ready within ${startLimitMs / 1000} s`), startLimitMs);
        },
      };
      this.#starting.add(starting);
      starting.wait();
      let worker: PoolWorker;
      try {
        worker = this.#source.platform.startWorker(this.#source.text, this.#source.url, boot, {
          message: (message) => {
            if (this.#ended) return;
            if (message.type === "ready") {
              isReady = true;
              settle();
              for (const other of this.#starting) other.wait();
              worker.setReferenced(false);
              resolve(worker);
            } else if (message.type === "failed" || message.type === "lost") lose(message.reason);
            else listen(message, worker);
          },
          gone: (reason) => {
            if (!this.#ended) lose(reason);
          },
        });
      } catch (error) {
        return starting.fail(error);
      }
      this.#workers.add(worker);
    });
  }

  /** Starts helpers; when one fails, all of them end and the first error is thrown. */
  async startHelpers(count: number, boot: Omit<Boot, "role" | "sparseXent">): Promise<void> {
    // Settled, not just all: after the first failure the others would still be on their way, with nobody to end them.
    const results = await Promise.allSettled(Array.from({ length: count }, () => this.start({ ...boot, sparseXent: true, role: "helper" })));
    const failure = results.find((result) => result.status === "rejected");
    if (!failure) return;
    await Promise.all(results.map((result) => (result.status === "fulfilled" ? this.#end(result.value) : undefined)));
    throw failure.reason;
  }

  /** Ends every worker; those that are starting reject with `error`. Resolves when they are gone. */
  async terminate(error: SparseXentError): Promise<void> {
    this.#ended ??= error;
    for (const starting of [...this.#starting]) starting.fail(error);
    await Promise.all([...this.#workers].map((worker) => this.#end(worker)));
  }

  #end(worker: PoolWorker): Promise<void> {
    this.#workers.delete(worker);
    return worker.terminate();
  }

  #cannotStart(role: Boot["role"], cause: unknown): SparseXentError {
    const { platform, url } = this.#source;
    const message = `a ${role} worker could not be started: ${reasonOf(cause)}; ${platform.workerAdvice(url)}`;
    return new SparseXentError({ code: "LOAD_FAILED", message, cause });
  }
}
