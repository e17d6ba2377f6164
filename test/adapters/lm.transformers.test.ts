// sparse-xent/lm on transformers.js: a model that tiny-gpt2.mjs makes, with f32 and with f16 logits, and GPT-2's own tokenizer.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { gunzipSync } from "node:zlib";
import { load, type Engine } from "sparse-xent";
import { characterOffsets, LogProbsRecorder, perplexity, tokenLogProbs, windows } from "sparse-xent/lm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { host, moduleOfHosts } from "../hosts.ts";

const { title, isHere } = host("@huggingface/transformers");
const text = gunzipSync(readFileSync(new URL("../../ts/page/data/novels.txt.gz", import.meta.url))).toString().slice(20_000, 20_900);

describe.skipIf(!isHere)(title, () => {
  const folder = mkdtempSync(`${tmpdir()}/sparse-xent-model-`);
  let xent: Engine;
  let library: Awaited<ReturnType<typeof moduleOfHosts>>;
  let tokenizer: typeof library;
  beforeAll(async () => {
    const { writeTinyGpt2 } = await moduleOfHosts("tiny-gpt2");
    writeTinyGpt2(folder);
    library = await moduleOfHosts("transformers");
    Object.assign(library.env, { allowRemoteModels: false, localModelPath: `${folder}/` });
    tokenizer = await library.AutoTokenizer.from_pretrained("tiny-gpt2");
    xent = await load();
  }, 60_000);
  afterAll(async () => {
    await xent?.dispose();
    rmSync(folder, { recursive: true });
  });

  const decode = (ids: readonly (number | bigint)[]): string => tokenizer.decode(ids, { skip_special_tokens: true, clean_up_tokenization_spaces: false });

  /** ln p as users write it, over f64 numbers. */
  const exact = (row: ArrayLike<number>, token: number): number => {
    let most = Number.NEGATIVE_INFINITY;
    for (let at = 0; at < row.length; at += 1) most = Math.max(most, row[at] as number);
    let sum = 0;
    for (let at = 0; at < row.length; at += 1) sum += Math.exp((row[at] as number) - most);
    return (row[token] as number) - most - Math.log(sum);
  };

  test("the core takes its tensors as they are", () => {
    const logits = new library.Tensor("float32", new Float32Array([1, 1, 1, 1, 1, 2, 3, 4]), [2, 4]);
    expect(xent.crossEntropy(logits, new library.Tensor("int64", [3n, 0n], [2])).loss).toBeCloseTo(2.413242, 6);
  });

  test("the tokenizer is GPT-2's", () => {
    expect([...tokenizer("Hello world").input_ids.data]).toEqual([15496n, 995n]);
  });

  describe.each([["fp32", "float32"], ["fp16", "float16"]])("%s", (dtype, type) => {
    let model: typeof library;
    beforeAll(async () => {
      model = await library.AutoModelForCausalLM.from_pretrained("tiny-gpt2", { dtype });
    }, 60_000);
    afterAll(() => model?.dispose());

    test("log-probabilities of a text, and a batch with padding", async () => {
      const inputs = tokenizer(["Call me Ishmael.", text.slice(0, 200)], { padding: true });
      const { logits } = await model(inputs);
      expect(logits.type).toBe(type);
      const { logProbs, sum, count } = tokenLogProbs(xent, logits, inputs.input_ids, { mask: inputs.attention_mask });
      const [batch, length, classes] = logits.dims;
      const numbers = logits.data instanceof Uint16Array ? halves(logits.data) : logits.data;
      let scored = 0;
      let total = 0;
      for (let at = 0; at < batch * length; at += 1) {
        if (at % length === 0 || inputs.attention_mask.data[at] === 0n || inputs.attention_mask.data[at - 1] === 0n) {
          expect(logProbs[at]).toBeNaN();
          continue;
        }
        const wanted = exact(numbers.subarray((at - 1) * classes, at * classes), Number(inputs.input_ids.data[at]));
        expect(Math.abs((logProbs[at] as number) - wanted)).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(wanted)));
        scored += 1;
        total += wanted;
      }
      expect(count).toBe(scored);
      expect(Math.abs(sum / total - 1)).toBeLessThan(1e-6);
    });

    test("perplexity of a document in sliding windows, with the place of each token in the text", async () => {
      const ids: bigint[] = [...tokenizer(text).input_ids.data];
      async function* batches() {
        for (const window of windows(ids, { length: 64, stride: 48 })) {
          const input_ids = new library.Tensor("int64", window, [1, window.length]);
          const { logits } = await model({ input_ids, attention_mask: new library.Tensor("int64", window.map(() => 1n), [1, window.length]) });
          yield { ids: input_ids, logits, documents: ["novel"] };
        }
      }
      const { perplexity: all, count, documents } = await perplexity(xent, batches(), { stride: 48 });
      expect(count).toBe(ids.length - 1);
      expect(Number.isFinite(all) && all > 1).toBe(true);
      const [novel] = documents;
      expect([novel?.document, novel?.logProbs.length]).toEqual(["novel", ids.length]);
      const offsets = characterOffsets(text, ids, decode);
      expect(offsets.map(([start, end]) => text.slice(start, end)).join("")).toBe(text);
      expect(offsets.length).toBe(ids.length);
    });
  });

  test("tokens that are parts of a character", () => {
    const odd = "naïve 😀 — “日本”";
    const offsets = characterOffsets(odd, [...tokenizer(odd).input_ids.data], decode);
    expect(offsets[0]?.[0]).toBe(0);
    expect(offsets.at(-1)?.[1]).toBe(odd.length);
    const places = [...new Map(offsets.map((span) => [span[0], span])).values()];
    expect(places.map(([start, end]) => odd.slice(start, end)).join("")).toBe(odd);
  });

  test("a recorder in generate notes the log-probability of each token as it is drawn", async () => {
    const model = await library.AutoModelForCausalLM.from_pretrained("tiny-gpt2", { dtype: "fp32" });
    const inputs = tokenizer("Call me Ishmael. Some years ago");
    const seen: Float32Array[] = [];
    const spy = (_: unknown, logits: { data: Float32Array }) => {
      seen.push(logits.data.slice());
      return logits;
    };
    using recorder = new LogProbsRecorder(xent, { topK: 3 });
    const sequences = await model.generate({ ...inputs, max_new_tokens: 6, do_sample: false, logits_processor: [recorder, spy] });
    const { steps, logProbs, top } = recorder.finish(sequences);
    const prompt = inputs.input_ids.dims[1];
    expect(steps).toBe(sequences.dims[1] - prompt);
    for (let step = 0; step < steps; step += 1) {
      const token = Number(sequences.data[prompt + step]);
      expect(Math.abs((logProbs[step] as number) - exact(seen[step] ?? [], token))).toBeLessThan(1e-5);
      // The likeliest token is drawn.
      expect(top?.ids[step * 3]).toBe(token);
    }
    await model.dispose();
  });
});

/** The numbers that f16 bits stand for. */
function halves(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (each) => {
    const exponent = (each >> 10) & 31;
    const value = exponent === 0 ? (each & 1023) * 2 ** -24 : exponent === 31 ? ((each & 1023) === 0 ? Number.POSITIVE_INFINITY : Number.NaN) : ((each & 1023) + 1024) * 2 ** (exponent - 25);
    return each < 32_768 ? value : -value;
  });
}
