// sparse-xent/lm by itself: what is scored, and against what the definition says in f64. With a model's own logits: lm-transformers.test.ts.
import { load, type Engine } from "sparse-xent";
import { characterOffsets, LogProbsRecorder, perplexity, tokenLogProbs, tokenLogProbsAsync, windows, type PerplexityBatch } from "sparse-xent/lm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorOf, rejectionOf } from "../support.ts";

let xent: Engine;
beforeAll(async () => {
  xent = await load();
});
afterAll(() => xent.dispose());

const noise = (count: number, seed = 7) => Float32Array.from({ length: count }, (_, index) => Math.sin(seed + index * 12.9898) * 6);

/** ln p of a class of a row, by the definition. */
function logProb(data: ArrayLike<number>, row: number, classes: number, token: number): number {
  const values = Array.from({ length: classes }, (_, at) => data[row * classes + at] as number);
  const most = Math.max(...values);
  return (values[token] as number) - most - Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

function expectNear(found: ArrayLike<number>, wanted: readonly number[]): void {
  expect(found.length).toBe(wanted.length);
  for (const [at, want] of wanted.entries()) {
    if (Number.isNaN(want)) expect(found[at], `at ${at}`).toBeNaN();
    else expect(Math.abs((found[at] as number) - want), `at ${at}: ${found[at]}, ${want}`).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(want)));
  }
}

const [batch, length, classes] = [2, 5, 11];
const data = noise(batch * length * classes);
const logits = { data, dims: [batch, length, classes], type: "float32" };
const tokens = [3, 0, 10, 7, 7, 1, 1, 9, 4, 5];
const ids = { data: BigInt64Array.from(tokens, BigInt), dims: [batch, length], type: "int64" };
/** What every token has with all scored. */
const exact = tokens.map((token, at) => (at % length === 0 ? Number.NaN : logProb(data, at - 1, classes, token)));
const except = (...unscored: number[]): number[] => exact.map((value, at) => (unscored.includes(at) ? Number.NaN : value));
const sumOf = (values: readonly number[]): number => values.filter((value) => !Number.isNaN(value)).reduce((sum, value) => sum + value, 0);

