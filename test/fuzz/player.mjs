// Makes the calls of the fuzzer's records (record.rs) with the wasm files, each in a way that its seed draws: with arrays or tensors, at once or
// asynchronously, on one to three threads, the gradient apart, in place, added or not at all; and compares the bits with the digests in the record.
import { digestOf, wordsOf } from "../digest.mjs";

/** @typedef {import("sparse-xent").Engine} Engine */
/** @typedef {import("sparse-xent").Tensor} Tensor */
/** @typedef {"simd" | "relaxed"} Build */
/** @typedef {readonly number[]} Digests of the gradient, of one that is added, of all else; of a layer's three gradients and of all else */
/** @typedef {Record<string, any>} Arrays */
/**
 * @typedef {object} Header
 * @property {"softmax" | "layer" | "elements"} operation
 * @property {string} seed
 * @property {readonly number[]} dims of the logits; of the hidden states of a layer
 * @property {number} axis
 * @property {number} classes of a layer
 * @property {readonly boolean[]} wanted of a layer: the gradients of hidden states, weights and bias
 * @property {"f32" | "f64" | "f16" | "bf16"} dtype
 * @property {"f32" | "f64" | "f16" | "bf16"} gradDtype
 * @property {readonly (readonly [name: string, dtype: keyof typeof arrayOf, length: number, offset: number])[]} arrays
 * @property {any} options
 * @property {{ code: string } | Record<Build, Digests>} expected
 */

const arrayOf = {
  f32: Float32Array, f64: Float64Array, f16: Uint16Array, bf16: Uint16Array, u8: Uint8Array, i8: Int8Array, u16: Uint16Array, i16: Int16Array,
  u32: Uint32Array, i32: Int32Array, u64: BigUint64Array, i64: BigInt64Array,
}; // prettier-ignore

/** @param {Header} header @param {Uint8Array<ArrayBuffer>} bytes what follows it, at a multiple of 8 @returns {Arrays} */
function arraysOf(header, bytes) {
  return Object.fromEntries(header.arrays.map(([name, dtype, length, offset]) => [name, new arrayOf[dtype](bytes.buffer, bytes.byteOffset + offset, length)]));
}

/** Small numbers that follow from a seed alone. @param {string} seed */
function drawing(seed) {
  let state = Number(BigInt.asUintN(32, BigInt(seed) * 0x9e3779b97f4a7c15n >> 16n));
  /** @param {number} bound */
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state * bound) / 2 ** 32);
  };
}

/** The words of numbers, every NaN being the same. @param {Float32Array | Float64Array | Uint16Array} values @param {string} dtype */
function canonical(values, dtype) {
  const copy = values.slice();
  if (copy instanceof Uint16Array) {
    const [infinity, nan] = dtype === "f16" ? [0x7c00, 0x7e00] : [0x7f80, 0x7fc0];
    for (let at = 0; at < copy.length; at++) if ((/** @type {number} */ (copy[at]) & 0x7fff) > infinity) copy[at] = nan;
    return copy;
  }
  const words = new Uint32Array(copy.buffer, copy.byteOffset, copy.byteLength / 4);
  const [step, high] = copy instanceof Float64Array ? [2, 1] : [1, 0];
  for (let at = 0; at < copy.length; at++) {
    if (!Number.isNaN(copy[at])) continue;
    words[at * step] = 0;
    words[at * step + high] = step === 2 ? 0x7ff80000 : 0x7fc00000;
  }
  return wordsOf(copy);
}

const places = /** @type {const} */ (["apart", "given", "over", "added", "none"]);

/** How a call is made. @param {Header} header @param {Build} build */
export function wayOf(header, build) {
  const draw = drawing(header.seed);
  for (let skip = build === "simd" ? 2 : 9; skip > 0; skip--) draw(2);
  const mayBeOver = header.dtype === header.gradDtype;
  const isWider = header.gradDtype !== header.dtype;
  const place = isWider ? (["given", "added"][draw(2)] ?? "given") : (places[draw(places.length)] ?? "apart");
  return {
    place: place === "over" && !mayBeOver ? "given" : place,
    threads: 1 + draw(3),
    isAsync: draw(4) === 0,
    tensors: draw(2) === 0,
    // The types that weights and masks come in: as they are recorded, shorter, or as an ordinary array.
    lists: draw(3),
  };
}

