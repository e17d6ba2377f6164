// SoftmaxCrossEntropyLoss on tensors of ONNX Runtime: the entry and the runtime's own operator, in Node and on the web, from the runtime's tensors to its tensors.
import { onnxLosses } from "sparse-xent/onnx";
import { inTurns, linesOf } from "./turns.mjs";

/** Of the mean, relatively. The runtime adds up losses in f32, one after the other. */
const tolerance = 2e-4;

const shapes = [
  { dims: [8192, 1000], rows: [8192] },
  { dims: [512, 50_257], rows: [512] },
  { dims: [1, 33, 512, 512], rows: [1, 512, 512] },
];

/** @param {import("./main.mjs").Context} context */
export async function onnx({ xent, host, rounds, divisor, print, keep }) {
  const { lossModel } = await host("loss-model.mjs");
  const runtimes = [];
  for (const name of ["onnxruntime-node", "onnxruntime-web"]) runtimes.push({ name, ort: (await host(`${name}.mjs`)).ort });
  for (const shape of shapes) {
    const cut = (/** @type {readonly number[]} */ dims, /** @type {number} */ at) => dims.map((size, axis) => (axis === at ? Math.max(1, Math.floor(size / divisor)) : size));
    const isImage = shape.dims.length > 2;
    const [dims, rows] = [cut(shape.dims, isImage ? 2 : 0), cut(shape.rows, isImage ? 1 : 0)];
    const [, classes = 1] = dims;
    const count = rows.reduce((product, size) => product * size, 1);
    const data = Float32Array.from({ length: count * classes }, (_, at) => Math.sin(at * 12.9898) * 4);
    const labels = BigInt64Array.from({ length: count }, (_, at) => BigInt((at * 97) % classes));
    const candidates = [];
    /** @type {number[]} */
    const found = [];
    for (const { name, ort } of runtimes) {
      const feeds = { scores: new ort.Tensor("float32", data, dims), labels: new ort.Tensor("int64", labels, rows) };
      const session = await ort.InferenceSession.create(lossModel("SoftmaxCrossEntropyLoss", { dims, labels: "int64", reduction: "mean", weighted: false, logProb: false }), { intraOpNumThreads: 1 });
      const { softmaxCrossEntropyLoss } = onnxLosses(ort, xent);
      const its = await session.run(feeds);
      const { loss } = await softmaxCrossEntropyLoss(feeds.scores, feeds.labels);
      found.push(Number(its.loss.data[0]), Number(/** @type {any} */ (loss).data[0]));
      if (name === "onnxruntime-node") {
        candidates.push({ name: "softmaxCrossEntropyLoss", run: () => softmaxCrossEntropyLoss(feeds.scores, feeds.labels) });
        candidates.push({ name: "softmaxCrossEntropyLoss, gradient", run: () => softmaxCrossEntropyLoss(feeds.scores, feeds.labels, null, { gradient: true }) });
      }
      candidates.push({ name: `${name}, the loss`, run: () => session.run(feeds) });
    }
    const apart = Math.max(...found) / Math.min(...found) - 1;
    if (!(apart < tolerance)) {
      print(`FAIL: losses of [${dims}] are ${apart} apart, relatively`);
      continue;
    }
    const timings = await inTurns(candidates, rounds);
    print(`[${dims}] f32, largest relative difference of the losses ${apart.toExponential(1)}\n${linesOf(timings)}`);
    keep({ what: `loss, [${dims.join(", ")}]`, timings });
  }
}
