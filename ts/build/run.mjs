#!/usr/bin/env node
// Entry of every npm verb: brings the npm dependencies up to date, then hands over to the verb's own file.
// It runs before anything is installed, so it is plain JavaScript (Node 20 cannot run TypeScript) and imports Node built-ins and its neighbours only.
import process from "node:process";
import { StepFailed, say } from "./report.mjs";

const verbs = /** @type {const} */ (["build", "start", "page", "test", "check", "bench", "bench:peers", "accuracy", "soak", "docs", "fuzz"]);
const usage = `usage: node ts/build/run.mjs ${verbs.join(" | ")} [arguments]`;

/** @param {readonly string[]} argv */
async function main([verb, ...rest]) {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 16)) {
    say(`sparse-xent needs Node 20.16 or newer; this is Node ${process.versions.node} (${process.execPath})`);
    return 1;
  }
  switch (verb) {
    case "build":
      await (await import("./set-up.mjs")).setUp();
      if (rest.includes("--record")) (await import("./sizes.mjs")).recordSizes();
      return rest.includes("--twice") ? (await import("./again.mjs")).buildAgain() : 0;
    case "start":
      return (await import("./start.mjs")).start(rest);
    case "page":
      return (await import("../page/build.mjs")).page(rest);
    case "test":
      return (await import("./test.mjs")).test(rest);
    case "bench":
      return (await import("../../bench/build/measure.mjs")).bench(rest);
    case "bench:peers":
      return (await import("../../bench/build/measure.mjs")).peers(rest);
    case "accuracy":
      return (await import("../../bench/build/measure.mjs")).accuracy(rest);
    case "soak":
      return (await import("./soak.mjs")).soak(rest);
    case "fuzz":
      return (await import("./fuzz.mjs")).fuzz(rest);
    case "check":
      return (await import("./check.mjs")).check();
    case "docs":
      return (await import("../docs/build.mjs")).docs();
    default:
      say(usage);
      return 2;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // A failed step has already shown what it printed; its message is written for a person and needs no stack.
  say(error instanceof StepFailed ? `\n${error.message}` : String(error instanceof Error ? error.stack : error));
  // Who counts tests learns from the last line that none could run.
  if (process.argv[2] === "test") process.stdout.write("0 passed, 1 failed\n");
  process.exitCode = 1;
}
