// One call as a block of 64-bit float words in shared memory: the mirror of crate/js/call.rs. May import arguments, layout, memory and below.
// Guarantees: whatever a call took from the memory is given back when it closes, its results excepted, and those too when it fails.
// Memory is taken in two steps, labels and weights first: where the second is refused, what they hold can still be judged.
import type { Arguments, Layer, Operation } from "./arguments.js";
import { arrayHolds, dtypes, type Dtype, type TypedArray } from "./dtypes.js";
import { broadcastIndex, broadcastTarget, product, sameShape, targetShape } from "./layout.js";
import type { Allocation, Memory } from "./memory.js";
import type { Operand } from "./operands.js";
import { numberOf, optionTable, settingNames, type ResultName } from "./settings.js";
import { Tensor } from "./tensor.js";

/** The words of the block in their order. An address of 0 means "none". The names from `code` on are results. */
export const callFields = [
  "operation", "threads", "outer", "classes", "inner", "logitsAddress", "logitsDtype", "labelsAddress", "labelsDtype",
  "gradMode", "gradAddress", "gradDtype", "lossAddress", "reduction", "denominator", "denominatorValue", "invalidLabel",
  "classWeightAddress", "classWeightDtype", "sampleWeightAddress", "sampleWeightDtype", "sampleWeightValue", "labelSmoothing", "smoothingWeights",
  "emptyMean", "upstreamAddress", "upstreamDtype", "upstreamValue", "zLoss", "focalGamma", "poly1Epsilon", "gceQ", "softcap", "logitScale",
  "input", "probsEpsilon", "probsNormalize", "classMaskAddress", "labelMatrixAddress", "labelMatrixDtype",
  "logSumExpAddress", "targetLogProbAddress", "predictionsAddress", "perClassAddress",
  "topK", "topValuesAddress", "topClassesAddress", "targetRankAddress", "entropyAddress", "logProbsAddress", "ignoreCount", "ignoreAddress", "wantsCounts",
  "depth", "weightAddress", "weightDtype", "weightLayout", "biasAddress", "biasDtype", "chunkRows", "recompute",
  "weightGradAddress", "biasGradAddress", "accumulates",
  "code", "errorIndex", "errorGot", "errorCount", "loss", "lossSum", "weightSum", "validCount", "invalidCount", "rowCount", "nonFiniteCount",
  "denominatorUsed", "correctCount", "cancel",
] as const; // prettier-ignore

/** The name of a word. */
export type CallField = (typeof callFields)[number];

/** The place of each word in the block. */
export const wordOf = Object.fromEntries(callFields.map((name, place) => [name, place])) as Readonly<Record<CallField, number>>;

const operations = { crossEntropy: 1, weightedSigmoid: 2, linear: 3 } as const satisfies Record<Operation, number>;
const WORD_BYTES = 8;
/** A label to skip is an integer of 128 bits. */
const LABEL_BYTES = 16;
const gradModes = { none: 0, write: 1, inPlace: 2, accumulate: 3 } as const;
/** The layouts of a layer's weights, in the order of their numbers. */
const weightLayouts = ["vd", "dv"] as const;
/** `denominator` when it is a number: one past the words. */
const DENOMINATOR_NUMBER = optionTable.denominator.words.length;

/** The block of a call of which nothing is known: its options have their defaults, and there is no address. */
const blank = new Float64Array(callFields.length);
for (const name of settingNames) if (name in wordOf) blank[wordOf[name as CallField]] = numberOf(name, optionTable[name].fallback);
blank[wordOf.sampleWeightValue] = 1;
blank[wordOf.upstreamValue] = 1;

/** Values per class in the `perClass` result: loss, weight, count, correct. */
export const PER_CLASS_COLUMNS = 4;

