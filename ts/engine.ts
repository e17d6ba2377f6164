// Engine: one loaded instance, its memory and its threads. May import arguments, sigmoid, call, result, tensor, memory and below.
// Guarantees: a call that fails wrote nothing and left nothing allocated; after dispose() everything of the engine throws DISPOSED.
import { Aborts } from "./aborts.js";
import { readArguments, type Arguments } from "./arguments.js";
import { Call } from "./call.js";
import { dtypeNamed, dtypes, type Dtype, type ForeignDtypes } from "./dtypes.js";
import { aborted, isSparseXentError, mismatch } from "./errors.js";
import { areBytes, convert, elementsFor, type TensorData } from "./fill.js";
import { checkBytes, product, readShape } from "./layout.js";
import { Memory } from "./memory.js";
import type { CrossEntropyAsyncOptions, CrossEntropyOptions, LabelsInput, LogitsInput, WeightsInput } from "./options.js";
import type { Runtime } from "./pool/runtime.js";
import { readError, readResult, type AnyResult, type CrossEntropyResult, type LinearCrossEntropyResult, type WeightedSigmoidResult } from "./result.js";
import { readLinearArguments, type FactorInput, type LinearCrossEntropyAsyncOptions, type LinearCrossEntropyOptions } from "./linear.js";
import { readSigmoidArguments, type WeightedSigmoidAsyncOptions, type WeightedSigmoidOptions } from "./sigmoid.js";
import { asyncDisposeSymbol, disposeSymbol, inspectSymbol } from "./symbols.js";
import { Tensor } from "./tensor.js";

/** What an engine is made of and runs on. */
export interface EngineInfo {
  /** Version of the package. */
  readonly version: string;
  /** Which wasm file runs: `relaxed` (fused multiply-add where the processor has it) or `simd`. Results may differ between them in the last bits. */
  readonly build: "relaxed" | "simd";
  /** Threads an asynchronous call may use, the caller's included; a synchronous one too, unless `canBlock` is false. */
  readonly threads: number;
  /**
   * Why there is one thread and what would give more: it was asked for, the machine runs one at a time, or memory cannot be shared with others
   * (in a page mostly because two headers are missing). Undefined with two threads and more.
   */
  readonly whyOneThread: string | undefined;
  /** Whether the host lets threads share memory. If not (a page without the two isolation headers), there is one thread. */
  readonly isolated: boolean;
  /** Whether the calling thread may wait for others. A browser's main thread may not: there a synchronous call uses one thread. */
  readonly canBlock: boolean;
  /** Size of the engine's memory at this moment, in bytes; it grows as needed and never shrinks. */
  readonly memoryBytes: number;
  /** Bytes of it in tensors that were not disposed of. */
  readonly usedBytes: number;
}

/**
 * Ends engines that were dropped without `dispose()`: each has threads, and address space for all of its memory. It watches the memory,
 * which engines and tensors hold: while a tensor is in use its engine lives. Tensors have no such registry: a view may be in use when
 * its tensor is not, and its bytes would become another tensor's.
 */
const dropped = new FinalizationRegistry<Runtime>((runtime) => void runtime.dispose());

/** Options with no key but the known ones, so that a misspelt one is an error in the editor too, which then names it. */
type Exactly<Known, O> = Known & { readonly [Key in Exclude<keyof O, keyof Known>]: `${Key & string} is not an option of this call` };

/**
 * One loaded instance: memory, threads, and the operation. `load()` makes it; engines are independent of each other.
 *
 * `dispose()` ends it. One that is dropped with all of its tensors is ended when it is collected, whenever that is. A tensor that is
 * dropped keeps its part of the memory until its engine ends: views may outlive their tensor, so nothing takes it back on its own.
 *
 * @example
 * ```ts
 * const xent = await load();
 * const logits = xent.tensor("f32", [2, 4]);
 * const labels = xent.tensor("i32", [2]);
 * logits.view.set([1, 1, 1, 1, 1, 2, 3, 4]);
 * labels.view.set([3, 0]);
 * console.log(xent.crossEntropy(logits, labels).loss.toFixed(4)); // 2.4132
 * await xent.dispose();
 * ```
 */
