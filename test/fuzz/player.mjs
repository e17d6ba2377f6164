// Makes the calls of the fuzzer's records (record.rs) with the wasm files, each in a way that its seed draws: with arrays or tensors, at once or
// asynchronously, on one to three threads, the gradient apart, in place, added or not at all; and compares the bits with the digests in the record.
import { digestOf, wordsOf } from "../digest.mjs";

/** @typedef {import("sparse-xent").Engine} Engine */
/** @typedef {import("sparse-xent").Tensor} Tensor */
/** @typedef {"simd" | "relaxed"} Build */
/** @typedef {readonly [grad: number, added: number, rest: number]} Digests */
/** @typedef {Record<string, any>} Arrays */
/**
 * @typedef {object} Header
 * @property {string} seed
 * @property {readonly [number, number, number]} shape
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
  const place = header.gradDtype !== header.dtype ? (["given", "added"][draw(2)] ?? "given") : (places[draw(places.length)] ?? "apart");
  return {
    place: place === "over" && !mayBeOver ? "given" : place,
    threads: 1 + draw(3),
    isAsync: draw(4) === 0,
    tensors: draw(2) === 0,
    isFlat: header.shape[2] === 1 && draw(2) === 0,
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
    const wrong = await compare(engine, build, header, arraysOf(header, bytes), way);
    return wrong === undefined ? undefined : `${build} ${JSON.stringify(way)}: ${wrong}`;
  }
}

/** @param {Engine} engine @param {Build} build @param {Header} header @param {Arrays} arrays @param {ReturnType<typeof wayOf>} way */
async function compare(engine, build, header, arrays, way) {
  const { dtype, gradDtype, options, expected } = header;
  const [outer, classes, inner] = header.shape;
  const shape = way.isFlat ? [outer, classes] : [outer, classes, inner];
  const rows = way.isFlat ? [outer] : [outer, inner];
  /** @type {Tensor[]} */
  const own = [];
  /** @param {any} dtype @param {number[]} shape @param {any} data */
  const tensor = (dtype, shape, data) => {
    const made = engine.tensor(dtype, shape);
    made.view.set(data);
    own.push(made);
    return made;
  };
  const labelsDtype = header.arrays.find(([name]) => name === "labels")?.[1];
  const { logits: x, labels: y, before, upstreamOfAll, ...rest } = arrays;
  const needsTensors = way.tensors || way.place === "over";
  /** @type {any} */
  const logits = needsTensors ? tensor(dtype, shape, x) : { data: x, shape, dtype };
  /** @type {any} */
  const labels = way.tensors ? tensor(labelsDtype, rows, y) : y;
  /** @type {any} */
  let grad = way.place === "apart" ? true : way.place === "over" ? logits : way.place !== "none";
  if (way.place === "given" || way.place === "added") {
    const start = new arrayOf[gradDtype](x.length);
    if (way.place === "added") for (let at = 0; at < start.length; at++) start[at] = before[at % 4];
    grad = tensor(gradDtype, shape, start);
  }
  const all = { ...options, ...rest, axis: 1, grad, accumulate: way.place === "added", ...(upstreamOfAll && { upstream: upstreamOfAll[0] }) };
  /** @type {any} */
  let result;
  let code;
  try {
    result = way.isAsync ? await engine.crossEntropyAsync(logits, labels, all) : engine.crossEntropy(logits, labels, all);
  } catch (error) {
    code = /** @type {{ code?: string }} */ (error).code ?? String(error);
  }
  try {
    if ("code" in expected || code !== undefined) {
      const want = "code" in expected ? expected.code : "an answer";
      return code === want ? undefined : `got ${code ?? "an answer"}, expected ${want}`;
    }
    return differs(header, /** @type {Record<Build, Digests>} */ (expected)[build], result, way.place);
  } finally {
    for (const one of [...own, ...["loss", "grad", "logSumExp", "targetLogProb", "predictions"].map((name) => result?.[name])]) {
      if (typeof one === "object") one.dispose();
    }
  }
}

/** @param {Header} header @param {Digests} expected @param {any} result @param {string} place */
function differs({ gradDtype, options }, [apart, added, others], result, place) {
  if (place !== "none") {
    const got = digestOf(1, canonical(result.grad.view, gradDtype));
    const want = place === "added" ? added : apart;
    if (got !== want) return `grad has digest ${got}, expected ${want}`;
  }
  let digest = 2;
  for (const name of ["loss", "logSumExp", "targetLogProb"]) {
    if (typeof result[name] === "object") digest = digestOf(digest, canonical(result[name].view, result[name].dtype));
  }
  if (result.predictions !== undefined) digest = digestOf(digest, new Uint32Array(result.predictions.toArray().buffer));
  if (result.perClass !== undefined) {
    for (const name of ["loss", "weight", "count", "correct"]) digest = digestOf(digest, canonical(result.perClass[name], "f64"));
  }
  const { loss, lossSum, weightSum, denominator, validCount, invalidCount, rowCount, nonFiniteCount } = result;
  const numbers = [lossSum, weightSum, denominator, rowCount, validCount, invalidCount, nonFiniteCount];
  if (options.reduction !== "none") numbers.unshift(loss);
  if (result.predictions !== undefined) numbers.push(result.correctCount);
  digest = digestOf(digest, canonical(Float64Array.from(numbers), "f64"));
  return digest === others ? undefined : `results beside the gradient have digest ${digest}, expected ${others}`;
}
