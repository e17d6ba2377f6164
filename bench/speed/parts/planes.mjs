// Part "planes": classes strided, 2 to 150 of them and 2^16 to 2^27 logits, in each build beside the baselines.
import { planeShapes } from "../cases.mjs";
import { sweep } from "../sweep.mjs";

export const about = "planes of 2 to 150 classes and 2^16 to 2^27 logits, in each build beside the baseline wasm kernels";

/** @param {import("../contest.mjs").Context} context */
export const run = (context) => sweep(planeShapes, context, { title: "planes" });
