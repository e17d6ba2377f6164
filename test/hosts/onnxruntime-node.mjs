import ort from "onnxruntime-node";

export { ort, ort as default };
