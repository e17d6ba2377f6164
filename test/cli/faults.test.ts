// Bad input: one line that names the file, what was found and what was expected; exit code 1; no stack trace; nothing written.

import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { cli, data, folder, left, npyBytes, withDictionary, writeBytes, writeNpy, writeNpz, type Outcome } from "./support.js";

const rows = 6;
const classes = 4;
const someLogits = Float32Array.from({ length: rows * classes }, (_, i) => (i % 5) - 2);
const someLabels = Uint8Array.of(0, 1, 2, 3, 2, 1);
const goodLogits = npyBytes("<f4", [rows, classes], someLogits);
const goodLabels = npyBytes("|u1", [rows], someLabels);
const longs = (...values: bigint[]): BigInt64Array => BigInt64Array.from(values);

interface Fault {
  readonly name: string;
  /** What lies in the file, `goodLogits` and `goodLabels` where not given. */
  readonly logits?: Uint8Array;
  readonly labels?: Uint8Array;
  readonly weights?: Uint8Array;
  readonly args?: readonly string[];
  /** All of these are in the message. */
  readonly says: readonly string[];
}

const order = (descr: string, fortran: string, shape: string): string => `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }`;
const classWeight = ["--class-weight", "weights.npy"];
const sampleWeight = ["--sample-weight", "weights.npy"];

