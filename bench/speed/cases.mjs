// What is timed: shapes with the reason each is there, and data from a seed. Imports nothing.

/**
 * @typedef {object} Shape
 * @property {string} name
 * @property {readonly number[]} dims of the logits, outermost first
 * @property {number} axis of the classes
 * @property {number} rows
 * @property {number} classes
 * @property {number} inner positions after the class axis: above 1, classes are strided
 * @property {string} why
 */

/** @param {string} name @param {readonly number[]} dims @param {number} axis @param {string} why @returns {Shape} */
function shape(name, dims, axis, why) {
  /** @param {readonly number[]} lengths */
  const product = (lengths) => lengths.reduce((a, b) => a * b, 1);
  const classes = dims[axis] ?? 1;
  return { name, dims, axis, rows: product(dims) / classes, classes, inner: product(dims.slice(axis + 1)), why };
}

/** @param {number} rows @param {number} classes @param {string} [why] */
export const rowsOf = (rows, classes, why = "") => shape(`${rows}x${classes}`, [rows, classes], 1, why);

/** One image, classes first. @param {number} classes @param {number} height @param {number} width @param {string} [why] */
export const planesOf = (classes, height, width, why = "") => shape(`${classes}x${height}x${width}`, [1, classes, height, width], 1, why);

/** A shape of any size: `rows x classes` or, of planes, `classes x height x width`. @param {string} name */
export function shapeOf(name) {
  const [a, b, c] = /^[1-9]\d*(x[1-9]\d*){1,2}$/.test(name) ? name.split("x").map(Number) : [];
  if (a === undefined || b === undefined) return undefined;
  return c === undefined ? rowsOf(a, b) : planesOf(a, b, c);
}

/** @type {readonly Shape[]} */
export const shapes = [
  shape("1048576x2", [1_048_576, 2], 1, "yes or no: the fixed cost of a row"),
  shape("1048576x10", [1_048_576, 10], 1, "digits"),
  shape("65536x33", [65_536, 33], 1, "segmentation, classes last"),
  rowsOf(32_768, 96, "between few classes and many"),
  shape("8192x1000", [8192, 1000], 1, "ImageNet"),
  shape("512x32000", [512, 32_000], 1, "language model"),
  shape("320x50257", [320, 50_257], 1, "language model, GPT-2's vocabulary: rows that begin anywhere"),
  shape("128x128256", [128, 128_256], 1, "language model, large vocabulary"),
  planesOf(33, 512, 512, "segmentation, classes first"),
  planesOf(33, 500, 500, "the same, with planes that are no power of two apart"),
];

// Every count up to 5; what fills vectors of four, eight and sixteen and what leaves some over; powers of two, whose rows or planes share sets of the caches;
// and sizes of real data.
const classCounts = [
  2, 3, 4, 5, 8, 10, 13, 16, 21, 32, 33, 50, 64, 96, 97, 128, 200, 256, 512, 1000, 2048, 4096, 8192, 16_384, 32_000, 50_257, 65_536, 128_256, 262_144,
];
const inCache = 2 ** 15;
const outOfCache = 2 ** 22;

/**
 * Rows of few and of many classes: logits and gradient in the second cache (256 KiB together), and out of it (32 MiB). Beside them some that end no block of
 * rows, and their like that do.
 * @type {readonly Shape[]}
 */
export const classShapes = [
  ...classCounts.map((classes) => rowsOf(Math.round(outOfCache / classes), classes, "out of cache")),
  ...classCounts.filter((classes) => classes <= inCache / 4).map((classes) => rowsOf(Math.round(inCache / classes), classes, "in cache")),
  ...[[500, 33], [2000, 33], [77, 96], [1000, 10]].map(([rows = 1, classes = 1]) => rowsOf(rows, classes, "ragged")),
];

const planeClasses = [2, 3, 4, 5, 10, 21, 33, 64, 96, 150];
const planePowers = [16, 18, 20, 22, 24];

/** One image of planes a power of two apart, of at most `2^power` logits. @param {number} classes @param {number} power */
function wholePlanes(classes, power) {
  const side = Math.floor(power - Math.log2(classes));
  return planesOf(classes, 2 ** Math.floor(side / 2), 2 ** Math.ceil(side / 2), `2^${power} logits`);
}

