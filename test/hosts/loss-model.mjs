// Models of one loss operator, by the protobufjs of this folder.
import protobuf from "protobufjs";
import { encodedLoss } from "../../bench/peers/serve/onnx-model.mjs";

/** @param {Parameters<typeof encodedLoss>[1]} operator @param {Parameters<typeof encodedLoss>[2]} about */
export const lossModel = (operator, about) => encodedLoss(protobuf, operator, about);
