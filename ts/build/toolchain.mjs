// Finds the Rust toolchain that can build the wasm files: rustc with the sources of its standard library (the wasm needs it rebuilt with atomics), its
// cargo, and a wasm linker. Installs one when there is none, and never changes which toolchain is the user's default.
import { existsSync, readdirSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { StepFailed, attempt, step } from "./report.mjs";

/**
 * @typedef {object} Toolchain
 * @property {string} cargo absolute path, or a rustup proxy
 * @property {string} rustc
 * @property {string} linker a name on PATH or an absolute path
 * @property {NodeJS.ProcessEnv} env what selects it
 * @property {string} about one line for the reader
 */

// The oldest rustc with `-Cpanic=immediate-abort`, and the one to install through rustup: the version the packages below carry.
const oldestMinor = 92;
const rustupVersion = "1.96.0";
const debianRust = ["rustc-web", "cargo-web", "rust-web-src"];
const debianLinkers = ["lld-22", "lld-21", "lld-20"];

/** @param {string} program @param {readonly string[]} args @param {NodeJS.ProcessEnv} [env] */
async function ask(program, args, env) {
  const { code, output } = await attempt(program, args, { name: `look for a toolchain`, ...(env && { env }) });
  return code === 0 ? output.trim() : undefined;
}

/** @param {string} name @returns {string[]} every executable of that name on PATH, then in the system's own folders */
function onPath(name) {
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/bin", "/usr/local/bin"];
  return [...new Set(folders.filter((folder) => folder !== "").map((folder) => `${folder}/${name}`))].filter((path) => existsSync(path));
}

/** @returns {string | undefined} wasm-ld, or the newest wasm-ld-NN */
function wasmLinker() {
  const plain = onPath("wasm-ld")[0];
  if (plain !== undefined) return plain;
  /** @param {string} path */
  const version = (path) => Number(/wasm-ld-(\d+)$/.exec(path)?.[1] ?? 0);
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/bin"].filter((folder) => folder !== "" && existsSync(folder));
  const numbered = folders.flatMap((folder) => readdirSync(folder).map((entry) => `${folder}/${entry}`)).filter((path) => version(path) > 0);
  return numbered.sort((a, b) => version(b) - version(a))[0];
}

/**
 * What one rustc can do, and what it lacks.
 * @param {string} rustc @param {string} cargo @param {NodeJS.ProcessEnv} env @param {string} name
 * @returns {Promise<Toolchain | string>} the toolchain, or what is missing
 */
async function examine(rustc, cargo, env, name) {
  const about = await ask(rustc, ["-vV"], env);
  if (about === undefined) return `${name}: ${rustc} does not run`;
  const release = /^release: (\S+)/m.exec(about)?.[1] ?? "";
  const host = /^host: (\S+)/m.exec(about)?.[1] ?? "";
  if (Number(release.split(".")[1]) < oldestMinor) return `${name}: rustc ${release} is older than 1.${oldestMinor}`;
  const sysroot = (await ask(rustc, ["--print", "sysroot"], env)) ?? "";
  if (!existsSync(`${sysroot}/lib/rustlib/src/rust/library/std/src/lib.rs`)) return `${name}: rustc ${release} without rust-src`;
  if ((await ask(cargo, ["-V"], env)) === undefined) return `${name}: no cargo`;
  const ownLinker = `${sysroot}/lib/rustlib/${host}/bin/rust-lld`;
  const linker = existsSync(ownLinker) ? ownLinker : wasmLinker();
  if (linker === undefined) return `${name}: rustc ${release} with rust-src, but no wasm linker`;
  return { rustc, cargo, linker, env, about: `rustc ${release} (${name}), ${linker.split("/").at(-1)}` };
}

/** @param {string} path */
const isRustupProxy = (path) => existsSync(`${dirname(path)}/rustup`);

/**
 * Looks at every toolchain there is, without the network.
 * @returns {Promise<{ found?: Toolchain, missing: string[] }>}
 */
async function search() {
  const missing = [];
  const base = { ...process.env, RUSTUP_AUTO_INSTALL: "0" };
  const rustup = onPath("rustup")[0];
  if (rustup !== undefined) {
    const list = (await ask(rustup, ["toolchain", "list"], base)) ?? "";
    const names = list.split("\n").map((line) => line.split(" ")[0] ?? "").filter((name) => /\d|nightly|stable|beta/.test(name));
    // The default comes first only among equals: a toolchain that says nightly was installed for work like this.
    names.sort((a, b) => Number(b.startsWith("nightly")) - Number(a.startsWith("nightly")));
    for (const name of names) {
      const env = { ...base, RUSTUP_TOOLCHAIN: name };
      const answer = await examine(`${dirname(rustup)}/rustc`, `${dirname(rustup)}/cargo`, env, name);
      if (typeof answer !== "string") return { found: answer, missing };
      missing.push(answer);
    }
  }
  for (const rustc of onPath("rustc").filter((path) => !isRustupProxy(path))) {
    const folder = dirname(rustc);
    // First on PATH, so that a rustup proxy does not shadow this cargo's rustc.
    const env = { ...base, PATH: `${folder}:${process.env["PATH"]}`, RUSTUP_TOOLCHAIN: undefined };
    const answer = await examine(rustc, `${folder}/cargo`, env, folder);
    if (typeof answer !== "string") return { found: answer, missing };
    missing.push(answer);
  }
  return { missing };
}

const isRoot = process.getuid?.() === 0;
const debian = existsSync("/usr/bin/apt-get");

/** @param {string} name @returns {Promise<string | undefined>} the version apt would install */
async function candidate(name) {
  const policy = await ask("apt-cache", ["policy", name]);
  const version = /^\s*Candidate: (\S+)/m.exec(policy ?? "")?.[1];
  return version === "(none)" ? undefined : version;
}

/** @returns {Promise<string[] | undefined>} the Debian packages to install, when apt has them in a version that will do */
async function debianPackages() {
  const rust = await candidate("rustc-web");
  if (rust === undefined || Number(rust.split(".")[1]) < oldestMinor) return undefined;
  for (const linker of debianLinkers) {
    if ((await candidate(linker)) !== undefined) return [...debianRust, linker];
  }
  return undefined;
}

/** The line of a program's output that says why it failed. @param {string} output */
function reasonIn(output) {
  const lines = output.trim().split("\n");
  return lines.findLast((line) => /^(E|error|info): /i.test(line)) ?? lines.at(-1) ?? "";
}

/** @returns {Promise<string | undefined>} why not, or nothing */
async function installFromDebian() {
  if (!debian) return "no apt-get here";
  if (!isRoot) return "apt-get needs root";
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  // Lists that are absent or old name files that the archive no longer has.
  const update = await attempt("apt-get", ["update", "-qq"], { env, name: "apt-get update" });
  const wanted = await debianPackages();
  if (wanted === undefined) return `apt has no rustc-web of 1.${oldestMinor} or newer${update.code === 0 ? "" : " (apt-get update failed)"}`;
  // --no-remove: these packages conflict with Debian's own rustc and rustup, which are the user's.
  const args = ["install", "-y", "-qq", "--no-install-recommends", "--no-remove", ...wanted];
  const { code, output } = await attempt("apt-get", args, { env, name: "apt-get install" });
  return code === 0 ? undefined : `apt-get ${args.join(" ")}: ${reasonIn(output)}`;
}

const rustupArgs = ["toolchain", "install", rustupVersion, "--profile", "minimal", "--component", "rust-src", "--no-self-update"];
const rustupLimitMs = 600_000;

/** @returns {Promise<string | undefined>} why not, or nothing */
async function installWithRustup() {
  const rustup = onPath("rustup")[0];
  if (rustup === undefined) return "no rustup here";
  const { code, output } = await attempt(rustup, rustupArgs, { name: "rustup", timeoutMs: rustupLimitMs });
  return code === 0 ? undefined : `rustup ${rustupArgs.join(" ")}: ${reasonIn(output)}`;
}

/** @param {readonly string[]} missing @param {readonly string[]} tried */
function advice(missing, tried) {
  return [
    `Building the wasm files needs rustc 1.${oldestMinor} or newer with rust-src, its cargo, and a wasm linker. Found:`,
    ...(missing.length === 0 ? ["  no rustc"] : missing.map((line) => `  ${line}`)),
    "Tried:",
    ...tried.map((line) => `  ${line}`),
    "One of these brings what is missing (neither changes your default toolchain):",
    `  rustup ${rustupArgs.join(" ")}`,
    `  sudo apt-get update && sudo apt-get install --no-remove ${[...debianRust, debianLinkers[0]].join(" ")}`,
  ].join("\n");
}

/**
 * The toolchain for the wasm files; installs one when none is there.
 * @returns {Promise<Toolchain>}
 */
export async function toolchain() {
  return step("toolchain", async () => {
    const first = await search();
    if (first.found !== undefined) return first.found;
    const tried = [];
    for (const install of [installFromDebian, installWithRustup]) {
      const failure = await install();
      const again = await search();
      if (again.found !== undefined) return again.found;
      tried.push(failure ?? "installed, but still incomplete");
    }
    throw new StepFailed(advice((await search()).missing, tried));
  }, ({ about }) => about);
}

