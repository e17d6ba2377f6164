// The outputs about a row's distribution, through the package: the largest classes, the label's rank, the entropy and the log-probabilities. Numbers are PyTorch's, in
// f64: `torch.log_softmax`, `torch.topk`, `torch.distributions.Categorical(logits=…).entropy()`.
import type { CrossEntropyOptions, Tensor, TopK } from "sparse-xent";
import { describe, expect, expectTypeOf, test } from "vitest";
import { errorOf, expectClose, f64, haveSameBits, useEngine } from "./support.ts";
import { A } from "./vectors.ts";

const engine = useEngine();
const labels = [2, 0, 3];
const all = ["topK", "targetRank", "entropy", "logProbs"] as const;

interface Peer {
  readonly name: string;
  readonly options: CrossEntropyOptions;
  readonly logProbs: readonly (readonly number[])[];
  readonly entropy: readonly number[];
  readonly classes: readonly number[];
  readonly ranks: readonly number[];
}

const peers: readonly Peer[] = [
  {
    name: "plain",
    options: {},
    logProbs: [[-1.869278998448, -3.369278998448, -0.3692789984483, -2.119278998448], [-1.764757254319, -3.264757254319, -3.764757254319, -0.2647572543194], [-3.786850293638, -0.786850293638, -1.036850293638, -1.786850293638]],
    entropy: [0.9140814149122, 0.717324727588, 1.110980247422],
    classes: [2, 0, 3, 3, 0, 1, 1, 2, 3],
    ranks: [0, 1, 2],
  },
  {
    name: "a logit scale, and terms of the loss that change nothing",
    options: { logitScale: 0.5, labelSmoothing: 0.1, classWeight: [1, 2, 3, 4], zLoss: 0.1, reduction: "none" },
    logProbs: [[-1.497805205856, -2.247805205856, -0.747805205856, -1.622805205856], [-1.37554833144, -2.12554833144, -2.37554833144, -0.62554833144], [-2.497744525631, -0.9977445256311, -1.122744525631, -1.497744525631]],
    entropy: [1.246643024334, 1.156811448661, 1.273640236529],
    classes: [2, 0, 3, 3, 0, 1, 1, 2, 3],
    ranks: [0, 1, 2],
  },
  {
    name: "a softcap",
    options: { softcap: 1.5 },
    logProbs: [[-1.464507991937, -2.820951516257, -0.6416846056209, -1.699066478848], [-1.054600741508, -2.196991975441, -2.679261081739, -0.7509506053276], [-3.039946494116, -0.8606795834801, -1.041678265612, -1.734854001502]],
    entropy: [1.155034926615, 1.149738922642, 1.18302476581],
    classes: [2, 0, 3, 3, 0, 1, 1, 2, 3],
    ranks: [0, 1, 2],
  },
  {
    name: "a class that is masked",
    options: { classMask: [1, 0, 1, 1] },
    logProbs: [[-1.834258433394, -Infinity, -0.3342584333939, -2.084258433394], [-1.725802049232, -Infinity, -3.725802049232, -0.2258020492316], [-3.179373292105, -Infinity, -0.4293732921052, -1.179373292105]],
    entropy: [0.7915551365929, 0.5771755464948, 0.7744090665387],
    classes: [2, 0, 3, 3, 0, 2, 2, 3, 0],
    ranks: [0, 1, 1],
  },
]; // prettier-ignore

describe.each(peers)("as PyTorch: $name", ({ options, logProbs, entropy, classes, ranks }) => {
  const values = classes.map((own, at) => logProbs[Math.floor(at / 3)]?.[own] ?? Number.NaN);

  test.each(["f64", "f32", "f16", "bf16"] as const)("%s", (dtype) => {
    const { xent } = engine;
    using logits = xent.tensor(dtype, [3, 4], A);
    const used = xent.info.usedBytes;
    {
      using result = xent.crossEntropy(logits, labels, { ...options, outputs: all, k: 3 });
      const relative = dtype === "f64" ? 1e-12 : 3e-6;
      expectClose(result.logProbs.view, logProbs, relative);
      expectClose(result.entropy.view, entropy, relative);
      expectClose(result.topK.values.view, values, relative);
      expect([...result.topK.classes.view]).toEqual(classes);
      expect([...result.targetRank.view]).toEqual(ranks);
      const wide = dtype === "f64" ? "f64" : "f32";
      expect([result.logProbs, result.entropy, result.topK.values].map((tensor) => tensor.dtype)).toEqual([wide, wide, wide]);
      expect([result.logProbs, result.entropy, result.topK.values, result.topK.classes, result.targetRank].map(({ shape }) => shape)).toEqual([[3, 4], [3], [3, 3], [3, 3], [3]]);
    }
    expect(xent.info.usedBytes).toBe(used);
  });
});

