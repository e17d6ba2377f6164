// A shape as a job for every process: its data in files, so that all read the same numbers, and what the definition in f64 makes of it.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { firstOf, labelImages, ordinary } from "../speed/cases.mjs";
import { exactGrad, exactLosses } from "../speed/definition.mjs";

/** @typedef {import("../speed/cases.mjs").Shape} Shape */

/**
 * What a process is told. Logits are f32, labels i32, both little-endian and without a header.
 * @typedef {object} Message
 * @property {readonly number[]} dims of the logits
 * @property {number} axis @property {number} rows @property {number} classes @property {number} inner
 * @property {string} logits path @property {string} labels path
 * @property {readonly number[]} [classWeights] of a weighted job, whose mean is by weight
 * @property {number} [ignored] label of the rows to skip, in a weighted job
 *
 * @typedef {object} Job
 * @property {Shape} shape
 * @property {Message} message
 * @property {number} loss
 * @property {{ at: readonly number[], grad: readonly number[], scale: number }} probes elements of the gradient to look at, and the size of the largest
 * @property {() => void} remove deletes the files
 */

const folder = fileURLToPath(new URL("../../target/peers/data", import.meta.url));
const probedRows = 32;

/** @param {Shape} shape @param {boolean} weighted with class weights and ignored rows @returns {Job} */
export function makeJob(shape, weighted) {
  const data = ordinary(shape);
  const losses = exactLosses(shape, data);
  const images = weighted ? labelImages(shape, data.labels) : undefined;
  const labels = images?.labels ?? data.labels;
  /** @param {number} row */
  const weightOf = (row) => {
    if (images === undefined) return 1;
    const label = labels[row] ?? images.ignored;
    return label === images.ignored ? 0 : (images.classWeight[label] ?? 0);
  };
  const weights = Float64Array.from(losses, (_, row) => weightOf(row));
  const divisor = weights.reduce((a, b) => a + b, 0);
  const loss = losses.reduce((sum, each, row) => sum + each * (weights[row] ?? 0), 0) / divisor;

  /** @type {number[]} */
  const at = [];
  /** @type {number[]} */
  const grad = [];
  for (let row = 0; row < shape.rows; row += Math.ceil(shape.rows / probedRows)) {
    const exact = exactGrad(shape, data, row);
    const label = data.labels[row] ?? 0;
    for (const k of [label, (label + 1) % shape.classes]) {
      at.push(firstOf(shape, row) + k * shape.inner);
      grad.push(((exact[k] ?? 0) * (weights[row] ?? 0)) / divisor);
    }
  }

  mkdirSync(folder, { recursive: true });
  const base = `${folder}/${shape.name.replaceAll("/", "-by-")}${weighted ? "-weighted" : ""}`;
  const files = { logits: `${base}.logits`, labels: `${base}.labels` };
  writeFileSync(files.logits, data.logits);
  writeFileSync(files.labels, labels);
  const { dims, axis, rows, classes, inner } = shape;
  const weighting = images && { classWeights: [...images.classWeight], ignored: images.ignored };
  return {
    shape,
    message: { dims, axis, rows, classes, inner, ...files, ...weighting },
    loss,
    probes: { at, grad, scale: 1 / divisor },
    remove: () => Object.values(files).forEach((path) => rmSync(path, { force: true })),
  };
}
