// The training of `npm start -- train` and the comparison of `npm run bench:peers -- adapters`, as programs: small runs of them.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { host } from "../hosts.ts";

const needed = ["@huggingface/transformers", "@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm", "gpt-3-encoder", "onnxruntime-node", "onnxruntime-web"].map(host);
const absent = needed.filter(({ isHere }) => !isHere).map(({ title }) => title);
const run = (script: string, ...args: string[]) =>
  spawnSync(process.execPath, [fileURLToPath(new URL(`../../bench/adapters/${script}`, import.meta.url)), ...args], { encoding: "utf8" });

describe.skipIf(absent.length > 0)(`with the libraries${absent.length > 0 ? `: ${absent[0]}` : ""}`, () => {
  test("train: both losses fall alike, and nothing is left behind", { timeout: 120_000 }, () => {
    const { status, stdout, stderr } = run("train.mjs", "--steps", "3");
    expect({ status, stderr: stderr.replaceAll(/^=+$|^Hi, looks like.*$|^\s*$/gm, "").trim() }).toEqual({ status: 0, stderr: "" });
    const losses = (name: string): number[] => [...stdout.matchAll(new RegExp(`^step.* ${name} ([\\d.]+)`, "gm"))].map(([, loss]) => Number(loss));
    const [sparse, dense] = [losses("sparse-xent"), losses("one-hot")];
    expect(sparse).toHaveLength(2);
    expect(sparse).toEqual(dense);
    expect(sparse[1]).toBeLessThan(sparse[0] ?? 0);
    const [, apart] = /curves are at most (\S+) apart/.exec(stdout) ?? [];
    expect(Number(apart)).toBeLessThan(1e-5);
    expect(stdout).toMatch(/left behind: 0 tensors, 0 bytes of the engine\n$/);
  });

  test("adapters: no result disagrees, and each gets a figure", { timeout: 120_000 }, () => {
    const { status, stdout } = run("main.mjs", "--only", "lm,onnx", "--divide", "64", "--rounds", "1");
    expect(status).toBe(0);
    expect(stdout).not.toContain("FAIL");
    for (const name of ["tokenLogProbs", "plain loop", "softmaxCrossEntropyLoss, gradient", "onnxruntime-node, the loss", "onnxruntime-web, the loss"]) {
      expect(stdout).toMatch(new RegExp(`\\n {2}${name} +[\\d.]+ ms CPU`));
    }
  });

  test("a record of a part is refused", () => {
    const { status, stderr } = run("main.mjs", "--only", "lm", "--record");
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining("a record is of a whole run") });
  });
});
