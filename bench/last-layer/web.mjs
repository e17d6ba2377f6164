// The three products of a last layer's loss and gradients in TensorFlow.js and in ONNX Runtime on wasm, which leave the loss itself out. Both are given what suits
// them: TensorFlow.js transposes first, ONNX Runtime gets the transposed factors ready made. Run by main.mjs in a process of its own for each shape.
import process from "node:process";
import { load } from "sparse-xent";
import { registerMissingKernels } from "sparse-xent/tfjs";
import { productsModel } from "../../test/hosts/loss-model.mjs";
import { kernelSwitch } from "../adapters/kernels.mjs";
import { inTurns } from "../adapters/turns.mjs";
import { drawing } from "../speed/drawn.mjs";

/** Of the largest gradient of a hidden state. */
const tolerance = 1e-4;

/** @type {{ shape: [number, number, number], rounds: number }} */
const { shape: [rows, depth, classes], rounds } = JSON.parse(process.argv[2] ?? "{}");
const hosts = new URL("../../test/hosts/", import.meta.url);
/** @param {string} name @returns {Promise<any>} */
const host = (name) => import(new URL(name, hosts).href);
const [{ tf }, { ort }] = [await host("tfjs.mjs"), await host("onnxruntime-web.mjs")];
await tf.setBackend("wasm");
kernelSwitch(tf, registerMissingKernels).own();
const xent = await load({ threads: 1 });

const draw = drawing();
/** @param {number} count @param {number} scale */
const drawn = (count, scale) => draw(new Float32Array(count), scale);

const [hidden, kernel] = [xent.tensor("f32", [rows, depth], drawn(rows * depth, 1)), xent.tensor("f32", [depth, classes], drawn(depth * classes, 1 / Math.sqrt(depth)))];
const labels = xent.tensor("u32", [rows], Uint32Array.from({ length: rows }, (_, row) => (row * 7919) % classes));
const grad = { hidden: xent.tensor("f32", [rows, depth]), weight: xent.tensor("f32", [depth, classes]) };
const step = () => xent.linearCrossEntropy(hidden, kernel, labels, { weightLayout: "dv", grad });

const [h, k] = [tf.tensor2d(hidden.view, [rows, depth]), tf.tensor2d(kernel.view, [depth, classes])];
const g = tf.tidy(() => tf.div(tf.sub(tf.softmax(tf.matMul(h, k)), tf.oneHot(tf.tensor1d(Int32Array.from(labels.view), "int32"), classes)), rows));
const products = () => tf.tidy(() => [tf.matMul(h, k), tf.matMul(g, k, false, true), tf.matMul(h, g, true, false)]);

// What there is to agree on: the gradient of the hidden states.
step();
const error = tf.tidy(() => {
  const theirs = tf.matMul(g, k, false, true);
  return tf.div(tf.max(tf.abs(tf.sub(theirs, tf.tensor2d(grad.hidden.view, [rows, depth])))), tf.max(tf.abs(theirs))).dataSync()[0];
});
if (!(error < tolerance)) throw new Error(`gradients are ${error} apart`);

const session = await ort.InferenceSession.create(productsModel(rows, depth, classes), { executionProviders: ["wasm"], intraOpNumThreads: 1 });
/** @param {any} tensor */
const feed = (tensor) => new ort.Tensor("float32", tensor.dataSync().slice(), tensor.shape);
const [turnedHidden, turnedKernel] = [tf.transpose(h), tf.transpose(k)];
const feeds = { h: feed(h), k: feed(k), g: feed(g), ht: feed(turnedHidden), kt: feed(turnedKernel) };
tf.dispose([turnedHidden, turnedKernel]);

// A short call is made more often: the engine compiles it again meanwhile, on threads whose time counts.
const turns = Math.max(rounds, Math.ceil(8e9 / (rows * depth * classes)));
const timings = await inTurns([
  { name: "relaxed, all of it", run: step },
  { name: "TensorFlow.js, products", run: products, after: (/** @type {any} */ made) => tf.dispose(made) },
  { name: "ONNX Runtime Web, products", run: () => session.run(feeds) },
], turns); // prettier-ignore
console.log(JSON.stringify(Object.fromEntries(timings.map(({ name, cpu }) => [name, cpu]))));
// ONNX Runtime's own threads would keep the process.
process.exit(0);
