// What a call gives back: result types, and the errors that only the reading of labels and weights can find. May import call and below.
import type { Arguments, Target } from "./arguments.js";
import { PER_CLASS_COLUMNS, wordOf, type Call, type MadeName } from "./call.js";
import type { Copies, Dtype, LogitsDtype, TypedArray } from "./dtypes.js";
import { aborted, callCodes, mismatch, SparseXentError } from "./errors.js";
import { broadcastIndex, broadcastTarget } from "./layout.js";
import { copyOf, type Memory } from "./memory.js";
import type { CrossEntropyOptions, LogitsInput, OutputName, Reduction } from "./options.js";
import { assertUsable } from "./operands.js";
import type { LinearCrossEntropyOptions } from "./linear.js";
import type { WeightedSigmoidOptions } from "./sigmoid.js";
import { disposeSymbol } from "./symbols.js";
import { Tensor } from "./tensor.js";

/** Loss, weight and counts by label, over valid rows whose label is a class: four columns of C numbers each, in ordinary arrays. */
export interface PerClass {
  /** Σ of the weighted row losses. */
  readonly loss: Float64Array<ArrayBuffer>;
  /** Σ of the row weights. */
  readonly weight: Float64Array<ArrayBuffer>;
  /** Rows. */
  readonly count: Float64Array<ArrayBuffer>;
  /** Rows whose prediction is the label. */
  readonly correct: Float64Array<ArrayBuffer>;
}

/** The `k` largest classes of each row, of the labels' shape with `k` behind: the largest logit first, of equals the first class. */
export interface TopK<D extends LogitsDtype = LogitsDtype> {
  /** ln p of each; NaN in ignored and invalid rows and those whose loss is NaN, -inf where `classMask` keeps fewer than `k`. */
  readonly values: Tensor<LossDtype<D>>;
  /** Which classes they are; -1 in ignored and invalid rows, in rows with a NaN, and where `classMask` keeps fewer than `k`. */
  readonly classes: Tensor<"i32">;
}

/** The results that every call gives. */
export interface Totals {
  /** Σ of the row losses before denominator and upstream: the sum of what `reduction: "none"` returns. */
  readonly lossSum: number;
  /** Σ of the row weights over valid rows, the denominator `weights`. */
  readonly weightSum: number;
  /** Rows that are not ignored. */
  readonly validCount: number;
  /** Rows whose label is no class, under `invalidLabel` `nan` or `ignore`. */
  readonly invalidCount: number;
  /** All rows. */
  readonly rowCount: number;
  /** Rows whose loss is NaN or infinite. */
  readonly nonFiniteCount: number;
  /** What `mean` divided by; 1 for `none` and `sum`. */
  readonly denominator: number;
}

/** The results that `outputs` asks for. Tensors have the labels' shape and belong to the caller. */
export interface OutputResults<D extends LogitsDtype = LogitsDtype> {
  /** ln Σ exp(z) of each row, NaN for ignored and invalid rows. */
  readonly logSumExp: Tensor<LossDtype<D>>;
  /** ln p[y] of each row, unweighted and without smoothing; NaN for ignored and invalid rows. */
  readonly targetLogProb: Tensor<LossDtype<D>>;
  /** The arg-max of each row, the first of equals; -1 for ignored and invalid rows and rows with a NaN. */
  readonly predictions: Tensor<"i32">;
  /** With `predictions`: valid rows whose prediction is the label; divide by `validCount`. */
  readonly correctCount: number;
  /** See {@link PerClass}. */
  readonly perClass: PerClass;
  /** See {@link TopK}; how many is the option `k`. */
  readonly topK: TopK<D>;
  /**
   * How many classes come before the label in the order of `topK`: 0 where the prediction is right, below k where the label is among the k largest.
   * -1 for ignored and invalid rows and rows with a NaN.
   */
  readonly targetRank: Tensor<"i32">;
  /** -Σ p·ln p of each row, in nats, exact in rows that are sure of a class; NaN for ignored and invalid rows and those whose loss is NaN. */
  readonly entropy: Tensor<LossDtype<D>>;
  /** ln p of every class, of the logits' shape, f32 also for f16 and bf16 logits: -inf for classes that are masked, NaN as for `entropy`. */
  readonly logProbs: Tensor<LossDtype<D>>;
}

/** Losses are f32, and f64 for f64 logits. */
export type LossDtype<D extends Dtype> = D extends "f64" ? "f64" : "f32";

