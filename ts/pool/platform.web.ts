// Browsers: Web Workers and fetch.
import { reasonOf, type FromWorker } from "./messages.js";
import { bytesOf, type Platform } from "./platform.js";

/** An `error` event of a worker carries no text when its script was refused. */
const REFUSED = "the browser refused its script, or could not read it";

/** Addresses of a script given as text; a policy may allow the one and not the other. */
const addressesOf = [
  (text: string): string => URL.createObjectURL(new Blob([text], { type: "text/javascript" })),
  (text: string): string => `data:text/javascript,${encodeURIComponent(text)}`,
];

/** The platform over the Web's own interfaces. */
export function webPlatform(): Platform {
  return {
    parallelism: () => navigator.hardwareConcurrency || 1,

    whyNoWorkers: typeof Worker === "function" ? undefined : "this thread cannot start workers, as a service worker cannot",

    read: async (url) => bytesOf(await fetch(url)),

    unpack: (packed) => new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer(),

    workerAdvice: (url) =>
      url === undefined
        ? "if the content security policy refuses workers from blob: and data: addresses, serve worker.js of this package and pass its address as workerUrl"
        : `expected at ${url} the worker.js of this package, from the page's own origin, allowed by worker-src of a content security policy, ` +
          "and on an isolated page served with Cross-Origin-Embedder-Policy: require-corp",

    startWorker(text, url, boot, events) {
      const addresses = url === undefined ? addressesOf.map((addressOf) => () => addressOf(text)) : [() => url];
      let worker: Worker | undefined;
      let revoke = (): void => {};
      let hasSpoken = false;
      const end = (): void => {
        worker?.terminate();
        worker = undefined;
        revoke();
      };
      const start = (): void => {
        const address = addresses.shift()?.() ?? "";
        revoke = () => URL.revokeObjectURL(String(address));
        try {
          worker = new Worker(address, { name: `sparse-xent ${boot.role}` });
          worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => {
            hasSpoken = true;
            // Only now has its script been read.
            revoke();
            events.message(data);
          });
          worker.addEventListener("error", (event) => {
            event.preventDefault();
            revoke();
            // One that ran and failed would fail from another address too.
            if (hasSpoken || addresses.length === 0) return events.gone(event.message || REFUSED);
            end();
            try {
              start();
            } catch (error) {
              events.gone(reasonOf(error));
            }
          });
          worker.postMessage(boot);
        } catch (error) {
          end();
          if (addresses.length === 0) throw error;
          start();
        }
      };

      start();
      return {
        post: (message) => worker?.postMessage(message),
        setReferenced() {},
        async terminate() {
          addresses.length = 0;
          end();
        },
      };
    },
  };
}
