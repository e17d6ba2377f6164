/**
 * The loss as an operation of TensorFlow.js, and in its models.
 *
 * @module sparse-xent/tfjs
 */
// `sparse-xent/tfjs`: the loss as an operation of TensorFlow.js, and in its models. Exports, nothing else. TensorFlow.js is handed in: it must be the user's own copy,
// whose backends and gradient tape these operations belong to.
export { sparseLosses } from "./losses.js";
export type { SparseLosses } from "./losses.js";
export type { CompileArguments } from "./compile.js";
export { registerMissingKernels } from "./kernels.js";
export type { LinearLossOptions, LossOptions, Model, TensorFlow, TensorOf } from "./host.js";