/** A tensor that a call fills and then gives to the caller. */
export interface Made {
  readonly allocation: Allocation;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** The results of a call that need memory. */
export type MadeName = "loss" | "grad" | "grad.hidden" | "grad.weight" | "grad.bias" | ResultName;

/** The results of rows: where their addresses are, and what they hold if not numbers as losses are. */
const resultWords = [
  ["logSumExp", wordOf.logSumExpAddress],
  ["targetLogProb", wordOf.targetLogProbAddress],
  ["predictions", wordOf.predictionsAddress, "i32"],
  ["topK.values", wordOf.topValuesAddress],
  ["topK.classes", wordOf.topClassesAddress, "i32"],
  ["targetRank", wordOf.targetRankAddress, "i32"],
  ["entropy", wordOf.entropyAddress],
  ["logProbs", wordOf.logProbsAddress],
] as const satisfies readonly (readonly [ResultName, number, Dtype?])[];

/** A call, written down: as far as it can be judged, and once `complete()` has returned, ready to run. */
export class Call {
  readonly #memory: Memory;
  readonly #arguments: Arguments;
  readonly #block: Allocation;
  /** What it uses beside the block: tensors, and copies of its own, which are freed when it lets them go. */
  readonly #pinned: Allocation[] = [];
  readonly #made: Made[] = [];

  /** Copies labels and weights in and writes what is known to the block; errors `OUT_OF_MEMORY`, after giving back what it had taken. */
  constructor(memory: Memory, args: Arguments) {
    this.#memory = memory;
    this.#arguments = args;
    this.#block = memory.allocateBlock(blank.byteLength);
    try {
      const { address, bytes } = this.#block;
      memory.words(address + bytes).set(blank, address / WORD_BYTES);
      this.#writeShape();
      this.#writeInputs();
      this.#writeOptions();
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  /** Copies the logits in and makes the results; errors `OUT_OF_MEMORY`, after which the block can be judged. */
  complete(threads: number): void {
    const { layer } = this.#arguments;
    if (layer === undefined) this.#writeGrad();
    this.#writeOutputs();
    if (layer !== undefined) this.#writeLayer(layer);
    this.#write(wordOf.threads, threads);
  }

  /** Where the block is. */
  get address(): number {
    return this.#block.address;
  }

  /** The word at a place of the block. */
  read(place: number): number {
    const { address, bytes } = this.#block;
    return this.#memory.words(address + bytes)[address / WORD_BYTES + place] ?? Number.NaN;
  }

  /** Asks the call to stop at its next block of rows; false once it is over. */
  cancel(): boolean {
    if (this.#memory.isDisposed || this.#block.isReleased) return false;
    // One aligned word with one writer, which the threads poll: a plain store is enough.
    this.#memory.view("i32", this.address + wordOf.cancel * WORD_BYTES, 1)[0] = 1;
    return true;
  }

  /** Where the other half of the word `cancel` is: who sets it first, the thread that would run the call or the one that calls it off, has it. */
  get ticket(): number {
    return this.address + wordOf.cancel * WORD_BYTES + WORD_BYTES / 2;
  }

  /** A result that needed memory, if it was asked for. */
  made(name: MadeName): Made | undefined {
    // There are few of them.
    return this.#made.find(({ allocation }) => allocation.name === name);
  }

  /** Gives back what a call that will never run has no use for: all but the block, where its ticket is. */
  callOff(): void {
    for (const { allocation } of this.#made.splice(0)) allocation.release();
    this.#unpin();
  }

  /** Gives everything back but the results, which now belong to the caller. */
  finish(): void {
    this.#unpin();
    this.#block.release();
  }

  /** Gives everything back. */
  abandon(): void {
    this.callOff();
    this.finish();
  }

  #unpin(): void {
    for (let last = this.#pinned.pop(); last !== undefined; last = this.#pinned.pop()) last.unpin();
  }

  #write(place: number, value: number): void {
    const { address, bytes } = this.#block;
    this.#memory.words(address + bytes)[address / WORD_BYTES + place] = value;
  }

  /** Memory for the length of the call. */
  #take(name: string, bytes: number, like?: TypedArray): Allocation {
    const allocation = this.#memory.allocate(name, bytes, like);
    allocation.pin();
    allocation.release();
    this.#pinned.push(allocation);
    return allocation;
  }

  #make(name: MadeName, dtype: Dtype, shape: readonly number[], like?: TypedArray): Allocation {
    const allocation = this.#memory.allocate(name, product(shape) * dtypes[dtype].bytes, like);
    this.#made.push({ allocation, dtype, shape });
    return allocation;
  }

  /** The address of a tensor in place; it stays allocated until the call is over. */
  #pin(tensor: Tensor): number {
    const allocation = tensor.allocationIn(this.#memory);
    allocation?.pin();
    if (allocation !== undefined) this.#pinned.push(allocation);
    return tensor.byteOffset;
  }

  /** The address of a result: of the tensor it shall be written to, or of new memory. */
  #result(name: keyof Arguments["targets"], dtype: Dtype): number {
    const { labels, layout, settings, targets } = this.#arguments;
    const target = targets[name];
    if (Tensor.is(target)) return this.#pin(target);
    const shape = targetShape(layout, name, settings.k);
    return this.#make(name, dtype, shape === layout.rowShape ? (labels.shape ?? shape) : shape, target).address;
  }

