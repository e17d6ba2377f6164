// @ts-check
// What is measured: regimes of logits, class counts, and problems drawn from a seed.
import { generator } from "../speed/cases.mjs";
import { decoded, encoder, formats } from "./formats.mjs";

/** @typedef {import("./formats.mjs").Dtype} Dtype */

/**
 * A way to draw rows. Without `lead` all logits are uniform over `spread` around `offset`, the labels random. With it the label's logit is that much
 * above the largest of the others, or below it where `lead` is negative.
 *
 * `goals` are the largest relative errors, of the loss and of the gradient, that a prototype of the kernels showed for f32 logits and class counts
 * `from` to `to`. They are aims; the contract is `bound` in compare.mjs.
 *
 * @typedef {object} Regime
 * @property {string} name
 * @property {"uniform" | "leads" | "leads, wide" | "trails" | "offset"} group what it is one with where a table has no room for each
 * @property {number} spread
 * @property {number} [lead]
 * @property {number} [offset]
 * @property {readonly { from: number, to: number, loss: number, grad: number }[]} [goals]
 */

const any = 1e9;

/** @param {readonly [number, number]} two @param {readonly [number, number]} few @param {readonly [number, number]} many */
const byClasses = (two, few, many) => [
  { from: 2, to: 2, loss: two[0], grad: two[1] },
  { from: 33, to: 33, loss: few[0], grad: few[1] },
  { from: 1000, to: any, loss: many[0], grad: many[1] },
];
/** @param {number} loss @param {number} grad */
const from10 = (loss, grad) => [{ from: 10, to: any, loss, grad }];

/** @type {readonly Regime[]} */
export const regimes = [
  { name: "uniform over 16, random labels", group: "uniform", spread: 16, goals: from10(2.8e-7, 1.1e-6) },
  { name: "label leads by 17", group: "leads", spread: 4, lead: 17, goals: byClasses([1.1e-6, 1.1e-6], [4e-7, 1.2e-6], [3e-7, 1.2e-6]) },
  { name: "label leads by 20", group: "leads", spread: 4, lead: 20, goals: byClasses([1.1e-6, 1.1e-6], [4e-7, 1.2e-6], [3e-7, 1.2e-6]) },
  { name: "label leads by 40", group: "leads", spread: 4, lead: 40, goals: byClasses([2e-6, 2e-6], [1e-6, 2.2e-6], [3e-7, 2.2e-6]) },
  { name: "label leads by 60", group: "leads", spread: 4, lead: 60, goals: byClasses([2.1e-6, 2.1e-6], [9e-7, 2.2e-6], [3.8e-7, 2.2e-6]) },
  { name: "label leads by 80", group: "leads", spread: 4, lead: 80, goals: byClasses([3.8e-6, 3.8e-6], [1.8e-6, 4.2e-6], [5.4e-7, 4.2e-6]) },
  { name: "label leads by 64, others over 16", group: "leads, wide", spread: 16, lead: 64 },
  { name: "label leads by 80, others over 16", group: "leads, wide", spread: 16, lead: 80 },
  { name: "label trails by 20", group: "trails", spread: 16, lead: -20, goals: from10(1e-7, 1.5e-6) },
  { name: "label trails by 60", group: "trails", spread: 16, lead: -60, goals: from10(1e-7, 2.2e-6) },
  { name: "label trails by 200", group: "trails", spread: 16, lead: -200, goals: from10(1e-7, any) },
  { name: "uniform, 1e2 added", group: "offset", spread: 16, offset: 1e2, goals: from10(1.8e-7, 7e-7) },
  { name: "uniform, 1e4 added", group: "offset", spread: 16, offset: 1e4, goals: from10(1.8e-7, 7e-7) },
  { name: "uniform, 1e6 added", group: "offset", spread: 16, offset: 1e6, goals: from10(1.8e-7, 7e-7) },
  { name: "label leads by 20, 1e6 added", group: "offset", spread: 4, lead: 20, offset: 1e6 },
];

