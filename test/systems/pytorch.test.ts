// PyTorch 2.15.0 on CPU: torch.nn.functional.cross_entropy and nll_loss with class indices. Values in f64; above each test the Python that gave them,
// with x = A, y = [2, 0, 3], W = [1, 0.5, 2, 0.25] and F = torch.nn.functional unless it says otherwise; gradients by loss.backward().
import { presets } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { expectClose, f64, flat, useEngine } from "../support.ts";
import { A } from "../vectors.ts";

const engine = useEngine();
const W = [1, 0.5, 2, 0.25];

describe("F.cross_entropy", () => {
  // F.cross_entropy(x[0], 2)
  test("1-D: one row without a batch", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A[0] ?? []), [2], { ...presets.pytorch, axis: 0, grad: true });
    expectClose(loss, 0.369278998448);
    expectClose(grad.toArray(), [0.154234825284, 0.0344144412661, -0.308767469258, 0.120118202708]);
  });

  // F.cross_entropy(x, y, weight=W)
  test("2-D with weight", () => {
    const { loss, grad, weightSum } = engine.xent.crossEntropy(f64(A), [2, 0, 3], { ...presets.pytorch, classWeight: W, grad: true });
    expectClose(loss, 0.907700869116);
    expect(weightSum).toBe(3.25);
    expectClose(grad.toArray(), [
      [0.0949137386364, 0.0211781177022, -0.190010750313, 0.0739188939743],
      [-0.255006662652, 0.0117557564154, 0.00713022669407, 0.236120679542],
      [0.00174360642779, 0.035021271285, 0.0272745935009, -0.0640394712136],
    ]);
  });

  // F.cross_entropy(x, y, weight=W, label_smoothing=0.1)
  test("label_smoothing with weight weighs each class's share by its own", () => {
    const { loss } = engine.xent.crossEntropy(f64(A), [2, 0, 3], { ...presets.pytorch, classWeight: W, labelSmoothing: 0.1 });
    expectClose(loss, 0.990129432581);
  });

  // F.cross_entropy(x, [2, -100, 3], weight=W, label_smoothing=0.1)
  test("2-D with weight, label_smoothing and an ignored row", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), [2, -100, 3], { ...presets.pytorch, classWeight: W, labelSmoothing: 0.1, grad: true });
    expectClose(loss, 0.60214139307);
    expectClose(grad.toArray(), [
      [0.11870320017, 0.0234099325101, -0.240434842181, 0.0983217095016],
      [0, 0, 0, 0],
      [-0.00789996927326, 0.0589419523943, 0.0280084874752, -0.0790504705962],
    ]);
  });

  // F.cross_entropy(x, [2, -100, 3], weight=W, label_smoothing=0.1, reduction="sum")
  test('reduction="sum"', () => {
    const options = { ...presets.pytorch, reduction: "sum", classWeight: W, labelSmoothing: 0.1 } as const;
    expectClose(engine.xent.crossEntropy(f64(A), [2, -100, 3], options).loss, 1.35481813441);
  });

  // loss = F.cross_entropy(x, [2, -100, 3], weight=W, label_smoothing=0.1, reduction="none"); loss.backward([1, 1, -2])
  test('reduction="none" and a gradient of the losses', () => {
    const options = { ...presets.pytorch, reduction: "none", classWeight: W, labelSmoothing: 0.1, upstream: [1, 1, -2], grad: true } as const;
    const { loss, grad } = engine.xent.crossEntropy(f64(A), [2, -100, 3], options);
    expectClose(loss.toArray(), [0.785259603311, 0, 0.569558531097]);
    expectClose(grad.toArray(), [
      [0.267082200382, 0.0526723481477, -0.540978394908, 0.221223846379],
      [0, 0, 0, 0],
      [0.0355498617297, -0.265238785774, -0.126038193639, 0.355727117683],
    ]);
  });

  // F.cross_entropy([[[1, 0], [2, -1], [0.5, 3]]], [[1, 0]], weight=[1, 2, 0.5], label_smoothing=0.1)
  test("3-D: classes before the positions", () => {
    const options = { ...presets.pytorch, classWeight: [1, 2, 0.5], labelSmoothing: 0.1, grad: true } as const;
    const { loss, grad } = engine.xent.crossEntropy(f64([[[1, 0], [2, -1], [0.5, 3]]]), { data: [1, 0], shape: [1, 2] }, options); // prettier-ignore
    expectClose(loss, 1.36067404612);
    expectClose(grad.toArray(), [[[0.136615267925, -0.295314611237], [-0.220660290504, -0.0164110146762], [0.0840450225783, 0.311725625914]]]); // prettier-ignore
  });

  // F.cross_entropy([[[[1, -1], [0, 2]], [[0.5, 0.5], [-2, 1]]]], [[[0, 1], [255, 1]]], weight=[0.25, 2], label_smoothing=0.2, ignore_index=255)
  test("4-D: an image with ignore_index=255", () => {
    const image = f64([[[[1, -1], [0, 2]], [[0.5, 0.5], [-2, 1]]]]); // prettier-ignore
    const map = { data: Uint8Array.of(0, 1, 255, 1), shape: [1, 2, 2] };
    const options = { ...presets.pytorch, ignoreIndex: 255, classWeight: [0.25, 2], labelSmoothing: 0.2, grad: true } as const;
    const { loss, grad } = engine.xent.crossEntropy(image, map, options);
    expectClose(loss, 0.724297536545);
    expectClose(grad.toArray(), [
      [[[0.0093047566496, 0.0724533131639], [0, 0.308042801412]], [[-0.0093047566496, -0.0724533131639], [0, -0.308042801412]]], // prettier-ignore
    ]);
  });

  // F.cross_entropy(x.reshape(1, 3, 1, 2, 2), [[[[0, 2], [1, -100]]]], weight=[1, 2, 0.5], label_smoothing=0.1)
  test("5-D: a volume", () => {
    const volume = { data: Float64Array.from(flat(A)), shape: [1, 3, 1, 2, 2] };
    const options = { ...presets.pytorch, classWeight: [1, 2, 0.5], labelSmoothing: 0.1, grad: true } as const;
    const { loss, grad } = engine.xent.crossEntropy(volume, BigInt64Array.of(0n, 2n, 1n, -100n), options);
    expectClose(loss, 1.99587788286);
    expectClose(grad.toArray(), [
      [-0.19023294232, 0.00505256898949, 0.390609999325, 0],
      [0.188720784924, 0.0205750857898, -0.500488350185, 0],
      [0.00151215739588, -0.0256276547793, 0.109878350859, 0],
    ]);
  });

  // F.cross_entropy(x, [-100] * 3), and reduction="sum"
  test("all rows ignored: the mean is NaN, the gradient and the sum are 0", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), [-100, -100, -100], { ...presets.pytorch, grad: true });
    expect(loss).toBeNaN();
    expectClose(grad.toArray(), Array<number>(12).fill(0));
    expect(engine.xent.crossEntropy(f64(A), [-100, -100, -100], { ...presets.pytorch, reduction: "sum" }).loss).toBe(0);
  });

  // p = [[0.9, 0.1, 0, 0], [0.05, 0.9, 0.05, 0], [0, 0.1, 0.8, 0.1], [0, 0, 0.25, 0.75]]; F.cross_entropy(x, p[[2, 0, 3]])
  test("class probabilities, one distribution per class", () => {
    const labelMatrix = [[0.9, 0.1, 0, 0], [0.05, 0.9, 0.05, 0], [0, 0.1, 0.8, 0.1], [0, 0, 0.25, 0.75]]; // prettier-ignore
    const { loss, grad } = engine.xent.crossEntropy(f64(A), [2, 0, 3], { ...presets.pytorch, labelMatrix, grad: true });
    expectClose(loss, 1.45279551547);
    expectClose(grad.toArray(), [
      [0.0514116084281, -0.0218618529113, -0.0362558230862, 0.0067060675694],
      [-0.242923884539, -0.0205979305499, 0.00772441225191, 0.255797402837],
      [0.00755562785377, 0.151758842235, 0.0348565718372, -0.194171041926],
    ]);
  });
});

