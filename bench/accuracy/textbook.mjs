// @ts-check
// The form in every textbook, in the precision of the logits (f32 for shorter ones), rounded after every step: the maximum, exponentials and their sum;
// loss = ln(sum) - (x[y] - max); gradient = softmax, less 1 at the label. Imports nothing.

/** @param {import("./cases.mjs").Problem} problem @returns {{ losses: Float64Array, grad: Float64Array }} */
export function textbook({ dtype, rows, classes, logits, labels }) {
  const round = dtype === "f64" ? (/** @type {number} */ value) => value : Math.fround;
  const [losses, grad] = [new Float64Array(rows), new Float64Array(logits.length)];
  for (let row = 0; row < rows; row += 1) {
    const first = row * classes;
    const label = first + /** @type {number} */ (labels[row]);
    let max = -Infinity;
    for (let i = first; i < first + classes; i += 1) max = Math.max(max, /** @type {number} */ (logits[i]));
    let sum = 0;
    for (let i = first; i < first + classes; i += 1) {
      const e = round(Math.exp(round(/** @type {number} */ (logits[i]) - max)));
      grad[i] = e;
      sum = round(sum + e);
    }
    losses[row] = round(round(Math.log(sum)) - round(/** @type {number} */ (logits[label]) - max));
    for (let i = first; i < first + classes; i += 1) grad[i] = round(/** @type {number} */ (grad[i]) / sum);
    grad[label] = round(/** @type {number} */ (grad[label]) - 1);
  }
  return { losses, grad };
}
