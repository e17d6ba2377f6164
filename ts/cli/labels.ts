// Labels on disk -> classes: one integer per row, the class or -1 for an ignored row. The engine gets these and nothing else.
// Every label dtype is judged by its exact value: 64-bit labels are never narrowed first (2^32 is not class 0).

import { npyDtypes, type LabelsDtype } from "./dtypes.js";
import { Failure } from "./failure.js";
import type { NpyFile } from "./files.js";

/** What stands for an ignored row in the classes. */
export const ignoredRow = -1;

/** Reads labels in spans of rows and turns them into classes. */
export class LabelReader {
  readonly file: NpyFile<LabelsDtype>;
  readonly classes: number;
  readonly #ignoredValues: ReadonlySet<bigint>;
  /** By class: 1 if it is ignored. */
  readonly #isIgnoredClass: Uint8Array;
  #bad: { readonly row: number; readonly value: bigint; count: number } | undefined;

  constructor(file: NpyFile<LabelsDtype>, classes: number, ignored: readonly bigint[]) {
    this.file = file;
    this.classes = classes;
    this.#ignoredValues = new Set(ignored);
    this.#isIgnoredClass = new Uint8Array(classes);
    for (const value of ignored) if (value >= 0n && value < BigInt(classes)) this.#isIgnoredClass[Number(value)] = 1;
  }

  /** Fills `into` with the classes of rows `start` to `start + count`. Labels out of range are counted; see `check`. */
  async read(start: number, count: number, into: Int32Array): Promise<void> {
    const raw = npyDtypes[this.file.dtype].make(count);
    await this.file.read(start, count, raw);
    const wide = raw instanceof BigInt64Array || raw instanceof BigUint64Array;
    // A 64-bit label is below 2^31 exactly if its high word is 0 and its low word, signed, is not negative; reading words
    // keeps big integers out of the loop.
    const words = wide ? new Int32Array(raw.buffer) : raw;
    const step = wide ? 2 : 1;
    for (let i = 0; i < count; i++) {
      const low = words[i * step] as number;
      const inRange = low >= 0 && low < this.classes && (!wide || words[i * 2 + 1] === 0);
      if (inRange) {
        into[i] = this.#isIgnoredClass[low] === 1 ? ignoredRow : low;
      } else {
        into[i] = ignoredRow;
        const value = BigInt(raw[i] as number | bigint);
        if (this.#ignoredValues.has(value)) continue;
        this.#bad ??= { row: start + i, value, count: 0 };
        this.#bad.count++;
      }
    }
  }

  /** Fails if any label read so far was neither a class nor ignored; names the first and says how many there were. */
  check(): void {
    if (this.#bad === undefined) return;
    const { row, value, count } = this.#bad;
    throw new Failure(
      this.file.path,
      `row ${row}: label got ${value}, expected 0..${this.classes - 1} (${this.classes} classes); ${count} such label${count === 1 ? "" : "s"} of ${this.file.count}`,
      `--ignore-index ${value} leaves such rows out`,
    );
  }
}
