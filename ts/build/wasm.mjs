// The two wasm files, from the crate to dist/: cargo through wasm-pack, then wasm-opt. Both come out of one target directory: only our crate is compiled
// with relaxed SIMD, so the standard library is built once for the two.
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";
import { arrange } from "./arrange.mjs";
import { forget, isFresh, keyOf, remember } from "./fresh.mjs";
import { rustNotices, writeRustNotices } from "./notices.mjs";
import { builds, packageOf, paths, root, wasmOf } from "./project.mjs";
import { StepFailed, cargoProgress, run, step } from "./report.mjs";
import { toolchain as findToolchain } from "./toolchain.mjs";
import { installTools, programs } from "./tools.mjs";

/** @typedef {import("./toolchain.mjs").Toolchain} Toolchain */
/** @typedef {(typeof builds)[number]} Build */

const maximumBytes = 2 ** 32;
const stackBytes = 2 ** 20;

/** How code is made, of this crate and of what it is measured beside. */
export const codeFlags = [
  "-Ctarget-feature=+atomics,+simd128",
  // Instructions in the order of the source: otherwise LLVM puts loads first, and V8 has no registers for what they load.
  "-Cllvm-args=-pre-RA-sched=source",
];

const rustflags = [
  ...codeFlags,
  // A panic is a trap either way. Without its text and its places the files are a third smaller and name no path of the machine that built them.
  "-Zunstable-options",
  "-Cpanic=immediate-abort",
  "-Zlocation-detail=none",
  // Kernels say themselves what is inlined and how many vectors a turn of a loop takes; LLVM's guesses for all other code take 11 kB and no time.
  "-Cno-vectorize-loops",
  ...["-inline-threshold=40", "-inlinehint-threshold=200", "-unroll-runtime=false"].map((argument) => `-Cllvm-args=${argument}`),
  ...[
    "--shared-memory",
    "--import-memory",
    `--max-memory=${maximumBytes}`,
    "--export=__heap_base",
    "--export=__wasm_init_tls",
    "--export=__tls_size",
    "--export=__tls_align",
    "--export=__tls_base",
    `-zstack-size=${stackBytes}`,
  ].map((argument) => `-Clink-arg=${argument}`),
];

/** @param {Toolchain} toolchain @returns {NodeJS.ProcessEnv} */
const environment = (toolchain) => ({
  ...toolchain.env,
  ...cargoProgress,
  PATH: `${programs}:${toolchain.env["PATH"]}`,
  // Where wasm-pack looks for what it did not find on PATH.
  WASM_PACK_CACHE: paths.tools,
  // build-std and the flags above are unstable; a released rustc takes them with this.
  RUSTC_BOOTSTRAP: "1",
  CARGO_TARGET_DIR: paths.cargoWasm,
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: toolchain.linker,
  // Before RUSTFLAGS and every configuration file in cargo's order, so that the user's own flags for native code do not get in.
  CARGO_ENCODED_RUSTFLAGS: rustflags.join("\x1f"),
});

/** Packages that are in no loop over logits: they are compiled for size. Not for std, which is larger then. */
const compiledSmall = ["rayon", "rayon-core", "crossbeam-deque", "crossbeam-epoch", "crossbeam-utils", "crossbeam-channel", "wasm-bindgen", "wasm-bindgen-rayon", "js-sys"];

/** @param {string} target features of the instruction set @param {string} crate features of the crate */
const cargoArguments = (target, crate) => [
  "--locked",
  "--no-default-features",
  `--features=${crate}`,
  "-Zbuild-std=std,panic_abort",
  // No backtraces, which a panic without text does not have: the same bytes without the crates that read debug information.
  "-Zbuild-std-features=",
  "-Zprofile-rustflags",
  ...compiledSmall.flatMap((name) => ["--config", `profile.release.package.${name}.opt-level="s"`]),
  ...(target === "" ? [] : ["--config", `profile.release.package.sparse-xent.rustflags=["-Ctarget-feature=${target}"]`]),
];

/**
 * What wasm-pack will ask cargo for, asked before wasm-pack is there: on two cores the standard library is ready when the tools are.
 * @param {Toolchain} toolchain @param {Build} build
 */
async function compileAhead(toolchain, build) {
  const args = ["build", "--lib", "--release", "--target=wasm32-unknown-unknown", ...cargoArguments(build.features, "js")];
  await run(toolchain.cargo, args, { env: environment(toolchain), name: "crate and standard library" });
}

/** @param {Toolchain} toolchain @param {{ name: string, features: string }} build @param {string} crate features of the crate */
async function compile(toolchain, build, crate = "js") {
  const folder = packageOf(build.name);
  rmSync(folder, { recursive: true, force: true });
  const wasmPack = ["build", "--release", "--target=web", "--mode=force", "--no-opt", "--no-pack", `--out-dir=${folder}`, "--out-name=sparse_xent", root];
  await run("wasm-pack", [...wasmPack, "--", ...cargoArguments(build.features, crate)], { env: environment(toolchain), name: `wasm ${build.name}` });
}

/**
 * Functions that no thread reaches, by their names. The first that asks rayon for a thread starts a pool of std's threads, unless there is a pool; wasm has no threads of
 * std's, and here the pool is there before a call wants it. `js-sys` lists closures for the bindings, which have been made when this is asked.
 */
