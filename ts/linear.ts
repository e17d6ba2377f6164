// Options and arguments of the last layer with its loss, checked. May import arguments and below.
// Guarantees: as arguments.ts. Hidden states take the place of the logits, whose layout follows from theirs and that of the weights, so that the
// call block and everything below serve both operations.
import {
  assertOptions,
  checkAliases,
  checkGradConflicts,
  checkLength,
  checkLossConflict,
  logitsShape,
  lookAtClassWeight,
  namedTargets,
  operandsOf,
  readOperands,
  readTargets,
  type Arguments,
  type GivenOperands,
  type Layer,
  type LayerGrads,
  type Operands,
} from "./arguments.js";
import { dtypes, type Float16ArrayLike } from "./dtypes.js";
import { mismatch, show, SparseXentError } from "./errors.js";
import { checkBytes, layoutOf, product, sameShape, type Layout } from "./layout.js";
import type { Memory } from "./memory.js";
import { assertUsable, copyOfList, find, look, lookIfAny, lookOrNumber, overlap, shaped, type Operand } from "./operands.js";
import type { CrossEntropyAsyncOptions, CrossEntropyOptions, OutputName, OutputTargets, ShapedArray } from "./options.js";
import { conflict, optionNames, optionReader } from "./settings.js";
import { Tensor } from "./tensor.js";

/** What may be given as hidden states, weights or bias: a tensor of this engine (not copied), or an array (copied in once). */
export type FactorInput = Tensor<"f32" | "f16" | "bf16"> | Float32Array | Uint16Array | Float16ArrayLike | ShapedArray;

/** Which gradients a layer is to give: `true` for a new tensor, or an f32 tensor to write it to. */
export interface LinearGradOptions {
  /** With respect to the hidden states, of their shape; f32 hidden states themselves mean in place. */
  readonly hidden?: boolean | Tensor<"f32"> | undefined;
  /** With respect to the weights, of their shape. */
  readonly weight?: boolean | Tensor<"f32"> | undefined;
  /** With respect to the bias, `[V]`, whether there is one or not. */
  readonly bias?: boolean | Tensor<"f32"> | undefined;
}

/** See {@link LinearCrossEntropyOptions.outputs}. */
export type LinearOutputName = Exclude<OutputName, "topK" | "targetRank" | "entropy" | "logProbs">;

/** The options of {@link Engine.linearCrossEntropy}; every one may be left out. Those shared with `crossEntropy` mean the same. */
export interface LinearCrossEntropyOptions
  extends Omit<CrossEntropyOptions, "axis" | "input" | "probsEpsilon" | "probsNormalize" | "labelMatrix" | "grad" | "outputs" | "k"> {
  /** Further results, as of `crossEntropy`, but none that takes a row of logits at once. Default none. */
  readonly outputs?: readonly LinearOutputName[] | Pick<OutputTargets, LinearOutputName> | undefined;
  /** A bias per class, V numbers. Default none. */
  readonly bias?: FactorInput | undefined;
  /** How the weights lie: `vd` for `[V, D]` (PyTorch; default), `dv` for `[D, V]` (TensorFlow, Keras). Both are read as they lie. */
  readonly weightLayout?: "vd" | "dv" | undefined;
  /** The gradients: `true` for all (that of the bias where there is one), or which of them. f32 whatever the inputs are. Default none. */
  readonly grad?: boolean | LinearGradOptions | undefined;
  /** Add to the given gradients instead of overwriting them. `grad.hidden` must then not be `hidden`. Default false. */
  readonly accumulate?: boolean | undefined;
  /**
   * Rows whose logits are there at the same time: fewer take less memory (4·V bytes each) and more time. `auto` (default) is as many as give
   * 32 MiB, but 64 to 128; with `recompute` 12 MiB of logits and hidden states, but 64 to 512. The last bits of the gradients of weights and
   * bias depend on it.
   */
  readonly chunkRows?: "auto" | number | undefined;
  /**
   * Make the logits in blocks of 2,048 classes (the last of up to 4,095), and again for the gradients: four products instead of three, and
   * never more than a block of logits in memory. Losses have the same bits either way. Under `classMask` the kept classes are cut so. Default false.
   */
  readonly recompute?: boolean | undefined;
}

/** The options of {@link Engine.linearCrossEntropyAsync}. */
export interface LinearCrossEntropyAsyncOptions extends LinearCrossEntropyOptions {
  /** Ends the call with the error `ABORTED` when it fires. Given gradients may then be partly written: where one is `hidden`, they are lost. */
  readonly signal?: AbortSignal | null | undefined;
}

const excluded: readonly string[] = ["axis", "input", "probsEpsilon", "probsNormalize", "labelMatrix", "k"];
/** What takes a row of logits at once. */
const ofRows = ["topK.values", "targetRank", "entropy", "logProbs"] as const;

/** Every key an options object may have. */
export const linearOptionNames: readonly string[] = [...optionNames.filter((name) => !excluded.includes(name)), "bias", "weightLayout", "chunkRows", "recompute"];

const readOptions = optionReader(linearOptionNames);

