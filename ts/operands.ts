// One array argument: asked of the caller once, then told what it holds. May import settings, layout, lists, tensor, memory, dtypes
// and errors.
// Guarantees: nothing of the caller's is read again once `look` has seen it, but for the elements of typed arrays, which are copied before the call
// first waits; what `shaped` returns lies row-major, one element after the other, and its dimensions are its own.
import { arrayHolds, dtypeNamed, dtypeOfArray, dtypes, isTypedArray, type Dtype, type TypedArray } from "./dtypes.js";
import { mismatch, named, show, SparseXentError } from "./errors.js";
import { product, readShape } from "./layout.js";
import { isNested, unnest } from "./lists.js";
import { elementsOf, isDetached, type Memory } from "./memory.js";
import type { ShapedArray } from "./options.js";
import { accepted } from "./settings.js";
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
  /** How many elements one step along each dimension is, and where the first one is, if that was said. */
  readonly stride?: unknown;
  readonly offset?: unknown;
  /** Whether it came without its shape. */
  readonly isBare: boolean;
  /** Whether it came as numbers in a list. */
  readonly isList?: boolean;
  /** What is wrong with its elements, to be thrown when it is its turn. */
  readonly fault?: unknown;
}

/** Something like a tensor of another library. */
function isShaped(value: unknown): value is Readonly<Record<keyof ShapedArray, unknown>> {
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && !Array.isArray(value) && "data" in value;
}

/** Reads an argument. */
export function look(name: OperandName, value: unknown): Given {
  if (Tensor.is(value)) return { name, data: value, dtype: undefined, shape: value.dimensions, isBare: false };
  if (!isShaped(value)) return { name, dtype: undefined, shape: undefined, isBare: true, ...elements(name, value) };
  const { data, shape, dims, dtype, type, stride, strides, offset } = value;
  const asShaped = { dtype: dtype ?? type, shape: copyOfList(shape ?? dims), stride: copyOfList(stridesOf(stride) ?? stridesOf(strides)), offset, isBare: false };
  return { name, ...elements(name, data), ...asShaped };
}

/** As {@link look}, for an option, which may be left out. */
export function lookIfAny(name: OperandName, value: unknown): Given | undefined {
  return value === undefined ? undefined : look(name, value);
}

/** As {@link lookIfAny}, for an option that may also be a number. */
export function lookOrNumber(name: OperandName, value: unknown): Given | number | undefined {
  return typeof value === "number" ? value : lookIfAny(name, value);
}

/** A copy of a list; anything else as it is. */
export function copyOfList(value: unknown): unknown {
  return Array.isArray(value) ? [...(value as readonly unknown[])] : value;
}

/** Numbers in a list as a typed array; anything else as it is. Logits have no list, since it would not say which type they are of. */
function elements(name: OperandName, data: unknown): Pick<Given, "data" | "fault"> & Partial<Given> {
  if (!Array.isArray(data) || name === "logits") return { data };
  try {
    if (!isNested(data)) return { data: numbers(name, data), isList: true };
    const { list, dims } = unnest(name, data);
    return { data: numbers(name, list), shape: dims, isBare: false, isList: true };
  } catch (error) {
    return { data, fault: error };
  }
}

