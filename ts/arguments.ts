// The arguments of a call, checked. May import layout, operands, settings, tensor, memory, dtypes and errors.
// Guarantees: everything that can be judged without reading the labels and weights themselves is judged here, in the order of `errorCodes`,
// before memory is asked for or written; what is returned needs no further check and holds nothing that the caller can change, but for the
// elements of typed arrays and tensors.
import { arrayHolds, dtypeOfArray, dtypes, isTypedArray, type Dtype, type LogitsDtype, type TypedArray } from "./dtypes.js";
import { mismatch, show, SparseXentError } from "./errors.js";
import { broadcastTarget, checkBytes, checkSizes, forLogits, layoutOf, product, readShape, sameShape, targetShape, type Layout } from "./layout.js";
import { LARGEST_ALLOCATION, outOfMemory, type Memory } from "./memory.js";
import { assertUsable, copyOfList, find, look, lookIfAny, lookOrNumber, overlap, shaped, type Given, type Operand } from "./operands.js";
import type { CrossEntropyAsyncOptions } from "./options.js";
import { checkConflicts, checkK, conflict, optionNames, optionReader, type ResultName, type Settings } from "./settings.js";
import { Tensor } from "./tensor.js";

/** What a call computes. */
export type Operation = "crossEntropy" | "weightedSigmoid" | "linear";

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

/** What a result is written to: a tensor in place, an array of the caller's after the call. */
export type Target = Tensor | TypedArray;

/** Targets by the names of the results. */
export type Targets = Readonly<Partial<Record<"loss" | Exclude<ResultName, "perClass">, Target>>>;

/** What was given for the result of a name. */
interface Named<T = unknown> {
  readonly name: string;
  readonly target: T;
}

/** A call's arguments, checked. */
export interface Arguments extends Operands {
  readonly operation: Operation;
  readonly layout: Layout;
  /** Nothing, a new tensor, or what to write it to. */
  readonly grad: boolean | Target;
  /** What the other results are written to; a new tensor for those that are not named. */
  readonly targets: Targets;
  /** Those of all targets that are arrays of the caller's. */
  readonly arrays: readonly Named<TypedArray>[];
  readonly settings: Settings;
  /** The names of the settings that are not left at their defaults. */
  readonly given: readonly (keyof Settings)[];
  /** The last layer, where the call makes the logits itself; hidden states are then where other calls have logits. */
  readonly layer?: Layer;
  /** What ends an asynchronous call early. */
  readonly signal: AbortSignal | undefined;
}

/** Something of each gradient of a layer. */
export type LayerGrads<T> = Readonly<Record<"hidden" | "weight" | "bias", T>>;

/** A linear layer that makes the logits of a call. */
export interface Layer {
  readonly depth: number;
  readonly weight: Operand;
  readonly bias: Operand | undefined;
  readonly weightLayout: "vd" | "dv";
  readonly chunkRows: number | undefined;
  readonly recompute: boolean;
  /** Not wanted, new, or what to write it to. */
  readonly grads: LayerGrads<boolean | Tensor>;
}

/** Class weights by class. */
export type ClassEntries = readonly (readonly [unknown, unknown])[];

/** The arrays as they were given, and what else says how they lie. */
export interface GivenOperands {
  readonly logits: Given;
  readonly labels: Given;
  readonly classWeight: Given | ClassEntries | undefined;
  readonly sampleWeight: Given | number | undefined;
  readonly upstream: Given | number | undefined;
  readonly classMask?: Given | undefined;
  readonly labelMatrix?: Given | undefined;
  /** What results are to be written to, as it was given, and maybe no target at all; not those that are new or not asked for. */
  readonly targets: readonly Named[];
  /** How many of the largest classes a row's targets hold. */
  readonly k?: number;
  readonly axis: unknown;
  readonly shape: unknown;
  readonly dtype: unknown;
}

const readOptions = optionReader(optionNames);

