// The package itself, as it is built: the best build of this engine, the gradient in a tensor of its own that every call makes anew, as the others do.
// By its path: this folder is a package of its own, which does not have it.
import { load } from "../../../dist/index.js";
import { fillFrom } from "./data.mjs";

/** @param {number} threads @returns {Promise<import("./main.mjs").Adapter>} */
export async function open(threads) {
  const xent = await load({ threads });
  /** @type {{ logits: import("../../../dist/index.js").Tensor<"f32">, labels: import("../../../dist/index.js").Tensor<"i32">, options: import("../../../dist/index.js").CrossEntropyOptions } | undefined} */
  let held;
  return {
    versions: { "sparse-xent": `${xent.info.version} ${xent.info.build}` },
    prepare({ dims, axis, classWeights, ignored, ...job }) {
      const logits = xent.tensor("f32", dims);
      const labels = xent.tensor("i32", dims.filter((_, index) => index !== axis));
      fillFrom(job.logits, logits.view);
      fillFrom(job.labels, labels.view);
      const weighted = { ...(classWeights && { classWeight: classWeights }), ...(ignored !== undefined && { ignoreIndex: ignored }) };
      held = { logits, labels, options: { axis, ...weighted } };
    },
    call(what) {
      if (held === undefined) throw new Error("nothing is prepared");
      const { logits, labels, options } = held;
      if (what === "loss") {
        const { loss } = xent.crossEntropy(logits, labels, options);
        return { loss: Number(loss), read: () => [], free: () => undefined };
      }
      const { loss, grad } = xent.crossEntropy(logits, labels, { ...options, grad: what === "in place" ? logits : true });
      return { loss: Number(loss), read: (indices) => indices.map((index) => Number(grad.view[index])), free: () => void (grad !== logits && grad.dispose()) };
    },
    drop() {
      held?.logits.dispose();
      held?.labels.dispose();
      held = undefined;
    },
  };
}
