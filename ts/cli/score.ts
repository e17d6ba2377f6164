// Scores logits on disk against labels on disk, a span of rows at a time, so that memory does not grow with the file.
//
// A span is a number of whole outer positions, or a part of the rows of one where these are too many. The spans leave no trace in the results: the denominator comes from a pass over the labels (scan.ts), every span is one call
// with reduction `none` and upstream 1/D, which gives the gradient of the mean bit for bit, and row losses are added in the
// engine's own order (sums.ts).

import type { Engine, Tensor } from "../index.js";
import { type LogitsDtype, npyDtypes } from "./dtypes.js";
import type { NpySink, Outputs } from "./files.js";
import type { InputPaths, Inputs } from "./inputs.js";
import { ignoredRow } from "./labels.js";
import { rowWeight, scan, type Scan } from "./scan.js";
import { ClassSums, RowSum } from "./sums.js";
import { balancedWeights } from "./weights.js";

/** What to do with the inputs. */
export interface ScoreRequest extends InputPaths {
  readonly labelSmoothing: number;
  readonly reduction: "none" | "sum" | "mean";
  /** Where the gradient of the reduced loss goes. */
  readonly grad?: string;
  /** Where the row losses go: weighted, before the reduction. */
  readonly loss?: string;
  /** Bytes of logits and gradient held at once. */
  readonly chunkBytes: number;
}

/** Everything a report says. Sums are f64; "valid" rows are those not ignored. */
export interface Score {
  readonly shape: readonly number[];
  readonly dtype: LogitsDtype;
  readonly rows: number;
  readonly classes: number;
  readonly validCount: number;
  readonly correctCount: number;
  readonly nonFiniteCount: number;
  /** The first row whose loss is NaN or infinite. */
  readonly firstNonFinite: number | undefined;
  readonly lossSum: number;
  readonly weightSum: number;
  /** lossSum / weightSum; 0 if weightSum is 0. */
  readonly meanLoss: number;
  /** The L2 norm of the mean loss's gradient. */
  readonly gradNorm: number;
  readonly perClass: ClassSums;
  readonly chunks: number;
  /** Time inside the engine: loss, gradient and arg-max of all spans. */
  readonly engineMs: number;
}

// Names of the same dtypes in the engine. A gradient under f16 logits is f32: divided by many rows it would vanish in f16.
const engineDtypes = {
  f2: { logits: "f16", grad: "f32", results: "f4" },
  f4: { logits: "f32", grad: "f32", results: "f4" },
  f8: { logits: "f64", grad: "f64", results: "f8" },
} as const;

/** Labels, weights and denominators first; see `Scan`. */
export async function scanInputs(inputs: Inputs): Promise<{ scan: Scan; classWeights: Float64Array | undefined }> {
  const { labels, sampleWeights, classWeights } = inputs;
  if (classWeights !== "balanced") return { scan: await scan(labels, sampleWeights, classWeights), classWeights };
  const balanced = balancedWeights((await scan(labels, undefined, undefined)).counts);
  return { scan: await scan(labels, sampleWeights, balanced), classWeights: balanced };
}

/** Scores `inputs`; outputs are written but not yet given their names. `onRows` hears how many rows are done. */
export async function score(
  request: ScoreRequest,
  inputs: Inputs,
  loadEngine: () => Promise<Engine>,
  outputs: Outputs,
  onRows: (rows: number) => void,
): Promise<Score> {
  const { logits, rows, classes } = inputs;
  const { scan: scanned, classWeights } = await scanInputs(inputs);
  const meanScale = scanned.weightSum > 0 ? 1 / scanned.weightSum : 0;
  const { results } = engineDtypes[logits.dtype];
  const gradSink = request.grad === undefined ? undefined : await outputs.create(request.grad, results, logits.shape, inputs.paths);
  const lossSink = request.loss === undefined ? undefined : await outputs.create(request.loss, results, inputs.rowShape, inputs.paths);

  const tally = new Tally(classes);
  let engineMs = 0;
  let chunks = 0;
  const engine = await loadEngine();
  for (const span of spans(inputs, rowsPerChunk(inputs, request.chunkBytes))) {
    const chunk = new Chunk(engine, inputs, span, classWeights);
    try {
      await chunk.read();
      engineMs += chunk.run(request, request.reduction === "mean" ? meanScale : 1);
      tally.add(chunk);
      await chunk.write(gradSink, lossSink);
    } finally {
      chunk.dispose();
    }
    chunks++;
    onRows(chunk.start + chunk.rows);
  }
  const norm = Math.sqrt(tally.gradSquares);
  return {
    shape: logits.shape,
    dtype: logits.dtype,
    rows,
    classes,
    validCount: scanned.validCount,
    correctCount: tally.correctCount,
    nonFiniteCount: tally.nonFiniteCount,
    firstNonFinite: tally.firstNonFinite,
    lossSum: tally.loss.total,
    weightSum: scanned.weightSum,
    meanLoss: scanned.weightSum > 0 ? tally.loss.total / scanned.weightSum : 0,
    gradNorm: request.reduction === "mean" ? norm : norm * meanScale,
    perClass: tally.perClass,
    chunks,
    engineMs,
  };
}

