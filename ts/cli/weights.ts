// Class weights and sample weights from disk. A weight on the command line is finite and at least 0: the library takes negative
// ones (policy gradients), but a file with one is far more often a mistake, and a mean over such weights can divide by nothing.

import { npyDtypes, type WeightsDtype } from "./dtypes.js";
import { Failure } from "./failure.js";
import type { NpyFile } from "./files.js";
import { showShape } from "./npy.js";

/** Reads one weight per class. */
export async function readClassWeights(file: NpyFile<WeightsDtype>, classes: number): Promise<Float64Array> {
  if (file.shape.length !== 1 || file.count !== classes) {
    throw new Failure(file.path, `class weights got shape ${showShape(file.shape)}, expected (${classes},): one per class`);
  }
  const raw = npyDtypes[file.dtype].make(classes);
  await file.read(0, classes, raw);
  const weights = Float64Array.from(raw);
  weights.forEach((weight, index) => {
    if (!isWeight(weight)) throw new Failure(file.path, `class ${index}: weight got ${weight}, expected a finite number of at least 0`);
  });
  return weights;
}

/**
 * Weights that give every class the same total: valid rows / (classes that occur * rows of the class), as scikit-learn's
 * `compute_class_weight("balanced", ...)`. A class that does not occur gets 0.
 */
export function balancedWeights(counts: Float64Array): Float64Array {
  const valid = counts.reduce((sum, count) => sum + count, 0);
  const present = counts.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0);
  return counts.map((count) => (count > 0 ? valid / (present * count) : 0));
}

/** Reads one weight per row, in spans. */
export class SampleWeightReader {
  readonly file: NpyFile<WeightsDtype>;

  constructor(file: NpyFile<WeightsDtype>) {
    this.file = file;
  }

  /** Fills `into` with the weights of rows `start` to `start + count`; those of ignored rows are not looked at. */
  async read(start: number, count: number, classes: Int32Array, into: Float64Array): Promise<void> {
    const raw = npyDtypes[this.file.dtype].make(count);
    await this.file.read(start, count, raw);
    for (let i = 0; i < count; i++) {
      const weight = raw[i] as number;
      if ((classes[i] as number) >= 0 && !isWeight(weight)) {
        throw new Failure(this.file.path, `row ${start + i}: sample weight got ${weight}, expected a finite number of at least 0`);
      }
      into[i] = weight;
    }
  }
}

function isWeight(weight: number): boolean {
  return weight >= 0 && weight < Infinity;
}
