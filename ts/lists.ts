// Nested lists as one. May import dtypes and errors.
import { isTypedArray, type TypedArray } from "./dtypes.js";
import { mismatch } from "./errors.js";

/** Numbers, nested as deeply as a tensor has dimensions; the innermost lists may be typed arrays. */
export type NestedNumbers = readonly (number | bigint | boolean)[] | readonly TypedArray[] | readonly NestedNumbers[];

/** Elements in row-major order, and the dimensions they were nested in. */
export interface Unnested {
  readonly list: readonly unknown[];
  readonly dims: readonly number[];
}

/** Nested lists as one; errors `SHAPE` where those of one level differ in length. */
export function unnest(name: string, data: readonly unknown[]): Unnested {
  const dims: number[] = [];
  for (let level: unknown = data; isList(level); level = level[0]) dims.push(level.length);
  let list = data;
  for (const length of dims.slice(1)) {
    const odd = list.find((each) => !isList(each) || each.length !== length);
    if (odd !== undefined) {
      const shown = isList(odd) ? `lists of the lengths ${length} and ${odd.length}` : "a list and an element side by side";
      throw mismatch("SHAPE", name, odd, "lists of one length", { shown });
    }
    list = list.flatMap((each) => Array.from(each as readonly unknown[]));
  }
  return { list, dims };
}

/** Whether it is a list of lists. */
export function isNested(data: readonly unknown[]): boolean {
  return data.length > 0 && isList(data[0]);
}

function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || isTypedArray(value);
}