/** Engines of every build and number of threads; relaxed only where it loads and fuses. */
export class Player {
  /** @type {Map<string, Engine>} */
  #engines = new Map();
  /** @type {Build[]} */
  builds = [];
  /** Calls made, by build. @type {Record<string, number>} */
  made = {};

  /** @param {typeof import("sparse-xent").load} load */
  async start(load) {
    for (const build of /** @type {const} */ (["simd", "relaxed"])) {
      try {
        for (const threads of [1, 2, 3]) this.#engines.set(`${build} ${threads}`, await load({ build, threads }));
      } catch (error) {
        if (build === "simd") throw error;
        continue;
      }
      this.builds.push(build);
      this.made[build] = 0;
    }
    return this;
  }

  /** What is in use in all memories together. */
  get usedBytes() {
    return [...this.#engines.values()].reduce((sum, { info }) => sum + info.usedBytes, 0);
  }

  dispose() {
    for (const engine of this.#engines.values()) engine.dispose();
  }

  /** Makes a call with each build. @param {Header} header @param {Uint8Array<ArrayBuffer>} bytes @returns {Promise<string | undefined>} what is wrong */
  async play(header, bytes) {
    for (const build of this.builds) {
      const wrong = await this.playWith(build, header, bytes);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  }

  /** @param {Build} build @param {Header} header @param {Uint8Array<ArrayBuffer>} bytes @returns {Promise<string | undefined>} */
  async playWith(build, header, bytes) {
    const way = wayOf(header, build);
    const engine = /** @type {Engine} */ (this.#engines.get(`${build} ${way.threads}`));
    this.made[build] = (this.made[build] ?? 0) + 1;
    const compareAll = header.operation === "layer" ? compareLayer : compare;
    const wrong = await compareAll(engine, build, header, arraysOf(header, bytes), way);
    return wrong === undefined ? undefined : `${build} ${JSON.stringify(way)}: ${wrong}`;
  }
}

const integers = [Int32Array, Uint8Array, Int16Array];

/**
 * Weights and masks in other types that hold the same numbers.
 * @param {Arrays} arrays @param {number} lists
 */
function retyped(arrays, lists) {
  /** @type {Arrays} */
  const same = { ...arrays };
  for (const name of ["classWeight", "sampleWeight", "labelMatrix", "posWeight", "targets", "classMask"]) {
    const list = arrays[name];
    if (list === undefined) continue;
    const isMask = list.every((/** @type {number} */ x) => x === 0 || x === 1);
    const Short = name === "classMask" ? Uint8Array : name === "sampleWeight" && isMask ? (integers[list.length % 3] ?? Int32Array) : Float32Array;
    if (lists === 1) same[name] = Short.from(list);
    if (lists === 2) same[name] = name === "classMask" ? Array.from(list, Boolean) : Array.from(list);
  }
  return same;
}

/** Tensors of an engine that are disposed of together. @param {Engine} engine */
function tensorsOf(engine) {
  /** @type {any[]} */
  const own = [];
  return {
    /** @param {any} dtype @param {readonly number[]} shape @param {any} data */
    tensor(dtype, shape, data) {
      const made = engine.tensor(dtype, [...shape]);
      made.view.set(data);
      own.push(made);
      return made;
    },
    /** @param {any[]} others */
    dispose: (...others) => [...own, ...others].forEach((one) => typeof one === "object" && one.dispose()),
  };
}

/**
 * What a call gives, or the code of its error.
 * @param {() => any} call
 */
async function outcome(call) {
  try {
    return { result: await call() };
  } catch (error) {
    return { code: /** @type {{ code?: string }} */ (error).code ?? String(error) };
  }
}

/** @param {string} name @param {Header} header */
const dtypeOf = (name, header) => header.arrays.find(([each]) => each === name)?.[1];

/** @param {any} one @param {any} other */
const sameBytes = (one, other) => Buffer.compare(new Uint8Array(one.buffer, one.byteOffset, one.byteLength), new Uint8Array(other.buffer, other.byteOffset, other.byteLength)) === 0;

/** @param {Engine} engine @param {Build} build @param {Header} header @param {Arrays} arrays @param {ReturnType<typeof wayOf>} way */
async function compareLayer(engine, build, header, arrays, way) {
  const { dims, classes, wanted, options, expected } = header;
  const [rows = 0, depth = 0] = dims;
  const own = tensorsOf(engine);
  const { hidden: h, weight: w, bias: b, labels: y, upstreamOfAll, ...rest } = retyped(arrays, way.lists);
  const weightDims = options.weightLayout === "dv" ? [depth, classes] : [classes, depth];
  /** @param {string} name @param {any} data @param {readonly number[]} shape */
  const given = (name, data, shape) => (way.tensors ? own.tensor(dtypeOf(name, header), shape, data) : { data, shape, dtype: dtypeOf(name, header) });
  /** @type {any[]} */
  const [hidden, weight, labels] = [given("hidden", h, dims), given("weight", w, weightDims), way.tensors ? own.tensor(dtypeOf("labels", header), [rows], y) : y];
  const shapes = { hidden: dims, weight: weightDims, bias: [classes] };
  const names = /** @type {const} */ (["hidden", "weight", "bias"]);
  // New gradients, or given ones: those of f32 hidden states also over these.
  /** @type {Record<string, any>} */
  const grad = Object.fromEntries(names.filter((_, at) => wanted[at]).map((name) => [name, way.place === "given" ? own.tensor("f32", shapes[name], new Float32Array(shapes[name].reduce((a, c) => a * c, 1)).fill(251)) : true]));
  if (way.place === "over" && way.tensors && wanted[0] && hidden.dtype === "f32") grad["hidden"] = hidden;
  const all = { ...options, ...rest, ...(b && { bias: given("bias", b, [classes]) }), grad, ...(upstreamOfAll && { upstream: upstreamOfAll[0] }) };
  const { result, code } = await outcome(() => (way.isAsync ? engine.linearCrossEntropyAsync(hidden, weight, labels, all) : engine.linearCrossEntropy(hidden, weight, labels, all)));
  try {
    if ("code" in expected || code !== undefined) {
      const want = "code" in expected ? expected.code : "an answer";
      const isWritten = way.place === "given" && Object.values(grad).some(({ view }) => view.some((/** @type {number} */ x) => x !== 251));
      if (isWritten || (grad["hidden"] === hidden && !sameBytes(hidden.view, h))) return `refused by ${code} after something was written`;
      return code === want ? undefined : `got ${code ?? "an answer"}, expected ${want}`;
    }
    const digests = /** @type {Record<Build, Digests>} */ (expected)[build];
    for (const [at, name] of names.entries()) {
      if (!wanted[at]) continue;
      const got = digestOf(1, canonical(result.grad[name].view, "f32"));
      if (got !== digests[at]) return `grad.${name} has digest ${got}, expected ${digests[at]}`;
    }
    return restDiffers(header, digests[3], result);
  } finally {
    own.dispose(...["loss", "logSumExp", "targetLogProb", "predictions"].map((name) => result?.[name]), ...names.map((name) => result?.grad?.[name]));
  }
}

/** @param {Engine} engine @param {Build} build @param {Header} header @param {Arrays} arrays @param {ReturnType<typeof wayOf>} way */
async function compare(engine, build, header, arrays, way) {
  const { dtype, gradDtype, options, expected, axis, operation } = header;
  const shape = [...header.dims];
  const isSoftmax = operation === "softmax";
  const rows = isSoftmax ? shape.filter((_, at) => at !== (axis + shape.length) % shape.length) : shape;
  const own = tensorsOf(engine);
  const { tensor } = own;
  const labelsDtype = dtypeOf("labels", header);
  const { logits: x, labels: y, targets, before, upstreamOfAll, ...rest } = retyped(arrays, way.lists);
  const needsTensors = way.tensors || way.place === "over";
  /** @type {any} */
  const logits = needsTensors ? tensor(dtype, shape, x) : { data: x, shape, dtype };
  /** @type {any} */
  const labels = !isSoftmax ? targets : way.tensors ? tensor(labelsDtype, rows, y) : y;
  /** @type {any} */
  let grad = way.place === "apart" ? true : way.place === "over" ? logits : way.place !== "none";
  const start = new arrayOf[gradDtype](x.length);
  if (way.place === "given" || way.place === "added") {
    if (way.place === "added") for (let at = 0; at < start.length; at++) start[at] = before[at % 4];
    grad = tensor(gradDtype, shape, start);
  }
  const all = { ...options, ...rest, axis, grad, accumulate: way.place === "added", ...(upstreamOfAll && { upstream: upstreamOfAll[0] }) };
  // One weight for all is a number.
  if (all.posWeight?.length === 1) all.posWeight = all.posWeight[0];
  const { result, code } = await outcome(() => {
    if (isSoftmax) return way.isAsync ? engine.crossEntropyAsync(logits, labels, all) : engine.crossEntropy(logits, labels, all);
    return way.isAsync ? engine.weightedSigmoidCrossEntropyAsync(logits, labels, all) : engine.weightedSigmoidCrossEntropy(logits, labels, all);
  });
  try {
    if ("code" in expected || code !== undefined) {
      const want = "code" in expected ? expected.code : "an answer";
      const isWritten = (typeof grad === "object" && grad !== logits && !sameBytes(grad.view, start)) || (needsTensors && !sameBytes(logits.view, x));
      if (isWritten) return `refused by ${code} after something was written`;
      return code === want ? undefined : `got ${code ?? "an answer"}, expected ${want}`;
    }
    return differs(header, /** @type {Record<Build, Digests>} */ (expected)[build], result, way.place);
  } finally {
    own.dispose(...["loss", "grad", "logSumExp", "targetLogProb", "predictions", "targetRank", "entropy", "logProbs"].map((name) => result?.[name]), result?.topK?.values, result?.topK?.classes);
  }
}

/** @param {Header} header @param {Digests} expected @param {any} result @param {string} place */
function differs(header, [apart, added, others], result, place) {
  if (place !== "none") {
    const got = digestOf(1, canonical(result.grad.view, header.gradDtype));
    const want = place === "added" ? added : apart;
    if (got !== want) return `grad has digest ${got}, expected ${want}`;
  }
  return restDiffers(header, others, result);
}

/** @param {Header} header @param {number | undefined} others the digest of what is not a gradient @param {any} result */
function restDiffers({ options, operation }, others, result) {
  let digest = 2;
  const { loss: losses, logSumExp, targetLogProb, topK, entropy, logProbs, predictions, targetRank } = result;
  for (const numbers of [losses, logSumExp, targetLogProb, topK?.values, entropy, logProbs]) {
    if (typeof numbers === "object") digest = digestOf(digest, canonical(numbers.view, numbers.dtype));
  }
  for (const classes of [predictions, topK?.classes, targetRank]) {
    if (classes !== undefined) digest = digestOf(digest, new Uint32Array(classes.toArray().buffer));
  }
  if (result.perClass !== undefined) {
    for (const name of ["loss", "weight", "count", "correct"]) digest = digestOf(digest, canonical(result.perClass[name], "f64"));
  }
  const { loss, lossSum, weightSum, denominator, validCount, invalidCount, rowCount, nonFiniteCount } = result;
  const counts = operation === "elements" ? [nonFiniteCount] : [rowCount, validCount, invalidCount, nonFiniteCount];
  const numbers = [lossSum, weightSum, denominator, ...counts];
  if (options.reduction !== "none") numbers.unshift(loss);
  if (result.predictions !== undefined) numbers.push(result.correctCount);
  digest = digestOf(digest, canonical(Float64Array.from(numbers), "f64"));
  return digest === others ? undefined : `results beside the gradient have digest ${digest}, expected ${others}`;
}
