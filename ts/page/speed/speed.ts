// "Speed here": the card. May import shapes, worker's types and elements.
import { proxy, wrap } from "comlink";
import { element, fail, made } from "../elements.ts";
import { measuredShapes } from "./shapes.ts";
import type { Figures, Line, SpeedWorker } from "./worker.ts";

const rounds = 5;

/** @param alone ends what else the page computes: it would take turns with what is timed */
export function speed({ alone }: { alone: () => Promise<void> }): void {
  const run = element("speed-run", HTMLButtonElement);
  const copy = element("speed-copy", HTMLButtonElement);
  const size = element("speed-size", HTMLSelectElement);
  const result = element("speed-result", HTMLElement);
  const body = element("speed-table", HTMLTableElement).tBodies[0] as HTMLTableSectionElement;
  let figures: Figures | undefined;

  async function measure(): Promise<void> {
    await alone();
    run.disabled = true;
    copy.disabled = true;
    showShapes(body, Number(size.value));
    const thread = new Worker(new URL("./speed.worker.js", import.meta.url), { type: "module" });
    try {
      const died = new Promise<never>((_, reject) => {
        thread.addEventListener("error", (event) => reject(new Error(event.message || "its worker could not be started")));
      });
      // What a worker says comes by channels of their own, in no order among them.
      let isDone = false;
      const told = proxy((progress: string) => {
        if (!isDone) result.textContent = progress;
      });
      const line = proxy((done: Line) => showLine(body, done));
      figures = await Promise.race([wrap<SpeedWorker>(thread).measure(Number(size.value), rounds, told, line), died]);
      isDone = true;
      for (const line of figures.lines) showLine(body, line);
      const { engine, tfjs } = figures;
      result.dataset["json"] = JSON.stringify(figures);
      copy.disabled = false;
      result.textContent = `Done: the best of ${rounds} rounds each, ${engine.build} build, ${engine.threads} ${engine.threads === 1 ? "thread" : "threads"}; TensorFlow.js ${tfjs}.`;
    } finally {
      thread.terminate();
      run.disabled = false;
    }
  }

  run.addEventListener("click", () => void measure().catch((error: unknown) => {
    result.textContent = "";
    fail("Speed", error);
  }));
  copy.addEventListener("click", () => {
    const text = JSON.stringify(figures, null, 2);
    navigator.clipboard.writeText(text).then(
      () => void (result.textContent = "Copied."),
      () => {
        // A page that may not write to the clipboard shows the text, selected.
        const area = made("textarea", text, { readOnly: true, rows: 6 });
        area.setAttribute("aria-label", "The figures as JSON");
        result.replaceChildren(area);
        area.select();
      },
    );
  });
  const head = element("speed-table", HTMLTableElement).tHead as HTMLTableSectionElement;
  const titles = ["rows × classes", "one thread", "all threads", "JavaScript loop", "TF.js, one thread"];
  head.append(made("tr"));
  size.addEventListener("change", () => showShapes(body, Number(size.value)));
  showShapes(body, Number(size.value));
  head.rows[0]?.append(...titles.map((title) => made("th", title, { scope: "col" })));
  element("speed-note", HTMLElement).textContent =
    "Billion logits a second, loss and gradient; in brackets how many times as fast as the JavaScript loop." +
    (crossOriginIsolated ? "" : " This page is not isolated, so there is one thread; Threads, above, says what it takes.");
}

/** A row for every shape, before there is a figure. */
function showShapes(body: HTMLTableSectionElement, most: number): void {
  const none = { outcomes: [] };
  body.replaceChildren();
  for (const shape of measuredShapes(most)) showLine(body, { ...shape, ...none, shape: shape.name });
}

function showLine(body: HTMLTableSectionElement, { shape, rows, classes, why, outcomes }: Line): void {
  const name = `${rows.toLocaleString("en")} × ${classes.toLocaleString("en")}`;
  const row = made("tr");
  row.dataset["shape"] = shape;
  const fastest = Math.min(...outcomes.map(({ nsPerLogit = Infinity }) => nsPerLogit));
  const loop = outcomes.find(({ what }) => what === "plain loop");
  const mine = outcomes.filter(({ what }) => what === "loss+grad");
  const cell = (outcome: Line["outcomes"][number] | undefined, compare: boolean): HTMLTableCellElement => {
    if (outcome === undefined) return made("td", "–");
    if (outcome.wrong !== undefined) return made("td", "FAIL", { title: outcome.wrong, className: "bad" });
    const { nsPerLogit = Number.NaN, best = Number.NaN } = outcome;
    const cell = made("td", (1 / nsPerLogit).toPrecision(2), { className: "figure" });
    cell.style.setProperty("--share", `${(100 * fastest) / nsPerLogit}%`);
    if (compare && loop?.best !== undefined) cell.append(" ", made("small", `(${(loop.best / best).toPrecision(2)}×)`));
    return cell;
  };
  const all = mine.find(({ threads = 1 }) => threads > 1);
  const cells = [cell(mine.find(({ threads }) => threads === 1), true), cell(all, true), cell(loop, false), cell(outcomes.find(({ what }) => what === "tfjs"), true)];
  const head = made("th", name, { scope: "row" });
  head.append(" ", made("small", why));
  row.append(head, ...cells);
  const before = body.querySelector(`[data-shape="${shape}"]`);
  if (before === null) body.append(row);
  else before.replaceWith(row);
}
