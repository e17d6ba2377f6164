// The textbook wasm kernel (bench/naive/lib.rs) over a memory of its own, as candidates. May import cases and Node built-ins.
import { readFileSync } from "node:fs";

/** @typedef {import("./cases.mjs").Shape} Shape */
/** @typedef {import("./cases.mjs").Data} Data */
/** @typedef {import("./judge.mjs").Candidate} Candidate */

const pageBytes = 65_536;
const mostPages = 65_536;

// Its gradient at the label is p - 1 and its loss ln(sum) - margin: where either is small, its digits are lost in the difference.
const tolerance = { relative: 1e-5, absolute: 4e-6 };

/** @param {"relaxed" | "simd"} build */
const compiled = (build) => new WebAssembly.Module(readFileSync(new URL(`../../target/naive/naive.${build}.wasm`, import.meta.url)));

/**
 * Loss, loss and gradient, and a copy of the logits to the gradient.
 *
 * @param {"relaxed" | "simd"} build @param {Shape} shape @param {Data} data
 * @returns {{ loss: Candidate, lossGrad: Candidate, copy: Candidate }}
 */
export function naive(build, { rows, classes, inner }, data) {
  const elements = rows * classes;
  const memory = new WebAssembly.Memory({ initial: 16, maximum: mostPages, shared: true });
  /** @type {any} */
  const wasm = new WebAssembly.Instance(compiled(build), { env: { memory } }).exports;
  let end = wasm.__heap_base.value;
  /** @param {number} length */
  const place = (length) => {
    const address = Math.ceil(end / 64) * 64;
    end = address + length * 4;
    return address;
  };
  const [x, g, y, l] = [place(elements), place(elements), place(rows), place(rows)];
  memory.grow(Math.max(0, Math.ceil((end - memory.buffer.byteLength) / pageBytes)));
  new Float32Array(memory.buffer, x, elements).set(data.logits);
  new Int32Array(memory.buffer, y, rows).set(data.labels);

  const images = inner === 1 ? 0 : rows / inner;
  /** @param {number} losses where each is written, or 0 */
  const lossGrad = (losses) => {
    if (inner === 1) return wasm.rows_loss_grad(x, y, losses, g, rows, classes, 1 / rows) / rows;
    let total = 0;
    for (let image = 0; image < images; image += 1) {
      const [first, pixel] = [image * classes * inner * 4, image * inner * 4];
      total += wasm.planes_loss_grad(x + first, y + pixel, losses && losses + pixel, g + first, inner, classes, 1 / rows);
    }
    return total / rows;
  };
  const loss = () => {
    if (inner === 1) return wasm.rows_loss(x, y, rows, classes) / rows;
    let total = 0;
    for (let image = 0; image < images; image += 1) total += wasm.planes_loss(x + image * classes * inner * 4, y + image * inner * 4, inner, classes);
    return total / rows;
  };
  const named = { build, threads: 1, tolerance };
  const written = () => ({ mean: lossGrad(l), losses: new Float32Array(memory.buffer, l, rows), grad: new Float32Array(memory.buffer, g, elements), factor: 1 / rows });
  return {
    loss: { ...named, what: "naive loss", run: loss, results: () => ({ ...written(), grad: undefined, mean: loss() }) },
    lossGrad: { ...named, what: "naive loss+grad", run: () => lossGrad(0), results: written },
    copy: { what: "copy", run: () => wasm.copy(x, g, Math.floor(elements / 4) * 4) },
  };
}
