// The operations. Imports the host and types of the core.
// Guarantees: whatever a call takes of the engine's memory it gives back before it returns; of TensorFlow.js' it keeps what the gradient needs and nothing else, and that
// only where a gradient is being recorded.
import type { Engine } from "../../engine.js";
import { compileSparse, type CompileArguments } from "./compile.js";
import { elementsOf, isAtHand, tensorOf, type Host, type HostTensor, type LinearLossOptions, type LossOptions, type Model, type Save, type TensorFlow, type TensorOf } from "./host.js";

/** The operations for one copy of TensorFlow.js and one engine. */
export interface SparseLosses<TF extends TensorFlow> {
  /**
   * The loss of each row, as `tf.nn.sparse_softmax_cross_entropy_with_logits`: `[...rows]` for logits `[...rows, classes]`.
   *
   * @param labels classes, int32 or whole numbers as float32, `[...rows]` or `[...rows, 1]`
   * @param logits float32; the gradient is with respect to them
   * @throws `SparseXentError` as `crossEntropy`
   */
  sparseSoftmaxCrossEntropyWithLogits(labels: TensorOf<TF>, logits: TensorOf<TF>, options?: LossOptions): TensorOf<TF>;
  /** The mean of the loss over valid rows, a scalar; see `denominator` among the options. The gradient comes out of the same pass as the loss. */
  sparseSoftmaxCrossEntropy(labels: TensorOf<TF>, logits: TensorOf<TF>, options?: LossOptions): ReturnType<TF["scalar"]>;
  /**
   * The mean loss of a last layer, of logits = hidden · kernel + bias, differentiable in all three, by `linearCrossEntropy`: the logits are never stored, and what is
   * kept for the way back are the gradients of hidden states, kernel and bias.
   *
   * @param hidden `[...rows, features]` @param kernel `[features, classes]` @param bias `[classes]`
   * @param options those of the loss, and `chunkRows` and `recompute`, which trade time for memory
   */
  linearSparseSoftmaxCrossEntropy(
    labels: TensorOf<TF>,
    hidden: TensorOf<TF>,
    kernel: TensorOf<TF>,
    bias?: TensorOf<TF> | null,
    options?: LinearLossOptions,
  ): ReturnType<TF["scalar"]>;
  /**
   * Compiles a model of one output so that `fit` and `evaluate` take integer labels `[N]` or `[N, 1]`, with `classWeight` too. In place of
   * `model.compile({ loss: "sparseCategoricalCrossentropy", … })`.
   *
   * @param args `optimizer` and `metrics` as for `compile`; `fromLogits`: whether the model ends without a softmax, default true; `options` of the loss
   * @returns the model
   * @throws `SparseXentError` `OPTION_RANGE` for another release than 4.22, whose insides it relies on
   */
  compileSparse<M extends Model>(model: M, args: CompileArguments): M;
}

/**
 * The operations of this entry, for TensorFlow.js and an engine. They hold nothing: disposing of the engine ends them.
 *
 * @param tf your copy of TensorFlow.js; its backend may be cpu, wasm or webgl, and may change
 * @param xent an engine
 * @example
 * ```ts
 * const { sparseSoftmaxCrossEntropy } = sparseLosses(tf, await load());
 * optimizer.minimize(() => sparseSoftmaxCrossEntropy(labels, model.apply(inputs)));
 * ```
 */
