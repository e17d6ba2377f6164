// How often each run of n tokens occurs, in order, so that all continuations of a context are neighbours. Imports nothing.

/** Counts of runs of `n` tokens. */
export class Counts {
  readonly #vocabulary: number;
  /** A run of tokens as one number, ascending. Three tokens of 200,000 stay below 2^53, where doubles are exact. */
  readonly #keys: Float64Array;
  readonly #counts: Uint32Array;

  constructor(n: 2 | 3, vocabulary: number, texts: readonly (readonly number[])[]) {
    if (vocabulary ** n > Number.MAX_SAFE_INTEGER) throw new RangeError(`runs of ${n} tokens of ${vocabulary} have no exact key`);
    this.#vocabulary = vocabulary;
    const all = new Float64Array(texts.reduce((sum, tokens) => sum + Math.max(0, tokens.length - n + 1), 0));
    let length = 0;
    for (const tokens of texts) {
      for (let i = n - 1; i < tokens.length; i += 1) {
        let key = 0;
        for (let j = i - n + 1; j <= i; j += 1) key = key * vocabulary + (tokens[j] as number);
        all[length] = key;
        length += 1;
      }
    }
    all.sort();
    const counts = new Uint32Array(all.length);
    let kept = 0;
    for (let i = 0; i < all.length; i += 1) {
      if (i > 0 && all[i] !== all[i - 1]) kept += 1;
      all[kept] = all[i] as number;
      counts[kept] = (counts[kept] as number) + 1;
    }
    this.#keys = all.slice(0, all.length === 0 ? 0 : kept + 1);
    this.#counts = counts.slice(0, this.#keys.length);
  }

  /** Distinct runs. */
  get size(): number {
    return this.#keys.length;
  }

  /** Every token that followed the context, with its count; the context is the tokens before it. */
  forEach(context: readonly number[], use: (token: number, count: number) => void): void {
    const first = context.reduce((key, token) => key * this.#vocabulary + token, 0) * this.#vocabulary;
    for (let i = this.#lowerBound(first); i < this.#keys.length; i += 1) {
      const token = (this.#keys[i] as number) - first;
      if (token >= this.#vocabulary) return;
      use(token, this.#counts[i] as number);
    }
  }

  #lowerBound(key: number): number {
    let [low, high] = [0, this.#keys.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#keys[middle] as number) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
