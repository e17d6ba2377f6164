// Part "classes": rows side by side of 2 to 262,144 classes, in cache and out of it, whole and ragged, in each build beside the baselines.
import { classShapes } from "../cases.mjs";
import { sweep } from "../sweep.mjs";

export const about = "2 to 262144 classes, in cache and out of it, in each build beside the baseline wasm kernels";

/** Shapes whose cost by classes is drawn, beside that of a JavaScript loop. @param {import("../cases.mjs").Shape} shape */
const isDrawn = ({ why }) => why === "out of cache";

/** @param {import("../contest.mjs").Context} context */
export async function run(context) {
  const results = await sweep(classShapes, context, { title: "rows", withLoop: isDrawn });
  const drawn = new Map(classShapes.filter(isDrawn).map(({ name, classes }) => [name, classes]));
  return results.map((each) => ({ ...each, ...(drawn.has(each.shape) && { classes: drawn.get(each.shape) }) }));
}
