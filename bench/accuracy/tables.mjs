// @ts-check
// Figures as text: one line per case for the terminal, and the two tables of the documentation.
import Table from "cli-table3";
import { regimes } from "./cases.mjs";

/** @typedef {import("./compare.mjs").Figures} Figures @typedef {import("./measure.mjs").Measured} Measured */
/** @typedef {{ relative: number, ulp: number }} Figure */

/** @param {number} relative */
const relativeText = (relative) => {
  if (!Number.isFinite(relative)) return "NaN";
  if (relative === 0) return "0";
  if (relative < 0.005) return relative.toExponential(1);
  return `${relative < 0.1 ? (relative * 100).toFixed(1) : Math.round(relative * 100)} %`;
};
/** @param {number} ulp */
const ulpText = (ulp) => {
  if (!Number.isFinite(ulp)) return "NaN";
  if (ulp >= 1e4) return ulp.toExponential(0);
  return ulp >= 10 ? ulp.toFixed(0) : ulp.toFixed(1);
};

/** The worst of several. @param {readonly Figure[]} figures @returns {Figure} */
const worst = (figures) => ({ relative: Math.max(...figures.map(({ relative }) => relative)), ulp: Math.max(...figures.map(({ ulp }) => ulp)) });

/** What there is nothing to measure of: every element is apart. */
const none = "–";

/** @param {readonly import("./compare.mjs").Worst[]} measured @returns {Figure | undefined} */
const figureOf = (measured) => (measured.some(({ count }) => count > 0) ? worst(measured) : undefined);

/** @param {Figure | undefined} figure */
const cell = (figure) => (figure === undefined ? none : `${relativeText(figure.relative)} ${ulpText(figure.ulp)}`);

const border = { top: "", "top-mid": "", "top-left": "", "top-right": "", bottom: "", "bottom-mid": "", "bottom-left": "", "bottom-right": "", left: "", "left-mid": "",
  mid: "", "mid-mid": "", right: "", "right-mid": "", middle: "  " };

/** The terminal's table of one dtype of logits and gradient. @param {readonly Measured[]} results @returns {string} */
export function caseTable(results) {
  const names = Object.keys(results[0]?.of ?? {});
  const table = new Table({
    chars: border,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
    head: ["regime", "classes", "rows", ...names.flatMap((name) => [`${name}: loss`, "grad at label", "grad elsewhere"])],
    colAligns: ["left", "right", "right", ...names.flatMap(() => /** @type {const} */ (["right", "right", "right"]))],
  });
  for (const { name } of regimes) {
    for (const { regime, classes, rows, of } of results) {
      if (regime !== name) continue;
      const cells = names.flatMap((key) => {
        const figures = /** @type {Figures} */ (of[key]);
        return [figures.loss, figures.label, figures.others].map((each) => cell(figureOf([each])));
      });
      table.push([regime, String(classes), String(rows), ...cells]);
    }
  }
  return table.toString();
}

/** Loss and gradient in one cell: relative errors, then ULP in brackets. @param {readonly Figures[]} figures */
function pairCell(figures) {
  const loss = figureOf(figures.map((each) => each.loss));
  const grad = figureOf(figures.flatMap((each) => [each.label, each.others]));
  if (loss === undefined || grad === undefined) return none;
  return `${relativeText(loss.relative)} · ${relativeText(grad.relative)} (${ulpText(loss.ulp)} · ${ulpText(grad.ulp)})`;
}

/** @param {readonly string[]} cells */
const line = (cells) => `| ${cells.join(" | ")} |`;
/** @param {readonly string[]} head @param {readonly (readonly string[])[]} rows */
const markdown = (head, rows) => [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");

const shownClasses = [2, 10, 33, 1000, 32_000];

/** f32 by regime and class count, both builds, and what the textbook's form makes of the same rows. @param {readonly Measured[]} results */
function byClasses(results) {
  const rows = regimes.map(({ name }) => {
    const own = results.filter(({ dtype, regime }) => dtype === "f32" && regime === name);
    /** @param {readonly Measured[]} among @param {readonly string[]} keys */
    const figures = (among, keys) => among.flatMap(({ of }) => keys.map((key) => /** @type {Figures} */ (of[key])));
    const cells = shownClasses.map((classes) => pairCell(figures(own.filter((each) => each.classes === classes), ["relaxed", "simd"])));
    const textbook = figures(own, ["textbook"]);
    const [loss, label] = [figureOf(textbook.map((each) => each.loss)), figureOf(textbook.map((each) => each.label))];
    return [name, ...cells, loss && label ? `${relativeText(loss.relative)} · ${relativeText(label.relative)}` : none];
  });
  return markdown(["f32 logits", ...shownClasses.map((classes) => `${classes} classes`), "textbook, loss · gradient at the label"], rows);
}

const groups = /** @type {const} */ ({
  uniform: "uniform over 16",
  leads: "label leads by 17 to 80",
  "leads, wide": "the same, others over 16",
  trails: "label trails by 20 to 200",
  offset: "1e2 to 1e6 added",
});

/** Every dtype and build, the worst over all class counts. @param {readonly Measured[]} results */
function byDtypes(results) {
  /** @type {string[][]} */
  const rows = [];
  for (const dtype of ["f32", "f16", "bf16", "f64"]) {
    for (const key of ["relaxed", "simd", "textbook"]) {
      const own = results.filter((each) => each.dtype === dtype && each.grad === (dtype === "f64" ? "f64" : "f32") && each.of[key] !== undefined);
      if (own.length === 0) continue;
      const cells = Object.keys(groups).map((group) => {
        const names = regimes.filter((regime) => regime.group === group).map(({ name }) => name);
        return pairCell(own.filter(({ regime }) => names.includes(regime)).map(({ of }) => /** @type {Figures} */ (of[key])));
      });
      rows.push([dtype, key === "textbook" ? "(textbook)" : `\`${key}\``, ...cells]);
    }
  }
  return markdown(["logits", "build", ...Object.values(groups)], rows);
}

/** The tables of the documentation. @param {readonly Measured[]} results @returns {string} */
export const pageTables = (results) => `${byClasses(results)}\n\n${byDtypes(results)}`;
