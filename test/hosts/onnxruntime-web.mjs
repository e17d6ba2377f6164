import * as ort from "onnxruntime-web";

ort.env.wasm.numThreads = 1;
export { ort };
