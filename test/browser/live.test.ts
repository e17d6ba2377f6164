// The live page of `npm run page`, opened as it is built, isolated and not: each demonstration produces its figures, and nothing complains. Runs in Node,
// once for each browser that is here. `npm test` builds the page; where its packages cannot be had, this is skipped.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { startBrowser, webkitFlags, within, type Driver } from "./drivers.ts";
import { Site, isolation } from "./site.ts";

const browser = inject("host").browser ?? "chromium";
const limitMs = 200_000;
const folder = fileURLToPath(new URL("../../target/page/", import.meta.url));
const isBuilt = existsSync(`${folder}index.html`);

interface Scored {
  readonly losses: readonly number[];
  readonly text: string;
  readonly perplexity: number;
}

interface Outcome {
  readonly what: string;
  readonly threads?: number;
  readonly nsPerLogit?: number;
  readonly wrong?: string;
}

interface Report {
  readonly errors: readonly string[];
  readonly longestBlockMs: number;
  readonly totalMs: number;
  readonly overflow: number;
  readonly host: { readonly threads: string; readonly isolated: string };
  readonly why: string;
  readonly readme: string;
  readonly learn: { readonly before: number; readonly step: number; readonly accuracy: number; readonly loss: number; readonly misled: number };
  readonly segmentation: {
    readonly losses: readonly [first: number, stroke: number, ignored: number, unlearned: number, learned: number];
    readonly valid: readonly [first: number, ignored: number];
    readonly mapChanged: boolean;
    readonly memory: { readonly tensors: number; readonly used: number; readonly oneHot: number };
  };
  readonly surprise: { readonly first: Scored; readonly second: Scored; readonly detail: string; readonly left: string };
  readonly speed: {
    readonly figures: { readonly isolated: boolean; readonly engine: { readonly threads: number }; readonly lines: readonly { readonly shape: string; readonly rows: number; readonly classes: number; readonly outcomes: readonly Outcome[] }[] };
    readonly cells: readonly string[];
  };
}

describe.skipIf(!isBuilt).each([
  { how: "isolated", headers: isolation },
  { how: "not isolated", headers: {} },
])("the live page, $how", ({ how, headers }) => {
  let site: Site;
  let driver: Driver;
  let report: Report;
  beforeAll(async () => {
    site = await Site.start();
    driver = await startBrowser(browser, webkitFlags);
    const probe = readFileSync(new URL("./live.probe.js", import.meta.url), "utf8");
    const body = readFileSync(`${folder}index.html`, "utf8").replace("<head>", () => `<head><script>${probe}</script>`);
    const page = site.serve(how.replace(" ", "-"), { headers, folder, files: { "page.html": { body } } });
    await within(limitMs, "opening the page", driver.open(page.url));
    report = (await within(limitMs, "the page's report", page.report)) as Report;
  }, 2 * limitMs);
  afterAll(async () => {
    await driver?.close();
    await site?.close();
  });

  test("nothing complains, and the page never stands still for long", () => {
    expect(report.errors).toEqual([]);
    // A busy machine makes both longer; a page that learns or measures in one go stands still for most of its time.
    expect(report.longestBlockMs).toBeLessThan(report.totalMs / 4);
  });

  test("says what it runs on", () => {
    expect(report.host.isolated).toBe(String(how === "isolated"));
    expect(report.readme).toMatch(/^# sparse-xent\n/);
    if (how === "isolated") expect(report.why).toMatch(/uses \d+ threads|One thread: the machine/);
    else expect(report.why).toMatch(/^One thread: .*Cross-Origin-Opener-Policy/);
  });

  test("learns to read digits, and unlearns it from wrong labels", () => {
    const { before, accuracy, loss, misled, step } = report.learn;
    expect(before).toBeLessThan(0.4);
    expect(step).toBeGreaterThan(0);
    expect(accuracy).toBeGreaterThan(0.8);
    expect(misled).toBeGreaterThan(2 * loss);
  });

  test("a stroke changes the loss map, ignored pixels leave it, and the gradient lowers it", () => {
    const { losses, valid, mapChanged, memory } = report.segmentation;
    const [first, stroke, , unlearned, learned] = losses;
    expect(mapChanged).toBe(true);
    expect(stroke).toBeGreaterThan(1.5 * first);
    expect(learned).toBeLessThan(unlearned / 4);
    expect(valid[0]).toBe(160 * 120);
    expect(valid[1]).toBeLessThan(valid[0]);
    // Labels of a byte, logits and gradient of 33 floats, for each pixel; other tensors of the page are in the same engine.
    expect(memory.tensors).toBe(160 * 120 * (1 + 2 * 33 * 4));
    expect(memory.used).toBeGreaterThanOrEqual(memory.tensors);
    expect(memory.oneHot).toBe(160 * 120 * 33 * 4);
  });

  test("perplexity is exp of the mean loss of the tokens that are shown", () => {
    const { first, second, detail, left } = report.surprise;
    for (const { losses, perplexity } of [first, second]) {
      expect(losses.length).toBeGreaterThan(10);
      for (const loss of losses) expect(loss).toBeGreaterThan(0);
      expect(perplexity).toBeCloseTo(Math.exp(losses.reduce((sum, loss) => sum + loss, 0) / losses.length), 6);
    }
    // From the two novels the first text is likelier, token by token, than the second.
    expect(first.perplexity).toBeLessThan(second.perplexity);
    expect(first.perplexity).toBeLessThan(2000);
    expect(second.text.replaceAll("·", "")).toBe("Zürich 日本 \u{1f600} <|endoftext|> said Sherlock Holmes");
    expect(detail).toMatch(/loss \d+\.\d\d nats, probability .*Likeliest here: /);
    expect(left).toBe("");
  });

  test("measures this browser, and finds every candidate right", () => {
    const { figures, cells } = report.speed;
    expect(figures.isolated).toBe(how === "isolated");
    expect(figures.engine.threads).toBe(Number(report.host.threads));
    expect(figures.lines).toHaveLength(5);
    for (const { shape, rows, classes, outcomes } of figures.lines) {
      expect([`${rows}x${classes}`, `${classes}x${rows}`]).toContain(shape);
      const whats = outcomes.map(({ what, threads = 1 }) => (threads > 1 ? `${what}, threads` : what));
      expect(whats).toEqual(expect.arrayContaining(["loss+grad", "plain loop"]));
      expect(whats.includes("loss+grad, threads")).toBe(figures.engine.threads > 1);
      for (const { what, wrong, nsPerLogit } of outcomes) {
        expect(wrong, what).toBeUndefined();
        expect(nsPerLogit, what).toBeGreaterThan(0);
      }
    }
    // TensorFlow.js takes part in every shape whose classes are last.
    expect(figures.lines.filter(({ outcomes }) => outcomes.some(({ what }) => what === "tfjs"))).toHaveLength(4);
    expect(cells.filter((cell) => /^\d/.test(cell)).length).toBeGreaterThanOrEqual(14);
  });
});