function rowsPerChunk(inputs: Inputs, chunkBytes: number): number {
  const { logits, rows, classes } = inputs;
  const extra = logits.dtype === "f2" ? 4 : 0; // its gradient has a place of its own
  const fit = Math.floor(chunkBytes / (classes * (npyDtypes[logits.dtype].bytes + extra)));
  return Math.max(1, Math.min(fit, rows));
}

/** Consecutive rows: `outers` positions from `outer` on, of each `inners` rows from `inner` on. */
interface Span {
  readonly outer: number;
  readonly outers: number;
  readonly inner: number;
  readonly inners: number;
}

/** The rows in their order, cut into spans of at most `most` rows. */
function* spans({ outer, inner, rows }: Inputs, most: number): Generator<Span> {
  if (rows === 0) return;
  const outers = Math.max(1, Math.floor(most / inner));
  // Of two rows at least, where there are two: a single one would be computed another way, and differ in its last bits.
  const parts = Math.max(1, Math.min(Math.ceil(inner / most), Math.floor(inner / 2)));
  for (let at = 0; at < outer; at += outers) {
    for (let part = 0; part < parts; part++) {
      const [from, to] = [Math.floor((part * inner) / parts), Math.floor(((part + 1) * inner) / parts)];
      yield { outer: at, outers: Math.min(outers, outer - at), inner: from, inners: to - from };
    }
  }
}

/** A span of rows in the engine's memory. The gradient takes the logits' place where the dtypes agree. */
class Chunk {
  readonly rows: number;
  /** The number of its first row. */
  readonly start: number;
  readonly span: Span;
  readonly #engine: Engine;
  readonly #inputs: Inputs;
  readonly #logits: Tensor<"f16" | "f32" | "f64">;
  readonly #grad: Tensor<"f32" | "f64">;
  readonly #labels: Tensor<"i32">;
  readonly #sampleWeights: Tensor<"f64"> | undefined;
  readonly classWeights: Float64Array | undefined;
  #loss: Tensor<"f32" | "f64"> | undefined;
  #predictions: Tensor<"i32"> | undefined;

  constructor(engine: Engine, inputs: Inputs, span: Span, classWeights: Float64Array | undefined) {
    const { logits, grad } = engineDtypes[inputs.logits.dtype];
    const rows = span.outers * span.inners;
    this.rows = rows;
    this.start = span.outer * inputs.inner + span.inner;
    this.span = span;
    this.#engine = engine;
    this.#inputs = inputs;
    this.classWeights = classWeights;
    const shape = [span.outers, inputs.classes, span.inners];
    this.#logits = engine.tensor(logits, shape);
    this.#grad = logits === grad ? (this.#logits as Tensor<"f32" | "f64">) : engine.tensor(grad, shape);
    const rowShape = [span.outers, span.inners];
    this.#labels = engine.tensor("i32", rowShape);
    this.#sampleWeights = inputs.sampleWeights === undefined ? undefined : engine.tensor("f64", rowShape);
  }

  get labels(): Int32Array {
    return this.#labels.view;
  }

  get sampleWeights(): Float64Array | undefined {
    return this.#sampleWeights?.view;
  }

  get grad(): Float32Array | Float64Array {
    return this.#grad.view;
  }

  get classes(): number {
    return this.#inputs.classes;
  }

  /** Row losses, once `run`. */
  get loss(): Float32Array | Float64Array {
    return this.#loss?.view as Float32Array | Float64Array;
  }

