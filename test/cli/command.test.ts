// The command itself: help, usage errors, exit codes, pipes, signals, `info`, `demo`, and the progress bar.

import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { progressFor } from "../../ts/cli/progress.js";
import { cli, cliPath, data, folder, left, writeNpy, type Outcome } from "./support.js";

const digits = [data("digits-logits.npy"), data("digits-labels.npy")] as const;

describe("help", () => {
  test("lists the commands, with examples", async () => {
    const { code, stdout, stderr } = await cli(["--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    for (const part of ["Usage: sparse-xent", "score", "info", "demo", "Examples:"]) expect(stdout).toContain(part);
  });

  test("of score lists every option, with examples, in at most 80 columns", async () => {
    const { code, stdout } = await cli(["score", "--help"]);
    expect(code).toBe(0);
    const options = ["axis", "class-weight", "sample-weight", "ignore-index", "label-smoothing", "reduction", "grad", "loss", "json", "threads", "build"];
    for (const part of [...options.map((name) => `--${name}`), "Examples:"]) expect(stdout).toContain(part);
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    expect((await cli(["help", "score"])).stdout).toBe(stdout);
  });

  test("without a command goes to standard error, exit code 2", async () => {
    const { code, stdout, stderr } = await cli([]);
    expect([code, stdout, stderr]).toEqual([2, "", (await cli(["--help"])).stdout]);
  });

  test("--version prints the version alone", async () => {
    expect(await cli(["--version"])).toEqual({ code: 0, stdout: "0.1.0\n", stderr: "" });
  });
});

describe("a wrong call: exit code 2, what is wrong, where help is", () => {
  const calls: [args: string[], says: string][] = [
    [["frobnicate"], "unknown command 'frobnicate'"],
    [["scor"], "Did you mean score?"],
    [["--frobnicate"], "unknown option '--frobnicate'"],
    [["score", ...digits, "--frobnicate"], "unknown option '--frobnicate'"],
    [["score"], "missing required argument 'LOGITS.npy'"],
    [["score", digits[0]], "missing required argument 'LABELS.npy'"],
    [["score", ...digits, "more.npy"], "too many arguments"],
    [["info", "more"], "too many arguments"],
    [["score", ...digits, "--grad"], "argument missing"],
    [["score", ...digits, "--label-smoothing", "1.5"], "from 0 to 1"],
    [["score", ...digits, "--label-smoothing", "-0.1"], "from 0 to 1"],
    [["score", ...digits, "--label-smoothing", "nan"], "from 0 to 1"],
    [["score", ...digits, "--label-smoothing", ""], "from 0 to 1"],
    [["score", ...digits, "--ignore-index", "2.5"], "whole number"],
    [["score", ...digits, "--ignore-index", "all"], "whole number"],
    [["score", ...digits, "--reduction", "average"], "none, sum, mean"],
    [["score", ...digits, "--build", "avx"], "auto, simd, relaxed"],
    [["score", ...digits, "--axis", "last"], "whole number"],
    [["score", ...digits, "--threads", "0"], "at least 1"],
    [["score", ...digits, "--threads", "257"], "1 to 256"],
    [["score", ...digits, "--threads", "two"], "whole number"],
    [["demo", "--batch", "9"], "1 to 8"],
  ];
  for (const [args, says] of calls) {
    test.concurrent([...args].map((arg) => (digits.includes(arg) ? "FILE" : arg)).join(" "), async () => {
      const { code, stdout, stderr } = await cli(args);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(/^error: /);
      expect(stderr).toContain(says);
      const named = ["score", "info", "demo"].includes(args[0] ?? "") ? `${args[0]} ` : "";
      expect(stderr).toContain(`(sparse-xent ${named}--help shows how it is used)`);
      expect(stderr).not.toMatch(/\bat \S+:\d+/);
    });
  }
});

describe("standard output", () => {
  test("that is closed early is not an error", async () => {
    const child = spawn(process.execPath, [cliPath, "score", ...digits], { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.destroy();
    expect(await endOf(child)).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test.skipIf(process.platform !== "linux")("that is full is one", async () => {
    const full = openSync("/dev/full", "w");
    const child = spawn(process.execPath, [cliPath, "score", ...digits, "--json"], { stdio: ["ignore", full, "pipe"] });
    const { code, stderr } = await endOf(child);
    closeSync(full);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: standard output: [^\n]*ENOSPC[^\n]*\n$/)]);
  });
});

describe("a run that ends early leaves no file", () => {
  for (const [signal, expected] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
    test(`on ${signal}, exit code ${expected}`, async () => {
      const where = folder();
      const rows = 100_000; // one call each: seconds of work, of which the first shows up as a temporary file
      writeNpy(where, "logits.npy", "<f4", [rows, 2], new Float32Array(rows * 2));
      writeNpy(where, "labels.npy", "|u1", [rows], new Uint8Array(rows));
      const args = ["score", "logits.npy", "labels.npy", "--grad", "grad.npy", "--loss", "loss.npy", "--chunk-bytes", "1"];
      const child = spawn(process.execPath, [cliPath, ...args], { cwd: where, stdio: ["ignore", "pipe", "pipe"] });
      const end = endOf(child);
      while (!(left(where).filter((name) => name.endsWith(".tmp")).length === 2)) {
        if (child.exitCode !== null) break;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      expect(left(where)).toHaveLength(4);
      child.kill(signal);
      expect(await end).toEqual({ code: expected, stdout: "", stderr: "" });
      expect(left(where)).toEqual(["labels.npy", "logits.npy"]);
    });
  }

  test.skipIf(process.platform === "win32")("when an output cannot be written to its end", async () => {
    const where = folder();
    // A limit of 32 blocks (16 or 32 KiB) on files that this shell's children write; the gradient has 72 kB.
    const limited = `ulimit -f 32; trap '' XFSZ; exec "$0" "$@"`;
    const args = ["-c", limited, process.execPath, cliPath, "score", ...digits, "--loss", "loss.npy", "--grad", "grad.npy"];
    const child = spawn("sh", args, { cwd: where, stdio: ["ignore", "pipe", "pipe"] });
    expect(await endOf(child)).toEqual({ code: 1, stdout: "", stderr: "error: grad.npy: cannot be written: the file would be larger than allowed\n" });
    expect(left(where)).toEqual([]);
  });
});

describe("info", () => {
  test("as JSON says what runs here", async () => {
    const { code, stdout, stderr } = await cli(["info", "--json", "--threads", "2"]);
    expect([code, stderr]).toEqual([0, ""]);
    const info = JSON.parse(stdout) as Record<string, unknown>;
    expect(info).toMatchObject({
      version: "0.1.0",
      node: process.version,
      builds: { simd: { isSupported: true }, relaxed: {} },
      engine: { threads: 2, isolated: true, canBlock: true },
    });
    expect(info["cpuCount"]).toBeGreaterThan(0);
    const { relaxed, simd } = info["builds"] as Record<"relaxed" | "simd", { isSupported: boolean; wasmBytes: number; reason?: string }>;
    expect(Math.min(relaxed.wasmBytes, simd.wasmBytes)).toBeGreaterThan(10_000);
    expect(relaxed.isSupported).toBe(relaxed.reason === undefined);
  });

  test("as text, one fact a line", async () => {
    const { stdout } = await cli(["info", "--build", "simd", "--threads", "1"]);
    expect(stdout).toMatch(/^chosen +simd build, 1 thread$/m);
    expect(stdout).toMatch(new RegExp(`^node +${process.version.replaceAll(".", "\\.")}, `, "m"));
  });
});

describe("demo", () => {
  test("is equal to PyTorch on the digits, and takes no one-hot for the maps", async () => {
    const { code, stdout, stderr } = await cli(["demo", "--batch", "1"]);
    expect([code, stderr]).toEqual([0, ""]);
    const within = [...stdout.matchAll(/equal to PyTorch's within (\S+)$/gm)].map((match) => Number(match[1]));
    expect(within).toHaveLength(2);
    for (const error of within) expect(error).toBeLessThan(1e-7);
    const pixels = 512 * 512;
    const bytesOf = (name: string): number => Number(new RegExp(`^${name} +([\\d,]+) bytes`, "m").exec(stdout)?.[1]?.replaceAll(",", ""));
    expect([bytesOf("logits"), bytesOf("one-hot"), bytesOf("labels")]).toEqual([pixels * 33 * 4, pixels * 33 * 4, pixels]);
    expect(bytesOf("for the call")).toBeLessThan(pixels * 33);
  });

  test("gives the same loss whatever the threads", async () => {
    const losses = [];
    for (const threads of ["1", "2"]) losses.push(/^mean loss +(\S+) over/m.exec((await cli(["demo", "--batch", "1", "--threads", threads])).stdout)?.[1]);
    expect(losses[0]).toMatch(/^\d\.\d+$/);
    expect(losses[1]).toBe(losses[0]);
  });
});

test("linear gives one loss in every way, in less memory without the logits", async () => {
  const { code, stdout, stderr } = await cli(["linear", "--rows", "512", "--depth", "8", "--classes", "20000", "--threads", "1"]);
  expect([code, stderr]).toEqual([0, ""]);
  const ways = [...stdout.matchAll(/^(some rows of logits at a time|a block of classes, made twice|all logits stored) +loss (\S+) .* (\S+) MB beside/gm)].map(([, name, loss, size]) => ({ name, loss, size: Number(size) }));
  expect(ways.map(({ name }) => name)).toEqual(["some rows of logits at a time", "a block of classes, made twice", "all logits stored"]);
  expect(new Set(ways.map(({ loss }) => loss)).size).toBe(1);
  // 512 rows of 20,000 logits are 41 MB, 128 of them 10, and 512 of a strip of 3,616 classes 7.4.
  const [rows = 0, strip = 0, all = 0] = ways.map(({ size }) => size);
  expect(all - rows).toBeGreaterThan(25);
  expect(rows - strip).toBeGreaterThan(1);
});

describe("the progress bar", () => {
  /** What is written to a terminal while a run of `bytes` goes from 0 to 1,000 rows. */
  function drawn(bytes: number, isTTY: boolean): string {
    let text = "";
    const stream = new Writable({
      write(chunk, _encoding, done) {
        text += String(chunk);
        done();
      },
    });
    const terminal = Object.assign(stream, { isTTY, columns: 80, clearLine: () => true, cursorTo: () => true, moveCursor: () => true });
    const bar = progressFor(1000, bytes, terminal as unknown as NodeJS.WriteStream);
    bar.rows(1000);
    bar.stop();
    return text;
  }

  test("shows rows on a terminal, for a long input", () => {
    expect(drawn(2 ** 30, true)).toMatch(/scoring .* of 1000 rows/);
  });

  test("is not drawn for a short input, nor off a terminal", () => {
    expect([drawn(2 ** 20, true), drawn(2 ** 30, false)]).toEqual(["", ""]);
  });
});

function endOf(child: ReturnType<typeof spawn>): Promise<Outcome> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (text: Buffer) => (stdout += text.toString()));
  child.stderr?.on("data", (text: Buffer) => (stderr += text.toString()));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

test("the data of the demo lies beside the command", () => {
  expect(left(join(cliPath, "..", "data"))).toEqual(left(data("")));
});
