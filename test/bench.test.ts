// The benches as programs: a small run of every part goes through, a wrong result prints no figure, and what is said of targets follows from the ratios.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, expect, test, vi } from "vitest";
import { pageOf, replaced } from "../ts/docs/places.mjs";
import { layerTables } from "../bench/last-layer/table.mjs";
import { ordinary, rowsOf } from "../bench/speed/cases.mjs";
import { contest } from "../bench/speed/contest.mjs";
import { exactGrad, exactLosses } from "../bench/speed/definition.mjs";
import { parts } from "../bench/speed/parts/index.mjs";
import { caption, pictureFile } from "../bench/speed/publish.mjs";
import { readRecord as readAccuracy } from "../bench/accuracy/record.mjs";
import { keep } from "../bench/speed/keep.mjs";
import { headline } from "../bench/summary.mjs";
import { speedSection } from "../bench/speed/readme.mjs";
import { baselineOf, readRecords } from "../bench/speed/record.mjs";
import { takeTurns, takeTurnsByClock, timesOf } from "../bench/speed/rounds.mjs";
import { judged } from "../bench/speed/targets.mjs";

const main = fileURLToPath(new URL("../bench/main.mjs", import.meta.url));
const run = (...args: string[]) => spawnSync(process.execPath, [main, ...args], { encoding: "utf8" });

describe("a small run", () => {
  test.each(Object.keys(parts))("%s", (part) => {
    const { status, stdout, stderr } = run("--only", part, "--divide", "512", "--rounds", "1");
    expect(stderr).not.toMatch(/FAIL|Error/);
    expect(stdout).toMatch(/\n.+\n.+\n/);
    expect(status).toBe(0);
  }, 120_000);

  test("this build beside itself, at shapes of any size", () => {
    const { status, stdout, stderr } = run("--against", fileURLToPath(new URL("..", import.meta.url)), "--shapes", "50x33,5x8x8", "--rounds", "1", "--threads", "1");
    expect(stderr).not.toMatch(/FAIL|Error/);
    for (const shape of ["50x33", "5x8x8"]) expect(stdout).toMatch(new RegExp(`\\n${shape}: .+\\n.+accumulate.+\\n +(relaxed t1 .+x\\n +)?simd t1 .+x\\n`));
    expect(status).toBe(0);
  }, 120_000);

  test("a folder without a build is refused", () => {
    expect(run("--against", fileURLToPath(new URL(".", import.meta.url)))).toMatchObject({ status: 1, stderr: expect.stringContaining("no build of the package") as string });
  });

  test("a name that is none is refused", () => {
    for (const args of [["--only", "kernel"], ["--shapes", "7x7"], ["--rounds", "0"], ["--record", "--quick"]]) expect(run(...args)).toMatchObject({ status: 1, stdout: "" });
  });
});

describe("a contest", () => {
  const shape = rowsOf(20, 5);
  const data = ordinary(shape);
  const losses = Float64Array.from(exactLosses(shape, data));
  const grad = Float64Array.from({ length: 20 }, (_, row) => row).reduce<number[]>((all, row) => [...all, ...exactGrad(shape, data, row)], []);
  const mean = losses.reduce((a, b) => a + b, 0) / 20;
  const verdict = (results: object) => {
    const candidate = { what: "loss+grad", run: () => 0, results: () => results, tolerance: { relative: 1e-6, absolute: 1e-30 } };
    return contest(shape, data, [candidate], { rounds: 1, told: () => {} })[0];
  };
  const changed = (numbers: ArrayLike<number>, index: number, value: number) => Array.from(numbers, (each, i) => (i === index ? value : each));

  test("right results get a figure", () => {
    const right = verdict({ mean, losses, grad });
    expect(right).toMatchObject({ lossError: 0, gradError: 0 });
    expect(right?.best).toBeGreaterThan(0);
  });

  test.each([
    ["a mean", { mean: mean * 1.001 }],
    ["a loss", { losses: changed(losses, 7, (losses[7] ?? 0) + 1e-4) }],
    ["a loss that is NaN", { losses: changed(losses, 19, Number.NaN) }],
    ["a gradient", { grad: changed(grad, 33, 0) }],
    ["a gradient that is NaN", { grad: changed(grad, 99, Number.NaN) }],
    ["a gradient that is short", { grad: grad.slice(0, 99) }],
    ["a gradient of another scale", { grad, factor: 0.5 }],
  ])("%s that is off gets none", (_, results) => {
    expect(verdict(results)).toMatchObject({ wrong: expect.any(String) as string });
    expect(verdict(results)).not.toHaveProperty("best");
  });
});