export function sparseLosses<TF extends TensorFlow>(tf: TF, xent: Pick<Engine, "tensor" | "crossEntropy" | "linearCrossEntropy">): SparseLosses<TF> {
  const host = tf as unknown as Host;

  /** Loss and, in place of the copy of the logits, their gradient, which `use` sees before the memory is given back. */
  const withGradient = (labels: Labels, logits: HostTensor, options: LossOptions, more: { reduction: "mean" | "none"; upstream?: Float32Array }) => {
    const room = xent.tensor("f32", logits.shape, elementsOf(host, logits));
    try {
      const { loss } = xent.crossEntropy(room, labels, { ...options, ...more, grad: room });
      const grad = tensorOf(host, room.view, logits.shape);
      if (typeof loss === "number") return { loss, grad };
      loss.dispose();
      return { loss: Number.NaN, grad };
    } finally {
      room.dispose();
    }
  };

  const meanOf = (labels: Labels, logits: HostTensor, options: LossOptions): number => xent.crossEntropy(given(host, logits), labels, { ...options, reduction: "mean" }).loss;

  const rows = (labelsTensor: HostTensor, logits: HostTensor, options: LossOptions = {}): HostTensor => {
    const labels = labelsOf(labelsTensor);
    const operation = host.customGrad((x: HostTensor, save: Save) => {
      const { loss } = xent.crossEntropy(given(host, x), labels, { ...options, reduction: "none" });
      const value = tensorOf(host, loss.view as Float32Array, x.shape.slice(0, -1));
      loss.dispose();
      // The logits are there anyway. Once it is known what each row's loss counts for, their gradient takes one pass, and no product of the logits' size.
      save([x]);
      return { value, gradFunc: (dy, [saved]) => withGradient(labels, saved as HostTensor, options, { reduction: "none", upstream: dy.dataSync() as Float32Array }).grad };
    });
    return operation(logits);
  };

  const mean = (labelsTensor: HostTensor, logits: HostTensor, options: LossOptions = {}): HostTensor => {
    const labels = labelsOf(labelsTensor);
    const isRecording = host.engine().isTapeOn();
    const operation = host.customGrad((x: HostTensor, save: Save) => {
      if (!isRecording) return { value: host.scalar(meanOf(labels, x, options), "float32"), gradFunc: unrecorded };
      const { loss, grad } = withGradient(labels, x, options, { reduction: "mean" });
      save([grad]);
      return { value: host.scalar(loss, "float32"), gradFunc: (dy, [saved]) => scaled(host, saved as HostTensor, dy) };
    });
    return operation(logits);
  };

  const linear = (labelsTensor: HostTensor, hidden: HostTensor, kernel: HostTensor, bias?: HostTensor | null, options: LinearLossOptions = {}): HostTensor => {
    const labels = labelsOf(labelsTensor);
    const isRecording = host.engine().isTapeOn();
    const hasBias = bias !== undefined && bias !== null;
    const operation = host.customGrad((h: HostTensor, k: HostTensor, ...more: [Save] | [HostTensor, Save]) => {
      const b = more.length === 2 ? more[0] : undefined;
      const save = more[more.length - 1] as Save;
      const [states, weights] = [given(host, h, "hidden"), given(host, k, "kernel")];
      const layer = { ...options, reduction: "mean", weightLayout: "dv", bias: b && given(host, b, "bias") } as const;
      if (!isRecording) return { value: host.scalar(xent.linearCrossEntropy(states, weights, labels, layer).loss, "float32"), gradFunc: unrecorded };
      const { loss, grad } = xent.linearCrossEntropy(states, weights, labels, { ...layer, grad: true });
      const made = [grad.hidden, grad.weight, ...(grad.bias === undefined ? [] : [grad.bias])];
      // All that the way back needs is known now; neither the logits nor their gradient were ever there.
      save(made.map((each) => tensorOf(host, each.view, each.shape)));
      for (const each of made) each.dispose();
      return { value: host.scalar(loss, "float32"), gradFunc: (dy, saved) => saved.map((each) => scaled(host, each, dy)) };
    });
    return hasBias ? operation(hidden, kernel, bias) : operation(hidden, kernel);
  };

  return {
    sparseSoftmaxCrossEntropyWithLogits: rows,
    sparseSoftmaxCrossEntropy: mean,
    linearSparseSoftmaxCrossEntropy: linear,
    compileSparse: (model: Model, args: CompileArguments) => compileSparse(host, model, args, rows),
  } as unknown as SparseLosses<TF>;
}

/** Labels as they are read from their tensor, once. */
type Labels = { readonly data: Float32Array | Int32Array; readonly shape: readonly number[] };

/** Labels are few; a backend whose `dataSync` shows its own memory may reuse that, so they are copied. */
function labelsOf(tensor: HostTensor): Labels {
  return { data: tensor.dataSync().slice(), shape: tensor.shape };
}

/** A tensor for a call that only reads it. */
const given = (host: Host, tensor: HostTensor, name = "logits") => ({ data: elementsOf(host, tensor, name), shape: tensor.shape });

/** A gradient times the scalar that arrives from behind, which mostly is 1: then another tensor over the same elements, which a clone is not on every backend. */
function scaled(host: Host, grad: HostTensor, dy: HostTensor): HostTensor {
  return isAtHand(host) && dy.dataSync()[0] === 1 ? host.reshape(grad, grad.shape) : host.mul(grad, dy);
}

function unrecorded(): never {
  throw new Error("a gradient was asked for where none was being recorded");
}
