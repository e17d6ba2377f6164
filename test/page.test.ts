// `npm run page` serves a flat folder on this machine: with the two headers or without, and nothing but its own files.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { afterAll, expect, test } from "vitest";
import { isolation, page, serve } from "../ts/page/build.mjs";

const folder = mkdtempSync(`${tmpdir()}/sparse-xent-page-`);
writeFileSync(`${folder}/index.html`, "<title>page</title>");
writeFileSync(`${folder}/main.js`, "export {};");
writeFileSync(`${folder}/secret`, "no ending that is served");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function get(headers: Readonly<Record<string, string>>, path: string): Promise<{ status: number; headers: Headers; text: string }> {
  const server = await serve(folder, { port: 0, headers });
  try {
    const response = await fetch(`http://localhost:${(server.address() as AddressInfo).port}${path}`);
    return { status: response.status, headers: response.headers, text: await response.text() };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("the page itself, isolated", async () => {
  const { status, headers, text } = await get(isolation, "/");
  expect({ status, text }).toEqual({ status: 200, text: "<title>page</title>" });
  expect(headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(headers.get("cross-origin-opener-policy")).toBe("same-origin");
  expect(headers.get("cross-origin-embedder-policy")).toBe("require-corp");
});

test("a worker's file has the headers too, which browsers ask of it", async () => {
  const { headers } = await get(isolation, "/main.js?1");
  expect(headers.get("content-type")).toBe("text/javascript; charset=utf-8");
  expect(headers.get("cross-origin-embedder-policy")).toBe("require-corp");
});

test("--plain: without them", async () => {
  const { status, headers } = await get({}, "/index.html");
  expect(status).toBe(200);
  expect(headers.get("cross-origin-opener-policy")).toBeNull();
});

test.each(["/no-such.js", "/secret", "/..%2fpackage.json", "/%2e%2e/%2e%2e/etc/passwd", "/folder/main.js", "//etc/hosts.js"])("%s is not served", async (path) => {
  expect((await get(isolation, path)).status).toBe(404);
});

test.each([[["--prot", "1"]], [["--port", "web"]], [["--port", "70000"]], [["stray"]]])("%j is refused, with what there is", async (args) => {
  await expect(page(args)).rejects.toThrow(/usage: npm run page/);
});
