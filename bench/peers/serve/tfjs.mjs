// TensorFlow.js as its users must write it: it has no sparse form, so the labels become a one-hot tensor in every call.
import { createRequire } from "node:module";
import { dirname } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import { readArrays } from "./data.mjs";

/** @param {"wasm" | "cpu"} backend @returns {Promise<import("./main.mjs").Adapter>} */
export async function open(backend) {
  setWasmPaths(`${dirname(createRequire(import.meta.url).resolve("@tensorflow/tfjs-backend-wasm/package.json"))}/dist/`);
  if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js has no ${backend} backend here`);
  await tf.ready();
  let held;

  /** The mean over rows, or over weights of the rows that are not ignored. */
  const loss = (logits) => {
    const { labels, classes, classWeights, ignored } = held;
    const oneHot = tf.oneHot(labels, classes); // of a label that is no class: zeros
    if (classWeights === undefined) return tf.losses.softmaxCrossEntropy(oneHot, logits);
    const kept = tf.notEqual(labels, ignored);
    const known = tf.where(kept, labels, tf.zerosLike(labels)); // it looks up no weight for a label that is no class
    const weights = tf.mul(tf.gather(classWeights, known), kept.cast("float32"));
    return tf.div(tf.losses.softmaxCrossEntropy(oneHot, logits, weights, 0, tf.Reduction.SUM), tf.sum(weights));
  };
  const lossAndGrad = tf.valueAndGrad(loss);
  const compute = (what) => (what === "loss" ? { value: tf.tidy(() => loss(held.logits)) } : lossAndGrad(held.logits));

  return {
    versions: { "TensorFlow.js": tf.version.tfjs },
    prepare(job) {
      const { logits, labels } = readArrays(job);
      held = {
        logits: tf.tensor2d(logits, [job.rows, job.classes]),
        labels: tf.tensor1d(labels, "int32"),
        classes: job.classes,
        classWeights: job.classWeights && tf.tensor1d(job.classWeights),
        ignored: job.ignored,
      };
    },
    call(what) {
      const { value, grad } = compute(what);
      const [mean] = value.dataSync();
      return {
        loss: mean,
        read: (indices) => {
          const data = grad.dataSync();
          return indices.map((index) => data[index]);
        },
        free: () => tf.dispose([value, grad]),
      };
    },
    drop() {
      tf.dispose([held.logits, held.labels, held.classWeights]);
      held = undefined;
    },
    async ownMemory(what) {
      const held = tf.memory().numBytes;
      const { peakBytes } = await tf.profile(() => {
        const { value, grad } = compute(what);
        tf.dispose([value, grad]);
        return undefined;
      });
      return { tensorBytes: held, tensorPeakBytes: peakBytes };
    },
  };
}
