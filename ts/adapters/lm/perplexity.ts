// Perplexity over documents that are longer than a model sees at once. Imports the scoring and the plan.
// Guarantees: every token of a document is scored once, in its first window; sums are taken over tokens and never over means of windows.
import { mismatch } from "../../errors.js";
import { checkNames, listed, logitsDims, type Ids } from "./plan.js";
import { scoreAsync, type ModelLogits, type ScoringEngine } from "./score.js";

/** The logits of one or more sequences. */
export interface PerplexityBatch<Name = unknown> {
  /** See {@link ModelLogits}. */
  readonly logits: ModelLogits;
  /** The ids the model was given, one per row of the logits. */
  readonly ids: Ids;
  /** The attention mask, one flag per token; padding belongs to no document. Default: all tokens are real. */
  readonly mask?: Ids | undefined;
  /** How many real tokens at the start of each document are a prompt and not scored. Default 0. */
  readonly promptLength?: number | undefined;
  /**
   * Which document each sequence is the next window of, by names that are compared as the keys of a `Map`. Default: with `stride` sequence b of every batch belongs
   * to document b, without it every sequence is a document of its own.
   */
  readonly documents?: readonly Name[] | undefined;
}

/** The options of {@link perplexity}. */
export interface PerplexityOptions {
  /**
   * How many tokens each window of a document begins after the one before, as {@link windows} cuts them. Tokens that an earlier window holds are read as context
   * and not scored again. Default: windows do not overlap.
   */
  readonly stride?: number | undefined;
  /** As for `tokenLogProbs`. Default true. */
  readonly shift?: boolean | undefined;
  /** As for `tokenLogProbs`. */
  readonly rowsPerStep?: number | undefined;
}

/** What one document came to. */
export interface DocumentPerplexity<Name = unknown> {
  /** Its name, or its number if `documents` gave none. */
  readonly document: Name | number;
  /** exp(-sum / count); NaN if no token was scored. */
  readonly perplexity: number;
  /** Σ ln p over the scored tokens. */
  readonly sum: number;
  /** How many they are. */
  readonly count: number;
  /** ln p of each token of the document, in its order; NaN for those that nothing predicts, such as the first. */
  readonly logProbs: Float32Array<ArrayBuffer>;
}

/** What {@link perplexity} gives. */
export interface Perplexity<Name = unknown> {
  /** exp(-sum / count) over all tokens of all documents; NaN if no token was scored. */
  readonly perplexity: number;
  /** Σ ln p over the scored tokens. */
  readonly sum: number;
  /** How many they are. */
  readonly count: number;
  /** The documents in the order in which they first appear. */
  readonly documents: readonly DocumentPerplexity<Name>[];
}

/** An array or typed array. */
interface Sliceable<List> {
  readonly length: number;
  slice(from: number, to: number): List;
}

/**
 * A document cut into windows of at most `length` ids, each beginning `stride` ids after the one before; the last one ends with the document. Run the model on each
 * and give {@link perplexity} the same stride. A smaller stride gives every token more context and takes more runs of the model.
 *
 * @throws `SparseXentError` `OPTION_RANGE` unless 1 ≤ stride ≤ length
 * @example
 * ```ts
 * [...windows([1, 2, 3, 4, 5, 6, 7], { length: 4, stride: 2 })]; // [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7]]
 * ```
 */
export function* windows<List extends Sliceable<List>>(
  ids: List,
  { length, stride = length }: { readonly length: number; readonly stride?: number | undefined },
): Generator<List, void, undefined> {
  if (!Number.isInteger(length) || length < 1) throw mismatch("OPTION_RANGE", "length", length, "an integer of at least 1");
  if (!Number.isInteger(stride) || stride < 1 || stride > length) throw mismatch("OPTION_RANGE", "stride", stride, `an integer in 1..${length}, the length of a window`);
  for (let from = 0; from < ids.length; from += stride) {
    yield ids.slice(from, Math.min(from + length, ids.length));
    if (from + length >= ids.length) return;
  }
}

/** What is known of a document so far. */
interface Progress {
  readonly parts: Float32Array[];
  /** Windows seen. */
  windows: number;
  /** Tokens that they hold. */
  tokens: number;
  sum: number;
  count: number;
}

