// `score`: PyTorch's values on real digits, every option, and files in pieces against one call, bit for bit.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { cli, data, folder, left, npyBytes, random, readNpy, scoreJson, withDictionary, writeBytes, writeNpy, writeNpz, type Numbers, type Report } from "./support.js";

const digits = [data("digits-logits.npy"), data("digits-labels.npy")] as const;

interface Expected {
  readonly options: readonly string[];
  readonly meanLoss: number;
  readonly lossSum: number;
  readonly weightSum: number;
  readonly validCount: number;
  readonly correctCount: number;
  readonly gradNorm: number;
}

const torch = JSON.parse(readFileSync(data("digits.json"), "utf8")) as {
  cases: Record<string, Expected>;
  perClass: readonly { count: number; meanLoss: number; recall: number }[];
};

/** |got - expected| / |expected|, at most 1e-6 if not said otherwise. */
function expectClose(got: number | null, expected: number, bound = 1e-6): void {
  expect(Math.abs((got ?? NaN) - expected)).toBeLessThanOrEqual(bound * Math.abs(expected));
}

describe("digits, against PyTorch in f64, relative error at most 1e-6", () => {
  for (const [name, expected] of Object.entries(torch.cases)) {
    test.concurrent(name, async () => {
      const where = folder();
      const files: Record<string, string> = {
        RAMP: writeNpy(where, "ramp.npy", "<f4", [10], Float32Array.from({ length: 10 }, (_, k) => 0.25 + 0.25 * k)),
        SAW: writeNpy(where, "saw.npy", "<f8", [1797], Float64Array.from({ length: 1797 }, (_, i) => (i % 5) * 0.5)),
      };
      const report = await scoreJson([...digits, ...expected.options.map((option) => files[option] ?? option)]);
      for (const key of ["meanLoss", "lossSum", "weightSum", "gradNorm"] as const) expectClose(report[key], expected[key]);
      expect(report).toMatchObject({ rows: 1797, classes: 10, validCount: expected.validCount, correctCount: expected.correctCount, nonFiniteCount: 0 });
      expect(report["ignoredCount"]).toBe(1797 - expected.validCount);
      expect(report["loss"]).toBe(report.meanLoss);
      expectClose(report["perplexity"] as number, Math.exp(expected.meanLoss));
      expectClose(report["accuracy"] as number, expected.correctCount / expected.validCount);
    });
  }

  test("row losses and gradient, written", async () => {
    const where = folder();
    const [grad, loss] = [join(where, "grad.npy"), join(where, "loss.npy")];
    const report = await scoreJson([...digits, "--grad", grad, "--loss", loss]);
    expect(report["written"]).toEqual({ grad, loss });
    const [losses, expectedLosses] = [readNpy(loss), readNpy(data("digits-loss.npy"))];
    expect([losses.descr, losses.shape]).toEqual(["<f4", [1797]]);
    losses.values.forEach((value, row) => expectClose(value, expectedLosses.values[row] as number));
    const [gradient, expectedGradient] = [readNpy(grad), readNpy(data("digits-grad.npy"))];
    expect([gradient.descr, gradient.shape]).toEqual(["<f4", [1797, 10]]);
    // Relative to each element, however small: 2^-24 (32 + 3 m) with margins m up to 40.
    gradient.values.forEach((value, i) => expectClose(value, expectedGradient.values[i] as number, 2 ** -24 * 152));
  });

  test("the table per class", async () => {
    const { perClass } = await scoreJson(digits);
    expect(perClass.map(({ class: k, count, weight }) => [k, count, weight])).toEqual(torch.perClass.map(({ count }, k) => [k, count, count]));
    perClass.forEach((row, k) => {
      expectClose(row.meanLoss, torch.perClass[k]?.meanLoss ?? NaN);
      expectClose(row.recall, torch.perClass[k]?.recall ?? NaN);
    });
  });
});

