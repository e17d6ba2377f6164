// What the package is compared with inside JavaScript: the plain loop that people write, and the definition in f64. Imports nothing.

/**
 * Mean loss and gradient by the usual three sweeps in plain JavaScript, as a careful user would write them: maximum, exponentials and sum,
 * scale. Single precision in memory, double in between, as JavaScript has it.
 *
 * @param {{ rows: number, classes: number, inner: number }} shape
 * @param {Float32Array} logits @param {Int32Array} labels @param {Float32Array} grad
 */
export function plainLoop({ rows, classes, inner }, logits, labels, grad) {
  let total = 0;
  for (let row = 0; row < rows; row += 1) {
    const first = Math.floor(row / inner) * classes * inner + (row % inner);
    const end = first + classes * inner;
    let max = -Infinity;
    for (let i = first; i < end; i += inner) if (logits[i] > max) max = logits[i];
    let sum = 0;
    for (let i = first; i < end; i += inner) {
      const e = Math.exp(logits[i] - max);
      grad[i] = e;
      sum += e;
    }
    const label = first + labels[row] * inner;
    total += Math.log(sum) - (logits[label] - max);
    const scale = 1 / (sum * rows);
    for (let i = first; i < end; i += inner) grad[i] *= scale;
    grad[label] -= 1 / rows;
  }
  return total / rows;
}

/**
 * Loss and gradient of one row in f64, unscaled, from the same f32 logits; `ln(1 + R)` with R over the other classes, so that it is right to the last
 * digits for confident rows as well.
 *
 * @param {{ classes: number, inner: number }} shape @param {Float32Array} logits @param {number} row @param {number} label
 */
export function exactRow({ classes, inner }, logits, row, label) {
  const first = Math.floor(row / inner) * classes * inner + (row % inner);
  const x = Array.from({ length: classes }, (_, k) => logits[first + k * inner]);
  const max = x.reduce((a, b) => Math.max(a, b), -Infinity);
  const e = x.map((value) => Math.exp(value - max));
  const rest = e.reduce((sum, value, k) => (k === label ? sum : sum + value), 0);
  const total = rest + e[label];
  const loss = x[label] === max ? Math.log1p(rest) : Math.log(total) - (x[label] - max);
  const grad = e.map((value, k) => (k === label ? -rest / total : value / total));
  return { loss, grad, first };
}
