// The logarithm of the softmax of all scores. Imports types of the core.
import type { Engine } from "../../engine.js";

/** A typed array of numbers. */
export type Numbers = (Float32Array | Float64Array | Int32Array) & { readonly buffer: ArrayBufferLike };

/**
 * ln p of every class of every row, classes on axis 1.
 *
 * ```text
 * ln p[k] = (x[k] - x[m]) + ln p[m]        m: the row's largest
 * ```
 *
 * ln p[m] comes from the engine and lies between -ln C and 0, so nothing is lost to how large the scores are: subtracting a log-sum-exp would lose it.
 * A row with a NaN, or whose largest is infinite, is NaN throughout.
 */
export async function logSoftmax(
  xent: Pick<Engine, "crossEntropyAsync">,
  scores: { readonly data: Numbers; readonly dims: readonly number[]; readonly type: string },
  signal: AbortSignal | undefined,
): Promise<Float32Array | Float64Array> {
  const { data, dims, type } = scores;
  const [outer = 0, classes = 0, ...rest] = dims;
  const inner = rest.reduce((product, size) => product * size, 1);
  const largest = new Int32Array(outer * inner);
  const heights = new Float64Array(outer * inner).fill(Number.NEGATIVE_INFINITY);
  const each = (use: (row: number, at: number, k: number) => void): void => {
    for (let at = 0, first = 0; first < largest.length; first += inner) {
      for (let k = 0; k < classes; k += 1) for (let i = 0; i < inner; i += 1, at += 1) use(first + i, at, k);
    }
  };
  each((row, at, k) => {
    const value = data[at] as number;
    if (value > (heights[row] as number)) {
      heights[row] = value;
      largest[row] = k;
    }
  });
  const { loss, targetLogProb } = await xent.crossEntropyAsync({ data, dims, type }, largest, { axis: 1, reduction: "none", outputs: ["targetLogProb"], signal });
  loss.dispose();
  const tops = targetLogProb.view;
  const out = type === "float64" ? new Float64Array(data.length) : new Float32Array(data.length);
  each((row, at) => {
    out[at] = (data[at] as number) - (heights[row] as number) + (tops[row] as number);
  });
  targetLogProb.dispose();
  return out;
}