/** The element type of what is given as logits, as far as its type tells: that of a `Uint16Array` is known only when the call runs. */
export type DtypeOf<L> = L extends Tensor<infer D extends LogitsDtype>
  ? D
  : L extends { readonly data: infer A }
    ? DtypeOf<A>
    : L extends { readonly [Symbol.toStringTag]: "Float32Array" }
      ? "f32"
      : L extends { readonly [Symbol.toStringTag]: "Float64Array" }
        ? "f64"
        : L extends { readonly [Symbol.toStringTag]: "Float16Array" }
          ? "f16"
          : LogitsDtype;

/** The type of option K in O, or of its default; of a union of options in each of them. */
type Chosen<O, K extends keyof CrossEntropyOptions, Default> = O extends unknown
  ? K extends keyof O
    ? Exclude<O[K], undefined> | (undefined extends O[K] ? Default : never)
    : Default
  : never;

/** What is given to be written to, or what is made instead. */
type Written<T, Made> = T extends Tensor | TypedArray ? T : T extends true | undefined ? Made : never;

type LossOf<R, D extends LogitsDtype, T> = R extends "none" ? Written<T, Tensor<LossDtype<D>>> : R extends Reduction ? number : never;

type GradOf<G, D extends LogitsDtype> = G extends false ? never : Written<G, Tensor<D>>;

type GradPart<G, D extends LogitsDtype> = [G] extends [false]
  ? unknown
  : false extends G
    ? { readonly grad?: GradOf<G, D> }
    : { readonly grad: GradOf<G, D> };

type OutputKeys<Name> = Name extends "predictions" ? "predictions" | "correctCount" : Name extends OutputName ? Name : never;

type OutputPart<Asked, D extends LogitsDtype> = Asked extends readonly unknown[]
  ? number extends Asked["length"]
    ? Partial<Pick<OutputResults<D>, OutputKeys<Asked[number]>>>
    : Pick<OutputResults<D>, OutputKeys<Asked[number]>>
  : { readonly [Name in keyof Asked as Name extends OutputName ? ([Asked[Name]] extends [false | undefined] ? never : Name) : never]: OutputOf<Name, Asked[Name], D> } &
      ("predictions" extends keyof Asked ? ([Asked["predictions"]] extends [false | undefined] ? unknown : { readonly correctCount: number }) : unknown);

type OutputOf<Name, T, D extends LogitsDtype> = T extends false | undefined
  ? undefined
  : Name extends "topK"
    ? { readonly [Part in keyof TopK<D>]: Part extends keyof T ? Written<T[Part], TopK<D>[Part]> : TopK<D>[Part] }
    : Name extends OutputName
      ? Written<T, OutputResults<D>[Name]>
      : never;

/** Results hold memory until they are disposed of, or until the end of a `using` block. */
export interface Disposing {
  /** Gives back the tensors that the call made. What the caller gave to be written stays. A second time does nothing. */
  dispose(): void;
  /** `dispose()`, for `using`. */
  [Symbol.dispose](): void;
}

/**
 * What a call gives back. `loss` is a tensor under `reduction: "none"`, otherwise a number (f64); `grad` is there if it was asked for, with
 * the logits' shape; of {@link OutputResults} there is what `outputs` lists. Types follow the options where these are written out in the call.
 * Tensors that the call made belong to the caller, who disposes of them one by one or of the result; a target that was given is given back.
 *
 * @example
 * ```ts
 * for (const batch of batches) {
 *   using result = xent.crossEntropy(batch.logits, batch.labels, { grad: true });
 *   update(result.grad.view);
 * } // its memory is free again
 * ```
 */
export type CrossEntropyResult<O = CrossEntropyOptions, L = LogitsInput> = Totals &
  Disposing & {
    /** The loss: a number, or one per row. */
    readonly loss: LossOf<Chosen<O, "reduction", "mean">, DtypeOf<L>, Chosen<O, "loss", true>>;
  } & GradPart<Chosen<O, "grad", false>, DtypeOf<L>> &
  OutputPart<Chosen<O, "outputs", readonly []>, DtypeOf<L>>;

/**
 * What {@link Engine.weightedSigmoidCrossEntropy} gives back: `loss` is a tensor of the logits' shape under `reduction: "none"`, otherwise a
 * number (f64); `grad` is there if it was asked for. Tensors that the call made belong to the caller.
 */
export type WeightedSigmoidResult<O = WeightedSigmoidOptions, L = LogitsInput> = Pick<Totals, "lossSum" | "weightSum" | "nonFiniteCount" | "denominator"> &
  Disposing & {
    /** The loss: a number, or one per element. */
    readonly loss: LossOf<Chosen<O, "reduction", "mean">, DtypeOf<L>, Chosen<O, "loss", true>>;
  } & GradPart<Chosen<O, "grad", false>, DtypeOf<L>>;

