// The arguments of a call, checked. May import layout, operands, options, tensor, memory, dtypes and errors.
// Guarantees: everything that can be judged without reading the labels and weights themselves is judged here, in the order of `errorCodes`,
// before memory is asked for or written; what is returned needs no further check and holds nothing that the caller can change, but for the
// elements of typed arrays and tensors.
import { dtypes, type Dtype, type LogitsDtype } from "./dtypes.js";
import { mismatch, show, SparseXentError } from "./errors.js";
import { broadcastTarget, checkBytes, checkSizes, forLogits, layoutOf, product, readShape, sameShape, type Layout } from "./layout.js";
import { LARGEST_ALLOCATION, outOfMemory, type Memory } from "./memory.js";
import { assertUsable, find, flattened, look, lookIfAny, lookOrNumber, shaped, type Given, type Operand } from "./operands.js";
import { checkConflicts, conflict, optionNames, optionReader, type CrossEntropyAsyncOptions, type Settings } from "./options.js";
import { Tensor } from "./tensor.js";

/** What a call computes. */
export type Operation = "crossEntropy" | "weightedSigmoid";

/** The arrays of a call. */
export interface Operands {
  readonly logits: Operand & { readonly dtype: LogitsDtype };
  readonly labels: Operand;
  readonly classWeight: Operand | undefined;
  readonly sampleWeight: Operand | number;
  readonly upstream: Operand | number;
  readonly classMask: Operand | undefined;
  readonly labelMatrix: Operand | undefined;
}

/** A call's arguments, checked. */
export interface Arguments extends Operands {
  readonly operation: Operation;
  readonly layout: Layout;
  /** Nothing, a new tensor, or the tensor to write. */
  readonly grad: boolean | Tensor;
  readonly settings: Settings;
  /** What ends an asynchronous call early. */
  readonly signal: AbortSignal | undefined;
}

/** Class weights by class. */
type ClassEntries = readonly (readonly [unknown, unknown])[];

/** The arrays as they were given, and what else says how they lie. */
export interface GivenOperands {
  readonly logits: Given;
  readonly labels: Given;
  readonly classWeight: Given | ClassEntries | undefined;
  readonly sampleWeight: Given | number | undefined;
  readonly upstream: Given | number | undefined;
  readonly classMask?: Given | undefined;
  readonly labelMatrix?: Given | undefined;
  readonly grad: unknown;
  readonly axis: unknown;
  readonly shape: unknown;
  readonly dtype: unknown;
}

const readOptions = optionReader(optionNames);

/** Checks a call. */
export function readArguments(memory: Memory, logits: unknown, labels: unknown, options: CrossEntropyAsyncOptions, isAsync: boolean): Arguments {
  assertOptions(options);
  // Whatever the caller's objects do when they are read, they have done before the first check.
  const given: GivenOperands = {
    logits: look("logits", logits),
    labels: look("labels", labels),
    classWeight: lookAtClassWeight(options.classWeight),
    sampleWeight: lookOrNumber("sampleWeight", options.sampleWeight),
    upstream: lookOrNumber("upstream", options.upstream),
    classMask: lookIfAny("classMask", options.classMask),
    labelMatrix: lookIfAny("labelMatrix", flattened(options.labelMatrix)),
    grad: options.grad,
    axis: options.axis,
    shape: options.shape,
    dtype: options.dtype,
  };
  const others = readOptions(options, isAsync);
  const { read, layout } = readOperands(memory, given, "rows");
  if (others.fault !== undefined) throw others.fault;
  checkConflicts(others, given);
  const { settings, signal } = others;
  const grad = readGrad(given.grad);
  checkGradConflicts(read, grad, settings, "row");
  checkAliases(grad, read);
  return { operation: "crossEntropy", layout, ...read, grad, settings, signal };
}

/** OPTION_RANGE: options that are none. */
export function assertOptions(options: unknown): void {
  if (typeof options !== "object" || options === null) throw mismatch("OPTION_RANGE", "options", options, "an object");
}

/**
 * The arrays of a call and how its logits lie; errors from DISPOSED to SIZE. The phases follow the order in which errors are promised; each looks at
 * every array.
 */