const faults: readonly Fault[] = [
  { name: "an empty file", logits: new Uint8Array(0), says: ["logits.npy", "empty file"] },
  { name: "text", logits: Buffer.from("1,2,3\n4,5,6\n"), says: ["logits.npy", "31 2c 32", "\\x93NUMPY", 'hint: np.save("logits.npy", np.loadtxt('] },
  { name: "a pickle of PyTorch's", logits: Uint8Array.of(0x80, 2, 0x8a, 0x0a), says: ["logits.npy", "80 02 8a 0a", 'hint: np.save("logits.npy", torch.load('] },
  { name: "what begins as an archive", logits: Buffer.from("PK\u0003\u0004xxxxxxxx"), says: ["logits.npy", "cannot be read as an .npz archive"] },
  { name: "an archive cut short", logits: zipSync({ "logits.npy": Uint8Array.from(goodLogits) }).subarray(0, 100), says: ["logits.npy", "cannot be read as an .npz archive"] },
  { name: "an archive without an array", logits: zipSync({ "readme.txt": Uint8Array.of(1) }), says: ["logits.npy", "holds no .npy array, expected an .npz archive"] },
  { name: "a PyTorch file", logits: zipSync({ "archive/data.pkl": Uint8Array.of(1) }), says: ["logits.npy", "but a PyTorch file", "torch.load("] },
  { name: "an archive of several arrays, none of which is called logits", logits: zipSync({ "a.npy": Uint8Array.from(goodLogits), "b.npy": Uint8Array.from(goodLogits) }), says: ["logits.npy", "several arrays (a, b), expected the name of one", "hint: logits.npy:a"] },
  { name: "a truncated array in an archive", logits: zipSync({ "logits.npy": Uint8Array.from(goodLogits.subarray(0, 200)) }), says: ["logits.npy:logits", "truncated", "got 72 bytes", "expected 96"] },
  { name: "a header cut short", logits: goodLogits.subarray(0, 60), says: ["logits.npy", "header is cut off: got 60 bytes, expected 128"] },
  { name: "magic alone", logits: goodLogits.subarray(0, 6), says: ["logits.npy", "cut off after the magic"] },
  { name: "truncated data", logits: goodLogits.subarray(0, goodLogits.length - 1), says: ["logits.npy", "truncated", "got 95 bytes", "expected 96", "(6, 4) of <f4"] },
  { name: "trailing bytes", logits: Buffer.concat([goodLogits, Uint8Array.of(0)]), says: ["logits.npy", "trailing bytes", "got 97 bytes", "expected 96"] },
  { name: "truncated labels", labels: goodLabels.subarray(0, goodLabels.length - 2), says: ["labels.npy", "truncated", "got 4 bytes", "expected 6"] },
  { name: "integer logits", logits: npyBytes("<i4", [rows, classes], new Int32Array(24)), says: ["logits.npy", "dtype got <i4", "<f4, <f2, <f8", 'a.astype("<f4")'] },
  { name: "complex logits", logits: npyBytes("<c8", [rows, 2], someLogits), says: ["logits.npy", "dtype got <c8"] },
  { name: "big-endian logits", logits: npyBytes(">f4", [rows, classes], someLogits), says: ["logits.npy", ">f4 (big-endian)", 'a.astype("<f4")'] },
  { name: "big-endian labels", labels: npyBytes(">i8", [rows], new BigInt64Array(rows)), says: ["labels.npy", ">i8 (big-endian)", 'a.astype("<i8")'] },
  { name: "Fortran-ordered logits", logits: withDictionary(order("<f4", "True", "(6, 4)"), new Uint8Array(96)), says: ["logits.npy", "Fortran", "np.ascontiguousarray"] },
  { name: "an object array", labels: withDictionary(order("|O", "False", "(6,)"), Buffer.from("\u0080\u0004K\u0001.")), says: ["labels.npy", "|O (Python objects)"] },
  { name: "a structured array", logits: withDictionary("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }"), says: ["logits.npy", "structured"] },
  { name: "a broken header", logits: withDictionary("{'descr': '<f4', "), says: ["logits.npy", "header at byte"] },
  { name: "float labels", labels: npyBytes("<f4", [rows], new Float32Array(rows)), says: ["labels.npy", "dtype got <f4", "|u1, |i1, <i2, <u2, <i4, <u4, <i8, <u8"] },
  { name: "boolean labels", labels: npyBytes("|b1", [rows], someLabels), says: ["labels.npy", "dtype got |b1"] },
  { name: "logits without an axis", logits: npyBytes("<f4", [], Float32Array.of(1)), says: ["logits.npy", "shape got ()", "at least one axis, that of the classes"] },
  { name: "no classes", logits: npyBytes("<f4", [rows, 0], new Float32Array(0)), says: ["logits.npy", "(6, 0)", "at least one class"] },
  { name: "labels of another length", labels: npyBytes("|u1", [5], new Uint8Array(5)), says: ["labels.npy", "(5,)", "(6,) or (6, 1)", "(6, 4)"] },
  { name: "labels of another rank", labels: npyBytes("|u1", [2, 3], someLabels), says: ["labels.npy", "(2, 3)", "expected (6,)", "labels.reshape(6,)"] },
  { name: "one-hot labels", labels: npyBytes("|u1", [rows, classes], new Uint8Array(24)), says: ["labels.npy", "(6, 4)", "expected (6,)", "hint: these look one-hot"] },
  { name: "labels for another axis", labels: npyBytes("|u1", [classes], new Uint8Array(4)), says: ["labels.npy", "(4,)", "expected (6,)", "axis -1", "hint: --axis 0"] },
  { name: "an axis that is not there", args: ["--axis", "2"], says: ["logits.npy", "axis got 2, expected -2..1 for shape (6, 4)"] },
  { name: "a shape whose product does not exist", logits: withDictionary(order("<f4", "False", "(4294967296, 4294967296, 4)")), says: ["logits.npy", "2^53"] },
  { name: "a label too large", labels: npyBytes("|u1", [rows], Uint8Array.of(0, 1, 4, 3, 9, 1)), says: ["labels.npy", "row 2: label got 4", "0..3 (4 classes)", "2 such labels of 6", "--ignore-index 4"] },
  { name: "a negative label", labels: npyBytes("<i4", [rows], Int32Array.of(0, 1, 2, 3, -100, 1)), says: ["labels.npy", "row 4: label got -100", "1 such label of 6", "--ignore-index -100"] },
  { name: "a label of 2^32, which is not class 0", labels: npyBytes("<i8", [rows], longs(0n, 1n, 2n ** 32n, 3n, 2n, 1n)), says: ["labels.npy", "row 2: label got 4294967296"] },
  { name: "a label of -2^32, which is not class 0", labels: npyBytes("<i8", [rows], longs(0n, -(2n ** 32n), 2n, 3n, 2n, 1n)), says: ["labels.npy", "row 1: label got -4294967296"] },
  { name: "a label of 2^64 - 1", labels: npyBytes("<u8", [rows], BigUint64Array.of(0n, 1n, 2n, 3n, 2n, 2n ** 64n - 1n)), says: ["labels.npy", "row 5: label got 18446744073709551615"] },
  { name: "a label that another was ignored for", labels: npyBytes("<i4", [rows], Int32Array.of(-1, 1, -2, 3, 2, 1)), args: ["--ignore-index", "-1"], says: ["labels.npy", "row 2: label got -2"] },
  { name: "too few class weights", weights: npyBytes("<f4", [3], new Float32Array(3)), args: classWeight, says: ["weights.npy", "(3,)", "expected (4,)"] },
  { name: "class weights of another rank", weights: npyBytes("<f4", [2, 2], new Float32Array(4)), args: classWeight, says: ["weights.npy", "(2, 2)", "expected (4,)"] },
  { name: "a negative class weight", weights: npyBytes("<f4", [4], Float32Array.of(1, 1, -0.5, 1)), args: classWeight, says: ["weights.npy", "class 2: weight got -0.5", "at least 0"] },
  { name: "a class weight that is NaN", weights: npyBytes("<f8", [4], Float64Array.of(1, NaN, 1, 1)), args: classWeight, says: ["weights.npy", "class 1: weight got NaN", "finite"] },
  { name: "integer class weights", weights: npyBytes("<i4", [4], new Int32Array(4)), args: classWeight, says: ["weights.npy", "dtype got <i4", "<f4, <f8"] },
  { name: "too many sample weights", weights: npyBytes("<f4", [7], new Float32Array(7)), args: sampleWeight, says: ["weights.npy", "(7,)", "expected (6,)"] },
  { name: "a negative sample weight", weights: npyBytes("<f8", [6], Float64Array.of(1, 1, 1, 1, 1, -2)), args: sampleWeight, says: ["weights.npy", "row 5: sample weight got -2", "at least 0"] },
  { name: "an infinite sample weight", weights: npyBytes("<f4", [6], Float32Array.of(1, Infinity, 1, 1, 1, 1)), args: sampleWeight, says: ["weights.npy", "row 1: sample weight got Infinity", "finite"] },
];

