// ONNX Runtime, natively or as wasm: the loss only, since it has no gradients. Logits stay in JavaScript's memory and are handed over in every call, as
// its users do.
import protobuf from "protobufjs";
import { readArrays } from "./data.mjs";
import { encodedLoss } from "./onnx-model.mjs";

/** @param {"web" | "node"} kind @param {number} threads @returns {Promise<import("./main.mjs").Adapter>} */
export async function open(kind, threads) {
  const ort = kind === "web" ? await import("onnxruntime-web") : (await import("onnxruntime-node")).default;
  if (kind === "web") ort.env.wasm.numThreads = threads;
  const settings = { executionProviders: [kind === "web" ? "wasm" : "cpu"], intraOpNumThreads: threads, interOpNumThreads: 1 };
  let held;
  return {
    versions: { [`ONNX Runtime ${kind}`]: ort.env.versions[kind] },
    async prepare(job) {
      const { rows, classes, inner, classWeights, ignored } = job;
      const dims = inner === 1 ? [rows, classes] : [rows / inner, classes, inner];
      const labelDims = inner === 1 ? [rows] : [rows / inner, inner];
      const { logits, labels } = readArrays(job);
      const feeds = {
        scores: new ort.Tensor("float32", logits, dims),
        labels: new ort.Tensor("int64", BigInt64Array.from(labels, BigInt), labelDims),
        ...(classWeights && { weights: new ort.Tensor("float32", Float32Array.from(classWeights), [classes]) }),
      };
      const about = { dims, labels: "int64", reduction: "mean", ignoreIndex: ignored, weighted: classWeights !== undefined, logProb: false };
      held = { feeds, session: await ort.InferenceSession.create(encodedLoss(protobuf, "SoftmaxCrossEntropyLoss", about), settings) };
    },
    async call() {
      const { loss } = await held.session.run(held.feeds);
      return { loss: loss.data[0], read: () => [], free: () => undefined };
    },
    async drop() {
      await held.session.release();
      held = undefined;
    },
  };
}
