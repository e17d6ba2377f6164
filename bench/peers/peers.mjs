// Who takes part: one row per library, how its process is started and what it can do. Imports nothing.

/**
 * @typedef {"loss" | "loss+grad" | "in place"} What the gradient in a tensor of its own, or over the logits
 *
 * @typedef {object} Peer
 * @property {string} name on the command line and in the record
 * @property {string} title in the documentation
 * @property {"node" | "python"} runtime
 * @property {string} adapter which file of serve/ or which class of python/adapters.py
 * @property {readonly What[]} does
 * @property {string | undefined} oneThread why it cannot use more threads, if it cannot
 * @property {string | undefined} lastAxis why it needs the classes last, if it does
 */

/** @type {readonly What[]} */
export const whats = ["loss+grad", "loss"];
/** @type {readonly What[]} */
const lossOnly = ["loss"];
export const noGradient = "an inference library: no gradient";

const lastAxis = "its operation takes classes on the last axis only";
const noThreads = "no threads in Node";
const own = { oneThread: undefined, lastAxis: undefined };

/** The first is what the others are compared with. @type {readonly Peer[]} */
export const peers = [
  { name: "sparse-xent", title: "sparse-xent", runtime: "node", adapter: "sparse-xent", does: whats, ...own },
  { name: "torch", title: "PyTorch", runtime: "python", adapter: "torch", does: whats, ...own },
  { name: "torch-compile", title: "PyTorch, torch.compile", runtime: "python", adapter: "torch-compile", does: whats, ...own },
  { name: "jax", title: "JAX, jit (optax)", runtime: "python", adapter: "jax", does: whats, ...own },
  { name: "tensorflow", title: "TensorFlow, tf.function", runtime: "python", adapter: "tensorflow", does: whats, ...own, lastAxis },
  { name: "tfjs-wasm", title: "TensorFlow.js, wasm", runtime: "node", adapter: "tfjs-wasm", does: whats, oneThread: noThreads, lastAxis },
  { name: "tfjs-cpu", title: "TensorFlow.js, cpu", runtime: "node", adapter: "tfjs-cpu", does: whats, oneThread: noThreads, lastAxis },
  { name: "onnxruntime-web", title: "ONNX Runtime Web, wasm", runtime: "node", adapter: "onnxruntime-web", does: lossOnly, ...own },
  { name: "onnxruntime-node", title: "ONNX Runtime for Node", runtime: "node", adapter: "onnxruntime-node", does: lossOnly, ...own },
];

/**
 * Why a peer does not do a job, or undefined if it does.
 * @param {Peer} peer @param {{ inner: number }} shape @param {What} what @param {number} threads
 */
export function absence(peer, { inner }, what, threads) {
  if (!peer.does.includes(what)) return noGradient;
  if (inner > 1 && peer.lastAxis !== undefined) return peer.lastAxis;
  if (threads > 1 && peer.oneThread !== undefined) return peer.oneThread;
  return undefined;
}
