// One array argument: asked of the caller once, then told what it holds. May import options, layout, tensor, memory, dtypes and errors.
// Guarantees: nothing of the caller's is read again once `look` has seen it, but for the elements of typed arrays, which are copied before the call
// first waits; what `shaped` returns lies row-major, one element after the other, and its dimensions are its own.
import { arrayHolds, dtypeNamed, dtypeOfArray, isTypedArray, type Dtype, type TypedArray } from "./dtypes.js";
import { mismatch, named, show, SparseXentError } from "./errors.js";
import { product, readShape } from "./layout.js";
import { isDetached, type Memory } from "./memory.js";
import { accepted } from "./options.js";
import { Tensor } from "./tensor.js";

/** The name of an array argument. */
export type OperandName = keyof typeof accepted;

/** An array argument whose element type is known. */
export interface Operand {
  /** The name in messages. */
  readonly name: string;
  readonly dtype: Dtype;
  /** Its dimensions; undefined for a bare array, of which only the length is known. */
  readonly shape: readonly number[] | undefined;
  /** The number of elements it has. */
  readonly length: number;
  /** Where the elements are. */
  readonly source: Tensor | TypedArray;
}

/** What a caller gave for an array, looked at once. */
export interface Given {
  readonly name: OperandName;
  /** A tensor, a typed array, or something that is neither. */
  readonly data: unknown;
  /** The element type as it was named beside the array. */
  readonly dtype: unknown;
  readonly shape: unknown;
  /** Whether it came without an object around it. */
  readonly isBare: boolean;
  /** What is wrong with its elements, to be thrown when it is its turn. */
  readonly fault?: SparseXentError | undefined;
}

/** Something like a tensor of another library. */
function isShaped(value: unknown): value is Readonly<Record<"data" | "shape" | "dims" | "dtype" | "type", unknown>> {
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && !Array.isArray(value) && "data" in value;
}

/** Reads an argument. */
export function look(name: OperandName, value: unknown): Given {
  if (Tensor.is(value)) return { name, data: value, dtype: undefined, shape: value.shape, isBare: false };
  if (!isShaped(value)) return { name, dtype: undefined, shape: undefined, isBare: true, ...elements(name, value) };
  const { data, shape, dims, dtype, type } = value;
  return { name, dtype: dtype ?? type, shape: copyOfList(shape ?? dims), isBare: false, ...elements(name, data) };
}

/** As {@link look}, for an option, which may be left out. */
export function lookIfAny(name: OperandName, value: unknown): Given | undefined {
  return value === undefined ? undefined : look(name, value);
}

/** As {@link lookIfAny}, for an option that may also be a number. */
export function lookOrNumber(name: OperandName, value: unknown): Given | number | undefined {
  return typeof value === "number" ? value : lookIfAny(name, value);
}

function copyOfList(value: unknown): unknown {
  return Array.isArray(value) ? [...(value as readonly unknown[])] : value;
}

/** A list of numbers as a typed array; anything else as it is. Logits have no list, since it would not say which type they are of. */
function elements(name: OperandName, data: unknown): Pick<Given, "data" | "fault"> {
  if (!Array.isArray(data) || name === "logits") return { data };
  const list = data as readonly unknown[];
  if (name === "classMask" && list.every((keep) => typeof keep === "boolean" || keep === 0 || keep === 1)) return { data: Uint8Array.from(list as readonly number[]) };
  // By index, so that holes count as what they are read as: undefined.
  for (let index = 0; index < list.length; index += 1) {
    if (typeof list[index] !== "number") return { data, fault: mismatch("DTYPE", `${name}[${index}]`, list[index], "a number", { index }) };
  }
  const numbers = new Float64Array(list.length);
  for (let index = 0; index < list.length; index += 1) numbers[index] = list[index] as number;
  return { data: numbers };
}

