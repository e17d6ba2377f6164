// The page "Speed" of the documentation, from the record and from nothing else: what is slower than its rivals is in it because the record says so.
import { figure, markdownTable } from "./table.mjs";
import { shapes } from "./cases.mjs";
import { isBusy } from "./machine.mjs";

/** @typedef {import("./contest.mjs").Outcome & { naive?: number }} Outcome `naive`: of records that were compared with the textbook form */

/** @param {number} bytes */
const megabytes = (bytes) => (bytes < 1e6 ? `${figure(bytes / 1e3, 2)} kB` : `${figure(bytes / 1e6)} MB`);
/** @param {number | undefined} ratio */
const times = (ratio) => (ratio === undefined ? "" : `${ratio.toFixed(ratio < 10 ? 2 : 0)}x`);

const columns = 150;

/** Prose in lines of the README's width; what follows the first line of a list's point is indented. @param {string} text */
function wrapped(text) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1) ?? "";
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= columns) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(`${text.startsWith("- ") ? "  " : ""}${word}`);
  }
  return lines.join("\n");
}

/**
 * @param {any} record
 * @returns {string} Markdown
 */
export function speedSection(record) {
  const { parts } = record;
  return [
    ...introduction(record).map(wrapped),
    kernelTable(record),
    wrapped(slower(parts.kernels)),
    ...nativeKernels(record),
    picture(record),
    [threads(parts.threads), batch(parts.batch), halves(parts.dtypes), adversarial(parts.adversarial)].map(wrapped).join("\n"),
    options(parts.options),
    [overhead(parts.overhead), loading(parts.loading), memory(parts.memory), rows(parts.growth)].map(wrapped).join("\n"),
  ].join("\n\n");
}

/** @param {any} record */
function introduction({ processor, cores, extensions, system, node, v8, date, commit, rounds, loadBefore }) {
  const noise = isBusy({ loadBefore }) ? ` Other programs were running (${loadBefore} processes on average): take the ratios rather than the figures.` : "";
  return [
    `\`npm run bench\` measured this (\`-- --quick\` within two minutes, \`-- --help\` for its parts) on ${date} at commit ${commit}: ${processor}, ${cores} cores
     (${extensions.join(", ")}), ${system}, Node ${node}, V8 ${v8}. Results are compared with the definition in f64 before anything is timed; then all
     candidates take turns in one process, for ${rounds} rounds, and the best round counts ([record](../../bench/record/speed.json)).${noise}`,
    `Billion logits a second, on one thread and in the \`relaxed\` build unless named otherwise; in brackets how many times as fast as the textbook's wasm
     kernel ([\`bench/naive\`](../../bench/naive/lib.rs): three sweeps of SIMD128, the same exponential, same build, loss alone against loss alone). \`copy\`
     copies the logits in wasm. Errors are the largest relative ones of a row's loss and of a gradient element.`,
  ];
}

/** @param {any} record */
function kernelTable({ parts, threads }) {
  const all = Math.max(...threads);
  const many = all > 1;
  /** @type {Outcome[]} */
  const outcomes = parts.kernels;
  const lines = shapes.map(({ name, rows: count, classes, why }) => {
    /** @param {string} what @param {"relaxed" | "simd"} [build] @param {number} [on] */
    const find = (what, build, on) =>
      outcomes.find((each) => each.shape === name && each.what === what && (build === undefined || each.build === build) && (on === undefined || each.threads === on));
    /** @param {Outcome | undefined} outcome */
    const rate = (outcome) => (outcome?.best === undefined ? "" : figure((count * classes) / outcome.best / 1e6, 2));
    /** @param {Outcome | undefined} outcome */
    const cell = (outcome) => (outcome === undefined ? "not run" : `${rate(outcome)} (${times(outcome.naive)})`);
    const errors = find("loss+grad", "relaxed", 1);
    return [
      `${name}, ${why}`,
      cell(find("loss", "relaxed", 1)),
      cell(find("loss+grad", "relaxed", 1)),
      cell(find("in place", "relaxed", 1)),
      ...(many ? [cell(find("in place", "relaxed", all))] : []),
      cell(find("loss+grad", "simd", 1)),
      rate(find("naive loss+grad", "relaxed", 1)),
      rate(find("copy")),
      rate(find("plain loop")),
      `${errors?.lossError?.toExponential(0)}, ${errors?.gradError?.toExponential(0)}`,
    ];
  });
  const head = [
    "shape", "loss", "loss and gradient", "in place", ...(many ? [`in place, ${all} threads`] : []), "`simd` build, loss and gradient", "textbook", "copy", "JavaScript loop", "errors",
  ];
  return markdownTable(head, lines);
}

