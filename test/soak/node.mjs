// The soak in a Node process of its own: `node --expose-gc node.mjs <milliseconds>`.
import process from "node:process";
import { load } from "sparse-xent";
import { growth, line, sample } from "./flat.js";
import { soak } from "./work.js";

const samples = [];
const counts = await soak(load, Number(process.argv[2]), async (soFar) => {
  globalThis.gc?.();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const now = sample(["self"]);
  samples.push(now);
  console.log(line(now, soFar));
});
const grown = growth(samples);
console.log(grown.length === 0 ? `flat over ${counts.calls} rounds` : grown.join("; "));
process.exitCode = grown.length === 0 ? 0 : 1;
