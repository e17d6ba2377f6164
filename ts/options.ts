// The options of a call: types, defaults, ranges and exclusions. May import dtypes, errors and the type of Tensor.
// Guarantees: `readOptions` accepts exactly the documented keys and ranges and returns every option filled in.
import type { Dtype, Float16ArrayLike, LabelsDtype, LogitsDtype, WeightsDtype } from "./dtypes.js";
import { SparseXentError, mismatch } from "./errors.js";
import type { Tensor } from "./tensor.js";

/** An array with its shape, as other libraries hand tensors over (an onnxruntime tensor is one). Copied in once per call. */
export interface ShapedArray {
  /** A typed array; for labels and weights also an array of numbers. */
  readonly data: ArrayLike<unknown>;
  /** Dimensions, outermost first. Either this or `dims`. */
  readonly shape?: readonly number[] | undefined;
  /** Another name for `shape`. */
  readonly dims?: readonly number[] | undefined;
  /** Element type, needed where the array does not tell: a `Uint16Array` that holds `f16` or `bf16`. Also `float32`, `int64` and the like. */
  readonly dtype?: string | undefined;
  /** Another name for `dtype`. */
  readonly type?: string | undefined;
}

/** A bare array of logits; needs `shape` in the options, and a `Uint16Array` also `dtype`. */
export type LogitsArray = Float32Array | Float64Array | Uint16Array | Float16ArrayLike;

/** What may be given as logits: a tensor of this engine (not copied), or an array (copied in once). */
export type LogitsInput = Tensor<LogitsDtype> | LogitsArray | ShapedArray;

/** A bare array of labels, one per row. */
export type LabelsArray =
  | Uint8Array
  | Uint8ClampedArray
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array
  | readonly number[];

/** What may be given as labels: a tensor of this engine (not copied), or an array (copied in once). */
export type LabelsInput = Tensor<LabelsDtype> | LabelsArray | ShapedArray;

/** What may be given as an array of weights. */
export type WeightsInput = Tensor<WeightsDtype> | Float32Array | Float64Array | Uint8Array | readonly number[] | ShapedArray;

/** See {@link CrossEntropyOptions.reduction}. */
export type Reduction = "none" | "sum" | "mean";
/** See {@link CrossEntropyOptions.denominator}. */
export type Denominator = "weights" | "valid" | "all" | "nonzero" | number;
/** See {@link CrossEntropyOptions.outputs}. */
export type OutputName = "logSumExp" | "targetLogProb" | "predictions" | "perClass";

/**
 * The options of a call; every one may be left out.
 *
 * Words: a *row* is one label and its C logits; N rows. With class weight v and sample weight ω the row weight is w = v[y]·ω. A row whose
 * label is in `ignoreIndex` is *ignored*: loss 0, gradient 0, its logits are not read. All others are *valid*. p = softmax(z),
 * z = logitScale·x.
 */
