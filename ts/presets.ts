// Options under which the results of other systems come out. Data only.
import type { CrossEntropyOptions } from "./options.js";

/**
 * Sets of options that give another system's results; spread one and add weights, smoothing or `ignoreIndex`.
 *
 * | preset | equals |
 * |---|---|
 * | `tensorflow` | `tf.nn.sparse_softmax_cross_entropy_with_logits` on CPU (on GPU and XLA: add `invalidLabel: "nan"`) |
 * | `keras` | `SparseCategoricalCrossentropy(from_logits=True)`; `mean_with_sample_weight` = add `denominator: "weights"` |
 * | `pytorch` | `F.cross_entropy` with class indices |
 * | `onnx` | `SoftmaxCrossEntropyLoss-13`; with `input: "logProbs"` `NegativeLogLikelihoodLoss` |
 * | `optax` | `softmax_cross_entropy_with_integer_labels`, valid labels |
 * | `tfV1`, `tfjs` | `tf.compat.v1.losses`, TensorFlow.js: `SUM_BY_NONZERO_WEIGHTS` |
 *
 * They hold for finite logits and valid labels: another system's lost small losses, wrapped labels and leaking NaNs are not reproduced.
 *
 * @example
 * ```ts
 * const { loss, grad } = xent.crossEntropy(logits, labels, { ...presets.pytorch, labelSmoothing: 0.1, grad: true });
 * ```
 */
export const presets = {
  tensorflow: { reduction: "none", axis: -1, ignoreIndex: null, invalidLabel: "throw" },
  keras: { reduction: "mean", denominator: "valid", emptyMean: "zero", smoothingWeights: "row", axis: -1, invalidLabel: "throw" },
  pytorch: {
    reduction: "mean",
    denominator: "weights",
    ignoreIndex: -100,
    smoothingWeights: "class",
    emptyMean: "nan",
    axis: 1,
    invalidLabel: "throw",
  },
  onnx: { reduction: "mean", denominator: "weights", emptyMean: "nan", axis: 1, invalidLabel: "throw" },
  optax: { reduction: "none", axis: -1, invalidLabel: "nan" },
  tfV1: { reduction: "mean", denominator: "nonzero", emptyMean: "zero" },
  tfjs: { reduction: "mean", denominator: "nonzero", emptyMean: "nan" },
} as const satisfies Readonly<Record<string, CrossEntropyOptions>>;
