// @ts-check
// What the results are compared with, from the exact values of the logits. In f64 where the result is an f32 or shorter: some 1e-15 of the value, a
// hundred-millionth of what is measured. In 128 bits, by MPFR, where the result is an f64.
import { init } from "gmp-wasm";

/** @typedef {import("./cases.mjs").Problem} Problem */

/**
 * Loss and gradient of every row, each as a double and what is missing to the exact value (0 where the double is all there is), and two numbers of the
 * row that its bound needs.
 * @typedef {object} Exact
 * @property {Float64Array} losses @property {Float64Array} lossesRest
 * @property {Float64Array} grad @property {Float64Array} gradRest
 * @property {Float64Array} maxima the largest logit
 * @property {Float64Array} margins how far the label's logit is from the largest of the others, either way
 */

/** @param {Problem} problem @returns {Exact} */
function room({ rows, classes, logits, labels }) {
  const [maxima, margins] = [new Float64Array(rows), new Float64Array(rows)];
  for (let row = 0; row < rows; row += 1) {
    const first = row * classes;
    const label = first + /** @type {number} */ (labels[row]);
    let others = -Infinity;
    for (let i = first; i < first + classes; i += 1) if (i !== label) others = Math.max(others, /** @type {number} */ (logits[i]));
    maxima[row] = Math.max(others, /** @type {number} */ (logits[label]));
    margins[row] = Math.abs(/** @type {number} */ (logits[label]) - others);
  }
  const [ofRows, ofLogits] = [() => new Float64Array(rows), () => new Float64Array(rows * classes)];
  return { losses: ofRows(), lossesRest: ofRows(), grad: ofLogits(), gradRest: ofLogits(), maxima, margins };
}

/**
 * With R the sum of the other classes' exponentials over the label's: loss ln(1 + R), gradient -R / (1 + R) at the label. Nothing cancels.
 * @param {Problem} problem @returns {Exact}
 */
export function exactInDoubles(problem) {
  const { rows, classes, logits, labels } = problem;
  const exact = room(problem);
  const { losses, grad, maxima } = exact;
  for (let row = 0; row < rows; row += 1) {
    const first = row * classes;
    const label = first + /** @type {number} */ (labels[row]);
    const max = /** @type {number} */ (maxima[row]);
    let others = 0;
    let lost = 0;
    for (let i = first; i < first + classes; i += 1) {
      const e = Math.exp(/** @type {number} */ (logits[i]) - max);
      grad[i] = e;
      if (i === label) continue;
      // Kahan's sum: what an addition rounds away is taken to the next.
      const term = e - lost;
      const sum = others + term;
      lost = sum - others - term;
      others = sum;
    }
    const own = /** @type {number} */ (grad[label]);
    const all = others + own;
    losses[row] = Math.log1p(others / own);
    for (let i = first; i < first + classes; i += 1) grad[i] = /** @type {number} */ (grad[i]) / all;
    grad[label] = -others / all;
  }
  return exact;
}

const bits = 128;
const nearest = 0;

/** The same by MPFR, with {@link bits} bits. @returns {Promise<(problem: Problem) => Exact>} */
export async function mpfr() {
  const { binding } = await init();
  const variable = () => {
    const pointer = binding.mpfr_t();
    binding.mpfr_init2(pointer, bits);
    return pointer;
  };
  const [others, own, all, value] = [variable(), variable(), variable(), variable()];
  /** @type {ReturnType<typeof variable>[]} one per class, kept for the next row */
  const terms = [];

  /** Splits a variable, and leaves it changed. @param {ReturnType<typeof variable>} from @param {Float64Array} to @param {Float64Array} rest @param {number} at */
  const split = (from, to, rest, at) => {
    const head = binding.mpfr_get_d(from, nearest);
    binding.mpfr_sub_d(from, from, head, nearest);
    to[at] = head;
    rest[at] = binding.mpfr_get_d(from, nearest);
  };

  return (problem) => {
    const { rows, classes, logits, labels } = problem;
    const exact = room(problem);
    for (let row = 0; row < rows; row += 1) {
      const first = row * classes;
      const label = /** @type {number} */ (labels[row]);
      binding.mpfr_set_zero(others, 1);
      for (let k = 0; k < classes; k += 1) {
        const term = (terms[k] ??= variable());
        binding.mpfr_set_d(term, /** @type {number} */ (logits[first + k]), nearest);
        binding.mpfr_sub_d(term, term, /** @type {number} */ (exact.maxima[row]), nearest);
        binding.mpfr_exp(term, term, nearest);
        if (k === label) binding.mpfr_set(own, term, nearest);
        else binding.mpfr_add(others, others, term, nearest);
      }
      binding.mpfr_add(all, others, own, nearest);
      binding.mpfr_div(value, others, own, nearest);
      binding.mpfr_log1p(value, value, nearest);
      split(value, exact.losses, exact.lossesRest, row);
      for (let k = 0; k < classes; k += 1) {
        if (k === label) binding.mpfr_neg(value, others, nearest);
        else binding.mpfr_set(value, /** @type {number} */ (terms[k]), nearest);
        binding.mpfr_div(value, value, all, nearest);
        split(value, exact.grad, exact.gradRest, first + k);
      }
    }
    return exact;
  };
}
