// `sparse-xent demo`: real digits held against PyTorch, then the large case this package exists for.
// The digits and PyTorch's answers lie beside the command in data/ (made by test/cli/make_digits.py).

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Engine, Tensor } from "../index.js";
import { Failure } from "./failure.js";
import { NpyFile, Outputs } from "./files.js";
import { openInputs } from "./inputs.js";
import { bytes, short, textReport, time } from "./report.js";
import { score, type ScoreRequest } from "./score.js";
import { paintLabels, paintLogits, rarityWeights, segmentationClasses, voidLabel } from "./segmentation.js";

/** What the demo needs besides its data. */
export interface DemoRequest {
  /** Images in the large case, 1 to 8. */
  readonly batch: number;
  readonly chunkBytes: number;
}

const imageSize = 512;
/** An f32 engine against PyTorch in f64: a few units of 2^-24. */
const tolerance = 1e-6;

/** Runs both parts; `print` gets one text at a time. Fails if the digits are not scored as PyTorch scores them. */
export async function demo(request: DemoRequest, loadEngine: () => Promise<Engine>, print: (text: string) => void): Promise<void> {
  const start = performance.now();
  const engine = await loadEngine();
  print("1. 1,797 handwritten digits (UCI), logits of a small network, scored against their labels\n\n");
  print(await scoreDigits(request, engine, start));
  print(await compareDigits(engine));
  print(`\n2. ${request.batch} label maps of ${imageSize} x ${imageSize} pixels, ${segmentationClasses} classes, class weights, ignored seams\n\n`);
  print(scoreMaps(request.batch, engine));
}

async function scoreDigits(demoRequest: DemoRequest, engine: Engine, start: number): Promise<string> {
  const request: ScoreRequest = {
    logits: dataPath("digits-logits.npy"),
    labels: dataPath("digits-labels.npy"),
    ignoreIndex: [],
    axis: -1,
    labelSmoothing: 0,
    reduction: "mean",
    chunkBytes: demoRequest.chunkBytes,
  };
  const inputs = await openInputs(request);
  try {
    const found = await score(request, inputs, async () => engine, new Outputs(), () => undefined);
    return textReport(request, found, { ...engine.info, totalMs: performance.now() - start });
  } finally {
    await inputs.close();
  }
}

/** One call on the whole set, its loss and gradient beside PyTorch's. */
async function compareDigits(engine: Engine): Promise<string> {
  const record = JSON.parse(await readFile(dataPath("digits.json"), "utf8")) as { cases: { plain: { meanLoss: number } }; versions: { torch: string } };
  const logits = await loadTensor(engine, "digits-logits.npy", "f4");
  const labels = await loadTensor(engine, "digits-labels.npy", "u1");
  const expected = await loadTensor(engine, "digits-grad.npy", "f4");
  const { loss, grad } = engine.crossEntropy(logits, labels, { grad: true });
  const ours = grad.view;
  const theirs = expected.view;
  let worst = 0;
  for (let i = 0; i < theirs.length; i++) worst = Math.max(worst, Math.abs((ours[i] as number) - (theirs[i] as number)));
  const torchLoss = record.cases.plain.meanLoss;
  const lossError = Math.abs(loss - torchLoss);
  for (const tensor of [logits, labels, expected, grad]) tensor.dispose();
  // Written so that NaN fails too.
  if (!(lossError <= tolerance && worst <= tolerance)) {
    throw new Failure("demo", `loss and gradient differ from PyTorch's by ${lossError} and ${worst}, expected at most ${tolerance}`);
  }
  return [
    `mean loss ${loss.toPrecision(10)}, PyTorch ${record.versions.torch.replace(/\+.*/, "")} ${torchLoss.toPrecision(10)}: equal to PyTorch's within ${lossError.toExponential(1)}`,
    `gradient, ${theirs.length} elements: equal to PyTorch's within ${worst.toExponential(1)}`,
    "",
  ].join("\n");
}

/** Loss and gradient of a batch of label maps, the gradient in place of the logits. */
function scoreMaps(batch: number, engine: Engine): string {
  const pixels = batch * imageSize * imageSize;
  const elements = pixels * segmentationClasses;
  const logits = engine.tensor("f32", [batch, imageSize, imageSize, segmentationClasses]);
  const labels = engine.tensor("u8", [batch, imageSize, imageSize]);
  try {
    paintLabels(labels.view, batch, imageSize);
    paintLogits(logits.view, labels.view);
    const classWeight = rarityWeights(labels.view);
    const memoryBefore = engine.info.memoryBytes;
    const start = performance.now();
    const result = engine.crossEntropy(logits, labels, { grad: logits, classWeight, ignoreIndex: voidLabel });
    const ms = performance.now() - start;
    const grown = engine.info.memoryBytes - memoryBefore;
    const exact = (count: number): string => `${count.toLocaleString("en-US").padStart(13)} bytes`;
    return [
      `mean loss      ${result.loss.toPrecision(7)} over ${result.validCount} pixels, ${result.rowCount - result.validCount} ignored`,
      `time           ${time(ms)} for loss and gradient, ${short((elements * 1000) / ms)} logits per second, ${engine.info.build} build, ${engine.info.threads} threads`,
      "",
      `logits         ${exact(logits.byteLength)}   f32; the gradient takes their place`,
      `labels         ${exact(labels.byteLength)}   u8, one per pixel`,
      `class weights  ${exact(classWeight.byteLength)}`,
      `for the call   ${exact(grown)}   what the engine's memory grew by`,
      `one-hot        ${exact(elements * 4)}   not needed: f32 targets as dense losses want them (${bytes(elements * 8)} as int64)`,
      "",
    ].join("\n");
  } finally {
    logits.dispose();
    labels.dispose();
  }
}

const fileDtypes = { f4: "f32", u1: "u8" } as const;

async function loadTensor<D extends keyof typeof fileDtypes>(engine: Engine, name: string, dtype: D): Promise<Tensor<(typeof fileDtypes)[D]>> {
  const file = await NpyFile.open(dataPath(name), [dtype]);
  try {
    const tensor = engine.tensor<(typeof fileDtypes)[D]>(fileDtypes[dtype], file.shape);
    await file.read(0, file.count, tensor.view);
    return tensor;
  } finally {
    await file.close();
  }
}

function dataPath(name: string): string {
  return fileURLToPath(new URL(`./data/${name}`, import.meta.url));
}
