// What the kernels are held to, as ratios within one run; what a run reached is printed beside it, met or missed. No test depends on it.
import { shapeOf } from "./cases.mjs";

/** @typedef {import("./contest.mjs").Outcome} Outcome */
/** @typedef {Readonly<Record<string, readonly any[]>>} Results by part */
/** @typedef {{ name: string, value: number }} Reached what was measured, and the ratio */

/**
 * @typedef {object} Target
 * @property {string} what
 * @property {number} must the ratio that each measurement has to reach
 * @property {boolean} [isMost] whether none may be above it, where otherwise none may be below
 * @property {(results: Results) => Reached[]} measured
 */

/**
 * Ratios to the unrolled baseline of the same job and build, on one thread.
 * @param {{ planes?: boolean, classes: readonly [number, number], build: "relaxed" | "simd", what: readonly string[] }} range
 * @returns {(results: Results) => Reached[]}
 */
const ofUnrolled = ({ planes = false, classes: [least, most], build, what }) => (results) =>
  [...(results["kernels"] ?? []), ...(results["classes"] ?? []), ...(results["planes"] ?? [])]
    .filter((each) => each.build === build && each.threads === 1 && each.unrolled !== undefined && what.includes(each.what))
    .filter(({ shape }) => {
      const found = shapeOf(shape);
      return found !== undefined && found.inner > 1 === planes && found.classes >= least && found.classes <= most;
    })
    .map((each) => ({ name: `${each.shape} ${each.what}`, value: each.unrolled }));

/** @param {readonly any[] | undefined} outcomes @param {string} shape @param {string} what */
const nsOf = (outcomes, shape, what) => outcomes?.find((each) => each.shape === shape && each.what === what && each.build === "relaxed")?.nsPerLogit;

const jobs = ["loss", "loss+grad", "in place"];
const everyJob = [...jobs, "accumulate"];

/** Two threads beside one, of calls that take one thread so many milliseconds. @param {number} least @param {number} most @returns {(results: Results) => Reached[]} */
const ofOneThread = (least, most) => ({ threads = [] }) =>
  threads
    .filter((each) => each.threads === 2 && each.best * each.faster >= least && each.best * each.faster < most)
    .map((each) => ({ name: `${each.shape} ${each.what}`, value: each.fasterMedian }));

/** @param {string} shape @returns {(results: Results) => Reached[]} */
const ofPlainCall = (shape) => ({ options = [] }) =>
  options.filter((each) => each.shape === shape && each.option !== "none").map((each) => ({ name: `${each.option}, ${each.what}`, value: each.cost }));

/** @type {readonly Target[]} */
export const targets = [
  { what: "4 to 96 classes, relaxed", must: 1.4, measured: ofUnrolled({ classes: [4, 96], build: "relaxed", what: jobs }) },
  { what: "33 classes, relaxed", must: 1.6, measured: ofUnrolled({ classes: [33, 33], build: "relaxed", what: jobs }) },
  { what: "96 classes, relaxed", must: 1.5, measured: ofUnrolled({ classes: [96, 96], build: "relaxed", what: jobs }) },
  { what: "97 to 2,000 classes, relaxed", must: 1.4, measured: ofUnrolled({ classes: [97, 2000], build: "relaxed", what: jobs }) },
  { what: "more than 2,000 classes, relaxed", must: 1.5, measured: ofUnrolled({ classes: [2001, Infinity], build: "relaxed", what: jobs }) },
  { what: "any count of classes, simd", must: 1.15, measured: ofUnrolled({ classes: [2, Infinity], build: "simd", what: jobs }) },
  { what: "accumulate, relaxed", must: 1, measured: ofUnrolled({ classes: [2, Infinity], build: "relaxed", what: ["accumulate"] }) },
  { what: "accumulate, simd", must: 1, measured: ofUnrolled({ classes: [2, Infinity], build: "simd", what: ["accumulate"] }) },
  { what: "planes of 2 to 150 classes, relaxed", must: 1.4, measured: ofUnrolled({ planes: true, classes: [2, 150], build: "relaxed", what: jobs }) },
  { what: "planes of 2 to 150 classes, simd", must: 1.15, measured: ofUnrolled({ planes: true, classes: [2, 150], build: "simd", what: jobs }) },
  { what: "planes, accumulate", must: 1, measured: ofUnrolled({ planes: true, classes: [2, 150], build: "relaxed", what: ["accumulate"] }) },
  {
    what: "500 rows of 33 beside 2,000",
    must: 0.9,
    measured: ({ classes }) =>
      everyJob.flatMap((what) => {
        const [few, many] = ["500x33", "2000x33"].map((shape) => nsOf(classes, shape, what));
        return few === undefined || many === undefined ? [] : [{ name: what, value: many / few }];
      }),
  },
  { what: "two threads, calls of 1 ms and more", must: 1.8, measured: ofOneThread(1, Infinity) },
  { what: "two threads, calls of 0.2 ms and more", must: 1.5, measured: ofOneThread(0.2, 1) },
  { what: "two threads, any call", must: 0.97, measured: ofOneThread(0, Infinity) },
  {
    what: "one row of ten classes from tensors, µs",
    must: 2,
    isMost: true,
    measured: ({ overhead = [] }) =>
      overhead.filter((each) => each.threads === 1 && each.what.startsWith("tensors, loss")).map((each) => ({ name: each.what, value: each.sync.median })),
  },
  { what: "options at 33 classes", must: 1.3, isMost: true, measured: ofPlainCall("65536x33") },
  { what: "options at 32,000 classes", must: 1.15, isMost: true, measured: ofPlainCall("512x32000") },
  {
    what: "f16 and bf16, gradient in the same type, of f32",
    must: 0.75,
    measured: ({ dtypes = [] }) =>
      dtypes.filter((each) => each.build === "relaxed" && each.what === "in place").map((each) => ({ name: `${each.shape} ${each.dtype}`, value: each.ratio })),
  },
  {
    what: "AVX2 beside the relaxed wasm",
    must: 1.5,
    measured: ({ native = [] }) =>
      native.filter((each) => each.kernel === "Lanes8" && each.dtype === "f32" && each.wasm !== undefined).map((each) => ({ name: `${each.shape} ${each.what}`, value: each.wasm })),
  },
];

/**
 * What a run reached of each target: the measurement that is the furthest from it, and how many miss it.
 * @param {Results} results
 * @returns {(Target & { worst?: Reached, missed: number, of: number, verdict: "missed" | "met" | "not measured" })[]}
 */
export function judged(results) {
  return targets.map((target) => {
    const measured = target.measured(results).filter(({ value }) => Number.isFinite(value));
    const misses = (/** @type {Reached} */ { value }) => (target.isMost ? value > target.must : value < target.must);
    const [worst] = [...measured].sort((a, b) => (target.isMost ? b.value - a.value : a.value - b.value));
    const missed = measured.filter(misses).length;
    if (worst === undefined) return { ...target, missed, of: 0, verdict: "not measured" };
    return { ...target, worst, missed, of: measured.length, verdict: missed > 0 ? "missed" : "met" };
  });
}
