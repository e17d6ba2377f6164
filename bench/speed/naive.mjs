// The baseline wasm kernels (bench/naive/lib.rs) over a memory of their own, as candidates. May import cases and Node built-ins.
import { readFileSync } from "node:fs";

/** @typedef {import("./cases.mjs").Shape} Shape */
/** @typedef {import("./cases.mjs").Data} Data */
/** @typedef {import("./judge.mjs").Candidate} Candidate */
/** @typedef {import("./ours.mjs").Ours} Ours */
/** @typedef {"textbook" | "unrolled"} Form one vector at a time, or four */

const pageBytes = 65_536;
const mostPages = 65_536;
// Of planes, so many rows at a time have their exponentials in scratch where the gradient is added.
const scratchRows = 16;

// Their gradient at the label is p - 1 and their loss ln(sum) - margin: where either is small, its digits are lost in the difference.
const tolerance = { relative: 1e-5, absolute: 4e-6 };

/** @param {"relaxed" | "simd"} build */
const compiled = (build) => new WebAssembly.Module(readFileSync(new URL(`../../target/naive/naive.${build}.wasm`, import.meta.url)));

/**
 * What a matrix product could reach at most (bench/naive/product.rs), to be called; it gives the GFLOP of a call.
 * @param {"relaxed" | "simd"} build @returns {() => number}
 */
export function productRoof(build) {
  const memory = new WebAssembly.Memory({ initial: 32, maximum: mostPages, shared: true });
  /** @type {any} */
  const wasm = new WebAssembly.Instance(compiled(build), { env: { memory } }).exports;
  const a = Math.ceil(wasm.__heap_base.value / 64) * 64;
  const [depth, times] = [256, 100_000];
  const [b, c] = [a + 4 * 4 * depth, a + 4 * 12 * depth];
  new Float32Array(memory.buffer, a, 12 * depth).fill(0.5);
  return () => {
    wasm.product_4x8(a, b, c, depth, times);
    return 2e-9 * 32 * depth * times;
  };
}

/** What a form is called beside the job that it does: `unrolled loss+grad`. @param {Form} form @param {Ours} what */
export const baselineName = (form, what) => `${form} ${what}`;

/**
 * What the package computes, by the baselines, and a copy of the logits to the gradient.
 *
 * @param {"relaxed" | "simd"} build @param {Shape} shape @param {Data} data
 * @returns {{ candidate: (form: Form, what: Ours) => Candidate, copy: Candidate }}
 */
export function naive(build, { rows, classes, inner }, data) {
  const elements = rows * classes;
  const memory = new WebAssembly.Memory({ initial: 32, maximum: mostPages, shared: true });
  /** @type {any} */
  const wasm = new WebAssembly.Instance(compiled(build), { env: { memory } }).exports;
  let end = wasm.__heap_base.value;
  /** @param {number} length */
  const place = (length) => {
    const address = Math.ceil(end / 64) * 64;
    end = address + length * 4;
    return address;
  };
  const [x, g, y, l, scratch] = [place(elements), place(elements), place(rows), place(rows), place(scratchRows * classes)];
  memory.grow(Math.max(0, Math.ceil((end - memory.buffer.byteLength) / pageBytes)));
  const logits = new Float32Array(memory.buffer, x, elements);
  const grad = new Float32Array(memory.buffer, g, elements);
  logits.set(data.logits);
  new Int32Array(memory.buffer, y, rows).set(data.labels);

  // Rows side by side are one call, planes one for each image.
  const [layout, images] = inner === 1 ? ["rows", 1] : ["planes", rows / inner];
  const imageRows = rows / images;
  const scale = 1 / rows;
  /** The mean loss. @param {Form} form @param {"loss" | "write" | "add"} job @param {number} from the logits @param {number} losses where each is written, or 0 */
  const call = (form, job, from, losses) => {
    const kernel = wasm[`${form}_${layout}_${job}`];
    let total = 0;
    for (let image = 0; image < images; image += 1) {
      const [first, row] = [image * imageRows * classes * 4, image * imageRows * 4];
      total += kernel(from + first, y + row, losses && losses + row, g + first, scratch, imageRows, classes, scale);
    }
    return total / rows;
  };
  /** @param {Form} form @param {Ours} what @returns {Candidate} */
  const candidate = (form, what) => {
    const named = { build, threads: 1, tolerance, what: baselineName(form, what) };
    const losses = () => new Float32Array(memory.buffer, l, rows);
    if (what === "loss") return { ...named, run: () => call(form, "loss", x, 0), results: () => ({ mean: call(form, "loss", x, l), losses: losses() }) };
    const job = what === "accumulate" ? "add" : "write";
    const from = what === "in place" ? g : x;
    const start = { "loss+grad": () => {}, "in place": () => void grad.set(logits), accumulate: () => void grad.fill(0) }[what];
    const run = () => call(form, job, from, 0);
    const results = () => {
      start();
      return { mean: call(form, job, from, l), losses: losses(), grad, factor: scale };
    };
    return { ...named, run, results, ...(what === "in place" && { before: start }) };
  };
  return { candidate, copy: { what: "copy", threads: 1, run: () => wasm.copy(x, g, Math.floor(elements / 4) * 4) } };
}
