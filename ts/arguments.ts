// The arguments of a call, checked. May import layout, options, tensor, memory, dtypes and errors.
// Guarantees: everything that can be judged without reading the labels and weights themselves is judged here, in the order of `errorCodes`,
// before memory is asked for or written; what is returned needs no further check.
import { arrayHolds, dtypeNamed, dtypeOfArray, dtypes, isTypedArray, type Dtype, type LogitsDtype, type TypedArray } from "./dtypes.js";
import { mismatch, show, SparseXentError } from "./errors.js";
import { broadcastTarget, checkBytes, checkSizes, forLogits, layoutOf, product, readShape, sameShape, type Layout } from "./layout.js";
import { isDetached, type Memory } from "./memory.js";
import { accepted, conflict, optionNames, readOptions, type CrossEntropyAsyncOptions, type Settings } from "./options.js";
import { Tensor } from "./tensor.js";

/** An array argument whose element type is known. */
export interface Operand {
  /** The name in messages. */
  readonly name: string;
  readonly dtype: Dtype;
  /** Its dimensions; undefined for a bare array, of which only the length is known. */
  readonly shape: readonly number[] | undefined;
  /** The number of elements it has. */
  readonly length: number;
  /** Where the elements are. Plain arrays of numbers have the type f64. */
  readonly source: Tensor | TypedArray | readonly number[];
}

/** What a call computes. */
export type Operation = "crossEntropy" | "weightedSigmoid";

/** A call's arguments, checked. */
export interface Arguments {
  readonly operation: Operation;
  readonly layout: Layout;
  readonly logits: Operand & { readonly dtype: LogitsDtype };
  readonly labels: Operand;
  readonly classWeight: Operand | undefined;
  readonly sampleWeight: Operand | number;
  readonly upstream: Operand | number;
  readonly classMask: Operand | undefined;
  readonly labelMatrix: Operand | undefined;
  /** Nothing, a new tensor, or the tensor to write. */
  readonly grad: boolean | Tensor;
  readonly settings: Settings;
}

const knownNames: ReadonlySet<string> = new Set(optionNames);

/** Checks a call. The phases below follow the order in which errors are promised; each looks at every argument. */
export function readArguments(memory: Memory, logits: unknown, labels: unknown, options: CrossEntropyAsyncOptions, isAsync: boolean): Arguments {
  if (typeof options !== "object" || options === null) throw mismatch("OPTION_RANGE", "options", options, "an object");
  memory.assertOpen();
  assertUsable(memory, "logits", logits);
  assertUsable(memory, "labels", labels);
  assertUsable(memory, "classWeight", options.classWeight);
  assertUsable(memory, "sampleWeight", options.sampleWeight);
  assertUsable(memory, "upstream", options.upstream);
  assertUsable(memory, "grad", options.grad);
  assertUsable(memory, "classMask", options.classMask);
  assertUsable(memory, "labelMatrix", options.labelMatrix);

  const classMap = isClassMap(options.classWeight) ? options.classWeight : undefined;
  const found = {
    logits: readArray("logits", logits, options.dtype),
    labels: readArray("labels", labels),
    classWeight: classMap === undefined ? readOptional("classWeight", options.classWeight) : undefined,
    sampleWeight: readOptional("sampleWeight", options.sampleWeight),
    upstream: readOptional("upstream", options.upstream),
    classMask: readOptional("classMask", maskBytes(options.classMask)),
    labelMatrix: readOptional("labelMatrix", flattened(options.labelMatrix)),
  };
  if (options.grad instanceof Tensor) checkGradDtype(options.grad, found.logits.dtype as LogitsDtype);

  const read = {
    logits: shaped(found.logits) as Arguments["logits"],
    labels: shaped(found.labels),
    classWeight: found.classWeight && shaped(found.classWeight),
    sampleWeight: found.sampleWeight === undefined ? ((options.sampleWeight as number | undefined) ?? 1) : shaped(found.sampleWeight),
    upstream: found.upstream === undefined ? ((options.upstream as number | undefined) ?? 1) : shaped(found.upstream),
    classMask: found.classMask && shaped(found.classMask),
    labelMatrix: found.labelMatrix && shaped(found.labelMatrix),
  };
  const layout = layoutOf(logitsShape(read.logits, options.shape), options.axis ?? -1);
  checkShapes(layout, read, options.grad);
  checkLengths(layout, read);
  checkSizes(layout);
  checkByteCounts(layout, read, options.grad === true, memory.maximumBytes);

  const classWeight = classMap === undefined ? read.classWeight : expandClasses(classMap, layout.classes);
  const settings = readOptions(options, knownNames, isAsync);
  const grad = readGrad(options.grad);
  checkGradConflicts(read, grad, settings, "row");
  checkAliases(grad, read);
  const { sampleWeight, upstream, classMask, labelMatrix } = read;
  return { operation: "crossEntropy", layout, logits: read.logits, labels: read.labels, classWeight, sampleWeight, upstream, classMask, labelMatrix, grad, settings };
}

