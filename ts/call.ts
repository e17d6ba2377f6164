// One call as a block of 64-bit float words in shared memory: the mirror of crate/js/call.rs. May import arguments, layout, memory and below.
// Guarantees: whatever a call took from the memory is given back when it closes, its results excepted, and those too when it fails.
// Memory is taken in two steps, labels and weights first: where the second is refused, what they hold can still be judged.
import type { Arguments, Operand, Operation } from "./arguments.js";
import { dtypes, type Dtype } from "./dtypes.js";
import { broadcastIndex, broadcastTarget, product, sameShape } from "./layout.js";
import type { Allocation, Memory } from "./memory.js";
import { choices } from "./options.js";
import { Tensor } from "./tensor.js";

/** The words of the block in their order. An address of 0 means "none". The names from `code` on are results. */
export const callFields = [
  "operation", "threads", "outer", "classes", "inner", "logitsAddress", "logitsDtype", "labelsAddress", "labelsDtype",
  "gradMode", "gradAddress", "gradDtype", "lossAddress", "reduction", "denominator", "denominatorValue", "invalidLabel",
  "classWeightAddress", "classWeightDtype", "sampleWeightAddress", "sampleWeightDtype", "sampleWeightValue", "labelSmoothing", "smoothingWeights",
  "emptyMean", "upstreamAddress", "upstreamDtype", "upstreamValue", "zLoss", "focalGamma", "poly1Epsilon", "logitScale",
  "input", "probsEpsilon", "probsNormalize", "classMaskAddress", "labelMatrixAddress", "labelMatrixDtype",
  "logSumExpAddress", "targetLogProbAddress", "predictionsAddress", "perClassAddress", "ignoreCount", "ignoreAddress", "wantsCounts",
  "code", "errorIndex", "errorGot", "errorCount", "loss", "lossSum", "weightSum", "validCount", "invalidCount", "rowCount", "nonFiniteCount",
  "denominatorUsed", "correctCount", "cancel",
] as const; // prettier-ignore

/** The name of a word. */
export type CallField = (typeof callFields)[number];

const operations = { crossEntropy: 1, weightedSigmoid: 2 } as const satisfies Record<Operation, number>;
const WORD_BYTES = 8;
const gradModes = { none: 0, write: 1, inPlace: 2, accumulate: 3 } as const;
/** `denominator` when it is a number: one past the words. */
const DENOMINATOR_NUMBER = choices.denominator.length;
/** Values per class in the `perClass` result: loss, weight, count, correct. */
export const PER_CLASS_COLUMNS = 4;

/** A tensor that a call fills and then gives to the caller. */
export interface Made {
  readonly allocation: Allocation;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** The results of a call that need memory. */
export type MadeName = "loss" | "grad" | "logSumExp" | "targetLogProb" | "predictions" | "perClass";

/** A call, written down: as far as it can be judged, and once `complete()` has returned, ready to run. */
export class Call {
  readonly #memory: Memory;
  readonly #arguments: Arguments;
  readonly #block: Allocation;
  readonly #temporary: Allocation[] = [];
  readonly #pinned: Allocation[] = [];
  readonly #made = new Map<MadeName, Made>();

