// The packed package, installed by an application and built by the bundlers people use, works on an isolated page with all threads: its wasm is found, its
// workers start, a lost one is an error, and none is left after disposal. Runs in Node, once for each browser that is here.
import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import type { EngineInfo } from "sparse-xent";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { consumer, type Consumer } from "../package.ts";
import { startBrowser, webkitFlags, within, type Driver } from "./drivers.ts";
import { Site, isolation } from "./site.ts";

const browser = inject("host").browser ?? "chromium";
const limitMs = 60_000;

interface Report {
  readonly info: EngineInfo;
  readonly losses: readonly number[];
  readonly codes: readonly string[];
  readonly started: number;
  readonly running: number;
}

/** The application: what else it imports, and what it loads the engine with. */
const main = (entry: string, options = "threads: 3", imports = ""): string => `
import { load } from "${entry}";
${imports}
let started = 0;
const running = new Set();
globalThis.Worker = class extends Worker {
  constructor(...args) {
    super(...args);
    started++;
    running.add(this);
  }
  terminate() {
    running.delete(this);
    super.terminate();
  }
};
const codeOf = (promise) => promise.then(() => "answered", (error) => error.code ?? String(error));
const logits = new Float32Array(8);
const call = [logits, [0, 1], { shape: [2, 4] }];
const xent = await load({ ${options} });
const losses = [xent.crossEntropy(...call).loss, (await xent.crossEntropyAsync(...call)).loss];
const { info } = xent;
const codes = [await codeOf(xent[Symbol.for("sparse-xent.injectFault")](1, "async")), await codeOf(xent.crossEntropyAsync(...call))];
await xent.dispose();
const other = await load({ ${options} });
losses.push((await other.crossEntropyAsync(...call)).loss);
const big = other.tensor("f32", [256, 8192]);
const pending = codeOf(other.crossEntropyAsync(big, new Int32Array(256), { grad: big }));
await other.dispose();
codes.push(await pending);
await fetch("report", { method: "POST", body: JSON.stringify({ info, losses, codes, started, running: running.size }) });
`;
const page = (script: string): string => `<!doctype html><meta charset="utf-8"><title>app</title><link rel="icon" href="data:,">${script}`;
const modulePage = page('<script type="module" src="./main.js"></script>');

let given: Consumer;
let app: string;

/** What leaves the addresses of the wasm files as they are: the files are the application's to copy. */
function copyWasm(out: string): void {
  for (const name of ["simd", "relaxed"]) cpSync(`${given.installed}/dist/sparse-xent.${name}.wasm`, `${out}/sparse-xent.${name}.wasm`);
}

async function webpacked(out: string, isModule: boolean, entry = "main.js"): Promise<void> {
  const { default: webpack } = await import("webpack");
  const output = { path: out, filename: "main.js", ...(isModule && { module: true }) };
  const compiler = webpack({ context: app, mode: "production", target: "web", entry: `./${entry}`, output, ...(isModule && { experiments: { outputModule: true } }) });
  const problems = await new Promise((resolve, reject) => {
    compiler.run((error, stats) => (error ? reject(error) : resolve([...(stats?.compilation.errors ?? []), ...(stats?.compilation.warnings ?? [])])));
  });
  // That the inlined worker and its like are large is no news.
  expect((problems as Error[]).filter(({ name }) => !/SizeLimit|NoAsyncChunks|EntrypointsOverSizeLimit|AssetsOverSizeLimit/.test(name))).toEqual([]);
  writeFileSync(`${out}/page.html`, isModule ? modulePage : page('<script defer src="./main.js"></script>'));
}

async function rolledUp(out: string, entry: string): Promise<void> {
  const [{ rollup }, { nodeResolve }] = await Promise.all([import("rollup"), import("@rollup/plugin-node-resolve")]);
  const warnings: string[] = [];
  const bundle = await rollup({ input: `${app}/${entry}`, plugins: [nodeResolve({ browser: true })], onwarn: ({ message }) => void warnings.push(message) });
  await bundle.write({ file: `${out}/main.js`, format: "es" });
  await bundle.close();
  expect(warnings).toEqual([]);
  writeFileSync(`${out}/page.html`, modulePage);
}

