// @ts-check
// Holds results against the exact values: the worst relative error, the worst error in units in the last place, and how much of the contract's bound the
// worst element takes.
import { biasedExponents, formats, unitsInTheLastPlace } from "./formats.mjs";

/** @typedef {import("./formats.mjs").Dtype} Dtype @typedef {import("./cases.mjs").Problem} Problem @typedef {import("./exact.mjs").Exact} Exact */

/**
 * The worst of the losses, of the gradient at the labels, or of the gradient elsewhere. Elements whose exact value is below the floor of the dtype
 * have no digits to keep and are only held against the bound: `apart` is their number and `zeros` how many of them came out as 0.
 * @typedef {{ relative: number, ulp: number, used: number, count: number, apart: number, zeros: number }} Worst
 * @typedef {{ loss: Worst, label: Worst, others: Worst }} Figures
 */

/** @returns {Worst} */
const nothing = () => ({ relative: 0, ulp: 0, used: 0, count: 0, apart: 0, zeros: 0 });

/**
 * The contract of a plain row, with U the unit roundoff of what is computed in, m the margin, M the largest logit, and T = C² tiny: a loss and the
 * gradient at the label are within U (32 + m) of their value, plus T; another element of the gradient within U (32 + 2m + M - x) of its value, plus T. A
 * gradient in 16 bits adds one rounding.
 * @param {Dtype} dtype @param {Dtype} stored
 */
export function bound(dtype, stored) {
  const [unit, tiny] = dtype === "f64" ? [2 ** -53, 2 ** -1020] : [2 ** -24, 2 ** -124];
  const { digits, smallest } = formats[stored];
  const isNarrower = stored === "f16" || stored === "bf16";
  return { unit, tiny, rounding: isNarrower ? 2 ** -digits : 0, step: isNarrower ? 2 ** (smallest - digits) : 0 };
}

/** Below this an exact value has no digits to keep: T of one class, or the smallest normal value of the dtype. @param {Dtype} dtype @param {Dtype} stored */
export const floorOf = (dtype, stored) => Math.max(bound(dtype, stored).tiny, 2 ** formats[stored].smallest);

/**
 * @param {Worst} worst @param {number} got @param {number} exact @param {number} rest @param {number} ulp @param {number} floor @param {number} allowed
 */
function judge(worst, got, exact, rest, ulp, floor, allowed) {
  const difference = Math.abs(got - exact - rest);
  // A NaN is as wrong as can be; comparing with it would hide it.
  const error = Number.isNaN(difference) ? Infinity : difference;
  const size = Math.abs(exact);
  worst.used = Math.max(worst.used, error / allowed);
  if (size < floor) {
    worst.apart += 1;
    if (got === 0) worst.zeros += 1;
    return;
  }
  worst.count += 1;
  worst.relative = Math.max(worst.relative, error / size);
  worst.ulp = Math.max(worst.ulp, error / ulp);
}

/**
 * @param {Problem} problem @param {Exact} exact
 * @param {{ losses: ArrayLike<number>, grad: ArrayLike<number> }} got row after row
 * @param {Dtype} stored the dtype of the gradient; losses are f64 for f64 logits and f32 for others
 * @returns {Figures}
 */
export function compare({ dtype, rows, classes, logits, labels }, exact, got, stored) {
  const lossDtype = dtype === "f64" ? "f64" : "f32";
  const [lossUlps, gradUlps] = [unitsInTheLastPlace[lossDtype], unitsInTheLastPlace[stored]];
  const [lossExponent, gradExponent] = [biasedExponents(exact.losses), biasedExponents(exact.grad)];
  const [lossFloor, gradFloor] = [floorOf(dtype, lossDtype), floorOf(dtype, stored)];
  const { unit, tiny, rounding, step } = bound(dtype, stored);
  const total = classes ** 2 * tiny;
  const figures = { loss: nothing(), label: nothing(), others: nothing() };
  /** @param {ArrayLike<number>} array @param {number} index */
  const at = (array, index) => /** @type {number} */ (array[index]);
  for (let row = 0; row < rows; row += 1) {
    const [max, margin, label] = [at(exact.maxima, row), at(exact.margins, row), at(labels, row)];
    const loss = at(exact.losses, row);
    const near = unit * (32 + margin);
    judge(figures.loss, at(got.losses, row), loss, at(exact.lossesRest, row), at(lossUlps, lossExponent(row)), lossFloor, near * loss + total);
    for (let k = 0; k < classes; k += 1) {
      const i = row * classes + k;
      const value = at(exact.grad, i);
      const far = k === label ? near : unit * (32 + 2 * margin + max - at(logits, i));
      const allowed = (far + rounding) * Math.abs(value) + total + step;
      judge(k === label ? figures.label : figures.others, at(got.grad, i), value, at(exact.gradRest, i), at(gradUlps, gradExponent(i)), gradFloor, allowed);
    }
  }
  return figures;
}

/** The worse of two, element by element. @param {Figures} a @param {Figures} b @returns {Figures} */
export function worse(a, b) {
  /** @param {keyof Figures} part */
  const of = (part) => ({
    relative: Math.max(a[part].relative, b[part].relative),
    ulp: Math.max(a[part].ulp, b[part].ulp),
    used: Math.max(a[part].used, b[part].used),
    count: a[part].count + b[part].count,
    apart: a[part].apart + b[part].apart,
    zeros: a[part].zeros + b[part].zeros,
  });
  return { loss: of("loss"), label: of("label"), others: of("others") };
}
