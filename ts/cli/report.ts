// What `score` prints: a table for people, JSON for programs. Pure: a score in, text out.

import Table from "cli-table3";
import type { Score, ScoreRequest } from "./score.js";

/** What ran, beside what was found. */
export interface Run {
  readonly build: string;
  readonly threads: number;
  readonly version: string;
  readonly totalMs: number;
}

// A longer table scrolls away what stands above it.
const tableClasses = 40;
// Below this the time is that of waking threads and compiling, not of computing.
const warmElements = 4e6;
const dtypeNames = { f2: "float16", f4: "float32", f8: "float64" } as const;

/** The JSON report: numbers that are not finite are null, as JSON has no word for them. */
export function jsonReport(request: ScoreRequest, score: Score, run: Run): Record<string, unknown> {
  return {
    logits: request.logits,
    labels: request.labels,
    shape: score.shape,
    dtype: dtypeNames[score.dtype],
    rows: score.rows,
    classes: score.classes,
    validCount: score.validCount,
    ignoredCount: score.rows - score.validCount,
    nonFiniteCount: score.nonFiniteCount,
    reduction: request.reduction,
    loss: request.reduction === "none" ? null : finite(request.reduction === "sum" ? score.lossSum : score.meanLoss),
    meanLoss: finite(score.meanLoss),
    lossSum: finite(score.lossSum),
    weightSum: score.weightSum,
    perplexity: finite(Math.exp(score.meanLoss)),
    accuracy: finite(score.correctCount / score.validCount),
    correctCount: score.correctCount,
    gradNorm: finite(score.gradNorm),
    perClass: Array.from({ length: score.classes }, (_, k) => {
      const row = classRow(score, k);
      return { class: k, count: row.count, weight: row.weight, meanLoss: finite(row.meanLoss), recall: finite(row.recall) };
    }),
    engine: { build: run.build, threads: run.threads, version: run.version },
    chunks: score.chunks,
    engineMs: score.engineMs,
    totalMs: run.totalMs,
    elementsPerSecond: finite(elementsPerSecond(score)),
    written: { grad: request.grad ?? null, loss: request.loss ?? null },
  };
}

/** The report for people. */
export function textReport(request: ScoreRequest, score: Score, run: Run): string {
  const ignored = score.rows - score.validCount;
  const reduced = request.reduction === "mean" ? [] : [request.reduction === "sum" ? ["sum of losses", number(score.lossSum)] : ["loss", lossPlace(request)]];
  const facts = [
    ["mean loss", number(score.meanLoss)],
    ...reduced,
    ["perplexity", number(Math.exp(score.meanLoss))],
    ["accuracy", `${percent(score.correctCount / score.validCount)} (${score.correctCount} of ${score.validCount})`],
    ["gradient norm", `${number(score.gradNorm)} (L2, of the mean loss)`],
    ["rows", `${score.rows}${ignored === 0 ? "" : `, ${ignored} of them ignored`}`],
    ["logits", `${score.shape.join(" x ")}, ${dtypeNames[score.dtype]}`],
    ["engine", `${run.build} build, ${run.threads} thread${run.threads === 1 ? "" : "s"}`],
    ["time", `${time(score.engineMs)} for loss and gradient, ${time(run.totalMs)} in all, with start-up and files`],
    ["speed", `${short(elementsPerSecond(score))} logits per second${score.rows * score.classes < warmElements ? " (too few to tell: the first call is the slowest)" : ""}`],
    ...(request.grad === undefined ? [] : [["gradient in", request.grad]]),
    ...(request.loss === undefined || request.reduction === "none" ? [] : [["row losses in", request.loss]]),
  ];
  const width = Math.max(...facts.map(([name]) => (name as string).length));
  const lines = facts.map(([name, value]) => `${(name as string).padEnd(width)}  ${value as string}`);
  return `${lines.join("\n")}\n\n${classTable(score)}\n`;
}

/** Warnings, one line each: they go to standard error whatever the report's form. */
export function warnings(score: Score): string[] {
  const lines = [];
  if (score.nonFiniteCount > 0) {
    lines.push(`${score.nonFiniteCount} of ${score.rows} rows have a loss that is NaN or infinite, the first is row ${score.firstNonFinite}`);
  }
  if (score.weightSum === 0) lines.push(`${score.validCount === 0 ? "no row is counted" : "every weight is 0"}: the mean is taken as 0`);
  return lines;
}

function classTable(score: Score): string {
  const shown = Array.from({ length: score.classes }, (_, k) => k);
  let note = "";
  if (score.classes > tableClasses) {
    shown.sort((a, b) => (score.perClass.loss[b] as number) - (score.perClass.loss[a] as number) || a - b);
    shown.length = tableClasses;
    note = `\nthe ${tableClasses} classes with the largest share of the loss, of ${score.classes}; --json lists all`;
  }
  const table = new Table({
    head: ["class", "count", "mean loss", "recall"],
    colAligns: ["right", "right", "right", "right"],
    style: { head: [], border: [], compact: true },
  });
  for (const k of shown) {
    const row = classRow(score, k);
    table.push([k, row.count, row.weight === 0 ? "-" : number(row.meanLoss), percent(row.recall)]);
  }
  return table.toString() + note;
}

/** A class's mean is over its weights, as the mean of all is over all weights; NaN where no row counts. */
function classRow(score: Score, k: number): { count: number; weight: number; meanLoss: number; recall: number } {
  const { loss, weight, count, correct } = score.perClass;
  return {
    count: count[k] as number,
    weight: weight[k] as number,
    meanLoss: (loss[k] as number) / ((weight[k] as number) || NaN),
    recall: (correct[k] as number) / (count[k] as number),
  };
}

function lossPlace(request: ScoreRequest): string {
  return request.loss === undefined ? "one per row; --loss OUT.npy writes them" : `one per row, in ${request.loss}`;
}

function elementsPerSecond(score: Score): number {
  return (score.rows * score.classes * 1000) / score.engineMs;
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** Seven digits: what an f32 row loss carries. */
function number(value: number): string {
  if (Number.isNaN(value)) return "nan";
  return Number.isFinite(value) ? String(Number(value.toPrecision(7))) : value > 0 ? "inf" : "-inf";
}

function percent(share: number): string {
  return Number.isNaN(share) ? "-" : `${(100 * share).toFixed(2)} %`;
}

/** A time in milliseconds or seconds, three digits. */
export function time(ms: number): string {
  return ms < 1000 ? `${Number(ms.toPrecision(3))} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** A large number with a decimal prefix: 1.23 G. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "-";
  const steps = ["", " k", " M", " G", " T"];
  const step = Math.max(0, Math.min(steps.length - 1, Math.floor(Math.log10(Math.max(value, 1)) / 3)));
  return `${Number((value / 1000 ** step).toPrecision(3))}${steps[step]}`;
}

/** Bytes with a decimal prefix: 277 MB. */
export function bytes(value: number): string {
  const text = short(value);
  return text.includes(" ") ? `${text}B` : `${text} B`;
}