export class Engine {
  // Bundles shorten names; what Node and browsers print of a class is this one.
  static {
    Object.defineProperty(this, "name", { value: "Engine" });
  }

  readonly #runtime: Runtime;
  readonly #memory: Memory;
  readonly #aborts = new Aborts();
  #disposal: Promise<void> | undefined;

  /** @internal `load()` makes engines. */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#memory = new Memory(runtime);
    dropped.register(this.#memory, runtime, runtime);
  }

  /** What this engine is and runs on: the answer to "why is it slow here". Stays readable after `dispose()`. */
  get info(): EngineInfo {
    const { build, threads, whyOneThread, isolated, canBlock } = this.#runtime.info;
    const version = this.#runtime.wasm.version();
    return { version, build, threads, whyOneThread, isolated, canBlock, memoryBytes: this.#memory.bytes, usedBytes: this.#memory.usedBytes };
  }

  /**
   * A new tensor in the engine's memory; it holds its memory until `dispose()`.
   *
   * @param dtype element type, such as `f32` or `i32`; `float32` and `int32` are the same
   * @param shape dimensions, outermost first; `[]` is a single element
   * @param data what fills it, zeros if left out: a typed array or numbers in a list, flat or nested as `shape` is. Integer types take integers that they
   * hold; a `Uint16Array` for `f16` or `bf16` holds bits, numbers are rounded to the nearest
   * @throws {@link SparseXentError} `DISPOSED`, `DTYPE`, `SHAPE`, `LENGTH`, `OPTION_RANGE` for a number that an integer type does not hold; `SIZE` for
   * more bytes than the memory can ever hold; `OUT_OF_MEMORY` if it cannot grow by so much now (one tensor has less than 2 GiB). The engine stays usable.
   * @example
   * ```ts
   * using labels = xent.tensor("i32", [2, 2], [[3, 0], [1, 2]]);
   * labels.view[0] = 4;
   * ```
   */
  tensor<D extends Dtype>(dtype: D, shape: readonly number[], data?: TensorData): Tensor<D>;
  tensor<N extends keyof ForeignDtypes>(dtype: N, shape: readonly number[], data?: TensorData): Tensor<ForeignDtypes[N]>;
  tensor(dtype: unknown, shape: readonly number[], data?: TensorData): Tensor {
    this.#memory.assertOpen();
    const type = dtypeNamed(dtype);
    if (type === undefined || type === "bool") throw mismatch("DTYPE", "tensor dtype", dtype, `one of ${Object.keys(dtypes).join(", ")}`);
    const dims = readShape("tensor", shape);
    const bytes = product(dims) * dtypes[type].bytes;
    const elements = data === undefined ? undefined : elementsFor(type, dims, data);
    checkBytes("tensor", bytes, this.#memory.maximumBytes);
    const allocation = this.#memory.allocate("tensor", bytes);
    const tensor = new Tensor(this.#memory, allocation, type, dims);
    try {
      if (elements === undefined) this.#memory.clear(allocation);
      else if (areBytes(type, elements)) this.#memory.write(allocation, elements);
      else convert(type, tensor.view, elements);
      return tensor;
    } catch (error) {
      tensor.dispose();
      throw error;
    }
  }

  /**
   * Sparse softmax cross-entropy, and its gradient if `grad` is given, on the calling thread.
   *
   * ```text
   * per row with logits x, label y, row weight w:   loss = w · (ln Σ exp(x[k]) - x[y])       grad[k] = g · w · (softmax(x)[k] - [k = y])
   * reduction mean:  loss = Σ loss / D, g = upstream / D        sum:  loss = Σ loss, g = upstream        none:  a loss per row, g = upstream
   * ```
   *
   * Smoothing, z-loss, focal and the other terms: see {@link CrossEntropyOptions}.
   *
   * - `logits`: f32, f64, f16 or bf16, of any rank, classes on `axis`. `labels`: integers in [0, C), of the logits' shape without the class
   *   axis or with 1 in its place; a bare array needs one element per row. Tensors of this engine are used where they lie; arrays are copied
   *   in once and the copy is freed again. The logits of ignored rows and of rows with weight 0 are not read.
   * - Written: the tensors and typed arrays that `grad`, `loss` and `outputs` name (`grad` may be the logits tensor: in place, with the same bits),
   *   and new tensors, which the result's `dispose()` gives back. Nothing else, and nothing at all if an error is thrown.
   * - All threads are used where the calling thread may wait for them (Node, workers), otherwise one. Results have the same bits for any
   *   number of threads.
   * - A NaN or +inf logit, or only -inf, makes the row's loss and gradient NaN; other rows are exact. Loss at a label whose logit is -inf is +inf.
   *   No rows: sum 0. No valid rows, or a denominator of 0: `emptyMean`. The conventions are those of PyTorch and Keras; see `presets`.
   *
   * @throws {@link SparseXentError} with any of the argument codes; of two mistakes the code that comes first in `errorCodes` is thrown.
   * @example
   * ```ts
   * using result = xent.crossEntropy(logits, labels, { grad: true, labelSmoothing: 0.1, ignoreIndex: -100 });
   * console.log(result.loss, result.grad.shape); // 2.381… [512, 32000]
   * ```
   */
  crossEntropy<L extends LogitsInput, const O extends Exactly<CrossEntropyOptions, O> = Record<never, never>>(
    logits: L,
    labels: LabelsInput,
    options?: O,
  ): CrossEntropyResult<O, L> {
    return this.#run(readArguments(this.#memory, logits, labels, options === undefined ? {} : options, false)) as CrossEntropyResult<O, L>;
  }

  /**
   * As {@link crossEntropy}, on all threads everywhere, without holding up the caller's event loop; same results, bit for bit.
   *
   * Arguments are checked and arrays copied in before it returns, so the arrays may be changed at once. Tensors must not be written until the
   * promise settles; they may be disposed of: their memory is then kept until the call ends. `signal` ends the call early.
   *
   * @returns a promise that rejects with a {@link SparseXentError}: as for `crossEntropy`, and `ABORTED`, or `DISPOSED` if the engine is disposed of
   * meanwhile.
   * @example
   * ```ts
   * const { loss } = await xent.crossEntropyAsync(logits, labels, { signal: AbortSignal.timeout(1000) });
   * ```
   */
  async crossEntropyAsync<L extends LogitsInput, const O extends Exactly<CrossEntropyAsyncOptions, O> = Record<never, never>>(
    logits: L,
    labels: LabelsInput,
    options?: O,
  ): Promise<CrossEntropyResult<O, L>> {
    const args = readArguments(this.#memory, logits, labels, options === undefined ? {} : options, true);
    return (await this.#runAsync(args)) as CrossEntropyResult<O, L>;
  }

  /**
   * Element-wise sigmoid cross-entropy with a weight on the positive term, and its gradient if `grad` is given; on the calling thread.
   *
   * ```text
   * per element with logit x, target t, positive weight k, sample weight w:
   *   loss = w · ((1 - t) · softplus(x) + k · t · softplus(-x))        grad = g · w · ((1 - t) · sigmoid(x) - k · t · sigmoid(-x))
   * reduction, denominator and g as in crossEntropy, over elements in place of rows
   * ```
   *
   * For several labels per position; the same as TensorFlow's `weighted_cross_entropy_with_logits`. A term whose factor is 0 is not
   * evaluated: a target of 1 at +inf has loss 0. Elements of weight 0 are not read.
   *
   * @param logits as for `crossEntropy`; any shape
   * @param targets f32, f64 or bytes, usually from 0 to 1, of the logits' shape; a bare array needs one per element
   * @throws {@link SparseXentError} as `crossEntropy`; there are no labels to be wrong
   * @example
   * ```ts
   * const { loss } = xent.weightedSigmoidCrossEntropy(Float32Array.of(2, 2, -1, 0.5), [1, 0, 1, 0.25], { shape: [4], posWeight: 3 });
   * console.log(loss.toFixed(4)); // 1.8834
   * ```
   */
  weightedSigmoidCrossEntropy<L extends LogitsInput, const O extends Exactly<WeightedSigmoidOptions, O> = Record<never, never>>(
    logits: L,
    targets: WeightsInput,
    options?: O,
  ): WeightedSigmoidResult<O, L> {
    const args = readSigmoidArguments(this.#memory, logits, targets, options === undefined ? {} : options, false);
    return this.#run(args) as WeightedSigmoidResult<O, L>;
  }

  /** As {@link weightedSigmoidCrossEntropy}, on all threads everywhere, with the promises of {@link crossEntropyAsync}. */
  async weightedSigmoidCrossEntropyAsync<L extends LogitsInput, const O extends Exactly<WeightedSigmoidAsyncOptions, O> = Record<never, never>>(
    logits: L,
    targets: WeightsInput,
    options?: O,
  ): Promise<WeightedSigmoidResult<O, L>> {
    const args = readSigmoidArguments(this.#memory, logits, targets, options === undefined ? {} : options, true);
    return (await this.#runAsync(args)) as WeightedSigmoidResult<O, L>;
  }

  /**
   * The last layer and its loss in one operation: the loss of the logits `hidden · weightᵀ + bias`, which are made some rows at a time and never
   * stored, and the gradients of hidden states, weights and bias if `grad` asks for them; on the calling thread.
   *
   * ```text
   * logits[n][v] = Σ hidden[n][d] · weight[v][d] + bias[v]              g: the gradient that crossEntropy gives for these logits
   * grad.hidden[n][d] = Σ g[n][v] · weight[v][d]      grad.weight[v][d] = Σ g[n][v] · hidden[n][d]      grad.bias[v] = Σ g[n][v]
   * ```
   *
   * Memory beside inputs and gradients: `4 · chunkRows · V` bytes, and 0.6 MB for each thread. Threads, NaN and infinities as in
   * {@link crossEntropy}; results have the same bits for any number of threads. Rows that are ignored or weigh nothing are left out before the product:
   * their hidden states are not read.
   *
   * @param hidden hidden states, f32, f16 or bf16, `[..., D]`
   * @param weight weights, f32, f16 or bf16, `[V, D]`, or `[D, V]` with `weightLayout: "dv"`; with its shape
   * @param labels integers in [0, V), of the hidden states' shape without D; a bare array needs one element per row
   * @throws {@link SparseXentError} as `crossEntropy`; nothing has been written then, and memory for the whole call is there before anything is
   * @example
   * ```ts
   * const { loss, grad } = xent.linearCrossEntropy(hidden, weight, labels, { bias, grad: true, ignoreIndex: -100 });
   * console.log(loss, grad.hidden.shape, grad.weight.shape); // 10.82… [512, 256] [50257, 256]
   * ```
   */
  linearCrossEntropy<const O extends Exactly<LinearCrossEntropyOptions, O> = Record<never, never>>(
    hidden: FactorInput,
    weight: FactorInput,
    labels: LabelsInput,
    options?: O,
  ): LinearCrossEntropyResult<O> {
    return this.#run(readLinearArguments(this.#memory, hidden, weight, labels, options === undefined ? {} : options, false)) as LinearCrossEntropyResult<O>;
  }

  /** As {@link linearCrossEntropy}, on all threads everywhere, with the promises of {@link crossEntropyAsync}. */
  async linearCrossEntropyAsync<const O extends Exactly<LinearCrossEntropyAsyncOptions, O> = Record<never, never>>(
    hidden: FactorInput,
    weight: FactorInput,
    labels: LabelsInput,
    options?: O,
  ): Promise<LinearCrossEntropyResult<O>> {
    const args = readLinearArguments(this.#memory, hidden, weight, labels, options === undefined ? {} : options, true);
    return (await this.#runAsync(args)) as LinearCrossEntropyResult<O>;
  }

  /**
   * Ends the engine: its threads stop, pending calls reject with `DISPOSED`, all its tensors throw `DISPOSED`, its memory is freed. A second
   * time does nothing.
   *
   * @returns a promise that resolves when the threads have ended
   */
  dispose(): Promise<void> {
    this.#memory.close("disposed");
    dropped.unregister(this.#runtime);
    this.#disposal ??= this.#runtime.dispose();
    return this.#disposal;
  }

  /** `dispose()`, for `using`. */
  [disposeSymbol](): void {
    void this.dispose();
  }

  /** `dispose()`, for `await using`. */
  [asyncDisposeSymbol](): Promise<void> {
    return this.dispose();
  }

  /** `Engine`, in `Object.prototype.toString` and what is made of it. */
  get [Symbol.toStringTag](): string {
    return "Engine";
  }

  /** What Node prints: {@link info}. @internal */
  [inspectSymbol](_depth: number, options: unknown, inspect: (value: unknown, options: unknown) => string): string {
    return `Engine ${inspect(this.info, options)}`;
  }

  /** Runs a call on this thread. What comes back follows from the options, which only the public signatures spell out. */
  #run(args: Arguments): unknown {
    const call = this.#begin(args, this.#runtime.syncThreads);
    try {
      return this.#conclude(call, args, this.#runtime.run(call.address));
    } catch (error) {
      this.#fail(call, error);
      throw error;
    } finally {
      call.finish();
    }
  }

  /** As `#run`, without holding up this thread. */
  #runAsync(args: Arguments): Promise<unknown> {
    const { signal } = args;
    if (signal?.aborted === true) throw aborted(signal);
    let call: Call | undefined;
    const begin = async (): Promise<unknown> => this.#await((call = this.#begin(args, this.#runtime.info.threads)), args);
    if (signal === undefined) return begin();
    return this.#aborts.race(signal, begin, () => {
      // One that still waits for others never runs; one that runs stops soon, and its outcome says so.
      if (call === undefined || !call.cancel() || !this.#runtime.callOff(call.ticket)) return false;
      call.callOff();
      return true;
    });
  }

  async #await(call: Call, args: Arguments): Promise<AnyResult> {
    try {
      return this.#conclude(call, args, await this.#runtime.runAsync(call.address, call.ticket));
    } catch (error) {
      this.#fail(call, error);
      throw error;
    } finally {
      call.finish();
    }
  }

  /** A call that is ready to run. Where memory is refused, it is judged all the same: what is wrong with labels or weights is said before that. Nothing runs. */
  #begin(args: Arguments, threads: number): Call {
    const call = new Call(this.#memory, args);
    try {
      call.complete(threads);
      return call;
    } catch (refusal) {
      try {
        const code = this.#runtime.judge(call.address);
        const fault = code === 0 ? refusal : readError(this.#memory, call, args, code);
        throw isSparseXentError(fault, "OUT_OF_MEMORY") ? refusal : fault;
      } catch (error) {
        this.#fail(call, error);
        throw error;
      }
    }
  }

  /** What a call that ended with this code gives back, or its error. */
  #conclude(call: Call, args: Arguments, code: number): AnyResult {
    if (code !== 0) throw readError(this.#memory, call, args, code);
    return readResult(this.#memory, call, args);
  }

  /** Cleans up after a call that ends in an error. */
  #fail(call: Call, error: unknown): void {
    if (isSparseXentError(error, "ENGINE_LOST")) this.#memory.close("lost");
    call.abandon();
  }
}
