// wasm-pack and wasm-bindgen, from their libraries: the small crate in tools/, which cargo builds into target/tools. wasm-bindgen has exactly the version
// in Cargo.lock; wasm-pack refuses any other.
import { forget, isFresh, keyOf, remember } from "./fresh.mjs";
import { paths, root } from "./project.mjs";
import { cargoProgress, run, step } from "./report.mjs";

/** @typedef {import("./toolchain.mjs").Toolchain} Toolchain */

const source = "ts/build/tools";

/** The folder of both programs. */
export const programs = `${paths.tools}/debug`;

const key = () => keyOf([source, "ts/build/tools.mjs"]);

export const toolsAreFresh = () => isFresh("tools", key(), ["wasm-pack", "wasm-bindgen"].map((name) => `${programs}/${name}`));

/** @param {Toolchain} toolchain */
export async function installTools(toolchain) {
  if (toolsAreFresh()) return;
  forget("tools");
  const args = ["build", "--locked", `--manifest-path=${root}/${source}/Cargo.toml`];
  // Flags of the user's own are for native code that runs long.
  const env = { ...toolchain.env, ...cargoProgress, CARGO_TARGET_DIR: paths.tools, CARGO_ENCODED_RUSTFLAGS: "" };
  await step("wasm tools", () => run(toolchain.cargo, args, { env, name: "wasm-pack and wasm-bindgen" }), () => "wasm-pack, wasm-bindgen");
  remember("tools", key());
}
