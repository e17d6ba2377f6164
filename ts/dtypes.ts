// One row per element type: its number in the call block, its bytes, its array, and where it may be used.
// Imports nothing. The numbers are those of crate/js/call.rs.

/** What a table row says of an element type. */
interface DtypeRow {
  /** Its number in the call block. */
  readonly code: number;
  /** Bytes of one element. */
  readonly bytes: number;
  /** The array that a view or a copy of it is. */
  readonly array: NumericArrayConstructor;
}

type NumericArrayConstructor =
  | Float32ArrayConstructor
  | Float64ArrayConstructor
  | Uint8ArrayConstructor
  | Int8ArrayConstructor
  | Uint16ArrayConstructor
  | Int16ArrayConstructor
  | Uint32ArrayConstructor
  | Int32ArrayConstructor
  | BigUint64ArrayConstructor
  | BigInt64ArrayConstructor;

/**
 * The element types. `f16` and `bf16` are seen as their 16 bits, in a `Uint16Array`, on every engine alike; where the engine has
 * `Float16Array`, `new Float16Array(view.buffer, view.byteOffset, view.length)` reads the same memory as numbers.
 */
export const dtypes = {
  f32: { code: 0, bytes: 4, array: Float32Array },
  f64: { code: 1, bytes: 8, array: Float64Array },
  f16: { code: 2, bytes: 2, array: Uint16Array },
  bf16: { code: 3, bytes: 2, array: Uint16Array },
  u8: { code: 4, bytes: 1, array: Uint8Array },
  i8: { code: 5, bytes: 1, array: Int8Array },
  u16: { code: 6, bytes: 2, array: Uint16Array },
  i16: { code: 7, bytes: 2, array: Int16Array },
  u32: { code: 8, bytes: 4, array: Uint32Array },
  i32: { code: 9, bytes: 4, array: Int32Array },
  u64: { code: 10, bytes: 8, array: BigUint64Array },
  i64: { code: 11, bytes: 8, array: BigInt64Array },
} as const satisfies Record<string, DtypeRow>;

/** The name of an element type: `f32`, `f64`, `f16`, `bf16`, `u8`, `i8`, `u16`, `i16`, `u32`, `i32`, `u64`, `i64`. */
export type Dtype = keyof typeof dtypes;

/** Element types of logits. `f16` and `bf16` are widened exactly and computed in f32; `f64` is computed in f64. */
export type LogitsDtype = "f32" | "f64" | "f16" | "bf16";

/** Element types of labels. `f32` and `f64` labels must be exact integers (below 2^24 and 2^53). */
export type LabelsDtype = "u8" | "i8" | "u16" | "i16" | "i32" | "u32" | "i64" | "u64" | "f32" | "f64";

/** Element types of weights. Integers, such as a 0/1 mask, are for `sampleWeight` alone. */
export type WeightsDtype = "f32" | "f64" | "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "u64" | "i64";

/** The window onto wasm memory that a tensor of each element type gives; its buffer is shared with the engine's threads. */
export interface Views {
  f32: Float32Array<SharedArrayBuffer>;
  f64: Float64Array<SharedArrayBuffer>;
  f16: Uint16Array<SharedArrayBuffer>;
  bf16: Uint16Array<SharedArrayBuffer>;
  u8: Uint8Array<SharedArrayBuffer>;
  i8: Int8Array<SharedArrayBuffer>;
  u16: Uint16Array<SharedArrayBuffer>;
  i16: Int16Array<SharedArrayBuffer>;
  u32: Uint32Array<SharedArrayBuffer>;
  i32: Int32Array<SharedArrayBuffer>;
  u64: BigUint64Array<SharedArrayBuffer>;
  i64: BigInt64Array<SharedArrayBuffer>;
}

