// `npm run bench`: brings dist/ up to date and runs the benches, on the newest Node that the tests bring where there is one: the system's own may
// lack relaxed SIMD.
import { existsSync } from "node:fs";
import process from "node:process";
import { buildNaive } from "./naive.mjs";
import { installNodes } from "./packages.mjs";
import { paths, root } from "./project.mjs";
import { attempt } from "./report.mjs";
import { setUp } from "./set-up.mjs";

const benchNode = `${paths.testNodes}/node_modules/node-24/bin/node`;

/** @param {readonly string[]} args @returns {Promise<number>} the benches' exit code */
export async function bench(args) {
  await setUp();
  await buildNaive();
  await installNodes(paths.testNodes);
  const node = existsSync(benchNode) ? benchNode : process.execPath;
  const { code } = await attempt(node, [`${root}/bench/main.mjs`, ...args], { show: true, name: "bench" });
  return code;
}