/** Planes of few and many classes and of all sizes; some end no tile. @type {readonly Shape[]} */
export const planeShapes = [
  ...planePowers.flatMap((power) => planeClasses.map((classes) => wholePlanes(classes, power))),
  ...[[33, 45], [10, 81], [150, 100], [33, 500]].map(([classes = 1, side = 1]) => planesOf(classes, side, side, "ragged")),
  wholePlanes(64, 27),
];

/** A batch of label images, timed with class weights and ignored pixels. */
export const batch = shape("8x512x512x33", [8, 512, 512, 33], 3, "a batch of label images with class weights and ignored pixels");

const ignored = 255;
const ignoredShare = 0.1;

/** What ordinary labels need to become label images: some pixels to ignore, and a weight per class. @param {Pick<Shape, "classes">} shape @param {Int32Array} labels */
export function labelImages({ classes }, labels) {
  const next = generator(2);
  return {
    labels: labels.map((label) => (next() < ignoredShare ? ignored : label)),
    ignored,
    classWeight: Float32Array.from({ length: classes }, (_, k) => 0.25 + (k % 8) / 8),
  };
}

/** @param {string} name */
export function shapeNamed(name) {
  const found = shapes.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no shape is named ${name}`);
  return found;
}

/** The same classes and fewer rows: less memory and time, the same kernels. @param {Shape} whole @param {number} divisor @returns {Shape} */
export function scaled(whole, divisor) {
  if (divisor === 1) return whole;
  const rows = Math.max(8, Math.floor(whole.rows / divisor));
  const dims = whole.inner > 1 ? [1, whole.classes, rows] : [rows, whole.classes];
  return shape(`${whole.name}/${divisor}`, dims, 1, whole.why);
}

/** A linear congruential generator: the high 24 bits of its state are a float of [0, 1). @param {number} seed */
export function generator(seed) {
  let state = seed | 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state >>> 8) / 16_777_216;
  };
}

/**
 * Where the first logit of a row lies; the others follow at a distance of `inner`.
 * @param {Pick<Shape, "classes" | "inner">} shape @param {number} row
 */
export const firstOf = ({ classes, inner }, row) => Math.floor(row / inner) * classes * inner + (row % inner);

/** @typedef {{ logits: Float32Array, labels: Int32Array }} Data */

/** Logits uniform from -8 to 8 and labels uniform over the classes. @param {Shape} shape @returns {Data} */
export function ordinary({ rows, classes }) {
  const next = generator(1);
  const logits = new Float32Array(rows * classes);
  const labels = new Int32Array(rows);
  for (let i = 0; i < logits.length; i += 1) logits[i] = next() * 16 - 8;
  for (let row = 0; row < rows; row += 1) labels[row] = Math.floor(next() * classes);
  return { logits, labels };
}

/** Rows that ask more of a kernel than ordinary ones; each changes ordinary data in place. `inner` is 1. */
export const adversities = /** @type {const} */ ([
  { name: "label 87 above", change: atLabel((logits, at) => (logits[at] = 87)) },
  { name: "label 87 below", change: atLabel((logits, at) => (logits[at] = -87)) },
  { name: "another 87 above", change: atOther((logits, at) => (logits[at] = 87)) },
  { name: "another 87 below", change: atOther((logits, at) => (logits[at] = -87)) },
  { name: "half of them -inf", change: masked },
  { name: "1e4 added", change: shifted },
]);

/** @typedef {(shape: Shape, data: Data) => void} Change */

/** @param {(logits: Float32Array, at: number) => void} put @returns {Change} */
function atLabel(put) {
  return ({ rows, classes }, { logits, labels }) => {
    for (let row = 0; row < rows; row += 1) put(logits, row * classes + (labels[row] ?? 0));
  };
}

/** @param {(logits: Float32Array, at: number) => void} put @returns {Change} */
function atOther(put) {
  return ({ rows, classes }, { logits, labels }) => {
    for (let row = 0; row < rows; row += 1) put(logits, row * classes + (((labels[row] ?? 0) + (classes >> 1)) % classes));
  };
}

/** @type {Change} */
function shifted(_, { logits }) {
  for (const [i, value] of logits.entries()) logits[i] = value + 1e4;
}

/** @type {Change} */
function masked({ rows, classes }, { logits, labels }) {
  for (let row = 0; row < rows; row += 1) {
    const label = labels[row] ?? 0;
    for (let k = 0; k < classes; k += 1) if ((k + label) % 2 === 1) logits[row * classes + k] = -Infinity;
  }
}
