// The live page: one engine on the page's own thread for the two demonstrations whose calls are small, a worker each for the other two.
import "./language.ts";
import { load } from "sparse-xent";
import "uplot/dist/uPlot.min.css";
import "./style.css";
import { element, fail, made, megabytes } from "./elements.ts";
import { learn } from "./learn/learn.ts";
import { segmentation } from "./segmentation/segmentation.ts";
import { speed } from "./speed/speed.ts";
import { surprise } from "./surprise/surprise.ts";

/** What this browser gives the page, and what it would take to get more. */
function showHost({ version, build, threads, whyOneThread, memoryBytes }: Awaited<ReturnType<typeof load>>["info"]): void {
  const chips = [
    version,
    `${build} build`,
    `${threads} ${threads === 1 ? "thread" : "threads"}`,
    crossOriginIsolated ? "isolated" : "not isolated",
    `${megabytes(memoryBytes)} of memory`,
  ];
  const host = element("host", HTMLElement);
  Object.assign(host.dataset, { threads, isolated: crossOriginIsolated });
  host.replaceChildren(...chips.map((text) => made("li", text, { className: "chip" })));
  element("isolation-state", HTMLElement).textContent = whyOneThread === undefined ? `This page uses ${threads} threads.` : `One thread: ${whyOneThread}.`;
  element("isolation", HTMLElement).classList.toggle("lacking", whyOneThread !== undefined);
}

/** One card that cannot work leaves the others alone. */
async function start<T>(title: string, card: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await card();
  } catch (error) {
    fail(title, error);
    return undefined;
  }
}

/** Escape closes what explains, and the focus goes back to what opened it. */
function closeByEscape(): void {
  document.addEventListener("keydown", ({ key }) => {
    const open = key === "Escape" ? document.querySelector<HTMLDetailsElement>("details[open]") : null;
    if (open === null) return;
    open.open = false;
    open.querySelector("summary")?.focus();
  });
}

async function main(): Promise<void> {
  closeByEscape();
  const xent = await load();
  showHost(xent.info);
  const others = [start("Watch it learn", () => learn(xent)), start("Segmentation", () => segmentation(xent))];
  void start("Token surprise", surprise);
  const alone = async (): Promise<void> => {
    for (const other of others) (await other)?.pause();
  };
  void start("Speed", () => speed({ alone }));
}

main().catch((error: unknown) => fail("The engine could not be loaded", error));