/** OPTION_CONFLICT of upstream and grad. */
export function checkGradConflicts(read: ReadArrays, grad: boolean | Tensor, settings: Settings, unit: string): void {
  if (typeof read.upstream !== "number" && settings.reduction !== "none") throw conflict(`upstream per ${unit}`, 'a number unless reduction is "none"');
  if (settings.accumulate && !(grad instanceof Tensor && grad !== read.logits.source)) {
    throw conflict("accumulate", "a grad tensor other than the logits");
  }
}

/** DISPOSED and WRONG_ENGINE. */
export function assertUsable(memory: Memory, name: string, value: unknown): void {
  if (value === undefined) return;
  if (value instanceof Tensor) {
    if (value.isDisposed) throw new SparseXentError({ code: "DISPOSED", message: `${name} was disposed` });
    if (value.allocationIn(memory) === undefined) {
      throw new SparseXentError({ code: "WRONG_ENGINE", message: `${name} got a tensor of another engine, expected one of this engine` });
    }
    return;
  }
  const array = isShaped(value) ? value.data : value;
  if (isTypedArray(array) && isDetached(array as Float32Array)) {
    throw new SparseXentError({ code: "DISPOSED", message: `${name} was disposed: the buffer of its array is detached` });
  }
}

/** Something like a tensor of another library. */
function isShaped(value: unknown): value is Readonly<Record<"data" | "shape" | "dims" | "dtype" | "type", unknown>> {
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && !Array.isArray(value) && !(value instanceof Tensor) && "data" in value;
}

/** An argument of which the elements are known and the shape is not yet checked. */
export type Found = Omit<Operand, "shape"> & { readonly shape: unknown; readonly isBare: boolean };

/** An option that can be left out or, for two of them, be a number. */
export function readOptional(name: keyof typeof accepted, value: unknown): Found | undefined {
  const isNumber = typeof value === "number" && (name === "sampleWeight" || name === "upstream" || name === "posWeight");
  return value === undefined || isNumber ? undefined : readArray(name, value);
}

/** DTYPE: what an argument's elements are. */
export function readArray(name: keyof typeof accepted, value: unknown, dtypeOption?: unknown): Found {
  if (value instanceof Tensor) {
    assertAccepted(name, value.dtype, false);
    if (dtypeOption !== undefined && dtypeNamed(dtypeOption) !== value.dtype) {
      throw mismatch("DTYPE", "option dtype", dtypeOption, `${value.dtype}, the logits' own, or none`, { shown: String(dtypeOption) });
    }
    return { name, dtype: value.dtype, shape: value.shape, isBare: false, length: value.length, source: value };
  }
  const isBare = !isShaped(value);
  const array: unknown = isBare ? value : value.data;
  const named = (isBare ? undefined : (value.dtype ?? value.type)) ?? dtypeOption;
  const shape: unknown = isBare ? undefined : (value.shape ?? value.dims);
  if (isTypedArray(array)) {
    return { name, dtype: dtypeOf(name, array, named), shape, isBare, length: array.length, source: array };
  }
  if (Array.isArray(array) && name !== "logits") {
    assertNumbers(name, array);
    assertAccepted(name, "f64", false);
    if (named !== undefined && dtypeNamed(named) !== "f64") {
      throw mismatch("DTYPE", `${name} dtype`, named, "f64 or none beside an array of numbers", { shown: String(named) });
    }
    return { name, dtype: "f64", shape, isBare, length: array.length, source: array as readonly number[] };
  }
  const numbers = name === "logits" ? "" : ", an array of numbers";
  throw mismatch("DTYPE", isBare ? name : `${name} data`, array, `a tensor of this engine, a typed array${numbers} or { data, shape }`);
}

/** SHAPE: the argument, whose dimensions are known to be some if it should have any. */
export function shaped(found: Found): Operand {
  const { name, shape, isBare, source } = found;
  if (!isBare && shape === undefined) throw mismatch("SHAPE", `${name} shape`, undefined, "shape or dims beside data", { shown: "none" });
  if (!isBare && !(source instanceof Tensor)) readShape(name, shape);
  return found as Operand;
}

