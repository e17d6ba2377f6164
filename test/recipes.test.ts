// The recipes of ts/docs/recipes.md: what can be tried without the host they are for. That the bundlers find the wasm is tested in test/browser.
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { pathToFileURL } from "node:url";
import { transform } from "esbuild";
import { createServer } from "vite";
import { afterAll, describe, expect, test } from "vitest";

const text = readFileSync(new URL("../ts/docs/recipes.md", import.meta.url), "utf8");
const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** The blocks of code under a heading, by language. */
function blocks(heading: string): { language: string; code: string }[] {
  const [, section = ""] = text.split(`\n## ${heading}\n`);
  const [own = ""] = section.split("\n## ");
  return [...own.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = "", code = ""]) => ({ language, code }));
}

/** The first block in that language. */
function block(heading: string, language: string): string {
  const found = blocks(heading).find((each) => each.language === language);
  if (found === undefined) throw new Error(`no ${language} under ${heading}`);
  return found.code;
}

const folder = mkdtempSync(`${tmpdir()}/sparse-xent-recipes-`);
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes a file and gives its path. */
function written(name: string, code: string): string {
  writeFileSync(`${folder}/${name}`, code);
  return `${folder}/${name}`;
}

const headings = [...text.matchAll(/^## (.*)$/gm)].map(([, heading = ""]) => heading);
const scripts = headings.flatMap((heading) => blocks(heading).map((each) => ({ heading, ...each }))).filter(({ language }) => ["js", "jsx", "ts"].includes(language));

test.each(scripts)("the $language of $heading is valid", async ({ language, code }) => {
  await expect(transform(code, { loader: language as "js" | "jsx" | "ts", format: "esm" })).resolves.toMatchObject({ warnings: [] });
});

// The documentation has a copy of each linked file; of a folder it has none.
const docs = new URL("../ts/docs/", import.meta.url);
const pages = ["../../README.md", ...readdirSync(docs).filter((name) => name.endsWith(".md"))];
test.each(pages)("the links of %s name files", (page) => {
  const at = new URL(page, docs);
  const links = [...readFileSync(at, "utf8").matchAll(/\]\(((?!https?:|#)[^)\s]+)\)/g)].map(([, link = ""]) => link);
  const isFile = (link: string): boolean => statSync(new URL(link, at), { throwIfNoEntry: false })?.isFile() === true;
  expect(links.filter((link) => !isFile(link))).toEqual([]);
});

describe("the headers of an isolated page", () => {
  test("Vite's server sends them", async () => {
    // The configuration imports Vite, which is found from the project only.
    const code = block("Vite", "js").replace('"vite"', JSON.stringify(import.meta.resolve("vite")));
    const config = await import(pathToFileURL(written("vite.config.mjs", code)).href);
    written("index.html", "<!doctype html><title>app</title>");
    const server = await createServer({ ...config.default, configFile: false, root: folder, logLevel: "error" });
    try {
      await server.listen();
      const response = await fetch(server.resolvedUrls?.local[0] ?? "");
      for (const [name, value] of Object.entries(headers)) expect(response.headers.get(name)).toBe(value);
    } finally {
      await server.close();
    }
  });

  test("webpack's development server and Next are told to send them", async () => {
    const webpack = await import(pathToFileURL(written("webpack.config.mjs", block("webpack", "js"))).href);
    expect(webpack.default.devServer.headers).toEqual(headers);
    const next = await import(pathToFileURL(written("next.config.mjs", block("Next", "js"))).href);
    const [rule] = await next.default.headers();
    expect(rule.source).toBe("/:path*");
    expect(Object.fromEntries(rule.headers.map(({ key, value }: { key: string; value: string }) => [key, value]))).toEqual(headers);
  });

  test("nginx and the hosts that read _headers are told to send them", () => {
    for (const [name, value] of Object.entries(headers)) {
      expect(block("nginx", "nginx")).toContain(`add_header ${name} ${value} always;`);
      expect(block("Netlify and Cloudflare Pages", "text")).toContain(`\n  ${name}: ${value}\n`);
    }
  });
});
