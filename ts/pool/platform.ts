// What differs between Node and browsers when workers are started and files are read.
import type { Boot, FromWorker, ToCoordinator } from "./messages.js";

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
  /** Why this thread can start no workers, if it cannot. */
  readonly whyNoWorkers: string | undefined;
  /** The bytes at a URL. */
  read(url: URL): Promise<BufferSource>;
  /** What gzip has packed. */
  unpack(packed: Uint8Array<ArrayBuffer>): Promise<BufferSource>;
  /** Starts a worker from the bundled text, or from a URL of the shipped file. It keeps the process running at first. */
  startWorker(text: string, url: string | URL | undefined, boot: Boot, events: WorkerEvents): PoolWorker;
  /** What to look at when no worker starts. */
  workerAdvice(url: string | URL | undefined): string;
}

/** Where the wasm of this package is; the bundles differ in it. */
export interface Shipped {
  /** The bytes of a build. */
  read(build: "relaxed" | "simd", platform: Platform): Promise<BufferSource>;
  /** What to do when they cannot be had. */
  readonly advice: string;
}

/** The first four bytes of every wasm, as one number. */
const MAGIC = 0x6d736100;

/** The bytes of a response that must be a wasm, whatever its content type says. */
export async function bytesOf(response: Response): Promise<ArrayBuffer> {
  const from = response.url || "the response";
  if (!response.ok) throw new Error(`${from} answered ${response.status}`);
  const bytes = await response.arrayBuffer();
  // Servers of pages like to answer with a page for every address they do not know.
  if (bytes.byteLength < 4 || new DataView(bytes).getUint32(0, true) !== MAGIC) {
    throw new Error(`${from} answered ${response.headers.get("content-type") ?? "something"}, which is no wasm`);
  }
  return bytes;
}
