// The soak in an isolated page of Chromium: `node chromium.mjs <milliseconds> <program>`.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import process from "node:process";
import { chromium } from "playwright";
import { growth, line, sample } from "./flat.js";

const [milliseconds, program] = process.argv.slice(2);
/** @type {Record<string, URL>} */
const files = {
  "/work.js": new URL("work.js", import.meta.url),
  "/index.js": new URL("../../dist/index.js", import.meta.url),
  "/sparse-xent.relaxed.wasm": new URL("../../dist/sparse-xent.relaxed.wasm", import.meta.url),
  "/sparse-xent.simd.wasm": new URL("../../dist/sparse-xent.simd.wasm", import.meta.url),
};
const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const server = createServer(({ url = "" }, response) => {
  const file = files[url];
  if (file === undefined) return void response.writeHead(200, { ...headers, "Content-Type": "text/html" }).end("<!doctype html><title>soak</title>");
  response.writeHead(200, { ...headers, "Content-Type": url.endsWith(".wasm") ? "application/wasm" : "text/javascript" }).end(readFileSync(file));
}).listen(0, "127.0.0.1");
await once(server, "listening");
const address = server.address();
const port = typeof address === "object" && address !== null ? address.port : 0;

const browser = await chromium.launch({
  ...(program !== undefined && { executablePath: program }),
  // The sandbox needs rights that root in a container does not have.
  args: ["--js-flags=--expose-gc", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])],
});
try {
  const page = await browser.newPage();
  const session = await browser.newBrowserCDPSession();
  const samples = [];
  await page.exposeFunction("told", async (/** @type {Record<string, number>} */ counts) => {
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    const now = sample(processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id));
    samples.push(now);
    console.log(line(now, counts));
  });
  await page.goto(`http://localhost:${port}/`);
  const counts = await page.evaluate(async (time) => {
    // Addresses of the page's own site, which no bundler or type checker knows.
    const [work, index] = ["/work.js", "/index.js"];
    const [{ soak }, { load }] = [await import(work), await import(index)];
    if (!globalThis.crossOriginIsolated) throw new Error("the page is not isolated");
    return soak(load, time, async (/** @type {Record<string, number>} */ soFar) => {
      globalThis.gc?.();
      await /** @type {any} */ (globalThis).told(soFar);
    });
  }, Number(milliseconds));
  const grown = growth(samples);
  console.log(grown.length === 0 ? `flat over ${counts["calls"]} rounds` : grown.join("; "));
  process.exitCode = grown.length === 0 ? 0 : 1;
} finally {
  await browser.close();
  server.close();
}
