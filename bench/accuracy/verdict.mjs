// @ts-check
// What the figures say: whether the contract holds, which goals are missed, and what was left out of the figures.
import { regimes } from "./cases.mjs";
import { floorOf } from "./compare.mjs";

/** @typedef {import("./compare.mjs").Worst} Worst @typedef {import("./compare.mjs").Figures} Figures @typedef {import("./measure.mjs").Measured} Measured */

const parts = /** @type {const} */ ({ loss: "loss", label: "gradient at the label", others: "gradient elsewhere" });

/**
 * Every figure of the package's own builds, with its name.
 * @param {readonly Measured[]} results @returns {{ name: string, measured: Measured, part: keyof Figures, worst: Worst }[]}
 */
const ours = (results) =>
  results.flatMap((measured) =>
    Object.entries(measured.of).flatMap(([key, figures]) =>
      key === "textbook"
        ? []
        : /** @type {(keyof Figures)[]} */ (Object.keys(parts)).map((part) => ({
            name: `${measured.dtype} logits, ${measured.grad} gradient, ${key}, ${measured.classes} classes, ${measured.regime}: ${parts[part]}`,
            measured,
            part,
            worst: figures[part],
          })),
    ),
  );

/** Where an element is further from its exact value than the contract allows. @param {readonly Measured[]} results @returns {string[]} */
export const broken = (results) =>
  ours(results).filter(({ worst }) => worst.used > 1).map(({ name, worst }) => `${name} takes ${worst.used.toPrecision(3)} of its bound`);

/** How far over a goal a figure may be before it is named. */
const leeway = 1.2;

/** Where f32 logits do worse than the goals. @param {readonly Measured[]} results @returns {string[]} */
export function missed(results) {
  return ours(results).flatMap(({ name, measured, part, worst }) => {
    const goals = regimes.find((regime) => regime.name === measured.regime)?.goals ?? [];
    const goal = goals.find(({ from, to }) => measured.classes >= from && measured.classes <= to);
    if (measured.dtype !== "f32" || goal === undefined) return [];
    const most = part === "loss" ? goal.loss : goal.grad;
    return worst.relative > most * leeway ? [`${name} is off by ${worst.relative.toExponential(1)}, goal ${most.toExponential(1)}`] : [];
  });
}

/** For each dtype of logits and gradient, the share of the bound that the worst element takes and what is apart. @param {readonly Measured[]} results @returns {string[]} */
export function summary(results) {
  const pairs = [...new Set(results.map(({ dtype, grad }) => `${dtype} ${grad}`))];
  return pairs.map((pair) => {
    const own = ours(results.filter(({ dtype, grad }) => pair === `${dtype} ${grad}`));
    const [dtype, grad] = /** @type {[import("./formats.mjs").Dtype, import("./formats.mjs").Dtype]} */ (pair.split(" "));
    const most = own.reduce((a, b) => (b.worst.used > a.worst.used ? b : a));
    /** @param {"count" | "apart" | "zeros"} key */
    const sum = (key) => own.reduce((total, { worst }) => total + worst[key], 0).toLocaleString("en");
    return (
      `${most.name} takes ${most.worst.used.toPrecision(3)} of its bound, more than any other of ${sum("count")} results.\n` +
      `    ${sum("apart")} more have an exact value below ${floorOf(dtype, grad).toExponential(1)} and are held to the bound only; ${sum("zeros")} of them are 0`
    );
  });
}