test("candidates take turns, and each is put back before it runs", () => {
  const seen: string[] = [];
  const candidate = (name: string) => ({ before: () => void seen.push(`${name}0`), run: () => void seen.push(name) });
  const times = takeTurns([candidate("a"), candidate("b")], { rounds: 2 });
  expect(seen.join(" ")).toBe("a0 a b0 b b0 b a0 a a0 a b0 b b0 b a0 a");
  expect(times.map(({ all }) => all.length)).toEqual([2, 2]);
});

test("those with clocks of their own take the same turns", async () => {
  const seen: string[] = [];
  const clock = (name: string, ms: number) => () => {
    seen.push(name);
    return Promise.resolve(ms + seen.length);
  };
  const times = await takeTurnsByClock([clock("a", 0), clock("b", 100)], { rounds: 2 });
  expect(seen.join("")).toBe("abbaabba");
  expect(times.map(({ all }) => all)).toEqual([[5, 8], [106, 107]]);
});

test("times: best, median and quartiles", () => {
  expect(timesOf([5, 1, 3, 2, 4])).toMatchObject({ best: 1, median: 3, spread: 2 / 3 });
});

const records = readRecords("speed");
const [record] = records;

/** What the newest record says, as one beside the unrolled baseline or beside the former textbook kernel has it. */
function beside(key: "unrolled" | "naive") {
  const renamed = (each: { what: string; unrolled?: number; naive?: number }) => {
    const { unrolled, naive, ...rest } = each;
    const ratio = unrolled ?? naive;
    return { ...rest, what: each.what.replace(/^(unrolled|naive) /, `${key} `), ...(ratio !== undefined && { [key]: ratio }) };
  };
  const of = (shape: string, ratio: number, more = {}) => ["relaxed", "simd"].map((build) => ({ shape, what: "loss+grad", build, threads: 1, nsPerLogit: 1, [key]: ratio, ...more }));
  const { kernels, batch, growth, classes, planes, ...parts } = record.parts;
  const sweeps = { classes: [...of("127100x33", 1.25, { classes: 33 }), ...of("993x33", 1.75)], planes: of("33x32x32", 2.5) };
  const rows = growth.filter(({ classes: count }: { classes?: number }) => count === undefined);
  const all = { ...parts, kernels: kernels.map(renamed), batch: batch.map(renamed) };
  return { ...record, family: "here", file: "speed.here.json", parts: key === "unrolled" ? { ...all, growth: rows, ...sweeps } : { ...all, growth: [...rows, ...sweeps.classes] } };
}

test("a record keeps what is read of it, and no more", () => {
  const ours = { shape: "500x33", what: "loss", build: "relaxed", threads: 1, unrolled: 2 };
  const run = { classes: [{ ...ours, best: 1, spread: 0.1, gigabytes: 3 }, { ...ours, what: "textbook loss+grad" }], overhead: [{ what: "tensors, loss", sync: { median: 2 } }] };
  expect(keep(run)).toEqual({ ...run, classes: [ours] });
  // What a record has lost would be missing in the pages, which are compared with it below.
  for (const { parts } of records) expect(keep(parts)).toEqual(parts);
});

describe("targets", () => {
  const verdicts = (results: Record<string, object[]>, what: string) => judged(results).find((each) => each.what === what) ?? expect.fail(what);
  const cell = (shape: string, unrolled: number) => ({ shape, what: "loss", build: "relaxed", threads: 1, unrolled });

  test("are met where every measurement meets them, and missed by the worst", () => {
    const few = "4 to 96 classes, relaxed";
    expect(verdicts({ classes: [cell("500x4", 1.4), cell("500x96", 2), cell("500x97", 1), cell("9x8x8", 1)] }, few)).toMatchObject({ verdict: "met", of: 2 });
    const missed = verdicts({ classes: [cell("500x4", 1.399), cell("500x96", 2)], kernels: [cell("50x33", 1.2)] }, few);
    expect(missed).toMatchObject({ verdict: "missed", missed: 2, of: 3, worst: { name: "50x33 loss", value: 1.2 } });
    expect(verdicts({}, few)).toMatchObject({ verdict: "not measured", of: 0 });
  });

  test("of a cost are met from below", () => {
    const cost = (value: number) => verdicts({ options: [{ shape: "65536x33", option: "zLoss", what: "loss", cost: value }] }, "options at 33 classes").verdict;
    expect([cost(1.3), cost(1.31)]).toEqual(["met", "missed"]);
  });

  test.skipIf(baselineOf(record).key === "naive")("each has a shape, a part and a word of those that are measured", () => {
    const absent = judged(record.parts).filter(({ verdict }) => verdict === "not measured");
    expect(absent.map(({ what }) => what)).toEqual([]);
  });
});

