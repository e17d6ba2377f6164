// The largest logits of each row. Imports types only.
// Guarantees: best first, of equals the smaller id first; a NaN is never among them.
import type { LogitsDtype } from "../../dtypes.js";
import type { Tensor } from "../../tensor.js";
import { NO_TOKEN, type HostArray } from "./plan.js";

/**
 * Logits of a model, `[batch, tokens, vocabulary]` or `[tokens, vocabulary]`: a tensor of transformers.js or ONNX Runtime, anything `{ data, dims, type }`, or a
 * tensor of the engine. `Uint16Array` with the type `float16` holds f16, as on Node 20, where there is no `Float16Array`.
 */
export type ModelLogits = HostArray | Tensor<LogitsDtype>;

/** The most probable tokens at each position, best first; of equals the one with the smaller id. */
export interface TopTokens {
  /** How many per token. */
  readonly k: number;
  /** k ids for each token, from index k·(sequence·tokens + token) on; -1 where the token is not scored. */
  readonly ids: Int32Array<ArrayBuffer>;
  /** ln p of each of them; NaN where the token is not scored. */
  readonly logProbs: Float32Array<ArrayBuffer>;
}

/** Writes the top tokens of every row that scores a token, the row `from + index` at that token's place. `lse` are the rows' log-sum-exps. */
export function topOfRows(logits: ModelLogits, labels: Int32Array, lse: ArrayLike<number>, top: TopTokens, from: number, classes: number): void {
  const { values, toNumber } = numbersOf(logits);
  const { k } = top;
  const best = new Float64Array(k);
  for (let row = 0; row < labels.length; row += 1) {
    if (labels[row] === NO_TOKEN) continue;
    const at = (from + row) * k;
    const ids = top.ids.subarray(at, at + k);
    let found = 0;
    let least = Number.NEGATIVE_INFINITY;
    for (let token = 0; token < classes; token += 1) {
      const raw = values[row * classes + token] as number;
      const value = toNumber === undefined ? raw : (toNumber[raw] as number);
      if (!(value > least || (found < k && value === least))) continue;
      let place = found < k ? found : k - 1;
      for (; place > 0 && (best[place - 1] as number) < value; place -= 1) {
        best[place] = best[place - 1] as number;
        ids[place] = ids[place - 1] as number;
      }
      best[place] = value;
      ids[place] = token;
      if (found < k) found += 1;
      if (found === k) least = best[k - 1] as number;
    }
    for (let place = 0; place < found; place += 1) top.logProbs[at + place] = (best[place] as number) - (lse[row] as number);
  }
}

/** An array of logits, and where it holds 16-bit floats as bits what number each stands for. */
function numbersOf(logits: ModelLogits): { readonly values: ArrayLike<number>; readonly toNumber: Float32Array | undefined } {
  const values = ("data" in logits ? logits.data : logits.view) as ArrayLike<number> & { readonly [Symbol.toStringTag]: string };
  const dtype = "data" in logits ? (logits.dtype ?? logits.type) : logits.dtype;
  return { values, toNumber: values[Symbol.toStringTag] === "Uint16Array" ? tableOf(dtype === "bf16" || dtype === "bfloat16" ? 8 : 5) : undefined };
}

const tables = new Map<number, Float32Array>();

/** The numbers that 16 bits stand for: a sign, `exponentBits`, and the fraction. */
function tableOf(exponentBits: number): Float32Array {
  let table = tables.get(exponentBits);
  if (table === undefined) {
    const fractionBits = 15 - exponentBits;
    const bias = 2 ** (exponentBits - 1) - 1;
    const largest = 2 ** exponentBits - 1;
    table = Float32Array.from({ length: 2 ** 16 }, (_, bits) => {
      const fraction = bits % 2 ** fractionBits;
      const exponent = (bits >> fractionBits) & largest;
      const sign = bits < 2 ** 15 ? 1 : -1;
      if (exponent === largest) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
      const scaled = fraction / 2 ** fractionBits + (exponent === 0 ? 0 : 1);
      return sign * scaled * 2 ** (Math.max(exponent, 1) - bias);
    });
    tables.set(exponentBits, table);
  }
  return table;
}