  /** Copies labels and weights in and writes what is known to the block; errors `OUT_OF_MEMORY`, after giving back what it had taken. */
  constructor(memory: Memory, args: Arguments) {
    this.#memory = memory;
    this.#arguments = args;
    try {
      this.#block = this.#take("call", callFields.length * WORD_BYTES);
      this.#memory.clear(this.#block);
      this.#write({ ...this.#shapeWords(), ...this.#inputWords(), ...this.#optionWords() });
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  /** Copies the logits in and makes the results; errors `OUT_OF_MEMORY`, after which the block, without logits, can be judged by running it. */
  complete(threads: number): void {
    this.#write({ ...this.#gradWords(), ...this.#outputWords(), threads });
  }

  /** Where the block is. */
  get address(): number {
    return this.#block.address;
  }

  /** A word of the block. */
  read(field: CallField): number {
    return this.#words()[callFields.indexOf(field)] ?? Number.NaN;
  }

  /** Asks a running call to stop at its next block of rows. */
  cancel(): void {
    if (this.#memory.isDisposed) return;
    // One aligned word with one writer, which the threads poll: a plain store is enough.
    this.#memory.view("i32", this.address + callFields.indexOf("cancel") * WORD_BYTES, 1)[0] = 1;
  }

  /** A result that needed memory, if it was asked for. */
  made(name: MadeName): Made | undefined {
    return this.#made.get(name);
  }

  /** Gives everything back but the results, which now belong to the caller. */
  finish(): void {
    for (const allocation of this.#temporary.splice(0)) allocation.release();
    for (const allocation of this.#pinned.splice(0)) allocation.unpin();
  }

  /** Gives everything back. */
  abandon(): void {
    for (const { allocation } of this.#made.values()) allocation.release();
    this.#made.clear();
    this.finish();
  }

  #words(): Float64Array {
    return this.#memory.view("f64", this.address, callFields.length);
  }

  #write(values: Partial<Record<CallField, number>>): void {
    const words = this.#words();
    for (const [index, field] of callFields.entries()) words[index] = values[field] ?? words[index] ?? 0;
  }

  #take(name: string, bytes: number): Allocation {
    const allocation = this.#memory.allocate(name, bytes);
    this.#temporary.push(allocation);
    return allocation;
  }

  #make(name: MadeName, dtype: Dtype, shape: readonly number[]): number {
    const allocation = this.#memory.allocate(name, product(shape) * dtypes[dtype].bytes);
    this.#made.set(name, { allocation, dtype, shape });
    return allocation.address;
  }

  /** The address of a tensor in place; it stays allocated until the call is over. */
  #pin(tensor: Tensor): number {
    const allocation = tensor.allocationIn(this.#memory);
    allocation?.pin();
    if (allocation !== undefined) this.#pinned.push(allocation);
    return tensor.byteOffset;
  }

  /** The address of an argument: in place if it is a tensor, otherwise of a copy for the length of the call. */
  #place(operand: Operand): number {
    if (operand.source instanceof Tensor) return this.#pin(operand.source);
    const allocation = this.#take(operand.name, operand.length * dtypes[operand.dtype].bytes);
    this.#memory.write(allocation, operand.source);
    return allocation.address;
  }

  #shapeWords(): Partial<Record<CallField, number>> {
    const { operation, layout, logits } = this.#arguments;
    const { outer, classes, inner } = layout;
    return { operation: operations[operation], outer, classes, inner, logitsDtype: dtypes[logits.dtype].code };
  }