/**
 * The perplexity of a language model on documents: exp of the mean of -ln p over tokens, however they are batched.
 *
 * With overlapping windows every token counts once, in the first window that holds it. Windows that do not overlap lose the first token of each, which nothing
 * predicts. Nothing of a batch's logits is kept.
 *
 * @param xent an engine
 * @param batches in the order of each document's windows; a generator that runs the model keeps one batch of logits alive at a time
 * @throws `SparseXentError` as `tokenLogProbs`, and `OPTION_RANGE` for a stride that leaves a gap between windows
 * @example
 * ```ts
 * async function* batches() {
 *   for (const window of windows(ids, { length: 1024, stride: 512 })) yield { ids: window, logits: (await model(inputsOf(window))).logits };
 * }
 * const { perplexity: all, documents } = await perplexity(xent, batches(), { stride: 512 });
 * ```
 */
export async function perplexity<Name = number>(
  xent: ScoringEngine,
  batches: Iterable<PerplexityBatch<Name>> | AsyncIterable<PerplexityBatch<Name>>,
  options: PerplexityOptions = {},
): Promise<Perplexity<Name>> {
  checkNames(options, ["stride", "shift", "rowsPerStep"]);
  const { stride, shift = true, rowsPerStep } = options;
  if (stride !== undefined && !(Number.isInteger(stride) && stride >= 1)) throw mismatch("OPTION_RANGE", "stride", stride, "an integer of at least 1");
  const all = new Map<Name | number, Progress>();
  let numbered = 0;
  for await (const { logits, ids, mask, promptLength = 0, documents } of batches) {
    const [batch, length] = logitsDims("data" in logits ? (logits.shape ?? logits.dims) : logits.shape);
    if (documents !== undefined && documents.length !== batch) throw mismatch("LENGTH", "documents length", documents.length, `${batch} (sequences)`);
    const flags = mask === undefined ? undefined : listed("mask", mask).data;
    const first = numbered;
    if (documents === undefined && stride === undefined) numbered += batch;
    const sequences = Array.from({ length: batch }, (_, sequence) => {
      const progress = progressOf(all, documents?.[sequence] ?? first + sequence);
      const real = positionsOf(flags, sequence, length);
      const start = stride === undefined ? progress.tokens : progress.windows * stride;
      if (start > progress.tokens) throw mismatch("OPTION_RANGE", "stride", stride, `at most ${progress.tokens - (progress.windows - 1) * (stride ?? 0)}, the length of the window before`);
      const known = Math.min(progress.tokens - start, real.length);
      const prompt = Math.min(Math.max(promptLength - start, known), real.length);
      return { progress, real, start, known, prompt: real[prompt] ?? length };
    });
    const scored = await scoreAsync(xent, logits, ids, { shift, mask, rowsPerStep, promptLength: sequences.map(({ prompt }) => prompt) });
    for (const [sequence, { progress, real, start, known }] of sequences.entries()) {
      const places = real.slice(known).map((position) => sequence * length + position);
      progress.parts.push(Float32Array.from(places, (place) => scored.logProbs[place] as number));
      for (const place of places.filter(scored.isScored)) {
        progress.sum += scored.logProbs[place] as number;
        progress.count += 1;
      }
      progress.windows += 1;
      progress.tokens = Math.max(progress.tokens, start + real.length);
    }
  }
  const documents = [...all].map(([document, { sum, count, parts }]) => ({ document, perplexity: Math.exp(-sum / count), sum, count, logProbs: joined(parts) }));
  const sum = documents.reduce((total, each) => total + each.sum, 0);
  const count = documents.reduce((total, each) => total + each.count, 0);
  return { perplexity: Math.exp(-sum / count), sum, count, documents };
}

function progressOf<Name>(all: Map<Name, Progress>, name: Name): Progress {
  const found = all.get(name);
  if (found !== undefined) return found;
  const made = { parts: [], windows: 0, tokens: 0, sum: 0, count: 0 };
  all.set(name, made);
  return made;
}

/** The positions of a sequence that hold tokens of its document. */
function positionsOf(flags: ArrayLike<unknown> | undefined, sequence: number, length: number): number[] {
  const positions = Array.from({ length }, (_, position) => position);
  return flags === undefined ? positions : positions.filter((position) => Boolean(flags[sequence * length + position]));
}

function joined(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const all = new Float32Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