/** Two classes, a few, one lane's worth and one more, a row kernel's smallest, ImageNet, two vocabularies. */
export const classCounts = [2, 3, 10, 33, 65, 1000, 32_000, 128_256];

/** Whether the numbers of a regime are finite in a dtype. @param {Regime} regime @param {Dtype} dtype */
export const fits = ({ offset = 0, lead = 0, spread }, dtype) => Math.abs(offset) + Math.abs(lead) + spread < formats[dtype].largest;

/**
 * @typedef {object} Problem
 * @property {Dtype} dtype
 * @property {number} rows @property {number} classes
 * @property {Float64Array} logits the exact values of what is stored, row after row
 * @property {Float32Array | Float64Array | Uint16Array} stored what the tensor holds
 * @property {Int32Array} labels
 */

/**
 * Draws a problem. Same arguments, same problem.
 * @param {Regime} regime @param {Dtype} dtype @param {number} classes @param {number} rows @returns {Problem}
 */
export function draw({ spread, lead, offset = 0 }, dtype, classes, rows) {
  const next = generator(classes);
  // Two draws: one has 24 bits, a double has 53.
  const unit = dtype === "f64" ? () => next() + next() / 2 ** 24 : next;
  const encode = encoder(dtype);
  const stored = new formats[dtype].array(rows * classes);
  const labels = new Int32Array(rows);
  for (let row = 0; row < rows; row += 1) labels[row] = Math.floor(next() * classes);
  for (let i = 0; i < stored.length; i += 1) stored[i] = encode((unit() - 0.5) * spread + offset);
  const logits = decoded(dtype, stored);
  if (lead !== undefined) {
    for (let row = 0; row < rows; row += 1) {
      const first = row * classes;
      const label = first + /** @type {number} */ (labels[row]);
      let largest = -Infinity;
      for (let i = first; i < first + classes; i += 1) if (i !== label) largest = Math.max(largest, /** @type {number} */ (logits[i]));
      stored[label] = encode(largest + lead);
      logits.set(decoded(dtype, stored.subarray(label, label + 1)), label);
    }
  }
  return { dtype, rows, classes, logits, stored, labels };
}

/**
 * Draws f64 rows whose label leads or trails by anything from a rounding to 700, among others as close as a rounding or far apart, at offsets up to 1e12.
 * @param {number} classes @param {number} rows @param {number} seed @returns {Problem}
 */
export function drawAnyLead(classes, rows, seed) {
  const next = generator(seed);
  const unit = () => next() + next() / 2 ** 24;
  /** @param {readonly number[]} list */
  const pick = (list) => /** @type {number} */ (list[Math.floor(next() * list.length)]);
  const [logits, labels] = [new Float64Array(rows * classes), new Int32Array(rows)];
  for (let row = 0; row < rows; row += 1) {
    const [spread, offset, first] = [pick([1e-15, 1e-6, 1, 4, 16, 100, 600]), pick([0, 0, 0, 1, -30, 1e3, 1e6, 1e12]), row * classes];
    for (let k = 0; k < classes; k += 1) logits[first + k] = offset + (unit() - 0.5) * spread;
    const label = Math.floor(next() * classes);
    labels[row] = label;
    const largest = logits.subarray(first, first + classes).reduce((most, x, k) => (k === label ? most : Math.max(most, x)), -Infinity);
    const kind = next();
    if (kind < 0.5) logits[first + label] = largest + (next() < 0.5 ? -1 : 1) * 2 ** (-56 + 65 * unit());
    else if (kind < 0.9) logits[first + label] = largest + pick([0, 1e-16, 0.5, Math.LN2, 36, 36.7, 37.5, 38, 700, 708, 40 * unit()]);
  }
  return { dtype: "f64", rows, classes, logits, stored: logits, labels };
}
