// The options of a call, as callers see them: types and what they mean. Types only.
import type { Float16ArrayLike, LabelsDtype, LogitsDtype, TypedArray, WeightsDtype } from "./dtypes.js";
import type { NestedNumbers } from "./lists.js";
import type { Tensor } from "./tensor.js";

/** An array with its shape, as other libraries hand tensors over (an onnxruntime tensor is one). Copied in once per call. */
export interface ShapedArray {
  /** A typed array; for labels and weights also numbers in a list. */
  readonly data: ArrayLike<unknown>;
  /** Dimensions, outermost first. Either this or `dims`. */
  readonly shape?: readonly number[] | undefined;
  /** Another name for `shape`. */
  readonly dims?: readonly number[] | undefined;
  /** Element type, needed where the array does not tell: a `Uint16Array` that holds `f16` or `bf16`. Also `float32`, `int64` and the like. */
  readonly dtype?: string | undefined;
  /** Another name for `dtype`. */
  readonly type?: string | undefined;
  /** How many elements one step along each dimension is, where they do not lie row-major and side by side. May be negative. */
  readonly stride?: readonly number[] | undefined;
  /** Another name for `stride`. */
  readonly strides?: readonly number[] | undefined;
  /** Where in `data` the first element is. Default 0. */
  readonly offset?: number | undefined;
}

/** A bare array of logits; needs `shape` in the options, and a `Uint16Array` also `dtype`. */
export type LogitsArray = Float32Array | Float64Array | Uint16Array | Float16ArrayLike;

/** What may be given as logits: a tensor of this engine (not copied), or an array (copied in once). */
export type LogitsInput = Tensor<LogitsDtype> | LogitsArray | ShapedArray;

/** A bare array of labels, one per row; numbers may be nested in lists as the rows are. */
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
  | NestedNumbers;

/** What may be given as labels: a tensor of this engine (not copied), or an array (copied in once). */
export type LabelsInput = Tensor<LabelsDtype> | LabelsArray | ShapedArray;

/** What may be given as an array of weights. */
export type WeightsInput = Tensor<"f32" | "f64" | "u8"> | Float32Array | Float64Array | Uint8Array | NestedNumbers | ShapedArray;

/** What may be given as weights of rows. */
export type SampleWeightInput = Tensor<WeightsDtype> | Exclude<TypedArray, Float16ArrayLike> | NestedNumbers | ShapedArray;

/** Where a result is written: a tensor of this engine (in place), or an array of the caller's (copied out, after the call). */
export type FloatTarget = Tensor<"f32" | "f64"> | Float32Array | Float64Array;
/** See {@link CrossEntropyOptions.grad}. */
export type GradTarget = Tensor<LogitsDtype> | LogitsArray;

/** Results that `outputs` may ask for, each as `true` for new memory or as what to write it to. */
export interface OutputTargets {
  readonly logSumExp?: boolean | FloatTarget | undefined;
  readonly targetLogProb?: boolean | FloatTarget | undefined;
  readonly predictions?: boolean | Tensor<"i32"> | Int32Array | undefined;
  readonly perClass?: boolean | undefined;
  /** The values and the classes, each new unless there is something to write it to: of the labels' shape, with `k` behind. */
  readonly topK?: boolean | TopKTargets | undefined;
  readonly targetRank?: boolean | Tensor<"i32"> | Int32Array | undefined;
  readonly entropy?: boolean | FloatTarget | undefined;
  /** Of the logits' shape, f32 also under `f16` and `bf16`. */
  readonly logProbs?: boolean | FloatTarget | undefined;
}

/** Where the largest classes are written to. */
export interface TopKTargets {
  readonly values?: true | FloatTarget | undefined;
  readonly classes?: true | Tensor<"i32"> | Int32Array | undefined;
}

