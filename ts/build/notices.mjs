// dist/THIRD-PARTY.txt: name, version and licence text of what is compiled or bundled into the package, as those licences ask.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { paths, root } from "./project.mjs";
import { StepFailed, run } from "./report.mjs";

/** @typedef {import("./toolchain.mjs").Toolchain} Toolchain */
/** @typedef {{ title: string, text: string }} Notice */

/** The crates inside the wasm files, written when those are built. */
export const rustNotices = `${paths.target}/rust-notices.json`;

const permission = readFileSync(`${root}/LICENSE-MIT`, "utf8").split("\n").slice(4).join("\n").trim();

/** The MIT licence, for those who offer it without a copy of its text. @param {string} owner */
const mit = (owner) => `Copyright (c) ${owner}\n\n${permission}`;

/** What an SPDX expression adds to the Apache licence by "WITH LLVM-exception". */
const llvmException = `---- LLVM Exceptions to the Apache 2.0 License ----

As an exception, if, as a result of your compiling your source code, portions of this Software are embedded into an Object form of such source code, you may
redistribute such embedded portions in such Object form without complying with the conditions of Sections 4(a), 4(b) and 4(d) of the License.

In addition, if you combine or link compiled forms of this Software with software that is licensed under the GPLv2 ("Combined Software") and if a court of
competent jurisdiction determines that the patent provision (Section 3), the indemnity provision (Section 9) or other Section of the License conflicts with the
conditions of the GPLv2, you may retroactively and prospectively choose to deem waived or otherwise exclude such Section(s) of the License, but only in their
entirety and only with respect to the Combined Software.`;

/**
 * The text of the licence that asks least, where a package offers several; of each, where it is under several.
 * @param {string} name @param {string} licence an SPDX expression @param {string} folder
 */
export function licenceOf(name, licence, folder) {
  const names = readdirSync(folder).filter((entry) => /^(licen[cs]e|copying)/i.test(entry)).sort();
  const parts = licence.split(" AND ");
  const texts = parts.map((part) => {
    const word = ["MIT", "Apache", "Unicode"].find((candidate) => part.includes(candidate));
    const named = names.find((candidate) => word !== undefined && candidate.toLowerCase().includes(word.toLowerCase()));
    const file = named ?? (parts.length === 1 ? names[0] : undefined);
    if (file !== undefined) return readFileSync(`${folder}/${file}`, "utf8").trim();
    if (word === "MIT") return mit(`the authors of ${name}`);
    if (word !== "Apache") throw new StepFailed(`${name} (${licence}) has no licence file to pass on`);
    const apache = readFileSync(`${root}/LICENSE-APACHE`, "utf8").trim();
    return part.includes("WITH LLVM-exception") ? `${apache}\n\n${llvmException}` : apache;
  });
  return [...new Set(texts)].join("\n\n");
}

// The standard library is compiled into the wasm too; its sources come without a file of their own for this.
const standardLibrary = {
  title: "Rust standard library (MIT OR Apache-2.0)",
  text: mit("The Rust Project Contributors"),
};

/** Lies among the standard library's own crates, and holds the work of others. */
const withOwnLicence = "compiler_builtins";

/**
 * The notices of what a crate is linked with, itself and its neighbours in one repository left out.
 * @param {Toolchain} toolchain @param {NodeJS.ProcessEnv} env @param {string} name for the reader @param {readonly string[]} args which crate, and how it is built
 * @returns {Promise<Notice[]>}
 */
async function linkedWith(toolchain, env, name, args) {
  const tree = ["tree", ...args, "--target=wasm32-unknown-unknown", "--edges=normal,no-proc-macro", "--prefix=none", "--format={p}"];
  const listing = await run(toolchain.cargo, tree, { env, name: `cargo tree ${name}` });
  const used = new Set([...listing.matchAll(/^(\S+) v(\S+)/gm)].map(([, name, version]) => `${name} ${version}`));
  const metadata = await run(toolchain.cargo, ["metadata", ...args, "--format-version=1"], { env, name: `cargo metadata ${name}` });
  /** @type {{ packages: { name: string, version: string, license: string, source: string | null, manifest_path: string }[] }} */
  const { packages } = JSON.parse(metadata.slice(metadata.indexOf('{"packages"')));
  return packages
    .filter(({ name, version, source }) => (source !== null || name === withOwnLicence) && used.has(`${name} ${version}`))
    .map(({ name, version, license, manifest_path }) => ({
      title: `${name} ${version} (${license})`,
      text: licenceOf(name, license, manifest_path.replace(/\/Cargo\.toml$/, "")),
    }));
}

/**
 * Writes down the crates inside the wasm files, those inside the standard library too, while a cargo is at hand.
 * @param {Toolchain} toolchain @param {NodeJS.ProcessEnv} env
 */
export async function writeRustNotices(toolchain, env) {
  const own = await linkedWith(toolchain, env, "crate", ["--locked", "--no-default-features", "--features=js"]);
  const sysroot = (await run(toolchain.rustc, ["--print=sysroot"], { env, name: "rustc sysroot" })).trim();
  const manifest = `${sysroot}/lib/rustlib/src/rust/library/std/Cargo.toml`;
  const inStandardLibrary = await linkedWith(toolchain, env, "std", ["--locked", `--manifest-path=${manifest}`]);
  const titles = new Set(own.map(({ title }) => title));
  writeFileSync(rustNotices, JSON.stringify([standardLibrary, ...inStandardLibrary.filter(({ title }) => !titles.has(title)), ...own]));
}

/** @param {readonly string[]} inputs the files of the bundles, relative to the project @returns {Notice[]} */
function npmNotices(inputs) {
  const folders = inputs.map((input) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1]).filter((folder) => folder !== undefined);
  return [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(`${root}/${folder}/package.json`, "utf8"));
    return { title: `${name} ${version} (${license})`, text: licenceOf(name, license, `${root}/${folder}`) };
  });
}

/** @param {readonly string[]} inputs the files of the bundles, relative to the project */
export function writeNotices(inputs) {
  /** @type {Notice[]} */
  const rust = JSON.parse(readFileSync(rustNotices, "utf8"));
  /** @type {Map<string, string[]>} */
  const titles = new Map();
  for (const { title, text } of [...rust, ...npmNotices(inputs)]) titles.set(text, [...(titles.get(text) ?? []), title]);
  const blocks = [...titles].map(([text, names]) => `${names.join("\n")}\n\n${text}\n`);
  const head = "Parts of other projects are compiled into the .wasm files or bundled into the .js files of this package. Their licences:\n";
  writeFileSync(`${paths.dist}/THIRD-PARTY.txt`, [head, ...blocks].join(`\n${"-".repeat(80)}\n\n`));
}