async function vited(out: string, entry = "page"): Promise<void> {
  const { build } = await import("vite");
  const input = `${app}/${entry}.html`;
  await build({ configFile: false, root: app, base: "./", logLevel: "warn", build: { outDir: out, target: "es2022", rolldownOptions: { input } } });
  if (entry !== "page") renameSync(`${out}/${entry}.html`, `${out}/page.html`);
}

/** Builds the application into a folder that holds `page.html` afterwards. */
const bundlers: Readonly<Record<string, (out: string) => Promise<void>>> = {
  vite: (out) => vited(out),
  "webpack, as a module": (out) => webpacked(out, true),
  "webpack, as a classic script": (out) => webpacked(out, false),
  async rollup(out) {
    await rolledUp(out, "main.js");
    copyWasm(out);
  },
  "rollup, the entry that is one file": (out) => rolledUp(out, "inline.js"),
  async esbuild(out) {
    const { build } = await import("esbuild");
    await build({ entryPoints: [`${app}/main.js`], outdir: out, bundle: true, minify: true, format: "esm", target: "es2022", logLevel: "warning" });
    copyWasm(out);
    writeFileSync(`${out}/page.html`, modulePage);
  },
  async "nothing, a bare script"(out) {
    cpSync(`${given.installed}/dist`, `${out}/sparse-xent`, { recursive: true });
    const script = readFileSync(`${app}/main.js`, "utf8").replace('"sparse-xent"', '"./sparse-xent/index.js"');
    writeFileSync(`${out}/page.html`, page(`<script type="module">${script}</script>`));
  },
};

/** The same where the policy refuses workers made from text: the bundler emits the worker's file and gives its address. */
const strictBundlers: typeof bundlers = {
  vite: (out) => vited(out, "strict"),
  webpack: (out) => webpacked(out, true, "strict-webpack.js"),
};
const policy = "default-src 'none'; img-src data:; connect-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'";

let site: Site;
let driver: Driver;
beforeAll(async () => {
  given = await consumer();
  app = given.folder;
  writeFileSync(`${app}/main.js`, main("sparse-xent"));
  writeFileSync(`${app}/inline.js`, main("sparse-xent/inline"));
  writeFileSync(`${app}/page.html`, modulePage);
  writeFileSync(`${app}/strict-vite.js`, main("sparse-xent", "threads: 3, workerUrl", 'import workerUrl from "sparse-xent/worker.js?url";'));
  writeFileSync(`${app}/strict-webpack.js`, main("sparse-xent", 'threads: 3, workerUrl: new URL("sparse-xent/worker.js", import.meta.url)'));
  writeFileSync(`${app}/strict.html`, modulePage.replace("main.js", "strict-vite.js"));
  site = await Site.start();
  driver = await startBrowser(browser, webkitFlags);
}, 90_000);
afterAll(async () => {
  await driver?.close();
  await site?.close();
  given?.remove();
});

async function expectWorks(url: string, report: Promise<unknown>): Promise<void> {
  await within(limitMs, "opening the page", driver.open(url));
  const { info, losses, codes, started, running } = (await within(limitMs, "the page's report", report)) as Report;
  expect(info).toMatchObject({ threads: 3, isolated: true });
  expect(losses).toHaveLength(3);
  for (const loss of losses) expect(loss).toBeCloseTo(Math.log(4), 6);
  expect(codes).toEqual(["ENGINE_LOST", "ENGINE_LOST", "DISPOSED"]);
  // Two helpers and a coordinator of each engine.
  expect({ started, running }).toEqual({ started: 6, running: 0 });
}

const cases = [
  ...Object.entries(bundlers).map(([name, bundle]) => [name, bundle, isolation] as const),
  ...Object.entries(strictBundlers).map(([name, bundle]) => [`${name}, under a strict policy`, bundle, { ...isolation, "Content-Security-Policy": policy }] as const),
];

test.each(cases)("built by %s", { timeout: 3 * limitMs }, async (name, bundle, headers) => {
  const path = name.replaceAll(/\W+/g, "-");
  const folder = `${app}/out-${path}/`;
  mkdirSync(folder);
  await bundle(folder);
  const { url, report } = site.serve(path, { headers, folder });
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
    server: { port: 0, headers: isolation },
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
