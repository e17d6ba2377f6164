// The plain JavaScript loop that people write: the first thing the package is compared with. May import cases.
import { firstOf } from "./cases.mjs";

/**
 * Mean loss and gradient by the usual three sweeps, as a careful user would write them: maximum, exponentials and sum, scale. Single precision in
 * memory, double in between, as JavaScript has it.
 *
 * @param {import("./cases.mjs").Shape} shape @param {import("./cases.mjs").Data} data
 * @param {Float32Array} losses written, one per row @param {Float32Array} grad written
 */
export function plainLoop(shape, { logits, labels }, losses, grad) {
  const { rows, classes, inner } = shape;
  let total = 0;
  for (let row = 0; row < rows; row += 1) {
    const first = firstOf(shape, row);
    const end = first + classes * inner;
    let max = -Infinity;
    for (let i = first; i < end; i += inner) if (/** @type {number} */ (logits[i]) > max) max = /** @type {number} */ (logits[i]);
    let sum = 0;
    for (let i = first; i < end; i += inner) {
      const e = Math.exp(/** @type {number} */ (logits[i]) - max);
      grad[i] = e;
      sum += e;
    }
    const label = first + /** @type {number} */ (labels[row]) * inner;
    const loss = Math.log(sum) - (/** @type {number} */ (logits[label]) - max);
    losses[row] = loss;
    total += loss;
    const scale = 1 / (sum * rows);
    for (let i = first; i < end; i += inner) grad[i] = /** @type {number} */ (grad[i]) * scale;
    grad[label] = /** @type {number} */ (grad[label]) - 1 / rows;
  }
  return total / rows;
}