/** Gradients of a layer: those that were asked for, in f32. */
export interface LinearGrads {
  /** With respect to the hidden states, of their shape. */
  readonly hidden: Tensor<"f32">;
  /** With respect to the weights, of their shape. */
  readonly weight: Tensor<"f32">;
  /** With respect to the bias, `[V]`. */
  readonly bias: Tensor<"f32">;
}

/** The gradients that are there for an option `grad`. */
type LinearGradPart<G> = [G] extends [false]
  ? unknown
  : G extends true
    ? { readonly grad: Pick<LinearGrads, "hidden" | "weight"> & Partial<LinearGrads> }
    : G extends object
      ? { readonly grad: { readonly [Name in keyof G & keyof LinearGrads as G[Name] extends false | undefined ? never : Name]: LinearGrads[Name] } }
      : { readonly grad?: Partial<LinearGrads> };

/**
 * What {@link Engine.linearCrossEntropy} gives back: as {@link CrossEntropyResult}, with `grad.hidden`, `grad.weight` and `grad.bias` where they were
 * asked for. Tensors that the call made belong to the caller, who disposes of them one by one or of the result.
 */
export type LinearCrossEntropyResult<O = LinearCrossEntropyOptions> = Totals &
  Disposing & {
    /** The loss: a number, or one per row. */
    readonly loss: LossOf<Chosen<O, "reduction", "mean">, "f32", Chosen<O, "loss", true>>;
  } & LinearGradPart<Chosen<O, "grad", false>> &
  OutputPart<Chosen<O, "outputs", readonly []>, "f32">;

/** Every result that any call can give. */
export type AnyResult = Totals & Disposing & { readonly loss: number | Target; readonly grad?: Target | Partial<LinearGrads> } & { readonly [Name in keyof OutputResults]?: OutputResults[Name] | Target };

/** What the results of a call have in common: the tensors that it made. */
class Results implements Disposing {
  readonly #made: Tensor[] = [];

  /** What the call wrote under this name: a target that was given, or a new tensor, which is the caller's from now on. */
  static take(results: Results, memory: Memory, call: Call, name: Exclude<MadeName, "perClass">, target: Target | boolean | undefined): Target | undefined {
    if (Tensor.is(target)) return target;
    const made = call.made(name);
    if (made === undefined) return undefined;
    if (typeof target === "object") {
      memory.read(made.allocation, target);
      made.allocation.release();
      return target;
    }
    const tensor = new Tensor(memory, made.allocation, made.dtype, made.shape);
    results.#made.push(tensor);
    return tensor;
  }

