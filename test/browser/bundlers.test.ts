// An application that imports the package, built by the bundlers people use, works on an isolated page with all threads: its wasm is found, its
// workers start. Runs in Node, once for each browser that is here.
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import type { EngineInfo } from "sparse-xent";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { startBrowser, webkitFlags, within, type Driver } from "./drivers.ts";
import { Site } from "./site.ts";

const browser = inject("host").browser ?? "chromium";
const limitMs = 60_000;
const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const root = fileURLToPath(new URL("../../", import.meta.url));
const app = mkdtempSync(`${realpathSync(tmpdir())}/sparse-xent-app-`);
const installed = `${app}/node_modules/sparse-xent`;

const main = `
import { load } from "sparse-xent";
const xent = await load({ threads: 3 });
const { loss } = await xent.crossEntropyAsync(new Float32Array(8), [0, 1], { shape: [2, 4] });
await fetch("report", { method: "POST", body: JSON.stringify({ info: xent.info, loss }) });
`;
const page = '<!doctype html><meta charset="utf-8"><title>app</title><link rel="icon" href="data:,"><script type="module" src="./main.js"></script>';

/** Builds the application into a folder that holds `page.html` afterwards. */
const bundlers: Readonly<Record<string, (out: string) => Promise<void>>> = {
  async vite(out) {
    const { build } = await import("vite");
    const input = `${app}/page.html`;
    await build({ configFile: false, root: app, base: "./", logLevel: "warn", build: { outDir: out, target: "es2022", rolldownOptions: { input } } });
  },
  async webpack(out) {
    const { default: webpack } = await import("webpack");
    const output = { path: out, filename: "main.js", module: true };
    const compiler = webpack({ context: app, mode: "production", target: "web", entry: "./main.js", output, experiments: { outputModule: true } });
    const errors = await new Promise((resolve, reject) => {
      compiler.run((error, stats) => (error ? reject(error) : resolve(stats?.compilation.errors)));
    });
    expect(errors).toEqual([]);
    writeFileSync(`${out}/page.html`, page);
  },
  // It leaves the addresses of the wasm files as they are: the files are the application's to copy.
  async esbuild(out) {
    const { build } = await import("esbuild");
    await build({ entryPoints: [`${app}/main.js`], outdir: out, bundle: true, minify: true, format: "esm", target: "es2022", logLevel: "warning" });
    for (const name of ["simd", "relaxed"]) cpSync(`${installed}/dist/sparse-xent.${name}.wasm`, `${out}/sparse-xent.${name}.wasm`);
    writeFileSync(`${out}/page.html`, page);
  },
};

let site: Site;
let driver: Driver;
beforeAll(async () => {
  cpSync(`${root}dist`, `${installed}/dist`, { recursive: true });
  cpSync(`${root}package.json`, `${installed}/package.json`);
  writeFileSync(`${app}/package.json`, JSON.stringify({ private: true, type: "module" }));
  writeFileSync(`${app}/main.js`, main);
  writeFileSync(`${app}/page.html`, page);
  site = await Site.start();
  driver = await startBrowser(browser, webkitFlags);
}, 90_000);
afterAll(async () => {
  await driver?.close();
  await site?.close();
  rmSync(app, { recursive: true, force: true });
});

async function expectWorks(url: string, report: Promise<unknown>): Promise<void> {
  await within(limitMs, "opening the page", driver.open(url));
  const { info, loss } = (await within(limitMs, "the page's report", report)) as { info: EngineInfo; loss: number };
  expect(info).toMatchObject({ threads: 3, isolated: true });
  expect(loss).toBeCloseTo(Math.log(4), 6);
}

test.each(Object.entries(bundlers))("built by %s", { timeout: 3 * limitMs }, async (name, bundle) => {
  const folder = `${app}/${name}-out/`;
  mkdirSync(folder);
  await bundle(folder);
  const { url, report } = site.serve(name, { headers, folder });
  await expectWorks(url, report);
});

test("served by vite while it is developed", { timeout: 3 * limitMs }, async () => {
  const { createServer } = await import("vite");
  let told: (report: unknown) => void;
  const report = new Promise((resolve) => void (told = resolve));
  const server = await createServer({
    configFile: false,
    root: app,
    logLevel: "warn",
    // A port of its own choice.
    server: { port: 0, headers },
    plugins: [
      {
        name: "report",
        configureServer: ({ middlewares }) =>
          void middlewares.use((request, response, next) => {
            if (request.method !== "POST") return next();
            let text = "";
            request.setEncoding("utf8").on("data", (part: string) => void (text += part));
            request.on("end", () => {
              response.end();
              told(JSON.parse(text));
            });
          }),
      },
    ],
  });
  await server.listen();
  try {
    await expectWorks(`${server.resolvedUrls?.local[0]}page.html`, report);
  } finally {
    await server.close();
  }
});
