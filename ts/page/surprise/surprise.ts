// "Token surprise": the card. May import worker's types, model's names and elements.
import { proxy, wrap } from "comlink";
import { count, element, fail, made } from "../elements.ts";
import { weightNames } from "./model.ts";
import type { Opened, Scored, SurpriseWorker, Vocabulary } from "./worker.ts";

/** A loss in nats that has the full colour: a little more than ln 50257, what a model that knows nothing pays for each token. */
const fullColour = 12;

export async function surprise(): Promise<void> {
  const thread = new Worker(new URL("./surprise.worker.js", import.meta.url), { type: "module" });
  thread.addEventListener("error", (event) => fail("Token surprise: its worker", event.message || "it could not be started"));
  const worker = wrap<SurpriseWorker>(thread);
  const text = element("surprise-text", HTMLTextAreaElement);
  const vocabulary = element("surprise-vocabulary", HTMLSelectElement);
  const result = element("surprise-result", HTMLElement);

  let isOpen = false;
  let wanted = false;
  let scoring = false;
  /** One at a time, and the latest text last. */
  async function score(): Promise<void> {
    wanted = true;
    if (scoring || !isOpen) return;
    scoring = true;
    try {
      while (wanted && isOpen) {
        wanted = false;
        show(await worker.score(text.value));
      }
    } finally {
      scoring = false;
    }
  }

  async function open(): Promise<void> {
    isOpen = false;
    vocabulary.disabled = true;
    try {
      const opened = await worker.open(vocabulary.value as Vocabulary, proxy((progress: string) => void (result.textContent = progress)));
      showModel(opened);
      isOpen = true;
      await score();
    } finally {
      vocabulary.disabled = false;
    }
  }

  const attempt = (what: () => Promise<void>) => (): void => void what().catch((error: unknown) => fail("Token surprise", error));
  text.addEventListener("input", attempt(score));
  vocabulary.addEventListener("change", attempt(open));
  moveByArrows(element("surprise-tokens", HTMLElement));
  await open();
}

function showModel({ vocabulary, tokens, sizes, weights, before, after, threads }: Opened): void {
  element("surprise-model", HTMLElement).textContent =
    `Counted: ${count(tokens)} tokens; ${sizes.map((size, i) => `${count(size)} different runs of ${i + 1}`).join(", ")}. ` +
    `Weights: ${weights.map((weight, i) => `${weightNames[i]} ${weight.toFixed(2)}`).join(", ")}. ` +
    `Perplexity of passages it has not seen, of ${count(vocabulary)} possible tokens: ${before.toFixed(0)} by single tokens alone, ${after.toFixed(0)} fitted. ` +
    `Calls in its worker use ${threads} ${threads === 1 ? "thread" : "threads"}.`;
}

function show({ tokens, meanLoss, logits, callMs }: Scored): void {
  const place = element("surprise-tokens", HTMLElement);
  const detail = element("surprise-token", HTMLElement);
  const result = element("surprise-result", HTMLElement);
  place.replaceChildren(
    ...tokens.map(({ text, id, loss, expected, expectedProbability }, i) => {
      const token = made("span", text.replaceAll("\n", "⏎\n") || "·", { className: "token", tabIndex: i === 0 ? 0 : -1 });
      token.style.setProperty("--share", `${Math.round(100 * Math.min(1, loss / fullColour))}%`);
      Object.assign(token.dataset, { loss, id });
      const tell = (): void => {
        detail.textContent =
          `${JSON.stringify(text)} (token ${count(id)}): loss ${loss.toFixed(2)} nats, probability ${probability(Math.exp(-loss))}. ` +
          `Likeliest here: ${JSON.stringify(expected)}, ${probability(expectedProbability)}.`;
      };
      token.addEventListener("pointerenter", tell);
      token.addEventListener("focus", tell);
      return token;
    }),
  );
  // What it says of a token is gone with the text.
  detail.textContent = tokens.length === 0 ? "" : "Point at a token, or move to it with the arrow keys, to see its figures.";
  if (tokens.length === 0) {
    result.textContent = "Type some text.";
    return;
  }
  const perplexity = Math.exp(meanLoss);
  Object.assign(result.dataset, { perplexity, loss: meanLoss });
  result.textContent =
    `${count(tokens.length)} tokens: perplexity ${perplexity.toFixed(1)}, mean loss ${meanLoss.toFixed(3)} nats ` +
    `(${(meanLoss / Math.LN2).toFixed(2)} bits); ${(logits / 1e6).toFixed(1)} million logits in ${callMs.toFixed(0)} ms.`;
}

const probability = (p: number): string => (p >= 0.001 ? `${(100 * p).toPrecision(2)} %` : `1 in ${count(Math.round(1 / p))}`);

/** One stop for the Tab key; the arrows go on from there. */
function moveByArrows(place: HTMLElement): void {
  const steps: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
  place.addEventListener("keydown", (event) => {
    const tokens = [...place.querySelectorAll<HTMLElement>(".token")];
    const now = tokens.findIndex((token) => token === document.activeElement);
    const next = event.key === "Home" ? tokens[0] : event.key === "End" ? tokens.at(-1) : tokens[now + (steps[event.key] ?? 0)];
    if (now === -1 || next === undefined || next === tokens[now]) return;
    event.preventDefault();
    for (const token of tokens) token.tabIndex = token === next ? 0 : -1;
    next.focus();
  });
}
