// The Rust crate's own bench (bench/native.rs), compiled for this machine as a user's program would be: target/native/native, by the toolchain that the
// wasm files are built with, so that what is compared is the instructions and not the compilers. Never part of the package.
import { copyFileSync, mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { forget, isFresh, keyOf, remember } from "../../ts/build/fresh.mjs";
import { paths, root } from "../../ts/build/project.mjs";
import { StepFailed, run, step } from "../../ts/build/report.mjs";
import { toolchain as findToolchain } from "../../ts/build/toolchain.mjs";

const folder = `${paths.target}/native`;
const program = `${folder}/native`;

/** @param {import("../../ts/build/toolchain.mjs").Toolchain} toolchain */
async function compile(toolchain) {
  const env = { ...toolchain.env, CARGO_TARGET_DIR: folder };
  const output = await run(toolchain.cargo, ["bench", "--no-run", "--locked", "--bench", "native"], { env, name: "native bench" });
  // The file that cargo writes has a hash in its name.
  const built = /^ *Executable .*\((.+)\)$/m.exec(output)?.[1];
  if (built === undefined) throw new StepFailed("cargo built the native bench and named no program");
  copyFileSync(resolve(root, built), program);
}

/** Builds target/native/native where the crate changed. */
export async function buildNative() {
  const key = keyOf(["crate", "Cargo.toml", "Cargo.lock", "bench/native.rs", "bench/build/native.mjs"]);
  if (isFresh("native", key, [program])) return;
  forget("native");
  mkdirSync(folder, { recursive: true });
  const toolchain = await findToolchain();
  await step("native bench", () => compile(toolchain));
  remember("native", key);
}
