// Browsers: Web Workers and fetch.
import type { FromWorker } from "./messages.js";
import { bytesOf, type Platform } from "./platform.js";

/** An `error` event of a worker carries no text when its script was refused. */
const REFUSED = "the browser refused its script, or could not read it";

/** The platform over the Web's own interfaces. */
export function webPlatform(): Platform {
  return {
    parallelism: () => navigator.hardwareConcurrency || 1,

    whyNoWorkers: typeof Worker === "function" ? undefined : "this thread cannot start workers, as a service worker cannot",

    read: async (url) => bytesOf(await fetch(url)),

    workerAdvice: (url) =>
      url === undefined
        ? "if the content security policy refuses workers from blob: addresses, serve worker.js of this package and pass its address as workerUrl"
        : `expected at ${url} the worker.js of this package, from the page's own origin, allowed by worker-src of a content security policy, ` +
          "and on an isolated page served with Cross-Origin-Embedder-Policy: require-corp",

    startWorker(text, url, boot, events) {
      const blobUrl = url === undefined ? URL.createObjectURL(new Blob([text], { type: "text/javascript" })) : undefined;
      const revoke = (): void => {
        if (blobUrl !== undefined) URL.revokeObjectURL(blobUrl);
      };
      let worker: Worker;
      try {
        worker = new Worker(blobUrl ?? (url as string | URL), { name: `sparse-xent ${boot.role}` });
      } catch (error) {
        revoke();
        throw error;
      }
      worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => {
        // Only once it speaks has its script been read.
        revoke();
        events.message(data);
      });
      worker.addEventListener("error", (event) => {
        event.preventDefault();
        revoke();
        events.gone(event.message || REFUSED);
      });
      try {
        worker.postMessage(boot);
      } catch (error) {
        worker.terminate();
        revoke();
        throw error;
      }
      return {
        post: (message) => worker.postMessage(message),
        setReferenced() {},
        async terminate() {
          worker.terminate();
          revoke();
        },
      };
    },
  };
}
