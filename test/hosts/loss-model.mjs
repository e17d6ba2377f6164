// Models for ONNX Runtime, by the protobufjs of this folder.
import protobuf from "protobufjs";
import { encodedLoss, encodedProducts } from "../../bench/peers/serve/onnx-model.mjs";

/** @param {Parameters<typeof encodedLoss>[1]} operator @param {Parameters<typeof encodedLoss>[2]} about */
export const lossModel = (operator, about) => encodedLoss(protobuf, operator, about);

/** @param {number} rows @param {number} depth @param {number} classes */
export const productsModel = (rows, depth, classes) => encodedProducts(protobuf, rows, depth, classes);
