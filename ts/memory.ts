// The engine's memory: the only file that touches `memory.buffer` and makes typed arrays. May import dtypes and errors.
// Guarantees: every allocation is freed exactly once; nothing is freed or given out after the engine is over;
// a span in use by a pending call is freed when that call ends, not before.
import { dtypes, type Copies, type Dtype, type Float16ArrayLike, type TypedArray, type Views } from "./dtypes.js";
import { SparseXentError } from "./errors.js";
import type { Runtime } from "./pool/runtime.js";

/** The largest single allocation: the Rust allocator takes sizes below 2^31. */
export const LARGEST_ALLOCATION = 2 ** 31 - 1;

const WORD = 8;
/** What the allocator's addresses are multiples of. */
const ALIGNMENT = 64;
/** How much goes between at a time, and from where on it is worth it. */
const BETWEEN_BYTES = 2 ** 12;
const LEAST_BETWEEN = 64;

/** Why no memory can be had any more. `lost`: what is there can still be read. */
type Ending = "open" | "lost" | "disposed";

/** A span of the engine's memory. */
export class Allocation {
  /** Where it starts, in bytes from the start of the memory. */
  readonly address: number;
  /** How long it is. */
  readonly bytes: number;
  /** What it was asked for. */
  readonly name: string;
  readonly #memory: Memory;
  #pins = 0;
  #released = false;

  /** @internal */
  constructor(memory: Memory, name: string, address: number, bytes: number) {
    this.#memory = memory;
    this.name = name;
    this.address = address;
    this.bytes = bytes;
  }

  /** Whether its owner has given it up. */
  get isReleased(): boolean {
    return this.#released;
  }

  /** Gives it up. It is freed now, or when the last pending call that uses it ends. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    if (this.#pins === 0) this.#memory.free(this);
  }

  /** A call begins to use it. */
  pin(): void {
    this.#pins += 1;
  }

  /** That call has ended. */
  unpin(): void {
    this.#pins -= 1;
    if (this.#pins === 0 && this.#released) this.#memory.free(this);
  }
}

/** The memory of one engine. */
export class Memory {
  readonly #runtime: Pick<Runtime, "wasm" | "memory" | "maximumBytes">;
  #ending: Ending = "open";
  #words: Float64Array = new Float64Array();
  /** The views of tensors. Not in the tensors: one that is kept would keep the memory of an engine that was disposed of. */
  #views = new WeakMap<Allocation, Views[Dtype]>();
  /** Those of tensors that were not disposed of. */
  readonly #held = new Set<Allocation>();
  /** Whether a call has the module's own words. */
  #isBlockTaken = false;
  /** What unaligned bytes go through. */
  #between: Uint8Array | undefined;

  /** @internal */
  constructor(runtime: Pick<Runtime, "wasm" | "memory" | "maximumBytes">) {
    this.#runtime = runtime;
  }

  /** What `memory.buffer` is at this moment: a new, longer object after every growth. */
  get #buffer(): SharedArrayBuffer {
    // The type library calls it an ArrayBuffer; it is shared because the memory was made so, isolated page or not.
    return this.#runtime.memory.buffer as unknown as SharedArrayBuffer;
  }

  /** Size of the whole memory in bytes; 0 once the engine was disposed. */
  get bytes(): number {
    return this.#ending === "disposed" ? 0 : this.#buffer.byteLength;
  }

  /** Bytes in live allocations; 0 once the engine is over. */
  get usedBytes(): number {
    return this.#ending === "open" ? this.#runtime.wasm.used_bytes() : 0;
  }

  /** The largest size the memory can grow to, in bytes. */
  get maximumBytes(): number {
    return this.#runtime.maximumBytes;
  }

