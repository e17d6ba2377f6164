// The operators. Imports errors and types of the core.
// Guarantees: tensors that lie on a device are fetched, others are read where they lie; results are in ordinary memory of their own; nothing stays in the engine.
import { dtypeNamed, type LogitsDtype } from "../../dtypes.js";
import type { Engine } from "../../engine.js";
import { mismatch } from "../../errors.js";
import type { Tensor } from "../../tensor.js";

/** A typed array of numbers. */
type Numbers = (Float32Array | Float64Array | Int32Array) & { readonly buffer: ArrayBufferLike };

/** A tensor of ONNX Runtime, in Node or on the web. */
export interface OnnxTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly location: string;
  readonly data: unknown;
  /** The elements, fetched from the device if they lie on one. */
  getData(): Promise<unknown>;
}

/** ONNX Runtime: `import * as ort from "onnxruntime-web"`, or `onnxruntime-node`. */
export type OnnxRuntime = { readonly Tensor: TensorClass };

type TensorClass = new (...args: any[]) => OnnxTensor;

/** The tensors of a copy of ONNX Runtime. */
export type TensorOf<Ort extends OnnxRuntime> = InstanceType<Ort["Tensor"]>;

/** Attributes of the operators, and what else is wanted. */
export interface LossSettings {
  /** The attribute `reduction`: `mean` is by weight. Default `mean`. */
  readonly reduction?: "mean" | "sum" | "none" | undefined;
  /** The attribute `ignore_index`: rows with this label count nothing, and have no gradient. Default: none. */
  readonly ignoreIndex?: number | bigint | undefined;
  /** Whether to give the operator's second output, the logarithms of the softmax of all scores. Of `SoftmaxCrossEntropyLoss` only. Default false. */
  readonly logProb?: boolean | undefined;
  /** Whether to give the gradient of the loss, for which ONNX has no operator. Default false. */
  readonly gradient?: boolean | undefined;
  /** What the gradient is multiplied by: a number, or with `reduction: "none"` one per row. Default 1. */
  readonly upstream?: number | OnnxTensor | undefined;
  /** Ends the call with the error `ABORTED` when it fires. */
  readonly signal?: AbortSignal | undefined;
}

/** What the operators give, as tensors of ONNX Runtime. */
export interface LossResult<T> {
  /** The loss: of shape [], or with `reduction: "none"` of the labels'. Of the scores' type, but float32 for float16 scores, whose sums it could not hold. */
  readonly loss: T;
  /** The logarithms of the softmax, of the scores' shape and type, if `logProb` asks for them. */
  readonly logProb?: T;
  /** d loss / d scores, of the scores' shape and type, if `gradient` asks for it. */
  readonly gradient?: T;
}

/** The operators for one copy of ONNX Runtime and one engine. */
export interface OnnxLosses<T> {
  /**
   * `SoftmaxCrossEntropyLoss` of ONNX, opset 13: classes on axis 1, no axis is moved.
   *
   * @param scores float32, float64 or float16, `[N, C, …]` @param labels int32 or int64, `[N, …]` @param weights float32 per class, `[C]`
   * @throws `SparseXentError` as `crossEntropyAsync`; `DTYPE` for `logProb` of float16 scores
   */
  softmaxCrossEntropyLoss(scores: T, labels: T, weights?: T | null, settings?: LossSettings): Promise<LossResult<T>>;
  /** `NegativeLogLikelihoodLoss` of ONNX, opset 13: as above, of scores that are log-probabilities. They are not checked to be normalised. */
  negativeLogLikelihoodLoss(scores: T, labels: T, weights?: T | null, settings?: Omit<LossSettings, "logProb">): Promise<LossResult<T>>;
}

/**
 * The loss operators of ONNX on tensors of ONNX Runtime, with the gradient that it lacks. All threads of the engine are used, and the event loop stays free.
 *
 * @param ort your copy of ONNX Runtime
 * @param xent an engine
 * @example
 * ```ts
 * const { softmaxCrossEntropyLoss } = onnxLosses(ort, await load());
 * const { logits } = await session.run(feeds);
 * const { loss, gradient } = await softmaxCrossEntropyLoss(logits, labels, null, { ignoreIndex: -100, gradient: true });
 * ```
 */
