// How a page is served decides what an engine on it can do. Every row is one way to serve the shipped files, in a real browser: either it works, and
// `info` says how, or the error says what to do. Runs in Node, once for each browser that is here.
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { EngineInfo, LoadOptions } from "sparse-xent";
import { startBrowser, webkitFlags, within, type Driver } from "./drivers.ts";
import { Site, isolation as isolated, type Answer } from "./site.ts";

const browser = inject("host").browser ?? "chromium";
const limitMs = 20_000;

interface Report {
  readonly info?: EngineInfo;
  readonly losses?: readonly number[];
  readonly isWindow?: boolean;
  readonly error?: { readonly name: string; readonly code?: string; readonly message: string };
  readonly violations: readonly string[];
  /** By its own account: is memory shared, are there workers. */
  readonly canShare?: boolean;
  readonly hasWorkers?: boolean;
}

interface Row {
  readonly name: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, Answer>>;
  /** As JSON; `wasm` is an address. */
  readonly options?: Omit<LoadOptions, "wasm"> & { readonly wasm?: string };
  /** Load the module from a second origin. */
  readonly module?: "elsewhere";
  readonly hurry?: number;
  /** Load the engine in the page's service worker. */
  readonly service?: true;
  /** Threads of the engine, or what its error says. "what it can": three where the page says that memory is shared and workers are there, else one. */
  readonly expect: number | RegExp | "what it can";
  /** What `info` says of a single thread. */
  readonly why?: RegExp;
  /** What the page's content security policy refused; nothing when left out. */
  readonly violations?: string;
  /** Not every browser tells the page of this one. */
  readonly isToldOfAll?: false;
}

const opener = { "Cross-Origin-Opener-Policy": "same-origin" };
const policy = (text: string) => ({ "Content-Security-Policy": `default-src 'none'; connect-src 'self'; img-src data:; ${text}` });
const strict = policy("script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'");
const threads = 3;
const workerUrl = "worker.js";
/** What servers of pages answer to every address they do not know. */
const page = { headers: { "Content-Type": "text/html" }, body: "<!doctype html><title>everything</title>" };
const wasmFiles = (answer: Answer) => ({ "sparse-xent.relaxed.wasm": answer, "sparse-xent.simd.wasm": answer });
const workerFile = (answer: Answer) => ({ headers: isolated, files: { "worker.js": answer }, options: { threads, workerUrl } });
const noIsolation = /not cross-origin isolated; .*Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp/;
const wrongWorker =
  /a coordinator worker could not be started: .*expected at \S+ the worker.js of this package, .*own origin, .*worker-src .*Cross-Origin-Embedder-Policy/;

