// A JavaScript peer's process: `node serve/main.mjs ADAPTER THREADS`. Reads a question per line, answers on a line that begins with "@"; see
// child.mjs for the answers. Time is taken here, around the call alone.
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";

/**
 * What an adapter gives: a way to take a job's data, and the call that is timed. `call` returns once the results are there.
 * @typedef {object} Adapter
 * @property {Record<string, string>} versions
 * @property {(job: import("../jobs.mjs").Message) => void | Promise<void>} prepare
 * @property {(what: import("../peers.mjs").What) => Result | Promise<Result>} call
 * @property {() => void | Promise<void>} drop
 * @property {(what: import("../peers.mjs").What) => Record<string, number> | Promise<Record<string, number>>} [ownMemory] in bytes
 *
 * @typedef {{ loss: number, read: (indices: readonly number[]) => number[], free: () => void }} Result
 */

/** Lets the kernel count the peak from here on; elsewhere than on Linux it counts from the start. */
function restartPeak() {
  if (process.platform === "linux") writeFileSync("/proc/self/clear_refs", "5");
}

const peakOf = () =>
  process.platform === "linux"
    ? Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024
    : process.resourceUsage().maxRSS * 1024;

/** @param {Adapter} adapter @param {any} question */
async function answer(adapter, { ask, job, what, indices }) {
  switch (ask) {
    case "prepare":
      await adapter.prepare(job);
      return {};
    case "run": {
      const cpu = process.cpuUsage();
      const start = performance.now();
      const result = await adapter.call(what);
      const seconds = (performance.now() - start) / 1000;
      const { user, system } = process.cpuUsage(cpu);
      const grad = indices === undefined || what === "loss" ? undefined : result.read(indices);
      result.free();
      return { seconds, cpuSeconds: (user + system) / 1e6, loss: result.loss, grad };
    }
    case "memory": {
      restartPeak();
      const before = process.memoryUsage.rss();
      const result = await adapter.call(what);
      const peak = peakOf();
      result.free();
      return { before, peak, loss: result.loss, own: await adapter.ownMemory?.(what) };
    }
    case "drop":
      await adapter.drop();
      return {};
    default:
      throw new Error(`no such question: ${ask}`);
  }
}

/** @param {unknown} message */
const say = (message) => void process.stdout.write(`@${JSON.stringify(message)}\n`);
/** @param {unknown} error */
const told = (error) => ({ error: (error instanceof Error ? error.message : String(error)).split("\n")[0] });

/** @type {Record<string, (threads: number) => Promise<Adapter>>} */
const adapters = {
  "sparse-xent": async (threads) => (await import("./sparse-xent.mjs")).open(threads),
  "tfjs-wasm": async () => (await import("./tfjs.mjs")).open("wasm"),
  "tfjs-cpu": async () => (await import("./tfjs.mjs")).open("cpu"),
  "onnxruntime-web": async (threads) => (await import("./onnxruntime.mjs")).open("web", threads),
  "onnxruntime-node": async (threads) => (await import("./onnxruntime.mjs")).open("node", threads),
};

const [name = "", threads = "1"] = process.argv.slice(2);
const open = adapters[name];
if (open === undefined) throw new Error(`no such adapter: ${name}`);
/** @type {Adapter | undefined} */
let adapter;
try {
  adapter = await open(Number(threads));
  say({ versions: { ...adapter.versions, node: process.versions.node } });
} catch (error) {
  say(told(error));
}
if (adapter !== undefined) {
  for await (const line of createInterface({ input: process.stdin })) {
    say(await answer(adapter, JSON.parse(line)).catch(told));
  }
}
process.exit(0);
