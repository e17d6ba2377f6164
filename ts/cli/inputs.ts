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
}

/** Files that fit together. */
export interface Inputs {
  /** Rows side by side, classes last. */
  readonly logits: NpyFile<LogitsDtype>;
  readonly labels: LabelReader;
  readonly rows: number;
  readonly classes: number;
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
    const logits = keep(await NpyFile.open(paths.logits, accepted.logits));
    const classes = logits.shape.at(-1);
    if (classes === undefined) throw new Failure(logits.path, "shape got (), expected at least one axis: classes, last");
    if (classes === 0) throw new Failure(logits.path, `shape got ${showShape(logits.shape)}, expected at least one class on the last axis`);
    if (classes > maximumClasses) throw new Failure(logits.path, `classes got ${classes}, expected at most ${maximumClasses}: the report has a row for each`);
    const outer = logits.shape.slice(0, -1);
    const rows = logits.count / classes;

    const labels = keep(await NpyFile.open(paths.labels, accepted.labels));
    if (!same(labels.shape, outer) && !same(labels.shape, [...outer, 1])) {
      throw new Failure(
        labels.path,
        `labels got shape ${showShape(labels.shape)}, expected ${showShape(outer)} or ${showShape([...outer, 1])} for logits ${showShape(logits.shape)}`,
        labels.count === rows ? `np.save(path, labels.reshape${showShape(outer)})` : undefined,
      );
    }

    const sampleWeight = paths.sampleWeight === undefined ? undefined : keep(await NpyFile.open(paths.sampleWeight, accepted.weights));
    if (sampleWeight !== undefined && ![outer, [...outer, 1], [rows]].some((shape) => same(sampleWeight.shape, shape))) {
      throw new Failure(
        sampleWeight.path,
        `sample weights got shape ${showShape(sampleWeight.shape)}, expected ${showShape(outer)}${outer.length > 1 ? ` or (${rows},)` : ""}: one per row`,
      );
    }

    const balanced = paths.classWeight === "balanced";
    const classWeight = balanced || paths.classWeight === undefined ? undefined : keep(await NpyFile.open(paths.classWeight, accepted.weights));
    const classWeights = balanced ? "balanced" : classWeight === undefined ? undefined : await readClassWeights(classWeight, classes);

    return {
      logits,
      labels: new LabelReader(labels, classes, paths.ignoreIndex),
      rows,
      classes,
      sampleWeights: sampleWeight === undefined ? undefined : new SampleWeightReader(sampleWeight),
      classWeights,
      paths: opened.map((file) => file.path),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((length, axis) => length === b[axis]);
}