/** DTYPE unless all are numbers; a mask may have booleans. */
function numbers(name: OperandName, list: readonly unknown[]): Float64Array | Uint8Array {
  const isMask = name === "classMask" || name === "sampleWeight";
  // By index, so that holes count as what they are read as: undefined.
  for (let index = 0; index < list.length; index += 1) {
    const type = typeof list[index];
    if (type !== "number" && !(isMask && type === "boolean")) throw mismatch("DTYPE", `${name}[${index}]`, list[index], "a number", { index });
  }
  if (name === "classMask" && list.every((keep) => Number(keep) === 0 || Number(keep) === 1)) return Uint8Array.from(list, Number);
  const values = new Float64Array(list.length);
  for (let index = 0; index < list.length; index += 1) values[index] = Number(list[index]);
  return values;
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
export interface Found extends Omit<Operand, "shape" | "name">, Pick<Given, "name" | "shape" | "stride" | "offset" | "isBare"> {}

/** DTYPE: what an argument's elements are. */
export function find(given: Given, dtypeOption?: unknown): Found {
  const { name, data, shape, stride, offset, isBare, isList, fault } = given;
  // What ndarray says of a list is no type, and whatever else it is said to hold, it holds numbers.
  const beside = isList === true && (given.dtype === "generic" || given.dtype === "array") ? undefined : (given.dtype ?? dtypeOption);
  if (Tensor.is(data)) {
    assertAccepted(name, data.dtype, false);
    if (dtypeOption !== undefined && dtypeNamed(dtypeOption) !== data.dtype) {
      throw mismatch("DTYPE", "option dtype", dtypeOption, `none, or the logits' own ${data.dtype}`, { shown: named(dtypeOption) });
    }
    return asWeights({ name, dtype: data.dtype, shape, isBare, length: data.length, source: data });
  }
  if (fault !== undefined) throw fault;
  if (!isTypedArray(data)) {
    const [also, hint] = name === "logits" ? ["", Array.isArray(data) ? `; Float32Array.from(${isNested(data) ? "logits.flat(Infinity)" : "logits"}) is one` : ""] : [", an array of numbers", ""];
    throw mismatch("DTYPE", isBare ? name : `${name} data`, data, `a tensor of this engine, a typed array${also} or { data, shape }${hint}`);
  }
  return asWeights({ name, dtype: dtypeOf(name, data, beside, isList), shape, stride, offset, isBare, length: data.length, source: data });
}

/** Weights of an integer type as f64, which is what they are multiplied in; anything else as it is. */
function asWeights(found: Found): Found {
  const { name, dtype, source } = found;
  if (name !== "sampleWeight" || dtype === "f32" || dtype === "f64" || dtype === "u8") return found;
  return { ...found, dtype: "f64", source: Float64Array.from(Tensor.is(source) ? source.view : elementsOf(dtype, source), Number) };
}

/** SHAPE: the argument, whose dimensions are known to be some if it should have any. */
export function shaped(found: Found): Operand {
  const { name, dtype, shape, stride, offset, isBare, length, source } = found;
  // A tensor's own dimensions are some, and nobody can change them.
  if (isBare || (Tensor.is(source) && shape === source.dimensions)) return found as Operand;
  if (shape === undefined) throw mismatch("SHAPE", `${name} shape`, undefined, "a property shape or dims beside data", { shown: "none" });
  const dims = readShape(name, shape);
  if (Tensor.is(source) || (stride === undefined && offset === undefined)) return { name, dtype, shape: dims, length, source };
  const lying = rowMajor(name, dtype, source, dims, stride, offset ?? 0);
  return { name, dtype, shape: dims, length: lying.length, source: lying };
}

/** Strides that are given; tensors of transformers.js, which are row-major, have a method of that name. */
const stridesOf = (strides: unknown): unknown => (typeof strides === "function" ? undefined : strides);

/** Elements that lie as stride and offset say, side by side: where they already do a window, otherwise a copy. Errors SHAPE. */
function rowMajor(name: string, dtype: Dtype, source: TypedArray, dims: readonly number[], stride: unknown, offset: unknown): TypedArray {
  const own = dims.map((_, axis) => product(dims, axis + 1));
  const steps = (stride ?? own) as readonly number[];
  if (!Array.isArray(steps) || steps.length !== dims.length || !steps.every(Number.isSafeInteger)) {
    throw mismatch("SHAPE", `${name} stride`, stride, `an integer for each dimension of ${show(dims)}`);
  }
  if (!Number.isSafeInteger(offset)) throw mismatch("SHAPE", `${name} offset`, offset, "an integer");
  const first = offset as number;
  const count = product(dims);
  const [lowest, highest] = [Math.min, Math.max].map((pick) => dims.reduce((at, size, axis) => at + pick(0, (size - 1) * (steps[axis] ?? 0)), first)) as [number, number];
  if (count > 0 && !(lowest >= 0 && highest < source.length)) {
    throw mismatch("SHAPE", `${name} stride`, steps, `elements within 0..${source.length - 1}`, { shown: `${show(steps)} from offset ${first}, elements ${lowest}..${highest}` });
  }
  const from = elementsOf(dtype, source);
  if (dims.every((size, axis) => size === 1 || steps[axis] === own[axis])) return from.subarray(first, first + count);
  const into = new dtypes[dtype].array(count) as typeof from;
  let next = 0;
  const copy = (axis: number, at: number): void => {
    const [size, step] = [dims[axis] ?? 1, steps[axis] ?? 0];
    for (let index = 0; index < size; index += 1) {
      if (axis < dims.length - 1) copy(axis + 1, at + index * step);
      else into[next++] = from[at + index * step] as never;
    }
  };
  if (count > 0) copy(0, first);
  return into;
}

/** The element type of a typed array, by its class and the name given beside it. */
function dtypeOf(name: OperandName, array: TypedArray, beside: unknown, isList = false): Dtype {
  const own = dtypeOfArray(array) as Dtype;
  if (beside === undefined) {
    assertAccepted(name, own, true);
    return own;
  }
  const dtype = dtypeNamed(beside);
  if (dtype === undefined) throw mismatch("DTYPE", `${name} dtype`, beside, `one of ${accepted[name].join(", ")}`, { shown: named(beside) });
  const held = dtype === "bool" && (name === "sampleWeight" || name === "classMask" || name === "targets") ? "u8" : dtype;
  assertAccepted(name, held, false);
  if (isList) return own;
  if (!arrayHolds(array, dtype)) throw mismatch("DTYPE", `${name} dtype`, dtype, `${own} for a ${array[Symbol.toStringTag]}`, { shown: dtype });
  return held as Dtype;
}

function assertAccepted(name: OperandName, dtype: Dtype | "bool", isGuess: boolean): void {
  const list: readonly string[] = accepted[name];
  if (list.includes(dtype)) return;
  const hint = isGuess && name === "logits" && dtype === "u16" ? "; a Uint16Array needs dtype f16 or bf16 beside it" : "";
  throw mismatch("DTYPE", `${name} dtype`, dtype, `one of ${list.join(", ")}${hint}`, { shown: dtype });
}

/** The bytes that two tensors or two arrays have in common, if any. */
export function overlap(one: Tensor | TypedArray, other: Tensor | TypedArray): readonly [number, number] | undefined {
  if (Tensor.is(one) !== Tensor.is(other) || (!Tensor.is(one) && one.buffer !== (other as TypedArray).buffer)) return undefined;
  const start = Math.max(one.byteOffset, other.byteOffset);
  const end = Math.min(one.byteOffset + one.byteLength, other.byteOffset + other.byteLength);
  return start < end ? [start, end] : undefined;
}