/** Checks a call. */
export function readArguments(memory: Memory, logits: unknown, labels: unknown, options: CrossEntropyAsyncOptions, isAsync: boolean): Arguments {
  assertOptions(options);
  // Whatever the caller's objects do when they are read, they have done before the first check.
  const others = readOptions(options, isAsync);
  const given: GivenOperands = {
    logits: look("logits", logits),
    labels: look("labels", labels),
    classWeight: lookAtClassWeight(options.classWeight),
    sampleWeight: lookOrNumber("sampleWeight", options.sampleWeight),
    upstream: lookOrNumber("upstream", options.upstream),
    classMask: lookIfAny("classMask", options.classMask),
    labelMatrix: lookIfAny("labelMatrix", options.labelMatrix),
    axis: options.axis,
    shape: copyOfList(options.shape),
    dtype: options.dtype,
    targets: namedTargets(options.loss, options.grad, others.settings.outputs),
    k: others.settings.k,
  };
  const { read, layout } = readOperands(memory, given, "rows");
  const { settings, signal } = others;
  if (settings.outputs.get("logProbs") === true) checkBytes("logProbs", layout.elements * dtypes[read.logits.dtype === "f64" ? "f64" : "f32"].bytes, memory.maximumBytes);
  if (others.fault !== undefined) throw others.fault;
  checkK(settings, layout.classes);
  checkConflicts(others, given);
  const written = readTargets(given.targets);
  checkGradConflicts(read, written.grad, settings, "row");
  checkLossConflict(written.targets, settings);
  checkAliases(given.targets, read);
  // One by one: copying objects would take longer than the rest of a small call's checks.
  const { logits: x, labels: y, classWeight, sampleWeight, upstream, classMask, labelMatrix } = read;
  const { grad, targets, arrays } = written;
  return {
    operation: "crossEntropy", layout, logits: x, labels: y, classWeight, sampleWeight, upstream, classMask, labelMatrix, grad, targets, arrays, settings, given: others.given, signal,
  }; // prettier-ignore
}

/** OPTION_RANGE: options that are none. */
export function assertOptions(options: unknown): void {
  if (typeof options !== "object" || options === null) throw mismatch("OPTION_RANGE", "options", options, "an object");
}

/**
 * The arrays of a call and how its logits lie; errors from DISPOSED to SIZE. The phases follow the order in which errors are promised; each looks at
 * every array.
 */
export function readOperands(
  memory: Memory,
  given: GivenOperands,
  unit: "rows" | "elements",
  /** Of logits that a call makes out of what stands in their place: how they would lie. */
  layoutMade?: (hidden: Operand) => Layout,
): { read: Operands; layout: Layout } {
  const { targets, axis, shape, dtype } = given;
  const classMap = isEntries(given.classWeight) ? given.classWeight : undefined;
  const { logits, labels, sampleWeight, upstream, classMask, labelMatrix } = given;
  const classWeight = isEntries(given.classWeight) ? undefined : given.classWeight;

  memory.assertOpen();
  for (const each of [logits, labels, classWeight, sampleWeight, upstream, classMask, labelMatrix]) if (typeof each === "object") assertUsable(memory, each.name, each.data);
  for (const { name, target } of targets) assertUsable(memory, name, target);

  const found = {
    logits: find(logits, dtype),
    labels: find(labels),
    classWeight: classWeight && find(classWeight),
    sampleWeight: typeof sampleWeight === "object" ? find(sampleWeight) : sampleWeight,
    upstream: typeof upstream === "object" ? find(upstream) : upstream,
    classMask: classMask && find(classMask),
    labelMatrix: labelMatrix && find(labelMatrix),
  };
  for (const { name, target } of targets) checkTargetDtype(name, target, found.logits.dtype as LogitsDtype);

  const read: Operands = {
    logits: shaped(found.logits) as Operands["logits"],
    labels: shaped(found.labels),
    classWeight: found.classWeight && shaped(found.classWeight),
    sampleWeight: typeof found.sampleWeight === "object" ? shaped(found.sampleWeight) : (found.sampleWeight ?? 1),
    upstream: typeof found.upstream === "object" ? shaped(found.upstream) : (found.upstream ?? 1),
    classMask: found.classMask && shaped(found.classMask),
    labelMatrix: found.labelMatrix && shaped(found.labelMatrix),
  };
  const rows = layoutMade ? layoutMade(read.logits) : layoutOf(logitsShape(read.logits, shape), axis ?? -1);
  const layout = unit === "rows" ? rows : { ...rows, rows: rows.elements, rowShape: rows.dims, keptShape: rows.dims };
  checkShapes(layout, read, given);
  if (layoutMade === undefined) checkLength(read.logits, layout.elements, "logits", layout.dims);
  checkLengths(layout, read, given, unit);
  checkSizes(rows);
  checkByteCounts(layoutMade ? read.logits.length : layout.elements, read, targets.some(({ name, target }) => name === "grad" && target === true), memory.maximumBytes);
  if (classMap === undefined) return { read, layout };
  checkBytes("classWeight", layout.classes * dtypes.f64.bytes, memory.maximumBytes);
  return { read: { ...read, classWeight: expandClasses(classMap, layout.classes) }, layout };
}

