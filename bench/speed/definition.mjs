// The definition in f64, from the same f32 logits: what every candidate is judged by before it is timed. May import cases.
import { firstOf } from "./cases.mjs";

/** @typedef {import("./cases.mjs").Shape} Shape */

/**
 * `ln(1 + R)` with R over the other classes, so that it is right to the last digits for confident rows as well.
 *
 * @param {Pick<Shape, "classes" | "inner">} shape @param {Float32Array} logits @param {number} row @param {number} label
 */
function rowOf({ classes, inner }, logits, row, label) {
  const first = firstOf({ classes, inner }, row);
  let max = -Infinity;
  for (let k = 0; k < classes; k += 1) max = Math.max(max, logits[first + k * inner] ?? Number.NaN);
  let rest = 0;
  for (let k = 0; k < classes; k += 1) if (k !== label) rest += Math.exp((logits[first + k * inner] ?? Number.NaN) - max);
  const margin = (logits[first + label * inner] ?? Number.NaN) - max;
  const total = rest + Math.exp(margin);
  return { first, max, rest, total, loss: margin === 0 ? Math.log1p(rest) : Math.log(total) - margin };
}

/** Losses of all rows. @param {Shape} shape @param {import("./cases.mjs").Data} data */
export const exactLosses = (shape, { logits, labels }) => Float64Array.from(labels, (label, row) => rowOf(shape, logits, row, label).loss);

/**
 * Gradient of one row, for an upstream gradient of 1.
 * @param {Shape} shape @param {import("./cases.mjs").Data} data @param {number} row
 */
export function exactGrad(shape, { logits, labels }, row) {
  const label = labels[row] ?? 0;
  const { first, max, rest, total } = rowOf(shape, logits, row, label);
  return Float64Array.from({ length: shape.classes }, (_, k) =>
    k === label ? -rest / total : Math.exp((logits[first + k * shape.inner] ?? Number.NaN) - max) / total,
  );
}
