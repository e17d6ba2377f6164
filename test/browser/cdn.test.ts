// The package as a content delivery network serves it: its files as they are, from an origin of their own that allows every other. A page imports the one-file form, to
// which the bare addresses lead, and an adapter. Runs in Node, once for each browser that is here.
import { readFileSync } from "node:fs";
import { transform } from "esbuild";
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
  readonly canShare: boolean;
  readonly losses: readonly number[];
  /** By the adapter. */
  readonly logProb: number;
  readonly origins: readonly string[];
}

/** What networks of this kind send with every file. */
const open = { "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin", "X-Content-Type-Options": "nosniff" };

let given: Consumer;
let network: Site;
let site: Site;
let driver: Driver;
let fields: { readonly version: string; readonly unpkg: string; readonly jsdelivr: string };
beforeAll(async () => {
  given = await consumer();
  fields = JSON.parse(readFileSync(`${given.installed}/package.json`, "utf8"));
  network = await Site.start();
  site = await Site.start();
  driver = await startBrowser(browser, webkitFlags);
  const oneFile = readFileSync(`${given.installed}/dist/inline.js`, "utf8");
  const { code } = await transform(oneFile, { minify: true, format: "esm" });
  network.serve(`sparse-xent@${fields.version}`, {
    headers: open,
    folder: `${given.installed}/`,
    files: {
      // One network redirects the bare address to the file of the field, the other answers with it.
      "": { status: 302, headers: { Location: `/sparse-xent@${fields.version}/${fields.unpkg.replace("./", "")}` }, body: "" },
      // Bundled once more, as one of them does where it is asked to.
      "dist/inline.js/+esm": { headers: { "Content-Type": "text/javascript" }, body: code },
    },
  });
}, 90_000);
afterAll(async () => {
  await driver?.close();
  await network?.close();
  await site?.close();
  given?.remove();
});

test("the bare addresses lead to the one-file form", () => {
  expect([fields.unpkg, fields.jsdelivr]).toEqual(["./dist/inline.js", "./dist/inline.js"]);
});

const page = (module: string, adapter: string): string => `<!doctype html><meta charset="utf-8"><title>network</title><link rel="icon" href="data:,"><script type="module">
const run = async () => {
  const { load } = await import(${JSON.stringify(module)});
  const { tokenLogProbs } = await import(${JSON.stringify(adapter)});
  const xent = await load({ threads: 3 });
  const call = [new Float32Array([1, 1, 1, 1, 1, 2, 3, 4]), [3, 0], { shape: [2, 4] }];
  const losses = [xent.crossEntropy(...call).loss, (await xent.crossEntropyAsync(...call)).loss];
  const logProb = tokenLogProbs(xent, { data: call[0], dims: [2, 4] }, [0, 3]).logProbs[1];
  const { info } = xent;
  await xent.dispose();
  const origins = [...new Set(performance.getEntriesByType("resource").map(({ name }) => new URL(name).origin))];
  return { info, losses, logProb, origins, canShare: crossOriginIsolated && typeof SharedArrayBuffer === "function" };
};
run().catch((error) => ({ error: String(error) })).then((found) => fetch("report", { method: "POST", body: JSON.stringify(found) }));
</script>`;

const forms = [
  ["the raw file", "/dist/inline.js"],
  ["the bare address", ""],
  ["bundled once more", "/dist/inline.js/+esm"],
] as const;

test.each(forms.flatMap(([form, path]) => [[form, "isolated", path, isolation] as const, [form, "not-isolated", path, {}] as const]))(
  "%s, %s",
  { timeout: 2 * limitMs },
  async (form, kind, path, headers) => {
    const home = `${network.origin}/sparse-xent@${fields.version}`;
    const { url, report } = site.serve(`${form}-${kind}`.replaceAll(" ", "-"), { headers, files: { "page.html": { body: page(`${home}${path}`, `${home}/dist/lm.js`) } } });
    await within(limitMs, "opening the page", driver.open(url));
    const { error, info, losses, logProb, canShare, origins } = (await within(limitMs, "the page's report", report)) as Report;
    expect(error).toBeUndefined();
    expect(info.threads).toBe(canShare ? 3 : 1);
    if (kind === "not-isolated") expect(info.whyOneThread).toMatch(/not cross-origin isolated/);
    for (const loss of losses) expect(loss).toBeCloseTo(2.413242, 5);
    expect(logProb).toBeCloseTo(-Math.log(4), 5);
    // Nothing is fetched but what was imported.
    expect(origins.filter((origin) => origin.startsWith("http"))).toEqual([network.origin]);
  },
);
