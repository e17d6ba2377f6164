// The pass over the labels that comes before the logits: what a mean divides by must be known before the first gradient is written.

import { ignoredRow, type LabelReader } from "./labels.js";
import { RowSum } from "./sums.js";
import type { SampleWeightReader } from "./weights.js";

/** What the labels and weights alone say. */
export interface Scan {
  /** Rows by class, ignored rows left out. */
  readonly counts: Float64Array;
  readonly validCount: number;
  /** Σ class weight * sample weight over valid rows: the denominator of the mean. */
  readonly weightSum: number;
}

// Labels are 1 to 8 bytes and weights 4 or 8: a span is a few megabytes.
const spanRows = 1 << 18;

/** Reads all labels and sample weights once; fails on the first that is not allowed. */
export async function scan(
  labels: LabelReader,
  sampleWeights: SampleWeightReader | undefined,
  classWeights: Float64Array | undefined,
): Promise<Scan> {
  const rows = labels.file.count;
  const counts = new Float64Array(labels.classes);
  const weightSum = new RowSum();
  let validCount = 0;
  const classes = new Int32Array(Math.min(spanRows, rows));
  const weights = sampleWeights === undefined ? undefined : new Float64Array(classes.length);
  for (let start = 0; start < rows; start += spanRows) {
    const span = Math.min(spanRows, rows - start);
    await labels.read(start, span, classes);
    if (sampleWeights !== undefined && weights !== undefined) await sampleWeights.read(start, span, classes, weights);
    for (let i = 0; i < span; i++) {
      const label = classes[i] as number;
      if (label === ignoredRow) {
        weightSum.add(0);
        continue;
      }
      counts[label] = (counts[label] as number) + 1;
      validCount++;
      weightSum.add(rowWeight(label, i, classWeights, weights));
    }
  }
  labels.check();
  return { counts, validCount, weightSum: weightSum.total };
}

/** The weight of a row: its class's times its own, both 1 where not given. */
export function rowWeight(label: number, row: number, classWeights: Float64Array | undefined, sampleWeights: Float64Array | undefined): number {
  const ofClass = classWeights === undefined ? 1 : (classWeights[label] as number);
  return sampleWeights === undefined ? ofClass : ofClass * (sampleWeights[row] as number);
}
