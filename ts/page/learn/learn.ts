// "Watch it learn": the card, and training on the page's own thread, in TensorFlow.js with the loss of sparse-xent/tfjs. What it has learnt is scored by asynchronous
// calls of the engine itself. May import network, tensorflow, chart, data and elements.
import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { Engine } from "sparse-xent";
import { sparseLosses } from "sparse-xent/tfjs";
import { generator } from "../../../bench/speed/cases.mjs";
import { chart } from "../chart.ts";
import { digits, pixels, type Digits } from "../data.ts";
import { colour, count, element, fail, made, onScheme, percent, slider } from "../elements.ts";
import { openTensorFlow } from "../tensorflow.ts";
import { Network } from "./network.ts";

const classes = 10;
const hiddenUnits = 32;
const batch = 64;
const heldOut = 360;
const rate = 0.05;
const stepsAFrame = 2;
/** Then it pauses by itself: a page that nobody looks at need not compute for ever. */
const mostSteps = 3000;
const hardestShown = 10;

/** Steps between two looks at all digits: often at first, when much changes. */
const pauseBetweenLooks = (step: number): number => (step < 40 ? 2 : step < 200 ? 10 : 20);

/** What a look at one of the two sets finds. */
interface Look {
  readonly loss: number;
  readonly accuracy: number;
  readonly losses: Float32Array;
  readonly predictions: Int32Array;
  /** Accuracy of each digit. */
  readonly recall: readonly number[];
}

export async function learn(xent: Engine): Promise<{ pause(): void }> {
  const [all, { tf }] = await Promise.all([digits(generator(7)), openTensorFlow()]);
  const { linearSparseSoftmaxCrossEntropy } = sparseLosses(tf, xent);
  const rows = all.labels.length;
  const part = (from: number, to: number): Digits => ({ images: all.images.slice(from * pixels, to * pixels), labels: all.labels.slice(from, to) });
  const train = part(heldOut, rows);
  const test = part(0, heldOut);

  const run = element("learn-run", HTMLButtonElement);
  const result = element("learn-result", HTMLElement);
  const lossChart = chart(element("learn-loss", HTMLElement), "Loss", lines, { write: (value) => value.toFixed(value < 10 ? 2 : 0) });
  const accuracyChart = chart(element("learn-accuracy", HTMLElement), "Accuracy", lines, { range: [0, 1], write: percent });
  const noise = slider("learn-noise", percent, () => {
    relabel();
    if (!running) then(takeLook);
  });
  const smoothing = slider("learn-smoothing", (value) => value.toFixed(2));
  const weights = weightSliders();

  const inputs = new Float32Array(batch * pixels);
  const batchLabels = new Int32Array(batch);
  const place = (set: Digits) => ({ rows: set.labels.length, images: tf.tensor2d(set.images, [set.labels.length, pixels]) });
  const sets = { train: place(train), test: place(test) };

  // Which training digits get a wrong label at which position of the slider is drawn once: the slider moves, the digits stay.
  const draw = generator(11);
  const lots = Array.from(train.labels, (label) => ({ lot: draw(), wrong: (label + 1 + Math.floor(draw() * (classes - 1))) % classes }));
  const trainLabels = new Uint8Array(train.labels.length);
  function relabel(): void {
    for (const [row, { lot, wrong }] of lots.entries()) trainLabels[row] = lot < noise.value ? wrong : (train.labels[row] ?? 0);
  }
  relabel();

  let network: Network;
  let random: () => number;
  let order: number[] = [];
  let step = 0;
  let columns: number[][] = [];
  let latest: Look | undefined;
  let running = false;
  /** What is done in turn: the tensors are written by one at a time. */
  let work = Promise.resolve();
  const then = (next: () => Promise<void>): void => void (work = work.then(next).catch((error: unknown) => fail("Watch it learn", error)));

  async function look({ rows, images }: { readonly rows: number; readonly images: Tensor2D }, given: Uint8Array): Promise<Look> {
    const logits = { data: network.logits(images), shape: [rows, classes] };
    const found = await xent.crossEntropyAsync(logits, given, { reduction: "none", outputs: ["predictions", "perClass"] });
    const { loss, predictions, lossSum, validCount, correctCount, perClass } = found;
    const seen: Look = {
      loss: lossSum / validCount,
      accuracy: correctCount / validCount,
      losses: loss.toArray(),
      predictions: predictions.toArray(),
      recall: Array.from(perClass.correct, (correct, digit) => correct / (perClass.count[digit] ?? 0)),
    };
    loss.dispose();
    predictions.dispose();
    return seen;
  }

  /** Both sets as the network sees them, written down and shown. */
  async function takeLook(): Promise<void> {
    const onTrain = await look(sets.train, trainLabels);
    const onTest = await look(sets.test, test.labels);
    latest = onTest;
    // Paused and looked at again, a step has one point all the same.
    if (columns[0]?.at(-1) === step) for (const column of columns) column.pop();
    for (const [i, value] of [step, onTrain.loss, onTest.loss, onTrain.accuracy, onTest.accuracy].entries()) (columns[i] ??= []).push(value);
    lossChart.show([columns[0] ?? [], columns[1] ?? [], columns[2] ?? []]);
    accuracyChart.show([columns[0] ?? [], columns[3] ?? [], columns[4] ?? []]);
    weights.show(onTest.recall);
    drawHardest(test, onTest);
    Object.assign(result.dataset, { step, accuracy: onTest.accuracy, loss: onTest.loss });
    const figures = ({ accuracy, loss }: Look): string => `${percent(accuracy)} right, loss ${loss.toFixed(3)}`;
    result.textContent = `Step ${count(step)}. Held out: ${figures(onTest)}. Training: ${figures(onTrain)}.`;
  }

  function oneStep(): void {
    if (order.length < batch) order = shuffled(train.labels.length, random);
    for (const [row, from] of order.splice(0, batch).entries()) {
      inputs.set(train.images.subarray(from * pixels, (from + 1) * pixels), row * pixels);
      batchLabels[row] = trainLabels[from] ?? 0;
    }
    const [x, y] = [tf.tensor2d(inputs, [batch, pixels]), tf.tensor1d(batchLabels, "int32")];
    network.learn(x, y, { classWeight: weights.values(), labelSmoothing: smoothing.value });
    tf.dispose([x, y]);
    step += 1;
  }

  async function steps(): Promise<void> {
    const last = step + mostSteps;
    while (running) {
      for (let i = 0; i < stepsAFrame && running; i += 1) {
        oneStep();
        if (step % pauseBetweenLooks(step) === 0) await takeLook();
      }
      if (step >= last) setRunning(false);
      await new Promise(requestAnimationFrame);
    }
  }

  function setRunning(to: boolean): void {
    if (to === running) return;
    running = to;
    run.textContent = running ? "Pause" : "Start";
    // What changes ten times a second is not read aloud; where it stops, is.
    result.setAttribute("aria-live", running ? "off" : "polite");
    if (running) then(steps);
    else then(takeLook);
  }

  function reset(): void {
    const wasRunning = running;
    setRunning(false);
    then(async () => {
      random = generator(3);
      network?.dispose();
      network = new Network(tf, linearSparseSoftmaxCrossEntropy, [pixels, hiddenUnits, classes], random, rate);
      order = [];
      step = 0;
      columns = [];
      await takeLook();
    });
    if (wasRunning) setRunning(true);
  }

  run.addEventListener("click", () => setRunning(!running));
  element("learn-reset", HTMLButtonElement).addEventListener("click", reset);
  onScheme(() => latest && drawHardest(test, latest));
  reset();
  await work;
  return { pause: () => setRunning(false) };
}