export function onnxLosses<Ort extends OnnxRuntime>(ort: Ort, xent: Pick<Engine, "tensor" | "crossEntropyAsync">): OnnxLosses<TensorOf<Ort>> {
  type T = TensorOf<Ort>;
  const make = (type: string, data: unknown, dims: readonly number[]): T => new ort.Tensor(type, data, dims) as T;

  async function lossOf(input: "logits" | "logProbs", scores: T, labels: T, weights: T | null | undefined, settings: LossSettings): Promise<LossResult<T>> {
    for (const name of Object.keys(settings)) if (!settingNames.includes(name)) throw mismatch("OPTION_RANGE", "settings", name, `keys among ${settingNames.join(", ")}`);
    const { reduction = "mean", ignoreIndex, logProb = false, gradient = false, upstream, signal } = settings;
    if (logProb && input === "logProbs") throw mismatch("OPTION_CONFLICT", "logProb", true, "none of NegativeLogLikelihoodLoss, whose scores they are");
    const { type, dims } = scores;
    if (logProb && type !== "float32" && type !== "float64") throw mismatch("DTYPE", "scores type", type, "float32 or float64 where logProb is asked for", { shown: type });
    const [x, y, w, g] = await Promise.all([dataOf(scores), dataOf(labels), dataOf(weights), dataOf(typeof upstream === "object" ? upstream : undefined)]);
    const options = {
      ...operator,
      input,
      reduction,
      signal,
      ...(ignoreIndex !== undefined && { ignoreIndex }),
      ...(w !== undefined && { classWeight: { data: w, dims: weights?.dims } }),
      ...(upstream !== undefined && { upstream: typeof upstream === "number" ? upstream : { data: g as Numbers, dims: upstream.dims } }),
    };
    // The operator's second output has the rows too that it ignores.
    const isApart = logProb && ignoreIndex !== undefined && (y as Numbers).some((label: number | bigint) => label == ignoreIndex);
    const rows = { data: y as Numbers, dims: labels.dims, type: labels.type };
    const given = { data: x as Numbers, dims, type };
    // Where a gradient is wanted the copy that is made in the engine becomes it.
    const room = gradient ? copied(given) : undefined;
    try {
      const { loss, logProbs } = await xent.crossEntropyAsync(room ?? given, rows, { ...options, grad: room ?? false, outputs: { logProbs: logProb && !isApart } });
      const all = isApart ? (await xent.crossEntropyAsync(given, new Uint8Array(rows.data.length), { axis: operator.axis, outputs: ["logProbs"], signal })).logProbs : logProbs;
      const isWide = type === "float64";
      const result = {
        loss: typeof loss === "number" ? make(isWide ? type : "float32", (isWide ? Float64Array : Float32Array).of(loss), []) : make(isWide ? type : "float32", loss.toArray(), labels.dims),
        ...(all !== undefined && { logProb: make(type, all.toArray(), dims) }),
        ...(room !== undefined && { gradient: make(type, asGiven(room, x), dims) }),
      };
      if (typeof loss !== "number") loss.dispose();
      all?.dispose();
      return result;
    } finally {
      room?.dispose();
    }
  }

  /** A copy of the scores in the engine. */
  function copied({ data, dims, type }: { data: Numbers; dims: readonly number[]; type: string }): Tensor<LogitsDtype> {
    const dtype = dtypeNamed(type);
    if (dtype !== "f32" && dtype !== "f64" && dtype !== "f16") throw mismatch("DTYPE", "scores type", type, "one of float32, float64, float16", { shown: type });
    // 16-bit floats as the engine's views hold them, whatever class of array they come in.
    return xent.tensor(dtype, dims, dtype === "f16" ? new Uint16Array(data.buffer as ArrayBuffer, data.byteOffset, data.length) : data);
  }

  return {
    softmaxCrossEntropyLoss: (scores, labels, weights, settings = {}) => lossOf("logits", scores, labels, weights, settings),
    negativeLogLikelihoodLoss: (scores, labels, weights, settings = {}) => lossOf("logProbs", scores, labels, weights, settings),
  };
}

/** The conventions of the operators. */
const operator = { axis: 1, denominator: "weights", emptyMean: "nan", invalidLabel: "throw" } as const;

const settingNames: readonly string[] = ["reduction", "ignoreIndex", "logProb", "gradient", "upstream", "signal"] satisfies (keyof LossSettings)[];

/** The elements of a tensor, from wherever it lies. */
async function dataOf(tensor: OnnxTensor | null | undefined): Promise<Numbers | undefined> {
  if (tensor === undefined || tensor === null) return undefined;
  return (tensor.location === "cpu" || tensor.location === "cpu-pinned" ? tensor.data : await tensor.getData()) as Numbers;
}

/** A copy of a tensor's elements, in an array of the class that the scores came in: 16-bit floats have two. */
function asGiven(tensor: Tensor<LogitsDtype>, scores: unknown): unknown {
  const copy = tensor.toArray();
  if (tensor.dtype !== "f16") return copy;
  const Halves = (scores as object).constructor as new (buffer: ArrayBuffer) => unknown;
  return new Halves(copy.buffer);
}
