// The benches as programs: a small run of every part goes through, a wrong result prints no figure, and what is said of targets follows from the ratios.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, expect, test, vi } from "vitest";
import { pageOf, replaced } from "../ts/docs/places.mjs";
import { ordinary, rowsOf } from "../bench/speed/cases.mjs";
import { contest } from "../bench/speed/contest.mjs";
import { exactGrad, exactLosses } from "../bench/speed/definition.mjs";
import { parts } from "../bench/speed/parts/index.mjs";
import { caption, pictureFile } from "../bench/speed/publish.mjs";
import { speedSection } from "../bench/speed/readme.mjs";
import { readRecord } from "../bench/speed/record.mjs";
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

describe("the page on speed", () => {
  const record = readRecord("speed");

  test("says of speed what the record says", () => {
    expect(pageOf("speed")).toBe(replaced(pageOf("speed"), "speed", speedSection(record)));
  });

  test("shows the picture of the same record", () => {
    expect(readFileSync(pictureFile, "utf8")).toContain(caption(record));
  });

  test("compares the crate with the wasm where the record does", () => {
    const cell = (kernel: string, what: string, wasm: number) => ({ shape: "8192x1000", dtype: "f16", kernel, what, wasm });
    const native = [{ shape: "8192x1000", dtype: "f16", build: "relaxed", what: "loss" }, cell("Lanes8", "loss", 1.5), cell("Lanes8", "in place", 0.75)];
    const text = speedSection({ ...record, parts: { ...record.parts, native } });
    expect(text).toContain("| shape | AVX2: loss | loss and gradient | in place |\n|---|--:|--:|--:|\n| 8192x1000, f16 | 1.50x |  | 0.75x |");
  });

  test("names what was slower", () => {
    const kernels = record.parts.kernels.map((each: { naive?: number }, index: number) => ({ ...each, naive: each.naive && (index === 1 ? 0.77 : 2) }));
    const text = speedSection({ ...record, parts: { ...record.parts, kernels } });
    expect(text).toContain(`Slower than the textbook kernel, on one thread: ${kernels[1].shape} ${kernels[1].what} ${kernels[1].build} (0.77x).`);
  });
});
