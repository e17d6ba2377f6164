// The public surface: exports, nothing else.
export { load, type LoadOptions } from "./load.js";
export { Engine, type EngineInfo } from "./engine.js";
export type { Build } from "./features.js";
export { Tensor } from "./tensor.js";
export { presets } from "./presets.js";
export { isSparseXentError, SparseXentError, type ErrorCode, type ErrorParts } from "./errors.js";
export type { Copies, Dtype, Float16ArrayLike, LabelsDtype, LogitsDtype, TypedArray, Views, WeightsDtype } from "./dtypes.js";
export type {
  CrossEntropyAsyncOptions,
  CrossEntropyOptions,
  Denominator,
  LabelsInput,
  LogitsInput,
  OutputName,
  Reduction,
  ShapedArray,
  WeightsInput,
} from "./options.js";
export type { CrossEntropyResult, OutputResults, PerClass, Totals, WeightedSigmoidResult } from "./result.js";
export type { WeightedSigmoidAsyncOptions, WeightedSigmoidOptions } from "./sigmoid.js";
