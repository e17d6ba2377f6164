// The options of a call: types, defaults, ranges and exclusions. May import dtypes, errors and the type of Tensor.
// Guarantees: an `optionReader` accepts exactly the documented keys and ranges, asks the caller's object for each once, and returns all filled in.
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
  readonly signal?: AbortSignal | null | undefined;
}

/** How an option that is not an array is read: what it is when left out, and what it may be. */
interface Rule<T> {
  readonly fallback: T;
  /** The words it may be; a word's place is its number in the call block. */
  readonly words?: readonly string[];
  /** Its value, or an error `OPTION_RANGE`. */
  readonly read: (name: string, value: unknown) => T;
}

function word<const Words extends readonly string[]>(words: Words, fallback: Words[number]): Rule<Words[number]> & { readonly words: Words } {
  const read = (name: string, value: unknown): Words[number] => {
    const found = words.find((candidate) => candidate === value);
    if (found === undefined) throw mismatch("OPTION_RANGE", name, value, `one of ${words.join(", ")}`);
    return found;
  };
  return { words, fallback, read };
}

function number(fallback: number, expected: string, accepts: (value: number) => boolean): Rule<number> {
  const read = (name: string, value: unknown): number => {
    if (typeof value === "number" && accepts(value)) return value;
    throw mismatch("OPTION_RANGE", name, value, expected);
  };
  return { fallback, read };
}

const flag: Rule<boolean> = {
  fallback: false,
  read: (name, value) => {
    if (typeof value === "boolean") return value;
    throw mismatch("OPTION_RANGE", name, value, "true or false");
  },
};

const isAtLeast0 = (value: number): boolean => value >= 0 && Number.isFinite(value);
/** An array, or what describes one: it is read where arrays are, in arguments.ts. */
const argument = undefined;

/** Every option, in the order of {@link CrossEntropyOptions}, which is that of the checks. */
export const optionTable = {
  axis: argument,
  shape: argument,
  dtype: argument,
  reduction: word(["none", "sum", "mean"], "mean"),
  denominator: { words: ["weights", "valid", "all", "nonzero"], fallback: "weights", read: readDenominator },
  ignoreIndex: { fallback: noLabels(), read: readIgnored },
  invalidLabel: word(["throw", "nan", "ignore"], "throw"),
  classWeight: argument,
  sampleWeight: argument,
  labelSmoothing: number(0, "0..1", (value) => value >= 0 && value <= 1),
  smoothingWeights: word(["class", "row"], "class"),
  emptyMean: word(["zero", "nan"], "zero"),
  upstream: argument,
  grad: argument,
  accumulate: flag,
  zLoss: number(0, "a finite number of at least 0", isAtLeast0),
  focalGamma: number(0, "a finite number of at least 0", isAtLeast0),
  poly1Epsilon: number(0, "a finite number", Number.isFinite),
  logitScale: number(1, "a finite number above 0", (value) => value > 0 && Number.isFinite(value)),
  input: word(["logits", "logProbs", "probs"], "logits"),
  probsEpsilon: number(1e-7, "a number above 0 and below 0.5", (value) => value > 0 && value < 0.5),
  probsNormalize: word(["before", "after", "none"], "before"),
  classMask: argument,
  labelMatrix: argument,
  outputs: { words: ["logSumExp", "targetLogProb", "predictions", "perClass"], fallback: noOutputs(), read: readOutputs },
} as const satisfies Record<keyof CrossEntropyOptions, Rule<unknown> | undefined>;

type Table = typeof optionTable;

/** Options as the rest of the package uses them: checked and filled in. Arrays are looked at elsewhere. */
export type Settings = { readonly [Name in keyof Table as Table[Name] extends undefined ? never : Name]: Table[Name] extends { read(name: string, value: unknown): infer T } ? T : never };

/** Every key an options object may have. */
export const optionNames = Object.keys(optionTable) as readonly (keyof CrossEntropyOptions)[];

const MOST_IGNORED = 16;

/** The options that are no arrays, as far as they could be read. */
export interface OptionsRead {
  /** Every option, the defaults filled in. */
  readonly settings: Settings;
  /** The names of those that were given. */
  readonly given: readonly string[];
  readonly signal: AbortSignal | undefined;
  /** What is wrong with them, the first of several; to be thrown when it is its turn. */
  readonly fault: unknown;
}

/**
 * How the options of an operation are read, of which these are the names. Each is asked for once: a getter that does something else as well has done
 * it when the checks begin.
 */