/** The element type of a typed array, by its class and the name given beside it. */
function dtypeOf(name: keyof typeof accepted, array: TypedArray, named: unknown): Dtype {
  const own = dtypeOfArray(array) as Dtype;
  if (named === undefined) {
    assertAccepted(name, own, true);
    return own;
  }
  const dtype = dtypeNamed(named);
  if (dtype === undefined) throw mismatch("DTYPE", `${name} dtype`, named, `one of ${accepted[name].join(", ")}`, { shown: String(named) });
  const held = dtype === "bool" && (name === "sampleWeight" || name === "classMask" || name === "targets") ? "u8" : dtype;
  assertAccepted(name, held, false);
  if (!arrayHolds(array, dtype)) throw mismatch("DTYPE", `${name} dtype`, dtype, `${own} for a ${array[Symbol.toStringTag]}`, { shown: dtype });
  return held as Dtype;
}

function assertAccepted(name: keyof typeof accepted, dtype: Dtype | "bool", isGuess: boolean): void {
  const list: readonly string[] = accepted[name];
  if (list.includes(dtype)) return;
  const hint = isGuess && name === "logits" && dtype === "u16" ? "; a Uint16Array needs dtype f16 or bf16 beside it" : "";
  throw mismatch("DTYPE", `${name} dtype`, dtype, `one of ${list.join(", ")}${hint}`, { shown: dtype });
}

function assertNumbers(name: string, array: readonly unknown[]): void {
  // By index, so that holes count as what they are read as: undefined.
  for (let index = 0; index < array.length; index += 1) {
    if (typeof array[index] !== "number") throw mismatch("DTYPE", `${name}[${index}]`, array[index], "a number", { index });
  }
}

export function checkGradDtype(grad: Tensor, logits: LogitsDtype): void {
  const allowed: readonly Dtype[] = logits === "f16" || logits === "bf16" ? [logits, "f32"] : [logits];
  if (!allowed.includes(grad.dtype)) throw mismatch("DTYPE", "grad dtype", grad.dtype, `${allowed.join(" or ")} for ${logits} logits`, { shown: grad.dtype });
}

/** A mask given as an array of numbers or booleans, as bytes; anything else as it is. */
function maskBytes(mask: unknown): unknown {
  if (!Array.isArray(mask) || !mask.every((keep) => typeof keep === "boolean" || keep === 0 || keep === 1)) return mask;
  return Uint8Array.from(mask as readonly (number | boolean)[], Number);
}

/** A matrix given as an array of rows, as one array; anything else as it is. */
function flattened(matrix: unknown): unknown {
  if (!Array.isArray(matrix) || matrix.length === 0 || !matrix.every(Array.isArray)) return matrix;
  const rows = matrix as readonly (readonly unknown[])[];
  return { data: rows.flat(), shape: [rows.length, rows.find((row) => row.length !== rows.length)?.length ?? rows.length] };
}

/** A class weight given by class. */
function isClassMap(weights: unknown): weights is object {
  return typeof weights === "object" && weights !== null && !(weights instanceof Tensor) && !ArrayBuffer.isView(weights) && !Array.isArray(weights) && !("data" in weights);
}

function expandClasses(map: object, classes: number): Operand {
  const weights = new Array<number>(classes).fill(1);
  const entries: Iterable<readonly [unknown, unknown]> = map instanceof Map ? (map as ReadonlyMap<unknown, unknown>) : Object.entries(map);
  for (const [key, weight] of entries) {
    const index = typeof key === "string" && key.trim() !== "" ? Number(key) : key;
    if (typeof index !== "number" || !Number.isInteger(index) || index < 0 || index >= classes) {
      throw mismatch("OPTION_RANGE", "classWeight key", key, `a class in 0..${classes - 1}`);
    }
    if (typeof weight !== "number") throw mismatch("OPTION_RANGE", `classWeight[${index}]`, weight, "a finite number");
    weights[index] = weight;
  }
  return { name: "classWeight", dtype: "f64", shape: undefined, length: classes, source: weights };
}

export function logitsShape(logits: Operand, option: unknown): readonly number[] {
  if (option === undefined) {
    if (logits.shape === undefined) throw mismatch("SHAPE", "logits shape", undefined, "shape in the options for a bare array", { shown: "none" });
    return logits.shape;
  }
  const shape = readShape("logits", option);
  if (logits.shape !== undefined && !sameShape(shape, logits.shape)) throw mismatch("SHAPE", "option shape", shape, `${show(logits.shape)}, the logits' own, or none`);
  return shape;
}

/** The arrays of a call. */
export type ReadArrays = Pick<Arguments, "logits" | "labels" | "classWeight" | "sampleWeight" | "upstream" | "classMask" | "labelMatrix">;

/** All of them, in the order in which they are looked at. */
function operandsOf({ logits, labels, classWeight, sampleWeight, upstream, classMask, labelMatrix }: ReadArrays): readonly (Operand | number | undefined)[] {
  return [logits, labels, classWeight, sampleWeight, upstream, classMask, labelMatrix];
}