/** What loses against the textbook kernel. @param {readonly Outcome[]} outcomes */
function slower(outcomes) {
  const jobs = ["loss", "loss+grad", "in place", "accumulate"];
  const lost = outcomes.filter(({ what, threads, naive }) => jobs.includes(what) && threads === 1 && naive !== undefined && naive < 1);
  if (lost.length === 0) return "On one thread nothing measured here is slower than the textbook kernel of its build, at any shape.";
  const lines = lost.map(({ shape, what, build, naive }) => `${shape} ${what} ${build} (${times(naive)})`);
  return `Slower than the textbook kernel, on one thread: ${lines.join(", ")}. Accumulating reads the gradient as well, which the textbook kernel does not.`;
}

const kernelNames = /** @type {const} */ ({ Lanes16: "AVX-512", Lanes8: "AVX2", Lanes4: "plain Rust" });

/** The crate's kernels beside the wasm, where the record has them. @param {any} record @returns {string[]} */
function nativeKernels({ parts }) {
  /** @type {readonly import("./parts/native.mjs").NativeOutcome[]} */
  const measured = parts.native ?? [];
  const kernels = /** @type {const} */ (["Lanes16", "Lanes8", "Lanes4"]).filter((name) => measured.some(({ kernel }) => kernel === name));
  if (kernels.length === 0) return [];
  const jobs = /** @type {const} */ (["loss", "loss+grad", "in place"]);
  const build = measured.find((each) => each.build !== undefined)?.build;
  const cases = [...new Map(measured.map(({ shape, dtype }) => [`${shape} ${dtype}`, { shape, dtype }])).values()];
  const lines = cases.map(({ shape, dtype }) => {
    const cells = kernels.flatMap((kernel) =>
      jobs.map((job) => times(measured.find((each) => each.shape === shape && each.dtype === dtype && each.kernel === kernel && each.what === job)?.wasm)),
    );
    return [`${shape}${dtype === "f32" ? "" : `, ${dtype}`}`, ...cells];
  });
  const head = ["shape", ...kernels.flatMap((kernel) => [`${kernelNames[kernel]}: loss`, "loss and gradient", "in place"])];
  const about = `The crate in a Rust program on one thread, as many times as fast as the \`${build}\` wasm: two processes that take turns
    (\`npm run bench -- --native\`). Plain Rust is for processors with neither AVX-512 nor AVX2.`;
  return [`${wrapped(about)}\n\n${markdownTable(head, lines)}`];
}

/** @param {any} record */
function picture({ parts }) {
  const classes = parts.growth.filter((/** @type {{ classes?: number }} */ each) => each.classes !== undefined);
  const counts = classes.map((/** @type {{ classes: number }} */ each) => each.classes);
  const alt = `Nanoseconds per logit over ${Math.min(...counts)} to ${Math.max(...counts)} classes`;
  return `![${alt}](../../bench/record/growth.svg)`;
}

/** @param {readonly { shape: string, what: string, threads: number, faster: number, fasterMedian: number, small?: true }[]} measured */
function threads(measured) {
  if (measured.length === 0) return "- Threads: this machine has one.";
  const all = Math.max(...measured.map((each) => each.threads));
  const large = measured.filter((each) => each.threads === all && !each.small && each.what === "loss+grad");
  const gains = large.map(({ faster }) => faster);
  const small = measured.filter((each) => each.threads === all && each.small);
  const worst = small.reduce((least, each) => (each.fasterMedian < least.fasterMedian ? each : least));
  return `- **Threads**: ${all} are ${times(Math.min(...gains))} to ${times(Math.max(...gains))} as fast as one for loss and gradient at the shapes above. Of small calls the one that fares worst
  for having them, ${worst.shape} ${worst.what}, is ${times(worst.fasterMedian)} as fast as on one thread.`;
}

/** @param {readonly { what: string, threads?: number, best?: number, naive?: number }[]} measured */
function batch(measured) {
  const one = measured.find(({ what, threads: count }) => what === "in place" && count === 1);
  const all = measured.filter(({ what }) => what === "in place").at(-1);
  const more = all === one ? "" : `, ${figure(all?.best)} ms on ${all?.threads} threads`;
  return `- **A batch** of label images, logits [8, 512, 512, 33] with class weights and a tenth of the pixels ignored, takes ${figure(one?.best)} ms in place on one thread${more};
  the textbook kernel, which knows neither and computes every pixel, takes ${times(one?.naive)} the former out of place.`;
}

