// `npm run docs`: the pages of the TypeScript API, with the recipes, and those of the crate.
import process from "node:process";
import { installPackages } from "../build/packages.mjs";
import { paths, root } from "../build/project.mjs";
import { run, say, step } from "../build/report.mjs";

/** What a process of Node is given to write the pages; a public name without documentation, or a link to nothing, fails. */
export const typedoc = [`${paths.docs}/node_modules/typedoc/bin/typedoc`, "--options", `${paths.docs}/typedoc.json`];

/** @returns {Promise<number>} the exit code */
export async function docs() {
  await installPackages();
  await installPackages(paths.docs);
  await step("typedoc", () => run(process.execPath, typedoc, { name: "typedoc", cwd: root }), () => "target/docs/index.html");
  await step("rustdoc", () => run("cargo", ["doc", "--locked", "--no-deps"], { name: "rustdoc", cwd: root }), () => "target/doc/sparse_xent/index.html");
  say("open them in a browser");
  return 0;
}
