// Loss and gradient in TensorFlow.js: the entry and the library's own one-hot loss, on its wasm and cpu backends; the memory that each adds; and a training step of a
// small language model.
import { registerMissingKernels, sparseLosses } from "sparse-xent/tfjs";
import { kernelSwitch } from "./kernels.mjs";
import { batches, makeTraining, tokenised, tokens, vocabulary } from "./model.mjs";
import { inTurns, linesOf } from "./turns.mjs";

/** Of a probability. The library adds up exponentials in f32, one after the other. */
const tolerance = 2e-4;

const shapes = [
  { backend: "wasm", rows: 65_536, classes: 33 },
  { backend: "wasm", rows: 8192, classes: 1000 },
  { backend: "wasm", rows: 512, classes: 50_257 },
  { backend: "cpu", rows: 2048, classes: 1000 },
];

/** @param {import("./main.mjs").Context} context */
export async function tfjs({ xent, host, rounds, divisor, print, keep }) {
  const { tf } = await host("tfjs.mjs");
  const losses = sparseLosses(tf, xent);
  for (const { backend, rows: whole, classes } of shapes) {
    const rows = Math.max(1, Math.floor(whole / divisor));
    await tf.setBackend(backend);
    const x = tf.randomNormal([rows, classes], 0, 3, "float32", 1);
    const y = tf.tensor1d(Int32Array.from({ length: rows }, (_, at) => (at * 97) % classes), "int32");
    const own = tf.valueAndGrad((/** @type {any} */ z) => losses.sparseSoftmaxCrossEntropy(y, z));
    const perRow = tf.valueAndGrad((/** @type {any} */ z) => tf.mean(losses.sparseSoftmaxCrossEntropyWithLogits(y, z)));
    const stock = tf.valueAndGrad((/** @type {any} */ z) => tf.losses.softmaxCrossEntropy(tf.oneHot(y, classes), z));
    const apart = tf.tidy(() => tf.max(tf.abs(tf.sub(own(x).grad, stock(x).grad))).dataSync()[0] * rows);
    if (!(apart < tolerance)) {
      print(`FAIL: gradients of ${rows}x${classes} are ${apart} apart`);
      continue;
    }
    const after = (/** @type {any} */ { value, grad }) => tf.dispose([value, grad]);
    const added = async (/** @type {(x: any) => any} */ run) => {
      const before = tf.memory().numBytes;
      const { peakBytes } = await tf.profile(() => tf.tidy(() => run(x).value));
      return ((peakBytes - before) / (rows * classes * 4)).toFixed(1);
    };
    const memory = [await added(own), await added(perRow), await added(stock)];
    print(`${rows}x${classes} ${backend}, loss and gradient; tf memory added, in logits: ${memory[0]} mean, ${memory[1]} per row, ${memory[2]} one-hot`);
    const candidates = [
      { name: "sparseSoftmaxCrossEntropy", run: () => own(x), after },
      { name: "…WithLogits, then tf.mean", run: () => perRow(x), after },
      { name: "tf.losses.softmaxCrossEntropy, tf.oneHot", run: () => stock(x), after },
    ];
    const timings = await inTurns(candidates, backend === "cpu" ? Math.min(rounds, 3) : rounds);
    print(linesOf(timings));
    keep({ what: `loss and gradient on ${backend}, ${rows}x${classes}`, timings, memory });
    tf.dispose([x, y]);
  }

  await tf.setBackend("wasm");
  const { encode } = (await host("gpt2-encoder.mjs")).default;
  const { x, y } = batches(tf, tokenised(encode, 20_000))();
  const kernels = kernelSwitch(tf, registerMissingKernels);
  const [sparse, dense, bare] = [makeTraining(tf, "sparse-xent", losses), makeTraining(tf, "one-hot", losses), makeTraining(tf, "one-hot", losses)];
  print(`a step of a next-token model, ${tokens} tokens, ${vocabulary} classes`);
  const candidates = [
    { name: "linearSparseSoftmaxCrossEntropy", run: () => (kernels.own(), sparse.step(x, y)) },
    { name: "one-hot, with registerMissingKernels", run: () => (kernels.own(), dense.step(x, y)) },
    { name: "one-hot, stock products", run: () => (kernels.stock(), bare.step(x, y)) },
  ];
  const timings = await inTurns(candidates, rounds);
  print(linesOf(timings));
  keep({ what: `a training step, ${tokens}x${vocabulary}, wasm`, timings });
  for (const training of [sparse, dense, bare]) training.dispose();
  tf.dispose([x, y]);
}
