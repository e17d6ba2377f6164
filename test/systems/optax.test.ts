// optax 0.2.8 on JAX 0.10.2. Values in f64; above each test the Python that gave them, with x = A, y = [2, 0, 3] and
// ce = optax.losses.softmax_cross_entropy_with_integer_labels; gradients by jax.vjp.
import { presets } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { expectClose, f64, useEngine } from "../support.ts";
import { A } from "../vectors.ts";

const engine = useEngine();
const labels = [2, 0, 3];

describe("optax.losses.softmax_cross_entropy_with_integer_labels", () => {
  // ce(x, y), differentiated with [1, -2, 0.5]
  test("losses, and their gradient for a cotangent per row", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets.optax, upstream: [1, -2, 0.5], grad: true });
    expectClose(loss.toArray(), [0.369278998448, 1.76475725432, 1.78685029364]);
    expectClose(grad.toArray(), [
      [0.154234825284, 0.0344144412661, -0.308767469258, 0.120118202708],
      [1.65754330724, -0.0764124167003, -0.0463464735115, -1.53478441702],
      [0.0113334417807, 0.227638263352, 0.177284857756, -0.416256562889],
    ]);
  });

  // jax.value_and_grad(lambda x: ce(x, y).mean())(x)
  test(".mean() and its gradient in one call", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets.optax, reduction: "mean", grad: true });
    expectClose(loss, 1.30696218214);
    expectClose(grad.toArray(), [
      [0.0514116084281, 0.011471480422, -0.102922489753, 0.0400394009027],
      [-0.276257217873, 0.0127354027834, 0.00772441225191, 0.255797402837],
      [0.00755562785377, 0.151758842235, 0.118189905171, -0.277504375259],
    ]);
  });

  // m = [1, 0, 1]; (ce(x, y) * m).sum() / m.sum()
  test("a mean over a padding mask", () => {
    const { loss } = engine.xent.crossEntropy(f64(A), labels, { ...presets.optax, reduction: "mean", sampleWeight: Uint8Array.of(1, 0, 1) });
    expectClose(loss, 1.07806464604);
  });

  // ce(x, y, where=[[True, False, True, True]] * 3)
  test("where: a class taken out of every row", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets.optax, classMask: [true, false, true, true], grad: true });
    expectClose(loss.toArray(), [0.334258433394, 1.72580204923, 1.17937329211]);
    expectClose(grad.toArray(), [
      [0.159731909709, 0, -0.284131246072, 0.124399336363],
      [-0.821969794494, 0, 0.0240937682868, 0.797876026207],
      [0.0416117253479, 0, 0.650916901683, -0.692528627031],
    ]);
  });

  // ce(x, [2, 0, 1, 0], axis=0)
  test("axis=0", () => {
    const { loss, grad } = engine.xent.crossEntropy(f64(A), [2, 0, 1, 0], { ...presets.optax, axis: 0, grad: true });
    expectClose(loss.toArray(), [3.83509759552, 2.40760596444, 2.81378086334, 2.85770121071]);
    expectClose(grad.toArray(), [
      [0.263132493651, -0.90996942683, 0.730679129203, -0.942599439489],
      [0.715268275969, 0.244728471055, -0.940022204685, 0.897895838015],
      [-0.978400769621, 0.665240955775, 0.209343075482, 0.0447036014745],
    ]);
  });

  // ce(x, [4, -1, 0]): [nan, 0.264757254319, 3.78685029364]. The loss of label -1 is that of the last class, and both gradients are finite.
  test("a label of -1 is not the last class", () => {
    const { loss, grad, invalidCount } = engine.xent.crossEntropy(f64(A), [4, -1, 0], { ...presets.optax, grad: true });
    expectClose(loss.toArray(), [Number.NaN, Number.NaN, 3.78685029364]);
    expect([...grad.view.subarray(0, 8)].every(Number.isNaN)).toBe(true);
    expect(invalidCount).toBe(2);
  });
});

// optax.losses.poly_loss_cross_entropy(x, jax.nn.one_hot(y, 4), epsilon=2.0)
test("optax.losses.poly_loss_cross_entropy without its one-hot labels", () => {
  const { loss, grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets.optax, poly1Epsilon: 2, grad: true });
  expectClose(loss.toArray(), [0.986813936965, 3.42230056156, 3.45187654519]);
  expectClose(grad.toArray(), [
    [0.367459082503, 0.081991203927, -0.735627707631, 0.2861774212],
    [-1.11259005317, 0.0512901801048, 0.0311090667757, 1.03019080629],
    [0.0302596945134, 0.607782211434, 0.473341262202, -1.11138316815],
  ]);
});

// optax.losses.softmax_cross_entropy(x, optax.losses.smooth_labels(jax.nn.one_hot(y, 4), 0.1))
test("optax.losses.smooth_labels without its one-hot labels", () => {
  const { loss } = engine.xent.crossEntropy(f64(A), labels, { ...presets.optax, labelSmoothing: 0.1 });
  expectClose(loss.toArray(), [0.525528998448, 1.81475725432, 1.79310029364]);
});

// ce(x, y) + 0.01 * jax.nn.logsumexp(x, -1) ** 2
test("the z-loss of language models", () => {
  const { loss, grad } = engine.xent.crossEntropy(f64(A), labels, { ...presets.optax, zLoss: 0.01, grad: true });
  expectClose(loss.toArray(), [0.425413828173, 1.87134365362, 1.81877863336]);
  expectClose(grad.toArray(), [
    [0.161543331932, 0.0360451895248, -0.276013014896, 0.125810073408],
    [-0.817591273898, 0.0407008882676, 0.0246863366118, 0.817499194105],
    [0.0234769301123, 0.471546746613, 0.367240975517, -0.82652764637],
  ]);
});
