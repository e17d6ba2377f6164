// TensorFlow.js as its users must write it: it has no sparse form, so the labels become a one-hot tensor in every call. Loaded when it is asked for.
import type { Scalar, Tensor } from "@tensorflow/tfjs-core";
import type { Data, Shape } from "../../../bench/speed/cases.mjs";
import type { Candidate } from "../../../bench/speed/judge.mjs";
import { openTensorFlow } from "../tensorflow.ts";

export interface Tfjs {
  readonly version: string;
  /** As many as it gives itself. */
  readonly threads: number;
  /** Takes the data over; `drop` gives it back. */
  prepare(shape: Shape, data: Data): { readonly candidate: Candidate; drop(): void };
}

export async function openTfjs(): Promise<Tfjs> {
  const { tf, threads } = await openTensorFlow();
  return {
    version: tf.version_core,
    threads,
    prepare({ rows, classes }, { logits, labels }) {
      const held = { logits: tf.tensor2d(logits, [rows, classes]), labels: tf.tensor1d(labels, "int32") };
      const lossAndGrad = tf.valueAndGrad((x) => tf.losses.softmaxCrossEntropy<Tensor, Scalar>(tf.oneHot(held.labels, classes), x));
      const once = <T>(read: (loss: number, grad: Tensor) => T): T => {
        const { value, grad } = lossAndGrad(held.logits);
        const result = read(value.dataSync()[0] ?? Number.NaN, grad);
        tf.dispose([value, grad]);
        return result;
      };
      return {
        candidate: {
          what: "tfjs",
          run: () => once((loss) => loss),
          results: () => once((mean, grad) => ({ mean, grad: grad.dataSync(), factor: 1 / rows })),
          // A gradient as the difference of softmax and one-hot loses digits where the label leads.
          tolerance: { relative: 1e-4, absolute: 1e-6 },
        },
        drop: () => tf.dispose([held.logits, held.labels]),
      };
    },
  };
}