export function readOperands(memory: Memory, given: GivenOperands, unit: "rows" | "elements"): { read: Operands; layout: Layout } {
  const { grad, axis, shape, dtype } = given;
  const classMap = isEntries(given.classWeight) ? given.classWeight : undefined;
  const { logits, labels, sampleWeight, upstream, classMask, labelMatrix } = given;
  const classWeight = isEntries(given.classWeight) ? undefined : given.classWeight;

  memory.assertOpen();
  for (const each of [logits, labels, classWeight, sampleWeight, upstream, classMask, labelMatrix]) if (typeof each === "object") assertUsable(memory, each.name, each.data);
  assertUsable(memory, "grad", grad);

  const found = {
    logits: find(logits, dtype),
    labels: find(labels),
    classWeight: classWeight && find(classWeight),
    sampleWeight: typeof sampleWeight === "object" ? find(sampleWeight) : sampleWeight,
    upstream: typeof upstream === "object" ? find(upstream) : upstream,
    classMask: classMask && find(classMask),
    labelMatrix: labelMatrix && find(labelMatrix),
  };
  if (Tensor.is(grad)) checkGradDtype(grad, found.logits.dtype as LogitsDtype);

  const read: Operands = {
    logits: shaped(found.logits) as Operands["logits"],
    labels: shaped(found.labels),
    classWeight: found.classWeight && shaped(found.classWeight),
    sampleWeight: typeof found.sampleWeight === "object" ? shaped(found.sampleWeight) : (found.sampleWeight ?? 1),
    upstream: typeof found.upstream === "object" ? shaped(found.upstream) : (found.upstream ?? 1),
    classMask: found.classMask && shaped(found.classMask),
    labelMatrix: found.labelMatrix && shaped(found.labelMatrix),
  };
  const rows = layoutOf(logitsShape(read.logits, shape), axis ?? -1);
  const layout = unit === "rows" ? rows : { ...rows, rows: rows.elements, rowShape: rows.dims, keptShape: rows.dims };
  checkShapes(layout, read, grad);
  checkLengths(layout, read, unit);
  checkSizes(rows);
  checkByteCounts(layout, read, grad === true, memory.maximumBytes);
  if (classMap === undefined) return { read, layout };
  checkBytes("classWeight", layout.classes * dtypes.f64.bytes, memory.maximumBytes);
  return { read: { ...read, classWeight: expandClasses(classMap, layout.classes) }, layout };
}

/** OPTION_CONFLICT of upstream and grad. */
export function checkGradConflicts(read: Operands, grad: boolean | Tensor, settings: Settings, unit: string): void {
  if (typeof read.upstream !== "number" && settings.reduction !== "none") throw conflict(`upstream per ${unit}`, 'a number unless reduction is "none"');
  if (settings.accumulate && !(Tensor.is(grad) && grad !== read.logits.source)) {
    throw conflict("accumulate", "a grad tensor other than the logits");
  }
}

function checkGradDtype(grad: Tensor, logits: LogitsDtype): void {
  const allowed: readonly Dtype[] = logits === "f16" || logits === "bf16" ? [logits, "f32"] : [logits];
  if (!allowed.includes(grad.dtype)) throw mismatch("DTYPE", "grad dtype", grad.dtype, `${allowed.join(" or ")} for ${logits} logits`, { shown: grad.dtype });
}

/** Class weights, as an array or as entries of a map or an object. */
function lookAtClassWeight(weights: unknown): Given | ClassEntries | undefined {
  const isMap = typeof weights === "object" && weights !== null && !Tensor.is(weights) && !ArrayBuffer.isView(weights) && !Array.isArray(weights) && !("data" in weights);
  if (!isMap) return lookIfAny("classWeight", weights);
  return weights instanceof Map ? [...(weights as ReadonlyMap<unknown, unknown>)] : Object.entries(weights);
}

function isEntries(weights: Given | ClassEntries | undefined): weights is ClassEntries {
  return Array.isArray(weights);
}

function expandClasses(entries: ClassEntries, classes: number): Operand {
  for (const [key, weight] of entries) {
    const index = classOf(key);
    if (index === undefined || index >= classes) throw mismatch("OPTION_RANGE", "classWeight key", key, `a class in 0..${classes - 1}`);
    if (typeof weight !== "number") throw mismatch("OPTION_RANGE", `classWeight[${index}]`, weight, "a finite number");
  }
  const bytes = classes * dtypes.f64.bytes;
  if (bytes > LARGEST_ALLOCATION) throw outOfMemory("classWeight", bytes, "");
  const weights = new Float64Array(classes).fill(1);
  for (const [key, weight] of entries) weights[classOf(key) ?? 0] = weight as number;
  return { name: "classWeight", dtype: "f64", shape: undefined, length: classes, source: weights };
}

