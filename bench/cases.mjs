// What is timed: shapes with the reason each is there, and data from a seed. Imports nothing.

/** @typedef {{ name: string, rows: number, classes: number, inner: number, why: string }} Shape */

/** @type {readonly Shape[]} `inner` above 1: classes are strided, `[rows / inner, classes, inner]` */
export const shapes = [
  { name: "1048576x2", rows: 1_048_576, classes: 2, inner: 1, why: "yes or no: the fixed cost of a row" },
  { name: "1048576x10", rows: 1_048_576, classes: 10, inner: 1, why: "digits" },
  { name: "65536x33", rows: 65_536, classes: 33, inner: 1, why: "segmentation, classes last" },
  { name: "33x512x512", rows: 262_144, classes: 33, inner: 262_144, why: "segmentation, classes first" },
  { name: "8192x1000", rows: 8192, classes: 1000, inner: 1, why: "ImageNet" },
  { name: "512x32000", rows: 512, classes: 32_000, inner: 1, why: "language model" },
  { name: "128x128256", rows: 128, classes: 128_256, inner: 1, why: "language model, large vocabulary" },
];

/** The sizes of `--quick`: the same kernels in a tenth of the time. @param {Shape} shape @returns {Shape} */
export function quick(shape) {
  const rows = Math.max(16, Math.floor(shape.rows / 16));
  return { ...shape, name: `${shape.name}/16`, rows, inner: shape.inner === 1 ? 1 : rows };
}

/** A linear congruential generator: the high 24 bits of its state are a float of [0, 1). @param {number} seed */
export function generator(seed) {
  let state = seed | 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state >>> 8) / 16_777_216;
  };
}

/** Fills logits uniformly from -8 to 8 and labels uniformly from the classes. @param {Shape} shape @param {Float32Array} logits @param {Int32Array} labels */
export function fill({ classes }, logits, labels) {
  const next = generator(1);
  for (let i = 0; i < logits.length; i += 1) logits[i] = next() * 16 - 8;
  for (let row = 0; row < labels.length; row += 1) labels[row] = Math.floor(next() * classes);
}