/** SHAPE of everything but the logits. */
export function checkShapes(layout: Layout, read: ReadArrays, grad: unknown): void {
  const { dims, classes, rowShape, keptShape } = layout;
  checkShape(layout, read.labels, rowShape, keptShape);
  if (read.classWeight !== undefined) checkShape(layout, read.classWeight, [classes]);
  const weight = read.sampleWeight;
  if (typeof weight === "object" && weight.shape !== undefined && broadcastTarget(layout, weight.shape) === undefined) {
    const expected = `${either(rowShape, keptShape)}, or 1 for any of these dimensions,${forLogits(layout)}`;
    throw mismatch("SHAPE", "sampleWeight shape", weight.shape, expected);
  }
  if (typeof read.upstream === "object") checkShape(layout, read.upstream, rowShape, keptShape);
  if (grad instanceof Tensor && !sameShape(grad.shape, dims)) throw mismatch("SHAPE", "grad shape", grad.shape, show(dims) + forLogits(layout));
  if (read.classMask !== undefined) checkShape(layout, read.classMask, [classes]);
  if (read.labelMatrix !== undefined) checkShape(layout, read.labelMatrix, [classes, classes]);
}

function checkShape(layout: Layout, { name, shape }: Operand, allowed: readonly number[], alsoAllowed = allowed): void {
  if (shape === undefined || sameShape(shape, allowed) || sameShape(shape, alsoAllowed)) return;
  throw mismatch("SHAPE", `${name} shape`, shape, either(allowed, alsoAllowed) + forLogits(layout));
}

/** `[8] or [8,1]`; of an element-wise operation there is one shape, which both stand for. */
function either(one: readonly number[], other: readonly number[]): string {
  return sameShape(one, other) ? show(one) : `${show(one)} or ${show(other)}`;
}

/** LENGTH: a bare array has as many elements as it stands for, a shaped one as many as its shape says. */
export function checkLengths(layout: Layout, read: ReadArrays, unit = "rows"): void {
  const { dims, classes, rows, elements } = layout;
  checkLength(read.logits, elements, "logits", dims);
  checkLength(read.labels, rows, unit);
  checkLength(read.classWeight, classes, "classes");
  checkLength(read.sampleWeight, rows, unit);
  checkLength(read.upstream, rows, unit);
  checkLength(read.classMask, classes, "classes");
  checkLength(read.labelMatrix, classes ** 2, "classes x classes");
}

function checkLength(operand: Operand | number | undefined, count: number, of: string, dims?: readonly number[]): void {
  if (typeof operand !== "object") return;
  const shape = dims ?? operand.shape;
  const expected = shape === undefined ? count : product(shape);
  if (operand.length === expected) return;
  const why = shape === undefined ? of : `shape ${show(shape)}`;
  throw mismatch("LENGTH", `${operand.name} length`, operand.length, `${expected} (${why})`);
}

/** SIZE: what has to be copied in or made must fit the memory at its largest. */
export function checkByteCounts(layout: Layout, read: ReadArrays, makesGrad: boolean, maximum: number): void {
  const { logits } = read;
  const isInPlace = logits.source instanceof Tensor;
  if (makesGrad || !isInPlace) checkBytes(isInPlace ? "grad" : "logits", layout.elements * dtypes[logits.dtype].bytes, maximum);
  for (const operand of operandsOf(read)) {
    if (typeof operand !== "object" || operand === logits || operand.source instanceof Tensor) continue;
    checkBytes(operand.name, operand.length * dtypes[operand.dtype].bytes, maximum);
  }
}

export function readGrad(grad: unknown): boolean | Tensor {
  if (grad === undefined) return false;
  if (typeof grad === "boolean" || grad instanceof Tensor) return grad;
  throw mismatch("OPTION_RANGE", "grad", grad, "true, false or a tensor of this engine");
}

/** ALIAS: a given grad shares no byte with anything that is read, unless it is exactly the logits. */
export function checkAliases(grad: boolean | Tensor, read: ReadArrays): void {
  if (!(grad instanceof Tensor)) return;
  for (const operand of operandsOf(read)) {
    if (typeof operand !== "object" || !(operand.source instanceof Tensor)) continue;
    const other: Tensor = operand.source;
    const start = Math.max(grad.byteOffset, other.byteOffset);
    const end = Math.min(grad.byteOffset + grad.byteLength, other.byteOffset + other.byteLength);
    if (start >= end || (operand.name === "logits" && grad === other)) continue;
    const expected = operand.name === "logits" ? "none or exactly the logits" : "none";
    throw new SparseXentError({ code: "ALIAS", message: `grad overlaps ${operand.name} bytes got ${start}..${end}, expected ${expected}`, got: [start, end], expected });
  }
}
