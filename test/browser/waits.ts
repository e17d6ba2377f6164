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

/** What the engine's test hook can do to a parallel call. A helper that stalls traps when the pool is lost: WebKit cannot end a worker that loops. */
const kinds = { "helper traps": 1, "helper stalls": 5 };

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
