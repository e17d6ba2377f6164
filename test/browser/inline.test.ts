// One HTML file with one script, and nothing beside it: an application over `sparse-xent/inline`, bundled into the page itself. With the two headers it
// has all threads, otherwise one; opened from the disk, too, and where a policy allows no worker at all. Runs in Node, once for each browser that is here.
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import type { EngineInfo } from "sparse-xent";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { consumer, type Consumer } from "../package.ts";
import { startBrowser, webkitFlags, within, type Driver } from "./drivers.ts";
import { Site, isolation } from "./site.ts";

const browser = inject("host").browser ?? "chromium";
const limitMs = 30_000;

interface Report {
  readonly error?: string;
  readonly info: EngineInfo;
  /** What the page itself finds. */
  readonly fastest: string;
  readonly builds: Readonly<Record<string, string>>;
  readonly losses: readonly number[];
  readonly isWindow: boolean;
  readonly trap: string | undefined;
  readonly pending: string | undefined;
  /** How often the network was asked for anything. */
  readonly requests: number;
}

/** The application. It reports to the address it gets, which may be of another origin than its own. */
const app = (report: string): string => `
import { load } from "sparse-xent/inline";
import { fastestBuild, hasRelaxed } from ${JSON.stringify(new URL("../relaxed.mjs", import.meta.url).pathname)};
import { use } from ${JSON.stringify(new URL("page.use.js", import.meta.url).pathname)};
const codeOf = (promise) => promise.then(() => undefined, (error) => error.code ?? String(error));
async function run() {
  const { info, losses, isWindow } = await use(load, { threads: 3 });
  const xent = await load({ threads: 3 });
  const logits = xent.tensor("f32", [512, 4096]);
  const pending = codeOf(xent.crossEntropyAsync(logits, xent.tensor("i32", [512]), { grad: logits }));
  await xent.dispose();
  const builds = {};
  for (const build of hasRelaxed() ? ["simd", "relaxed"] : ["simd"]) {
    const other = await load({ threads: 1, build });
    builds[build] = other.info.build;
    await other.dispose();
  }
  const other = await load({ threads: 3 });
  const trap = await codeOf(Promise.resolve(other[Symbol.for("sparse-xent.injectFault")](1, "async")));
  await other.dispose();
  const requests = performance.getEntriesByType("resource").filter(({ name }) => !name.startsWith("blob:")).length;
  return { info, fastest: fastestBuild(), builds, losses, isWindow, trap, pending: await pending, requests };
}
run().catch((error) => ({ error: String(error) })).then((found) => fetch(${JSON.stringify(report)}, { method: "POST", mode: "no-cors", body: JSON.stringify(found) }));
`;

let given: Consumer;
let site: Site;
let driver: Driver;
beforeAll(async () => {
  given = await consumer();
  site = await Site.start();
  driver = await startBrowser(browser, webkitFlags);
}, 90_000);
afterAll(async () => {
  await driver?.close();
  await site?.close();
  given?.remove();
});

/** The page, and what a policy must say to allow its script. */
async function page(report: string): Promise<{ html: string; hash: string }> {
  const stdin = { contents: app(report), resolveDir: given.folder };
  const { outputFiles } = await build({ stdin, bundle: true, minify: true, format: "iife", target: "es2022", write: false, logLevel: "warning", charset: "utf8" });
  const script = outputFiles[0]?.text ?? "";
  const hash = `'sha256-${createHash("sha256").update(script).digest("base64")}'`;
  return { html: `<!doctype html><meta charset="utf-8"><title>one file</title><link rel="icon" href="data:,"><body><script>${script}</script>`, hash };
}

const noIsolation = /not cross-origin isolated/;
const rows = [
  { name: "isolated", headers: isolation, threads: 3 },
  { name: "not-isolated", headers: {}, threads: 1, why: noIsolation },
  { name: "from-the-disk", headers: undefined, threads: 1, why: noIsolation },
  { name: "isolated-where-a-policy-allows-blobs", headers: isolation, policy: "worker-src blob:", threads: 3 },
  { name: "isolated-where-a-policy-allows-data", headers: isolation, policy: "worker-src data:", threads: 3 },
  {
    name: "isolated-where-a-policy-allows-no-worker",
    headers: isolation,
    policy: "worker-src 'none'",
    threads: 1,
    why: /^a coordinator worker could not be started: .*policy refuses workers from blob: and data: addresses/,
  },
] as const;

test.each(rows.map((row) => [row.name, row] as const))("%s", { timeout: 2 * limitMs }, async (_, { name, headers, threads, ...row }) => {
  const path = `${site.origin}/${name}/report`;
  const { html, hash } = await page(path);
  const policy = "policy" in row ? { "Content-Security-Policy": `default-src 'none'; img-src data:; connect-src 'self'; script-src ${hash} 'wasm-unsafe-eval'; ${row.policy}` } : {};
  const { url, report } = site.serve(name, { headers: { ...headers, ...policy }, files: { "page.html": { body: html } } });
  const file = `${given.folder}/${name}.html`;
  writeFileSync(file, html);
  await within(limitMs, "opening the page", driver.open(headers === undefined ? pathToFileURL(file).href : url));
  const { error, info, ...found } = (await within(limitMs, "the page's report", report)) as Report;
  expect(error).toBeUndefined();
  expect(info).toMatchObject({ threads, build: found.fastest, isolated: threads > 1 });
  if ("why" in row) expect(info.whyOneThread).toMatch(row.why);
  else expect(info.whyOneThread).toBeUndefined();
  for (const loss of found.losses) expect(loss).toBeCloseTo(Math.log(4096), 5);
  for (const [asked, got] of Object.entries(found.builds)) expect(got).toBe(asked);
  expect(found).toMatchObject({ isWindow: true, pending: "DISPOSED", requests: 0 });
  // Alone, there is no helper to lose.
  expect(found.trap).toBe(threads > 1 ? "ENGINE_LOST" : undefined);
});
