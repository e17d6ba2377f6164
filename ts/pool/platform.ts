// What differs between Node and browsers when workers are started and files are read; and which of the two this is.
import type { Boot, FromWorker, ToCoordinator } from "./messages.js";
import { nodePlatform } from "./platform.node.js";
import { webPlatform } from "./platform.web.js";

/** A running worker, seen by its owner. */
export interface PoolWorker {
  post(message: ToCoordinator): void;
  /** Whether it keeps the process running. Means something in Node only. */
  setReferenced(isReferenced: boolean): void;
  /** Ends it, wherever it is. Resolves when it is gone, as far as the host tells. */
  terminate(): Promise<void>;
}

/** What an owner hears of its worker. */
export interface WorkerEvents {
  message(message: FromWorker): void;
  /** It failed by itself or is gone; nothing follows. */
  gone(reason: string): void;
}

/** Services of the host. */
export interface Platform {
  /** Threads the machine runs at the same time. */
  parallelism(): number;
  /** The bytes at a URL. */
  read(url: URL): Promise<BufferSource>;
  /** Starts a worker from the bundled text, or from a URL of the shipped file. It keeps the process running at first. */
  startWorker(text: string, url: string | URL | undefined, boot: Boot, events: WorkerEvents): PoolWorker;
}

/** The platform this code runs on. Deno and Bun answer as Node. */
export function thisPlatform(): Platform {
  const getBuiltinModule = globalThis.process?.getBuiltinModule;
  return getBuiltinModule ? nodePlatform(getBuiltinModule) : webPlatform();
}

/** The bytes of a response. */
export async function bytesOf(response: Response): Promise<ArrayBuffer> {
  if (!response.ok) throw new Error(`${response.url || "the response"} answered ${response.status}`);
  return response.arrayBuffer();
}