const rows: readonly Row[] = [
  { name: "isolated", headers: isolated, options: { threads }, expect: 3 },
  { name: "isolated, one thread asked for", headers: isolated, options: { threads: 1 }, expect: 1, why: /asked for/ },
  { name: "not isolated", options: { threads }, expect: 1, why: noIsolation },
  {
    name: "not isolated, where no worker would be allowed",
    headers: policy("script-src 'self' 'wasm-unsafe-eval'; worker-src 'none'"),
    options: { threads },
    expect: 1,
    why: noIsolation,
  },
  // Not every browser knows this value, or the policy after it.
  {
    name: "embedder policy credentialless",
    headers: { ...opener, "Cross-Origin-Embedder-Policy": "credentialless" },
    options: { threads },
    expect: "what it can",
  },
  {
    name: "isolation denied by policy",
    headers: { ...isolated, "Permissions-Policy": "cross-origin-isolated=()" },
    options: { threads },
    expect: "what it can",
  },
  { name: "strict policy, worker from its file", headers: { ...isolated, ...strict }, options: { threads, workerUrl }, expect: 3 },
  {
    name: "strict policy, worker from its text",
    headers: { ...isolated, ...strict },
    options: { threads },
    expect: 1,
    why: /refuses workers from blob: and data: addresses.*pass its address as workerUrl/,
    violations: "worker-src blob, worker-src data",
  },
  { name: "strict policy, not isolated", headers: strict, options: { threads }, expect: 1, why: noIsolation },
  {
    name: "policy without wasm",
    headers: policy("script-src 'self'"),
    options: { threads },
    expect: /'wasm-unsafe-eval'/,
    violations: "script-src wasm-eval",
    isToldOfAll: false,
  },
  {
    name: "policy without workers",
    headers: { ...isolated, ...policy("script-src 'self' 'wasm-unsafe-eval'; worker-src 'none'") },
    options: { threads, workerUrl },
    expect: wrongWorker,
    violations: "worker-src worker.js",
  },
  { name: "worker file without embedder policy", ...workerFile({ headers: { "Cross-Origin-Embedder-Policy": "" } }), expect: wrongWorker },
  { name: "worker file that is not there", ...workerFile({ status: 404, body: "no" }), expect: wrongWorker },
  { name: "worker file that is a page", ...workerFile(page), expect: wrongWorker },
  {
    name: "worker file that is another script",
    ...workerFile({ body: "let other = 1;" }),
    hurry: 10,
    expect: /not ready within 5 s; expected at worker.js/,
  },
  { name: "worker file of another origin", headers: isolated, options: { threads, workerUrl: "http://127.0.0.1:9/worker.js" }, expect: wrongWorker },
  {
    name: "wasm of a wrong type",
    headers: isolated,
    files: wasmFiles({ headers: { "Content-Type": "text/plain", "X-Content-Type-Options": "nosniff" } }),
    options: { threads },
    expect: 3,
  },
  {
    name: "wasm that is not there",
    headers: isolated,
    files: wasmFiles({ status: 404, body: "no" }),
    options: { threads },
    expect: /wasm could not be read: .*answered 404; expected beside the file that holds this code: copy it there, pass its address as wasm, or import sparse-xent\/inline/,
  },
  {
    name: "wasm that is a page",
    headers: isolated,
    files: wasmFiles(page),
    options: { threads },
    expect: /answered text\/html, which is no wasm; .*pass its address as wasm/,
  },
  {
    name: "in a service worker",
    headers: isolated,
    service: true,
    options: { threads },
    expect: "what it can",
  },
  { name: "wasm from an address", headers: isolated, options: { threads, wasm: "sparse-xent.simd.wasm" }, expect: 3 },
  {
    name: "module and wasm of another origin",
    headers: { ...isolated, "Cross-Origin-Resource-Policy": "cross-origin" },
    module: "elsewhere",
    options: { threads },
    expect: 3,
  },
];

let site: Site;
let elsewhere: Site;
let driver: Driver;
beforeAll(async () => {
  site = await Site.start();
  elsewhere = await Site.start();
  driver = await startBrowser(browser, webkitFlags);
}, 90_000);
afterAll(async () => {
  await driver?.close();
  await site?.close();
  await elsewhere?.close();
});

async function visit({ name, headers = {}, files = {}, options = {}, module, service, hurry = 1 }: Row): Promise<Report> {
  const path = name.replaceAll(/\W+/g, "-");
  const { url, report } = site.serve(path, { headers, files });
  const query = new URLSearchParams({ options: JSON.stringify(options), hurry: String(hurry) });
  if (service) query.set("service", "");
  if (module) {
    const place = elsewhere.serve(path, { headers: { ...headers, "Access-Control-Allow-Origin": "*" }, files });
    query.set("module", new URL("index.js", place.url).href);
  }
  await within(limitMs, "opening the page", driver.open(`${url}?${query}`));
  return (await within(limitMs, "the page's report", report)) as Report;
}

/** Threads of an engine, and why it has one only, as the page's own account has it. */
function whatItCan({ canShare, hasWorkers }: Report): { threads: number; why: RegExp | undefined } {
  if (!canShare) return { threads: 1, why: /not cross-origin isolated|no SharedArrayBuffer/ };
  return hasWorkers ? { threads, why: undefined } : { threads: 1, why: /this thread cannot start workers/ };
}

test.each(rows)("$name", { timeout: 2 * limitMs }, async (row) => {
  const found = await visit(row);
  const { info, losses = [], isWindow, error } = found;
  const violations = found.violations.join(", ").replaceAll(/http\S+\//g, "");
  if (violations !== "" || row.isToldOfAll !== false) expect(violations).toBe(row.violations ?? "");
  if (row.expect instanceof RegExp) {
    expect(error).toMatchObject({ name: "SparseXentError", code: "LOAD_FAILED" });
    expect(error?.message).toMatch(row.expect);
    return;
  }
  expect(error).toBeUndefined();
  const { threads, why } = row.expect === "what it can" ? whatItCan(found) : { threads: row.expect, why: row.why };
  expect(info?.threads).toBe(threads);
  if (threads === 1) expect(info?.whyOneThread).toMatch(why ?? "");
  else expect(info?.whyOneThread).toBeUndefined();
  for (const loss of losses) expect(loss).toBeCloseTo(Math.log(4096), 5);
  expect(isWindow).toBe(true);
});
