// Runs the built command as a user would, and makes .npy files, good and bad.

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { zipSync } from "fflate";
import { afterAll } from "vitest";
import { encodeHeader, parseHeader } from "../../ts/cli/npy.js";

export const cliPath = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));
const dataFolder = fileURLToPath(new URL("../../ts/cli/data/", import.meta.url));

/** A file of the data that the command ships. */
export const data = (name: string): string => join(dataFolder, name);

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `sparse-xent ...args` to its end. */
export function cli(args: readonly string[], cwd?: string): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cliPath, ...args], { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

const folders: string[] = [];

/** A new folder, removed when the file's tests are done. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "sparse-xent-cli-"));
  folders.push(path);
  return path;
}

afterAll(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

export type Numbers = Float32Array | Float64Array | Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | BigUint64Array | BigInt64Array;

/** The bytes of a .npy file. */
export function npyBytes(descr: string, shape: readonly number[], values: Numbers): Uint8Array {
  return Buffer.concat([encodeHeader(descr, shape), new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength)]);
}

/** Writes a .npy file and returns its path. */
export function writeNpy(where: string, name: string, descr: string, shape: readonly number[], values: Numbers): string {
  return writeBytes(where, name, npyBytes(descr, shape, values));
}

/** Writes an .npz archive of .npy files, stored as np.savez does it or compressed as np.savez_compressed does. */
export function writeNpz(where: string, name: string, arrays: Readonly<Record<string, Uint8Array>>, isCompressed = false): string {
  const files = Object.fromEntries(Object.entries(arrays).map(([each, bytes]) => [each, Uint8Array.from(bytes)]));
  return writeBytes(where, name, zipSync(files, { level: isCompressed ? 6 : 0 }));
}

export function writeBytes(where: string, name: string, bytes: Uint8Array): string {
  const path = join(where, name);
  writeFileSync(path, bytes);
  return path;
}

/** A file whose header is `dictionary` as it stands, format version 1. */
export function withDictionary(dictionary: string, body: Uint8Array = new Uint8Array(0), version = 1): Uint8Array {
  const text = Buffer.from(`${dictionary}\n`, "latin1");
  const length = version === 1 ? [text.length & 255, text.length >> 8] : [text.length & 255, (text.length >> 8) & 255, (text.length >> 16) & 255, 0];
  return Buffer.concat([Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0, ...length), text, body]);
}

const arrays = { "<f4": Float32Array, "<f8": Float64Array, "|u1": Uint8Array } as const;

/** Reads a .npy file of one of the dtypes that outputs and shipped data have. */
export function readNpy(path: string): { descr: string; shape: readonly number[]; values: number[] } {
  const bytes = readFileSync(path);
  const { descr, shape, dataOffset } = parseHeader(bytes);
  const body = Uint8Array.from(bytes.subarray(dataOffset));
  return { descr, shape, values: Array.from(new arrays[descr as keyof typeof arrays](body.buffer)) };
}

/** Names in a folder, sorted: what a run has left. */
export const left = (where: string): string[] => readdirSync(where).sort();

/** Repeatable numbers in [-1, 1): mulberry32. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

export interface Report {
  readonly [key: string]: unknown;
  readonly meanLoss: number | null;
  readonly lossSum: number | null;
  readonly weightSum: number;
  readonly validCount: number;
  readonly correctCount: number;
  readonly nonFiniteCount: number;
  readonly gradNorm: number | null;
  readonly chunks: number;
  readonly perClass: readonly { class: number; count: number; weight: number; meanLoss: number | null; recall: number | null }[];
}

/** Runs `score ... --json`, which must succeed, and returns its report. */
export async function scoreJson(args: readonly string[]): Promise<Report> {
  const { code, stdout, stderr } = await cli(["score", ...args, "--json"]);
  if (code !== 0) throw new Error(`exit code ${code}: ${stderr}`);
  return JSON.parse(stdout) as Report;
}
