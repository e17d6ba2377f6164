// Elements for a new tensor, from whatever holds numbers. May import lists, layout, dtypes and errors.
// Guarantees: a tensor then holds what was given: an integer type takes exactly its integers, a float type the nearest of its numbers.
import { arrayHolds, isTypedArray, type Dtype, type TypedArray, type Views } from "./dtypes.js";
import { mismatch, show } from "./errors.js";
import { isNested, unnest, type NestedNumbers } from "./lists.js";
import { product, sameShape } from "./layout.js";

/** What fills a tensor: numbers in a list, nested or not, or in a typed array. */
export type TensorData = TypedArray | NestedNumbers;

/** The elements of `data`, to be written to a tensor of this type and shape; errors `DTYPE`, `SHAPE`, `LENGTH`. */
export function elementsFor(dtype: Dtype, shape: readonly number[], data: unknown): TypedArray | readonly unknown[] {
  if (!Array.isArray(data) && !isTypedArray(data)) throw mismatch("DTYPE", "tensor data", data, "a typed array or numbers in a list, nested or not");
  const { list, dims } = Array.isArray(data) && isNested(data) ? unnest("tensor data", data) : { list: data, dims: undefined };
  if (dims !== undefined && !sameShape(dims, shape)) throw mismatch("SHAPE", "tensor data shape", dims, show(shape));
  if (list.length !== product(shape)) throw mismatch("LENGTH", "tensor data length", list.length, `${product(shape)} (shape ${show(shape)})`);
  return list;
}

/** Whether the bytes of these elements are those of a tensor of this type. */
export function areBytes(dtype: Dtype, list: TypedArray | readonly unknown[]): list is TypedArray {
  return isTypedArray(list) && arrayHolds(list, dtype);
}

/** Writes elements one by one, each as this type has it. */
export function convert<D extends Dtype>(dtype: D, view: Views[D], list: TypedArray | readonly unknown[]): void {
  const from = list as ArrayLike<unknown>;
  const into = view as unknown as (number | bigint)[];
  const isWide = dtype === "i64" || dtype === "u64";
  for (let index = 0; index < from.length; index += 1) {
    const given = from[index];
    if (typeof given !== "number" && typeof given !== "bigint" && typeof given !== "boolean") throw mismatch("DTYPE", `tensor data[${index}]`, given, "a number", { index });
    if (dtype === "f32" || dtype === "f64") into[index] = Number(given);
    else if (dtype === "bf16") into[index] = bfloat16(Number(given));
    else if (dtype === "f16") into[index] = float16(Number(given));
    else {
      if (isWide && Number.isInteger(Number(given))) into[index] = BigInt(given);
      else if (!isWide) into[index] = Number(given);
      if (into[index] != given) throw mismatch("OPTION_RANGE", `tensor data[${index}]`, given, `an integer that ${dtype} holds`, { index });
    }
  }
}

const word = new DataView(new ArrayBuffer(8));

/** The bits of the bfloat16 nearest to the number as f32, ties to even. */
function bfloat16(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  word.setFloat32(0, value);
  const bits = word.getUint32(0);
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** The bits of the nearest float16, ties to even. */
function float16(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const size = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  // 65504 is the largest, and half a step above it begins infinity.
  if (size >= 65520) return sign + 0x7c00;
  word.setFloat64(0, size);
  const exponent = Math.max(((word.getUint32(0) >>> 20) & 0x7ff) - 1023, -14);
  // In steps of the last place, 2^52 added and taken away rounds to a whole number, ties to even. A carry is the next exponent.
  const steps = size * 2 ** (10 - exponent) + 2 ** 52 - 2 ** 52;
  return sign + (exponent + 14) * 1024 + steps;
}