// Headers of 128 bytes that ask for more than a machine has. The file is as long as they say: there are no rows.
const claims: readonly (readonly [shape: string, says: string])[] = [
  ["(0, 2147483647)", "classes got 2147483647, expected at most 2097152"],
  ["(0, 2097153)", "classes got 2097153, expected at most 2097152"],
  ["(0, 9007199254740991)", "classes got 9007199254740991, expected at most 2097152"],
  ["(4503599627370496, 0, 500000000)", "classes got 500000000, expected at most 2097152"],
  ["(4503599627370496, 0)", "at least one class"],
];
const labelClaims: readonly (readonly [shape: string, says: string])[] = [
  ["(0, 9007199254740991)", "labels got shape (0, 9007199254740991), expected (6,)"],
  ["(9007199254740991, 0)", "labels got shape (9007199254740991, 0), expected (6,)"],
];

/** One line on standard error, nothing on standard output, no trace of the source. */
function expectFault(outcome: Outcome, says: readonly string[], code = 1): void {
  expect(outcome.stdout).toBe("");
  expect(outcome.stderr).toMatch(/^error: [^\n]+\n$/);
  expect(outcome.stderr).not.toMatch(/\bat \S+:\d+|node:internal|Error:|undefined|bug in sparse-xent/);
  for (const part of says) expect(outcome.stderr).toContain(part);
  expect(outcome.code).toBe(code);
}

describe("bad files give one line, exit code 1, and write nothing", () => {
  for (const fault of faults) {
    test.concurrent(fault.name, async () => {
      const where = folder();
      writeBytes(where, "logits.npy", fault.logits ?? goodLogits);
      writeBytes(where, "labels.npy", fault.labels ?? goodLabels);
      if (fault.weights !== undefined) writeBytes(where, "weights.npy", fault.weights);
      const before = left(where);
      const outputs = ["--grad", "grad.npy", "--loss", "loss.npy"];
      expectFault(await cli(["score", "logits.npy", "labels.npy", ...(fault.args ?? []), ...outputs], where), fault.says);
      expect(left(where)).toEqual(before);
    });
  }
});

describe("a header may ask for anything: the answer is an error, at once", () => {
  // A machine that gives the memory would take a minute for it, another one ends the process.
  const atOnce = { timeout: 10_000 };
  for (const [shape, says] of claims) {
    test.concurrent(`logits of ${shape}`, atOnce, async () => {
      const where = folder();
      writeBytes(where, "logits.npy", withDictionary(order("<f4", "False", shape)));
      writeBytes(where, "labels.npy", withDictionary(order("|u1", "False", `${shape.slice(0, shape.lastIndexOf(",") + 1)})`)));
      for (const more of [[], ["--class-weight", "balanced"], ["--json"]]) expectFault(await cli(["score", "logits.npy", "labels.npy", ...more], where), ["logits.npy", says]);
    });
  }
  for (const [shape, says] of labelClaims) {
    test.concurrent(`labels of ${shape}`, atOnce, async () => {
      const where = folder();
      writeBytes(where, "logits.npy", goodLogits);
      writeBytes(where, "labels.npy", withDictionary(order("|u1", "False", shape)));
      expectFault(await cli(["score", "logits.npy", "labels.npy"], where), ["labels.npy", says]);
    });
  }

  test.concurrent("the most classes that are taken are scored", async () => {
    const where = folder();
    const most = 2 ** 21;
    writeNpy(where, "logits.npy", "<f2", [1, most], new Uint16Array(most));
    writeNpy(where, "labels.npy", "<i4", [1], Int32Array.of(most - 1));
    const { code, stdout, stderr } = await cli(["score", "logits.npy", "labels.npy"], where);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("mean loss      14.55609");
  });
});

