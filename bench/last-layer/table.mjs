// The tables of the records, for ts/docs/linear.md. Imports nothing.

/**
 * Milliseconds and bytes of one build, and GFLOP/s of the roof of its products.
 * @typedef {{ step: number, again: number, beyond: number, roof: number, scratch: number, stripScratch: number, error: number }} Build
 * @typedef {{ shape: readonly [number, number, number], builds: Readonly<Record<"relaxed" | "simd", Build>>, web?: Readonly<Record<string, number>>, native?: Readonly<{ vd: number, recompute: number, loss: number }>, torch?: Readonly<Record<string, number>> }} Layer
 * @typedef {{ file: string, processor: string, family: string, node: string, torch?: string, parts: { layers: readonly Layer[] } }} Recorded
 */

/** One of each processor family. @param {readonly Recorded[]} records the newest first */
export const layerTables = (records) => records.map(tableOf).join("\n\n");

const megabytes = (/** @type {number} */ bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const times = (/** @type {number} */ ratio) => (Number.isFinite(ratio) ? `${ratio.toFixed(2)}x` : "not measured");

/** @param {Recorded} record */
function tableOf({ file, processor, family, node, torch, parts }) {
  const head = ["", ...parts.layers.map(({ shape }) => shape.join(" x "))];
  const line = (/** @type {string} */ name, /** @type {(layer: Layer) => string} */ of) => [name, ...parts.layers.map(of)];
  const gigaflops = (/** @type {readonly [number, number, number]} */ [n, d, v], /** @type {number} */ ms) => (Number.isNaN(ms) ? "not measured" : ((6e-6 * n * d * v) / ms).toFixed(1));
  const products = ({ step, beyond }) => step - beyond;
  const best = (/** @type {Layer} */ { web }) => Math.min(web?.["TensorFlow.js, products"] ?? Number.NaN, web?.["ONNX Runtime Web, products"] ?? Number.NaN);
  const share = (/** @type {Layer} */ { shape: [n, d, v], builds }, /** @type {"relaxed" | "simd"} */ build) => ((6e-6 * n * d * v) / products(builds[build]) / builds[build].roof).toFixed(2);
  const rows = [
    line("relaxed, loss and gradients", ({ builds }) => `${builds.relaxed.step.toFixed(0)} ms`),
    line("relaxed, over its own three products", ({ builds }) => times(builds.relaxed.step / products(builds.relaxed))),
    line("relaxed, `recompute`, over three products", ({ builds }) => times(builds.relaxed.again / products(builds.relaxed))),
    line("simd, over its own three products", ({ builds }) => times(builds.simd.step / products(builds.simd))),
    line("memory beside inputs and gradients", ({ builds }) => megabytes(builds.relaxed.scratch)),
    line("the same, `recompute`", ({ builds }) => megabytes(builds.relaxed.stripScratch)),
    line("GFLOP/s of its products, relaxed", ({ shape, builds }) => gigaflops(shape, products(builds.relaxed))),
    line("GFLOP/s of its products, simd", ({ shape, builds }) => gigaflops(shape, products(builds.simd))),
    line("of a hand-written 4x8 loop in the first cache, relaxed", (layer) => share(layer, "relaxed")),
    line("the same, simd", (layer) => share(layer, "simd")),
    line("GFLOP/s of the same in TensorFlow.js, wasm", ({ shape, web }) => gigaflops(shape, web?.["TensorFlow.js, products"] ?? Number.NaN)),
    line("GFLOP/s of the same in ONNX Runtime Web", ({ shape, web }) => gigaflops(shape, web?.["ONNX Runtime Web, products"] ?? Number.NaN)),
    line("products of the better of the two, over relaxed with its loss", (layer) => times(best(layer) / (layer.web?.["relaxed, all of it"] ?? Number.NaN))),
    line("native, loss and gradients", ({ native }) => (native === undefined ? "not measured" : `${native.vd.toFixed(0)} ms`)),
    line("GFLOP/s of its products, native", ({ shape, native }) => gigaflops(shape, native === undefined ? Number.NaN : native.vd - native.loss)),
    line("native, `recompute`, over three products", ({ native }) => times(native === undefined ? Number.NaN : native.recompute / (native.vd - native.loss))),
    line("PyTorch with all logits, over native", ({ native, torch }) => times((torch?.["all logits"] ?? Number.NaN) / (native?.vd ?? Number.NaN))),
    line("PyTorch, 128 rows at a time, over native", ({ native, torch }) => times((torch?.["128 rows at a time"] ?? Number.NaN) / (native?.vd ?? Number.NaN))),
    line("PyTorch `linear_cross_entropy`, over native", ({ native, torch }) => times((torch?.["linear_cross_entropy"] ?? Number.NaN) / (native?.vd ?? Number.NaN))),
    line("PyTorch `linear_cross_entropy`, over relaxed", ({ builds, torch }) => times((torch?.["linear_cross_entropy"] ?? Number.NaN) / builds.relaxed.step)),
  ];
  const text = [head, head.map((_, at) => (at === 0 ? "---" : "--:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  const source = file === "" ? "" : `; [record](../../bench/record/${file})`;
  return `${processor} (${family}${source}), Node ${node}${torch === undefined ? "" : `, PyTorch ${torch}`}, one thread, CPU time. Columns: hidden states x depth x classes.\n\n${text}`;
}
