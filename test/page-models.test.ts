// What the live page computes beside the package: the classifier's way back against finite differences, the counts and logits of the token model against
// their definitions, and the brush.
import { load, type Engine } from "sparse-xent";
import { sparseLosses } from "sparse-xent/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generator } from "../bench/speed/cases.mjs";
import { Network } from "../ts/page/learn/network.ts";
import { classes, colours, drawStreet, heat, height, ignored, names, paint, predict, width } from "../ts/page/segmentation/scene.ts";
import { Counts } from "../ts/page/surprise/counts.ts";
import { Model, type Weights } from "../ts/page/surprise/model.ts";
import { host, moduleOfHosts } from "./hosts.ts";

let xent: Engine;
beforeAll(async () => void (xent = await load({ threads: 1 })));
afterAll(() => xent.dispose());

/** Small integers from a seed. */
function integers(length: number, below: number, seed: number): number[] {
  const next = generator(seed);
  return Array.from({ length }, () => Math.floor(next() * below));
}

const tfjs = host("@tensorflow/tfjs");

describe.skipIf(!tfjs.isHere)(`the classifier, in ${tfjs.title}`, () => {
  const [inputs, hidden, outputs, rows] = [5, 7, 4, 6];
  const data = Float32Array.from(integers(rows * inputs, 100, 1), (value) => value / 50 - 1);
  const marks = Int32Array.from(integers(rows, outputs, 2));
  let tf: any;
  beforeAll(async () => {
    ({ tf } = await moduleOfHosts("tfjs"));
    await tf.setBackend("wasm");
  });
  const make = (rate: number): Network => new Network(tf, sparseLosses(tf, xent).linearSparseSoftmaxCrossEntropy, [inputs, hidden, outputs], generator(3), rate);
  const given = () => ({ x: tf.tensor2d(data, [rows, inputs]), y: tf.tensor1d(marks, "int32") });
  const lossOf = (network: Network, x: unknown): number => xent.crossEntropy(network.logits(x), marks, { shape: [rows, outputs] }).loss;

  test("a step follows the gradient by every weight and bias, as finite differences have it", () => {
    const tensors = tf.memory().numTensors;
    const network = make(1);
    const { x, y } = given();
    const before = network.parameters.map((values) => values.dataSync().slice());
    const slopes = network.parameters.map((variable, place) =>
      Float64Array.from(before[place] ?? [], (value, i) => {
        const at = (moved: number): number =>
          tf.tidy((): number => {
            const values = before[place]?.slice() ?? new Float32Array();
            values[i] = moved;
            variable.assign(tf.tensor(values, variable.shape));
            return lossOf(network, x);
          });
        const slope = (at(value + 0.005) - at(value - 0.005)) / 0.01;
        at(value);
        return slope;
      }),
    );
    expect(network.learn(x, y, {})).toBeCloseTo(lossBefore(network, x, before), 6);
    let largest = 0;
    for (const [place, variable] of network.parameters.entries()) {
      for (const [i, value] of variable.dataSync().entries()) {
        const step = (before[place]?.[i] ?? 0) - value;
        expect(step).toBeCloseTo(slopes[place]?.[i] ?? Number.NaN, 3);
        largest = Math.max(largest, Math.abs(step));
      }
    }
    expect(largest).toBeGreaterThan(0.05);
    network.dispose();
    tf.dispose([x, y]);
    // TensorFlow.js' own momentum optimizer keeps the scalar of its rate when it is disposed of.
    expect(tf.memory().numTensors).toBe(tensors + 1);
  });

  /** The loss of a network that has moved on, as it was with these parameters. */
  function lossBefore(network: Network, x: unknown, before: readonly Float32Array[]): number {
    const moved = network.parameters.map((variable) => variable.dataSync().slice());
    const set = (values: readonly Float32Array[]): void => {
      for (const [place, variable] of network.parameters.entries()) tf.tidy(() => variable.assign(tf.tensor(values[place] ?? [], variable.shape)));
    };
    set(before);
    const loss = lossOf(network, x);
    set(moved);
    return loss;
  }

  test("learns what it is shown", () => {
    const network = make(0.1);
    const { x, y } = given();
    for (let step = 0; step < 300; step += 1) network.learn(x, y, {});
    expect(lossOf(network, x)).toBeLessThan(0.05);
    network.dispose();
    tf.dispose([x, y]);
  });
});

describe("runs of tokens", () => {
  const texts = [integers(300, 9, 4), integers(200, 9, 5), [], [3]];
  test.each([2, 3] as const)("of %i are counted within texts and not across them", (n) => {
    const plain = new Map<string, number>();
    for (const tokens of texts) for (let i = 0; i + n <= tokens.length; i += 1) plain.set(tokens.slice(i, i + n).join(), (plain.get(tokens.slice(i, i + n).join()) ?? 0) + 1);
    const counts = new Counts(n, 9, texts);
    expect(counts.size).toBe(plain.size);
    const found = new Map<string, number>();
    const contexts = Array.from({ length: 9 ** (n - 1) }, (_, i) => (n === 2 ? [i] : [Math.floor(i / 9), i % 9]));
    for (const context of contexts) counts.forEach(context, (token, count) => void found.set([...context, token].join(), count));
    expect(found).toEqual(plain);
  });

  test("of a vocabulary whose runs have no exact key are refused", () => {
    expect(() => new Counts(3, 300_000, [])).toThrow(/no exact key/);
    expect(new Counts(3, 200_019, [[200_018, 200_018, 200_018]]).size).toBe(1);
  });
});