describe("the report", () => {
  test("as JSON has these fields and no others", async () => {
    const report = await scoreJson([...digits, "--threads", "1", "--build", "simd"]);
    const types = Object.fromEntries(Object.entries(report).map(([key, value]) => [key, Array.isArray(value) ? "array" : typeof value]));
    expect(types).toEqual({
      logits: "string", labels: "string", shape: "array", dtype: "string", rows: "number", classes: "number", validCount: "number",
      ignoredCount: "number", nonFiniteCount: "number", reduction: "string", loss: "number", meanLoss: "number", lossSum: "number",
      weightSum: "number", perplexity: "number", accuracy: "number", correctCount: "number", gradNorm: "number", perClass: "array",
      engine: "object", chunks: "number", engineMs: "number", totalMs: "number", elementsPerSecond: "number", written: "object",
    });
    expect(report["engine"]).toEqual({ build: "simd", threads: 1, version: "0.1.0" });
    expect(report["written"]).toEqual({ grad: null, loss: null });
  });

  test("as text says the same", async () => {
    const { code, stdout, stderr } = await cli(["score", ...digits, "--ignore-index", "9"]);
    const report = await scoreJson([...digits, "--ignore-index", "9"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(new RegExp(`^mean loss +${Number((report.meanLoss as number).toPrecision(7))}$`, "m"));
    expect(stdout).toMatch(/^rows +1797, 180 of them ignored$/m);
    expect(stdout).toMatch(/^accuracy +\d\d\.\d\d % \(\d+ of 1617\)$/m);
    expect(stdout).toMatch(/^logits +1797 x 10, float32$/m);
    expect((await scoreJson(digits))["dtype"]).toBe("float32");
    expect(stdout).toMatch(/│ +0 │ +178 │/);
    expect(stdout).toMatch(/│ +9 │ +0 │ +- │ +- │/);
  });

  test("shows 40 classes of many, those with most of the loss first, and all in JSON", async () => {
    const where = folder();
    const labels = Uint8Array.from({ length: 100 }, (_, i) => i % 50);
    const logits = Float32Array.from({ length: 5000 }, (_, i) => (i % 50 === labels[Math.floor(i / 50)] ? -(i % 50) : 0));
    const paths = [writeNpy(where, "logits.npy", "<f4", [100, 50], logits), writeNpy(where, "labels.npy", "|u1", [100], labels)];
    const { stdout } = await cli(["score", ...paths]);
    const shown = [...stdout.matchAll(/^│ +(\d+) │/gm)].map((match) => Number(match[1]));
    expect(shown).toEqual(Array.from({ length: 40 }, (_, i) => 49 - i));
    expect(stdout).toContain("40 classes with the largest share of the loss, of 50");
    expect((await scoreJson(paths)).perClass).toHaveLength(50);
  });
});

// 1,100 rows: more than four of the engine's blocks of 256, and no multiple of anything.
const shape = [4, 275];
const rows = 1100;
const classes = 37;

interface Made {
  readonly paths: readonly string[];
  readonly logits: Float32Array;
  readonly labels: Int32Array;
  readonly classWeight: Float64Array;
  readonly sampleWeight: Float32Array;
}

describe("--axis", () => {
  const next = random(5);
  const [outer, classes, inner] = [3, 7, 10];
  const first = Float32Array.from({ length: outer * classes * inner }, () => 4 * next());
  const last = Float32Array.from(first, (_, at) => {
    const [row, k] = [Math.floor(at / classes), at % classes];
    return first[(Math.floor(row / inner) * classes + k) * inner + (row % inner)] as number;
  });
  const labels = Int32Array.from({ length: outer * inner }, (_, row) => (row % 5 === 0 ? -1 : row % classes));
  const sample = Float32Array.from({ length: outer * inner }, (_, row) => 0.5 + (row % 3));
  const args = ["labels.npy", "--sample-weight", "sample.npy", "--class-weight", "balanced", "--ignore-index", "-1", "--grad", "grad.npy", "--loss", "loss.npy"];
  const make = (): string => {
    const where = folder();
    writeNpy(where, "first.npy", "<f4", [outer, classes, 2, 5], first);
    writeNpy(where, "last.npy", "<f4", [outer, 2, 5, classes], last);
    writeNpy(where, "labels.npy", "<i4", [outer, 2, 5], labels);
    writeNpy(where, "sample.npy", "<f4", [outer, 1, 2, 5], sample);
    return where;
  };
  const run = async (where: string, ...more: string[]): Promise<{ report: Report; grad: ReturnType<typeof readNpy>; loss: ReturnType<typeof readNpy> }> => {
    const { code, stdout, stderr } = await cli(["score", ...more, ...args, "--json"], where);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return { report: JSON.parse(stdout) as Report, grad: readNpy(join(where, "grad.npy")), loss: readNpy(join(where, "loss.npy")) };
  };

  test("1 is the same call with classes first", async () => {
    const where = make();
    const one = await run(where, "first.npy", "--axis", "1");
    // The weights' shape keeps the axis of the classes.
    writeNpy(where, "sample.npy", "<f4", [outer, 2, 5], sample);
    const other = await run(where, "last.npy");
    expectClose(one.report.meanLoss, other.report.meanLoss as number);
    expectClose(one.report.gradNorm, other.report.gradNorm as number);
    expect(one.report.perClass.map(({ count }) => count)).toEqual(other.report.perClass.map(({ count }) => count));
    expect([one.grad.shape, one.loss.shape]).toEqual([[outer, classes, 2, 5], [outer, 2, 5]]);
    one.loss.values.forEach((loss, row) => expectClose(loss, other.loss.values[row] as number));
    other.grad.values.forEach((value, at) => {
      const [row, k] = [Math.floor(at / classes), at % classes];
      expectClose(one.grad.values[(Math.floor(row / inner) * classes + k) * inner + (row % inner)] ?? NaN, value, 1e-5);
    });
  });

  test("-3 counts from the end", async () => {
    const where = make();
    expect((await run(where, "first.npy", "--axis", "-3")).report["shape"]).toEqual([outer, classes, 2, 5]);
  });

  test("leaves no trace of where the file was cut, whole positions or parts of one", async () => {
    const where = make();
    const whole = await run(where, "first.npy", "--axis", "1");
    expect(whole.report.chunks).toBe(1);
    for (const [bytes, chunks] of [[classes * inner * 4, 3], [classes * 4 * 4, 9], [1, 15]] as const) {
      const cut = await run(where, "first.npy", "--axis", "1", "--chunk-bytes", String(bytes));
      expect(cut.report.chunks).toBe(chunks);
      expect([cut.grad, cut.loss]).toEqual([whole.grad, whole.loss]);
      expect([cut.report.lossSum, cut.report.gradNorm]).toEqual([whole.report.lossSum, whole.report.gradNorm]);
    }
  });
});

describe("arrays of an .npz archive", () => {
  const npy = (name: string): Uint8Array => readFileSync(data(`digits-${name}.npy`));
  for (const isCompressed of [false, true]) {
    test(isCompressed ? "compressed" : "stored", async () => {
      const where = folder();
      writeNpz(where, "data.npz", { "labels.npy": npy("labels"), "other.npy": npy("labels"), "logits.npy": npy("logits") }, isCompressed);
      writeNpz(where, "one.npz", { "arr_0.npy": npy("labels") }, isCompressed);
      const plain = await scoreJson(digits);
      const calls = [["data.npz", "data.npz"], ["data.npz:logits", "data.npz:other"], ["data.npz", "one.npz"], [digits[0], "one.npz:arr_0"]] as const;
      for (const [logits, labels] of calls) {
        const { code, stdout, stderr } = await cli(["score", logits, labels, "--json"], where);
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
        const report = JSON.parse(stdout) as Report;
        expect([report.lossSum, report.gradNorm, report.correctCount]).toEqual([plain.lossSum, plain.gradNorm, plain.correctCount]);
        expect([report["logits"], report["labels"]]).toEqual([logits, labels]);
      }
      expect(left(where)).toEqual(["data.npz", "one.npz"]);
    });
  }
});

/** Logits of the dtype, labels with -100 here and there, both kinds of weights. */
function make(where: string, dtype: "f2" | "f4" | "f8"): Made {
  const next = random(11);
  const logits = Float32Array.from({ length: rows * classes }, () => Math.round(next() * 64) / 8); // exact in every dtype
  const labels = Int32Array.from({ length: rows }, (_, row) => (row % 13 === 5 ? -100 : Math.floor((next() + 1) * 0.5 * classes)));
  const classWeight = Float64Array.from({ length: classes }, (_, k) => (k % 7) / 3);
  const sampleWeight = Float32Array.from({ length: rows }, (_, row) => (row % 13 === 5 ? NaN : row % 11 === 3 ? 0 : next() + 1.25));
  const stored: Numbers = dtype === "f4" ? logits : dtype === "f8" ? Float64Array.from(logits) : Uint16Array.from(logits, halfOf);
  const paths = [
    writeNpy(where, "logits.npy", `<${dtype}`, [...shape, classes], stored),
    writeNpy(where, "labels.npy", "<i4", shape, labels),
    "--class-weight", writeNpy(where, "class.npy", "<f8", [classes], classWeight),
    "--sample-weight", writeNpy(where, "sample.npy", "<f4", shape, sampleWeight),
    "--ignore-index", "-100",
    "--label-smoothing", "0.125",
  ];
  return { paths, logits, labels, classWeight, sampleWeight };
}

/** The float16 bits of a number that has at most 11 significant bits and a normal exponent, or is 0. */
function halfOf(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(value) / 2 ** exponent - 1) * 1024);
}

