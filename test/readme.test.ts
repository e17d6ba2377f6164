// The README's code does what the README says: each block of TypeScript runs as a program of its own, and what it prints is what stands behind `// =>`.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";
import { afterAll, describe, expect, test } from "vitest";
import { pageOf, replaced } from "../ts/docs/places.mjs";
import { figures, headline } from "../bench/summary.mjs";
import { sizes } from "../ts/build/sizes.mjs";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
// Within the project, where `sparse-xent` is its own name.
const folder = fileURLToPath(new URL(`../target/readme-${process.pid}`, import.meta.url));
mkdirSync(folder, { recursive: true });
afterAll(() => rmSync(folder, { recursive: true }));

const blocks = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = ""]) => code);
const promised = (code: string): string[] => [...code.matchAll(/\/\/ => (.*)$/gm)].map(([, text = ""]) => text);

/** What a block prints, line by line. */
async function printed(code: string, name: string): Promise<string[]> {
  const file = `${folder}/${name}.mjs`;
  writeFileSync(file, (await transform(code, { loader: "ts", format: "esm" })).code);
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout.split("\n").slice(0, -1);
}

describe("the README", () => {
  test("is at most 250 lines", () => expect(readme.trimEnd().split("\n").length).toBeLessThanOrEqual(250));

  test("has the figures of the records", () => {
    expect(readme).toBe(replaced(readme, "headline", headline()));
    expect(pageOf("figures")).toBe(replaced(readme, "figures", figures()));
  });

  test("says how large the package is, give or take a twentieth", () => {
    const loaded = sizes().filter(({ name }) => ["sparse-xent.simd.wasm", "index.js"].includes(name)).reduce((sum, { gzip }) => sum + gzip, 0);
    const [, said] = /about (\d+) kB gzipped/.exec(readme) ?? [];
    expect(Math.abs((Number(said) * 1000) / loaded - 1)).toBeLessThan(0.05);
  });

  test("has programs that print", () => expect(blocks.filter((code) => promised(code).length > 0)).toHaveLength(3));

  test.each(blocks.map((code, index) => ({ code, index, first: code.split("\n")[2] })))("prints what it says: $first", async ({ code, index }) => {
    expect(await printed(code, `block-${index}`)).toEqual(promised(code));
  });

  test("would be caught saying something else", async () => {
    const code = 'console.log([0.1, 0.2]);\nconsole.log("a"); // => a\n';
    expect(await printed(code, "other")).not.toEqual(promised(code));
  });
});