describe("tokenLogProbs", () => {
  test("scores each token but the first of each sequence by the row before it", () => {
    const { logProbs, sum, count, top } = tokenLogProbs(xent, logits, ids);
    expectNear(logProbs, exact);
    expectNear([sum], [sumOf(exact)]);
    expect([count, top]).toEqual([8, undefined]);
  });

  test("shift: false scores each token by its own row", () => {
    const own = tokens.map((token, at) => logProb(data, at, classes, token));
    expectNear(tokenLogProbs(xent, logits, tokens, { shift: false }).logProbs, own);
  });

  test.each([
    ["padding on the right", [1, 1, 1, 1, 1, 1, 1, 1, 0, 0], [8, 9]],
    // The token after the padding has nothing before it that would predict it.
    ["padding on the left", [1, 1, 1, 1, 1, 0, 0, 1, 1, 1], [6, 7]],
  ])("mask: %s", (_, mask, unscored) => {
    for (const flags of [mask, BigInt64Array.from(mask, BigInt), mask.map(Boolean), { data: Uint8Array.from(mask), dims: [batch, length] }]) {
      const { logProbs, count } = tokenLogProbs(xent, logits, ids, { mask: flags });
      expectNear(logProbs, except(...unscored));
      expect(count).toBe(6);
    }
  });

  test("promptLength: of all sequences, and of each", () => {
    expectNear(tokenLogProbs(xent, logits, ids, { promptLength: 3 }).logProbs, except(1, 2, 6, 7));
    expectNear(tokenLogProbs(xent, logits, ids, { promptLength: [0, 5] }).logProbs, except(6, 7, 8, 9));
  });

  test("a token -100 is not scored", () => {
    const holes = tokens.map((token, at) => (at === 2 || at === 6 ? -100 : token));
    expectNear(tokenLogProbs(xent, logits, holes).logProbs, except(2, 6));
  });

  test("nothing to score is a sum of 0", () => {
    const { sum, count, logProbs } = tokenLogProbs(xent, logits, ids, { promptLength: length });
    expect({ sum, count }).toEqual({ sum: 0, count: 0 });
    expectNear(logProbs, tokens.map(() => Number.NaN));
  });

  test("rows at a time do not change a bit, nor does the other thread", async () => {
    const whole = tokenLogProbs(xent, logits, ids, { rowsPerStep: 100, topK: 2, promptLength: 2 });
    for (const rowsPerStep of [1, 2, 3, 7, undefined]) {
      const parts = tokenLogProbs(xent, logits, ids, { rowsPerStep, topK: 2, promptLength: 2 });
      expect([parts.logProbs, parts.top, parts.count]).toEqual([whole.logProbs, whole.top, whole.count]);
      expect(await tokenLogProbsAsync(xent, logits, ids, { rowsPerStep, topK: 2, promptLength: 2 })).toEqual(parts);
    }
  });

  test("a tensor of the engine, and logits without a batch", () => {
    using own = xent.tensor("f32", [batch, length, classes]);
    own.view.set(data);
    expectNear(tokenLogProbs(xent, own, ids).logProbs, exact);
    const first = { data: data.subarray(0, length * classes), dims: [length, classes], type: "float32" };
    expectNear(tokenLogProbs(xent, first, tokens.slice(0, length)).logProbs, exact.slice(0, length));
  });

  test("f16 as bits in a Uint16Array, bf16 and f64", () => {
    // 1, -2, 0.5 and 3.
    const f16 = { data: Uint16Array.of(0x3c00, 0xc000, 0x3800, 0x4200), dims: [2, 2], type: "float16" };
    const bf16 = { data: Uint16Array.of(0x3f80, 0xc000, 0x3f00, 0x4040), dims: [2, 2], type: "bfloat16" };
    const f64 = { data: Float64Array.of(1, -2, 0.5, 3), dims: [2, 2] };
    for (const each of [f16, bf16, f64]) {
      const { logProbs, top } = tokenLogProbs(xent, each, [0, 1], { shift: false, topK: 2 });
      expectNear(logProbs, [-Math.log1p(Math.exp(-3)), -Math.log1p(Math.exp(-2.5))]);
      expect([...(top?.ids ?? [])]).toEqual([0, 1, 1, 0]);
      expectNear(top?.logProbs ?? [], [-Math.log1p(Math.exp(-3)), -3 - Math.log1p(Math.exp(-3)), -Math.log1p(Math.exp(-2.5)), -2.5 - Math.log1p(Math.exp(-2.5))]);
    }
  });

  test("topK: best first, of equals the smaller id, at the place of the token it was an alternative to", () => {
    const flatLogits = { data: Float32Array.of(1, 5, 5, 2, 5, 0, 0, 0, 0, 0), dims: [2, 5] };
    const { top } = tokenLogProbs(xent, flatLogits, [0, 4], { topK: 3 });
    expect([...(top?.ids ?? [])]).toEqual([-1, -1, -1, 1, 2, 4]);
    const five = logProb(flatLogits.data, 0, 5, 1);
    expectNear(top?.logProbs ?? [], [Number.NaN, Number.NaN, Number.NaN, five, five, five]);
    const all = tokenLogProbs(xent, logits, ids, { topK: classes }).top;
    for (let at = 1; at < length; at += 1) {
      const order = Array.from({ length: classes }, (_, token) => token).sort((a, b) => logProb(data, at - 1, classes, b) - logProb(data, at - 1, classes, a));
      expect([...(all?.ids.subarray(at * classes, (at + 1) * classes) ?? [])]).toEqual(order);
    }
  });

  test("leaves nothing in the engine", () => {
    const before = xent.info.usedBytes;
    tokenLogProbs(xent, logits, ids, { topK: 3, rowsPerStep: 2 });
    errorOf(() => tokenLogProbs(xent, logits, tokens.map(() => 11)));
    expect(xent.info.usedBytes).toBe(before);
  });

  test.each([
    ["LABEL_OUT_OF_RANGE", () => tokenLogProbs(xent, logits, tokens.with(3, 11)), "ids[3] got 11, expected 0..10, or -100 for a token that is not scored"],
    ["LABEL_NOT_INTEGER", () => tokenLogProbs(xent, logits, tokens.with(4, 1.5)), "ids[4] got 1.5, expected an integer"],
    ["LENGTH", () => tokenLogProbs(xent, logits, [1, 2]), "ids length got 2, expected [2,5] for logits of 2 x 5 tokens"],
    ["SHAPE", () => tokenLogProbs(xent, logits, { data: tokens, dims: [5, 2] }), "ids shape got [5,2], expected [2,5] for logits of 2 x 5 tokens"],
    ["LENGTH", () => tokenLogProbs(xent, { ...logits, dims: [2, 5, 12] }, ids), "logits length got 110, expected 120 (shape [10,12])"],
    ["SHAPE", () => tokenLogProbs(xent, { data, dims: [110] }, ids), "logits shape got [110], expected [batch, tokens, vocabulary] or [tokens, vocabulary]"],
    ["DTYPE", () => tokenLogProbs(xent, { data: "gpu" as never, dims: [2, 5, 11] }, ids), 'logits data got "gpu", expected a typed array; fetch what lies on a device before'],
    ["OPTION_RANGE", () => tokenLogProbs(xent, logits, ids, { topK: 12 }), "topK got 12, expected an integer in 0..11"],
    ["OPTION_RANGE", () => tokenLogProbs(xent, logits, ids, { rowsPerStep: 0 }), "rowsPerStep got 0, expected an integer of at least 1"],
    ["OPTION_RANGE", () => tokenLogProbs(xent, logits, ids, { promptLength: -1 }), "promptLength got -1, expected an integer of at least 0"],
    ["LENGTH", () => tokenLogProbs(xent, logits, ids, { promptLength: [1] }), "promptLength length got 1, expected 2 (sequences)"],
    ["OPTION_RANGE", () => tokenLogProbs(xent, logits, ids, { top: 3 } as never), 'options got "top", expected keys among shift, mask, promptLength, topK, rowsPerStep'],
  ])("%s", (code, run, message) => {
    const error = errorOf(run);
    expect([error.code, error.message]).toEqual([code, message]);
  });
});