/** A report without what differs from run to run. */
function lasting(report: Report): Record<string, unknown> {
  const { chunks: _c, engineMs: _e, totalMs: _t, elementsPerSecond: _s, written: _w, engine: _n, ...rest } = report;
  return rest;
}

describe("a file in pieces gives the bits of the file in one", () => {
  for (const dtype of ["f4", "f2", "f8"] as const) {
    for (const reduction of ["mean", "sum", "none"]) {
      test(`${dtype} logits, reduction ${reduction}`, async () => {
        const where = folder();
        const { paths } = make(where, dtype);
        const run = async (name: string, ...more: string[]): Promise<[Record<string, unknown>, number, Buffer, Buffer]> => {
          const [grad, loss] = [join(where, `${name}-grad.npy`), join(where, `${name}-loss.npy`)];
          const report = await scoreJson([...paths, "--reduction", reduction, "--grad", grad, "--loss", loss, ...more]);
          return [lasting(report), report.chunks, readFileSync(grad), readFileSync(loss)];
        };
        const [whole, one, grad, loss] = await run("whole");
        expect(one).toBe(1);
        const rowBytes = classes * { f2: 6, f4: 4, f8: 8 }[dtype];
        for (const [name, chunkRows] of [["sevens", 7], ["odd", 257], ["most", rows - 1]] as const) {
          const [report, chunks, chunkedGrad, chunkedLoss] = await run(name, "--chunk-bytes", String(chunkRows * rowBytes));
          expect(chunks).toBe(Math.ceil(rows / chunkRows));
          expect(report).toEqual(whole);
          expect([chunkedGrad.equals(grad), chunkedLoss.equals(loss)], name).toEqual([true, true]);
        }
        // Less than a row is taken as a row.
        if (reduction === "mean") expect((await run("rows", "--chunk-bytes", "1")).slice(0, 2)).toEqual([whole, rows]);
      });
    }
  }

  test("and of one call of the library", async () => {
    const where = folder();
    const { paths, logits, labels, classWeight, sampleWeight } = make(where, "f4");
    const grad = join(where, "grad.npy");
    const report = await scoreJson([...paths, "--grad", grad, "--chunk-bytes", "20000"]);
    const xent = await load();
    const options = { shape: [rows, classes], grad: true, classWeight, sampleWeight, ignoreIndex: -100, labelSmoothing: 0.125 } as const;
    const once = xent.crossEntropy(logits, labels, options);
    expect(report.chunks).toBeGreaterThan(5);
    expect([report.meanLoss, report.lossSum, report.weightSum, report.validCount]).toEqual([once.loss, once.lossSum, once.weightSum, once.validCount]);
    const body = readFileSync(grad).subarray(-logits.byteLength);
    expect(Buffer.from(once.grad.toArray().buffer).equals(body)).toBe(true);
    await xent.dispose();
  });

  test("for any number of threads", async () => {
    const where = folder();
    const { paths } = make(where, "f4");
    const [one, three] = [join(where, "one.npy"), join(where, "three.npy")];
    const reports = [await scoreJson([...paths, "--threads", "1", "--grad", one]), await scoreJson([...paths, "--threads", "3", "--grad", three])];
    expect(reports.map((report) => (report["engine"] as { threads: number }).threads)).toEqual([1, 3]);
    expect(lasting(reports[1] as Report)).toEqual(lasting(reports[0] as Report));
    expect(readFileSync(three).equals(readFileSync(one))).toBe(true);
  });
});

