// A log-linear model of the next token over the whole vocabulary. May import counts.
//
//   logit(v) = w0 · ln p(v) + w1 · ln(1 + c(u, v) / (a · p(v))) + w2 · ln(1 + c(t, u, v) / (b · q(v))) + w3 · ln(1 + r(v) / (c · p(v)))
//
// t, u are the two tokens before v; c counts runs of tokens in the texts, r the tokens typed so far; p is the smoothed share of v in the texts and
// q that after u. With weights 1, 1, 1, 0 this is the softmax form of the n-gram model with Dirichlet smoothing (MacKay and Peto, 1995): each factor
// adds what the longer context knows, and where it knows nothing it is 0. So a row is the same dense vector for all, plus few sparse terms.
import { Counts } from "./counts.ts";

/** Added to the count of every token, so that none is impossible. */
const floor = 0.05;
/** How many observations the shorter context is worth against those of the longer: a, b and c. */
const [bigramPrior, trigramPrior, recentPrior] = [30, 5, 300];

export const weightNames = ["one token", "two tokens", "three tokens", "typed before"] as const;
export type Weights = readonly [unigram: number, bigram: number, trigram: number, recent: number];

/** The terms of one row that are not 0: the token, which of the weights, and what it multiplies. */
interface Terms {
  readonly tokens: number[];
  readonly weights: number[];
  readonly values: number[];
}

export class Model {
  readonly vocabulary: number;
  /** Runs of one, two and three tokens that were counted. */
  readonly sizes: readonly number[];
  readonly #shares: Float64Array;
  readonly #logShares: Float32Array;
  readonly #bigrams: Counts;
  readonly #trigrams: Counts;
  readonly #totals: Uint32Array;

  constructor(vocabulary: number, texts: readonly (readonly number[])[]) {
    this.vocabulary = vocabulary;
    const totals = new Uint32Array(vocabulary);
    let all = 0;
    for (const tokens of texts) {
      all += tokens.length;
      for (const token of tokens) totals[token] = (totals[token] as number) + 1;
    }
    this.#totals = totals;
    this.#shares = Float64Array.from(totals, (total) => (total + floor) / (all + floor * vocabulary));
    this.#logShares = Float32Array.from(this.#shares, Math.log);
    this.#bigrams = new Counts(2, vocabulary, texts);
    this.#trigrams = new Counts(3, vocabulary, texts);
    this.sizes = [totals.reduce((kinds, total) => kinds + (total > 0 ? 1 : 0), 0), this.#bigrams.size, this.#trigrams.size];
  }

  /** The sparse terms of the logits of what follows `tokens[0 .. at]`. */
  terms(tokens: readonly number[], at: number): Terms {
    const shares = this.#shares;
    const terms: Terms = { tokens: [], weights: [], values: [] };
    const add = (token: number, weight: number, value: number): void => {
      terms.tokens.push(token);
      terms.weights.push(weight);
      terms.values.push(value);
    };
    const [t, u] = [tokens[at - 2], tokens[at - 1]];
    if (u !== undefined) {
      const after = new Map<number, number>();
      this.#bigrams.forEach([u], (v, count) => {
        after.set(v, count);
        add(v, 1, Math.log1p(count / (bigramPrior * (shares[v] as number))));
      });
      if (t !== undefined) {
        const total = this.#totals[u] as number;
        this.#trigrams.forEach([t, u], (v, count) => {
          const share = ((after.get(v) ?? 0) + bigramPrior * (shares[v] as number)) / (total + bigramPrior);
          add(v, 2, Math.log1p(count / (trigramPrior * share)));
        });
      }
    }
    const recent = new Map<number, number>();
    for (let i = 0; i < at; i += 1) recent.set(tokens[i] as number, (recent.get(tokens[i] as number) ?? 0) + 1);
    for (const [v, count] of recent) add(v, 3, Math.log1p(count / (recentPrior * (shares[v] as number))));
    return terms;
  }

  /** Writes a row of logits per list of terms, over the whole vocabulary. */
  logits(rows: readonly Terms[], weights: Weights, logits: Float32Array<ArrayBufferLike>): void {
    const { vocabulary } = this;
    const first = logits.subarray(0, vocabulary);
    for (let v = 0; v < vocabulary; v += 1) first[v] = weights[0] * (this.#logShares[v] as number);
    for (let row = 1; row < rows.length; row += 1) logits.copyWithin(row * vocabulary, 0, vocabulary);
    for (const [row, terms] of rows.entries()) {
      for (const [i, token] of terms.tokens.entries()) {
        const at = row * vocabulary + token;
        logits[at] = (logits[at] as number) + (weights[terms.weights[i] as 1 | 2 | 3] as number) * (terms.values[i] as number);
      }
    }
  }

  /** The gradient by the four weights, from that by the logits. */
  weightsGrad(rows: readonly Terms[], grad: Float32Array<ArrayBufferLike>): [number, number, number, number] {
    const { vocabulary } = this;
    const sums: [number, number, number, number] = [0, 0, 0, 0];
    for (const [row, terms] of rows.entries()) {
      const first = row * vocabulary;
      let sum = 0;
      for (let v = 0; v < vocabulary; v += 1) sum += (grad[first + v] as number) * (this.#logShares[v] as number);
      sums[0] += sum;
      for (const [i, token] of terms.tokens.entries()) {
        sums[terms.weights[i] as 1 | 2 | 3] += (grad[first + token] as number) * (terms.values[i] as number);
      }
    }
    return sums;
  }
}
