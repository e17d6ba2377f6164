// wasm-bindgen and wasm-pack, built by cargo into target/tools. wasm-bindgen must have exactly the version in Cargo.lock: wasm-pack would otherwise
// download one.
import { existsSync, readFileSync } from "node:fs";
import { paths, root } from "./project.mjs";
import { StepFailed, attempt, run, say, step } from "./report.mjs";

/** @typedef {import("./toolchain.mjs").Toolchain} Toolchain */

const wasmPackVersion = "0.15.1";

// They run for a second and are built once: unoptimised they are ready in half the time and make the same bytes.
const buildFast = {
  CARGO_PROFILE_RELEASE_OPT_LEVEL: "0",
  CARGO_PROFILE_RELEASE_LTO: "off",
  CARGO_PROFILE_RELEASE_DEBUG: "0",
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "16",
  CARGO_TARGET_DIR: `${paths.tools}/build`,
};

/** @returns {string} the version of wasm-bindgen in Cargo.lock */
function bindgenVersion() {
  const version = /name = "wasm-bindgen"\nversion = "([^"]+)"/.exec(readFileSync(`${root}/Cargo.lock`, "utf8"))?.[1];
  if (version === undefined) throw new StepFailed("Cargo.lock does not name wasm-bindgen");
  return version;
}

/** @param {string} program @param {string} version */
async function isInstalled(program, version) {
  const path = `${paths.tools}/bin/${program}`;
  if (!existsSync(path)) return false;
  const { code, output } = await attempt(path, ["--version"], { name: program });
  return code === 0 && output.trim().split(" ").at(-1) === version;
}

/** @param {Toolchain} toolchain @param {string} crate @param {string} version @param {readonly string[]} features */
async function cargoInstall(toolchain, crate, version, features) {
  const args = ["install", crate, "--version", version, "--root", paths.tools, "--force", ...features];
  const env = { ...toolchain.env, ...buildFast };
  const locked = await attempt(toolchain.cargo, [...args, "--locked"], { env, name: `cargo install ${crate}` });
  if (locked.code === 0) return;
  // Not every registry mirror serves each version that the crate's own lock file names.
  say(`${crate}: its locked dependencies cannot be had (target/log), trying current ones`);
  await run(toolchain.cargo, args, { env, name: `cargo install ${crate}` });
}

/** @param {Toolchain} toolchain */
export async function installTools(toolchain) {
  const bindgen = bindgenVersion();
  if (!(await isInstalled("wasm-bindgen", bindgen))) {
    await step("wasm-bindgen", () => cargoInstall(toolchain, "wasm-bindgen-cli", bindgen, ["--no-default-features"]), () => bindgen);
  }
  if (!(await isInstalled("wasm-pack", wasmPackVersion))) {
    await step("wasm-pack", () => cargoInstall(toolchain, "wasm-pack", wasmPackVersion, []), () => wasmPackVersion);
  }
}
