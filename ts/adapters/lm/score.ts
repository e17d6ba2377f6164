// Log-probabilities of the tokens of a batch, a few rows at a time. Imports the plan, errors, and types of the core.
// Guarantees: logits are read where they lie and copied in once, in pieces of a bounded size; rows that score nothing are mostly not even copied.
import type { Engine } from "../../engine.js";
import type { LogitsDtype } from "../../dtypes.js";
import { mismatch } from "../../errors.js";
import type { TopK } from "../../result.js";
import type { Tensor } from "../../tensor.js";
import { checkedLogits, checkNames, logitsDims, NO_TOKEN, planOf, type HostArray, type Ids, type Plan } from "./plan.js";

/**
 * Logits of a model, `[batch, tokens, vocabulary]` or `[tokens, vocabulary]`: a tensor of transformers.js or ONNX Runtime, anything `{ data, dims, type }`, or a
 * tensor of the engine. `Uint16Array` with the type `float16` holds f16, as on Node 20, where there is no `Float16Array`.
 */
export type ModelLogits = HostArray | Tensor<LogitsDtype>;

/** The most probable tokens at each position, best first; of equals the one with the smaller id. */
export interface TopTokens {
  /** How many per token. */
  readonly k: number;
  /** k ids for each token, from index k·(sequence·tokens + token) on; -1 where the token is not scored, and where its row has a NaN. */
  readonly ids: Int32Array<ArrayBuffer>;
  /** ln p of each of them; NaN where the token is not scored, and where its row has no probabilities. */
  readonly logProbs: Float32Array<ArrayBuffer>;
}

/** What is used of an engine; `load()` of `sparse-xent` and of `sparse-xent/inline` give one. */
export type ScoringEngine = Pick<Engine, "crossEntropy" | "crossEntropyAsync" | "tensor">;

/** The options of {@link tokenLogProbs}. */
export interface TokenLogProbsOptions {
  /** Whether row t of the logits predicts token t + 1, as those of causal models do. Default true; false where row t is about token t. */
  readonly shift?: boolean | undefined;
  /** The attention mask, one flag per token: padding is neither scored nor used to predict. Default: all tokens are real. */
  readonly mask?: Ids | undefined;
  /** How many tokens at the start of each sequence are a prompt and not scored: one number, or one per sequence. Default 0. */
  readonly promptLength?: number | ArrayLike<number> | undefined;
  /** How many of the most probable tokens to list for each scored one. Default 0: none. */
  readonly topK?: number | undefined;
  /** Rows of logits that are in the engine's memory at a time. Default: what 4 MiB hold, at least one. Does not change the results. */
  readonly rowsPerStep?: number | undefined;
}

/** What {@link tokenLogProbs} gives. */
export interface TokenLogProbs {
  /** ln p of each token given those before it, at index sequence·tokens + token; NaN for tokens that are not scored, such as the first. */
  readonly logProbs: Float32Array<ArrayBuffer>;
  /** The most probable tokens, if `topK` asks for them. */
  readonly top?: TopTokens;
  /** Σ of the log-probabilities. The perplexity is `Math.exp(-sum / count)`. */
  readonly sum: number;
  /** How many tokens were scored. */
  readonly count: number;
}

/**
 * ln p of every token of a batch, from the logits of a language model.
 *
 * ```text
 * logProbs[b, t] = logits[b, t - 1, ids[b, t]] - ln Σ exp(logits[b, t - 1, :])        (with shift; without it row t in place of t - 1)
 * ```
 *
 * The labels are shifted and not the logits, so no copy of the logits is made but the one into the engine, `rowsPerStep` rows at a time. Tokens with the id -100
 * are not scored, as in the `labels` of transformers. Runs on the calling thread, as `crossEntropy`; {@link tokenLogProbsAsync} does not hold it up.
 *
 * @param xent an engine
 * @param logits see {@link ModelLogits}; its data must be on the CPU
 * @param ids as many as the logits have rows
 * @throws `SparseXentError` `DTYPE`, `SHAPE`, `LENGTH`, `OPTION_RANGE`, `LABEL_NOT_INTEGER`, `LABEL_OUT_OF_RANGE`, and what `crossEntropy` throws
 * @example
 * ```ts
 * const { logits } = await model(inputs);
 * const { logProbs, sum, count } = tokenLogProbs(xent, logits, inputs.input_ids, { mask: inputs.attention_mask });
 * console.log(`perplexity ${Math.exp(-sum / count)}`);
 * ```
 */
export function tokenLogProbs(xent: ScoringEngine, logits: ModelLogits, ids: Ids, options: TokenLogProbsOptions = {}): TokenLogProbs {
  const { steps, take, result, rowOptions } = scoring(logits, ids, options);
  for (const step of steps) take(step, xent.crossEntropy(step.logits, step.labels, rowOptions));
  return result();
}

/**
 * As {@link tokenLogProbs}, on all threads everywhere, without holding up the caller's event loop; the same numbers, bit for bit. The logits must not be changed
 * until the promise settles.
 */
export async function tokenLogProbsAsync(xent: ScoringEngine, logits: ModelLogits, ids: Ids, options: TokenLogProbsOptions = {}): Promise<TokenLogProbs> {
  const { logProbs, top, sum, count } = await scoreAsync(xent, logits, ids, options);
  return { logProbs, ...(top !== undefined && { top }), sum, count };
}

