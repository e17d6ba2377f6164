// A model of one node, a loss operator of ONNX, for what ONNX Runtime itself makes of it. Field numbers are those of onnx.proto (ONNX, Apache-2.0),
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; only the messages and fields that one node needs are here.
import protobuf from "protobufjs";

const schema = `
  syntax = "proto3";
  message Attribute { string name = 1; int64 i = 3; bytes s = 4; int32 type = 20; }
  message Node { repeated string input = 1; repeated string output = 2; string op_type = 4; repeated Attribute attribute = 5; }
  message Dimension { int64 dim_value = 1; }
  message Shape { repeated Dimension dim = 1; }
  message TensorType { int32 elem_type = 1; Shape shape = 2; }
  message Type { TensorType tensor_type = 1; }
  message Value { string name = 1; Type type = 2; }
  message Graph { repeated Node node = 1; string name = 2; repeated Value input = 11; repeated Value output = 12; }
  message Operators { string domain = 1; int64 version = 2; }
  message Model { int64 ir_version = 1; Graph graph = 7; repeated Operators opset_import = 8; }`;

const Model = protobuf.parse(schema, { keepCase: true }).root.lookupType("Model");
const types = { float32: 1, int32: 6, int64: 7 };
const [integer, string] = [2, 3];
const [irVersion, operators] = [8, 13];

/** @param {string} name @param {keyof typeof types} type @param {readonly number[]} dims */
const value = (name, type, dims) => ({ name, type: { tensor_type: { elem_type: types[type], shape: { dim: dims.map((dim_value) => ({ dim_value })) } } } });

/**
 * Inputs `scores`, `labels` and, if weighted, `weights`; outputs `loss` and, if wanted, `log_prob`.
 * @param {"SoftmaxCrossEntropyLoss" | "NegativeLogLikelihoodLoss"} operator
 * @param {{ dims: readonly number[], labels: "int32" | "int64", reduction: string, ignoreIndex?: number, weighted: boolean, logProb: boolean }} about
 */
export function lossModel(operator, { dims, labels, reduction, ignoreIndex, weighted, logProb }) {
  const [outer = 0, classes = 0, ...inner] = dims;
  const rows = [outer, ...inner];
  const attribute = [{ name: "reduction", s: Buffer.from(reduction), type: string }, ...(ignoreIndex === undefined ? [] : [{ name: "ignore_index", i: ignoreIndex, type: integer }])];
  const graph = {
    name: "loss",
    node: [{ op_type: operator, input: ["scores", "labels", ...(weighted ? ["weights"] : [])], output: ["loss", ...(logProb ? ["log_prob"] : [])], attribute }],
    input: [value("scores", "float32", dims), value("labels", labels, rows), ...(weighted ? [value("weights", "float32", [classes])] : [])],
    output: [value("loss", "float32", reduction === "none" ? rows : []), ...(logProb ? [value("log_prob", "float32", dims)] : [])],
  };
  return Model.encode(Model.create({ ir_version: irVersion, graph, opset_import: [{ domain: "", version: operators }] })).finish();
}