  /** Throws unless memory can be had. */
  assertOpen(): void {
    if (this.#ending === "disposed") throw new SparseXentError({ code: "DISPOSED", message: "engine was disposed" });
    if (this.#ending === "lost") {
      throw new SparseXentError({ code: "ENGINE_LOST", message: "the engine was lost with one of its threads; load() starts another" });
    }
  }

  /** Ends it. The allocator is not called again: a thread that died may have held its lock. */
  close(ending: "lost" | "disposed"): void {
    if (this.#ending === "disposed") return;
    this.#ending = ending;
    if (ending !== "disposed") return;
    // They would keep the memory; and who asks for it from now on is refused.
    this.#words = new Float64Array();
    this.#views = new WeakMap();
  }

  /** Whether the engine was disposed. */
  get isDisposed(): boolean {
    return this.#ending === "disposed";
  }

  /**
   * `bytes` bytes at a multiple of 64, not cleared. `name` is who needs them, for the error `OUT_OF_MEMORY`. For a copy of `like` they begin where that
   * does modulo 8: only then does V8 copy words into shared memory, and out of it, and not byte by byte.
   */
  allocate(name: string, bytes: number, like?: TypedArray): Allocation {
    this.assertOpen();
    const { wasm } = this.#runtime;
    const skew = like === undefined ? 0 : like.byteOffset % WORD;
    const address = bytes > LARGEST_ALLOCATION - skew ? 0 : wasm.alloc(bytes + skew);
    if (address === 0) throw this.refusal(name, bytes);
    return new Allocation(this, name, address + skew, bytes);
  }

  /** `bytes` bytes for the words of a call: those that the module has for one call at a time, or where another call has these, others. */
  allocateBlock(bytes: number): Allocation {
    if (this.#isBlockTaken) return this.allocate("call", bytes);
    this.assertOpen();
    this.#isBlockTaken = true;
    return new Allocation(this, "call", this.#runtime.wasm.block, bytes);
  }

  /** Takes an allocation back; for {@link Allocation} alone, which does so once. */
  free(allocation: Allocation): void {
    const { wasm } = this.#runtime;
    const { address, bytes } = allocation;
    if (address === wasm.block) {
      this.#isBlockTaken = false;
      return;
    }
    this.#held.delete(allocation);
    const skew = address % ALIGNMENT;
    if (this.#ending === "open") wasm.free(address - skew, bytes + skew);
  }

  /** It is a tensor's from now on: where memory runs out, the error says what tensors hold. */
  hold(allocation: Allocation): void {
    this.#held.add(allocation);
  }

  /** The error for memory that was refused: what it was asked for, what there is, and which tensors keep it. */
  refusal(name: string, bytes: number): SparseXentError {
    const kept = new Map<string, { count: number; bytes: number }>();
    for (const { name: made, bytes: size } of this.#held) {
      const before = kept.get(made) ?? { count: 0, bytes: 0 };
      kept.set(made, { count: before.count + 1, bytes: before.bytes + size });
    }
    const tensors = [...kept].map(([made, { count, bytes: size }]) => `${count} made by ${makers[made] ?? `outputs: ["${made}"]`} (${megabytes(size)})`);
    const held = tensors.length === 0 ? "" : `. Tensors that were not disposed of: ${tensors.join(", ")}; dispose() of a tensor or of a result frees its memory`;
    const limit = `a free piece of memory of that size; ${megabytes(this.usedBytes)} of ${megabytes(this.maximumBytes)} are in use${held}`;
    return outOfMemory(name, bytes, limit);
  }

  /** A window onto `length` elements at an address. */
  view<D extends Dtype>(dtype: D, address: number, length: number): Views[D] {
    const array: new (buffer: SharedArrayBuffer, byteOffset: number, length: number) => unknown = dtypes[dtype].array;
    return new array(this.#buffer, address, length) as Views[D];
  }

  /** The whole memory as 64-bit floats, at least up to the address `end`. For use at once: who keeps it keeps the memory. */
  words(end: number): Float64Array {
    // Made once and not per call: that would cost as much as a small call computes. Shared memory never moves, so a window onto all of it
    // stays good for every address that it reaches; what lies beyond takes a new one.
    if (end > this.#words.byteLength) this.#words = new Float64Array(this.#buffer);
    return this.#words;
  }

  /** The window onto an allocation that holds a tensor: the same one each time, unless the memory has grown. */
  viewOf<D extends Dtype>(dtype: D, allocation: Allocation, length: number): Views[D] {
    const known = this.#views.get(allocation) as Views[D] | undefined;
    if (known !== undefined && known.buffer === this.#buffer) return known;
    const view = this.view(dtype, allocation.address, length);
    this.#views.set(allocation, view);
    return view;
  }

  /** Copies an array into an allocation: typed arrays byte for byte, numbers as f64. */
  write({ address, bytes }: Allocation, source: TypedArray | readonly number[]): void {
    const words = this.words(address + bytes);
    if (!ArrayBuffer.isView(source) || source instanceof Float64Array) return words.set(source as ArrayLike<number>, address / words.BYTES_PER_ELEMENT);
    this.#copy(new Uint8Array(words.buffer, address, bytes), new Uint8Array(source.buffer, source.byteOffset, source.byteLength));
  }

  /** Copies an allocation out into an array of as many bytes. */
  read({ address, bytes }: Allocation, target: TypedArray): void {
    this.#copy(new Uint8Array(target.buffer, target.byteOffset, target.byteLength), new Uint8Array(this.#buffer, address, bytes));
  }

  /** Copies bytes into shared memory or out of it: where the sides begin at other places modulo 8, through ordinary memory that begins as a tensor does. */
  #copy(into: Uint8Array, from: Uint8Array): void {
    if ((into.byteOffset - from.byteOffset) % WORD === 0 || from.length < LEAST_BETWEEN) return into.set(from);
    this.#between ??= new Uint8Array(BETWEEN_BYTES);
    for (let at = 0; at < from.length; at += BETWEEN_BYTES) {
      const piece = from.subarray(at, at + BETWEEN_BYTES);
      const between = piece.length < BETWEEN_BYTES ? this.#between.subarray(0, piece.length) : this.#between;
      between.set(piece);
      into.set(between, at);
    }
  }

  /** Writes `count` elements, the i-th of which is `source[indexOf(i)]`. */
  gather(allocation: Allocation, dtype: Dtype, source: TypedArray | readonly number[], count: number, indexOf: (index: number) => number): void {
    const from = Array.isArray(source) ? (source as readonly number[]) : elementsOf(dtype, source as TypedArray);
    const into = this.view(dtype, allocation.address, count);
    for (let index = 0; index < count; index += 1) into[index] = from[indexOf(index)] as never;
  }

  /** Fills an allocation with zeros. */
  clear(allocation: Allocation): void {
    new Uint8Array(this.#buffer, allocation.address, allocation.bytes).fill(0);
  }
}

/** A copy of a window in an ordinary, unshared array. */
export function copyOf<D extends Dtype>(view: Views[D]): Copies[D] {
  return view.slice() as Copies[D];
}

/** An array of the same kind as `dtype`'s views over a caller's typed array, to read its elements as they are stored. */
export function elementsOf(dtype: Dtype, array: TypedArray): Exclude<TypedArray, Float16ArrayLike> {
  return new dtypes[dtype].array(array.buffer as ArrayBuffer, array.byteOffset, array.length);
}

/** Whether a caller's array has lost its buffer, to a transfer for example. */
export function isDetached(array: ArrayBufferView & { readonly length: number }): boolean {
  if (array.length > 0) return false;
  try {
    // An empty array and a detached one look alike; only over a detached buffer can no new array be made.
    new Uint8Array(array.buffer as ArrayBuffer);
    return false;
  } catch {
    return true;
  }
}

/** Bytes as the messages print them: `277 MB`, small ones exactly. */
export function megabytes(bytes: number): string {
  return bytes < 1e6 ? `${bytes} bytes` : `${Math.round(bytes / 1e6)} MB`;
}

/** By whom tensors of these names are made; the others are named for the output they are. */
const makers: Readonly<Record<string, string>> = { tensor: "tensor()", grad: "grad: true", loss: 'reduction: "none"' };

/** The error for a refused allocation. */
export function outOfMemory(name: string, bytes: number, limit: string): SparseXentError {
  const expected = bytes > LARGEST_ALLOCATION ? `at most ${LARGEST_ALLOCATION} bytes in one piece` : limit;
  return new SparseXentError({ code: "OUT_OF_MEMORY", message: `${name} size got ${megabytes(bytes)}, expected ${expected}`, got: bytes, expected });
}
