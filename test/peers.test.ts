// The comparison with other libraries as a program: it runs without any of them and says which are absent, a wrong result gets no figure, and a process that
// fails is a reason and not the end.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Child, PeerFailed } from "../bench/peers/child.mjs";
import { makeJob, type Job } from "../bench/peers/jobs.mjs";
import { verdictOf, type Outcome } from "../bench/peers/meeting.mjs";
import { absence, peers } from "../bench/peers/peers.mjs";
import { outcomeTable, pageTables } from "../bench/peers/tables.mjs";
import { adapterTables } from "../bench/adapters/table.mjs";
import { readRecords } from "../bench/speed/record.mjs";
import { pageOf, replaced } from "../ts/docs/places.mjs";
import { batch, rowsOf, scaled } from "../bench/speed/cases.mjs";
import { exactLosses } from "../bench/speed/definition.mjs";

const folder = fileURLToPath(new URL("../bench/peers", import.meta.url));
const run = (...args: string[]) => spawnSync(process.execPath, [`${folder}/main.mjs`, "--python", "/nowhere/python", ...args], { encoding: "utf8" });
const small = ["--divide", "4096", "--rounds", "1", "--budget", "1"];

describe("a small run", () => {
  test("has figures of the package, and names who is not here", () => {
    const { status, stdout, stderr } = run(...small, "--only", "torch", "--shapes", "65536x33,8x512x512x33");
    expect(stderr).not.toMatch(/FAIL|Error/);
    expect(stdout).toContain("absent: torch t1: no Python at /nowhere/python");
    for (const name of ["loss\\+grad 65536x33/4096", "loss 65536x33/4096", "loss\\+grad 8x512x512x33/4096", "loss 8x512x512x33/4096"]) {
      expect(stdout).toMatch(new RegExp(`\\n${name} .*\\n.*\\n  sparse-xent t1 +[\\d.]+ `));
    }
    expect(stdout).toMatch(/\n {2}sparse-xent in place +\d/);
    expect(status).toBe(0);
  }, 120_000);

  test("the JavaScript peers that are installed agree with the definition", () => {
    const names = peers.filter(({ name, runtime }) => runtime === "node" && name !== "sparse-xent").map(({ name }) => name);
    const { status, stdout, stderr } = run(...small, "--only", names.join(","), "--shapes", "65536x33,33x512x512,8x512x512x33");
    expect(stderr).not.toMatch(/FAIL|Error/);
    const line = existsSync(`${folder}/node_modules`) ? (name: string) => `\n  ${name} t1 +[\\d.]+ ` : (name: string) => `\nabsent: ${name} t1: .*\n`;
    for (const name of names) expect(stdout).toMatch(new RegExp(line(name)));
    expect(status).toBe(0);
  }, 120_000);

  test("a name that is none is refused", () => {
    for (const args of [["--only", "pytorch"], ["--shapes", "7x7"], ["--rounds", "0"], ["--record", "--quick"]]) expect(run(...args)).toMatchObject({ status: 1, stdout: "" });
  });
});

describe("a job", () => {
  const shape = scaled(batch, 65_536);
  let plain: Job;
  let weighted: Job;
  beforeAll(() => {
    plain = makeJob(rowsOf(40, 5), false);
    weighted = makeJob(shape, true);
  });
  afterAll(() => {
    plain.remove();
    weighted.remove();
    expect(existsSync(plain.message.logits) || existsSync(weighted.message.labels)).toBe(false);
  });

  const integers = (path: string) => new Int32Array(new Uint8Array(readFileSync(path)).buffer);

  test("is the mean by weight over rows that are not ignored, of the data in its files", () => {
    const { logits: path, labels: labelPath, classWeights = [], ignored } = weighted.message;
    const [logits, labels] = [new Float32Array(new Uint8Array(readFileSync(path)).buffer), integers(labelPath)];
    const kept = [...labels.keys()].filter((row) => labels[row] !== ignored);
    expect(kept.length).toBeLessThan(labels.length);
    const losses = exactLosses(shape, { logits, labels: labels.map((label) => (label === ignored ? 0 : label)) });
    const weights = kept.map((row) => classWeights[labels[row] ?? -1] ?? Number.NaN);
    const sum = kept.reduce((total, row, index) => total + (losses[row] ?? Number.NaN) * (weights[index] ?? Number.NaN), 0);
    expect(weighted.loss).toBeCloseTo(sum / weights.reduce((a, b) => a + b, 0), 12);
  });

  test("a right answer gets its errors, a wrong one FAIL", () => {
    const { loss, probes } = plain;
    const grad = [...probes.grad];
    expect(verdictOf({ loss, grad }, plain, "loss+grad")).toEqual({ lossError: 0, gradError: 0 });
    expect(verdictOf({ loss: loss * 1.0001 }, plain, "loss").lossError).toBeCloseTo(1e-4, 9);
    const wrongs = [{ loss: loss * 1.02, grad }, { loss: Number.NaN, grad }, { loss }, { loss, grad: grad.map((value) => value * 40) }, { loss, grad: grad.with(3, Number.NaN) }];
    for (const wrong of wrongs) expect(verdictOf(wrong, plain, "loss+grad").absent).toMatch(/^FAIL/);
  });
});