describe("reductions", () => {
  test("sum and none differ from the mean by the denominator alone", async () => {
    const where = folder();
    const { paths } = make(where, "f8");
    const grads: Record<string, number[]> = {};
    const reports: Record<string, Report> = {};
    for (const reduction of ["mean", "sum", "none"]) {
      const grad = join(where, `${reduction}.npy`);
      reports[reduction] = await scoreJson([...paths, "--reduction", reduction, "--grad", grad]);
      grads[reduction] = readNpy(grad).values;
    }
    const { mean, sum, none } = reports as Record<"mean" | "sum" | "none", Report>;
    expect([sum["loss"], none["loss"], mean["loss"]]).toEqual([sum.lossSum, null, mean.meanLoss]);
    expect([sum.meanLoss, none.meanLoss]).toEqual([mean.meanLoss, mean.meanLoss]);
    expect(grads["none"]).toEqual(grads["sum"]);
    grads["sum"]?.forEach((value, i) => expect(Math.abs(value / mean.weightSum - (grads["mean"]?.[i] ?? NaN))).toBeLessThan(1e-15));
    expectClose(sum.gradNorm, mean.gradNorm ?? NaN);
    expect(none.gradNorm).toBe(sum.gradNorm);
  });
});

describe("labels", () => {
  const where = folder();
  const logits = writeNpy(where, "logits.npy", "<f4", [6, 4], Float32Array.from({ length: 24 }, (_, i) => Math.sin(i)));
  const values = [0, 1, 2, 3, 2, 1];
  const made: Record<string, Numbers> = {
    "|u1": Uint8Array.from(values), "|i1": Int8Array.from(values), "<u2": Uint16Array.from(values), "<i2": Int16Array.from(values),
    "<u4": Uint32Array.from(values), "<i4": Int32Array.from(values), "<u8": BigUint64Array.from(values, BigInt), "<i8": BigInt64Array.from(values, BigInt),
  };

  test("of every dtype give the same report", async () => {
    const reports = [];
    for (const [descr, array] of Object.entries(made)) {
      const { labels: _, ...report } = lasting(await scoreJson([logits, writeNpy(where, `${descr.slice(1)}.npy`, descr, [6], array)]));
      reports.push(report);
    }
    expect(reports).toHaveLength(8);
    for (const report of reports) expect(report).toEqual(reports[0]);
  });

  test("as a column, and in Fortran order where that is the same", async () => {
    const column = writeNpy(where, "column.npy", "|u1", [6, 1], Uint8Array.from(values));
    const fortran = writeBytes(where, "fortran.npy", withDictionary("{'descr': '|u1', 'fortran_order': True, 'shape': (6,), }", Uint8Array.from(values)));
    const flat = writeNpy(where, "flat.npy", "|u1", [6], Uint8Array.from(values));
    const means = [];
    for (const labels of [column, fortran, flat]) means.push((await scoreJson([logits, labels])).meanLoss);
    expect(new Set(means).size).toBe(1);
  });

  test("of 64 bits are ignored by their exact value", async () => {
    const large = BigUint64Array.of(0n, 2n ** 64n - 1n, 2n, 3n, 2n ** 32n + 1n, 1n);
    const labels = writeNpy(where, "large.npy", "<u8", [6], large);
    const report = await scoreJson([logits, labels, "--ignore-index", String(2n ** 64n - 1n), "--ignore-index", String(2n ** 32n + 1n)]);
    expect([report.validCount, report.perClass.map(({ count }) => count)]).toEqual([4, [1, 1, 1, 1]]);
    const { stderr, code } = await cli(["score", logits, labels, "--ignore-index", String(2n ** 64n - 1n), "--ignore-index", "1"]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("row 4: label got 4294967297")]);
  });

  test("of a single row without an axis of its own", async () => {
    const single = writeNpy(where, "single.npy", "<f8", [3], Float64Array.of(2, -1, 0.5));
    const label = writeNpy(where, "label.npy", "<i8", [], BigInt64Array.of(0n));
    const loss = join(where, "loss.npy");
    expectClose((await scoreJson([single, label, "--loss", loss])).meanLoss, 0.241311296657);
    expect([readNpy(loss).descr, readNpy(loss).shape]).toEqual(["<f8", []]);
  });
});