// F.cross_entropy(x, y).backward(); F.cross_entropy(x, [0, -100, 1], weight=W).backward(); x.grad
test("backward() twice adds the gradients", () => {
  const { xent } = engine;
  const logits = xent.tensor("f64", [3, 4]);
  logits.view.set(flat(A));
  const { grad } = xent.crossEntropy(logits, [2, 0, 3], { ...presets.pytorch, grad: true });
  xent.crossEntropy(logits, [0, -100, 1], { ...presets.pytorch, classWeight: W, grad, accumulate: true });
  expectClose(grad.toArray(), [
    [-0.512431841383, 0.0344144412661, 0.357899197408, 0.120118202708],
    [-0.276257217873, 0.0127354027834, 0.00772441225191, 0.255797402837],
    [0.0151112557075, -0.0298156488636, 0.236379810341, -0.221675417185],
  ]);
});

// F.nll_loss(F.log_softmax(x, 1), [2, -100, 3], weight=W)
test("F.nll_loss of log-probabilities", () => {
  const logProbs = f64(A.map((row) => row.map((x) => x - Math.log(row.reduce((sum, other) => sum + Math.exp(other), 0)))));
  const { loss, grad } = engine.xent.crossEntropy(logProbs, [2, -100, 3], { ...presets.pytorch, input: "logProbs", classWeight: W, grad: true });
  expectClose(loss, 0.526786920136);
  expectClose(grad.toArray(), [[0, 0, -0.888888888889, 0], [0, 0, 0, 0], [0, 0, 0, -0.111111111111]]); // prettier-ignore
});