/** DISPOSED and WRONG_ENGINE. */
export function assertUsable(memory: Memory, name: string, data: unknown): void {
  if (Tensor.is(data)) {
    if (data.isDisposed) throw new SparseXentError({ code: "DISPOSED", message: `${name} was disposed` });
    if (data.allocationIn(memory) === undefined) {
      throw new SparseXentError({ code: "WRONG_ENGINE", message: `${name} got a tensor of another engine, expected one of this engine` });
    }
  } else if (isTypedArray(data) && isDetached(data as Float32Array)) {
    throw new SparseXentError({ code: "DISPOSED", message: `${name} was disposed: the buffer of its array is detached` });
  }
}

/** An argument of which the elements are known and the shape is not yet checked. */
export interface Found extends Omit<Operand, "shape"> {
  readonly shape: unknown;
  readonly isBare: boolean;
}

/** DTYPE: what an argument's elements are. */
export function find({ name, data, dtype: beside, shape, isBare, fault }: Given, dtypeOption?: unknown): Found {
  if (Tensor.is(data)) {
    assertAccepted(name, data.dtype, false);
    if (dtypeOption !== undefined && dtypeNamed(dtypeOption) !== data.dtype) {
      throw mismatch("DTYPE", "option dtype", dtypeOption, `${data.dtype}, the logits' own, or none`, { shown: named(dtypeOption) });
    }
    return { name, dtype: data.dtype, shape, isBare, length: data.length, source: data };
  }
  if (fault !== undefined) throw fault;
  if (!isTypedArray(data)) {
    const numbers = name === "logits" ? "" : ", an array of numbers";
    throw mismatch("DTYPE", isBare ? name : `${name} data`, data, `a tensor of this engine, a typed array${numbers} or { data, shape }`);
  }
  return { name, dtype: dtypeOf(name, data, beside ?? dtypeOption), shape, isBare, length: data.length, source: data };
}

/** SHAPE: the argument, whose dimensions are known to be some if it should have any. */
export function shaped(found: Found): Operand {
  const { name, shape, isBare, source } = found;
  if (!isBare && shape === undefined) throw mismatch("SHAPE", `${name} shape`, undefined, "shape or dims beside data", { shown: "none" });
  return isBare || Tensor.is(source) ? (found as Operand) : { ...found, shape: readShape(name, shape) };
}

/** The element type of a typed array, by its class and the name given beside it. */
function dtypeOf(name: OperandName, array: TypedArray, beside: unknown): Dtype {
  const own = dtypeOfArray(array) as Dtype;
  if (beside === undefined) {
    assertAccepted(name, own, true);
    return own;
  }
  const dtype = dtypeNamed(beside);
  if (dtype === undefined) throw mismatch("DTYPE", `${name} dtype`, beside, `one of ${accepted[name].join(", ")}`, { shown: named(beside) });
  const held = dtype === "bool" && (name === "sampleWeight" || name === "classMask" || name === "targets") ? "u8" : dtype;
  assertAccepted(name, held, false);
  if (!arrayHolds(array, dtype)) throw mismatch("DTYPE", `${name} dtype`, dtype, `${own} for a ${array[Symbol.toStringTag]}`, { shown: dtype });
  return held as Dtype;
}

function assertAccepted(name: OperandName, dtype: Dtype | "bool", isGuess: boolean): void {
  const list: readonly string[] = accepted[name];
  if (list.includes(dtype)) return;
  const hint = isGuess && name === "logits" && dtype === "u16" ? "; a Uint16Array needs dtype f16 or bf16 beside it" : "";
  throw mismatch("DTYPE", `${name} dtype`, dtype, `one of ${list.join(", ")}${hint}`, { shown: dtype });
}

/** A matrix given as an array of rows, as one array; anything else as it is. */
export function flattened(matrix: unknown): unknown {
  if (!Array.isArray(matrix) || matrix.length === 0 || !matrix.every(Array.isArray)) return matrix;
  const rows = matrix as readonly (readonly unknown[])[];
  return { data: rows.flat(), shape: [rows.length, rows.find((row) => row.length !== rows.length)?.length ?? rows.length] };
}
