// What sparse-xent/tfjs promises, on any copy and backend of TensorFlow.js. Imports nothing of Node: a page runs the same.
import { isSparseXentError, load, type Engine } from "sparse-xent";
import { sparseLosses, type LossOptions } from "sparse-xent/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorOf } from "../support.ts";

/** TensorFlow.js, whose types are there only where its packages are. */
export type Any = any;

const [rows, classes] = [6, 7];
const labels = [0, 1, 2, 3, 4, 6];

/** Tests of a backend, `library()` being ready when they run. */
export function batteryOf(backend: string, library: () => Any): void {
  describe(backend, () => {
    let tf: Any;
    let xent: Engine;
    let losses: ReturnType<typeof sparseLosses<Any>>;
    beforeAll(async () => {
      tf = library();
      expect(await tf.setBackend(backend)).toBe(true);
      xent = await load();
      losses = sparseLosses(tf, xent);
    });
    afterAll(() => xent?.dispose());

    /** Runs with tensors that end with it, and holds it to leaving none behind, nor memory of the engine. */
    function without<T>(run: () => T): T {
      const before = tf.memory();
      tf.engine().startScope();
      try {
        return run();
      } finally {
        tf.engine().endScope();
        const { numTensors, numBytes, numDataBuffers } = tf.memory();
        expect({ numTensors, numBytes, numDataBuffers }).toEqual({ numTensors: before.numTensors, numBytes: before.numBytes, numDataBuffers: before.numDataBuffers });
        expect(xent.info.usedBytes).toBe(0);
      }
    }

    const logitsOf = (shape: readonly number[], seed = 1): Any => tf.randomNormal(shape, 0, 3, "float32", seed);
    const labelsOf = (): Any => tf.tensor1d(labels, "int32");
    const oneHot = (y: Any, x: Any): Any => tf.losses.softmaxCrossEntropy(tf.oneHot(y, classes), x);
    const numbers = (tensor: Any): number[] => [...tensor.dataSync()];
    function expectNear(found: Any, wanted: Any, within = 1e-6): void {
      expect(found.shape).toEqual(wanted.shape);
      const want = numbers(wanted);
      for (const [at, value] of numbers(found).entries()) expect(Math.abs(value - (want[at] ?? Number.NaN)), `at ${at}`).toBeLessThanOrEqual(within * Math.max(1, Math.abs(want[at] ?? 0)));
    }

    test("mean: loss and gradient are those of one-hot", () =>
      without(() => {
        const [x, y] = [logitsOf([rows, classes]), labelsOf()];
        const want = tf.valueAndGrad((z: Any) => oneHot(y, z))(x);
        const found = tf.valueAndGrad((z: Any) => losses.sparseSoftmaxCrossEntropy(y, z))(x);
        expect(found.value.shape).toEqual([]);
        expectNear(found.value, want.value);
        expectNear(found.grad, want.grad);
      }));

    test("per row: the loss of each, and the gradient under what each counts for", () =>
      without(() => {
        const [x, y] = [logitsOf([rows, classes]), labelsOf()];
        const weights = tf.tensor1d([1, 0.5, 0, -2, 3, 0.25]);
        const perRow = (z: Any): Any => tf.neg(tf.sum(tf.mul(tf.oneHot(y, classes), tf.logSoftmax(z)), -1));
        expectNear(losses.sparseSoftmaxCrossEntropyWithLogits(y, x), perRow(x));
        const want = tf.grad((z: Any) => tf.sum(tf.mul(weights, perRow(z))))(x);
        expectNear(tf.grad((z: Any) => tf.sum(tf.mul(weights, losses.sparseSoftmaxCrossEntropyWithLogits(y, z))))(x), want);
      }));

    test("labels as int32 or float32, of the rows' shape or with a 1 behind; logits of any rank", () =>
      without(() => {
        const x = logitsOf([2, 3, classes]);
        const flatLoss = losses.sparseSoftmaxCrossEntropyWithLogits(labelsOf(), tf.reshape(x, [rows, classes]));
        for (const dtype of ["int32", "float32"]) {
          for (const shape of [[2, 3], [2, 3, 1]]) {
            const found = losses.sparseSoftmaxCrossEntropyWithLogits(tf.tensor(labels, shape, dtype), x);
            expectNear(found, tf.reshape(flatLoss, [2, 3]));
          }
        }
      }));

    test("used twice, and times something, in one function", () =>
      without(() => {
        const [x, y] = [logitsOf([rows, classes]), labelsOf()];
        const twice = (loss: (y: Any, z: Any) => Any) => (z: Any) => tf.tidy(() => tf.add(tf.mul(2, loss(y, z)), loss(y, tf.square(z))));
        const want = tf.valueAndGrad(twice(oneHot))(x);
        const found = tf.valueAndGrad(twice(losses.sparseSoftmaxCrossEntropy))(x);
        expectNear(found.value, want.value);
        expectNear(found.grad, want.grad, 3e-6);
      }));

    test.each<LossOptions>([
      { ignoreIndex: 2, labelSmoothing: 0.1 },
      { classWeight: [1, 2, 0.5, 1, 1, 1, 3], denominator: "valid", zLoss: 1e-3 },
      { sampleWeight: [1, 0, 2, 1, 1, 0.5], focalGamma: 2 },
    ])("the options of the loss: %j", (options) =>
      without(() => {
        const [x, y] = [logitsOf([rows, classes]), labelsOf()];
        const { value, grad } = tf.valueAndGrad((z: Any) => losses.sparseSoftmaxCrossEntropy(y, z, options))(x);
        const own = xent.crossEntropy(x.dataSync() as Float32Array, labels, { ...options, shape: [rows, classes], grad: true });
        expectNear(value, tf.scalar(own.loss));
        expectNear(grad, tf.tensor(own.grad.toArray(), [rows, classes]));
        own.grad.dispose();
      }));

    test("outside of a gradient no gradient is made, and one tensor", () => {
      without(() => {
        const [x, y] = [logitsOf([rows, classes]), labelsOf()];
        const [h, k] = [logitsOf([rows, 3], 2), logitsOf([3, classes], 3)];
        for (const run of [losses.sparseSoftmaxCrossEntropy, losses.sparseSoftmaxCrossEntropyWithLogits, (...[y]: Any[]) => losses.linearSparseSoftmaxCrossEntropy(y, h, k)]) {
          const { numTensors, numBytes } = tf.memory();
          const loss = run(y, x);
          expect(tf.memory().numTensors).toBe(numTensors + 1);
          expect(tf.memory().numBytes).toBe(numBytes + loss.size * 4);
        }
      });
    });

    test("minimizing by an optimizer, with nothing left behind", () => {
      without(() => {
        const [w, y] = [tf.variable(logitsOf([rows, classes])), labelsOf()];
        const optimizer = tf.train.sgd(0.5);
        const steps = Array.from({ length: 5 }, () => optimizer.minimize(() => losses.sparseSoftmaxCrossEntropy(y, w), true, [w]).dataSync()[0]);
        expect(steps.every((loss, at) => at === 0 || loss < steps[at - 1])).toBe(true);
        w.dispose();
        optimizer.dispose();
      });
    });

    test("a bad label or type is the core's error, and leaves nothing behind", () =>
      without(() => {
        const x = logitsOf([rows, classes]);
        const bad = tf.tensor1d([0, 1, 2, 3, 4, 7], "int32");
        for (const loss of [losses.sparseSoftmaxCrossEntropy, losses.sparseSoftmaxCrossEntropyWithLogits]) {
          const error = errorOf(() => tf.valueAndGrad((z: Any) => tf.sum(loss(bad, z)))(x));
          expect([error.code, error.index]).toEqual(["LABEL_OUT_OF_RANGE", 5]);
        }
        const error = errorOf(() => losses.sparseSoftmaxCrossEntropy(labelsOf(), tf.zeros([rows, classes], "int32")));
        expect([error.code, error.message]).toEqual(["DTYPE", "logits dtype got int32, expected float32"]);
      }));

    test("linear: the loss of hidden · kernel + bias, differentiable in all of them", () =>
      without(() => {
        const y = labelsOf();
        const inputs = [logitsOf([rows, 5], 2), logitsOf([5, classes], 3), logitsOf([classes], 4)];
        for (const count of [2, 3]) {
          const given = inputs.slice(0, count);
          const stock = (h: Any, k: Any, b?: Any): Any => tf.mul(3, oneHot(y, b === undefined ? tf.matMul(h, k) : tf.add(tf.matMul(h, k), b)));
          const own = (h: Any, k: Any, b?: Any): Any => tf.mul(3, losses.linearSparseSoftmaxCrossEntropy(y, h, k, b));
          const want = tf.valueAndGrads(stock)(given);
          const found = tf.valueAndGrads(own)(given);
          expectNear(found.value, want.value);
          for (const [at, grad] of found.grads.entries()) expectNear(grad, want.grads[at], 3e-6);
        }
        const [h, k] = inputs as [Any, Any];
        expect(errorOf(() => losses.linearSparseSoftmaxCrossEntropy(y, logitsOf([rows, 4]), k)).message).toBe(`weight shape got [5,${classes}], expected [4,V] for hidden [${rows},4]`);
        expect(errorOf(() => losses.linearSparseSoftmaxCrossEntropy(y, h, tf.cast(k, "int32"))).message).toBe("kernel dtype got int32, expected float32");
        // Rows in any shape, in smaller pieces, and without a gradient: the same loss.
        const whole = tf.tidy(() => losses.linearSparseSoftmaxCrossEntropy(y, h, k).dataSync()[0]);
        const [states, marks] = [tf.reshape(h, [1, rows, 5]), tf.reshape(y, [1, rows])];
        for (const options of [{}, { chunkRows: 1 }, { recompute: true }]) {
          expect(losses.linearSparseSoftmaxCrossEntropy(marks, states, k, null, options).dataSync()[0]).toBe(whole);
          expect(tf.valueAndGrad((x: Any) => losses.linearSparseSoftmaxCrossEntropy(marks, x, k, null, options))(states).grad.shape).toEqual([1, rows, 5]);
        }
      }));

    describe("compileSparse", () => {
      const features = 5;
      const examples = 40;
      const classOf = (at: number): number => (at * 3) % classes;
      const network = (activation?: string): Any => {
        const initial = (seed: number) => tf.initializers.randomNormal({ stddev: 0.5, seed });
        return tf.sequential({
          layers: [
            tf.layers.dense({ inputShape: [features], units: 8, activation: "tanh", kernelInitializer: initial(1) }),
            tf.layers.dense({ units: classes, kernelInitializer: initial(2), ...(activation && { activation }) }),
          ],
        });
      };
      const inputs = (): Any => tf.randomNormal([examples, features], 0, 1, "float32", 5);
      const targets = (shape: readonly number[], dtype = "float32"): Any => tf.tensor(Array.from({ length: examples }, (_, at) => classOf(at)), shape, dtype);
      const fitting = { epochs: 4, batchSize: 16, shuffle: false, verbose: 0 };

      /** The losses of a training, epoch by epoch. */
      async function curve(compile: (model: Any) => void, y: () => Any, more = {}, activation?: string): Promise<Record<string, number[]>> {
        const before = tf.memory().numTensors;
        const model = network(activation);
        const optimizer = tf.train.adam(0.02);
        compile(Object.assign(model, { chosen: optimizer }));
        const [x, target] = [inputs(), y()];
        const { history } = await model.fit(x, target, { ...fitting, ...more });
        tf.dispose([x, target]);
        model.dispose();
        optimizer.dispose();
        expect([tf.memory().numTensors, xent.info.usedBytes]).toEqual([before, 0]);
        return history;
      }
      const sparse = (args = {}) => (model: Any) => losses.compileSparse(model, { optimizer: model.chosen, ...args });
      const dense = (model: Any): void => model.compile({ optimizer: model.chosen, loss: (yTrue: Any, yPred: Any) => tf.losses.softmaxCrossEntropy(yTrue, yPred) });
      const oneHots = (): Any => tf.tidy(() => tf.oneHot(targets([examples], "int32"), classes).toFloat());
      const expectCurve = (found: number[] | undefined, wanted: number[] | undefined): void => {
        expect(found?.length).toBe(fitting.epochs);
        for (const [at, value] of (found ?? []).entries()) expect(Math.abs(value - (wanted?.[at] ?? Number.NaN))).toBeLessThanOrEqual(1e-6 * Math.max(1, value));
      };

      test.each([[[examples]], [[examples, 1]]])("fit takes labels %j, with the curve of one-hot", async (shape) => {
        const want = await curve(dense, oneHots);
        const found = await curve(sparse({ metrics: ["accuracy"] }), () => targets(shape));
        expectCurve(found["loss"], want["loss"]);
        expect(found["acc"]?.every((share) => share >= 0 && share <= 1)).toBe(true);
        expect(found["loss"]?.at(-1)).toBeLessThan(found["loss"]?.[0] ?? 0);
      });

      test("fromLogits: false is for models that end with a softmax", async () => {
        const stock = (model: Any): void => model.compile({ optimizer: model.chosen, loss: "sparseCategoricalCrossentropy" });
        const want = await curve(stock, () => targets([examples]), {}, "softmax");
        expectCurve((await curve(sparse({ fromLogits: false }), () => targets([examples]), {}, "softmax"))["loss"], want["loss"]);
      });

      test("classWeight and sampleWeight, each and both", async () => {
        const classWeight = Object.fromEntries(Array.from({ length: classes }, (_, at) => [at, 0.5 + at / 4]));
        const half = Object.fromEntries(Object.entries(classWeight).map(([at, weight]) => [at, Math.sqrt(weight)]));
        const bySample = Array.from({ length: examples }, (_, at) => classWeight[classOf(at)] ?? 0);
        for (const more of [{ classWeight }, { sampleWeight: bySample }, { sampleWeight: Float32Array.from(bySample, Math.sqrt), classWeight: half }]) {
          const found = await curve(sparse(), () => targets([examples]), more);
          expectCurve(found["loss"], await weightedCurve(bySample));
        }
      });

      /** The curve of rows weighted by hand. */
      async function weightedCurve(weights: readonly number[]): Promise<number[]> {
        const model = network();
        const optimizer = tf.train.adam(0.02);
        const curveOf: number[] = [];
        const [x, y] = [inputs(), oneHots()];
        for (let epoch = 0; epoch < fitting.epochs; epoch += 1) {
          let total = 0;
          for (let from = 0; from < examples; from += fitting.batchSize) {
            const size = Math.min(fitting.batchSize, examples - from);
            tf.tidy(() => {
              const w = tf.tensor1d(weights.slice(from, from + size));
              const loss = optimizer.minimize(
                () => {
                  const z = model.apply(x.slice([from], [size]), { training: true });
                  return tf.mean(tf.mul(w, tf.neg(tf.sum(tf.mul(y.slice([from], [size]), tf.logSoftmax(z)), -1))));
                },
                true,
                model.trainableWeights.map((weight: Any) => weight.val),
              );
              total += loss.dataSync()[0] * size;
            });
          }
          curveOf.push(total / examples);
        }
        tf.dispose([x, y]);
        model.dispose();
        optimizer.dispose();
        return curveOf;
      }

      test("evaluate and validation take integer labels too", async () => {
        const history = await curve(sparse(), () => targets([examples]), { validationSplit: 0.2 });
        expect(history["val_loss"]?.every(Number.isFinite)).toBe(true);
      });

      test("errors say what is not as expected", async () => {
        const old = sparseLosses({ ...tf, version_core: "4.21.0" }, xent);
        const before = tf.memory().numTensors;
        const model = network();
        expect(errorOf(() => old.compileSparse(model, { optimizer: "sgd" })).message).toBe('tf version got "4.21.0", expected 4.22, whose insides compileSparse relies on');
        losses.compileSparse(model, { optimizer: "sgd" });
        const [x, y] = [inputs(), targets([examples])];
        const failed = await model.fit(x, y, { ...fitting, sampleWeight: [1, 2] }).catch((error: unknown) => error);
        expect(isSparseXentError(failed, "LENGTH") && failed.message).toBe(`sampleWeight length got 2, expected ${examples} (rows), as the targets [${examples},1]`);
        const input = tf.input({ shape: [features] });
        const two = tf.model({ inputs: input, outputs: [tf.layers.dense({ units: 2 }).apply(input), tf.layers.dense({ units: 2 }).apply(input)] });
        expect(errorOf(() => losses.compileSparse(two, { optimizer: "sgd" })).message).toBe("model outputs got 2, expected a model of tfjs-layers with one output");
        tf.dispose([x, y]);
        two.dispose();
        model.dispose();
        expect(tf.memory().numTensors - before).toBeLessThanOrEqual(2);
      });
    });
  });
}