  dispose(): void {
    for (const tensor of this.#made) tensor.dispose();
  }

  [disposeSymbol](): void {
    this.dispose();
  }
}

/** The results of a call that went well; the tensors it made pass to the caller. What was not asked for is not there at all. */
export function readResult(memory: Memory, call: Call, args: Arguments): AnyResult {
  const { grad, targets, arrays, settings, operation, layout, layer } = args;
  // All are there still, before the first is written.
  for (const { name, target } of arrays) assertUsable(memory, name, target);
  // Put in one by one: an object copied without its gaps would take longer than the rest of a small call.
  const results = new Results() as Results & { -readonly [Name in keyof AnyResult]?: AnyResult[Name] };
  results.loss = Results.take(results, memory, call, "loss", targets.loss) ?? call.read(wordOf.loss);
  const written = Results.take(results, memory, call, "grad", grad);
  if (written !== undefined) results.grad = written;
  if (layer !== undefined) {
    const grads: { -readonly [Name in keyof LinearGrads]?: LinearGrads[Name] } = {};
    for (const name of ["hidden", "weight", "bias"] as const) {
      const one = Results.take(results, memory, call, `grad.${name}`, layer.grads[name]);
      if (one !== undefined) grads[name] = one as Tensor<"f32">;
    }
    if (Object.keys(grads).length > 0) results.grad = grads;
  }
  results.lossSum = call.read(wordOf.lossSum);
  results.weightSum = call.read(wordOf.weightSum);
  results.nonFiniteCount = call.read(wordOf.nonFiniteCount);
  results.denominator = call.read(wordOf.denominatorUsed);
  if (operation === "weightedSigmoid") return results as AnyResult;
  results.validCount = call.read(wordOf.validCount);
  results.invalidCount = call.read(wordOf.invalidCount);
  results.rowCount = call.read(wordOf.rowCount);
  if (settings.outputs.size === 0) return results as AnyResult;
  for (const name of ["logSumExp", "targetLogProb", "predictions", "targetRank", "entropy", "logProbs"] as const) {
    const output = Results.take(results, memory, call, name, targets[name]);
    if (output !== undefined) results[name] = output;
  }
  if (settings.outputs.has("topK.values")) {
    const part = (name: "topK.values" | "topK.classes"): Target | undefined => Results.take(results, memory, call, name, targets[name]);
    results.topK = { values: part("topK.values"), classes: part("topK.classes") } as TopK;
  }
  if (settings.outputs.has("predictions")) results.correctCount = call.read(wordOf.correctCount);
  const perClass = readPerClass(memory, call, layout.classes);
  if (perClass !== undefined) results.perClass = perClass;
  return results as AnyResult;
}

function readPerClass(memory: Memory, call: Call, classes: number): PerClass | undefined {
  const made = call.made("perClass");
  if (made === undefined) return undefined;
  const all = copyOf<"f64">(memory.view("f64", made.allocation.address, PER_CLASS_COLUMNS * classes));
  made.allocation.release();
  const column = (index: number): Copies["f64"] => all.slice(index * classes, (index + 1) * classes);
  return { loss: column(0), weight: column(1), count: column(2), correct: column(3) };
}

/** Which weights a WEIGHT_VALUE is about, in the order of crate/js/call/codes.rs. */
const weightNames = ["classWeight", "sampleWeight", "labelMatrix", "posWeight"] as const;

/** Labels that usually mean "skip this row": -1, -100 and the like, and 255 in byte maps. */
const VOID_BYTE = 255;

/** The error that a call's code stands for, with the caller's own names and indices. */
export function readError(memory: Memory, call: Call, args: Arguments, code: number): SparseXentError {
  const name = callCodes[code];
  const index = call.read(wordOf.errorIndex);
  switch (name) {
    case "LABEL_NOT_INTEGER": {
      const bound = args.labels.dtype === "f32" ? "2^24" : "2^53";
      return mismatch(name, `labels[${index}]`, call.read(wordOf.errorGot), `an integer below ${bound}`, { index });
    }
    case "LABEL_OUT_OF_RANGE": {
      const got = labelAt(memory, call, args, index);
      const count = call.read(wordOf.errorCount);
      const hint = args.settings.ignoreIndex.length === 0 && (got < 0 || got == VOID_BYTE) ? `; set ignoreIndex: ${got} to skip them` : "";
      const expected = `0..${args.layout.classes - 1}`;
      const message = `labels[${index}] got ${got}, expected ${expected}; ${count} such label${count === 1 ? "" : "s"} of ${args.layout.rows}${hint}`;
      return new SparseXentError({ code: name, message, got, expected, index });
    }
    case "TARGET_MASKED":
      return mismatch(name, `labels[${index}]`, labelAt(memory, call, args, index), "a class kept by classMask", { index });
    case "WEIGHT_VALUE":
      return weightError(args, weightNames[call.read(wordOf.errorCount)] ?? "classWeight", index, call.read(wordOf.errorGot));
    case "OUT_OF_MEMORY":
      return memory.refusal("scratch", call.read(wordOf.errorGot));
    case "ABORTED":
      return aborted(args.signal);
    case "ENGINE_LOST":
      return new SparseXentError({ code: name, message: "the engine was lost with one of its threads; load() starts another" });
    default:
      // The checks above the boundary leave nothing of this for the crate to find; if it does, say which.
      return new SparseXentError({ code: name ?? "ENGINE_LOST", message: `call got code ${code} from the crate, expected 0` });
  }
}

/** A label as it is stored, where a 64-bit one may not fit the block's word. It is read where the call read it: the caller's array may be another by now. */
function labelAt(memory: Memory, call: Call, { labels: { dtype, length } }: Arguments, index: number): number | bigint {
  const word = call.read(wordOf.errorGot);
  if (dtype !== "i64" && dtype !== "u64") return word;
  const label = memory.view(dtype, call.read(wordOf.labelsAddress), length)[index] ?? word;
  // A tensor may have been written meanwhile.
  return Number.isSafeInteger(word) || Number(label) !== word ? word : label;
}

function weightError(args: Arguments, name: (typeof weightNames)[number], row: number, got: number): SparseXentError {
  // The positive weights travel as class weights.
  const weight = args[name === "posWeight" ? "classWeight" : name];
  if (typeof weight !== "object") return mismatch("WEIGHT_VALUE", name, got, "a finite number");
  const target = weight.shape && name === "sampleWeight" ? broadcastTarget(args.layout, weight.shape) : undefined;
  const index = weight.shape && target ? broadcastIndex(weight.shape, target)(row) : row;
  return mismatch("WEIGHT_VALUE", `${name}[${index}]`, got, "a finite number", { index });
}
