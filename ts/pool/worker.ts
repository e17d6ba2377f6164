// The worker's entry, bundled as one classic script for Node and browsers: boot, then be a helper or the coordinator.
import { serveCalls } from "./coordinator.js";
import { instantiate, noWorkers, poison, storePoison } from "./instance.js";
import { reasonOf, type Boot, type FromWorker, type Line, type ToCoordinator } from "./messages.js";

/** Lends this thread to rayon. Returns only when the pool is lost: the loop inside never ends. */
function help(boot: Boot, line: Line): void {
  const glue = instantiate(boot.module, boot.memory, noWorkers);
  const control = glue.control();
  line.post({ type: "ready" });
  try {
    glue.wbg_rayon_start_worker(boot.receiver ?? 0);
    line.post({ type: "lost", reason: "a helper ended" });
  } catch (error) {
    // The word first: a caller that waits sees it within one slice of its wait, a message only when its event loop turns.
    storePoison(boot.memory, control, poison.trapped);
    line.post({ type: "lost", reason: `a helper trapped, ${reasonOf(error)}` });
  }
}

async function start(boot: Boot, line: Line): Promise<void> {
  try {
    if (boot.role === "helper") help(boot, line);
    else await serveCalls(boot, line);
  } catch (error) {
    line.post({ type: "failed", reason: reasonOf(error) });
  }
}

/** The part of a worker's global scope that is used. */
interface Scope {
  postMessage(message: FromWorker): void;
  addEventListener(type: "message" | "messageerror", handler: (event: { readonly data: unknown }) => void): void;
}

const threads = globalThis.process?.getBuiltinModule?.("node:worker_threads");
if (threads?.parentPort) {
  const port = threads.parentPort;
  void start(threads.workerData as Boot, {
    post: (message) => port.postMessage(message),
    listen: (handler) => void port.on("message", handler),
  });
} else {
  const scope = globalThis as unknown as Scope;
  let handler: ((message: ToCoordinator) => void) | undefined;
  let isBooted = false;
  const line: Line = { post: (message) => scope.postMessage(message), listen: (given) => void (handler = given) };
  scope.addEventListener("message", ({ data }) => {
    if (isBooted) return handler?.(data as ToCoordinator);
    isBooted = true;
    void start(data as Boot, line);
  });
  scope.addEventListener("messageerror", () => line.post({ type: "failed", reason: "the shared memory could not be received" }));
}
