// `npm run check`: what a change must pass before it is committed, beside the tests: formatting, lints, documentation and types without a warning.
// Runs every check and names those that failed.
import process from "node:process";
import { typedoc } from "../docs/build.mjs";
import { installPackages } from "./packages.mjs";
import { paths, root } from "./project.mjs";
import { attempt, say, secondsSince } from "./report.mjs";

/** @param {string} path */
const inModules = (path) => `${root}/node_modules/${path}`;

/** @type {readonly { name: string, program: string, args: readonly string[], env?: NodeJS.ProcessEnv }[]} */
const checks = [
  { name: "rustfmt", program: "cargo", args: ["fmt", "--check"] },
  { name: "rustfmt, benches", program: "cargo", args: ["fmt", "--check", `--manifest-path=${root}/bench/naive/Cargo.toml`] },
  { name: "clippy", program: "cargo", args: ["clippy", "--locked", "--all-targets", "--", "-D", "warnings"] },
  { name: "clippy, no threads", program: "cargo", args: ["clippy", "--locked", "--no-default-features", "--", "-D", "warnings"] },
  { name: "rustdoc", program: "cargo", args: ["doc", "--locked", "--no-deps"], env: { ...process.env, RUSTDOCFLAGS: "-D warnings" } },
  { name: "tsc", program: process.execPath, args: [inModules("typescript/bin/tsc"), "-p", root] },
  { name: "tsc, build scripts", program: process.execPath, args: [inModules("typescript/bin/tsc"), "-p", `${root}/ts/build`] },
  { name: "tsc, benches", program: process.execPath, args: [inModules("typescript/bin/tsc"), "-p", `${root}/bench`] },
  { name: "tsc, page", program: process.execPath, args: [inModules("typescript/bin/tsc"), "-p", `${root}/ts/page`] },
  { name: "publint", program: process.execPath, args: [inModules("publint/src/cli.js"), "run", root, "--strict"] },
  { name: "typedoc", program: process.execPath, args: [...typedoc, "--emit", "none"] },
  { name: "layers", program: process.execPath, args: [inModules("vitest/vitest.mjs"), "run", "--project=node", "--reporter=dot", "test/layers.test.ts"] },
];

/** @returns {Promise<number>} the exit code */
export async function check() {
  await installPackages();
  await installPackages(paths.docs);
  await installPackages(`${root}/ts/page`);
  const failures = [];
  for (const { name, program, args, env } of checks) {
    const start = performance.now();
    const { code, output } = await attempt(program, args, { name, ...(env && { env }) });
    say(`${name.padEnd(20)} ${secondsSince(start).padStart(8)}  ${code === 0 ? "ok" : "failed"}`);
    if (code !== 0) {
      failures.push(name);
      say(output.trimEnd());
    }
  }
  if (failures.length > 0) say(`failed: ${failures.join(", ")}`);
  return failures.length === 0 ? 0 : 1;
}