export interface CrossEntropyOptions {
  /** The class axis of the logits, an integer in [-rank, rank). Default -1, the last; PyTorch and ONNX use 1. */
  readonly axis?: number | undefined;
  /** Dimensions of logits given as a bare array. */
  readonly shape?: readonly number[] | undefined;
  /** Element type of logits given as a bare `Uint16Array`: `f16` or `bf16`. */
  readonly dtype?: string | undefined;
  /** `mean`: Σ loss / denominator. `sum`: Σ loss. `none`: a tensor with the weighted loss of every row. Default `mean`. */
  readonly reduction?: Reduction | undefined;
  /**
   * What `mean` divides by, over the valid rows: `weights` Σ w (PyTorch, ONNX), `valid` their count (Keras), `nonzero` the count with w ≠ 0
   * (tf.compat.v1, TF.js), `all` N, or a finite number > 0. Default `weights`.
   */
  readonly denominator?: Denominator | undefined;
  /** A label to skip, or up to 16 of them, inside or outside [0, C). Default null: none. PyTorch uses -100. */
  readonly ignoreIndex?: number | bigint | readonly (number | bigint)[] | null | undefined;
  /**
   * What a label outside [0, C) or masked by `classMask` does. `throw` (default): the call fails and nothing is written. `nan`: loss and
   * gradient of the row are NaN. `ignore`: the row is ignored.
   */
  readonly invalidLabel?: "throw" | "nan" | "ignore" | undefined;
  /** A finite weight of any sign per class: C numbers, or `{ class: number }`, where a class that is missing has 1. Default all 1. */
  readonly classWeight?: WeightsInput | Readonly<Record<number, number>> | undefined;
  /**
   * A finite weight of any sign for all rows or for each: N numbers, an array of the labels' shape, or of their rank with 1s that are
   * broadcast (`[B,1,1]`). Bytes are a 0/1 mask. Multiplies the class weight. Default 1.
   */
  readonly sampleWeight?: number | WeightsInput | undefined;
  /** ε in 0..1: the share of each target that is spread evenly over the kept classes. Default 0. */
  readonly labelSmoothing?: number | undefined;
  /** How class weights enter smoothing: each class's share by its own weight (`class`, PyTorch, default) or by the row's (`row`, Keras). */
  readonly smoothingWeights?: "class" | "row" | undefined;
  /** A `mean` whose denominator is 0: `zero` (Keras, default) or `nan` (PyTorch, ONNX). */
  readonly emptyMean?: "zero" | "nan" | undefined;
  /** d(what you differentiate)/d(loss): multiplies the gradient, not the loss. A number, or N numbers with `reduction: "none"`. Default 1. */
  readonly upstream?: number | WeightsInput | undefined;
  /**
   * The gradient: `true` for a new tensor, or a tensor to write it to, of the logits' shape and type (`f32` also under `f16` and `bf16`).
   * The logits tensor itself means in place, with the same bits. Default false.
   */
  readonly grad?: boolean | Tensor | undefined;
  /** Add to the given `grad` tensor, which must not be the logits, instead of overwriting it. Ignored rows are not touched. Default false. */
  readonly accumulate?: boolean | undefined;
  /** λ ≥ 0: adds λ·w·(log-sum-exp)² per row. Default 0. */
  readonly zLoss?: number | undefined;
  /** γ ≥ 0 of the focal loss (1 - p[y])^γ · -ln p[y]. Default 0. */
  readonly focalGamma?: number | undefined;
  /** π of the poly-1 loss -ln p[y] + π·(1 - p[y]). Default 0. */
  readonly poly1Epsilon?: number | undefined;
  /** s > 0, the inverse temperature: z = s·x. The gradient is with respect to x. Default 1. */
  readonly logitScale?: number | undefined;
  /** What the logits array holds; never guessed. `logProbs` are not checked to be normalised. Default `logits`. */
  readonly input?: "logits" | "logProbs" | "probs" | undefined;
  /** With `input: "probs"`: clip to [ε, 1 - ε], 0 < ε < 0.5. Default 1e-7. */
  readonly probsEpsilon?: number | undefined;
  /** With `input: "probs"`: divide by the sum before clipping (`before`, default), after it (`after`), or not (`none`). */
  readonly probsNormalize?: "before" | "after" | "none" | undefined;
  /**
   * C bytes, 0 for a class that is taken out of softmax and smoothing: its logits are not read, its gradient is 0. Zeros alone leave no class,
   * and every label that is not ignored invalid.
   */
  readonly classMask?: Tensor<"u8"> | Uint8Array | readonly (number | boolean)[] | ShapedArray | undefined;
  /** C·C numbers H, row-major: the loss of a row becomes -ω·Σₖ H[y,k]·ln p[k]. */
  readonly labelMatrix?: WeightsInput | readonly (readonly number[])[] | undefined;
  /** Further results from the same pass, see {@link CrossEntropyResult}. Default none. */
  readonly outputs?: readonly OutputName[] | undefined;
}

/** The options of {@link Engine.crossEntropyAsync}. */
export interface CrossEntropyAsyncOptions extends CrossEntropyOptions {
  /**
   * Ends the call with the error `ABORTED` when it fires. A given `grad` may then be partly written, in part with numbers on the
   * way to the gradient: where `grad` is the logits, they are lost.
   */
  readonly signal?: AbortSignal | undefined;
}

/** Options as the rest of the package uses them: checked and filled in. Arrays are looked at elsewhere. */
export interface Settings {
  readonly reduction: Reduction;
  readonly denominator: Denominator;
  readonly ignoreIndex: readonly bigint[];
  readonly invalidLabel: "throw" | "nan" | "ignore";
  readonly labelSmoothing: number;
  readonly smoothingWeights: "class" | "row";
  readonly emptyMean: "zero" | "nan";
  readonly accumulate: boolean;
  readonly zLoss: number;
  readonly focalGamma: number;
  readonly poly1Epsilon: number;
  readonly logitScale: number;
  readonly input: "logits" | "logProbs" | "probs";
  readonly probsEpsilon: number;
  readonly probsNormalize: "before" | "after" | "none";
  readonly outputs: ReadonlySet<OutputName>;
}

