// The dtypes a file may hold, by the name NumPy gives them, and who may hold which. Imports nothing but the failure.

import { Failure } from "./failure.js";

/** One row per dtype: bytes of an element, and a buffer of so many elements. */
export const npyDtypes = {
  f2: { bytes: 2, make: (n: number) => new Uint16Array(n) },
  f4: { bytes: 4, make: (n: number) => new Float32Array(n) },
  f8: { bytes: 8, make: (n: number) => new Float64Array(n) },
  u1: { bytes: 1, make: (n: number) => new Uint8Array(n) },
  i1: { bytes: 1, make: (n: number) => new Int8Array(n) },
  u2: { bytes: 2, make: (n: number) => new Uint16Array(n) },
  i2: { bytes: 2, make: (n: number) => new Int16Array(n) },
  u4: { bytes: 4, make: (n: number) => new Uint32Array(n) },
  i4: { bytes: 4, make: (n: number) => new Int32Array(n) },
  u8: { bytes: 8, make: (n: number) => new BigUint64Array(n) },
  i8: { bytes: 8, make: (n: number) => new BigInt64Array(n) },
} as const satisfies Record<string, { bytes: number; make: (n: number) => ArrayBufferView }>;

/** A dtype by NumPy's name without the byte order; the digit counts bytes (`u8` has 64 bits). */
export type NpyDtype = keyof typeof npyDtypes;

/** What each file may hold. */
export const accepted = {
  logits: ["f4", "f2", "f8"],
  labels: ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8"],
  weights: ["f4", "f8"],
} as const satisfies Record<string, readonly NpyDtype[]>;

export type LogitsDtype = (typeof accepted.logits)[number];
export type LabelsDtype = (typeof accepted.labels)[number];
export type WeightsDtype = (typeof accepted.weights)[number];

/** As a header has it: byte order first; single bytes have none. */
export function descrOf(dtype: NpyDtype): string {
  return `${npyDtypes[dtype].bytes === 1 ? "|" : "<"}${dtype}`;
}

/** The dtype of `descr` if it is one of `wanted`, little-endian; otherwise a failure that says how to save it so. */
export function checkDescr<D extends NpyDtype>(path: string, descr: string, wanted: readonly D[]): D {
  const expected = `expected ${wanted.length === 1 ? "" : "one of "}${wanted.map(descrOf).join(", ")}`;
  const order = /^[<>=|]/.test(descr) ? descr[0] : "";
  const name = descr.slice(order === "" ? 0 : 1);
  const dtype = wanted.find((known) => known === name);
  const first = wanted[0] ?? "f4";
  if (name === "O") {
    throw new Failure(path, `dtype got ${descr} (Python objects), ${expected}`, `save plain numbers: np.save(path, np.asarray(a, dtype="${descrOf(first)}"))`);
  }
  if (dtype === undefined) throw new Failure(path, `dtype got ${descr}, ${expected}`, `np.save(path, a.astype("${descrOf(first)}"))`);
  if (order === ">" && npyDtypes[dtype].bytes > 1) {
    throw new Failure(path, `dtype got ${descr} (big-endian), ${expected}`, `np.save(path, a.astype("${descrOf(dtype)}"))`);
  }
  return dtype;
}
