// Node, and what answers like it: worker_threads and files. Built-ins are asked for at run time, so that bundlers for browsers
// find no import of them.
import type { FromWorker } from "./messages.js";
import { bytesOf, type Platform } from "./platform.js";

/** The platform over Node's own modules. */
export function nodePlatform(builtin: typeof process.getBuiltinModule): Platform {
  return {
    parallelism: () => builtin("node:os").availableParallelism(),

    whyNoWorkers: undefined,

    async read(url) {
      if (url.protocol !== "file:") return bytesOf(await fetch(url));
      return new Uint8Array(await builtin("node:fs").promises.readFile(url));
    },

    // Node has the Web's streams for this as well, but takes tens of milliseconds to set them up.
    unpack: async (packed) => builtin("node:zlib").gunzipSync(packed),

    workerAdvice: (url) =>
      url === undefined ? "a limit on threads or memory may stand in the way" : `expected at ${url} the worker.js of this package`,

    startWorker(text, url, boot, events) {
      const { Worker } = builtin("node:worker_threads");
      const from = url === undefined ? text : new URL(url);
      // Flags of the parent are none of its business: a loader hook, for one, would run in every helper.
      const worker = new Worker(from, { eval: url === undefined, workerData: boot, execArgv: [], name: `sparse-xent ${boot.role}` });
      let isGone = false;
      const gone = (reason: string): void => {
        if (isGone) return;
        isGone = true;
        events.gone(reason);
      };
      worker.on("message", (message: FromWorker) => events.message(message));
      worker.on("messageerror", (error) => gone(String(error)));
      worker.on("error", (error) => gone(String(error)));
      worker.on("exit", (code) => gone(`its thread ended with code ${code}`));
      return {
        post: (message) => worker.postMessage(message),
        setReferenced: (isReferenced) => (isReferenced ? worker.ref() : worker.unref()),
        terminate: async () => void (await worker.terminate()),
      };
    },
  };
}