/** As {@link tokenLogProbsAsync}, with what tells a token that is not scored from one whose log-probability is NaN. */
export async function scoreAsync(
  xent: ScoringEngine,
  logits: ModelLogits,
  ids: Ids,
  options: TokenLogProbsOptions,
): Promise<TokenLogProbs & { isScored(place: number): boolean }> {
  const { steps, take, result, isScored, rowOptions } = scoring(logits, ids, options);
  for (const step of steps) take(step, await xent.crossEntropyAsync(step.logits, step.labels, rowOptions));
  return { ...result(), isScored };
}

const optionNames = ["shift", "mask", "promptLength", "topK", "rowsPerStep"] as const satisfies readonly (keyof TokenLogProbsOptions)[];
/** What fits beside its copy into a second-level cache or nearly so, and is work enough for a few threads. */
const STEP_BYTES = 2 ** 22;

/** A few rows of logits, all of which but a few score a token. */
interface Step {
  /** Number of the first row. */
  readonly from: number;
  readonly logits: ModelLogits;
  readonly labels: Int32Array<ArrayBuffer>;
}

/** What comes back for them. */
interface Scored {
  readonly lossSum: number;
  readonly validCount: number;
  readonly targetLogProb: Tensor<"f32" | "f64">;
  readonly topK?: TopK | undefined;
}

/** The work on a batch: the steps to compute, what to do with the results of each, and what they come to. */
function scoring(logits: ModelLogits, ids: Ids, options: TokenLogProbsOptions) {
  checkNames(options, optionNames);
  const { shift = true, mask, promptLength = 0, topK = 0, rowsPerStep } = options;
  if (rowsPerStep !== undefined && !(Number.isInteger(rowsPerStep) && rowsPerStep >= 1)) throw mismatch("OPTION_RANGE", "rowsPerStep", rowsPerStep, "an integer of at least 1");
  const dims = logitsDims("data" in logits ? (logits.shape ?? logits.dims) : logits.shape);
  const plan = planOf(dims, ids, { shift, mask, promptLength });
  const { classes, labels } = plan;
  if (!Number.isInteger(topK) || topK < 0 || topK > classes) throw mismatch("OPTION_RANGE", "topK", topK, `an integer in 0..${classes}`);
  const logProbs = new Float32Array(labels.length).fill(Number.NaN);
  const top = topK === 0 ? undefined : { k: topK, ids: new Int32Array(labels.length * topK).fill(NO_TOKEN), logProbs: new Float32Array(labels.length * topK).fill(Number.NaN) };
  let sum = 0;
  let count = 0;

  const take = ({ from, labels: own }: Step, { targetLogProb, topK: largest, lossSum, validCount }: Scored): void => {
    // Minus zero is what nothing comes to with its sign turned.
    sum -= lossSum;
    count += validCount;
    const target = targetLogProb.view;
    const [values, tokens] = [largest?.values.view, largest?.classes.view];
    for (let row = 0; row < own.length; row += 1) {
      if (own[row] === NO_TOKEN) continue;
      const place = from + row + plan.shift;
      logProbs[place] = target[row] as number;
      if (top === undefined || values === undefined || tokens === undefined) continue;
      top.ids.set(tokens.subarray(row * topK, (row + 1) * topK), place * topK);
      top.logProbs.set(values.subarray(row * topK, (row + 1) * topK), place * topK);
    }
    for (const tensor of [targetLogProb, largest?.values, largest?.classes]) tensor?.dispose();
  };
  const result = (): TokenLogProbs => ({ logProbs, ...(top !== undefined && { top }), sum: sum + 0, count });
  const isScored = (place: number): boolean => (labels[place - plan.shift] ?? NO_TOKEN) !== NO_TOKEN;
  const rowOptions = { reduction: "sum", ignoreIndex: NO_TOKEN, outputs: { targetLogProb: true, topK: topK > 0 }, k: Math.max(topK, 1) } as const;
  return { isScored, rowOptions, steps: stepsOf(logits, plan, rowsPerStep), take, result };
}

/** Cuts the rows that score something into steps. Rows between them that score nothing are taken along, those before and after are not. */
function* stepsOf(logits: ModelLogits, { labels, classes }: Plan, rowsPerStep: number | undefined): Generator<Step> {
  const rows = labels.length;
  // What lies in the engine is used there.
  if (!("data" in logits)) {
    yield { from: 0, logits, labels };
    return;
  }
  const type = logits.dtype ?? logits.type;
  // Once: some libraries look the data up on every read.
  const data = checkedLogits(logits.data, type, rows, classes);
  const most = rowsPerStep ?? Math.max(1, Math.floor((STEP_BYTES * rows) / data.byteLength));
  for (let from = nextScored(labels, 0); from < rows; ) {
    let to = Math.min(from + most, rows);
    const next = nextScored(labels, to);
    while (labels[to - 1] === NO_TOKEN) to -= 1;
    yield { from, logits: { data: data.subarray(from * classes, to * classes), shape: [to - from, classes], dtype: type as string | undefined }, labels: labels.subarray(from, to) };
    from = next;
  }
}

function nextScored(labels: Int32Array, from: number): number {
  let row = from;
  while (row < labels.length && labels[row] === NO_TOKEN) row += 1;
  return row;
}