  /** The address of an argument: in place if it is a tensor, otherwise of a copy for the length of the call. */
  #place(operand: Operand): number {
    if (Tensor.is(operand.source)) return this.#pin(operand.source);
    const allocation = this.#take(operand.name, operand.length * dtypes[operand.dtype].bytes, operand.source);
    this.#memory.write(allocation, operand.source);
    return allocation.address;
  }

  #writeShape(): void {
    const { operation, layout, logits } = this.#arguments;
    this.#write(wordOf.operation, operations[operation]);
    this.#write(wordOf.outer, layout.outer);
    this.#write(wordOf.classes, layout.classes);
    this.#write(wordOf.inner, layout.inner);
    this.#write(wordOf.logitsDtype, dtypes[logits.dtype].code);
  }

  #writeInputs(): void {
    const { labels, classWeight, upstream, classMask, labelMatrix, sampleWeight } = this.#arguments;
    this.#writeOperand(wordOf.labelsAddress, wordOf.labelsDtype, labels);
    if (classWeight !== undefined) this.#writeOperand(wordOf.classWeightAddress, wordOf.classWeightDtype, classWeight);
    if (typeof sampleWeight === "number") this.#write(wordOf.sampleWeightValue, sampleWeight);
    else {
      this.#write(wordOf.sampleWeightAddress, this.#placePerRow(sampleWeight));
      this.#write(wordOf.sampleWeightDtype, dtypes[sampleWeight.dtype].code);
    }
    if (typeof upstream === "number") this.#write(wordOf.upstreamValue, upstream);
    else this.#writeOperand(wordOf.upstreamAddress, wordOf.upstreamDtype, upstream);
    if (classMask !== undefined) this.#write(wordOf.classMaskAddress, this.#place(classMask));
    if (labelMatrix !== undefined) this.#writeOperand(wordOf.labelMatrixAddress, wordOf.labelMatrixDtype, labelMatrix);
  }

  #writeOperand(address: number, dtype: number, operand: Operand): void {
    this.#write(address, this.#place(operand));
    this.#write(dtype, dtypes[operand.dtype].code);
  }

  /** As `#place`, with 1s in the shape repeated over the rows. */
  #placePerRow(operand: Operand): number {
    const { layout } = this.#arguments;
    const target = operand.shape && broadcastTarget(layout, operand.shape);
    if (operand.shape === undefined || target === undefined || sameShape(operand.shape, target)) return this.#place(operand);
    const allocation = this.#take(operand.name, layout.rows * dtypes[operand.dtype].bytes);
    const source = Tensor.is(operand.source) ? operand.source.view : operand.source;
    this.#memory.gather(allocation, operand.dtype, source, layout.rows, broadcastIndex(operand.shape, target));
    return allocation.address;
  }

  /** Logits and gradient, which may share their bytes. */
  #writeGrad(): void {
    const { logits, grad, layout, settings } = this.#arguments;
    if (grad === false) return this.#write(wordOf.logitsAddress, this.#place(logits));
    const mode = settings.accumulate ? gradModes.accumulate : gradModes.write;
    if (Tensor.is(grad)) {
      const address = this.#place(logits);
      return this.#writeGradWords(address, grad === logits.source ? gradModes.inPlace : mode, this.#pin(grad), grad.dtype);
    }
    // Of an array that is not the logits' type there is one: f32 under 16 bits.
    const dtype = grad === true || arrayHolds(grad, logits.dtype) ? logits.dtype : "f32";
    const like = grad === true ? undefined : grad;
    if (mode === gradModes.write && dtype === logits.dtype && !Tensor.is(logits.source)) {
      // The copy of the logits is ours to overwrite: in place gives the same bits and needs half the memory.
      const made = this.#make("grad", dtype, layout.dims, like);
      this.#memory.write(made, logits.source);
      return this.#writeGradWords(made.address, gradModes.inPlace, made.address, dtype);
    }
    const address = this.#place(logits);
    const made = this.#make("grad", dtype, layout.dims, like);
    if (like !== undefined && settings.accumulate) this.#memory.write(made, like);
    this.#writeGradWords(address, mode, made.address, dtype);
  }

  /** The layer's arrays and gradients; the hidden states last, since a block without them is only judged. */
  #writeLayer({ depth, weight, bias, weightLayout, chunkRows, recompute, grads }: Layer): void {
    const { logits: hidden, layout, settings } = this.#arguments;
    this.#write(wordOf.depth, depth);
    this.#write(wordOf.weightLayout, weightLayouts.indexOf(weightLayout));
    this.#write(wordOf.chunkRows, chunkRows ?? 0);
    this.#write(wordOf.recompute, recompute ? 1 : 0);
    this.#write(wordOf.accumulates, settings.accumulate ? 1 : 0);
    this.#writeOperand(wordOf.weightAddress, wordOf.weightDtype, weight);
    if (bias !== undefined) this.#writeOperand(wordOf.biasAddress, wordOf.biasDtype, bias);
    const target = (name: "hidden" | "weight" | "bias", shape: readonly number[]): number => {
      const grad = grads[name];
      return grad === false ? 0 : grad === true ? this.#make(`grad.${name}`, "f32", shape).address : this.#pin(grad);
    };
    this.#write(wordOf.weightGradAddress, target("weight", weight.shape ?? []));
    this.#write(wordOf.biasGradAddress, target("bias", [layout.classes]));
    const dims = [...layout.rowShape, depth];
    if (grads.hidden === hidden.source) {
      const address = this.#place(hidden);
      return this.#writeGradWords(address, gradModes.inPlace, address, "f32");
    }
    const address = target("hidden", dims);
    this.#writeGradWords(this.#place(hidden), address === 0 ? gradModes.none : gradModes.write, address, "f32");
  }

  #writeGradWords(logitsAddress: number, mode: number, address: number, dtype: Dtype): void {
    this.#write(wordOf.logitsAddress, logitsAddress);
    this.#write(wordOf.gradMode, mode);
    this.#write(wordOf.gradAddress, address);
    this.#write(wordOf.gradDtype, dtypes[dtype].code);
  }

  /** What was given; the block has the defaults. */
  #writeOptions(): void {
    const { settings, given } = this.#arguments;
    const { denominator, ignoreIndex } = settings;
    for (const name of given) if (name in wordOf) this.#write(wordOf[name as CallField], numberOf(name, settings[name]));
    if (typeof denominator === "number") {
      this.#write(wordOf.denominator, DENOMINATOR_NUMBER);
      this.#write(wordOf.denominatorValue, denominator);
    }
    if (ignoreIndex.length === 0) return;
    this.#write(wordOf.ignoreCount, ignoreIndex.length);
    this.#write(wordOf.ignoreAddress, this.#placeIgnored(ignoreIndex));
  }

  /** Labels to skip: of each the lower half, then the upper one, which repeats the sign. */
  #placeIgnored(labels: readonly bigint[]): number {
    const { address } = this.#take("ignoreIndex", labels.length * LABEL_BYTES);
    const halves = this.#memory.view("i64", address, 2 * labels.length);
    labels.forEach((label, index) => {
      halves[2 * index] = label;
      halves[2 * index + 1] = label < 0n ? -1n : 0n;
    });
    return address;
  }

  #writeOutputs(): void {
    const { layout, logits, settings } = this.#arguments;
    const { outputs, reduction } = settings;
    const lossDtype = logits.dtype === "f64" ? "f64" : "f32";
    if (reduction === "none") this.#write(wordOf.lossAddress, this.#result("loss", lossDtype));
    if (outputs.size === 0) return;
    for (const [name, word, dtype] of resultWords) if (outputs.has(name)) this.#write(word, this.#result(name, dtype ?? lossDtype));
    if (outputs.has("topK.values")) this.#write(wordOf.topK, settings.k);
    if (outputs.has("perClass")) this.#write(wordOf.perClassAddress, this.#make("perClass", "f64", [PER_CLASS_COLUMNS, layout.classes]).address);
    this.#write(wordOf.wantsCounts, outputs.has("predictions") || outputs.has("perClass") ? 1 : 0);
  }
}
