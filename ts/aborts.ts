// Calls that a signal may end. Imports errors.
// Guarantees: a signal has one listener for all calls of an engine that stand by it (Node warns of the eleventh), and none once they are over.
import { aborted } from "./errors.js";

/** The calls that one signal may end. */
interface Watch {
  readonly ends: Set<() => void>;
  readonly fire: () => void;
}

/** The calls of one engine, by the signals that may end them. */
export class Aborts {
  readonly #watches = new Map<AbortSignal, Watch>();

  /** Settles as the promise of `begin` does, or rejects at once when the signal fires and `callOff` says that the call will never run. */
  race<T>(signal: AbortSignal, begin: () => Promise<T>, callOff: () => boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      // First the signal: if it cannot be listened to, nothing has begun.
      const leave = this.#watch(signal, () => {
        if (callOff()) reject(aborted(signal));
      });
      begin().finally(leave).then(resolve, reject);
    });
  }

  /** Has `end` called when the signal fires; returns how to undo that. */
  #watch(signal: AbortSignal, end: () => void): () => void {
    let watch = this.#watches.get(signal);
    if (watch === undefined) {
      const ends = new Set<() => void>();
      watch = { ends, fire: () => ends.forEach((each) => each()) };
      signal.addEventListener("abort", watch.fire);
      this.#watches.set(signal, watch);
    }
    const { ends, fire } = watch;
    ends.add(end);
    return () => {
      ends.delete(end);
      if (ends.size > 0) return;
      this.#watches.delete(signal);
      signal.removeEventListener("abort", fire);
    };
  }
}
