// The worker of "Token surprise": tokenizer, model and engine. It may wait, so calls are synchronous and use all threads. May import model and data.
import { expose } from "comlink";
import { load, type Engine, type Tensor } from "sparse-xent";
import { generator } from "../../../bench/speed/cases.mjs";
import { novels } from "../data.ts";
import { Model, type Weights } from "./model.ts";

/** The vocabularies by the names their makers gave them; each is loaded when it is asked for. */
const vocabularies = {
  r50k_base: async () => ({ ...(await import("gpt-tokenizer/encoding/r50k_base")), ranks: (await import("gpt-tokenizer/bpeRanks/r50k_base")).default }),
  cl100k_base: async () => ({ ...(await import("gpt-tokenizer/encoding/cl100k_base")), ranks: (await import("gpt-tokenizer/bpeRanks/cl100k_base")).default }),
  o200k_base: async () => ({ ...(await import("gpt-tokenizer/encoding/o200k_base")), ranks: (await import("gpt-tokenizer/bpeRanks/o200k_base")).default }),
};

export type Vocabulary = keyof typeof vocabularies;

/** Rows of logits that are in memory at a time: of the largest vocabulary they take 26 MB. */
const rows = 32;
const fitSteps = 60;
const fitRate = 0.05;

/** What a model is made of and how good it is. */
export interface Opened {
  readonly vocabulary: number;
  readonly tokens: number;
  readonly sizes: readonly number[];
  readonly weights: Weights;
  /** Perplexity of passages that were neither counted nor fitted to: of the shares of single tokens, and of the fitted model. */
  readonly before: number;
  readonly after: number;
  readonly threads: number;
}

export interface ScoredToken {
  readonly text: string;
  readonly id: number;
  /** In nats. */
  readonly loss: number;
  /** What the model thought likeliest, and its probability. */
  readonly expected: string;
  readonly expectedProbability: number;
}

export interface Scored {
  readonly tokens: readonly ScoredToken[];
  readonly meanLoss: number;
  /** Logits that were computed. */
  readonly logits: number;
  /** Milliseconds in the package's calls, and in all. */
  readonly callMs: number;
  readonly ms: number;
}

interface State {
  readonly encode: (text: string) => number[];
  readonly textOf: (tokens: Iterable<number>) => string[];
  readonly model: Model;
  readonly logits: Tensor<"f32">;
  readonly labels: Tensor<"i32">;
  readonly weights: Weights;
}

/** A token and where it stands. */
interface Position {
  readonly tokens: readonly number[];
  readonly at: number;
}

const engine: Promise<Engine> = load();
let state: State | undefined;

/** Makes the model over a vocabulary; `told` hears how far it is. */
async function open(name: Vocabulary, told: (progress: string) => void): Promise<Opened> {
  state?.logits.dispose();
  state?.labels.dispose();
  state = undefined;
  told("Loading the tokenizer and the texts…");
  const [xent, { encode: encodeAll, vocabularySize, ranks }, lines] = await Promise.all([engine, vocabularies[name](), novels()]);
  // What looks like a special token is text here.
  const encode = (text: string): number[] => encodeAll(text, { disallowedSpecial: new Set() });
  told("Counting tokens…");
  const texts = lines.map((line) => encode(`${line}\n`));
  // Of 16 paragraphs one is for the weights and one to judge them by; the others are counted.
  const every = (remainder: number): number[][] => texts.filter((_, i) => i % 16 === remainder);
  const counted = texts.filter((_, i) => i % 16 !== 7 && i % 16 !== 15);
  const model = new Model(vocabularySize, counted);
  const logits = xent.tensor("f32", [rows, vocabularySize]);
  const labels = xent.tensor("i32", [rows]);
  const positions = (of: number[][]): Position[] => of.flatMap((tokens) => tokens.map((_, at) => ({ tokens, at })));

  /** Writes the logits of these positions, of which there are `rows`, and what came there. */
  const place = (some: readonly Position[], weights: Weights): ReturnType<Model["terms"]>[] => {
    const terms = some.map(({ tokens, at }) => model.terms(tokens, at));
    model.logits(terms, weights, logits.view);
    labels.view.set(some.map(({ tokens, at }) => tokens[at] ?? 0));
    return terms;
  };
  const judged = positions(every(15));
  const perplexity = (weights: Weights): number => {
    const blocks = 16;
    const stride = Math.floor(judged.length / (blocks * rows));
    let sum = 0;
    for (let block = 0; block < blocks; block += 1) {
      place(Array.from({ length: rows }, (_, row) => judged[(block * rows + row) * stride] as Position), weights);
      sum += xent.crossEntropy(logits, labels).loss;
    }
    return Math.exp(sum / blocks);
  };

  const fitted = positions(every(7));
  const random = generator(13);
  const descent = new Descent([1, 0, 0, 0]);
  const before = perplexity(descent.weights);
  for (let step = 1; step <= fitSteps; step += 1) {
    const terms = place(Array.from({ length: rows }, () => fitted[Math.floor(random() * fitted.length)] as Position), descent.weights);
    const { loss } = xent.crossEntropy(logits, labels, { grad: logits });
    descent.follow(model.weightsGrad(terms, logits.view), fitRate * (1 - step / (fitSteps + 1)));
    if (step % 5 === 0) told(`Fitting four weights: step ${step} of ${fitSteps}, loss ${loss.toFixed(2)}`);
  }
  const { weights } = descent;
  const textOf = pieces(ranks as readonly (string | readonly number[])[]);
  state = { encode, textOf, model, logits, labels, weights };
  const tokens = counted.reduce((sum, { length }) => sum + length, 0);
  return { vocabulary: vocabularySize, tokens, sizes: model.sizes, weights, before, after: perplexity(weights), threads: xent.info.threads };
}