test("a name that an archive does not have", async () => {
  const where = folder();
  writeNpz(where, "data.npz", { "logits.npy": goodLogits, "labels.npy": goodLabels });
  expectFault(await cli(["score", "data.npz:logit", "data.npz"], where), ["data.npz: has no array logit, expected one of logits, labels; hint: data.npz:logits"]);
  expectFault(await cli(["score", "data.npz", "data.npz", "--grad", "data.npz"], where), ["data.npz", "is an input"]);
});

describe("paths that lead nowhere", () => {
  const logits = data("digits-logits.npy");
  const labels = data("digits-labels.npy");

  test("a missing file", async () => {
    expectFault(await cli(["score", "nowhere.npy", labels]), ["nowhere.npy", "no such file"]);
    expectFault(await cli(["score", logits, "nowhere.npy"]), ["nowhere.npy", "no such file"]);
    expectFault(await cli(["score", logits, labels, "--class-weight", "nowhere.npy"]), ["nowhere.npy", "no such file"]);
    expectFault(await cli(["score", logits, labels, "--sample-weight", "nowhere.npy"]), ["nowhere.npy", "no such file"]);
  });

  test("a folder, a device", async () => {
    const where = folder();
    expectFault(await cli(["score", where, labels]), [where, "is a directory"]);
    expectFault(await cli(["score", logits, "/dev/null"]), ["/dev/null", "not a regular file"]);
    expectFault(await cli(["score", join(logits, "inside.npy"), labels]), ["inside.npy", "not a directory"]);
  });

  test("a name with a line break keeps the message on one line", async () => {
    expectFault(await cli(["score", "two\nlines.npy", labels]), ["two\\x0alines.npy", "no such file"]);
  });

  test("outputs that cannot be written: no folder, a folder, a device", async () => {
    const where = folder();
    mkdirSync(join(where, "taken"));
    writeFileSync(join(where, "plain"), "");
    const score = ["score", logits, labels, "--loss", "loss.npy", "--grad"];
    expectFault(await cli([...score, "missing/grad.npy"], where), ["missing/grad.npy", "cannot be written", "no such file"]);
    expectFault(await cli([...score, "taken"], where), ["taken", "cannot be written", "is a directory"]);
    expectFault(await cli([...score, "plain/grad.npy"], where), ["plain/grad.npy", "cannot be written", "not a directory"]);
    expectFault(await cli([...score, "/dev/null"], where), ["/dev/null", "cannot be written", "not a regular file"]);
    expect(left(where)).toEqual(["plain", "taken"]);
  });

  test("an output that is an input, by whatever name, or both outputs in one place", async () => {
    const where = folder();
    writeBytes(where, "logits.npy", goodLogits);
    const copy = writeBytes(where, "labels.npy", goodLabels);
    symlinkSync("logits.npy", join(where, "alias.npy"));
    const score = ["score", "logits.npy", "labels.npy"];
    expectFault(await cli([...score, "--grad", "logits.npy"], where), ["logits.npy", "is an input"]);
    expectFault(await cli([...score, "--grad", "alias.npy"], where), ["alias.npy", "is an input"]);
    expectFault(await cli([...score, "--loss", copy], where), ["labels.npy", "is an input"]);
    expectFault(await cli([...score, "--loss", "x.npy", "--grad", "./x.npy"], where), ["x.npy", "two outputs"]);
    expect(left(where)).toEqual(["alias.npy", "labels.npy", "logits.npy"]);
  });
});

test("a build that does not exist here is an error of one line", async () => {
  const { stdout } = await cli(["info", "--json"]);
  const { builds } = JSON.parse(stdout) as { builds: Record<string, { isSupported: boolean }> };
  for (const [name, { isSupported }] of Object.entries(builds)) {
    const outcome = await cli(["score", data("digits-logits.npy"), data("digits-labels.npy"), "--build", name, "--json"]);
    if (isSupported) expect((JSON.parse(outcome.stdout) as { engine: { build: string } }).engine.build).toBe(name);
    else expectFault(outcome, [name]);
  }
});

test("an earlier output survives a failed run", async () => {
  const where = folder();
  writeBytes(where, "logits.npy", goodLogits);
  writeBytes(where, "labels.npy", npyBytes("|u1", [rows], new Uint8Array(rows).fill(200)));
  const grad = writeNpy(where, "grad.npy", "<f4", [1], Float32Array.of(7));
  expectFault(await cli(["score", "logits.npy", "labels.npy", "--grad", grad], where), ["row 0: label got 200"]);
  expect(left(where)).toEqual(["grad.npy", "labels.npy", "logits.npy"]);
});
