// The last layer with its loss: loss and gradients in one operation, beside the three products that it is made of in TensorFlow.js and in ONNX Runtime on wasm, which
// leave the loss itself out. Both are given what suits them: TensorFlow.js transposes first, ONNX Runtime gets the transposed factors ready made.
import { registerMissingKernels } from "sparse-xent/tfjs";
import { productsModel } from "../../test/hosts/loss-model.mjs";
import { kernelSwitch } from "./kernels.mjs";
import { inTurns, linesOf } from "./turns.mjs";

/** Of the largest gradient of a hidden state. */
const tolerance = 1e-4;

/** Rows, depth, classes. @type {readonly [number, number, number][]} */
const shapes = [
  [4096, 64, 1000],
  [512, 256, 32_000],
  [256, 768, 50_257],
  [128, 512, 128_256],
];

/** @param {import("./main.mjs").Context} context */
export async function linear({ xent, host, rounds, divisor, print, keep }) {
  const [{ tf }, { ort }] = [await host("tfjs.mjs"), await host("onnxruntime-web.mjs")];
  await tf.setBackend("wasm");
  kernelSwitch(tf, registerMissingKernels).own();
  for (const [whole, depth, classes] of shapes) {
    const rows = Math.max(1, Math.floor(whole / divisor));
    let state = 1;
    const drawn = (/** @type {number} */ count, /** @type {number} */ scale) =>
      Float32Array.from({ length: count }, () => (((state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0) / 2 ** 31) * scale));
    const [hidden, kernel] = [xent.tensor("f32", [rows, depth], drawn(rows * depth, 1)), xent.tensor("f32", [depth, classes], drawn(depth * classes, 1 / Math.sqrt(depth)))];
    const labels = xent.tensor("u32", [rows], Uint32Array.from({ length: rows }, (_, row) => (row * 7919) % classes));
    const grad = { hidden: xent.tensor("f32", [rows, depth]), weight: xent.tensor("f32", [depth, classes]) };
    const step = (/** @type {boolean} */ recompute) => xent.linearCrossEntropy(hidden, kernel, labels, { weightLayout: "dv", grad, recompute });

    const [h, k] = [tf.tensor2d(hidden.view, [rows, depth]), tf.tensor2d(kernel.view, [depth, classes])];
    const g = tf.tidy(() => tf.div(tf.sub(tf.softmax(tf.matMul(h, k)), tf.oneHot(tf.tensor1d(Int32Array.from(labels.view), "int32"), classes)), rows));
    const products = () => tf.tidy(() => [tf.matMul(h, k), tf.matMul(g, k, false, true), tf.matMul(h, g, true, false)]);

    // What there is to agree on: the gradient of the hidden states.
    step(false);
    const apart = tf.tidy(() => tf.div(tf.max(tf.abs(tf.sub(tf.matMul(g, k, false, true), tf.tensor2d(grad.hidden.view, [rows, depth])))), tf.max(tf.abs(tf.matMul(g, k, false, true)))).dataSync()[0]);
    if (!(apart < tolerance)) {
      print(`FAIL: gradients of ${rows}x${depth}x${classes} are ${apart} apart`);
      continue;
    }
    const session = await ort.InferenceSession.create(productsModel(rows, depth, classes), { executionProviders: ["wasm"], intraOpNumThreads: 1 });
    const feed = (/** @type {any} */ tensor) => new ort.Tensor("float32", tensor.dataSync().slice(), tensor.shape);
    const [turnedHidden, turnedKernel] = [tf.transpose(h), tf.transpose(k)];
    const feeds = { h: feed(h), k: feed(k), g: feed(g), ht: feed(turnedHidden), kt: feed(turnedKernel) };
    tf.dispose([turnedHidden, turnedKernel]);

    const candidates = [
      { name: "linearCrossEntropy, loss included", run: () => step(false) },
      { name: "linearCrossEntropy, recompute", run: () => step(true) },
      { name: "TensorFlow.js wasm, three products", run: products, after: (/** @type {any} */ made) => tf.dispose(made) },
      { name: "onnxruntime-web, three products", run: () => session.run(feeds) },
    ];
    const timings = await inTurns(candidates, rounds);
    const gigaflops = timings.map(({ cpu }) => ((6e-6 * rows * depth * classes) / cpu).toFixed(1));
    print(`${rows} hidden states of ${depth}, ${classes} classes; GFLOP/s of three products: ${gigaflops.join(", ")}\n${linesOf(timings)}`);
    keep({ what: `a last layer with its loss and gradients, ${rows}x${depth}x${classes}`, timings });
    for (const tensor of [hidden, kernel, labels, grad.hidden, grad.weight]) tensor.dispose();
    tf.dispose([h, k, g]);
    await session.release();
  }
}