/** The arrays of a layer but for its hidden states. */
type Factors = Pick<Layer, "depth" | "weight" | "bias">;

const gradNames = ["hidden", "weight", "bias"] as const;

/** Checks a call, in the order in which errors are promised. */
export function readLinearArguments(
  memory: Memory,
  hidden: unknown,
  weight: unknown,
  labels: unknown,
  options: LinearCrossEntropyAsyncOptions,
  isAsync: boolean,
): Arguments {
  assertOptions(options);
  const others = readOptions(options as CrossEntropyAsyncOptions, isAsync);
  const given: GivenOperands = {
    logits: look("hidden", hidden),
    labels: look("labels", labels),
    classWeight: lookAtClassWeight(options.classWeight),
    sampleWeight: lookOrNumber("sampleWeight", options.sampleWeight),
    upstream: lookOrNumber("upstream", options.upstream),
    classMask: lookIfAny("classMask", options.classMask),
    targets: namedTargets(options.loss, undefined, others.settings.outputs),
    axis: -1,
    shape: copyOfList(options.shape),
    dtype: options.dtype,
  };
  const factors = { weight: look("weight", weight), bias: lookIfAny("bias", options.bias) };
  const grad: unknown = options.grad;
  const targets = gradsOf(grad, factors.bias !== undefined);
  const { weightLayout, chunkRows, recompute } = options;

  memory.assertOpen();
  for (const factor of [factors.weight, factors.bias]) if (factor !== undefined) assertUsable(memory, factor.name, factor.data);
  for (const name of gradNames) assertUsable(memory, `grad.${name}`, targets[name]);
  const found = { weight: find(factors.weight), bias: factors.bias && find(factors.bias) };
  for (const name of gradNames) checkDtype(name, targets[name]);
  let factorsRead: Factors | undefined;
  const { read, layout } = readOperands(memory, given, "rows", (states) => {
    const [weight, bias] = [shaped(found.weight), found.bias && shaped(found.bias)];
    const { depth, logits } = layoutOfLayer(states, weight, given.shape, weightLayout === "dv");
    factorsRead = { depth, weight, bias };
    checkLayer(logits, states, factorsRead, targets);
    return logits;
  });
  const layerRead = factorsRead as unknown as Factors;
  if (others.fault !== undefined) throw others.fault;
  const { settings, signal } = others;
  if (weightLayout !== undefined && weightLayout !== "vd" && weightLayout !== "dv") throw mismatch("OPTION_RANGE", "weightLayout", weightLayout, "one of vd, dv");
  const rows = chunkRows === "auto" ? undefined : chunkRows;
  if (rows !== undefined && !(Number.isSafeInteger(rows) && rows > 0)) throw mismatch("OPTION_RANGE", "chunkRows", rows, '"auto" or an integer of at least 1');
  if (recompute !== undefined && typeof recompute !== "boolean") throw mismatch("OPTION_RANGE", "recompute", recompute, "true or false");
  const grads = readGrads(grad, targets);
  const written = readTargets(given.targets);
  checkGradConflicts(read, false, { ...settings, accumulate: false }, "row");
  checkLossConflict(written.targets, settings);
  const taken = ofRows.find((name) => settings.outputs.has(name));
  if (taken !== undefined) throw conflict(`outputs ${taken.replace(/\..*/, "")}`, "none of a linear layer, whose logits are never all there");
  const hasGiven = gradNames.some((name) => Tensor.is(grads[name]));
  const isInPlace = Tensor.is(grads.hidden) && grads.hidden === read.logits.source;
  if (settings.accumulate && (!hasGiven || isInPlace || gradNames.some((name) => grads[name] === true))) {
    throw conflict("accumulate", "gradients that are all given, and none of them hidden");
  }
  checkLayerBytes(memory, layout, layerRead, grads);
  checkAliases(given.targets, read);
  checkLayerAliases(read, [layerRead.weight, layerRead.bias], grads, given.targets);
  const layer: Layer = { ...layerRead, weightLayout: weightLayout ?? "vd", chunkRows: rows, recompute: recompute === true, grads };
  return { operation: "linear", layout, ...read, ...written, settings, given: others.given, signal, layer };
}

/** What is wanted of each gradient, not yet judged. */
function gradsOf(grad: unknown, hasBias: boolean): LayerGrads<unknown> {
  if (grad === true) return { hidden: true, weight: true, bias: hasBias };
  if (typeof grad !== "object" || grad === null || Tensor.is(grad)) return { hidden: undefined, weight: undefined, bias: undefined };
  const { hidden, weight, bias } = grad as LinearGradOptions;
  return { hidden, weight, bias };
}