/** OPTION_CONFLICT of upstream and grad. */
export function checkGradConflicts(read: Operands, grad: boolean | Target, settings: Settings, unit: string): void {
  if (typeof read.upstream !== "number" && settings.reduction !== "none") throw conflict(`upstream per ${unit}`, 'a number unless reduction is "none"');
  if (settings.accumulate && (typeof grad === "boolean" || grad === read.logits.source)) {
    throw conflict("accumulate", "a grad to add to, other than the logits");
  }
}

/** OPTION_CONFLICT of a place for losses that are not there. */
export function checkLossConflict(targets: Targets, settings: Settings): void {
  if (targets.loss !== undefined && settings.reduction !== "none") throw conflict("loss", 'none unless reduction is "none"');
}

/** DTYPE of a target. */
function checkTargetDtype(name: string, target: unknown, logits: LogitsDtype): void {
  if (!isTarget(target)) return;
  const wide = logits === "f64" ? "f64" : "f32";
  const areClasses = name === "predictions" || name === "targetRank" || name === "topK.classes";
  const allowed: readonly Dtype[] = areClasses ? ["i32"] : name === "grad" && logits !== wide ? [logits, wide] : [wide];
  if (allowed.some((dtype) => (Tensor.is(target) ? target.dtype === dtype : arrayHolds(target, dtype)))) return;
  const got = Tensor.is(target) ? target.dtype : dtypeOfArray(target);
  throw mismatch("DTYPE", `${name} dtype`, got, `${allowed.join(" or ")}${areClasses ? "" : ` for ${logits} logits`}`, { shown: String(got) });
}

function isTarget(value: unknown): value is Target {
  return Tensor.is(value) || isTypedArray(value);
}

