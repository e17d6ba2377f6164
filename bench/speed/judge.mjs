// Validate, then time: compares what a candidate computed with the definition. May import definition and cases.
import { firstOf } from "./cases.mjs";
import { exactGrad, exactLosses } from "./definition.mjs";

/** @typedef {import("./cases.mjs").Shape} Shape */
/** @typedef {import("./cases.mjs").Data} Data */

/**
 * What a candidate has computed: the mean, the loss of every row, and the gradient times `factor`, as far as it gives them.
 * @typedef {{ mean?: number | undefined, losses?: ArrayLike<number> | undefined, grad?: ArrayLike<number> | undefined, factor?: number }} Results
 */

/**
 * @typedef {object} Candidate
 * @property {string} what
 * @property {"relaxed" | "simd"} [build]
 * @property {number} [threads]
 * @property {() => unknown} run what is timed
 * @property {() => void} [before] what has to be put back before each run, untimed
 * @property {() => Results} [results] runs once and gives what it computed; a copy has nothing to show
 * @property {{ relative: number, absolute: number }} [tolerance] how far off it may be; `absolute` in units of a gradient with upstream 1
 */

/** @typedef {{ loss?: number, grad?: number, wrong?: string }} Verdict largest relative errors, and what is wrong if anything is */

const sampledRows = 64;

// Terms below e^-86.6 of the largest may count as 0: what they alone make up has no digits to compare.
const leastCompared = 1e-30;

/**
 * Largest relative error of `got` against `exact`, and the first element outside the tolerance.
 * @param {ArrayLike<number>} got @param {ArrayLike<number>} exact @param {{ relative: number, absolute: number }} tolerance
 */
export function compare(got, exact, { relative, absolute }) {
  let error = 0;
  let wrong = -1;
  for (let i = 0; i < exact.length; i += 1) {
    const [is, should] = [got[i] ?? Number.NaN, exact[i] ?? 0];
    const difference = is === should ? 0 : Math.abs(is - should);
    // A NaN fails this and nothing else.
    if (!(difference <= absolute + relative * Math.abs(should)) && wrong === -1) wrong = i;
    if (Math.abs(should) >= leastCompared) error = Math.max(error, difference / Math.abs(should));
  }
  return { error, wrong };
}

/**
 * A judge for one shape and its data: all losses and a sample of gradient rows, computed once.
 * @param {Shape} shape @param {Data} data
 * @returns {(candidate: Pick<Candidate, "results" | "tolerance">) => Verdict}
 */
export function judgeOf(shape, data) {
  const losses = exactLosses(shape, data);
  const mean = losses.reduce((a, b) => a + b, 0) / losses.length;
  const last = Math.max(1, Math.min(sampledRows, shape.rows) - 1);
  const rows = [...new Set(Array.from({ length: last + 1 }, (_, i) => Math.floor((i * (shape.rows - 1)) / last)))];
  const grads = rows.map((row) => ({ row, exact: exactGrad(shape, data, row) }));
  return ({ results, tolerance = { relative: 0, absolute: 0 } }) => {
    if (results === undefined) return {};
    const got = results();
    /** @type {Verdict} */
    const verdict = {};
    /** @param {string} text */
    const fail = (text) => void (verdict.wrong ??= text);
    if (got.mean !== undefined && compare([got.mean], [mean], tolerance).wrong === 0) fail(`the mean is ${got.mean} and not ${mean}`);
    if (got.losses !== undefined) {
      const { error, wrong } = compare(got.losses, losses, tolerance);
      verdict.loss = error;
      if (wrong >= 0) fail(`the loss of row ${wrong} is ${got.losses[wrong]} and not ${losses[wrong]}`);
    }
    if (got.grad !== undefined) {
      verdict.grad = 0;
      for (const { row, exact } of grads) {
        const { error, wrong } = compare(gradOf(shape, got, row), exact, tolerance);
        verdict.grad = Math.max(verdict.grad, error);
        if (wrong >= 0) fail(`the gradient of row ${row} at class ${wrong} is off: ${gradOf(shape, got, row)[wrong]} and not ${exact[wrong]}`);
      }
    }
    return verdict;
  };
}

/** The gradient of one row for an upstream gradient of 1. @param {Shape} shape @param {Results} results @param {number} row */
function gradOf({ classes, inner }, { grad = [], factor = 1 }, row) {
  const first = firstOf({ classes, inner }, row);
  return Float64Array.from({ length: classes }, (_, k) => (grad[first + k * inner] ?? Number.NaN) / factor);
}