describe("a process", () => {
  const child = (script: string) => Child.start("test", process.execPath, ["-e", script], process.env);
  const ready = "console.log('@{}');";

  test("answers beside whatever else it prints", async () => {
    const echo = await child(`${ready} console.log('hello'); process.stdin.on('data', (text) => console.log('noise\\n@' + text));`);
    expect(await echo.ask({ loss: 3 }, 10_000)).toEqual({ loss: 3 });
    await echo.stop();
    expect(echo.alive).toBe(false);
  });

  test("that says what is wrong, dies, hangs or is not there is a reason", async () => {
    await expect(child("console.log('@' + JSON.stringify({ error: 'no such library' }))")).rejects.toThrow(new PeerFailed("no such library"));
    await expect(child("console.error('out of luck'); process.exit(3)")).rejects.toThrow(/exit code 3 \| out of luck/);
    await expect(Child.start("test", "/nowhere/program", [], process.env)).rejects.toThrow(/ENOENT/);
    const hanging = await child(`${ready} setInterval(() => {}, 1000)`);
    await expect(hanging.ask({}, 200)).rejects.toThrow("no answer in 0.2 s");
    await expect(hanging.ask({}, 10_000)).rejects.toThrow("no answer in 0.2 s");
  });
});

describe("tables", () => {
  const outcome = (peer: string, more: Partial<Outcome>): Outcome => ({ shape: "8x8", what: "loss+grad", peer, threads: 1, ...more });
  const outcomes = [
    outcome("sparse-xent", { best: 1, rate: 0.9, ratio: 1, lossError: 1e-8 }),
    outcome("jax", { best: 3, rate: 0.3, ratio: 3, lossError: 2e-7 }),
    outcome("torch", { absent: "FAIL: the loss is 1 and not 2" }),
    outcome("torch", { shape: "9x9", best: 1, rate: 0.1, ratio: 9, lossError: 1e-6 }),
    outcome("tensorflow", { absent: "no such library" }),
  ];

  test("on the terminal: figures, then who has none and why", () => {
    const lines = outcomeTable(outcomes).split("\n");
    expect(lines.findLast((line) => line.includes("jax"))).toMatch(/3\.00 .* 0\.300 +3\.00x +2\.0e-7/);
    expect(lines.slice(-2)).toEqual(["  torch t1: FAIL: the loss is 1 and not 2", "  tensorflow t1: no such library"]);
  });

  test("in the documentation: rate and ratio, wrong ones as such, nobody without a figure", () => {
    const memory = [{ shape: "8x8", mode: "new gradient" as const, peer: "jax", residentBefore: 1e6, residentAdded: 2e6 }];
    const head = { file: "peers.here.json", date: "", processor: "", family: "here", cores: 2, node: "", threads: [1], rounds: 1, versions: { JAX: "1" } };
    const text = pageTables([{ ...head, parts: { outcomes, memory } }]);
    expect(text).toContain("([record](../../bench/record/peers.here.json))");
    expect(text).toContain("| JAX, jit (optax), 1 thread | 0.30 (3.0x) | – | 2.0e-7 |");
    expect(text).toContain("| PyTorch, 1 thread | wrong | 0.10 (9.0x) | 1.0e-6 |");
    expect(text).toContain("| JAX, jit (optax), new gradient | 2.0 MB |");
    expect(text).not.toContain("TensorFlow");
    expect(replaced(pageOf("peers"), "peers", text)).toContain(text);
  });

  test("in the documentation are those of the records, of each processor family", () => {
    expect(pageOf("peers")).toBe(replaced(pageOf("peers"), "peers", pageTables(readRecords("peers"))));
    expect(pageOf("adapters")).toBe(replaced(pageOf("adapters"), "adapters", adapterTables(readRecords("adapters"))));
  });
});

test("who cannot do a job has a reason", () => {
  const named = (name: string) => peers.find((peer) => peer.name === name) ?? expect.fail(name);
  expect(absence(named("torch"), { inner: 9 }, "loss+grad", 2)).toBeUndefined();
  expect(absence(named("tensorflow"), { inner: 9 }, "loss", 1)).toContain("last axis");
  expect(absence(named("tfjs-wasm"), { inner: 1 }, "loss", 2)).toContain("threads");
  expect(absence(named("onnxruntime-web"), { inner: 1 }, "loss+grad", 1)).toContain("gradient");
});