/** The accepted words of the options that take one, in the order of their numbers in the call block. */
export const choices = {
  reduction: ["none", "sum", "mean"],
  denominator: ["weights", "valid", "all", "nonzero"],
  invalidLabel: ["throw", "nan", "ignore"],
  smoothingWeights: ["class", "row"],
  emptyMean: ["zero", "nan"],
  input: ["logits", "logProbs", "probs"],
  probsNormalize: ["before", "after", "none"],
  outputs: ["logSumExp", "targetLogProb", "predictions", "perClass"],
} as const satisfies Record<string, readonly string[]>;

interface NumberRule {
  readonly fallback: number;
  readonly expected: string;
  readonly accepts: (value: number) => boolean;
}

const numbers = {
  labelSmoothing: { fallback: 0, expected: "0..1", accepts: (value) => value >= 0 && value <= 1 },
  zLoss: { fallback: 0, expected: "a finite number of at least 0", accepts: (value) => value >= 0 && Number.isFinite(value) },
  focalGamma: { fallback: 0, expected: "a finite number of at least 0", accepts: (value) => value >= 0 && Number.isFinite(value) },
  poly1Epsilon: { fallback: 0, expected: "a finite number", accepts: Number.isFinite },
  logitScale: { fallback: 1, expected: "a finite number above 0", accepts: (value) => value > 0 && Number.isFinite(value) },
  probsEpsilon: { fallback: 1e-7, expected: "a number above 0 and below 0.5", accepts: (value) => value > 0 && value < 0.5 },
} as const satisfies Record<string, NumberRule>;

/** Every key an options object may have, in the order of {@link CrossEntropyOptions}. */
export const optionNames = [
  "axis", "shape", "dtype", "reduction", "denominator", "ignoreIndex", "invalidLabel", "classWeight", "sampleWeight", "labelSmoothing",
  "smoothingWeights", "emptyMean", "upstream", "grad", "accumulate", "zLoss", "focalGamma", "poly1Epsilon", "logitScale", "input",
  "probsEpsilon", "probsNormalize", "classMask", "labelMatrix", "outputs",
] as const satisfies readonly (keyof CrossEntropyOptions)[]; // prettier-ignore

const MOST_IGNORED = 16;

/** No labels and no outputs, for the calls that name none. */
const noLabels: readonly bigint[] = [];
const noOutputs: ReadonlySet<OutputName> = new Set();

/** Checks ranges, then exclusions, of everything that is not an array, and fills in the defaults. `known`: the keys there may be, beside `signal`. */
export function readOptions(options: CrossEntropyAsyncOptions, known: ReadonlySet<string>, isAsync: boolean): Settings {
  for (const key of Object.keys(options)) {
    if (known.has(key) || (isAsync && key === "signal")) continue;
    throw mismatch("OPTION_RANGE", "options", key, `keys among ${[...known, ...(isAsync ? ["signal"] : [])].join(", ")}`);
  }
  const settings: Settings = {
    reduction: choice("reduction", options.reduction, "mean"),
    denominator: readDenominator(options.denominator),
    ignoreIndex: readIgnored(options.ignoreIndex),
    invalidLabel: choice("invalidLabel", options.invalidLabel, "throw"),
    labelSmoothing: number("labelSmoothing", options.labelSmoothing),
    smoothingWeights: choice("smoothingWeights", options.smoothingWeights, "class"),
    emptyMean: choice("emptyMean", options.emptyMean, "zero"),
    accumulate: boolean("accumulate", options.accumulate),
    zLoss: number("zLoss", options.zLoss),
    focalGamma: number("focalGamma", options.focalGamma),
    poly1Epsilon: number("poly1Epsilon", options.poly1Epsilon),
    logitScale: number("logitScale", options.logitScale),
    input: choice("input", options.input, "logits"),
    probsEpsilon: number("probsEpsilon", options.probsEpsilon),
    probsNormalize: choice("probsNormalize", options.probsNormalize, "before"),
    outputs: readOutputs(options.outputs),
  };
  checkConflicts(options, settings);
  return settings;
}

function choice<Name extends Exclude<keyof typeof choices, "outputs">>(
  name: Name,
  value: unknown,
  fallback: (typeof choices)[Name][number],
): (typeof choices)[Name][number] {
  if (value === undefined) return fallback;
  const words: readonly (typeof choices)[Name][number][] = choices[name];
  const word = words.find((candidate) => candidate === value);
  if (word === undefined) throw mismatch("OPTION_RANGE", name, value, `one of ${words.join(", ")}`);
  return word;
}

function number(name: keyof typeof numbers, value: unknown): number {
  const rule: NumberRule = numbers[name];
  if (value === undefined) return rule.fallback;
  if (typeof value !== "number" || !rule.accepts(value)) throw mismatch("OPTION_RANGE", name, value, rule.expected);
  return value;
}