describe("weights", () => {
  test("balanced: every class that is counted weighs the same, ignored rows and absent classes nothing", async () => {
    const where = folder();
    const labels = Uint8Array.of(0, 0, 0, 0, 1, 1, 9, 9, 9); // class 2 does not occur, 9 is ignored
    const logits = Float32Array.from({ length: 27 }, (_, i) => Math.cos(i));
    const paths = [writeNpy(where, "logits.npy", "<f4", [9, 3], logits), writeNpy(where, "labels.npy", "|u1", [9], labels)];
    const report = await scoreJson([...paths, "--ignore-index", "9", "--class-weight", "balanced"]);
    expect(report.perClass.map(({ weight }) => weight)).toEqual([3, 3, 0]);
    expect([report.weightSum, report.validCount]).toEqual([6, 6]);
    const plain = await scoreJson([...paths, "--ignore-index", "9"]);
    expectClose(report.meanLoss, ((plain.perClass[0]?.meanLoss ?? NaN) + (plain.perClass[1]?.meanLoss ?? NaN)) / 2);
  });

  test("per row may be flat for logits of any rank", async () => {
    const where = folder();
    const { paths } = make(where, "f4");
    const weights = Float64Array.from({ length: rows }, (_, row) => 1 + (row % 3));
    const logitsAndLabels = [...paths.slice(0, 2), "--ignore-index", "-100", "--sample-weight"];
    const flat = await scoreJson([...logitsAndLabels, writeNpy(where, "flat.npy", "<f8", [rows], weights)]);
    const shaped = await scoreJson([...logitsAndLabels, writeNpy(where, "shaped.npy", "<f8", shape, weights)]);
    expect(lasting(flat)).toEqual(lasting(shaped));
  });
});