/** The class that a key names, if it is one. */
function classOf(key: unknown): number | undefined {
  const index = typeof key === "string" && key.trim() !== "" ? Number(key) : key;
  return typeof index === "number" && Number.isInteger(index) && index >= 0 ? index : undefined;
}

function logitsShape(logits: Operand, option: unknown): readonly number[] {
  if (option === undefined) {
    if (logits.shape === undefined) throw mismatch("SHAPE", "logits shape", undefined, "shape in the options for a bare array", { shown: "none" });
    return logits.shape;
  }
  const shape = readShape("logits", option);
  if (logits.shape !== undefined && !sameShape(shape, logits.shape)) throw mismatch("SHAPE", "option shape", shape, `${show(logits.shape)}, the logits' own, or none`);
  return shape;
}

/** All of them, in the order in which they are looked at. */
function operandsOf({ logits, labels, classWeight, sampleWeight, upstream, classMask, labelMatrix }: Operands): readonly (Operand | number | undefined)[] {
  return [logits, labels, classWeight, sampleWeight, upstream, classMask, labelMatrix];
}

/** SHAPE of everything but the logits. */
function checkShapes(layout: Layout, read: Operands, grad: unknown): void {
  const { dims, classes, rowShape, keptShape } = layout;
  checkShape(layout, read.labels, rowShape, keptShape);
  if (read.classWeight !== undefined) checkShape(layout, read.classWeight, [classes]);
  const weight = read.sampleWeight;
  if (typeof weight === "object" && weight.shape !== undefined && broadcastTarget(layout, weight.shape) === undefined) {
    const expected = `${either(rowShape, keptShape)}, or 1 for any of these dimensions,${forLogits(layout)}`;
    throw mismatch("SHAPE", "sampleWeight shape", weight.shape, expected);
  }
  if (typeof read.upstream === "object") checkShape(layout, read.upstream, rowShape, keptShape);
  if (Tensor.is(grad) && !sameShape(grad.shape, dims)) throw mismatch("SHAPE", "grad shape", grad.shape, show(dims) + forLogits(layout));
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
function checkLengths(layout: Layout, read: Operands, unit: string): void {
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
function checkByteCounts(layout: Layout, read: Operands, makesGrad: boolean, maximum: number): void {
  const { logits } = read;
  const isInPlace = Tensor.is(logits.source);
  if (makesGrad || !isInPlace) checkBytes(isInPlace ? "grad" : "logits", layout.elements * dtypes[logits.dtype].bytes, maximum);
  for (const operand of operandsOf(read)) {
    if (typeof operand !== "object" || operand === logits || Tensor.is(operand.source)) continue;
    checkBytes(operand.name, operand.length * dtypes[operand.dtype].bytes, maximum);
  }
}

export function readGrad(grad: unknown): boolean | Tensor {
  if (grad === undefined) return false;
  if (typeof grad === "boolean" || Tensor.is(grad)) return grad;
  throw mismatch("OPTION_RANGE", "grad", grad, "true, false or a tensor of this engine");
}

/** ALIAS: a given grad shares no byte with anything that is read, unless it is exactly the logits. */
export function checkAliases(grad: boolean | Tensor, read: Operands): void {
  if (!Tensor.is(grad)) return;
  for (const operand of operandsOf(read)) {
    if (typeof operand !== "object" || !(Tensor.is(operand.source))) continue;
    const other: Tensor = operand.source;
    const start = Math.max(grad.byteOffset, other.byteOffset);
    const end = Math.min(grad.byteOffset + grad.byteLength, other.byteOffset + other.byteLength);
    if (start >= end || (operand.name === "logits" && grad === other)) continue;
    const expected = operand.name === "logits" ? "none or exactly the logits" : "none";
    throw new SparseXentError({ code: "ALIAS", message: `grad overlaps ${operand.name} bytes got ${start}..${end}, expected ${expected}`, got: [start, end], expected });
  }
}
