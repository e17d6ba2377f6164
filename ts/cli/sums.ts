// Sums over rows, in the engine's order, so that a file scored in pieces gives the bits of one call. Imports nothing.

// The engine adds rows left to right inside blocks of this many rows, then the blocks left to right.
const blockRows = 256;

/** A running sum over rows 0, 1, 2, ... in f64. */
export class RowSum {
  #blocks = 0;
  #block = 0;
  #rows = 0;

  add(value: number): void {
    this.#block += value;
    this.#rows++;
    if (this.#rows % blockRows === 0) {
      this.#blocks += this.#block;
      this.#block = 0;
    }
  }

  get total(): number {
    return this.#blocks + this.#block;
  }
}

/** Per class, by label: Σ row loss, Σ row weight, rows, and rows whose largest logit is the label's. */
export class ClassSums {
  readonly loss: Float64Array;
  readonly weight: Float64Array;
  readonly count: Float64Array;
  readonly correct: Float64Array;

  constructor(classes: number) {
    this.loss = new Float64Array(classes);
    this.weight = new Float64Array(classes);
    this.count = new Float64Array(classes);
    this.correct = new Float64Array(classes);
  }
}
