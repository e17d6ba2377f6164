// A small next-token model with GPT-2's vocabulary in TensorFlow.js, and the text it learns: the novels of the live page. Everything is drawn from seeds, so that two
// models begin alike and see the same batches. Imports Node built-ins only; the libraries are handed in.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

export const vocabulary = 50_257;
export const width = 64;
export const batch = 4;
export const length = 64;
/** Tokens that are predicted in a step. */
export const tokens = batch * length;

/** The text as ids of GPT-2's tokens. @param {(text: string) => number[]} encode @param {number} characters */
export function tokenised(encode, characters) {
  const text = gunzipSync(readFileSync(fileURLToPath(new URL("../../ts/page/data/novels.txt.gz", import.meta.url)))).toString();
  return Int32Array.from(encode(text.slice(0, characters)));
}

/** Batches of inputs and the tokens that follow them. @param {any} tf @param {Int32Array} ids */
export function batches(tf, ids) {
  let state = 1;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return () => {
    const [x, y] = [new Int32Array(tokens), new Int32Array(tokens)];
    for (let sequence = 0; sequence < batch; sequence += 1) {
      const from = Math.floor(random() * (ids.length - length - 1));
      x.set(ids.subarray(from, from + length), sequence * length);
      y.set(ids.subarray(from + 1, from + length + 1), sequence * length);
    }
    return { x: tf.tensor1d(x, "int32"), y: tf.tensor1d(y, "int32") };
  };
}

/** Embeddings, a layer over each token and the one before it, and the head. @param {any} tf */
export function makeModel(tf) {
  // A variable shares what it begins with; the tidy takes back the tensor that it came in.
  const drawn = (/** @type {number[]} */ shape, /** @type {number} */ deviation, /** @type {number} */ seed) => tf.tidy(() => tf.variable(tf.randomNormal(shape, 0, deviation, "float32", seed)));
  const variables = { embedding: drawn([vocabulary, width], 0.3, 1), mix: drawn([2 * width, width], 0.1, 2), head: drawn([width, vocabulary], 0.05, 3) };
  /** @param {any} x */
  const hidden = (x) => {
    const own = tf.gather(variables.embedding, x);
    const inSequences = tf.reshape(own, [batch, length, width]);
    const before = tf.reshape(tf.concat([tf.zeros([batch, 1, width]), tf.slice(inSequences, [0, 0, 0], [batch, length - 1, width])], 1), [tokens, width]);
    return tf.add(own, tf.relu(tf.matMul(tf.concat([own, before], 1), variables.mix)));
  };
  return { variables, hidden };
}

/**
 * A training: the model, its optimizer and one of two losses.
 * @param {any} tf @param {"one-hot" | "sparse-xent"} name @param {any} losses of sparse-xent/tfjs
 */
export function makeTraining(tf, name, losses) {
  const { variables, hidden } = makeModel(tf);
  const optimizer = tf.train.adam(3e-3);
  const list = Object.values(variables);
  /** @param {any} x @param {any} y */
  const lossOf = (x, y) =>
    name === "one-hot"
      ? tf.losses.softmaxCrossEntropy(tf.oneHot(y, vocabulary), tf.matMul(hidden(x), variables.head))
      : losses.linearSparseSoftmaxCrossEntropy(y, hidden(x), variables.head);
  return {
    name,
    /** One step; the loss before it. @param {any} x @param {any} y @returns {number} */
    step(x, y) {
      const loss = optimizer.minimize(() => lossOf(x, y), true, list);
      const [value] = loss.dataSync();
      loss.dispose();
      return value;
    },
    dispose() {
      tf.dispose(list);
      optimizer.dispose();
    },
  };
}
