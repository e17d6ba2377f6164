// sparse-xent/tfjs on TensorFlow.js in Node, with its cpu and wasm backends. In pages: test/browser/tfjs.test.ts.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { load } from "sparse-xent";
import { registerMissingKernels, sparseLosses } from "sparse-xent/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { host, moduleOfHosts } from "../hosts.ts";
import { errorOf } from "../support.ts";
import { batteryOf, type Any } from "./tfjs.ts";

const { title, isHere } = host("@tensorflow/tfjs");

describe.skipIf(!isHere)(title, () => {
  let tf: Any;
  beforeAll(async () => {
    ({ tf } = await moduleOfHosts("tfjs"));
  }, 60_000);

  batteryOf("cpu", () => tf);
  batteryOf("wasm", () => tf);

  test("the curve of one-hot on the digits, within 1e-6", { timeout: 60_000 }, async () => {
    await tf.setBackend("wasm");
    const lines = gunzipSync(readFileSync(new URL("../../ts/page/data/digits.csv.gz", import.meta.url))).toString().trim().split("\n").map((line) => line.split(",").map(Number));
    const xent = await load();
    const { compileSparse } = sparseLosses(tf, xent);
    const x = tf.tensor2d(lines.map((numbers) => numbers.slice(0, 64).map((value) => value / 16)));
    const y = tf.tensor1d(lines.map((numbers) => numbers[64]), "int32").toFloat();
    const hot = tf.oneHot(y.toInt(), 10).toFloat();
    const network = (): Any => {
      const initial = (seed: number) => tf.initializers.glorotUniform({ seed });
      return tf.sequential({ layers: [
        tf.layers.dense({ inputShape: [64], units: 32, activation: "relu", kernelInitializer: initial(1) }),
        tf.layers.dense({ units: 10, kernelInitializer: initial(2) }),
      ] }); // prettier-ignore
    };
    const fitting = { epochs: 6, batchSize: 64, shuffle: false, verbose: 0 };
    const [sparse, dense] = [network(), network()];
    compileSparse(sparse, { optimizer: tf.train.sgd(0.1), metrics: ["accuracy"] });
    dense.compile({ optimizer: tf.train.sgd(0.1), loss: (yTrue: Any, yPred: Any) => tf.losses.softmaxCrossEntropy(yTrue, yPred) });
    const found = (await sparse.fit(x, y, fitting)).history;
    const want = (await dense.fit(x, hot, fitting)).history;
    for (const [epoch, loss] of found.loss.entries()) expect(Math.abs(loss - want.loss[epoch])).toBeLessThanOrEqual(1e-6);
    expect(found.loss.at(-1)).toBeLessThan(found.loss[0] / 2);
    expect(found.acc.at(-1)).toBeGreaterThan(0.8);
    await xent.dispose();
  });

  describe("registerMissingKernels", () => {
    const gathered = (): Any => tf.tidy(() => tf.grad((table: Any) => tf.sum(tf.mul(tf.gather(table, tf.tensor1d([2, 0, 2, 1], "int32")), tf.tensor2d([1, 2, 3, 4, 5, 6, 7, 8], [4, 2]))))(tf.zeros([4, 2])).arraySync());

    test("gives embeddings a gradient on wasm, and multiplies by transposed matrices as before", async () => {
      await tf.setBackend("wasm");
      const products = (): Any =>
        tf.tidy(() =>
          [[[3, 5], [5, 2], false, false], [[5, 3], [5, 2], true, false], [[3, 5], [2, 5], false, true], [[5, 3], [2, 5], true, true], [[4, 5, 3], [4, 2, 5], true, true], [[1, 5, 3], [4, 5, 2], true, false]].map(([a, b, ta, tb]) =>
            tf.matMul(tf.randomNormal(a, 0, 1, "float32", 1), tf.randomNormal(b, 0, 1, "float32", 2), ta, tb).arraySync(),
          ),
        );
      const before = products();
      expect(gathered).toThrow(/UnsortedSegmentSum/);
      expect(registerMissingKernels(tf)).toEqual(["UnsortedSegmentSum", "BatchMatMul"]);
      expect(registerMissingKernels(tf)).toEqual([]);
      const { numTensors } = tf.memory();
      const buffers = tf.backend().numDataIds();
      expect(gathered()).toEqual([[3, 4], [7, 8], [6, 8], [0, 0]]);
      const after = products();
      for (const [at, each] of after.entries()) for (const [place, value] of each.flat(2).entries()) expect(value).toBeCloseTo(before[at].flat(2)[place], 5);
      expect([tf.memory().numTensors, tf.backend().numDataIds()]).toEqual([numTensors, buffers]);
      await tf.setBackend("cpu");
      expect(gathered()).toEqual([[3, 4], [7, 8], [6, 8], [0, 0]]);
    });

    test("refuses a release it does not know, by name", () => {
      const error = errorOf(() => registerMissingKernels({ ...tf, version_core: "5.0.0" }));
      expect([error.code, error.message]).toEqual(["OPTION_RANGE", 'tf version got "5.0.0", expected 4.22, whose insides registerMissingKernels relies on']);
    });
  });
});