/** @param {readonly { shape: string, what: string, build: string, dtype: string, ratio: number }[]} measured */
function halves(measured) {
  const of = (/** @type {string} */ dtype) => measured.filter((each) => each.dtype === dtype && each.build === "relaxed" && each.what === "loss+grad").map(({ shape, ratio }) => `${times(ratio)} at ${shape}`);
  return `- **16-bit logits**, loss and gradient, as a share of the speed of f32: bf16 ${of("bf16").join(", ")}; f16 ${of("f16").join(", ")}.`;
}

/** @param {readonly { shape: string, what: string, rows: string, cost: number }[]} measured */
function adversarial(measured) {
  const worst = measured.reduce((most, each) => (each.cost > most.cost ? each : most));
  return `- **Rows that ask more** (a logit 87 above or below all others, half of them -inf, 1e4 added) take at most ${times(worst.cost)} the time of ordinary ones (${worst.rows}, ${worst.shape} ${worst.what}).`;
}

/** @param {readonly { shape: string, build: string, option: string, what: string, cost: number }[]} measured */
function options(measured) {
  const build = measured[0]?.build;
  const names = [...new Set(measured.map(({ option }) => option))].filter((name) => name !== "none");
  const at = [...new Set(measured.map(({ shape }) => shape))];
  const lines = names.map((name) => [
    name,
    ...at.flatMap((shape) => ["loss", "loss+grad"].map((what) => times(measured.find((each) => each.option === name && each.shape === shape && each.what === what)?.cost))),
  ]);
  const table = markdownTable(["option", ...at.flatMap((shape) => [`${shape}, loss`, "loss and gradient"])], lines);
  return `What options cost, as a multiple of the time of the same call without them, in the \`${build}\` build on one thread:\n\n${table}`;
}

/** @param {readonly { what: string, threads: number, sync: { median: number }, async: { median: number } }[]} measured */
function overhead(measured) {
  const one = measured.filter(({ threads: count }) => count === 1);
  const most = Math.max(...one.map(({ sync }) => sync.median));
  const least = Math.min(...one.map(({ sync }) => sync.median));
  const later = one.map(({ async }) => async.median);
  return `- **A call** with one row of ten classes takes ${figure(least, 2)} to ${figure(most, 2)} µs from JavaScript (tensors or arrays, with a gradient or without), ${figure(Math.min(...later), 2)} to
  ${figure(Math.max(...later), 2)} µs by promise (medians).`;
}

/** @param {readonly { what: string, threads?: number, median: number }[]} measured */
function loading(measured) {
  const ms = (/** @type {string} */ what) => figure(measured.find((each) => each.what === what && each.threads === 1)?.median, 2);
  return `- **Loading**: in a fresh Node process import and \`load()\` on one thread and a first call take ${ms("firstResult")} ms, a second \`load()\` ${ms("warmLoad")} ms
  (medians).`;
}

/** @param {readonly { shape: string, mode: string, logitsBytes: number, wasmAdded: number, usedAdded: number, residentAdded: number }[]} measured */
function memory(measured) {
  const largest = measured.reduce((most, each) => (each.logitsBytes > most.logitsBytes ? each : most));
  const of = (/** @type {string} */ mode) => measured.find((each) => each.shape === largest.shape && each.mode === mode);
  return `- **Memory**: with ${megabytes(largest.logitsBytes)} of logits (${largest.shape}), in place adds ${megabytes(of("in place")?.wasmAdded ?? 0)} to the wasm's memory, for its rows; a new gradient adds
  ${megabytes(of("new gradient")?.wasmAdded ?? 0)}, the gradient itself included. The process grows by ${megabytes(of("in place")?.residentAdded ?? 0)} and ${megabytes(of("new gradient")?.residentAdded ?? 0)} at its peak.`;
}

/** @param {readonly { what: string, rows?: number, bytes?: number, best?: number, nsPerLogit?: number, answer?: string }[]} measured */
function rows(measured) {
  const largest = measured.filter(({ what, best }) => what === "rows" && best !== undefined).at(-1);
  const refused = measured.find(({ answer }) => answer !== undefined)?.answer;
  return `- **The largest job** measured, ${largest?.rows} rows of 1000 classes in place, takes ${figure((largest?.best ?? 0) / 1000)} s (${figure(largest?.nsPerLogit)} ns per logit). One tensor of 4 GiB gives \`${refused}\`.`;
}