/** OPTION_RANGE of the gradients. */
function readGrads(grad: unknown, targets: LayerGrads<unknown>): LayerGrads<boolean | Tensor> {
  const isObject = typeof grad === "object" && grad !== null && !Tensor.is(grad);
  if (grad !== undefined && typeof grad !== "boolean" && !isObject) throw mismatch("OPTION_RANGE", "grad", grad, "true, false or { hidden, weight, bias }");
  for (const key of isObject ? Object.keys(grad as object) : []) {
    if (!gradNames.some((name) => name === key)) throw mismatch("OPTION_RANGE", "grad", key, `keys among ${gradNames.join(", ")}`);
  }
  const one = (name: (typeof gradNames)[number]): boolean | Tensor => {
    const target = targets[name];
    if (target === undefined) return false;
    if (typeof target === "boolean" || Tensor.is(target)) return target;
    throw mismatch("OPTION_RANGE", `grad.${name}`, target, "true, false or a tensor of this engine");
  };
  return { hidden: one("hidden"), weight: one("weight"), bias: one("bias") };
}

/** DTYPE of a given gradient. */
function checkDtype(name: string, target: unknown): void {
  if (Tensor.is(target) && target.dtype !== "f32") throw mismatch("DTYPE", `grad.${name} dtype`, target.dtype, "f32", { shown: target.dtype });
}

/** Depth, and how the logits would lie. */
function layoutOfLayer(states: Operand, weight: Operand, shape: unknown, isDv: boolean): { depth: number; logits: Layout } {
  const dims = logitsShape(states, shape);
  const depth = dims.at(-1) ?? 0;
  if (depth === 0) throw mismatch("SHAPE", "hidden shape", dims, "at least one dimension, and a depth of at least 1");
  const fits = weight.shape?.length === 2 && weight.shape[isDv ? 0 : 1] === depth;
  const expected = isDv ? `[${depth},V]` : `[V,${depth}]`;
  if (weight.shape === undefined) throw mismatch("SHAPE", "weight shape", undefined, `${expected} beside data`, { shown: "none" });
  if (!fits) throw mismatch("SHAPE", "weight shape", weight.shape, `${expected} for hidden ${show(dims)}`);
  const logits = layoutOf([...dims.slice(0, -1), weight.shape[isDv ? 1 : 0] ?? 0], -1);
  return { depth, logits: { ...logits, isMade: true } };
}

/** SHAPE of bias and gradients, then LENGTH of the layer's arrays. */
function checkLayer(layout: Layout, states: Operand, layer: Factors, targets: LayerGrads<unknown>): void {
  const { depth, weight, bias } = layer;
  const hidden = [...layout.rowShape, depth];
  const classes = [layout.classes];
  if (bias?.shape !== undefined && !sameShape(bias.shape, classes)) throw mismatch("SHAPE", "bias shape", bias.shape, show(classes));
  const shapes = { hidden, weight: weight.shape ?? [], bias: classes };
  for (const name of gradNames) {
    const target = targets[name];
    if (Tensor.is(target) && !sameShape(target.shape, shapes[name])) throw mismatch("SHAPE", `grad.${name} shape`, target.shape, show(shapes[name]));
  }
  checkLength(states, product(hidden), "hidden", hidden);
  checkLength(weight, product(weight.shape ?? []), "weight", weight.shape);
  checkLength(bias, layout.classes, "classes");
}

/** SIZE of what has to be copied in or made. */
function checkLayerBytes(memory: Memory, layout: Layout, { depth, weight, bias }: Factors, grads: LayerGrads<boolean | Tensor>): void {
  for (const operand of [weight, bias]) {
    if (operand !== undefined && !Tensor.is(operand.source)) checkBytes(operand.name, operand.length * dtypes[operand.dtype].bytes, memory.maximumBytes);
  }
  const sizes = { hidden: layout.rows * depth, weight: layout.classes * depth, bias: layout.classes };
  for (const name of gradNames) if (grads[name] === true) checkBytes(`grad.${name}`, sizes[name] * dtypes.f32.bytes, memory.maximumBytes);
}

/** ALIAS: a given gradient shares no byte with anything that is read or written, but that of the hidden states may be exactly these. */
function checkLayerAliases(
  read: Operands,
  factors: readonly (Operand | undefined)[],
  grads: LayerGrads<boolean | Tensor>,
  targets: GivenOperands["targets"],
): void {
  const others: (readonly [string, Tensor])[] = [];
  for (const operand of [...operandsOf(read), ...factors]) {
    if (typeof operand === "object" && Tensor.is(operand.source)) others.push([operand.name, operand.source]);
  }
  for (const { name, target } of targets) {
    if (!Tensor.is(target)) continue;
    assertApart(name, target, others);
    others.push([name, target]);
  }
  for (const name of gradNames) {
    const grad = grads[name];
    if (!Tensor.is(grad)) continue;
    assertApart(`grad.${name}`, grad, others);
    others.push([`grad.${name}`, grad]);
  }
}

function assertApart(name: string, target: Tensor, others: readonly (readonly [string, Tensor])[]): void {
  for (const [other, tensor] of others) {
    const mayBe = name === "grad.hidden" && other === "hidden";
    const shared = mayBe && target === tensor ? undefined : overlap(target, tensor);
    if (shared === undefined) continue;
    const expected = mayBe ? "none or exactly the hidden states" : "none";
    throw new SparseXentError({ code: "ALIAS", message: `${name} overlaps ${other} bytes got ${shared.join("..")}, expected ${expected}`, got: shared, expected });
  }
}