const unreached = [/\bDefaultSpawn\b|\bcall_once\b.*\bdefault_global_registry\b/, /^wasm_bindgen::convert::closures::.*::invoke\b/];

/** Makes traps of them, so that wasm-opt drops what they alone call: 3.8 kB gzipped. @param {string} path of a wasm file with names */
async function trapUnreached(path) {
  const { default: binaryen } = await import("binaryen");
  binaryen.setDebugInfo(true);
  const module = binaryen.readBinary(readFileSync(path));
  const functions = Array.from({ length: module.getNumFunctions() }, (_, index) => binaryen.getFunctionInfo(module.getFunctionByIndex(index)));
  for (const pattern of unreached) {
    // A name of a crate has a number behind it.
    const found = functions.filter(({ name }) => pattern.test(name.replaceAll(/\[[\da-f]+\]/g, "")));
    if (found.length === 0) throw new StepFailed(`no function of ${path} is named like ${pattern}; see "unreached" in ts/build/wasm.mjs`);
    for (const { name, params, results } of found) {
      module.removeFunction(name);
      module.addFunction(name, params, results, [], module.unreachable());
    }
  }
  writeFileSync(path, module.emitBinary());
  module.dispose();
}

/**
 * Not -O3: what it makes hangs in Node 20 while loading. Without `local-cse`, which keeps in a variable what costs less bytes to say again. A function that is called from one
 * place stays one unless it is small: in one that holds many loops, V8 keeps fewer numbers in registers, and a file is 4 % larger. Nothing lies in the first bytes of memory,
 * the far end of the stack, so offsets may stand in loads and stores.
 * @param {Build} build
 */
async function optimise(build) {
  const size = ["-Oz", "--one-caller-inline-max-function-size=50", "--skip-pass=local-cse", "--low-memory-unused"];
  const made = `${packageOf(build.name)}/sparse_xent_bg.wasm`;
  const named = `${packageOf(build.name)}/named.wasm`;
  await trapUnreached(made);
  const args = [...size, "-g", made, "-o", named];
  await run(process.execPath, [`${root}/node_modules/binaryen/bin/wasm-opt`, ...args], { name: `wasm-opt ${build.name}` });
  writeFileSync(wasmOf(build.name), await arrange(readFileSync(named)));
  rmSync(named);
}

/** One glue serves all files; that holds only while they come out the same. @param {readonly string[]} names */
function compareGlue(names) {
  const [first, ...others] = names.map((name) => readFileSync(`${packageOf(name)}/sparse_xent.js`, "utf8"));
  if (others.some((other) => other !== first)) throw new StepFailed("the generated JavaScript of the wasm builds differs; one glue cannot serve them all");
}

/** @returns {string} the key of everything the wasm files are made from */
export const wasmKey = () =>
  keyOf(["crate", "Cargo.toml", "Cargo.lock", "ts/build/wasm.mjs", "ts/build/arrange.mjs", "ts/build/tools", "ts/build/project.mjs", "ts/build/notices.mjs"], binaryenVersion());

const binaryenVersion = () => JSON.parse(readFileSync(`${root}/package.json`, "utf8")).devDependencies.binaryen;

/** @param {string} name of a build */
const stampOf = (name) => `wasm-${name}`;

/** @param {Build} build @param {string} key */
const buildIsFresh = ({ name }, key) => isFresh(stampOf(name), key, [wasmOf(name), `${packageOf(name)}/sparse_xent.js`, rustNotices]);

/** @param {readonly Build[]} wanted @param {string} [key] of what they are made from */
export const stale = (wanted, key = wasmKey()) => wanted.filter((build) => !buildIsFresh(build, key));

/** @param {readonly Build[]} wanted @returns {Promise<string>} the key of the wasm files that are there afterwards */
export async function buildWasm(wanted) {
  const key = wasmKey();
  const missing = stale(wanted, key);
  const [first] = missing;
  if (first === undefined) return key;
  for (const { name } of missing) forget(stampOf(name));
  const toolchain = await findToolchain();
  mkdirSync(paths.dist, { recursive: true });
  await Promise.all([installTools(toolchain), step("wasm crate", () => compileAhead(toolchain, first), () => "with the standard library")]);
  await writeRustNotices(toolchain, environment(toolchain));
  for (const build of missing) {
    await step(`wasm ${build.name}`, () => compile(toolchain, build));
    await step(`wasm-opt ${build.name}`, () => optimise(build), () => `${statSync(wasmOf(build.name)).size} bytes`);
  }
  if (wanted.length > 1) compareGlue(wanted.map(({ name }) => name));
  for (const { name } of missing) remember(stampOf(name), key);
  return key;
}

/** Builds the wasm that the tests of refused memory load: as `simd`, but its allocator fails on demand. */
export async function buildFaultsWasm() {
  const key = wasmKey();
  if (isFresh("wasm-faults", key, [paths.faultsWasm])) return;
  forget("wasm-faults");
  const toolchain = await findToolchain();
  await installTools(toolchain);
  const name = "faults";
  await step("wasm faults", () => compile(toolchain, { name, features: "" }, "faults"));
  compareGlue([builds[0].name, name]);
  remember("wasm-faults", key);
}
