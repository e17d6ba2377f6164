// "Segmentation, 33 classes": the card. Label map, logits, gradient and losses are tensors of the engine; the page draws into the first and shows the last
// where they lie. May import scene and elements.
import type { Engine } from "sparse-xent";
import { generator } from "../../../bench/speed/cases.mjs";
import { count, element, fail, made, megabytes, slider } from "../elements.ts";
import { classes, colours, drawStreet, heat, height, ignored, names, paint, predict, width } from "./scene.ts";

/** The loss that is shown at its hottest. */
const hottest = 10;
/** Of a step that subtracts the gradient from the logits. */
const rate = 0.4;

const heats = Array.from({ length: 256 }, (_, i) => heat(i / 255));

export function segmentation(xent: Engine): { pause(): void } {
  const shape = [height, width] as const;
  const labels = xent.tensor("u8", shape);
  const logits = xent.tensor("f32", [...shape, classes]);
  const grad = xent.tensor("f32", [...shape, classes]);
  const weights = new Float32Array(classes).fill(1);
  const random = generator(5);
  /** What is drawn; the tensor takes it over between calls, and no call sees half a stroke. */
  const drawn = new Uint8Array(width * height);

  const map = element("segmentation-labels", HTMLCanvasElement);
  const heatMap = element("segmentation-heat", HTMLCanvasElement);
  const result = element("segmentation-result", HTMLElement);
  const learnButton = element("segmentation-learn", HTMLButtonElement);
  const brush = element("segmentation-class", HTMLSelectElement);
  const ignoreBrush = element("segmentation-ignore", HTMLInputElement);
  brush.append(...names.map((name, k) => made("option", `${k} ${name}`, { value: String(k) })));
  brush.value = String(names.indexOf("water"));
  const size = slider("segmentation-size", String, () => drawMap());
  const weight = slider("segmentation-weight", (value) => value.toFixed(2), (value) => {
    weights[Number(brush.value)] = value;
    compute();
  });
  brush.addEventListener("change", () => {
    weight.set(weights[Number(brush.value)] ?? 1);
    ignoreBrush.checked = false;
    drawMap();
  });
  ignoreBrush.addEventListener("change", () => drawMap());
  element("segmentation-scale", HTMLElement).textContent = `0 to ${hottest}`;

  let cursor = { x: width >> 1, y: height >> 1 };
  let hasCursor = false;
  let learning = false;
  let wanted = false;
  let computing = false;

  /** What is to be done to the logits, between calls too. */
  const changes: (() => void)[] = [];

  /** Loss of every pixel, and while it learns the gradient too: once now, and once more if something changed meanwhile. */
  function compute(change?: () => void): void {
    wanted = true;
    if (change !== undefined) changes.push(change);
    if (!computing) void run().catch((error: unknown) => fail("Segmentation", error));
  }

  async function run(): Promise<void> {
    computing = true;
    try {
      while (wanted) {
        const learns = learning;
        wanted = learns;
        for (const change of changes.splice(0)) change();
        labels.view.set(drawn);
        const start = performance.now();
        const { loss, lossSum, weightSum, validCount } = await xent.crossEntropyAsync(logits, labels, {
          reduction: "none",
          ignoreIndex: ignored,
          classWeight: weights,
          ...(learns && { grad }),
        });
        const ms = performance.now() - start;
        if (learns) descend();
        showHeat(loss.view);
        loss.dispose();
        show(weightSum === 0 ? 0 : lossSum / weightSum, validCount, ms, learns);
        await new Promise(requestAnimationFrame);
      }
    } finally {
      computing = false;
    }
  }

  /** Every pixel is a row with a gradient of its own: this moves each towards its label. */
  function descend(): void {
    const [x, g] = [logits.view, grad.view];
    for (let i = 0; i < x.length; i += 1) x[i] = (x[i] as number) - rate * (g[i] as number);
  }

  function show(mean: number, validCount: number, ms: number, learns: boolean): void {
    const pixels = width * height;
    Object.assign(result.dataset, { loss: mean, valid: validCount });
    result.setAttribute("aria-live", learning ? "off" : "polite");
    result.textContent =
      `Mean loss ${mean.toFixed(4)} over ${count(validCount)} pixels, ${count(pixels - validCount)} ignored; ` +
      `${learns ? "loss and gradient" : "loss"} of ${count(pixels * classes)} logits in ${ms.toFixed(1)} ms.`;
    const tensors = [labels, logits, grad].reduce((bytes, tensor) => bytes + tensor.byteLength, 0);
    const { usedBytes } = xent.info;
    const oneHot = logits.byteLength;
    const memory = element("segmentation-memory", HTMLElement);
    Object.assign(memory.dataset, { tensors, used: usedBytes, onehot: oneHot });
    memory.textContent =
      `Memory: labels ${megabytes(labels.byteLength)}, logits ${megabytes(logits.byteLength)}, gradient ${megabytes(grad.byteLength)}; ` +
      `the engine uses ${megabytes(usedBytes)} in all. One-hot labels would take another ${megabytes(oneHot)}: ${oneHot / labels.byteLength} bytes a pixel instead of 1.`;
  }

  const heatImage = new ImageData(width, height);
  function showHeat(losses: Float32Array<ArrayBufferLike>): void {
    const { data } = heatImage;
    const truth = labels.view;
    for (let i = 0; i < losses.length; i += 1) {
      const [r, g, b] = truth[i] === ignored ? hatch(i) : (heats[Math.min(255, Math.round(((losses[i] as number) / hottest) * 255))] ?? [0, 0, 0]);
      data.set([r, g, b, 255], i * 4);
    }
    heatMap.getContext("2d")?.putImageData(heatImage, 0, 0);
  }

  const mapImage = new ImageData(width, height);
  function drawMap(): void {
    const { data } = mapImage;
    for (let i = 0; i < drawn.length; i += 1) {
      const [r, g, b] = drawn[i] === ignored ? hatch(i) : (colours[drawn[i] as number] ?? [0, 0, 0]);
      data.set([r, g, b, 255], i * 4);
    }
    const context = map.getContext("2d");
    if (context === null) return;
    context.putImageData(mapImage, 0, 0);
    if (!hasCursor) return;
    for (const [colour, radius] of [["black", size.value + 1], ["white", size.value]] as const) {
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(cursor.x + 0.5, cursor.y + 0.5, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  function stroke(): void {
    paint(drawn, cursor.x, cursor.y, size.value, ignoreBrush.checked ? ignored : Number(brush.value));
    drawMap();
    compute();
  }

  const at = (event: PointerEvent): { x: number; y: number } => {
    const { left, top, width: shown, height: tall } = map.getBoundingClientRect();
    return { x: Math.floor(((event.clientX - left) / shown) * width), y: Math.floor(((event.clientY - top) / tall) * height) };
  };
  map.addEventListener("pointerdown", (event) => {
    map.setPointerCapture(event.pointerId);
    cursor = at(event);
    stroke();
  });
  map.addEventListener("pointermove", (event) => {
    const from = cursor;
    cursor = at(event);
    hasCursor = true;
    if ((event.buttons & 1) === 0) return drawMap();
    // Discs along the way, so that a fast hand leaves no gaps.
    const pieces = Math.max(1, Math.ceil(Math.hypot(cursor.x - from.x, cursor.y - from.y) / Math.max(1, size.value / 2)));
    const to = cursor;
    for (let i = 1; i <= pieces; i += 1) {
      cursor = { x: from.x + ((to.x - from.x) * i) / pieces, y: from.y + ((to.y - from.y) * i) / pieces };
      paint(drawn, cursor.x, cursor.y, size.value, ignoreBrush.checked ? ignored : Number(brush.value));
    }
    stroke();
  });
  const setCursor = (shown: boolean) => (): void => {
    hasCursor = shown;
    drawMap();
  };
  map.addEventListener("pointerleave", setCursor(false));
  map.addEventListener("focus", setCursor(true));
  map.addEventListener("blur", setCursor(false));
  const arrows: Readonly<Record<string, readonly [number, number]>> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = arrows[event.key];
    const resized = event.key === "[" ? -1 : event.key === "]" ? 1 : 0;
    if (arrow !== undefined) {
      const stride = Math.max(1, Math.round(size.value / 2));
      cursor = { x: Math.min(width - 1, Math.max(0, cursor.x + arrow[0] * stride)), y: Math.min(height - 1, Math.max(0, cursor.y + arrow[1] * stride)) };
      hasCursor = true;
      if (event.shiftKey) stroke();
      else drawMap();
    } else if (event.key === " ") stroke();
    else if (resized !== 0) {
      size.set(size.value + resized);
      drawMap();
    } else return;
    event.preventDefault();
  });

  function setLearning(to: boolean): void {
    learning = to;
    learnButton.setAttribute("aria-pressed", String(learning));
    learnButton.textContent = learning ? "Learning…" : "Learn";
    compute();
  }
  learnButton.addEventListener("click", () => setLearning(!learning));
  const look = (): void => compute(() => predict(drawn, logits.view, random));
  element("segmentation-look", HTMLButtonElement).addEventListener("click", look);
  function reset(): void {
    weights.fill(1);
    weight.set(1);
    drawStreet(drawn);
    drawMap();
    look();
  }
  element("segmentation-reset", HTMLButtonElement).addEventListener("click", reset);
  reset();
  return { pause: () => setLearning(false) };
}

/** Ignored pixels look like nothing else: stripes. */
function hatch(pixel: number): readonly [number, number, number] {
  const isDark = ((pixel % width) + Math.floor(pixel / width)) % 6 < 3;
  return isDark ? [96, 96, 104] : [150, 150, 158];
}
