// Arrays on disk, in .npy files or .npz archives: inputs read in spans of elements, outputs written to a temporary .npy file and renamed at the end.
// Guarantees: a file is judged whole (header, dtype, order, length) before its data is looked at; an output appears complete or not at all.

import { close, closeSync, openSync, realpathSync, statSync, unlinkSync, write } from "node:fs";
import { open, rename, stat, type FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { checkDescr, descrOf, npyDtypes, type NpyDtype } from "./dtypes.js";
import { Failure, systemReason } from "./failure.js";
import { encodeHeader, headerEnd, NpyFormatError, parseHeader, prefixBytes, showShape, type NpyHeader } from "./npy.js";
import { openMember, splitPath, torchHint, type Member } from "./npz.js";

/** An input array. Row-major, little-endian, and exactly as long as its shape says. */
export class NpyFile<D extends NpyDtype> {
  /** As messages call it: `logits.npy`, `data.npz:logits`. */
  readonly path: string;
  /** The file that it lies in. */
  readonly file: string;
  readonly dtype: D;
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly count: number;
  readonly #handle: FileHandle;
  readonly #dataOffset: number;

  private constructor(file: string, { path, handle, start }: Member, header: NpyHeader, dtype: D, count: number) {
    this.path = path;
    this.file = file;
    this.dtype = dtype;
    this.shape = header.shape;
    this.count = count;
    this.#handle = handle;
    this.#dataOffset = start + header.dataOffset;
  }

  /** Opens and judges an array; `wanted` are the dtypes it may have, `role` is its name in an archive where none is given. */
  static async open<D extends NpyDtype>(given: string, wanted: readonly D[], role = ""): Promise<NpyFile<D>> {
    const { file, name } = splitPath(given);
    const member = await openArray(file, name, role);
    const { handle, size, path } = member;
    try {
      const header = await readHeader(member);
      const dtype = checkDescr(path, header.descr, wanted);
      const count = header.shape.reduce((product, length) => product * length, 1);
      const bytes = npyDtypes[dtype].bytes;
      if (!Number.isSafeInteger(count * bytes)) throw new Failure(path, `shape got ${showShape(header.shape)}, expected fewer than 2^53 bytes`);
      // With at most one axis longer than 1 both orders are the same.
      if (header.fortranOrder && header.shape.filter((length) => length !== 1).length > 1) {
        throw new Failure(path, "order got Fortran (column-major), expected C (row-major)", "np.save(path, np.ascontiguousarray(a))");
      }
      const held = size - header.dataOffset;
      if (held !== count * bytes) {
        const fault = held < count * bytes ? "is truncated" : "has trailing bytes";
        throw new Failure(path, `${fault}: got ${held} bytes of data, expected ${count * bytes} for shape ${showShape(header.shape)} of ${descrOf(dtype)}`);
      }
      return new NpyFile(file, member, header, dtype, count);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Reads `count` elements from element `start` on into the front of `target`, whose elements are as wide. */
  async read(start: number, count: number, target: NodeJS.ArrayBufferView): Promise<void> {
    const bytes = npyDtypes[this.dtype].bytes;
    let done = 0;
    while (done < count * bytes) {
      // One system call reads at most 2^31 - 1 bytes.
      const want = Math.min(count * bytes - done, 2 ** 30);
      const { bytesRead } = await attempt(this.path, "cannot be read", () =>
        this.#handle.read(target, done, want, this.#dataOffset + start * bytes + done),
      );
      if (bytesRead === 0) throw new Failure(this.path, "became shorter while it was read");
      done += bytesRead;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** The outputs of one run. Nothing appears under its own name before `commit`; `discard` leaves no trace. */
export class Outputs {
  readonly #sinks: NpySink[] = [];

  /** Opens an output array; `inputs` are files it must not replace. */
  async create(path: string, dtype: NpyDtype, shape: readonly number[], inputs: readonly string[]): Promise<NpySink> {
    const target = targetOf(path);
    const taken = inputs.find((input) => sameFile(input, target));
    if (taken !== undefined) throw new Failure(path, `is an input of this run (${taken}), expected another path`);
    if (this.#sinks.some((sink) => sink.target === target)) throw new Failure(path, "is given for two outputs, expected a path for each");
    const sink = new NpySink(path, target, dtype);
    // Before anything is waited for: a signal may come then, and its handler is to find every file that there is.
    this.#sinks.push(sink);
    await sink.begin(shape);
    return sink;
  }

  /** Closes every output and gives it its name. */
  async commit(): Promise<void> {
    for (const sink of this.#sinks) await sink.close();
    for (const sink of this.#sinks) await sink.rename();
  }

  /** Removes what is temporary. Synchronous, because a signal handler calls it. */
  discard(): void {
    for (const sink of this.#sinks) sink.discard();
  }
}

const writePart = promisify(write);
const closeFile = promisify(close);

/** An output array, written in spans of elements. */
export class NpySink {
  readonly path: string;
  readonly target: string;
  readonly #temporary: string;
  readonly #file: number;
  readonly #dtype: NpyDtype;
  #dataOffset = 0;
  #state: "open" | "closed" | "gone" = "open";

  /** Opens the temporary file. */
  constructor(path: string, target: string, dtype: NpyDtype) {
    this.path = path;
    this.target = target;
    this.#dtype = dtype;
    this.#temporary = join(dirname(target), `.${basename(target)}.${process.pid}.tmp`);
    try {
      this.#file = openSync(this.#temporary, "wx");
    } catch (error) {
      throw failureOf(path, "cannot be written", error);
    }
  }

  /** Writes the header. */
  async begin(shape: readonly number[]): Promise<void> {
    const header = encodeHeader(descrOf(this.#dtype), shape);
    this.#dataOffset = header.length;
    await this.#put(0, header, header.length);
  }

  /** Writes the first `count` elements of `source`, from element `start` on. */
  async write(start: number, source: NodeJS.ArrayBufferView, count: number): Promise<void> {
    const { bytes } = npyDtypes[this.#dtype];
    await this.#put(this.#dataOffset + start * bytes, source, count * bytes);
  }

  async close(): Promise<void> {
    this.#state = "closed";
    await attempt(this.path, "cannot be written", () => closeFile(this.#file));
  }

  async rename(): Promise<void> {
    await attempt(this.path, "cannot be written", () => rename(this.#temporary, this.target));
    this.#state = "gone";
  }

  discard(): void {
    if (this.#state === "gone") return;
    try {
      if (this.#state === "open") closeSync(this.#file);
    } catch {
      // The file goes; its last words do not matter.
    }
    try {
      unlinkSync(this.#temporary);
    } catch {
      // Already gone: nothing is left to remove.
    }
    this.#state = "gone";
  }

  async #put(position: number, source: NodeJS.ArrayBufferView, bytes: number): Promise<void> {
    let done = 0;
    while (done < bytes) {
      const want = Math.min(bytes - done, 2 ** 30);
      done += (await attempt(this.path, "cannot be written", () => writePart(this.#file, source, done, want, position + done))).bytesWritten;
    }
  }
}

async function openArray(file: string, name: string | undefined, role: string): Promise<Member> {
  const handle = await attempt(file, "cannot be read", () => openRegular(file));
  const begin = new Uint8Array(4);
  await attempt(file, "cannot be read", () => handle.read(begin, 0, begin.length, 0));
  const isZip = begin[0] === 0x50 && begin[1] === 0x4b && begin[2] === 3 && begin[3] === 4;
  if (!isZip && name === undefined) return { handle, start: 0, size: (await handle.stat()).size, path: file };
  await handle.close();
  return openMember(file, name, role);
}

async function openRegular(path: string): Promise<FileHandle> {
  // Asked before opening: opening a pipe waits for its other end.
  const kind = await stat(path);
  if (kind.isDirectory()) throw new Failure(path, "is a directory, expected a .npy or .npz file");
  if (!kind.isFile()) throw new Failure(path, "is not a regular file, expected a .npy or .npz file on disk (it is read more than once)");
  return open(path, "r");
}

async function readHeader({ path, handle, start, size }: Member): Promise<NpyHeader> {
  const prefix = new Uint8Array(Math.min(prefixBytes, size));
  try {
    await handle.read(prefix, 0, prefix.length, start);
    const header = new Uint8Array(Math.min(headerEnd(prefix), size));
    await handle.read(header, 0, header.length, start);
    return parseHeader(header);
  } catch (error) {
    if (error instanceof NpyFormatError) throw new Failure(path, error.message, hintFor(path, prefix));
    throw new Failure(path, `cannot be read: ${systemReason(error)}`);
  }
}

/** How to make a .npy file of what is none: pickles of PyTorch's, tables of text. */
function hintFor(path: string, prefix: Uint8Array): string | undefined {
  if (/\.(pt|pth|pkl)$/i.test(path) || (prefix[0] === 0x80 && (prefix[1] ?? 9) <= 5)) return torchHint;
  const isText = prefix.length > 0 && prefix.every((byte) => (byte >= 0x20 && byte < 0x7f) || (byte >= 9 && byte <= 13));
  const delimiter = /\.tsv$/i.test(path) ? "\\t" : ",";
  return isText || /\.(csv|tsv|txt)$/i.test(path) ? `np.save("logits.npy", np.loadtxt("logits.csv", delimiter="${delimiter}", dtype="<f4", ndmin=2))` : undefined;
}

/** Where an output really goes: through symbolic links, and never over something that is not a regular file. */
function targetOf(path: string): string {
  const target = resolve(path);
  try {
    const kind = statSync(target, { throwIfNoEntry: false });
    if (kind === undefined) return target;
    if (kind.isDirectory()) throw new Failure(path, "cannot be written: is a directory");
    if (!kind.isFile()) throw new Failure(path, "cannot be written: is not a regular file");
    return realpathSync(target);
  } catch (error) {
    throw error instanceof Failure ? error : new Failure(path, `cannot be written: ${systemReason(error)}`);
  }
}

function sameFile(input: string, target: string): boolean {
  const a = statSync(input, { throwIfNoEntry: false, bigint: true });
  const b = statSync(target, { throwIfNoEntry: false, bigint: true });
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev;
}

async function attempt<T>(path: string, what: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw failureOf(path, what, error);
  }
}

function failureOf(path: string, what: string, error: unknown): Failure {
  return error instanceof Failure ? error : new Failure(path, `${what}: ${systemReason(error)}`);
}
