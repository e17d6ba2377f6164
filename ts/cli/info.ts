// `sparse-xent info`: what this machine, this Node and this engine can do; the first answer to "why is it slow here".

import { statSync } from "node:fs";
import { arch, availableParallelism, cpus, platform, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { isSparseXentError, load, type Engine } from "../index.js";
import { bytes } from "./report.js";

/** The JSON of `info`. */
export interface Info {
  readonly version: string;
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
  readonly cpuCount: number;
  readonly systemMemoryBytes: number;
  /** By build: whether it loads here, and the size of its file. */
  readonly builds: Record<BuildName, { readonly isSupported: boolean; readonly wasmBytes: number; readonly reason?: string }>;
  /** What the engine that was asked for is. */
  readonly engine: { readonly build: string; readonly threads: number; readonly isolated: boolean; readonly canBlock: boolean; readonly memoryBytes: number };
}

const buildNames = ["relaxed", "simd"] as const;
type BuildName = (typeof buildNames)[number];

/** Asks the engine, and tries each build by loading it. */
export async function collectInfo(engine: Engine): Promise<Info> {
  const { version, build, threads, isolated, canBlock, memoryBytes } = engine.info;
  const builds: Partial<Info["builds"]> = {};
  for (const name of buildNames) builds[name] = await tryBuild(name);
  return {
    version,
    node: process.version,
    platform: `${platform()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cpuCount: availableParallelism(),
    systemMemoryBytes: totalmem(),
    builds: builds as Info["builds"],
    engine: { build, threads, isolated, canBlock, memoryBytes },
  };
}

/** The same for people. */
export function showInfo(info: Info): string {
  const facts = [
    ["sparse-xent", info.version],
    ["node", `${info.node}, ${info.platform}`],
    ["processor", `${info.cpu}, ${info.cpuCount} usable`],
    ["memory", bytes(info.systemMemoryBytes)],
    ...buildNames.map((name) => {
      const { isSupported, wasmBytes, reason } = info.builds[name];
      return [`${name} build`, `${bytes(wasmBytes)}, ${isSupported ? "runs here" : `does not run here: ${reason}`}`];
    }),
    ["chosen", `${info.engine.build} build, ${info.engine.threads} thread${info.engine.threads === 1 ? "" : "s"}`],
    ["isolation", info.engine.isolated ? "memory can be shared between threads" : "memory cannot be shared: one thread"],
    ["blocking", info.engine.canBlock ? "this thread may wait: synchronous calls use all threads" : "this thread may not wait: synchronous calls use one thread"],
    ["wasm memory", `${bytes(info.engine.memoryBytes)} now`],
  ];
  const width = Math.max(...facts.map(([name]) => (name as string).length));
  return `${facts.map(([name, value]) => `${(name as string).padEnd(width)}  ${value as string}`).join("\n")}\n`;
}

async function tryBuild(name: BuildName): Promise<Info["builds"][BuildName]> {
  const wasmBytes = statSync(fileURLToPath(new URL(`./sparse-xent.${name}.wasm`, import.meta.url))).size;
  try {
    await (await load({ build: name, threads: 1 })).dispose();
    return { isSupported: true, wasmBytes };
  } catch (error) {
    if (!isSparseXentError(error)) throw error;
    return { isSupported: false, wasmBytes, reason: error.message };
  }
}
