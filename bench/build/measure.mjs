// `npm run bench`, `bench:peers` and `accuracy`: bring dist/ up to date and measure it, on the newest Node that the tests bring where there is one: the
// system's own may lack relaxed SIMD.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { buildNaive } from "./naive.mjs";
import { buildNative } from "./native.mjs";
import { installHosts, installNodes, installPackages } from "../../ts/build/packages.mjs";
import { installPeers, installPythonPeers } from "./peers.mjs";
import { paths, root } from "../../ts/build/project.mjs";
import { StepFailed } from "../../ts/build/report.mjs";
import { setUp } from "../../ts/build/set-up.mjs";

/**
 * The Node to measure on: of the major version that `--node` names, or the newest, of those in test/nodes and the one that runs this.
 * @param {string} [major]
 */
export function chosenNode(major) {
  const { optionalDependencies } = JSON.parse(readFileSync(`${paths.testNodes}/package.json`, "utf8"));
  const here = { major: process.versions.node.split(".")[0] ?? "", path: process.execPath };
  const others = Object.keys(optionalDependencies).map((name) => ({ major: name.replace("node-", ""), path: `${paths.testNodes}/node_modules/${name}/bin/node` }));
  const found = [here, ...others.filter(({ path }) => existsSync(path))].sort((a, b) => Number(b.major) - Number(a.major));
  const chosen = found.find((each) => major === undefined || each.major === major);
  if (chosen === undefined) throw new StepFailed(`--node ${major}: there are ${[...new Set(found.map((each) => each.major))].join(", ")}`);
  return chosen.path;
}

/** @param {string} script relative to the project @param {readonly string[]} args @returns {Promise<number>} its exit code */
async function measure(script, args) {
  await setUp();
  await installNodes(paths.testNodes);
  const asked = args.indexOf("--node");
  const child = spawn(chosenNode(asked < 0 ? undefined : args[asked + 1]), [`${root}/${script}`, ...args], { stdio: "inherit", cwd: root });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}

/** @param {readonly string[]} args */
export async function bench(args) {
  await installPackages();
  await buildNaive();
  // --native, or a list of parts with it; a record is of all parts.
  if (args.some((arg) => /\bnative\b|^--record$/.test(arg))) await buildNative();
  // What draws the README's picture is large and nobody else's business.
  if (args.some((arg) => arg === "--record" || arg === "--readme")) await installPackages(`${root}/bench/chart`);
  return measure("bench/main.mjs", args);
}

/** With `adapters` in front: the entries for other libraries beside those libraries; with `linear`, the last layer with its loss. @param {readonly string[]} args */
export async function peers(args) {
  if (args[0] === "adapters") {
    await installPackages();
    await installHosts(paths.testHosts);
    return measure("bench/adapters/main.mjs", args.slice(1));
  }
  if (args[0] === "linear") {
    await installPackages();
    await installHosts(paths.testHosts);
    await buildNaive();
    return measure("bench/last-layer/main.mjs", args.slice(1));
  }
  const measures = !args.some((argument) => ["-h", "--help", "--readme"].includes(argument));
  if (measures) await installPeers();
  if (measures && args.includes("--install")) await installPythonPeers();
  return measure("bench/peers/main.mjs", args.filter((argument) => argument !== "--install"));
}

/** @param {readonly string[]} args */
export const accuracy = (args) => measure("bench/accuracy.mjs", args);

/** `npm start -- train`. @param {readonly string[]} args */
export async function train(args) {
  await installPackages();
  await installHosts(paths.testHosts);
  if (args.includes("--record")) await installPackages(`${root}/bench/chart`);
  return measure("bench/adapters/train.mjs", args);
}