  #inputWords(): Partial<Record<CallField, number>> {
    const { labels, classWeight, upstream, classMask, labelMatrix, sampleWeight } = this.#arguments;
    return {
      labelsAddress: this.#place(labels),
      labelsDtype: dtypes[labels.dtype].code,
      ...(classWeight && { classWeightAddress: this.#place(classWeight), classWeightDtype: dtypes[classWeight.dtype].code }),
      ...(typeof sampleWeight === "number"
        ? { sampleWeightValue: sampleWeight }
        : { sampleWeightValue: 1, sampleWeightAddress: this.#placePerRow(sampleWeight), sampleWeightDtype: dtypes[sampleWeight.dtype].code }),
      ...(typeof upstream === "number"
        ? { upstreamValue: upstream }
        : { upstreamValue: 1, upstreamAddress: this.#place(upstream), upstreamDtype: dtypes[upstream.dtype].code }),
      ...(classMask && { classMaskAddress: this.#place(classMask) }),
      ...(labelMatrix && { labelMatrixAddress: this.#place(labelMatrix), labelMatrixDtype: dtypes[labelMatrix.dtype].code }),
    };
  }

  /** As `#place`, with 1s in the shape repeated over the rows. */
  #placePerRow(operand: Operand): number {
    const { layout } = this.#arguments;
    const target = operand.shape && broadcastTarget(layout, operand.shape);
    if (operand.shape === undefined || target === undefined || sameShape(operand.shape, target)) return this.#place(operand);
    const allocation = this.#take(operand.name, layout.rows * dtypes[operand.dtype].bytes);
    const source = operand.source instanceof Tensor ? operand.source.view : operand.source;
    this.#memory.gather(allocation, operand.dtype, source, layout.rows, broadcastIndex(operand.shape, target));
    return allocation.address;
  }

  /** Logits and gradient, which may share their bytes. */
  #gradWords(): Partial<Record<CallField, number>> {
    const { logits, grad, layout, settings } = this.#arguments;
    if (grad === true && !(logits.source instanceof Tensor)) {
      // The copy of the logits is ours to overwrite: in place gives the same bits and needs half the memory.
      const address = this.#make("grad", logits.dtype, layout.dims);
      const made = this.#made.get("grad");
      if (made !== undefined) this.#memory.write(made.allocation, logits.source);
      return { logitsAddress: address, gradMode: gradModes.inPlace, gradAddress: address, gradDtype: dtypes[logits.dtype].code };
    }
    const logitsAddress = this.#place(logits);
    if (grad === false) return { logitsAddress, gradMode: gradModes.none };
    if (grad === true) {
      return { logitsAddress, gradMode: gradModes.write, gradAddress: this.#make("grad", logits.dtype, layout.dims), gradDtype: dtypes[logits.dtype].code };
    }
    const mode = grad === logits.source ? gradModes.inPlace : settings.accumulate ? gradModes.accumulate : gradModes.write;
    return { logitsAddress, gradMode: mode, gradAddress: this.#pin(grad), gradDtype: dtypes[grad.dtype].code };
  }

  #optionWords(): Partial<Record<CallField, number>> {
    const { settings } = this.#arguments;
    const { denominator, ignoreIndex } = settings;
    return {
      reduction: choices.reduction.indexOf(settings.reduction),
      denominator: typeof denominator === "number" ? DENOMINATOR_NUMBER : choices.denominator.indexOf(denominator),
      denominatorValue: typeof denominator === "number" ? denominator : 0,
      invalidLabel: choices.invalidLabel.indexOf(settings.invalidLabel),
      labelSmoothing: settings.labelSmoothing,
      smoothingWeights: choices.smoothingWeights.indexOf(settings.smoothingWeights),
      emptyMean: choices.emptyMean.indexOf(settings.emptyMean),
      zLoss: settings.zLoss,
      focalGamma: settings.focalGamma,
      poly1Epsilon: settings.poly1Epsilon,
      logitScale: settings.logitScale,
      input: choices.input.indexOf(settings.input),
      probsEpsilon: settings.probsEpsilon,
      probsNormalize: choices.probsNormalize.indexOf(settings.probsNormalize),
      ...(ignoreIndex.length > 0 && { ignoreCount: ignoreIndex.length, ignoreAddress: this.#placeIgnored(ignoreIndex) }),
    };
  }

  /** Labels to skip, each as two words: floor(label / 2^32) and label mod 2^32, which hold 64 bits exactly. */
  #placeIgnored(labels: readonly bigint[]): number {
    const words = labels.flatMap((label) => [Number(label >> 32n), Number(label & 0xffff_ffffn)]);
    const allocation = this.#take("ignoreIndex", words.length * WORD_BYTES);
    this.#memory.write(allocation, words);
    return allocation.address;
  }

  #outputWords(): Partial<Record<CallField, number>> {
    const { labels, layout, logits, settings } = this.#arguments;
    const { outputs, reduction } = settings;
    const rowShape = labels.shape ?? layout.rowShape;
    const lossDtype = logits.dtype === "f64" ? "f64" : "f32";
    return {
      ...(reduction === "none" && { lossAddress: this.#make("loss", lossDtype, rowShape) }),
      ...(outputs.has("logSumExp") && { logSumExpAddress: this.#make("logSumExp", lossDtype, rowShape) }),
      ...(outputs.has("targetLogProb") && { targetLogProbAddress: this.#make("targetLogProb", lossDtype, rowShape) }),
      ...(outputs.has("predictions") && { predictionsAddress: this.#make("predictions", "i32", rowShape) }),
      ...(outputs.has("perClass") && { perClassAddress: this.#make("perClass", "f64", [PER_CLASS_COLUMNS, layout.classes]) }),
      wantsCounts: outputs.has("predictions") || outputs.has("perClass") ? 1 : 0,
    };
  }
}