/** The ordinary array that a copy of a tensor of each element type is. */
export interface Copies {
  f32: Float32Array<ArrayBuffer>;
  f64: Float64Array<ArrayBuffer>;
  f16: Uint16Array<ArrayBuffer>;
  bf16: Uint16Array<ArrayBuffer>;
  u8: Uint8Array<ArrayBuffer>;
  i8: Int8Array<ArrayBuffer>;
  u16: Uint16Array<ArrayBuffer>;
  i16: Int16Array<ArrayBuffer>;
  u32: Uint32Array<ArrayBuffer>;
  i32: Int32Array<ArrayBuffer>;
  u64: BigUint64Array<ArrayBuffer>;
  i64: BigInt64Array<ArrayBuffer>;
}

/** A `Float16Array`, described by what is used of it, since not every engine and type library has one. */
export interface Float16ArrayLike {
  readonly [Symbol.toStringTag]: "Float16Array";
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly length: number;
}

/** Any numeric typed array. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Uint8Array
  | Uint8ClampedArray
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float16ArrayLike;

/** Which element type an array holds when nobody says otherwise. */
const arrayDtypes: Readonly<Record<string, Dtype>> = {
  Float32Array: "f32",
  Float64Array: "f64",
  Float16Array: "f16",
  Uint8Array: "u8",
  Uint8ClampedArray: "u8",
  Int8Array: "i8",
  Uint16Array: "u16",
  Int16Array: "i16",
  Uint32Array: "u32",
  Int32Array: "i32",
  BigUint64Array: "u64",
  BigInt64Array: "i64",
};

/** Element types as other libraries spell them (onnxruntime, TensorFlow.js, NumPy, ndarray); taken wherever a {@link Dtype} is. */
export interface ForeignDtypes {
  float32: "f32";
  float64: "f64";
  float16: "f16";
  bfloat16: "bf16";
  uint8: "u8";
  int8: "i8";
  uint16: "u16";
  int16: "i16";
  uint32: "u32";
  int32: "i32";
  uint64: "u64";
  int64: "i64";
  uint8_clamped: "u8";
  biguint64: "u64";
  bigint64: "i64";
}

/** The same as a table, with `bool`: bytes of 0 and 1, but never a label. */
const foreignNames: Readonly<ForeignDtypes & { bool: "bool" }> = {
  float32: "f32",
  float64: "f64",
  float16: "f16",
  bfloat16: "bf16",
  uint8: "u8",
  int8: "i8",
  uint16: "u16",
  int16: "i16",
  uint32: "u32",
  int32: "i32",
  uint64: "u64",
  int64: "i64",
  uint8_clamped: "u8",
  biguint64: "u64",
  bigint64: "i64",
  bool: "bool",
};

/** Whether a value names an element type of this package. */
export function isDtype(name: unknown): name is Dtype {
  return typeof name === "string" && Object.hasOwn(dtypes, name);
}

/** The element type behind a name, ours or another library's; undefined for an unknown one. */
export function dtypeNamed(name: unknown): Dtype | "bool" | undefined {
  if (isDtype(name)) return name;
  return typeof name === "string" && Object.hasOwn(foreignNames, name) ? foreignNames[name as keyof typeof foreignNames] : undefined;
}

/** The element type a typed array holds by its own class; undefined for anything else. Holds across realms. */
export function dtypeOfArray(array: unknown): Dtype | undefined {
  if (!ArrayBuffer.isView(array)) return undefined;
  const tag = (array as { readonly [Symbol.toStringTag]?: string })[Symbol.toStringTag];
  return tag === undefined ? undefined : arrayDtypes[tag];
}

/** Whether a value is one of the typed arrays this package reads. */
export function isTypedArray(array: unknown): array is TypedArray {
  return dtypeOfArray(array) !== undefined;
}

/** Whether an array of this class can hold elements of this type: its own, or the bits of a 16-bit float. */
export function arrayHolds(array: TypedArray, dtype: Dtype | "bool"): boolean {
  const own = dtypeOfArray(array);
  if (dtype === "bool") return own === "u8";
  return own === dtype || (own === "u16" && (dtype === "f16" || dtype === "bf16"));
}
