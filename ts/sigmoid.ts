// Options and arguments of the weighted sigmoid cross-entropy, checked. May import arguments and below.
// Guarantees: as arguments.ts. An element takes the place of a row, and the positive weights the place of the class weights, so that the call
// block and everything below serve both operations.
import { assertOptions, checkAliases, checkGradConflicts, checkLossConflict, namedTargets, readOperands, readTargets, type Arguments } from "./arguments.js";
import { elementsOf, type Memory } from "./memory.js";
import { mismatch } from "./errors.js";
import { copyOfList, look, lookOrNumber, type Operand } from "./operands.js";
import type { CrossEntropyOptions, SampleWeightInput, WeightsInput } from "./options.js";
import { optionReader } from "./settings.js";
import { Tensor } from "./tensor.js";

/** The options of {@link Engine.weightedSigmoidCrossEntropy}; every one may be left out. Those shared with `crossEntropy` mean the same. */
export interface WeightedSigmoidOptions
  extends Pick<CrossEntropyOptions, "axis" | "shape" | "dtype" | "reduction" | "denominator" | "emptyMean" | "loss" | "grad" | "accumulate"> {
  /** The weight of the positive term, finite and at least 0: a number, or one per class along `axis`. Default 1. */
  readonly posWeight?: number | WeightsInput | undefined;
  /** A finite weight of any sign for all elements or for each: an array of the logits' shape, or of their rank with 1s that are broadcast. Default 1. */
  readonly sampleWeight?: number | SampleWeightInput | undefined;
  /** d(what you differentiate)/d(loss): a number, or one per element with `reduction: "none"`. Default 1. */
  readonly upstream?: number | WeightsInput | undefined;
}

/** The options of {@link Engine.weightedSigmoidCrossEntropyAsync}. */
export interface WeightedSigmoidAsyncOptions extends WeightedSigmoidOptions {
  /** Ends the call with the error `ABORTED` when it fires. A given `grad` may then be partly written. */
  readonly signal?: AbortSignal | null | undefined;
}

/** Every key an options object may have. */
export const sigmoidOptionNames = [
  "axis", "shape", "dtype", "reduction", "denominator", "emptyMean", "loss", "grad", "accumulate", "posWeight", "sampleWeight", "upstream",
] as const satisfies readonly (keyof WeightedSigmoidOptions)[]; // prettier-ignore

const readOptions = optionReader(sigmoidOptionNames);

const POS_WEIGHT_RANGE = "a finite number of at least 0";

/** Checks a call, in the order in which errors are promised. */
export function readSigmoidArguments(memory: Memory, logits: unknown, labels: unknown, options: WeightedSigmoidAsyncOptions, isAsync: boolean): Arguments {
  assertOptions(options);
  const posWeight = lookOrNumber("posWeight", options.posWeight);
  const given = {
    logits: look("logits", logits),
    labels: look("targets", labels),
    classWeight: typeof posWeight === "number" ? undefined : posWeight,
    sampleWeight: lookOrNumber("sampleWeight", options.sampleWeight),
    upstream: lookOrNumber("upstream", options.upstream),
    targets: namedTargets(options.loss, options.grad, new Map()),
    axis: options.axis,
    shape: copyOfList(options.shape),
    dtype: options.dtype,
  };
  const { settings, given: names, signal, fault } = readOptions(options, isAsync);
  const { read, layout } = readOperands(memory, given, "elements");
  if (fault !== undefined) throw fault;
  if (typeof posWeight === "number" && !isPositiveWeight(posWeight)) throw mismatch("OPTION_RANGE", "posWeight", posWeight, POS_WEIGHT_RANGE);
  const written = readTargets(given.targets);
  checkGradConflicts(read, written.grad, settings, "element");
  checkLossConflict(written.targets, settings);
  checkAliases(given.targets, read);
  if (read.classWeight !== undefined) checkPosWeights(read.classWeight);
  const common = { ...read, operation: "weightedSigmoid", ...written, settings, given: names, signal } as const;
  if (typeof posWeight !== "number") return { ...common, layout };
  // One weight for all: every element is of the one class there is.
  const classWeight: Operand = { name: "posWeight", dtype: "f64", shape: [1], length: 1, source: Float64Array.of(posWeight) };
  return { ...common, classWeight, layout: { ...layout, outer: layout.elements, classes: 1, inner: 1 } };
}

function isPositiveWeight(weight: number): boolean {
  return weight >= 0 && Number.isFinite(weight);
}

function checkPosWeights({ dtype, source }: Operand): void {
  const weights = Tensor.is(source) ? source.view : elementsOf(dtype, source);
  for (let index = 0; index < weights.length; index += 1) {
    const weight = Number(weights[index]);
    if (!isPositiveWeight(weight)) throw mismatch("WEIGHT_VALUE", `posWeight[${index}]`, weight, POS_WEIGHT_RANGE, { index });
  }
}
