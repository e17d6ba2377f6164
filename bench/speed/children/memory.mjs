// What one call adds to the memory: of the wasm, and of the process. Run by parts/memory in a fresh process, whose peak nothing else has moved.
import process from "node:process";
import { load } from "sparse-xent";

/** @typedef {"loss" | "in place" | "into a tensor" | "new gradient" | "bare arrays"} Mode */
/** @type {{ rows: number, classes: number, mode: Mode }} */
const { rows, classes, mode } = JSON.parse(process.argv[2] ?? "{}");
const elements = rows * classes;
const xent = await load({ threads: 1 });

/** Uniform enough, without an array of its own. @param {Float32Array} into */
function fill(into) {
  let state = 1;
  for (let i = 0; i < into.length; i += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    into[i] = (state >>> 8) / 1_048_576 - 8;
  }
}

// What resident memory a first call needs for code and stacks is not the operation's.
xent.crossEntropy(Float32Array.of(1, 2), [1], { shape: [1, 2], grad: true }).grad.dispose();
const shape = [rows, classes];
const bare = mode === "bare arrays";
const logits = bare ? new Float32Array(elements) : xent.tensor("f32", shape);
const labels = bare ? new Int32Array(rows) : xent.tensor("i32", [rows]);
const grad = mode === "into a tensor" ? xent.tensor("f32", shape) : undefined;
fill(logits instanceof Float32Array ? logits : logits.view);
// Pages of a tensor that nobody wrote are not resident yet; they are the caller's all the same.
grad?.view.fill(1);

const state = () => ({ wasm: xent.info.memoryBytes, used: xent.info.usedBytes, resident: process.memoryUsage.rss() });
const before = state();
const wanted = { loss: {}, "in place": { grad: logits }, "into a tensor": { grad }, "new gradient": { grad: true }, "bare arrays": { grad: true, shape } };
const result = /** @type {{ loss: number, grad?: { length: number } }} */ (
  xent.crossEntropy(/** @type {any} */ (logits), /** @type {any} */ (labels), /** @type {any} */ (wanted[mode]))
);
const after = state();
if (!(result.loss > 0)) throw new Error(`the loss is ${result.loss}`);
const peak = process.resourceUsage().maxRSS * 1024;
console.log(
  JSON.stringify({
    wasmBefore: before.wasm,
    wasmAdded: after.wasm - before.wasm,
    usedAdded: after.used - before.used,
    residentBefore: before.resident,
    residentAdded: peak - before.resident,
  }),
);
await xent.dispose();
