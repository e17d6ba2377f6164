// Put into the live page before its own scripts: uses the page as a reader would, by its controls, and posts what they show. Nothing of the page knows it.
(() => {
  const errors = [];
  for (const level of ["error", "warn"]) {
    const write = console[level];
    console[level] = (...parts) => {
      errors.push(`console.${level}: ${parts.join(" ")}`);
      write(...parts);
    };
  }
  addEventListener("error", ({ message, target }) => errors.push(`error: ${message ?? target?.src ?? target?.href}`), true);
  addEventListener("unhandledrejection", ({ reason }) => errors.push(`unhandled: ${reason}`));

  // The longest time in which the page could do nothing else.
  const start = performance.now();
  let beat = start;
  let longestBlockMs = 0;
  setInterval(() => {
    const now = performance.now();
    longestBlockMs = Math.max(longestBlockMs, now - beat);
    beat = now;
  }, 20);

  const get = (id) => document.getElementById(id);
  const limitMs = 100_000;
  /** Waits until it is so, and gives what it is. */
  async function until(what, isSo) {
    for (const start = performance.now(); performance.now() - start < limitMs; await new Promise((resolve) => setTimeout(resolve, 50))) {
      const found = isSo();
      if (found !== undefined && found !== false) return found;
      if (!get("failure").hidden) throw new Error(get("failure").textContent);
    }
    throw new Error(`waited for ${what} for ${limitMs} ms`);
  }
  const number = (element, name) => (element.dataset[name] === undefined ? undefined : Number(element.dataset[name]));
  const press = (target, key, shiftKey = false) => target.dispatchEvent(new KeyboardEvent("keydown", { key, shiftKey, bubbles: true, cancelable: true }));
  const slide = (input, value) => {
    input.value = String(value);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };

  async function learn() {
    const result = get("learn-result");
    await until("the digits", () => number(result, "step") === 0);
    const before = number(result, "accuracy");
    get("learn-run").click();
    await until("an accuracy", () => number(result, "accuracy") > 0.9);
    const after = { step: number(result, "step"), accuracy: number(result, "accuracy"), loss: number(result, "loss") };
    // Nine tenths of the labels wrong: what it learns is no longer what is so, and its loss on the digits held out grows.
    slide(get("learn-noise"), 0.9);
    await until("the wrong labels' effect", () => number(result, "loss") > 2 * after.loss);
    const misled = number(result, "loss");
    get("learn-run").click();
    slide(get("learn-noise"), 0);
    get("learn-reset").click();
    await until("a reset", () => number(result, "step") === 0);
    return { before, ...after, misled, lines: document.querySelectorAll("#learn canvas").length };
  }

  async function segmentation() {
    const result = get("segmentation-result");
    const map = get("segmentation-labels");
    const pixels = () => get("segmentation-heat").getContext("2d").getImageData(0, 0, 160, 120).data.join();
    const figures = () => ({ loss: number(result, "loss"), valid: number(result, "valid"), map: pixels() });
    await until("a loss", () => number(result, "loss"));
    const first = figures();
    map.focus();
    for (let i = 0; i < 8; i += 1) press(map, "ArrowRight", true);
    await until("the stroke's loss", () => number(result, "loss") > first.loss * 1.5);
    const stroke = figures();
    get("segmentation-ignore").click();
    for (let i = 0; i < 8; i += 1) press(map, "ArrowLeft", true);
    await until("ignored pixels", () => number(result, "valid") < first.valid);
    const ignored = figures();
    get("segmentation-ignore").click();
    for (let i = 0; i < 8; i += 1) press(map, "ArrowDown", true);
    await until("another stroke", () => number(result, "loss") > ignored.loss * 1.2);
    const unlearned = figures();
    get("segmentation-learn").click();
    await until("a lower loss", () => number(result, "loss") < unlearned.loss / 4);
    get("segmentation-learn").click();
    const learned = figures();
    const { tensors, used, onehot } = get("segmentation-memory").dataset;
    return {
      losses: [first, stroke, ignored, unlearned, learned].map(({ loss }) => loss),
      valid: [first.valid, ignored.valid],
      mapChanged: first.map !== stroke.map && stroke.map !== ignored.map,
      memory: { tensors: Number(tensors), used: Number(used), oneHot: Number(onehot) },
    };
  }

  async function surprise() {
    const result = get("surprise-result");
    const figures = () => {
      const losses = [...document.querySelectorAll("#surprise-tokens .token")].map((token) => Number(token.dataset.loss));
      const text = [...document.querySelectorAll("#surprise-tokens .token")].map((token) => token.textContent).join("");
      return { losses, text, perplexity: number(result, "perplexity") };
    };
    await until("the tokenizer", () => number(result, "perplexity"));
    const first = figures();
    get("surprise-text").value = "Zürich 日本 \u{1f600} <|endoftext|> said Sherlock Holmes";
    get("surprise-text").dispatchEvent(new Event("input", { bubbles: true }));
    await until("the other text", () => number(result, "perplexity") !== first.perplexity);
    const second = figures();
    document.querySelector("#surprise-tokens .token").focus();
    press(document.activeElement, "ArrowRight");
    const detail = get("surprise-token").textContent;
    get("surprise-text").value = "";
    get("surprise-text").dispatchEvent(new Event("input", { bubbles: true }));
    await until("no token", () => document.querySelector("#surprise-tokens .token") === null);
    return { first, second, detail, left: get("surprise-token").textContent };
  }

  async function speed() {
    get("speed-size").value = "1000000";
    get("speed-size").dispatchEvent(new Event("change", { bubbles: true }));
    get("speed-run").click();
    const json = await until("the figures", () => get("speed-result").dataset.json);
    return { figures: JSON.parse(json), cells: [...document.querySelectorAll("#speed-table tbody td")].map((cell) => cell.textContent) };
  }

  addEventListener("DOMContentLoaded", async () => {
    const report = {};
    try {
      report.host = await until("the engine", () => get("host").dataset.threads && { ...get("host").dataset });
      report.why = get("isolation-state").textContent;
      report.readme = await (await fetch(document.querySelector("header a").href)).text();
      for (const [name, use] of Object.entries({ learn, segmentation, surprise, speed })) report[name] = await use();
    } catch (error) {
      errors.push(`probe: ${error.message}`);
    }
    report.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    await fetch("report", { method: "POST", body: JSON.stringify({ ...report, errors, longestBlockMs, totalMs: performance.now() - start }) });
  });
})();
