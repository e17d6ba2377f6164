// The textbook kernel that the benches compare with (bench/naive): one wasm file per build in target/naive, by the toolchain and with the optimiser of
// the package's own. Never part of the package.
import { mkdirSync } from "node:fs";
import process from "node:process";
import { forget, isFresh, keyOf, remember } from "../../ts/build/fresh.mjs";
import { builds, paths, root } from "../../ts/build/project.mjs";
import { run, step } from "../../ts/build/report.mjs";
import { toolchain as findToolchain } from "../../ts/build/toolchain.mjs";
import { codeFlags } from "../../ts/build/wasm.mjs";

const folder = `${paths.target}/naive`;

/** @param {string} build */
const naiveOf = (build) => `${folder}/naive.${build}.wasm`;

// The same memory as the package's, shared, so that neither has an advantage from it.
const linkArguments = ["--shared-memory", "--import-memory", `--max-memory=${2 ** 32}`, "--export=__heap_base"];
const rustflags = [...codeFlags, ...linkArguments.map((argument) => `-Clink-arg=${argument}`)];

/** @param {import("../../ts/build/toolchain.mjs").Toolchain} toolchain @param {(typeof builds)[number]} build */
async function compile(toolchain, { name, features }) {
  const target = "wasm32-unknown-unknown";
  const env = {
    ...toolchain.env,
    RUSTC_BOOTSTRAP: "1",
    CARGO_TARGET_DIR: folder,
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: toolchain.linker,
    CARGO_ENCODED_RUSTFLAGS: rustflags.join("\x1f"),
  };
  const manifest = `${root}/bench/naive/Cargo.toml`;
  const args = [
    "build", "--release", "--locked", `--manifest-path=${manifest}`, `--target=${target}`, "-Zbuild-std=core", "-Zprofile-rustflags",
    // Only this package is compiled with relaxed SIMD, so that the core library is built once for both.
    ...(features === "" ? [] : ["--config", `profile.release.package.naive.rustflags=["-Ctarget-feature=${features}"]`]),
  ];
  await run(toolchain.cargo, args, { env, name: `naive ${name}` });
  const optimise = [`${root}/node_modules/binaryen/bin/wasm-opt`, "-O2", `${folder}/${target}/release/naive.wasm`, "-o", naiveOf(name)];
  await run(process.execPath, optimise, { name: `wasm-opt naive ${name}` });
}

/** Builds target/naive/naive.{simd,relaxed}.wasm where their source changed. */
export async function buildNaive() {
  const key = keyOf(["bench/naive", "bench/build/naive.mjs", "ts/build/wasm.mjs"]);
  if (isFresh("naive", key, builds.map(({ name }) => naiveOf(name)))) return;
  forget("naive");
  mkdirSync(folder, { recursive: true });
  const toolchain = await findToolchain();
  for (const build of builds) await step(`naive ${build.name}`, () => compile(toolchain, build));
  remember("naive", key);
}
