// Whether wasm may wait in this thread, asked of the instruction itself; and whether a parallel call was really shared.
import { isSparseXentError, type Engine, type SparseXentError } from "sparse-xent";

// (memory 1 1 shared) (func (export "wait") (result i32) (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0)))
const waiting = Uint8Array.of(
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
  0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7f,
  0x03, 0x02, 0x01, 0x00,
  0x05, 0x04, 0x01, 0x03, 0x01, 0x01,
  0x07, 0x08, 0x01, 0x04, 0x77, 0x61, 0x69, 0x74, 0x00, 0x00,
  0x0a, 0x0e, 0x01, 0x0c, 0x00, 0x41, 0x00, 0x41, 0x00, 0x42, 0x00, 0xfe, 0x01, 0x02, 0x00, 0x0b,
); // prettier-ignore

/** Executes a wait of no length: where waiting is not allowed, the instruction traps. */
export function canWait(): boolean {
  const { wait } = new WebAssembly.Instance(new WebAssembly.Module(waiting)).exports as { wait(): number };
  try {
    // 2: timed out.
    return wait() === 2;
  } catch {
    return false;
  }
}

// (memory (import "m" "m") 1 1 shared) (func (export "count") (loop
//   (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))) (br_if 0 (i32.eqz (i32.atomic.load (i32.const 4))))))
const counting = Uint8Array.of(
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
  0x01, 0x04, 0x01, 0x60, 0x00, 0x00,
  0x02, 0x09, 0x01, 0x01, 0x6d, 0x01, 0x6d, 0x02, 0x03, 0x01, 0x01,
  0x03, 0x02, 0x01, 0x00,
  0x07, 0x09, 0x01, 0x05, 0x63, 0x6f, 0x75, 0x6e, 0x74, 0x00, 0x00,
  0x0a, 0x19, 0x01, 0x17, 0x00, 0x03, 0x40, 0x41, 0x00, 0x41, 0x01, 0xfe, 0x1e, 0x02, 0x00, 0x1a,
  0x41, 0x04, 0xfe, 0x10, 0x02, 0x00, 0x45, 0x0d, 0x00, 0x0b, 0x0b,
); // prettier-ignore

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Whether a worker that loops in wasm can be ended from outside: one counts until it is told to stop, and is ended before. Needs shared memory. */
export async function canEndLoops(): Promise<boolean> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const words = new Int32Array(memory.buffer);
  const count = (): number => Atomics.load(words, 0);
  const text = "onmessage = ({ data }) => new WebAssembly.Instance(new WebAssembly.Module(data.wasm), { m: { m: data.memory } }).exports.count();";
  const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const worker = new Worker(address);
  try {
    worker.postMessage({ wasm: counting, memory });
    for (let waited = 0; count() === 0; waited += 10) {
      if (waited > 10_000) throw new Error("the counting worker does not count");
      await pause(10);
    }
    worker.terminate();
    // Chromium gives the script two seconds to come to an end by itself.
    for (let waited = 0; waited < 5_000; waited += 100) {
      const before = count();
      await pause(100);
      if (count() === before) return true;
    }
    return false;
  } finally {
    Atomics.store(words, 1, 1);
    URL.revokeObjectURL(address);
  }
}

/** What the engine's test hook can do to a parallel call. */
const kinds = { "helper traps": 1, "helper stalls": 2 };

/** The error of a parallel call to one of whose helpers this happens in a block of it. Undefined if it answers, as it does if no helper takes one. */
export async function faultError(xent: Engine, kind: keyof typeof kinds, how: "sync" | "async"): Promise<SparseXentError | undefined> {
  const hook = Symbol.for("sparse-xent.injectFault");
  try {
    await (xent as unknown as Record<symbol, (kind: number, how: string) => unknown>)[hook]?.(kinds[kind], how);
    return undefined;
  } catch (error) {
    if (isSparseXentError(error)) return error;
    throw error;
  }
}
