// @ts-check
// Runs problems through the package and through the textbook's form, and collects the figures.
import { classCounts, draw, fits, regimes } from "./cases.mjs";
import { compare, worse } from "./compare.mjs";
import { exactInDoubles, mpfr } from "./exact.mjs";
import { decoded } from "./formats.mjs";
import { textbook } from "./textbook.mjs";

/** @typedef {import("./formats.mjs").Dtype} Dtype @typedef {import("./cases.mjs").Regime} Regime @typedef {import("./cases.mjs").Problem} Problem */
/** @typedef {import("./compare.mjs").Figures} Figures @typedef {import("sparse-xent").Engine} Engine */

/** Dtypes of logits, each with the dtypes its gradient is measured in. @type {readonly { dtype: Dtype, grad: Dtype }[]} */
export const pairs = [
  { dtype: "f32", grad: "f32" },
  { dtype: "f64", grad: "f64" },
  { dtype: "f16", grad: "f32" },
  { dtype: "f16", grad: "f16" },
  { dtype: "bf16", grad: "f32" },
  { dtype: "bf16", grad: "bf16" },
];

/** Logits in a problem: rows are as many as fit, at least one, at most `rows`. MPFR takes some microseconds for a logit. */
export const sizes = {
  full: { classCounts, logits: 400_000, rows: 40_000, logitsF64: 24_000 },
  quick: { classCounts: [2, 10, 33, 1000, 32_000], logits: 40_000, rows: 4000, logitsF64: 1000 },
};
/** @typedef {{ classCounts: readonly number[], logits: number, rows: number, logitsF64: number }} Size */

/** @param {Size} size @param {Dtype} dtype @param {number} classes */
const rowsOf = ({ logits, rows, logitsF64 }, dtype, classes) => Math.min(rows, Math.max(1, Math.floor((dtype === "f64" ? logitsF64 : logits) / classes)));

/** Rows become columns. @template {Float32Array | Float64Array | Uint16Array} T @param {T} from @param {number} rows @param {number} columns @returns {T} */
function transposed(from, rows, columns) {
  const to = /** @type {T} */ (from.slice());
  for (let row = 0; row < rows; row += 1) for (let column = 0; column < columns; column += 1) to[column * rows + row] = /** @type {number} */ (from[row * columns + column]);
  return to;
}

/**
 * Loss of every row and its gradient from the package, as numbers, row after row.
 * @param {Engine} xent @param {Problem} problem @param {Dtype} gradDtype @param {boolean} isClassesFirst lay the classes out as planes
 */
export function run(xent, { dtype, rows, classes, stored, labels }, gradDtype, isClassesFirst) {
  const dims = isClassesFirst ? [classes, rows] : [rows, classes];
  const [logits, grad, ys] = [xent.tensor(dtype, dims), xent.tensor(gradDtype, dims), xent.tensor("i32", [rows])];
  logits.view.set(isClassesFirst ? transposed(stored, rows, classes) : stored);
  ys.view.set(labels);
  const { loss } = xent.crossEntropy(logits, ys, { axis: isClassesFirst ? 0 : 1, reduction: "none", grad });
  const numbers = decoded(gradDtype, grad.view);
  const got = { losses: new Float64Array(loss.view), grad: isClassesFirst ? transposed(numbers, classes, rows) : numbers };
  for (const tensor of [logits, grad, ys, loss]) tensor.dispose();
  return got;
}

/**
 * @typedef {object} Measured
 * @property {Dtype} dtype of the logits
 * @property {Dtype} grad of the gradient
 * @property {string} regime
 * @property {number} classes
 * @property {number} rows
 * @property {Record<string, Figures>} of by `relaxed` and `simd`, the worse of both layouts, and `textbook`
 */

/**
 * Measures every case of the given size.
 * @param {Readonly<Record<string, Engine>>} engines by build
 * @param {Size} size
 * @param {{ wanted?: readonly { dtype: Dtype, grad: Dtype }[], among?: readonly Regime[], told?: (done: number, total: number, what: string) => void }} [options]
 * @returns {Promise<Measured[]>}
 */
export async function measure(engines, size, { wanted = pairs, among = regimes, told = () => {} } = {}) {
  const dtypes = [...new Set(wanted.map(({ dtype }) => dtype))];
  const cases = dtypes.flatMap((dtype) => size.classCounts.flatMap((classes) => among.filter((regime) => fits(regime, dtype)).map((regime) => ({ dtype, classes, regime }))));
  const exactIn = { f32: exactInDoubles, f16: exactInDoubles, bf16: exactInDoubles, f64: dtypes.includes("f64") ? await mpfr() : exactInDoubles };
  /** @type {Measured[]} */
  const results = [];
  for (const [done, { dtype, classes, regime }] of cases.entries()) {
    told(done, cases.length, `${dtype}, ${classes} classes, ${regime.name}`);
    const rows = rowsOf(size, dtype, classes);
    const problem = draw(regime, dtype, classes, rows);
    const exact = exactIn[dtype](problem);
    const plain = dtype === "f32" || dtype === "f64" ? textbook(problem) : undefined;
    for (const { grad } of wanted.filter((pair) => pair.dtype === dtype)) {
      /** @type {Record<string, Figures>} */
      const of = {};
      for (const [build, xent] of Object.entries(engines)) {
        const [last, first] = [false, true].map((isClassesFirst) => compare(problem, exact, run(xent, problem, grad, isClassesFirst), grad));
        of[build] = worse(/** @type {Figures} */ (last), /** @type {Figures} */ (first));
      }
      // For shorter logits the textbook computes what it does for f32.
      if (plain) of["textbook"] = compare(problem, exact, plain, grad);
      results.push({ dtype, grad, regime: regime.name, classes, rows, of });
    }
    // Between cases, so that a progress line can be drawn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  told(cases.length, cases.length, "");
  return results;
}
