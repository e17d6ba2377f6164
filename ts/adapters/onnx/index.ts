/**
 * The loss operators of ONNX on tensors of ONNX Runtime.
 *
 * @module sparse-xent/onnx
 */
// `sparse-xent/onnx`: the loss operators of ONNX on tensors of ONNX Runtime. Exports, nothing else. ONNX Runtime is handed in, since results are tensors of it.
export { onnxLosses } from "./losses.js";
export type { LossResult, LossSettings, OnnxLosses, OnnxRuntime, OnnxTensor, TensorOf } from "./losses.js";
