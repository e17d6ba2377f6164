// Options and arguments of the weighted sigmoid cross-entropy, checked. May import arguments and below.
// Guarantees: as arguments.ts. An element takes the place of a row, and the positive weights the place of the class weights, so that the call
// block and everything below serve both operations.
import {
  assertUsable,
  checkAliases,
  checkByteCounts,
  checkGradConflicts,
  checkGradDtype,
  checkLengths,
  checkShapes,
  logitsShape,
  readArray,
  readGrad,
  readOptional,
  shaped,
  type Arguments,
  type Operand,
} from "./arguments.js";
import { elementsOf, type Memory } from "./memory.js";
import { mismatch } from "./errors.js";
import { checkSizes, layoutOf, type Layout } from "./layout.js";
import { readOptions, type CrossEntropyOptions, type WeightsInput } from "./options.js";
import { Tensor } from "./tensor.js";
import type { LogitsDtype, TypedArray } from "./dtypes.js";

/** The options of {@link Engine.weightedSigmoidCrossEntropy}; every one may be left out. Those shared with `crossEntropy` mean the same. */
export interface WeightedSigmoidOptions
  extends Pick<CrossEntropyOptions, "axis" | "shape" | "dtype" | "reduction" | "denominator" | "emptyMean" | "grad" | "accumulate"> {
  /** The weight of the positive term, finite and at least 0: a number, or one per class along `axis`. Default 1. */
  readonly posWeight?: number | WeightsInput | undefined;
  /** A finite weight of any sign for all elements or for each: an array of the logits' shape, or of their rank with 1s that are broadcast. Default 1. */
  readonly sampleWeight?: number | WeightsInput | undefined;
  /** d(what you differentiate)/d(loss): a number, or one per element with `reduction: "none"`. Default 1. */
  readonly upstream?: number | WeightsInput | undefined;
}

/** The options of {@link Engine.weightedSigmoidCrossEntropyAsync}. */
export interface WeightedSigmoidAsyncOptions extends WeightedSigmoidOptions {
  /** Ends the call with the error `ABORTED` when it fires. A given `grad` may then be partly written. */
  readonly signal?: AbortSignal | undefined;
}

/** Every key an options object may have. */
export const sigmoidOptionNames = [
  "axis", "shape", "dtype", "reduction", "denominator", "emptyMean", "grad", "accumulate", "posWeight", "sampleWeight", "upstream",
] as const satisfies readonly (keyof WeightedSigmoidOptions)[]; // prettier-ignore

const knownNames: ReadonlySet<string> = new Set(sigmoidOptionNames);

const POS_WEIGHT_RANGE = "a finite number of at least 0";

/** Checks a call, in the order in which errors are promised. */
export function readSigmoidArguments(memory: Memory, logits: unknown, targets: unknown, options: WeightedSigmoidAsyncOptions, isAsync: boolean): Arguments {
  if (typeof options !== "object" || options === null) throw mismatch("OPTION_RANGE", "options", options, "an object");
  const { posWeight, sampleWeight, upstream } = options;
  memory.assertOpen();
  assertUsable(memory, "logits", logits);
  assertUsable(memory, "targets", targets);
  assertUsable(memory, "posWeight", posWeight);
  assertUsable(memory, "sampleWeight", sampleWeight);
  assertUsable(memory, "upstream", upstream);
  assertUsable(memory, "grad", options.grad);

  const found = {
    logits: readArray("logits", logits, options.dtype),
    targets: readArray("targets", targets),
    posWeight: readOptional("posWeight", posWeight),
    sampleWeight: readOptional("sampleWeight", sampleWeight),
    upstream: readOptional("upstream", upstream),
  };
  if (options.grad instanceof Tensor) checkGradDtype(options.grad, found.logits.dtype as LogitsDtype);

  const read = {
    logits: shaped(found.logits) as Arguments["logits"],
    labels: shaped(found.targets),
    classWeight: found.posWeight && shaped(found.posWeight),
    sampleWeight: found.sampleWeight === undefined ? ((sampleWeight as number | undefined) ?? 1) : shaped(found.sampleWeight),
    upstream: found.upstream === undefined ? ((upstream as number | undefined) ?? 1) : shaped(found.upstream),
    classMask: undefined,
    labelMatrix: undefined,
  };
  const rows = layoutOf(logitsShape(read.logits, options.shape), options.axis ?? -1);
  const layout: Layout = { ...rows, rows: rows.elements, rowShape: rows.dims, keptShape: rows.dims };
  checkShapes(layout, read, options.grad);
  checkLengths(layout, read, "elements");
  checkSizes(rows);
  checkByteCounts(layout, read, options.grad === true, memory.maximumBytes);

  const settings = readOptions(options, knownNames, isAsync);
  if (typeof posWeight === "number" && !isPositiveWeight(posWeight)) throw mismatch("OPTION_RANGE", "posWeight", posWeight, POS_WEIGHT_RANGE);
  const grad = readGrad(options.grad);
  checkGradConflicts(read, grad, settings, "element");
  checkAliases(grad, read);
  if (read.classWeight !== undefined) checkPosWeights(read.classWeight);
  const common = { ...read, operation: "weightedSigmoid", grad, settings } as const;
  if (typeof posWeight !== "number") return { ...common, layout };
  // One weight for all: every element is of the one class there is.
  const classWeight: Operand = { name: "posWeight", dtype: "f64", shape: [1], length: 1, source: [posWeight] };
  return { ...common, classWeight, layout: { ...layout, outer: layout.elements, classes: 1, inner: 1 } };
}

function isPositiveWeight(weight: number): boolean {
  return weight >= 0 && Number.isFinite(weight);
}

function checkPosWeights({ dtype, source }: Operand): void {
  const weights = source instanceof Tensor ? source.view : Array.isArray(source) ? source : elementsOf(dtype, source as TypedArray);
  for (let index = 0; index < weights.length; index += 1) {
    const weight = Number(weights[index]);
    if (!isPositiveWeight(weight)) throw mismatch("WEIGHT_VALUE", `posWeight[${index}]`, weight, POS_WEIGHT_RANGE, { index });
  }
}