/** Class weights, as an array or as entries of a map or an object. */
export function lookAtClassWeight(weights: unknown): Given | ClassEntries | undefined {
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

export function logitsShape(logits: Operand, option: unknown): readonly number[] {
  if (option === undefined) {
    if (logits.shape === undefined) throw mismatch("SHAPE", `${logits.name} shape`, undefined, "a shape option beside a bare array", { shown: "none" });
    return logits.shape;
  }
  const shape = readShape(logits.name, option);
  if (logits.shape !== undefined && !sameShape(shape, logits.shape)) throw mismatch("SHAPE", "option shape", shape, `none, or the ${logits.name === "logits" ? "logits'" : "hidden states'"} own ${show(logits.shape)}`);
  return shape;
}

/** All of them, in the order in which they are looked at. */
export function operandsOf({ logits, labels, classWeight, sampleWeight, upstream, classMask, labelMatrix }: Operands): readonly (Operand | number | undefined)[] {
  return [logits, labels, classWeight, sampleWeight, upstream, classMask, labelMatrix];
}

/** SHAPE of everything but the logits. */
function checkShapes(layout: Layout, read: Operands, given: GivenOperands): void {
  const { dims, classes, rowShape, keptShape } = layout;
  checkShape(layout, read.labels, rowShape, keptShape);
  if (read.classWeight !== undefined) checkShape(layout, read.classWeight, [classes]);
  const weight = read.sampleWeight;
  if (typeof weight === "object" && weight.shape !== undefined && broadcastTarget(layout, weight.shape) === undefined) {
    const expected = `${either(rowShape, keptShape)}, or 1 for any of these dimensions,${forLogits(layout)}`;
    throw mismatch("SHAPE", "sampleWeight shape", weight.shape, expected);
  }
  if (typeof read.upstream === "object") checkShape(layout, read.upstream, rowShape, keptShape);
  for (const { name, target } of given.targets) {
    if (!Tensor.is(target)) continue;
    const shape = targetShape(layout, name, given.k);
    checkShape(layout, { name, shape: target.dimensions }, shape, shape === rowShape ? keptShape : shape);
  }
  if (read.classMask !== undefined) checkShape(layout, read.classMask, [classes]);
  if (read.labelMatrix !== undefined) checkShape(layout, read.labelMatrix, [classes, classes]);
}

function checkShape(layout: Layout, { name, shape }: Pick<Operand, "name" | "shape">, allowed: readonly number[], alsoAllowed = allowed): void {
  if (shape === undefined || sameShape(shape, allowed) || sameShape(shape, alsoAllowed)) return;
  throw mismatch("SHAPE", `${name} shape`, shape, either(allowed, alsoAllowed) + forLogits(layout) + (name === "labels" ? hintFor(layout, shape) : ""));
}

/** What labels of this shape, or of this length if they have none, may have been meant for. */
function hintFor({ dims, classes, elements, rows, isMade }: Layout, given: readonly number[] | number): string {
  const fits = (shape: readonly number[]): boolean => (typeof given === "number" ? given === product(shape) : sameShape(given, shape));
  if (elements > rows && fits(dims)) return "; these look one-hot: pass the class number of each row";
  if (isMade === true) return "";
  const axis = dims.findIndex((size, at) => size !== classes && (fits(dims.toSpliced(at, 1)) || fits(dims.with(at, 1))));
  return axis < 0 ? "" : `; they fit axis: ${axis}`;
}

/** `[8] or [8,1]`; of an element-wise operation there is one shape, which both stand for. */
function either(one: readonly number[], other: readonly number[]): string {
  return sameShape(one, other) ? show(one) : `${show(one)} or ${show(other)}`;
}

/** LENGTH: a bare array has as many elements as it stands for, a shaped one as many as its shape says. */
function checkLengths(layout: Layout, read: Operands, given: GivenOperands, unit: string): void {
  const { classes, rows } = layout;
  checkLength(read.labels, rows, unit, undefined, unit === "rows" ? layout : undefined);
  checkLength(read.classWeight, classes, "classes");
  checkLength(read.sampleWeight, rows, unit);
  checkLength(read.upstream, rows, unit);
  checkLength(read.classMask, classes, "classes");
  checkLength(read.labelMatrix, classes ** 2, "classes x classes");
  for (const { name, target } of given.targets) {
    if (!isTarget(target)) continue;
    const shape = targetShape(layout, name, given.k);
    const of = shape === layout.dims && unit === "rows" ? "logits" : shape === layout.rowShape ? unit : `${unit} x k`;
    checkLength({ name, shape: undefined, length: target.length }, product(shape), of);
  }
}

export function checkLength(
  operand: Pick<Operand, "name" | "shape" | "length"> | number | undefined,
  count: number,
  of: string,
  dims?: readonly number[],
  hinting?: Layout,
): void {
  if (typeof operand !== "object") return;
  const shape = dims ?? operand.shape;
  const expected = shape === undefined ? count : product(shape);
  if (operand.length === expected) return;
  const why = shape === undefined ? of : `shape ${show(shape)}`;
  throw mismatch("LENGTH", `${operand.name} length`, operand.length, `${expected} (${why})${shape === undefined && hinting ? hintFor(hinting, operand.length) : ""}`);
}

/** SIZE: what has to be copied in or made must fit the memory at its largest. */
function checkByteCounts(elements: number, read: Operands, makesGrad: boolean, maximum: number): void {
  const { logits } = read;
  const isInPlace = Tensor.is(logits.source);
  if (makesGrad || !isInPlace) checkBytes(isInPlace ? "grad" : logits.name, elements * dtypes[logits.dtype].bytes, maximum);
  for (const operand of operandsOf(read)) {
    if (typeof operand !== "object" || operand === logits || Tensor.is(operand.source)) continue;
    checkBytes(operand.name, operand.length * dtypes[operand.dtype].bytes, maximum);
  }
}

/** No targets: the usual call makes no list. */
const noTargets = { grad: false, targets: {}, arrays: [] } as const;
const onlyGrad = { ...noTargets, grad: true } as const;

/** What was given for results to be written to, true for a new gradient included. */
export function namedTargets(loss: unknown, grad: unknown, outputs: ReadonlyMap<string, unknown>): readonly Named[] {
  if (loss === undefined && (grad === undefined || grad === false) && outputs.size === 0) return noTargets.arrays;
  const targets: Named[] = [];
  if (loss !== undefined) targets.push({ name: "loss", target: loss });
  if (grad !== undefined && grad !== false) targets.push({ name: "grad", target: grad });
  if (outputs.size > 0) outputs.forEach((target, name) => target === true || targets.push({ name, target }));
  return targets;
}

/** OPTION_RANGE: results are written to a target or not at all. */
export function readTargets(given: readonly Named[]): Pick<Arguments, "grad" | "targets" | "arrays"> {
  if (given.length === 0) return noTargets;
  if (given.length === 1 && given[0]?.target === true && given[0].name === "grad") return onlyGrad;
  let grad: boolean | Target = false;
  const targets: Record<string, Target> = {};
  const arrays: Named<TypedArray>[] = [];
  for (const { name, target } of given) {
    if (isTarget(target) && !Tensor.is(target)) arrays.push({ name, target });
    if (name === "grad" && (target === true || isTarget(target))) grad = target;
    else if (isTarget(target)) targets[name] = target;
    else if (name === "grad") throw mismatch("OPTION_RANGE", name, target, "true, false, a tensor of this engine or a typed array");
    else throw mismatch("OPTION_RANGE", name === "loss" ? name : `outputs ${name}`, target, "a tensor of this engine or a typed array");
  }
  return { grad, targets, arrays };
}

/** ALIAS: a target shares no byte with another target or with anything that is read, but a grad may be exactly the logits. */
export function checkAliases(given: readonly Named[], read: Operands): void {
  for (const one of given) {
    if (!isTarget(one.target)) continue;
    for (const operand of operandsOf(read)) {
      if (typeof operand === "object" && Tensor.is(operand.source)) assertApart(one.name, one.target, operand.name, operand.source);
    }
    for (const { name, target } of given) {
      if (name === one.name) break;
      if (isTarget(target)) assertApart(one.name, one.target, name, target);
    }
  }
}

function assertApart(name: string, target: Target, otherName: string, other: Target): void {
  const isLogits = name === "grad" && otherName === "logits";
  if (isLogits && target === other) return;
  const shared = overlap(target, other);
  if (shared === undefined) return;
  const expected = isLogits ? "none or exactly the logits" : "none";
  throw new SparseXentError({ code: "ALIAS", message: `${name} overlaps ${otherName} bytes got ${shared.join("..")}, expected ${expected}`, got: shared, expected });
}
