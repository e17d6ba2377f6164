// Labels, weights and masks that another thread changes while calls read them: any result or error of an argument may come, but no trap and no write
// beside the outputs. In the build with canaries beside every allocation; see crate/js/faults.rs.
import { Worker } from "node:worker_threads";
import { isSparseXentError, load, type Engine, type Tensor } from "sparse-xent";
import { expect, test } from "vitest";

const wasm = new URL("../target/pkg-faults/sparse_xent_bg.wasm", import.meta.url);
const inject = Symbol.for("sparse-xent.injectFault");

/** Writes what it is told to spans of the memory, over and over, until it is ended. */
const flipper = `
const { workerData } = require("node:worker_threads");
let state = 12345;
for (;;) {
  for (const { array, values } of workerData) {
    for (let at = 0; at < array.length; at++) {
      state = (Math.imul(state, 1103515245) + 12345) | 0;
      array[at] = values[(state >>> 16) % values.length];
    }
  }
}
`;

test("what is read is changed meanwhile: no trap, no write outside", async () => {
  const xent = (await load({ wasm, threads: 2 })) as Engine & Record<typeof inject, (kind: number, how: string, value: number) => number>;
  const rows = 3000;
  const classes = 40;
  const filled = <T extends Tensor>(tensor: T, value: number): T => {
    (tensor.view as unknown as { fill(value: number): void }).fill(value);
    return tensor;
  };
  const labels = xent.tensor("i32", [rows]);
  // The same for logits of three dimensions.
  const planeLabels = xent.tensor("i32", [3, rows / 3]);
  const planeWeight = filled(xent.tensor("f32", [3, rows / 3]), 1);
  const floats = xent.tensor("f32", [rows]);
  const sampleWeight = filled(xent.tensor("f32", [rows]), 1);
  const classWeight = filled(xent.tensor("f64", [classes]), 1);
  const classMask = filled(xent.tensor("u8", [classes]), 1);
  const labelMatrix = filled(xent.tensor("f64", [classes, classes]), 0.5);
  const targets = xent.tensor("f32", [rows, classes]);
  const worker = new Worker(flipper, {
    eval: true,
    workerData: [
      { array: labels.view, values: [0, 1, 2, 39, 40, -1, -100, 2 ** 31 - 1, -(2 ** 31)] },
      { array: planeLabels.view, values: [0, 39, 40, -100] },
      { array: planeWeight.view, values: [0, 1, Number.NaN] },
      { array: floats.view, values: [0, 1, 39, 40, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 1e30] },
      { array: sampleWeight.view, values: [0, 1, -1, 1e30, Number.NaN] },
      { array: classWeight.view, values: [0, 1, -1, 1e300] },
      { array: classMask.view, values: [0, 0, 0, 1, 255] },
      { array: labelMatrix.view, values: [0, 1, 1e300] },
      { array: targets.view, values: [0, 1, Number.NaN, 1e30] },
    ],
  });
  const logits = [
    xent.tensor("f32", [rows, classes]),
    xent.tensor("f64", [rows, classes]),
    xent.tensor("bf16", [rows, classes]),
    xent.tensor("f32", [3, classes, rows / 3]),
    xent.tensor("f64", [3, classes, rows / 3]),
  ];
  const rest = { ignoreIndex: [-100, 40], reduction: "none" } as const;
  const options = [
    {},
    { sampleWeight },
    { classMask },
    { classMask, sampleWeight, classWeight, labelSmoothing: 0.1 },
    { labelMatrix },
    { outputs: ["predictions", "perClass", "logSumExp", "targetLogProb"], classMask },
  ] as const;
  const answers = new Map<string, number>();
  const count = (what: string): void => void answers.set(what, (answers.get(what) ?? 0) + 1);
  const end = performance.now() + 3_000;
  try {
    for (let turn = 0; performance.now() < end; turn += 1) {
      const x = logits[turn % logits.length] as Tensor<"f32">;
      const isPlanes = x.shape.length === 3;
      const by = isPlanes ? planeLabels : turn % 7 === 0 ? floats : labels;
      const chosen = options[(turn >> 1) % options.length] as object;
      const all = {
        ...chosen,
        ...(isPlanes && "sampleWeight" in chosen && { sampleWeight: planeWeight }),
        ...rest,
        axis: isPlanes ? 1 : -1,
        invalidLabel: (["throw", "nan", "ignore"] as const)[turn % 3],
        grad: turn % 2 === 0,
      } as object;
      try {
        const call =
          turn % 11 === 10
            ? xent.weightedSigmoidCrossEntropyAsync(logits[0] as Tensor<"f32">, targets, { grad: true, reduction: "none" })
            : turn % 4 === 3
              ? xent.crossEntropyAsync(x, by, all)
              : xent.crossEntropy(x, by, all);
        for (const value of Object.values((await call) as object)) if ((value as Tensor | undefined)?.view) (value as Tensor).dispose();
        count("a result");
      } catch (error) {
        if (!isSparseXentError(error)) throw error;
        count(error.code);
      }
    }
  } finally {
    await worker.terminate();
  }
  expect([...answers.keys()].filter((what) => !/^(a result|LABEL_|TARGET_MASKED|WEIGHT_VALUE)/.test(what))).toEqual([]);
  expect(answers.get("a result")).toBeGreaterThan(20);
  // The logits are as they were: zeros.
  for (const x of logits) expect((x.view as Float32Array).every((value) => value === 0)).toBe(true);
  for (const tensor of [...logits, labels, planeLabels, planeWeight, floats, sampleWeight, classWeight, classMask, labelMatrix, targets]) tensor.dispose();
  expect(xent[inject](19, "sync", 0) - 100, "canaries written").toBe(0);
  await xent.dispose();
}, 30_000);