function boolean(name: string, value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value !== "boolean") throw mismatch("OPTION_RANGE", name, value, "true or false");
  return value;
}

function readDenominator(value: unknown): Denominator {
  if (value === undefined) return "weights";
  const word = choices.denominator.find((candidate) => candidate === value);
  if (word !== undefined) return word;
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw mismatch("OPTION_RANGE", "denominator", value, `one of ${choices.denominator.join(", ")}, or a finite number above 0`);
}

function readIgnored(value: unknown): readonly bigint[] {
  if (value === undefined || value === null) return noLabels;
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const labels = new Set<bigint>();
  for (const label of list) {
    if (typeof label === "bigint") labels.add(label);
    else if (typeof label === "number" && Number.isInteger(label)) labels.add(BigInt(label));
    else throw mismatch("OPTION_RANGE", "ignoreIndex", label, "an integer, a bigint, a list of them, or null");
  }
  if (list.length > MOST_IGNORED) throw mismatch("OPTION_RANGE", "ignoreIndex", list, `at most ${MOST_IGNORED} labels`);
  // No label type holds what lies outside 64 bits, so it matches nothing.
  return [...labels].filter((label) => label >= -(2n ** 63n) && label < 2n ** 64n);
}

function readOutputs(value: unknown): ReadonlySet<OutputName> {
  if (value === undefined) return noOutputs;
  const expected = `a list of ${choices.outputs.join(", ")}`;
  if (!Array.isArray(value)) throw mismatch("OPTION_RANGE", "outputs", value, expected);
  const wanted = new Set<OutputName>();
  for (const name of value as readonly unknown[]) {
    const output = choices.outputs.find((candidate) => candidate === name);
    if (output === undefined) throw mismatch("OPTION_RANGE", "outputs", name, expected);
    wanted.add(output);
  }
  return wanted;
}

/** What each input or option rules out. Upstream and grad, which depend on arguments, are looked at where those are. */
function checkConflicts(options: CrossEntropyOptions, settings: Settings): void {
  const { labelMatrix, probsEpsilon, probsNormalize } = options;
  // With none of these nothing is ruled out.
  if (settings.input === "logits" && labelMatrix === undefined && probsEpsilon === undefined && probsNormalize === undefined) return;
  const active = {
    zLoss: settings.zLoss !== 0,
    logitScale: settings.logitScale !== 1,
    "outputs logSumExp": settings.outputs.has("logSumExp"),
    focalGamma: settings.focalGamma !== 0,
    poly1Epsilon: settings.poly1Epsilon !== 0,
    labelSmoothing: settings.labelSmoothing !== 0,
    classMask: options.classMask !== undefined,
    labelMatrix: labelMatrix !== undefined,
    classWeight: options.classWeight !== undefined,
    probsEpsilon: probsEpsilon !== undefined,
    probsNormalize: probsNormalize !== undefined,
  };
  const exclude = (reason: string, names: readonly (keyof typeof active)[]): void => {
    const name = names.find((candidate) => active[candidate]);
    if (name !== undefined) throw conflict(name, `none with ${reason}`);
  };
  if (settings.input === "logProbs") exclude('input: "logProbs"', ["zLoss", "logitScale", "outputs logSumExp"]);
  if (settings.input === "probs") {
    exclude('input: "probs"', ["zLoss", "logitScale", "outputs logSumExp", "focalGamma", "poly1Epsilon", "labelSmoothing", "classMask", "labelMatrix"]);
  } else {
    exclude(`input: "${settings.input}"`, ["probsEpsilon", "probsNormalize"]);
  }
  if (active.labelMatrix) exclude("labelMatrix", ["classWeight", "labelSmoothing", "focalGamma", "poly1Epsilon"]);
}

/** The error for an option that another one rules out. */
export function conflict(name: string, expected: string): SparseXentError {
  return new SparseXentError({ code: "OPTION_CONFLICT", message: `${name} got a value, expected ${expected}`, got: name, expected });
}

/** Element types by argument, for checks and messages. */
export const accepted = {
  logits: ["f32", "f64", "f16", "bf16"],
  labels: ["u8", "i8", "u16", "i16", "i32", "u32", "i64", "u64", "f32", "f64"],
  classWeight: ["f32", "f64"],
  sampleWeight: ["f32", "f64", "u8"],
  upstream: ["f32", "f64"],
  classMask: ["u8"],
  labelMatrix: ["f32", "f64"],
  targets: ["f32", "f64", "u8"],
  posWeight: ["f32", "f64"],
} as const satisfies Record<string, readonly Dtype[]>;
