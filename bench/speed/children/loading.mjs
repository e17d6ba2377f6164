// A first result from nothing, then a second engine: milliseconds of each step. Run by parts/loading in a fresh process.
import process from "node:process";

const started = performance.now();
const { load } = await import("sparse-xent");
const imported = performance.now();
/** @type {{ threads: number | "auto" }} */
const { threads } = JSON.parse(process.argv[2] ?? "{}");
const xent = await load({ threads });
const loaded = performance.now();
const { loss } = xent.crossEntropy(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), [3], { shape: [1, 10] });
const called = performance.now();
const again = await load({ threads });
const loadedAgain = performance.now();
if (Math.abs(loss - 6.458_629_75) > 1e-5) throw new Error(`the loss is ${loss}`);
console.log(
  JSON.stringify({
    threads: xent.info.threads,
    node: started,
    import: imported - started,
    coldLoad: loaded - imported,
    firstCall: called - loaded,
    firstResult: called - started,
    warmLoad: loadedAgain - called,
  }),
);
await Promise.all([xent.dispose(), again.dispose()]);