test("classes on any axis: the k of a row lie side by side, log-probabilities as the logits", () => {
  const x = f64([[[1, 0], [2, -1], [0.5, 3]]]);
  const { topK, entropy, logProbs, targetRank } = engine.xent.crossEntropy(x, [[1, 0]], { axis: 1, outputs: all, k: 2 });
  expect([topK.classes.shape, logProbs.shape, entropy.shape]).toEqual([[1, 2, 2], [1, 3, 2], [1, 2]]);
  expect([...topK.classes.view]).toEqual([1, 0, 2, 0]);
  expectClose(topK.values.view, [-0.464368784107945, -1.464368784107945, -0.06588390375742911, -3.0658839037574293], 1e-13);
  expectClose(logProbs.view, [-1.464368784107945, -3.0658839037574293, -0.464368784107945, -4.065883903757429, -1.964368784107945, -0.06588390375742911], 1e-13);
  expectClose(entropy.view, [0.9059592564792269, 0.2743130736734325], 1e-13);
  expect([...targetRank.view]).toEqual([0, 1]);
});

test("the gradient in place of the logits has the same bits, and so has every thread's share", async () => {
  const { xent } = engine;
  for (const [shape, axis] of [[[600, 1000], 1], [[4, 33, 2000], 1], [[3, 9000], 1]] as const) {
    const [logits, size] = [xent.tensor("f32", shape), shape.reduce((count: number, one: number) => count * one, 1)];
    const rows = size / (shape[axis] ?? 1);
    for (let at = 0; at < size; at += 1) logits.view[at] = ((at * 7919) % 1009) / 64;
    const own = Int32Array.from({ length: rows }, (_, row) => row % 33);
    const options = { axis, outputs: all, k: 4 } as const;
    const plain = xent.crossEntropy(logits, own, { axis, grad: true });
    const apart = xent.crossEntropy(logits, own, options);
    const over = await xent.crossEntropyAsync(logits, own, { ...options, grad: logits });
    expect(over.loss).toBe(plain.loss);
    expect(haveSameBits(over.grad, plain.grad)).toBe(true);
    const tensors = ({ topK, targetRank, entropy, logProbs }: { topK: TopK; targetRank: Tensor; entropy: Tensor; logProbs: Tensor }) => [topK.values, topK.classes, targetRank, entropy, logProbs];
    const others = tensors(over);
    for (const [at, tensor] of tensors(apart).entries()) expect(haveSameBits(tensor, others[at] as Tensor)).toBe(true);
    for (const each of [plain, apart, over, logits]) each.dispose();
  }
});

test("ignored rows have none, rows without weight have", () => {
  const options = { ignoreIndex: -1, sampleWeight: [1, 1, 0], outputs: all, k: 1 };
  const { topK, targetRank, entropy, logProbs } = engine.xent.crossEntropy(f64(A), [2, -1, 3], { ...options, outputs: all });
  expect([...topK.classes.view, ...targetRank.view]).toEqual([2, -1, 1, 0, -1, 2]);
  expect([...entropy.view].map(Number.isNaN)).toEqual([false, true, false]);
  expect([...logProbs.view].map(Number.isNaN)).toEqual([...Array<boolean>(4).fill(false), ...Array<boolean>(4).fill(true), ...Array<boolean>(4).fill(false)]);
});