describe("nothing to count", () => {
  const none: [name: string, logits: number[], labels: number[], args: string[], warning: string][] = [
    ["no rows", [], [], [], "warning: no row is counted: the mean is taken as 0\n"],
    ["every row ignored", [1, 2, 3, 4], [7, 7], ["--ignore-index", "7"], "warning: no row is counted: the mean is taken as 0\n"],
    ["every weight 0", [1, 2, 3, 4], [0, 1], ["--sample-weight", "zeros.npy"], "warning: every weight is 0: the mean is taken as 0\n"],
  ];
  for (const [name, logits, labels, args, warning] of none) {
    test(`${name}: loss and gradient are 0, with a warning`, async () => {
      const where = folder();
      writeNpy(where, "logits.npy", "<f4", [labels.length, 2], Float32Array.from(logits));
      writeNpy(where, "labels.npy", "|u1", [labels.length], Uint8Array.from(labels));
      writeNpy(where, "zeros.npy", "<f4", [labels.length], new Float32Array(labels.length));
      const outcome = await cli(["score", "logits.npy", "labels.npy", ...args, "--grad", "grad.npy", "--json"], where);
      expect([outcome.code, outcome.stderr]).toEqual([0, warning]);
      expect(JSON.parse(outcome.stdout)).toMatchObject({ loss: 0, meanLoss: 0, gradNorm: 0 });
      expect(readNpy(join(where, "grad.npy")).values).toEqual(logits.map(() => 0));
    });
  }
});

test("a row that is not finite is counted, named, and does not touch its neighbours", async () => {
  const where = folder();
  writeBytes(where, "logits.npy", npyBytes("<f4", [3, 2], Float32Array.of(0, 0, 1, NaN, 0, 0)));
  writeBytes(where, "labels.npy", npyBytes("|u1", [3], Uint8Array.of(0, 0, 1)));
  const outcome = await cli(["score", "logits.npy", "labels.npy", "--json", "--loss", "loss.npy"], where);
  expect([outcome.code, outcome.stderr]).toEqual([0, "warning: 1 of 3 rows have a loss that is NaN or infinite, the first is row 1\n"]);
  expect(JSON.parse(outcome.stdout)).toMatchObject({ meanLoss: null, perplexity: null, gradNorm: null, nonFiniteCount: 1, correctCount: 1 });
  expect(readNpy(join(where, "loss.npy")).values).toEqual([Math.fround(Math.LN2), NaN, Math.fround(Math.LN2)]);
  expect((await cli(["score", "logits.npy", "labels.npy"], where)).stdout).toMatch(/^mean loss +nan$/m);
  expect(left(where)).toEqual(["labels.npy", "logits.npy", "loss.npy"]);
});