describe("the token model", () => {
  const vocabulary = 11;
  const texts = [integers(400, vocabulary - 1, 6), integers(300, vocabulary - 1, 7)];
  const model = new Model(vocabulary, texts);
  const typed = integers(8, vocabulary, 8);

  /** The n-gram model with Dirichlet smoothing, from its definition: each context's counts, and the shorter context's shares as so many observations. */
  function probability(tokens: readonly number[], at: number, token: number): number {
    const [floor, bigramPrior, trigramPrior] = [0.05, 30, 5];
    const runs = (wanted: readonly number[]): number =>
      texts.reduce((sum, text) => sum + text.filter((_, i) => i + wanted.length <= text.length && wanted.every((value, j) => text[i + j] === value)).length, 0);
    const followed = (context: readonly number[]): number => Array.from({ length: vocabulary }, (_, v) => runs([...context, v])).reduce((a, b) => a + b, 0);
    const all = texts.reduce((sum, { length }) => sum + length, 0);
    let share = (runs([token]) + floor) / (all + floor * vocabulary);
    const [t, u] = [tokens[at - 2] ?? -1, tokens[at - 1] ?? -1];
    if (at >= 1) share = (runs([u, token]) + bigramPrior * share) / (followed([u]) + bigramPrior);
    if (at >= 2) share = (runs([t, u, token]) + trigramPrior * share) / (followed([t, u]) + trigramPrior);
    return share;
  }

  function logitsOf(positions: readonly number[], weights: Weights): Float32Array {
    const logits = new Float32Array(positions.length * vocabulary);
    model.logits(positions.map((at) => model.terms(typed, at)), weights, logits);
    return logits;
  }

  test("with weights 1, 1, 1, 0 it is the smoothed n-gram model", () => {
    const positions = typed.map((_, at) => at);
    const { loss } = xent.crossEntropy(logitsOf(positions, [1, 1, 1, 0]), typed, { shape: [positions.length, vocabulary], reduction: "none" });
    // The share that the trigram's prior is spread by counts a text's last token as followed, so they agree to that: two tokens of 700.
    for (const at of positions) expect(loss.view[at]).toBeCloseTo(-Math.log(probability(typed, at, typed[at] ?? 0)), 2);
    loss.dispose();
  });

  test("its gradient by the weights agrees with finite differences", () => {
    const positions = typed.map((_, at) => at);
    const weights: Weights = [0.9, 0.8, 0.6, 0.5];
    const loss = (at: Weights): number => xent.crossEntropy(logitsOf(positions, at), typed, { shape: [positions.length, vocabulary] }).loss;
    const { grad } = xent.crossEntropy(logitsOf(positions, weights), typed, { shape: [positions.length, vocabulary], grad: true });
    const byWeights = model.weightsGrad(positions.map((at) => model.terms(typed, at)), grad.view);
    grad.dispose();
    for (const [i, value] of byWeights.entries()) {
      const moved = (by: number): Weights => weights.map((weight, j) => (i === j ? weight + by : weight)) as unknown as Weights;
      expect(value).toBeCloseTo((loss(moved(0.01)) - loss(moved(-0.01))) / 0.02, 3);
    }
  });
});

describe("the label map", () => {
  test("33 classes, each with a name and a colour of its own", () => {
    expect(classes).toBe(33);
    expect(new Set(names).size).toBe(33);
    expect(new Set(colours.map(String)).size).toBe(33);
  });

  test("the street has labels that are classes", () => {
    const labels = new Uint8Array(width * height).fill(ignored);
    drawStreet(labels);
    expect(Math.max(...labels)).toBeLessThan(classes);
    expect(new Set(labels).size).toBeGreaterThan(12);
  });

  test("a brush paints a disc, cut off at the edges", () => {
    for (const [x, y, radius] of [[80, 60, 7], [0, 0, 5], [width - 1, height - 1, 9.5], [-3, 50, 4], [40.5, 30.25, 1]] as const) {
      const labels = new Uint8Array(width * height);
      paint(labels, x, y, radius, 7);
      const wanted = labels.map((_, i) => (((i % width) - x) ** 2 + (Math.floor(i / width) - y) ** 2 <= radius * radius ? 7 : 0));
      expect(Buffer.compare(labels, wanted)).toBe(0);
    }
  });

  test("the model expects what it has seen, and nothing of ignored pixels", () => {
    const labels = new Uint8Array(width * height).fill(4);
    labels.fill(ignored, 0, width * 20);
    const logits = new Float32Array(width * height * classes);
    predict(labels, logits, generator(9));
    const result = xent.crossEntropy(logits, new Uint8Array(labels.length).fill(4), { shape: [height, width, classes], reduction: "none" });
    const losses = result.loss.toArray();
    result.loss.dispose();
    const mean = (from: number, to: number): number => losses.slice(from * width, to * width).reduce((a, b) => a + b, 0) / ((to - from) * width);
    expect(mean(30, height)).toBeLessThan(0.1);
    // A guess among 33, give or take the noise.
    expect(mean(0, 15)).toBeGreaterThan(3);
    expect(mean(0, 15)).toBeLessThan(5);
  });

  test("heat grows lighter from cold to hot", () => {
    const lightness = Array.from({ length: 20 }, (_, i) => heat(i / 19)).map(([r, g, b]) => 0.3 * r + 0.59 * g + 0.11 * b);
    expect(lightness).toEqual([...lightness].sort((a, b) => a - b));
    expect(heat(-1)).toEqual(heat(0));
    expect(heat(7)).toEqual(heat(1));
  });
});