test("a clock that shows no time for a call makes it repeat more often, and not for ever", () => {
  let calls = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => Math.floor(calls / 8));
  try {
    const [times] = takeTurns([{ run: () => (calls += 1) }], { rounds: 1, leastMs: 5 });
    expect(times?.best).toBeGreaterThan(0);
    expect(calls).toBeLessThan(200);
  } finally {
    clock.mockRestore();
  }
});

test("the page on the last layer says what its records say", () => {
  expect(pageOf("linear")).toBe(replaced(pageOf("linear"), "linear", layerTables(readRecords("linear"))));
});

describe("the page on speed", () => {
  test("says of speed what the records say", () => {
    expect(pageOf("speed")).toBe(replaced(pageOf("speed"), "speed", speedSection(records)));
  });

  test("shows the picture of the newest record", () => {
    expect(readFileSync(pictureFile, "utf8")).toContain(caption(record));
  });

  test("shows two processors beside each other", () => {
    const one = beside("unrolled");
    const other = { ...one, family: "other-core", file: "speed.other-core.json" };
    const text = speedSection([one, other]);
    for (const { family, file } of [one, other]) expect(text).toContain(`**${family}** ([record](../../bench/record/${file}))`);
    expect(text).toContain("| classes | here: in cache, `relaxed` | here: `simd` | here: out of cache, `relaxed` | here: `simd` | other-core: in cache, `relaxed` |");
    expect(text).toContain("| 33 | 1.75x | 1.75x | 1.25x | 1.25x | 1.75x | 1.75x | 1.25x | 1.25x |");
    expect(text).toContain("| 33 | 2.50x, 2.50x |");
    expect(text).toMatch(/\| here: loss \(x unrolled\) \|.* \| here: unrolled \|.* \| other-core: loss \(x unrolled\) \|/);
  });

  test("calls what a record was beside by its name", () => {
    const [now, former] = [beside("unrolled"), { ...beside("naive"), family: "other-core" }];
    const accuracy = readAccuracy();
    expect(speedSection([now])).not.toContain("textbook");
    const old = speedSection([former]);
    expect(old).toMatch(/\| loss \(x former textbook\) \|.* \| former textbook \|/);
    expect(old.replaceAll("\n", " ")).toContain("slower than the unrolled baseline");
    expect(old).not.toMatch(/x unrolled|\| unrolled \|/);
    const both = speedSection([now, former]);
    expect(both).toMatch(/\| here: loss \(x unrolled\) \|.* \| other-core: loss \(x former textbook\) \|/);
    expect(both).toContain("| classes | here: in cache, `relaxed` | here: `simd` | here: out of cache, `relaxed` | here: `simd` |\n");
    expect(headline({ speed: now, peers: {}, accuracy })).toContain("unrolled by four");
    expect(headline({ speed: former, peers: {}, accuracy })).toContain("that is not unrolled");
  });

  test("compares the crate with the wasm where the record does", () => {
    const cell = (kernel: string, what: string, wasm: number) => ({ shape: "8192x1000", dtype: "f16", kernel, what, wasm });
    const native = [{ shape: "8192x1000", dtype: "f16", build: "relaxed", what: "loss" }, cell("Lanes8", "loss", 1.5), cell("Lanes8", "in place", 0.75)];
    const text = speedSection([{ ...record, parts: { ...record.parts, native } }]);
    expect(text).toContain("| shape | AVX2: loss | loss and gradient | in place |\n|---|--:|--:|--:|\n| 8192x1000, f16 | 1.50x |  | 0.75x |");
  });

  test("names what was slower", () => {
    for (const key of ["unrolled", "naive"] as const) {
      const { parts, ...head } = beside(key);
      const set = (all: object[], at: number) => all.map((each, index) => (key in each ? { ...each, [key]: index === at ? 0.77 : 2 } : each));
      const text = speedSection([{ ...head, parts: { ...parts, kernels: set(parts.kernels, 1), ...(key === "unrolled" && { planes: set(parts.planes, 0) }) } }]);
      const { shape, what, build } = parts.kernels[1];
      const planes = key === "unrolled" ? ", 33x32x32 loss+grad relaxed (0.77x)." : ". Accumulating";
      expect(text.replaceAll("\n", " ")).toContain(`Slower than the ${key === "naive" ? "former textbook" : key} kernel, on one thread: ${shape} ${what} ${build} (0.77x)${planes}`);
    }
  });
});