describe("where they are written", () => {
  test("to tensors and arrays that are given", () => {
    const { xent } = engine;
    const made = xent.crossEntropy(f64(A), labels, { outputs: all, k: 2 });
    const values = xent.tensor("f64", [3, 2]);
    const classes = new Int32Array(6);
    const [logProbs, entropy, targetRank] = [new Float64Array(12), xent.tensor("f64", [3]), new Int32Array(3)];
    const given = xent.crossEntropy(f64(A), labels, { k: 2, outputs: { topK: { values, classes }, logProbs, entropy, targetRank } });
    expect([given.topK.values, given.topK.classes, given.logProbs, given.entropy, given.targetRank]).toEqual([values, classes, logProbs, entropy, targetRank]);
    expectTypeOf(given.topK.values).toEqualTypeOf<Tensor<"f64">>();
    expectTypeOf(given.topK.classes).toEqualTypeOf<Int32Array<ArrayBuffer>>();
    expectTypeOf(made.topK).toEqualTypeOf<TopK<"f64">>();
    expect(haveSameBits(values, made.topK.values)).toBe(true);
    expect([classes, logProbs, targetRank]).toEqual([made.topK.classes, made.logProbs, made.targetRank].map((tensor) => tensor.toArray()));
    given.dispose();
    expect(values.isDisposed).toBe(false);
    const half = xent.crossEntropy(f64(A), labels, { k: 2, outputs: { topK: { classes } } });
    expect(haveSameBits(half.topK.values, values)).toBe(true);
    for (const each of [made, values, entropy, half]) each.dispose();
  });

  const refused: readonly (readonly [string, string, CrossEntropyOptions])[] = [
    ["OPTION_RANGE", "k got 5, expected an integer in 1..4", { outputs: ["topK"], k: 5 }],
    ["OPTION_RANGE", "k got 0, expected an integer of at least 1", { outputs: ["topK"], k: 0 }],
    ["OPTION_RANGE", "outputs topK got 3, expected true, false or { values, classes }", { outputs: { topK: 3 as unknown as boolean } }],
    ["SHAPE", "topK.values shape got [3,4], expected [3,2] for logits [3,4], axis -1", { k: 2, get outputs() { return { topK: { values: engine.xent.tensor("f64", [3, 4]) } }; } }],
    ["LENGTH", "topK.classes length got 3, expected 6 (rows x k)", { k: 2, outputs: { topK: { classes: new Int32Array(3) } } }],
    ["LENGTH", "logProbs length got 3, expected 12 (logits)", { outputs: { logProbs: new Float64Array(3) } }],
    ["DTYPE", "targetRank dtype got f32, expected i32", { outputs: { targetRank: new Float32Array(3) as unknown as Int32Array } }],
    ["DTYPE", "entropy dtype got f32, expected f64 for f64 logits", { outputs: { entropy: new Float32Array(3) } }],
    ["OPTION_CONFLICT", 'outputs entropy got a value, expected none with input: "logProbs"', { input: "logProbs", outputs: ["entropy"] }],
    ["OPTION_CONFLICT", 'outputs logProbs got a value, expected none with input: "probs"', { input: "probs", outputs: ["logProbs"] }],
    ["OPTION_CONFLICT", 'outputs topK got a value, expected none with input: "probs"', { input: "probs", outputs: ["topK"] }],
  ]; // prettier-ignore
  test.each(refused)("%s: %s", (code, message, options) => {
    expect(errorOf(() => engine.xent.crossEntropy(f64(A), labels, options))).toMatchObject({ code, message });
  });

  test("an order needs no probabilities", () => {
    expect([...engine.xent.crossEntropy(f64(A), labels, { input: "logProbs", outputs: ["targetRank"] }).targetRank.view]).toEqual([0, 1, 2]);
  });

  test("none of a layer, whose logits are never all there", () => {
    const outputs = ["targetRank"] as unknown as ["predictions"];
    const [hidden, weight] = [new Float32Array(6), { data: new Float32Array(12), shape: [4, 3] }];
    expect(errorOf(() => engine.xent.linearCrossEntropy({ data: hidden, shape: [2, 3] }, weight, [0, 1], { outputs })).message).toMatch(/^outputs targetRank got a value, expected none of a linear layer/);
  });
});