const lines = [
  { label: "training", colour: "second" },
  { label: "held out", colour: "first" },
];

function shuffled(length: number, random: () => number): number[] {
  const order = Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order;
}

/** Ten sliders, each under a bar. */
function weightSliders(): { values(): number[]; show(recall: readonly number[]): void } {
  const place = element("learn-weights", HTMLElement);
  const columns = Array.from({ length: classes }, (_, digit) => {
    const bar = made("span", "", { className: "bar" });
    const output = made("output", "1");
    const input = made("input", "", { type: "range", min: "0", max: "5", step: "0.5", value: "1", ariaLabel: `Weight of digit ${digit}` });
    input.addEventListener("input", () => void (output.value = String(input.valueAsNumber)));
    const column = made("div", "", { className: "weight" });
    const well = made("span", "", { className: "well" });
    well.append(bar);
    column.append(well, made("b", String(digit)), output, input);
    place.append(column);
    return { bar, well, input };
  });
  return {
    values: () => columns.map(({ input }) => input.valueAsNumber),
    show(recall) {
      for (const [digit, { bar, well }] of columns.entries()) {
        bar.style.height = `${100 * (recall[digit] ?? 0)}%`;
        well.title = `held-out accuracy of ${digit}: ${percent(recall[digit] ?? 0)}`;
      }
    },
  };
}

/** The held-out digits of the highest losses, each with what it was taken for. */
function drawHardest(test: Digits, { losses, predictions }: Look): void {
  const canvas = element("learn-hardest", HTMLCanvasElement);
  const context = canvas.getContext("2d");
  if (context === null) return;
  const hardest = Array.from(losses.keys()).sort((a, b) => (losses[b] ?? 0) - (losses[a] ?? 0)).slice(0, hardestShown);
  context.clearRect(0, 0, canvas.width, canvas.height);
  const cell = canvas.width / hardestShown;
  const dot = Math.floor(cell / 9);
  context.font = `bold ${cell / 2}px system-ui, sans-serif`;
  context.textAlign = "center";
  for (const [place, row] of hardest.entries()) {
    context.fillStyle = colour("ink");
    for (let i = 0; i < pixels; i += 1) {
      context.globalAlpha = test.images[row * pixels + i] ?? 0;
      context.fillRect(place * cell + (i % 8) * dot, Math.floor(i / 8) * dot, dot, dot);
    }
    context.globalAlpha = 1;
    context.fillStyle = colour(predictions[row] === test.labels[row] ? "quiet" : "bad");
    context.fillText(String(predictions[row]), place * cell + 4 * dot, canvas.height - dot);
  }
  const texts = hardest.map((row) => `${test.labels[row]} taken for ${predictions[row]}`);
  element("learn-hardest-text", HTMLElement).textContent = texts.join(", ");
  canvas.title = texts.join(", ");
}
