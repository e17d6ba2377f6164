// The input files of a run, opened and held against each other: dtypes, ranks, lengths. Nothing is computed here.

import { accepted, type LogitsDtype } from "./dtypes.js";
import { Failure } from "./failure.js";
import { NpyFile } from "./files.js";
import { LabelReader } from "./labels.js";
import { showShape } from "./npy.js";
import { readClassWeights, SampleWeightReader } from "./weights.js";

/** What names the inputs. */
export interface InputPaths {
  readonly logits: string;
  readonly labels: string;
  /** A file, or the word `balanced`. */
  readonly classWeight?: string;
  readonly sampleWeight?: string;
  readonly ignoreIndex: readonly bigint[];
  /** The axis of the classes, negative from the end. */
  readonly axis: number;
}

/** Files that fit together. */
export interface Inputs {
  readonly logits: NpyFile<LogitsDtype>;
  readonly labels: LabelReader;
  readonly rows: number;
  readonly classes: number;
  /** Products of the dimensions before and after the classes': class k of row (o, i) is at (o * classes + k) * inner + i. */
  readonly outer: number;
  readonly inner: number;
  /** The logits' shape without the classes. */
  readonly rowShape: readonly number[];
  readonly sampleWeights: SampleWeightReader | undefined;
  readonly classWeights: Float64Array | "balanced" | undefined;
  /** Every file that is read, so that no output replaces one. */
  readonly paths: readonly string[];
  close(): Promise<void>;
}

// The report has a row for each class: of so many its JSON is a quarter of a gigabyte, half of what a string can hold. A header of 128 bytes may
// claim any number. Rows may be as many as there are, since the engine gets them in pieces.
const maximumClasses = 2 ** 21;

/** Opens and checks all inputs; on a failure everything is closed again. */
export async function openInputs(paths: InputPaths): Promise<Inputs> {
  const opened: NpyFile<never>[] = [];
  const close = async (): Promise<void> => {
    for (const file of opened) await file.close();
  };
  const keep = <F extends { close(): Promise<void> }>(file: F): F => {
    opened.push(file as unknown as NpyFile<never>);
    return file;
  };
  try {
    const logits = keep(await NpyFile.open(paths.logits, accepted.logits, "logits"));
    const rank = logits.shape.length;
    if (rank === 0) throw new Failure(logits.path, "shape got (), expected at least one axis, that of the classes");
    if (paths.axis < -rank || paths.axis >= rank) throw new Failure(logits.path, `axis got ${paths.axis}, expected ${-rank}..${rank - 1} for shape ${showShape(logits.shape)}`);
    const axis = paths.axis < 0 ? paths.axis + rank : paths.axis;
    const classes = logits.shape[axis] as number;
    if (classes === 0) throw new Failure(logits.path, `shape got ${showShape(logits.shape)}, expected at least one class on axis ${paths.axis}`);
    if (classes > maximumClasses) throw new Failure(logits.path, `classes got ${classes}, expected at most ${maximumClasses}: the report has a row for each`);
    const before = logits.shape.slice(0, axis);
    const after = logits.shape.slice(axis + 1);
    const rowShape = [...before, ...after];
    const keptShape = [...before, 1, ...after];
    const rows = logits.count / classes;

    const labels = keep(await NpyFile.open(paths.labels, accepted.labels, "labels"));
    if (!same(labels.shape, rowShape) && !same(labels.shape, keptShape)) {
      throw new Failure(
        labels.path,
        `labels got shape ${showShape(labels.shape)}, expected ${showShape(rowShape)} or ${showShape(keptShape)} for logits ${showShape(logits.shape)}, axis ${paths.axis}`,
        hintFor(labels.shape, logits.shape, axis, labels.count === rows ? rowShape : undefined),
      );
    }

    const sampleWeight = paths.sampleWeight === undefined ? undefined : keep(await NpyFile.open(paths.sampleWeight, accepted.weights, "sample_weight"));
    if (sampleWeight !== undefined && ![rowShape, keptShape, [rows]].some((shape) => same(sampleWeight.shape, shape))) {
      throw new Failure(
        sampleWeight.path,
        `sample weights got shape ${showShape(sampleWeight.shape)}, expected ${showShape(rowShape)}${rowShape.length > 1 ? ` or (${rows},)` : ""}: one per row`,
      );
    }

    const balanced = paths.classWeight === "balanced";
    const classWeight = balanced || paths.classWeight === undefined ? undefined : keep(await NpyFile.open(paths.classWeight, accepted.weights, "class_weight"));
    const classWeights = balanced ? "balanced" : classWeight === undefined ? undefined : await readClassWeights(classWeight, classes);

    return {
      logits,
      labels: new LabelReader(labels, classes, paths.ignoreIndex),
      rows,
      classes,
      outer: before.reduce((product, length) => product * length, 1),
      inner: after.reduce((product, length) => product * length, 1),
      rowShape,
      sampleWeights: sampleWeight === undefined ? undefined : new SampleWeightReader(sampleWeight),
      classWeights,
      paths: opened.map(({ file }) => file),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What labels of another shape may have been meant for. */
function hintFor(labels: readonly number[], logits: readonly number[], axis: number, reshaped: readonly number[] | undefined): string | undefined {
  if (same(labels, logits)) return `these look one-hot: np.save(path, labels.argmax(axis=${axis}))`;
  const other = logits.findIndex((_, at) => at !== axis && (same(labels, logits.toSpliced(at, 1)) || same(labels, logits.with(at, 1))));
  if (other >= 0) return `--axis ${other}`;
  return reshaped && `np.save(path, labels.reshape${showShape(reshaped)})`;
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((length, axis) => length === b[axis]);
}
