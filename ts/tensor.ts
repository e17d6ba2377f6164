// Tensor: a typed, shaped span of an engine's memory. May import layout, memory, dtypes and errors.
// Guarantees: `view` never copies and never shows memory that was given back; `dispose` is safe at any time, also twice.
import { dtypes, type Copies, type Dtype, type Views } from "./dtypes.js";
import { show, SparseXentError } from "./errors.js";
import { product } from "./layout.js";
import { copyOf, type Allocation, type Memory } from "./memory.js";
import { disposeSymbol, inspectSymbol } from "./symbols.js";

/**
 * A typed, shaped span of an engine's memory, which a call reads and writes in place.
 *
 * ```text
 *   the engine's memory (one SharedArrayBuffer, seen by every thread)
 *   0        byteOffset                         byteOffset + byteLength
 *   |  ...   | e0 | e1 | e2 | e3 | ... | e(length-1) |   ...          |
 *            ^ a multiple of 64
 *            └── tensor.view: Float32Array over exactly these bytes; writing it writes the tensor
 *                tensor.toArray(): a Float32Array with its own, unshared ArrayBuffer
 * ```
 *
 * Elements are row-major: the last dimension varies fastest. Tensors come from `engine.tensor(dtype, shape)` and from results;
 * each holds memory until `dispose()` (or the end of a `using` block) or until its engine is disposed.
 *
 * @example
 * ```ts
 * const logits = xent.tensor("f32", [2, 3]);
 * logits.view.set([1, 2, 3, 4, 5, 6]);
 * console.log(logits.length, logits.byteOffset % 64); // 6 0
 * logits.dispose();
 * ```
 */
export class Tensor<D extends Dtype = Dtype> {
  // Bundles shorten names; what Node and browsers print of a class is this one.
  static {
    Object.defineProperty(this, "name", { value: "Tensor" });
  }

  /** Element type. */
  readonly dtype: D;
  /** Dimensions, outermost first; `[]` for a single element. */
  readonly shape: readonly number[];
  /** Number of elements: the product of `shape`. */
  readonly length: number;
  /** Number of bytes. */
  readonly byteLength: number;
  /** Where it starts in the engine's memory, in bytes; a multiple of 64. */
  readonly byteOffset: number;
  readonly #memory: Memory;
  readonly #allocation: Allocation;
  readonly #dims: readonly number[];

  /** @internal Tensors are made by an engine. */
  constructor(memory: Memory, allocation: Allocation, dtype: D, shape: readonly number[]) {
    this.dtype = dtype;
    this.#dims = [...shape];
    this.shape = Object.freeze([...shape]);
    this.length = product(shape);
    this.byteLength = this.length * dtypes[dtype].bytes;
    this.byteOffset = allocation.address;
    this.#memory = memory;
    this.#allocation = allocation;
    memory.hold(allocation);
    // A call takes its word for where the elements are and how many.
    Object.freeze(this);
  }

  /** Whether a value is a tensor that an engine has made, and not one that only looks like it. @internal */
  static is(value: unknown): value is Tensor {
    return typeof value === "object" && value !== null && #memory in value;
  }

  /**
   * A window onto the tensor's elements, not a copy: `Float32Array<SharedArrayBuffer>` for `f32`, and so on; 16-bit floats as the bits
   * in a `Uint16Array`. A view stays valid when the memory grows. After `dispose()` do not use one that was kept: its bytes may belong
   * to another tensor.
   *
   * @throws {@link SparseXentError} `DISPOSED` after `dispose()` of the tensor or its engine.
   */
  get view(): Views[D] {
    this.#assertAlive();
    return this.#memory.viewOf(this.dtype, this.#allocation, this.length);
  }

  /**
   * A copy of the elements in an ordinary array, for callers that refuse shared memory (`Blob`, `TextDecoder`, `postMessage` with transfer).
   *
   * @throws {@link SparseXentError} `DISPOSED`, as `view`.
   * @example
   * ```ts
   * grad.toArray().buffer instanceof ArrayBuffer; // => true
   * ```
   */
  toArray(): Copies[D] {
    return copyOf<D>(this.view);
  }

  /** Whether `dispose()` was called on it or on its engine. */
  get isDisposed(): boolean {
    return this.#allocation.isReleased || this.#memory.isDisposed;
  }

  /**
   * Gives the memory back. Never throws; a second time does nothing.
   *
   * While an asynchronous call still uses the tensor, `view` throws from now on, but the memory is kept until that call ends.
   */
  dispose(): void {
    this.#allocation.release();
  }

  /** `dispose()`, for `using`. */
  [disposeSymbol](): void {
    this.dispose();
  }

  /** `Tensor`, in `Object.prototype.toString` and what is made of it. */
  get [Symbol.toStringTag](): string {
    return "Tensor";
  }

  /** What Node prints: element type, shape and the first elements. @internal */
  [inspectSymbol](): string {
    const elements = this.isDisposed ? "disposed" : show(Array.from<number | bigint>(this.view.subarray(0, 9)), this.length);
    return `Tensor ${this.dtype} ${show(this.shape)} ${elements}`;
  }

  /** `shape` in an array of the package's own that is not frozen: V8 takes 10 ns for each element of one that is. @internal */
  get dimensions(): readonly number[] {
    return this.#dims;
  }

  /** The tensor's allocation if it lives in this memory, otherwise undefined. @internal */
  allocationIn(memory: Memory): Allocation | undefined {
    return memory === this.#memory ? this.#allocation : undefined;
  }

  #assertAlive(): void {
    if (this.#memory.isDisposed) throw new SparseXentError({ code: "DISPOSED", message: "tensor was disposed with its engine" });
    if (this.#allocation.isReleased) throw new SparseXentError({ code: "DISPOSED", message: "tensor was disposed" });
  }
}
