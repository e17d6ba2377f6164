// The textbook wasm kernel (bench/naive/lib.rs) on buffers of its own, filled like the others' are. Imports Node built-ins only.
import { readFileSync } from "node:fs";

const pageBytes = 65_536;
const mostPages = 65_536;

/** @param {"relaxed" | "simd"} build */
const compiled = (build) => new WebAssembly.Module(readFileSync(new URL(`../target/naive/naive.${build}.wasm`, import.meta.url)));

/**
 * Logits, gradient and labels in one memory, and the textbook kernel over them. The runs return the mean loss.
 *
 * @param {"relaxed" | "simd"} build
 * @param {{ rows: number, classes: number, inner: number }} shape `inner` above 1: one image of planes, `inner` pixels each
 */
export function naive(build, { rows, classes, inner }) {
  const images = rows / inner;
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
  const [x, g, y] = [place(elements), place(elements), place(rows)];
  memory.grow(Math.max(0, Math.ceil((end - memory.buffer.byteLength) / pageBytes)));
  const over = (from, to) => {
    if (inner === 1) return wasm.rows_loss_grad(from, y, to, rows, classes, 1 / rows) / rows;
    let total = 0;
    for (let image = 0; image < images; image += 1) {
      const first = image * classes * inner * 4;
      total += wasm.planes_loss_grad(from + first, y + image * inner * 4, to + first, inner, classes, 1 / rows);
    }
    return total / rows;
  };
  return {
    logits: new Float32Array(memory.buffer, x, elements),
    grad: new Float32Array(memory.buffer, g, elements),
    labels: new Int32Array(memory.buffer, y, rows),
    lossGrad: () => over(x, g),
    inPlace: () => over(g, g),
    loss: () => {
      if (inner === 1) return wasm.rows_loss(x, y, rows, classes) / rows;
      let total = 0;
      for (let image = 0; image < images; image += 1) total += wasm.planes_loss(x + image * classes * inner * 4, y + image * inner * 4, inner, classes);
      return total / rows;
    },
    copy: () => wasm.copy(x, g, Math.floor(elements / 4) * 4),
  };
}