describe("windows", () => {
  const cut = (...args: Parameters<typeof windows<number[]>>): number[][] => [...windows(...args)];
  const seven = [1, 2, 3, 4, 5, 6, 7];

  test("overlap by what the stride leaves, and end with the document", () => {
    expect(cut(seven, { length: 4, stride: 2 })).toEqual([[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7]]);
    expect(cut(seven, { length: 3 })).toEqual([[1, 2, 3], [4, 5, 6], [7]]);
    expect(cut(seven, { length: 7, stride: 1 })).toEqual([seven]);
    expect(cut([], { length: 4 })).toEqual([]);
    expect([...windows(BigInt64Array.of(1n, 2n, 3n), { length: 2 })]).toEqual([BigInt64Array.of(1n, 2n), BigInt64Array.of(3n)]);
  });

  test("OPTION_RANGE", () => {
    expect(errorOf(() => cut(seven, { length: 2, stride: 3 })).message).toBe("stride got 3, expected an integer in 1..2, the length of a window");
    expect(errorOf(() => cut(seven, { length: 0 })).message).toBe("length got 0, expected an integer of at least 1");
  });
});

describe("perplexity", () => {
  /** A model whose row depends on the last two tokens only: a window of two tokens and more knows as much as the whole document. */
  const rowOf = (before: number, last: number): Float32Array => noise(classes, before * 13 + last * 5);
  const run = (window: readonly number[]) => {
    const rows = window.map((token, at) => rowOf(window[at - 1] ?? -1, token));
    return { data: Float32Array.from(rows.flatMap((row) => [...row])), dims: [1, window.length, classes], type: "float32" };
  };
  const document = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9];
  const whole = document.map((token, at) => (at === 0 ? Number.NaN : logProb(rowOf(document[at - 2] ?? -1, document[at - 1] ?? -1), 0, classes, token)));

  function* batches(stride: number, size: number): Generator<PerplexityBatch<number>> {
    for (const window of windows(document, { length: size, stride })) yield { logits: run(window), ids: window };
  }

  test("of overlapping windows is that of the document, whatever the stride", async () => {
    for (const [size, stride] of [[13, 13], [6, 4], [6, 1], [5, 3], [3, 1], [4, 2]] as const) {
      const { perplexity: all, sum, count, documents } = await perplexity(xent, batches(stride, size), { stride });
      expectNear(documents[0]?.logProbs ?? [], whole);
      expectNear([sum, all], [sumOf(whole), Math.exp(-sumOf(whole) / 12)]);
      expect([count, documents.length]).toEqual([12, 1]);
    }
  });

  test("windows that do not overlap lose the first token of each", async () => {
    const { count, documents } = await perplexity(xent, batches(5, 5), { stride: 5 });
    expectNear(documents[0]?.logProbs ?? [], whole.map((value, at) => (at % 5 === 0 ? Number.NaN : value === undefined ? Number.NaN : at % 5 === 1 ? logProb(rowOf(-1, document[at - 1] ?? 0), 0, classes, document[at] ?? 0) : value)));
    expect(count).toBe(10);
  });

  test("is exact over tokens and not a mean over documents", async () => {
    const pieces = [document.slice(0, 3), document.slice(3, 12)];
    const names = ["short", "long"];
    const each = pieces.map((piece, at) => ({ logits: run(piece), ids: piece, documents: [names[at] ?? ""] }));
    const { perplexity: all, documents, count } = await perplexity(xent, each);
    const sums = documents.map(({ sum }) => sum);
    expect(documents.map(({ document: name, count: tokens }) => [name, tokens])).toEqual([["short", 2], ["long", 8]]);
    expectNear([all], [Math.exp(-((sums[0] ?? 0) + (sums[1] ?? 0)) / 10)]);
    expectNear(documents.map((found) => found.perplexity), [Math.exp(-(sums[0] ?? 0) / 2), Math.exp(-(sums[1] ?? 0) / 8)]);
    expect(count).toBe(10);
  });

  test("sequences of one batch are documents of their own, and padding belongs to none", async () => {
    const [a, b] = [document.slice(0, 6), document.slice(6, 10)];
    const alone = await perplexity(xent, [{ logits: run(a), ids: a }, { logits: run(b), ids: b }]);
    for (const side of ["left", "right"]) {
      const zeros = [0, 0];
      const padded = side === "left" ? [...zeros, ...b] : [...b, ...zeros];
      const filler = Array.from({ length: zeros.length * classes }, () => Number.NaN);
      const own = [...run(b).data];
      const joined = Float32Array.from([...run(a).data, ...(side === "left" ? [...filler, ...own] : [...own, ...filler])]);
      const mask = [...a.map(() => 1), ...padded.map((_, at) => (side === "left" ? Number(at >= 2) : Number(at < 4)))];
      const together = await perplexity(xent, [{ logits: { data: joined, dims: [2, 6, classes] }, ids: [...a, ...padded], mask }]);
      expect(together).toEqual(alone);
    }
  });

  test("promptLength counts from the start of the document, not of the window", async () => {
    const prompted = async function* () {
      for (const batchOf of batches(3, 6)) yield { ...batchOf, promptLength: 8 };
    };
    const { documents, count } = await perplexity(xent, prompted(), { stride: 3 });
    expectNear(documents[0]?.logProbs ?? [], whole.map((value, at) => (at < 8 ? Number.NaN : value)));
    expect(count).toBe(5);
  });

  test("a NaN among the logits makes the document's perplexity NaN and hides nowhere", async () => {
    const broken = run(document);
    broken.data[4 * classes] = Number.NaN;
    const { perplexity: all, count } = await perplexity(xent, [{ logits: broken, ids: document }]);
    expect([all, count]).toEqual([Number.NaN, 12]);
  });

  test("no tokens: NaN", async () => {
    expect(await perplexity(xent, [])).toEqual({ perplexity: Number.NaN, sum: 0, count: 0, documents: [] });
  });

  test("a stride that leaves a gap is an error", async () => {
    const error = await rejectionOf(perplexity(xent, batches(3, 5), { stride: 6 }));
    expect([error.code, error.message]).toEqual(["OPTION_RANGE", "stride got 6, expected at most 5, the length of the window before"]);
  });
});

