// The files that ship, looked at from outside: what they export, which instructions they hold, what they do not give away, how large they are.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import { isCurrent, overBudget, shownSizes, sizeTable, sizes } from "../ts/build/sizes.mjs";
import { detect } from "../ts/features.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const builds = ["simd", "relaxed"] as const;
type Build = (typeof builds)[number];
const wasmOf = (build: Build): string => `${root}dist/sparse-xent.${build}.wasm`;

/** Exports that TypeScript calls, then those that the generated JavaScript needs. */
const exported = [
  "alloc", "block", "build_name", "control", "free", "initThreadPool", "inject_fault", "is_fused", "judge", "reserve_stacks", "run", "used_bytes", "version", "wbg_rayon_start_worker",
  "__abort_handler", "__externref_table_alloc", "__instance_terminated", "__stack_alloc", "__tls_base", "__wbg_wbg_rayon_poolbuilder_free",
  "__wbindgen_externrefs", "__wbindgen_free", "__wbindgen_start", "__wbindgen_thread_destroy", "memory", "wbg_rayon_poolbuilder_build",
  "wbg_rayon_poolbuilder_numThreads", "wbg_rayon_poolbuilder_receiver",
].sort();

/** The text of a wasm. */
function disassembled(wasm: Uint8Array): string {
  const folder = mkdtempSync(`${tmpdir()}/sparse-xent-`);
  try {
    writeFileSync(`${folder}/a.wasm`, wasm);
    const disassembler = `${root}node_modules/binaryen/bin/wasm-dis`;
    return execFileSync(process.execPath, [disassembler, "-all", `${folder}/a.wasm`], { encoding: "utf8", maxBuffer: 2 ** 28, stdio: ["ignore", "pipe", "ignore"] });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The text of each wasm file. */
const text = {} as Record<Build, string>;

beforeAll(() => {
  for (const build of builds) text[build] = disassembled(readFileSync(wasmOf(build)));
}, 120_000);

describe.each(builds)("%s", (build) => {
  test("exports exactly what is called", () => {
    const names = [...text[build].matchAll(/^ \(export "([^"]+)"/gm)].map(([, name]) => name);
    expect(names.sort()).toEqual(exported);
  });

  test("imports its memory, shared and growable to 4 GiB", () => {
    expect(text[build]).toMatch(/\(import "[^"]+" "memory" \(memory \S+ \d+ 65536 shared\)\)/);
  });

  test("imports nothing but memory and what the generated JavaScript gives", () => {
    const names = [...text[build].matchAll(/^ \(import "[^"]+" "([^"]+)"/gm)].map(([, name]) => name ?? "");
    expect(names.filter((name) => name !== "memory" && !name.startsWith("__wb"))).toEqual([]);
  });

  test("computes with vectors and atomics", () => {
    expect(text[build]).toMatch(/f32x4\.mul/);
    expect(text[build]).toMatch(/memory\.atomic\.wait32/);
  });
});

describe("relaxed instructions", () => {
  const relaxedIn = (disassembled: string): string[] => [...new Set(disassembled.match(/\w+\.relaxed_\w+/g))].sort();

  test("are in relaxed only, where there are multiply-adds", () => {
    expect(relaxedIn(text.simd)).toEqual([]);
    expect(relaxedIn(text.relaxed)).toContain("f32x4.relaxed_madd");
  });

  // An engine may know some of them only: WebKit had the multiply-add before the maximum.
  test("are asked for, each of them, before the build is chosen", () => {
    const asked: Uint8Array[] = [];
    const validate = (bytes: Uint8Array): boolean => asked.push(bytes) > 0;
    detect({ WebAssembly: { validate, Memory: WebAssembly.Memory }, Atomics, SharedArrayBuffer, MessageChannel });
    expect(asked.flatMap((probe) => relaxedIn(disassembled(probe))).sort()).toEqual(relaxedIn(text.relaxed));
  });
});

test("one generated JavaScript serves both builds", () => {
  const glue = (build: Build): string => readFileSync(`${root}target/pkg-${build}/sparse_xent.js`, "utf8");
  expect(glue("relaxed")).toBe(glue("simd"));
});

test("the pages in the JavaScript are those of the module", () => {
  const initial = Number(/"memory" \(memory \S+ (\d+)/.exec(text.simd)?.[1]);
  expect(readFileSync(`${root}target/glue/memory-limits.js`, "utf8")).toBe(`export const initial = ${initial};\nexport const maximum = 65536;\n`);
});

describe("gives nothing away", () => {
  const shipped = readdirSync(`${root}dist`, { recursive: true, encoding: "utf8" }).filter((name) => /\.(wasm|c?js|ts|json|map)$/.test(name));

  test.each(shipped)("%s names no folder of the machine that built it", (name) => {
    // As bytes: paths may lie in a wasm's data.
    const content = readFileSync(`${root}dist/${name}`, "latin1").replace(/^#!.*$/m, "");
    const found = content.match(/(\/(root|home|Users|tmp|usr|opt|rustc|work|build)\/|[A-Z]:\\\\)[\w./\\-]*|\.cargo\b|\.rustup\b/g) ?? [];
    expect(found).toEqual([]);
    expect(content).not.toContain(root);
  });

  test.each(shipped)("%s names no address on the net", (name) => {
    expect(readFileSync(`${root}dist/${name}`, "latin1").match(/\b(https?|wss?):\/\/[\w.-]+/g) ?? []).toEqual([]);
  });

  test.each(["package-lock.json", "test/nodes/package-lock.json", "test/runtimes/package-lock.json"])("%s names no download address", (name) => {
    expect(readFileSync(`${root}${name}`, "utf8").match(/"resolved"|\.tgz/g) ?? []).toEqual([]);
  });
});

describe("size", () => {
  const measured = sizes();

  test.each(measured)("$name gzipped is at most $budget bytes", ({ name, gzip, budget }) => {
    expect(gzipSync(readFileSync(`${root}dist/${name}`), { level: 9 }).length).toBe(gzip);
    expect(gzip).toBeLessThanOrEqual(budget);
  });

  test("the documentation shows it, give or take a little: `npm run build -- --record` writes it there", () => {
    expect(isCurrent(shownSizes(), measured), `documentation: ${shownSizes()}\nnow: ${sizeTable(measured)}`).toBe(true);
  });

  test("a table that is further off, or shows other files, is out of date", () => {
    const table = sizeTable(measured);
    const scaled = (factor: number) => measured.map((each) => ({ ...each, gzip: each.gzip * factor }));
    expect(isCurrent(table, scaled(1.02))).toBe(true);
    for (const factor of [0.93, 1.07]) expect(isCurrent(table, scaled(factor))).toBe(false);
    expect(isCurrent(table.split("\n").slice(0, -1).join("\n"), measured)).toBe(false);
    expect(isCurrent("", measured)).toBe(false);
  });

  test("the build refuses what is over its budget, and nothing else", () => {
    expect(overBudget(measured)).toEqual([]);
    expect(overBudget(measured.map((each) => ({ ...each, gzip: each.budget })))).toEqual([]);
    expect(overBudget(measured.map((each) => ({ ...each, gzip: each.budget + 1 })))).toHaveLength(measured.length);
  });
});

test("the crate and the package have one version", () => {
  const crate = /^version = "([^"]+)"/m.exec(readFileSync(`${root}Cargo.toml`, "utf8"))?.[1];
  expect((JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { version: string }).version).toBe(crate);
});

test("the licences of what is compiled in are there", () => {
  const notices = readFileSync(`${root}dist/THIRD-PARTY.txt`, "utf8");
  const titles = [...notices.matchAll(/^(\S.*?)(?: [\d.]+)? \(.*(?:MIT|Apache)/gm)].map(([, title]) => title);
  expect(titles).toEqual(expect.arrayContaining(["Rust standard library", "dlmalloc", "hashbrown", "compiler_builtins", "rayon", "wasm-bindgen", "wasm-bindgen-rayon", "half", "libm", "commander"]));
  // Under three licences at once; each is passed on.
  const several = notices.split("-".repeat(80)).find((block) => block.includes("\ncompiler_builtins "));
  for (const text of ["Permission is hereby granted", "Apache License\n", "LLVM Exceptions"]) expect(several).toContain(text);
  for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) expect(existsSync(`${root}${name}`)).toBe(true);
});
