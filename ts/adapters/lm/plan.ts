// Which row of the logits scores which token. Imports errors, element types and shapes of the core, and nothing of an engine.
// Guarantees: every label is -1 or a class; whatever is wrong with the arguments is said before an engine is asked for anything.
import { dtypeNamed, isTypedArray, type TypedArray } from "../../dtypes.js";
import { mismatch, show } from "../../errors.js";
import { product, readShape } from "../../layout.js";
import type { ShapedArray } from "../../options.js";

/** A tensor of another library, row-major: its elements side by side, its dimensions, and the name of its type. */
export type HostArray = Pick<ShapedArray, "data" | "shape" | "dims" | "dtype" | "type">;

/** Token ids or flags, one per token: `{ data, dims }`, a typed array, or a list. 64-bit integers may be bigints. */
export type Ids = HostArray | ArrayLike<number | bigint | boolean>;

/** The label of a token that is not to be scored, as transformers' `labels` have it. */
const UNSCORED = -100;
/** The label of a row that scores nothing. */
export const NO_TOKEN = -1;

/** Where the logits of a batch are and what they are to score. */
export interface Plan {
  /** Sequences. */
  readonly batch: number;
  /** Tokens of each. */
  readonly length: number;
  readonly classes: number;
  /** How many rows a token lies behind the row that scores it: 1 if each row predicts the token after it. */
  readonly shift: 0 | 1;
  /** For each row the token it scores, or `NO_TOKEN`. */
  readonly labels: Int32Array<ArrayBuffer>;
}

/** The array behind a list, its dimensions if it has some. */
export function listed(name: string, value: Ids): { readonly data: ArrayLike<unknown>; readonly shape: readonly number[] | undefined } {
  if (typeof value === "object" && value !== null && "data" in value) {
    const shape = value.shape ?? value.dims;
    return { data: value.data, shape: shape === undefined ? undefined : readShape(name, shape) };
  }
  if (typeof value !== "object" || value === null || typeof value.length !== "number") throw mismatch("DTYPE", name, value, "an array or { data, dims }");
  return { data: value, shape: undefined };
}

/** Dimensions of logits: sequences, tokens, classes. */
export function logitsDims(shape: unknown): readonly [batch: number, length: number, classes: number] {
  const dims = readShape("logits", shape);
  const [length, classes] = dims.slice(-2);
  if (length === undefined || classes === undefined || classes === 0) throw mismatch("SHAPE", "logits shape", dims, "[batch, tokens, vocabulary] or [tokens, vocabulary]");
  return [product(dims, 0, dims.length - 2), length, classes];
}

/** The rows of an array of logits that lie in `data`, which has the type `dtype`; errors as the core's. */
export function checkedLogits(data: unknown, type: unknown, rows: number, classes: number): TypedArray & { subarray(from: number, to: number): ArrayLike<unknown> } {
  if (!isTypedArray(data)) throw mismatch("DTYPE", "logits data", data, "a typed array; fetch what lies on a device before");
  if (type !== undefined && dtypeNamed(type) === undefined) throw mismatch("DTYPE", "logits dtype", type, "one of f32, f64, f16, bf16");
  if (data.length !== rows * classes) throw mismatch("LENGTH", "logits length", data.length, `${rows * classes} (shape ${show([rows, classes])})`);
  return data as TypedArray & { subarray(from: number, to: number): ArrayLike<unknown> };
}

/** What the rows of `logits` score, by the tokens and by what is left out. */
export function planOf(
  [batch, length, classes]: readonly [number, number, number],
  ids: Ids,
  { shift, mask, promptLength }: { readonly shift: boolean; readonly mask: Ids | undefined; readonly promptLength: number | ArrayLike<number> },
): Plan {
  const tokens = perToken("ids", ids, batch, length);
  const real = mask === undefined ? undefined : perToken("mask", mask, batch, length);
  const behind = shift ? 1 : 0;
  const labels = new Int32Array(batch * length).fill(NO_TOKEN);
  for (let sequence = 0; sequence < batch; sequence += 1) {
    const first = Math.max(behind, promptOf(promptLength, sequence, batch));
    for (let position = first; position < length; position += 1) {
      const at = sequence * length + position;
      // A row that stands on padding predicts nothing, and padding is nothing to predict.
      if (real !== undefined && !(isSet(real[at]) && isSet(real[at - behind]))) continue;
      const token = Number(tokens[at]);
      if (token === UNSCORED) continue;
      if (!Number.isInteger(token)) throw mismatch("LABEL_NOT_INTEGER", `ids[${at}]`, tokens[at], "an integer", { index: at });
      if (token < 0 || token >= classes) throw mismatch("LABEL_OUT_OF_RANGE", `ids[${at}]`, token, `0..${classes - 1}, or ${UNSCORED} for a token that is not scored`, { index: at });
      labels[at - behind] = token;
    }
  }
  return { batch, length, classes, shift: behind, labels };
}

const isSet = (flag: unknown): boolean => Boolean(flag);

function perToken(name: string, list: Ids, batch: number, length: number): ArrayLike<unknown> {
  const { data, shape } = listed(name, list);
  const rows = `${show([batch, length])} for logits of ${batch} x ${length} tokens`;
  if (shape !== undefined && (product(shape) !== batch * length || shape.at(-1) !== length)) throw mismatch("SHAPE", `${name} shape`, shape, rows);
  if (data.length !== batch * length) throw mismatch("LENGTH", `${name} length`, data.length, rows);
  return data;
}

function promptOf(promptLength: number | ArrayLike<number>, sequence: number, batch: number): number {
  if (typeof promptLength !== "number" && promptLength.length !== batch) throw mismatch("LENGTH", "promptLength length", promptLength.length, `${batch} (sequences)`);
  const length = typeof promptLength === "number" ? promptLength : (promptLength[sequence] ?? Number.NaN);
  if (!Number.isInteger(length) || length < 0) throw mismatch("OPTION_RANGE", "promptLength", length, "an integer of at least 0");
  return length;
}

/** Errors `OPTION_RANGE` for an option that there is not. */
export function checkNames(options: object, names: readonly string[]): void {
  for (const name of Object.keys(options)) if (!names.includes(name)) throw mismatch("OPTION_RANGE", "options", name, `keys among ${names.join(", ")}`);
}