/** See {@link CrossEntropyOptions.reduction}. */
export type Reduction = "none" | "sum" | "mean";
/** See {@link CrossEntropyOptions.denominator}. */
export type Denominator = "weights" | "valid" | "all" | "nonzero" | number;
/** See {@link CrossEntropyOptions.outputs}. */
export type OutputName = "logSumExp" | "targetLogProb" | "predictions" | "perClass" | "topK" | "targetRank" | "entropy" | "logProbs";

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
  /** A finite weight of any sign per class: C numbers, or `{ class: number }` or a `Map`, where a class that is missing has 1. Default all 1. */
  readonly classWeight?: WeightsInput | Readonly<Record<number, number>> | ReadonlyMap<number, number> | undefined;
  /**
   * A finite weight of any sign for all rows or for each: N numbers, an array of the labels' shape, or of their rank with 1s that are
   * broadcast (`[B,1,1]`). Integers and booleans of any type will do, as a mask of 0 and 1 has them. Multiplies the class weight. Default 1.
   */
  readonly sampleWeight?: number | SampleWeightInput | undefined;
  /** ε in 0..1: the share of each target that is spread evenly over the kept classes. Default 0. */
  readonly labelSmoothing?: number | undefined;
  /** How class weights enter smoothing: each class's share by its own weight (`class`, PyTorch, default) or by the row's (`row`, Keras). */
  readonly smoothingWeights?: "class" | "row" | undefined;
  /** A `mean` whose denominator is 0: `zero` (Keras, default) or `nan` (PyTorch, ONNX). */
  readonly emptyMean?: "zero" | "nan" | undefined;
  /** d(what you differentiate)/d(loss): multiplies the gradient, not the loss. A number, or N numbers with `reduction: "none"`. Default 1. */
  readonly upstream?: number | WeightsInput | undefined;
  /** Where the losses of the rows are written with `reduction: "none"`: f32, and f64 for f64 logits. Default a new tensor. */
  readonly loss?: FloatTarget | undefined;
  /**
   * The gradient: `true` for a new tensor, or a tensor or typed array to write it to, of the logits' shape and type (`f32` also under `f16` and
   * `bf16`). The logits tensor itself means in place, with the same bits. Default false.
   */
  readonly grad?: boolean | GradTarget | undefined;
  /** Add to the given `grad`, which must not be the logits, instead of overwriting it. Ignored rows are not touched. Default false. */
  readonly accumulate?: boolean | undefined;
  /** λ ≥ 0: adds λ·w·(log-sum-exp)² per row. Default 0. */
  readonly zLoss?: number | undefined;
  /** γ ≥ 0 of the focal loss (1 - p[y])^γ · -ln p[y]. Default 0. */
  readonly focalGamma?: number | undefined;
  /** π of the poly-1 loss -ln p[y] + π·(1 - p[y]). Default 0. */
  readonly poly1Epsilon?: number | undefined;
  /**
   * q in 0..1 of the generalised cross-entropy (1 - p[y]^q) / q, for labels of which some are wrong: its gradient is p[y]^q times the plain one. Towards 0
   * it is -ln p[y], which 0 stands for; 1 is the mean absolute error. In place of focal and poly-1. Default 0.
   */
  readonly gceQ?: number | undefined;
  /**
   * c > 0 caps the logits softly: c·tanh(x / c) takes the place of x (Gemma 2's head, c = 30), before it is multiplied by `logitScale`. Every result is
   * that of the capped logits; the gradient is with respect to x. An infinite logit becomes c or -c: `classMask` takes classes out. Default 0: none.
   */
  readonly softcap?: number | undefined;
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
  readonly labelMatrix?: WeightsInput | undefined;
  /**
   * Further results from the same pass, see {@link OutputResults}: a list of names, or `{ name: true }`, or `{ name: target }` with a tensor or typed
   * array to write it to. Default none.
   */
  readonly outputs?: readonly OutputName[] | OutputTargets | undefined;
  /** How many classes the output `topK` gives of each row, an integer in 1..C. Default 1. */
  readonly k?: number | undefined;
}

/** The options of {@link Engine.crossEntropyAsync}. */
export interface CrossEntropyAsyncOptions extends CrossEntropyOptions {
  /**
   * Ends the call with the error `ABORTED` when it fires. A given `grad` may then be partly written, in part with numbers on the
   * way to the gradient: where `grad` is the logits, they are lost.
   */
  readonly signal?: AbortSignal | null | undefined;
}
