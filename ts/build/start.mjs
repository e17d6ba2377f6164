// `npm start`: brings dist/ up to date and runs the command line; without arguments it shows the operation on the data that comes with the project. `npm start -- train`
// trains a small language model in TensorFlow.js.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import process from "node:process";
import { paths } from "./project.mjs";
import { setUp, setUpCommand } from "./set-up.mjs";

/** @param {readonly string[]} args @returns {Promise<number>} the command line's exit code */
export async function start(args) {
  if (args[0] === "train") return (await import("../../bench/build/measure.mjs")).train(args.slice(1));
  // `info` tells of both wasm files.
  await (args[0] === "info" ? setUp() : setUpCommand());
  const child = spawn(process.execPath, [`${paths.dist}/cli.js`, ...(args.length === 0 ? ["demo"] : args)], {
    stdio: "inherit",
    // File names are meant from where the user called npm, not from the project's folder.
    cwd: process.env["INIT_CWD"] ?? process.cwd(),
  });
  // Ctrl-C reaches the child by itself; this process only waits for what the child makes of it.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}
