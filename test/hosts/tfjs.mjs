// TensorFlow.js with its cpu and wasm backends, ready in Node.
import { dirname } from "node:path";
import { createRequire } from "node:module";
import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";

setWasmPaths(`${dirname(createRequire(import.meta.url).resolve("@tensorflow/tfjs-backend-wasm/package.json"))}/dist/`);
setThreadsCount(1);
export * as tf from "@tensorflow/tfjs";
