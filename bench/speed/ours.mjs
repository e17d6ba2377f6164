// The package itself as candidates: every build and number of threads over tensors of its own. May import the package and judge's types.
import { isSparseXentError, load } from "sparse-xent";
import { decoded, encoder } from "../accuracy/formats.mjs";

/** @typedef {import("./cases.mjs").Shape} Shape */
/** @typedef {import("./cases.mjs").Data} Data */
/** @typedef {import("./judge.mjs").Candidate} Candidate */
/** @typedef {"relaxed" | "simd"} Build */
/** @typedef {"f32" | "f16" | "bf16"} Dtype */
/** @typedef {import("sparse-xent").CrossEntropyOptions} Options */

// Terms below e^-86.6 of the largest count as 0, so absolutely a gradient may be off by so much.
export const tolerance = { relative: 1e-5, absolute: 1e-30 };

/** The builds that this Node can run. @returns {Promise<Build[]>} */
export async function supportedBuilds() {
  /** @type {Build[]} */
  const builds = [];
  for (const build of /** @type {const} */ (["relaxed", "simd"])) {
    try {
      await (await load({ build, threads: 1 })).dispose();
      builds.push(build);
    } catch (error) {
      if (!isSparseXentError(error)) throw error;
    }
  }
  return builds;
}

/** One and all threads of this machine, as `load()` counts them. @returns {Promise<number[]>} */
export async function threadCounts() {
  const xent = await load();
  const all = xent.info.threads;
  await xent.dispose();
  return all > 1 ? [1, all] : [1];
}

/** Rounds the logits to what the dtype holds, in place. @param {Dtype} dtype @param {Data} data */
export function roundTo(dtype, { logits }) {
  if (dtype === "f32") return;
  const stored = Uint16Array.from(logits, encoder(dtype));
  logits.set(decoded(dtype, stored));
}

/** @typedef {"loss" | "loss+grad" | "in place" | "accumulate"} Ours */

/** @type {readonly Ours[]} */
export const all = ["loss", "loss+grad", "in place", "accumulate"];

/**
 * An engine with the data in tensors.
 *
 * @param {Shape} shape @param {Data} data of this dtype, see `roundTo`
 * @param {object} wishes
 * @param {Build} wishes.build
 * @param {number} wishes.threads
 * @param {Dtype} [wishes.dtype]
 * @param {readonly Ours[]} [wishes.what] which candidates to make; default all four
 * @param {import("sparse-xent").Engine} [wishes.engine] of this build and number of threads; default one of its own
 */
export async function ours(shape, data, { build, threads, dtype = "f32", what = all, engine }) {
  const xent = engine ?? (await load({ build, threads }));
  const { dims, axis, rows } = shape;
  const logits = xent.tensor(dtype, dims);
  const grad = what.some((name) => name !== "loss") ? xent.tensor("f32", dims) : undefined;
  const encode = encoder(dtype);
  if (dtype === "f32") logits.view.set(data.logits);
  else for (const [i, value] of data.logits.entries()) logits.view[i] = encode(value);
  /** @param {Int32Array} values */
  const labelsTensor = (values) => {
    const tensor = xent.tensor("i32", dims.filter((_, index) => index !== axis));
    tensor.view.set(values);
    return tensor;
  };
  const ordinaryLabels = labelsTensor(data.labels);
  const factor = 1 / rows;

  /**
   * @param {Ours} name @param {Options} [options] beside the gradient's @param {import("sparse-xent").Tensor<"i32">} [labels]
   * @returns {Candidate & { run: () => unknown }}
   */
  const candidate = (name, options = {}, labels = ordinaryLabels) => {
    const common = /** @type {Options} */ ({ ...options, axis });
    const losses = () => {
      const result = xent.crossEntropy(logits, labels, /** @type {{ reduction: "none" }} */ ({ ...common, reduction: "none" }));
      const copy = result.loss.toArray();
      result.loss.dispose();
      return copy;
    };
    const named = { what: name, build, threads, tolerance };
    const mean = () => Number(xent.crossEntropy(logits, labels, common).loss);
    if (name === "loss" || grad === undefined) {
      const run = () => xent.crossEntropy(logits, labels, common);
      return { ...named, run, results: () => ({ mean: mean(), losses: losses() }) };
    }
    if (name === "in place") {
      const source = dtype === "f32" ? grad : logits;
      const stored = dtype === "f32" ? logits.view : logits.toArray();
      const before = () => source.view.set(stored);
      const inPlace = { ...common, grad: source };
      const run = () => xent.crossEntropy(source, labels, inPlace);
      const results = () => {
        const rowLosses = losses();
        before();
        const got = { mean: Number(run().loss), losses: rowLosses, factor };
        // A 16-bit gradient of a mean over many rows is near the end of its dtype's range; how it is rounded is the accuracy table's subject.
        if (dtype === "f32") return { ...got, grad: grad.view };
        before();
        return got;
      };
      return { ...named, before, run, results };
    }
    const into = { ...common, grad, accumulate: name === "accumulate" };
    const run = () => xent.crossEntropy(logits, labels, into);
    const results = () => {
      grad.view.fill(0);
      return { mean: Number(run().loss), losses: losses(), grad: grad.view, factor };
    };
    return { ...named, run, results };
  };
  /** Gives the memory of the data back, and leaves the engine. */
  const drop = () => {
    for (const tensor of [logits, grad, ordinaryLabels]) tensor?.dispose();
  };
  return { xent, drop, labelsTensor, candidate, candidates: what.map((name) => candidate(name)) };
}
