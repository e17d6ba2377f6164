// The log-probabilities of tokens as a model generates them. Imports the scoring, the plan, errors, and types of the core.
// Guarantees: logits are copied once, into the engine, where they wait for the token that is drawn from them; nothing of them is kept after that.
import { dtypeNamed, dtypeOfArray, type LogitsDtype } from "../../dtypes.js";
import { mismatch } from "../../errors.js";
import { disposeSymbol } from "../../symbols.js";
import type { Tensor } from "../../tensor.js";
import { checkedLogits, checkNames, listed, logitsDims, type HostArray, type Ids } from "./plan.js";
import { tokenLogProbs, type ScoringEngine, type TokenLogProbs, type TopTokens } from "./score.js";

/** What {@link LogProbsRecorder.finish} gives. */
export interface RecordedLogProbs {
  /** Tokens that were generated for each sequence. */
  readonly steps: number;
  /** ln p of each generated token, at index sequence·steps + step. */
  readonly logProbs: Float32Array<ArrayBuffer>;
  /** The most probable tokens of each step, if `topK` asks for them. */
  readonly top?: TopTokens;
  /** Σ of the log-probabilities. */
  readonly sum: number;
  /** How many tokens they are of: sequences · steps. */
  readonly count: number;
}

/** A function that is an object of its class: `generate` calls its logits processors. */
class Recording {
  constructor() {
    const call = (ids: Sequences, logits: HostArray): HostArray => (call as unknown as LogProbsRecorder).record(ids, logits);
    return Object.setPrototypeOf(call, new.target.prototype);
  }
}

/** The ids of a batch, one list per sequence, as `generate` hands them to its logits processors. */
type Sequences = readonly ArrayLike<number | bigint>[];

export interface LogProbsRecorder {
  /** {@link LogProbsRecorder.record}; this is how `generate` calls it. */
  <Logits extends HostArray>(ids: Sequences, logits: Logits): Logits;
}

/**
 * A logits processor for `generate` of transformers.js that changes nothing and notes the log-probability of every token as it is drawn.
 *
 * It sees the logits as the processors before it left them (those that follow from the generation configuration come first).
 *
 * @example
 * ```ts
 * using recorder = new LogProbsRecorder(xent, { topK: 5 });
 * const sequences = await model.generate({ ...inputs, max_new_tokens: 20, logits_processor: [recorder] });
 * const { logProbs, top } = recorder.finish(sequences);
 * ```
 */
export class LogProbsRecorder extends Recording {
  readonly #xent: ScoringEngine;
  readonly #topK: number;
  readonly #steps: TokenLogProbs[] = [];
  /** The logits of the last step, until it is known which token was drawn. */
  #waiting: Tensor<LogitsDtype> | undefined;
  /** How many tokens there were when they came. */
  #length = 0;

  /**
   * A recorder for one run of `generate` after the other.
   *
   * @param xent an engine; it holds one step's logits between two calls
   * @param options `topK`: as for `tokenLogProbs`
   */
  constructor(xent: ScoringEngine, options: { readonly topK?: number | undefined } = {}) {
    super();
    checkNames(options, ["topK"]);
    this.#xent = xent;
    this.#topK = options.topK ?? 0;
  }

  /**
   * Takes note of a step.
   *
   * @param ids the tokens so far, one list per sequence
   * @param logits of the next one, `[sequences, vocabulary]`
   * @returns the logits, unchanged
   */
  record<Logits extends HostArray>(ids: Sequences, logits: Logits): Logits {
    const [, rows, classes] = logitsDims(logits.shape ?? logits.dims);
    if (ids.length !== rows) throw mismatch("SHAPE", "logits shape", logits.shape ?? logits.dims, `[${ids.length}, vocabulary] for ${ids.length} sequences`);
    const type = logits.dtype ?? logits.type;
    const data = checkedLogits(logits.data, type, rows, classes);
    this.#conclude(ids);
    const dtype = (type === undefined ? dtypeOfArray(data) : dtypeNamed(type)) as LogitsDtype;
    this.#waiting = this.#room(dtype, rows, classes);
    const view = this.#waiting.view;
    // 16-bit floats as the engine's views hold them, whatever class of array they come in.
    const bits = dtype === "f16" || dtype === "bf16" ? new Uint16Array(data.buffer as ArrayBuffer, data.byteOffset, data.length) : data;
    view.set(bits as never);
    this.#length = ids[0]?.length ?? 0;
    return logits;
  }

  /**
   * Ends the recording and gives what was noted; afterwards the recorder can be used again.
   *
   * @param sequences what `generate` returned
   */
  finish(sequences: Ids | Sequences): RecordedLogProbs {
    this.#conclude(listsOf(sequences));
    this.dispose();
    const all = this.#steps.splice(0);
    const rows = all[0]?.count ?? 0;
    const steps = all.length;
    const logProbs = new Float32Array(rows * steps);
    const k = this.#topK;
    const top = k === 0 ? undefined : { k, ids: new Int32Array(rows * steps * k), logProbs: new Float32Array(rows * steps * k) };
    for (const [step, each] of all.entries()) {
      for (let row = 0; row < rows; row += 1) {
        const at = row * steps + step;
        logProbs[at] = each.logProbs[row] as number;
        top?.ids.set(each.top?.ids.subarray(row * k, (row + 1) * k) ?? [], at * k);
        top?.logProbs.set(each.top?.logProbs.subarray(row * k, (row + 1) * k) ?? [], at * k);
      }
    }
    return { steps, logProbs, ...(top !== undefined && { top }), sum: all.reduce((sum, each) => sum + each.sum, 0), count: rows * steps };
  }

  /** Gives back the memory in the engine, and forgets logits that still wait for their token. */
  dispose(): void {
    this.#waiting?.dispose();
    this.#waiting = undefined;
  }

  /** `dispose()`, for `using`. */
  [disposeSymbol](): void {
    this.dispose();
  }

  /** Scores the tokens that were drawn from the waiting logits. */
  #conclude(ids: Sequences): void {
    if (this.#waiting === undefined) return;
    const drawn = ids.map((sequence) => Number(sequence[this.#length]));
    this.#steps.push(tokenLogProbs(this.#xent, this.#waiting, drawn, { shift: false, topK: this.#topK }));
  }

  /** The tensor of the last step, or another one where that does not fit. */
  #room(dtype: LogitsDtype, rows: number, classes: number): Tensor<LogitsDtype> {
    const last = this.#waiting;
    if (last?.dtype === dtype && last.shape[0] === rows && last.shape[1] === classes) return last;
    last?.dispose();
    return this.#xent.tensor(dtype, [rows, classes]);
  }
}

/** One list per sequence. */
function listsOf(sequences: Ids | Sequences): Sequences {
  if (Array.isArray(sequences) && sequences.every((sequence) => typeof sequence === "object")) return sequences as Sequences;
  const { data, shape } = listed("sequences", sequences as Ids);
  const length = shape?.at(-1) ?? data.length;
  const rows = length === 0 ? 0 : data.length / length;
  return Array.from({ length: rows }, (_, row) => Array.from({ length }, (_, at) => data[row * length + at] as number | bigint));
}