  /** The class of the largest logit, -1 where there is none, once `run`. */
  get predictions(): Int32Array {
    return this.#predictions?.view as Int32Array;
  }

  /** Reads the span straight into the engine's memory. */
  async read(): Promise<void> {
    const { logits, labels, sampleWeights } = this.#inputs;
    await labels.read(this.start, this.rows, this.labels);
    labels.check(); // the scan has passed them; a file that has changed since is caught here
    const weights = this.sampleWeights;
    if (sampleWeights !== undefined && weights !== undefined) await sampleWeights.read(this.start, this.rows, this.labels, weights);
    const view = this.#logits.view;
    for (const { at, from, count } of this.#pieces()) await logits.read(at, count, view.subarray(from, from + count));
  }

  /** One call; returns its time in milliseconds. */
  run(request: ScoreRequest, upstream: number): number {
    const before = performance.now();
    const result = this.#engine.crossEntropy(this.#logits, this.#labels, {
      // Where classes are last, that is how they are computed, whatever stands behind them.
      axis: 1,
      reduction: "none",
      upstream,
      grad: this.#grad,
      ignoreIndex: ignoredRow,
      labelSmoothing: request.labelSmoothing,
      outputs: ["predictions"],
      ...(this.classWeights === undefined ? {} : { classWeight: this.classWeights }),
      ...(this.#sampleWeights === undefined ? {} : { sampleWeight: this.#sampleWeights }),
    });
    const ms = performance.now() - before;
    this.#loss = result.loss;
    this.#predictions = result.predictions;
    return ms;
  }

  async write(grad: NpySink | undefined, loss: NpySink | undefined): Promise<void> {
    const view = this.grad;
    if (grad !== undefined) for (const { at, from, count } of this.#pieces()) await grad.write(at, view.subarray(from, from + count), count);
    await loss?.write(this.start, this.loss, this.rows);
  }

  /** The elements of the span that lie together in the file: where there, where here, and how many. */
  *#pieces(): Generator<{ readonly at: number; readonly from: number; readonly count: number }> {
    const { inner, classes } = this.#inputs;
    const { outer, outers, inner: first, inners } = this.span;
    const at = outer * classes * inner + first;
    if (inners === inner) return yield { at, from: 0, count: outers * classes * inner };
    for (let k = 0; k < classes; k++) yield { at: at + k * inner, from: k * inners, count: inners };
  }

  dispose(): void {
    for (const tensor of new Set([this.#logits, this.#grad, this.#labels, this.#sampleWeights, this.#loss, this.#predictions])) tensor?.dispose();
  }
}

/** What is added up over all rows. */
class Tally {
  readonly loss = new RowSum();
  readonly perClass: ClassSums;
  gradSquares = 0;
  correctCount = 0;
  nonFiniteCount = 0;
  firstNonFinite: number | undefined;

  constructor(classes: number) {
    this.perClass = new ClassSums(classes);
  }

  add(chunk: Chunk): void {
    const { loss, predictions, labels, sampleWeights, classWeights } = chunk;
    const { perClass } = this;
    for (let row = 0; row < chunk.rows; row++) {
      const value = loss[row] as number;
      this.loss.add(value);
      if (!Number.isFinite(value)) {
        this.nonFiniteCount++;
        this.firstNonFinite ??= chunk.start + row;
      }
      const label = labels[row] as number;
      if (label === ignoredRow) continue;
      const correct = predictions[row] === label ? 1 : 0;
      this.correctCount += correct;
      perClass.loss[label] = (perClass.loss[label] as number) + value;
      perClass.weight[label] = (perClass.weight[label] as number) + rowWeight(label, row, classWeights, sampleWeights);
      perClass.count[label] = (perClass.count[label] as number) + 1;
      perClass.correct[label] = (perClass.correct[label] as number) + correct;
    }
    // One running sum in the order of rows and their classes: its bits do not depend on where the spans are cut.
    const { grad, classes } = chunk;
    const { outers, inners } = chunk.span;
    let squares = this.gradSquares;
    for (let outer = 0; outer < outers; outer++) {
      for (let inner = 0; inner < inners; inner++) {
        for (let k = 0, at = outer * classes * inners + inner; k < classes; k++, at += inners) squares += (grad[at] as number) * (grad[at] as number);
      }
    }
    this.gradSquares = squares;
  }
}