/** Loss of each token of a text under the model that was opened last. */
async function score(text: string): Promise<Scored> {
  const xent = await engine;
  if (state === undefined) throw new Error("no model is open");
  const { encode, textOf, model, logits, labels, weights } = state;
  const start = performance.now();
  const tokens = encode(text);
  const losses: number[] = [];
  const expected: number[] = [];
  const probabilities: number[] = [];
  let callMs = 0;
  for (let first = 0; first < tokens.length; first += rows) {
    const block = tokens.slice(first, first + rows);
    model.logits(block.map((_, row) => model.terms(tokens, first + row)), weights, logits.view);
    // The last block is filled up with rows that are skipped.
    labels.view.fill(-1).set(block);
    const called = performance.now();
    const found = xent.crossEntropy(logits, labels, { reduction: "none", ignoreIndex: -1, outputs: ["predictions", "logSumExp"] });
    callMs += performance.now() - called;
    const [values, likeliest, sums, x] = [found.loss.view, found.predictions.view, found.logSumExp.view, logits.view];
    for (const row of block.keys()) {
      const best = likeliest[row] as number;
      losses.push(values[row] as number);
      expected.push(best);
      probabilities.push(Math.exp((x[row * model.vocabulary + best] as number) - (sums[row] as number)));
    }
    for (const tensor of [found.loss, found.predictions, found.logSumExp]) tensor.dispose();
  }
  const texts = textOf(tokens);
  return {
    tokens: tokens.map((id, i) => ({
      text: texts[i] ?? "",
      id,
      loss: losses[i] ?? Number.NaN,
      expected: textOf([expected[i] ?? 0])[0] ?? "",
      expectedProbability: probabilities[i] ?? Number.NaN,
    })),
    meanLoss: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
    logits: tokens.length * model.vocabulary,
    callMs,
    ms: performance.now() - start,
  };
}

/** Gradient descent with the step of each weight scaled by the size of its own gradient (Adam: Kingma and Ba, 2015). */
class Descent {
  weights: Weights;
  readonly #mean = [0, 0, 0, 0];
  readonly #square = [0, 0, 0, 0];
  #steps = 0;

  constructor(weights: Weights) {
    this.weights = weights;
  }

  follow(grad: readonly number[], rate: number): void {
    const [meanDecay, squareDecay] = [0.9, 0.98];
    this.#steps += 1;
    this.weights = this.weights.map((weight, i) => {
      const g = grad[i] ?? 0;
      const mean = (this.#mean[i] = meanDecay * (this.#mean[i] ?? 0) + (1 - meanDecay) * g);
      const square = (this.#square[i] = squareDecay * (this.#square[i] ?? 0) + (1 - squareDecay) * g * g);
      return weight - (rate * (mean / (1 - meanDecay ** this.#steps))) / (Math.sqrt(square / (1 - squareDecay ** this.#steps)) + 1e-8);
    }) as unknown as Weights;
  }
}

/** Texts of single tokens. One may hold part of a character: it then has no text, and the one that completes the character has it. */
function pieces(ranks: readonly (string | readonly number[])[]): (tokens: Iterable<number>) => string[] {
  return (tokens) => {
    const decoder = new TextDecoder();
    const encoder = new TextEncoder();
    return Array.from(tokens, (token) => {
      const piece = ranks[token] ?? "";
      return decoder.decode(typeof piece === "string" ? encoder.encode(piece) : Uint8Array.from(piece), { stream: true });
    });
  };
}

export type SurpriseWorker = { readonly open: typeof open; readonly score: typeof score };
expose({ open, score } satisfies SurpriseWorker);