describe("LogProbsRecorder", () => {
  const step = (seed: number) => ({ data: noise(2 * classes, seed), dims: [2, classes], type: "float32" });

  test("notes the token that is drawn from each step's logits, and gives them back unchanged", () => {
    const before = xent.info.usedBytes;
    const sequences = [[1, 2], [3, 4]];
    const drawn = [[5, 6], [7, 8], [9, 10]];
    const recorder = new LogProbsRecorder(xent, { topK: 1 });
    const seen = drawn.map(([a = 0, b = 0], at) => {
      const each = step(at);
      const kept = each.data.slice();
      expect(recorder(sequences, each)).toBe(each);
      // What comes after may change them in place.
      each.data.fill(0);
      sequences[0]?.push(a);
      sequences[1]?.push(b);
      return kept;
    });
    const { steps, logProbs, top, sum, count } = recorder.finish({ data: BigInt64Array.from(sequences.flat(), BigInt), dims: [2, 5] });
    const wanted = [0, 1].flatMap((row) => drawn.map((tokensOf, at) => logProb(seen[at] ?? [], row, classes, tokensOf[row] ?? 0)));
    expectNear(logProbs, wanted);
    expectNear([sum], [sumOf(wanted)]);
    expect([steps, count, top?.k]).toEqual([3, 6, 1]);
    const best = [0, 1].flatMap((row) => seen.map((values) => Array.from(values.subarray(row * classes, (row + 1) * classes)).reduce((most, value, at, all) => (value > (all[most] ?? 0) ? at : most), 0)));
    expect([...(top?.ids ?? [])]).toEqual(best);
    expect(xent.info.usedBytes).toBe(before);
  });

  test("can be used again, also after what was broken off", () => {
    const recorder = new LogProbsRecorder(xent);
    expect(recorder.finish([])).toEqual({ steps: 0, logProbs: new Float32Array(), sum: 0, count: 0 });
    recorder([[1]], { data: noise(classes, 1), dims: [1, classes] });
    recorder.dispose();
    recorder([[1, 2]], { data: noise(classes, 2), dims: [1, classes] });
    expectNear(recorder.finish([[1, 2, 3]]).logProbs, [logProb(noise(classes, 2), 0, classes, 3)]);
    expect(errorOf(() => recorder([[1]], step(1))).message).toBe("logits shape got [2,11], expected [1, vocabulary] for 1 sequences");
  });
});

describe("characterOffsets", () => {
  // Bytes as tokens: a character of several bytes is several tokens.
  const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];
  const decode = (ids: readonly (number | bigint)[]): string => new TextDecoder().decode(Uint8Array.from(ids, Number));

  test("tokens that are parts of one character share its place", () => {
    expect(characterOffsets("aé€😀", bytes("aé€😀"), decode)).toEqual([[0, 1], [1, 2], [1, 2], [2, 3], [2, 3], [2, 3], [3, 5], [3, 5], [3, 5], [3, 5]]);
  });

  test("a replacement character in the text is a character like others", () => {
    expect(characterOffsets("\ufffdx", bytes("\ufffdx"), decode)).toEqual([[0, 1], [0, 1], [0, 1], [1, 2]]);
  });

  test("ids of another text are an error that names the first", () => {
    const error = errorOf(() => characterOffsets("abc", bytes("abd"), decode));
    expect([error.code, error.index, error.message]).toEqual(["LENGTH", 2, 'ids[2] got "d", expected what follows in the text, "c"']);
  });
});
