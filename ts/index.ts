/**
 * The loss and its gradient, and the tensors they take. Begin with {@link load}.
 *
 * @module sparse-xent
 */
// The public surface: exports, nothing else.
export { load, type LoadOptions } from "./load.js";
export { Engine, type EngineInfo } from "./engine.js";
export type { Build } from "./features.js";
export { Tensor } from "./tensor.js";
export { presets } from "./presets.js";
export { isSparseXentError, SparseXentError, type ErrorCode, type ErrorParts } from "./errors.js";
export type { Copies, Dtype, Float16ArrayLike, ForeignDtypes, LabelsDtype, LogitsDtype, TypedArray, Views, WeightsDtype } from "./dtypes.js";
export type { TensorData } from "./fill.js";
export type { NestedNumbers } from "./lists.js";
export type {
  CrossEntropyAsyncOptions,
  CrossEntropyOptions,
  Denominator,
  FloatTarget,
  GradTarget,
  LabelsInput,
  LogitsInput,
  OutputName,
  OutputTargets,
  Reduction,
  SampleWeightInput,
  ShapedArray,
  TopKTargets,
  WeightsInput,
} from "./options.js";
export type { CrossEntropyResult, Disposing, LinearCrossEntropyResult, LinearGrads, OutputResults, PerClass, TopK, Totals, WeightedSigmoidResult } from "./result.js";
export type { FactorInput, LinearCrossEntropyAsyncOptions, LinearCrossEntropyOptions, LinearGradOptions, LinearOutputName } from "./linear.js";
export type { WeightedSigmoidAsyncOptions, WeightedSigmoidOptions } from "./sigmoid.js";
