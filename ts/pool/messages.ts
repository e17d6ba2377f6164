// What the threads of an engine say to each other.
import { callCodes } from "../errors.js";

/** What a worker is told first: `workerData` in Node, the first message in a browser. */
export interface Boot {
  /** Tells our workers from others where the data could come from elsewhere. */
  readonly sparseXent: true;
  readonly role: "helper" | "coordinator";
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Helper: where the pool's builder waits for it. */
  readonly receiver?: number;
  /** Coordinator: how many helpers its pool shall have; 0 when the pool exists or none is wanted. */
  readonly helpers?: number;
}

/** From a worker to the thread that owns it. */
export type FromWorker =
  /** It has its instance; a coordinator also has its pool. */
  | { readonly type: "ready" }
  /** It could not start. */
  | { readonly type: "failed"; readonly reason: string }
  /** It trapped: the engine is over. */
  | { readonly type: "lost"; readonly reason: string }
  /** Coordinator: start these helpers for me. */
  | { readonly type: "spawn"; readonly helpers: number; readonly receiver: number }
  /** Coordinator: a call ended with this code. */
  | { readonly type: "done"; readonly id: number; readonly code: number };

/** From the owner to its coordinator. */
export type ToCoordinator =
  /** The helpers asked for are ready. */
  | { readonly type: "spawned" }
  | { readonly type: "run"; readonly id: number; readonly block: number; readonly ticket: number }
  | { readonly type: "fault"; readonly id: number; readonly kind: number; readonly threads: number };

/** The code of a call that was called off before it began. */
export const CALLED_OFF = callCodes.indexOf("ABORTED");

/** The worker's side of the line to its owner. */
export interface Line {
  post(message: FromWorker): void;
  listen(handler: (message: ToCoordinator) => void): void;
}

/** The text of anything thrown. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
}