export function optionReader(names: readonly string[]): (options: CrossEntropyAsyncOptions, isAsync: boolean) => OptionsRead {
  const table: Readonly<Record<string, Rule<unknown> | undefined>> = optionTable;
  const defaults = Object.fromEntries(Object.entries(table).flatMap(([name, rule]) => (rule ? [[name, rule.fallback]] : []))) as unknown as Settings;
  const rules = new Map(names.map((name) => [name, table[name]]));
  return (options, isAsync) => {
    const settings: Record<string, unknown> & Settings = { ...defaults };
    const given: string[] = [];
    let signal: AbortSignal | undefined;
    let fault: unknown;
    // What an object of a class may inherit is asked for by name.
    const isPlain = Object.getPrototypeOf(options) === Object.prototype;
    for (const key of isPlain ? Object.getOwnPropertyNames(options) : new Set([...Object.keys(options), ...names, "signal"])) {
      try {
        const rule = rules.get(key);
        if (key === "signal" && isAsync) signal = readSignal(options.signal);
        else if (!rules.has(key) && Object.hasOwn(options, key)) throw unknownOption(key, isAsync ? [...names, "signal"] : names);
        if (rule === undefined) continue;
        const value = (options as Readonly<Record<string, unknown>>)[key];
        if (value === undefined) continue;
        given.push(key);
        settings[key] = rule.read(key, value);
      } catch (error) {
        fault ??= error;
      }
    }
    return { settings, given, signal, fault };
  };
}

/** OPTION_RANGE: a key that no option has, and the one that may have been meant. */
function unknownOption(key: string, known: readonly string[]): SparseXentError {
  const meant = known.find((name) => isNear(key, name));
  const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
  return mismatch("OPTION_RANGE", "options", key, `keys among ${known.join(", ")}${hint}`);
}

/** Whether two words are the same but for case and `_`, or but for one letter that is missing, added, changed or swapped with the next. */
function isNear(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => text.replace(/[_-]/g, "").toLowerCase()) as [string, string];
  let start = 0;
  while (start < a.length && a[start] === b[start]) start += 1;
  const [restA, restB] = [a.slice(start), b.slice(start)];
  const isSwapped = restA.length > 1 && restA[0] === restB[1] && restA[1] === restB[0] && restA.slice(2) === restB.slice(2);
  return isSwapped || restA.slice(1) === restB.slice(1) || restA.slice(1) === restB || restA === restB.slice(1);
}

/** By what is used of it: a signal may come from another realm, or from a library. */
function readSignal(value: unknown): AbortSignal | undefined {
  if (value === undefined || value === null) return undefined;
  const signal = value as AbortSignal;
  try {
    if ([signal.addEventListener, signal.removeEventListener].every((member) => typeof member === "function") && typeof signal.aborted === "boolean") return signal;
  } catch {
    // An object that only looks like one: its getters know better.
  }
  throw mismatch("OPTION_RANGE", "signal", value, "an AbortSignal");
}

function noLabels(): readonly bigint[] {
  return [];
}

function noOutputs(): ReadonlySet<OutputName> {
  return new Set();
}

function readDenominator(name: string, value: unknown): Denominator {
  const { words } = optionTable.denominator;
  const word = words.find((candidate) => candidate === value);
  if (word !== undefined) return word;
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw mismatch("OPTION_RANGE", name, value, `one of ${words.join(", ")}, or a finite number above 0`);
}

function readIgnored(name: string, value: unknown): readonly bigint[] {
  if (value === null) return noLabels();
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const labels = new Set<bigint>();
  for (const label of list) {
    if (typeof label === "bigint") labels.add(label);
    else if (typeof label === "number" && Number.isInteger(label)) labels.add(BigInt(label));
    else throw mismatch("OPTION_RANGE", name, label, "an integer, a bigint, a list of them, or null");
  }
  if (list.length > MOST_IGNORED) throw mismatch("OPTION_RANGE", name, list, `at most ${MOST_IGNORED} labels`);
  // No label type holds what lies outside 64 bits, so it matches nothing.
  return [...labels].filter((label) => label >= -(2n ** 63n) && label < 2n ** 64n);
}

function readOutputs(name: string, value: unknown): ReadonlySet<OutputName> {
  const { words } = optionTable.outputs;
  const expected = `a list of ${words.join(", ")}`;
  if (!Array.isArray(value)) throw mismatch("OPTION_RANGE", name, value, expected);
  const wanted = new Set<OutputName>();
  for (const each of value as readonly unknown[]) {
    const output = words.find((candidate) => candidate === each);
    if (output === undefined) throw mismatch("OPTION_RANGE", name, each, expected);
    wanted.add(output);
  }
  return wanted;
}

/** What each input or option rules out. Upstream and grad, which depend on arguments, are looked at where those are. */
export function checkConflicts({ settings, given }: OptionsRead, arrays: Partial<Record<"classMask" | "classWeight" | "labelMatrix", unknown>>): void {
  // With none of these nothing is ruled out.
  if (settings.input === "logits" && arrays.labelMatrix === undefined && !given.includes("probsEpsilon") && !given.includes("probsNormalize")) return;
  const active = {
    zLoss: settings.zLoss !== 0,
    logitScale: settings.logitScale !== 1,
    "outputs logSumExp": settings.outputs.has("logSumExp"),
    focalGamma: settings.focalGamma !== 0,
    poly1Epsilon: settings.poly1Epsilon !== 0,
    labelSmoothing: settings.labelSmoothing !== 0,
    classMask: arrays.classMask !== undefined,
    labelMatrix: arrays.labelMatrix !== undefined,
    classWeight: arrays.classWeight !== undefined,
    probsEpsilon: given.includes("probsEpsilon"),
    probsNormalize: given.includes("probsNormalize"),
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
