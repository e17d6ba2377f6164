// The page "Speed" of the documentation, from the records and from nothing else: what is slower than its rivals is in it because a record says so. Processors
// are beside each other in the tables; what is said of one alone is said of the newest record's.
import { figure, markdownTable } from "./table.mjs";
import { classShapes, planeShapes, shapes } from "./cases.mjs";
import { isBusy } from "./machine.mjs";
import { baselineOf } from "./record.mjs";

/** @typedef {import("./contest.mjs").Outcome & { naive?: number }} Outcome `naive`: of records that were beside the former textbook kernel */

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
 * @param {readonly any[]} records of processor families, the newest first
 * @returns {string} Markdown
 */
export function speedSection(records) {
  const [record] = records;
  const { parts } = record;
  const named = records.length > 1;
  return [
    wrapped(introduction()),
    ...(named ? [records.map((each) => wrapped(`- ${machine(each)}`)).join("\n")] : [wrapped(machine(record))]),
    wrapped(about(records)),
    kernelTable(records, named),
    ...tableOf(records.filter((each) => each.parts.classes !== undefined), named, classTable, "The same ratios by classes, loss and gradient: logits and gradient in cache (256 KiB together) and out of it (32 MiB)."),
    ...tableOf(records.filter((each) => each.parts.planes !== undefined), named, planeTable, "And of planes, by the number of logits."),
    ...records.map((each) => wrapped(slower(each, named))),
    ...nativeKernels(record, named),
    picture(record),
    [threads(parts.threads), batch(parts.batch, baselineOf(record)), halves(parts.dtypes), adversarial(parts.adversarial)].map(wrapped).join("\n"),
    options(parts.options),
    [overhead(parts.overhead), loading(parts.loading), memory(parts.memory), rows(parts.growth)].map(wrapped).join("\n"),
  ].join("\n\n");
}

/** A table with a sentence before it, where a record has what it shows. @param {readonly any[]} records @param {boolean} named @param {(records: readonly any[], named: boolean) => string} table @param {string} sentence */
const tableOf = (records, named, table, sentence) => (records.length === 0 ? [] : [wrapped(sentence), table(records, named)]);

/** @param {any} record */
const machine = ({ processor, family, model, cores, extensions, caches, system, node, v8, date, commit, rounds, loadBefore, file }) =>
  `**${family}** ([record](../../bench/record/${file})): ${processor}${model === undefined ? "" : ` (${model})`}, ${cores} cores (${[...extensions, ...caches].join(", ")}), ${system}, Node ${node}, V8 ${v8}, ${date}, commit ${commit},
   ${rounds} rounds.${isBusy({ loadBefore }) ? ` Other programs were running (${loadBefore} processes on average): take the ratios rather than the figures.` : ""}`;

const introduction = () =>
  `\`npm run bench\` measured this (\`-- --quick\` runs a sixteenth of it, \`-- --help\` names its parts). Results are compared with the definition in f64 before
   anything is timed; then all candidates take turns in one process, and the best of the rounds counts.`;

/** What the tables show. @param {readonly any[]} records */
function about(records) {
  const kinds = [...new Set(records.map(baselineOf))];
  /** @param {import("./record.mjs").Baseline} kind */
  const whose = (kind) => (kinds.length === 1 ? "" : `, for ${records.filter((record) => baselineOf(record) === kind).map(({ family }) => family).join(" and ")}`);
  const beside = kinds.map((kind) => `${kind.words}${whose(kind)}`).join("; ");
  return `Billion logits a second, on one thread and in the \`relaxed\` build unless named otherwise; in brackets how many times as fast as, in the same build, ${beside}. \`copy\`
    copies the logits in wasm. Errors are the largest relative ones of a row's loss and of a gradient element.`;
}

/** Columns of each record. @param {readonly any[]} records @param {boolean} named whether the processor is @param {(record: any) => readonly string[]} columns */
const headOf = (records, named, columns) => records.flatMap((record) => columns(record).map((column) => (named ? `${record.family}: ${column}` : column)));

/** @param {any} record @param {Outcome | undefined} outcome */
const ratioOf = (record, outcome) => outcome?.[baselineOf(record).key];

/** @param {any} record @param {string} part @param {string} shape @param {string} what @param {"relaxed" | "simd"} [build] @param {number} [on] @returns {Outcome | undefined} */
const find = ({ parts }, part, shape, what, build, on) =>
  parts[part].find(
    (/** @type {Outcome} */ each) =>
      each.shape === shape && each.what === what && (build === undefined || each.build === build) && (on === undefined || each.threads === on),
  );

/** @param {readonly any[]} records @param {boolean} named */
function kernelTable(records, named) {
  const all = (/** @type {any} */ { threads: counts }) => Math.max(...counts);
  const many = records.every((record) => all(record) > 1);
  const measured = shapes.filter(({ name }) => records.some((record) => find(record, "kernels", name, "loss") !== undefined));
  const lines = measured.map(({ name, rows: count, classes, why }) => {
    /** @param {Outcome | undefined} outcome */
    const rate = (outcome) => (outcome?.best === undefined ? "" : figure((count * classes) / outcome.best / 1e6, 2));
    return [
      `${name}, ${why}`,
      ...records.flatMap((record) => {
        const of = (/** @type {string} */ what, /** @type {"relaxed" | "simd"} */ build = "relaxed", on = 1) => find(record, "kernels", name, what, build, on);
        const errors = of("loss+grad");
        /** @param {Outcome | undefined} outcome */
        const cell = (outcome) => (outcome === undefined ? "not run" : `${rate(outcome)} (${times(ratioOf(record, outcome))})`);
        return [
          ...["loss", "loss+grad", "in place", "accumulate"].map((what) => cell(of(what))),
          ...(many ? [cell(of("in place", "relaxed", all(record)))] : []),
          cell(of("loss+grad", "simd")),
          rate(of(`${baselineOf(record).key} loss+grad`)),
          rate(find(record, "kernels", name, "copy")),
          rate(find(record, "kernels", name, "plain loop")),
          errors === undefined ? "" : `${errors.lossError?.toExponential(0)}, ${errors.gradError?.toExponential(0)}`,
        ];
      }),
    ];
  });
  const columns = (/** @type {any} */ record) => {
    const { name } = baselineOf(record);
    const threaded = many ? [`in place, ${all(record)} threads`] : [];
    const beside = ["loss", "loss and gradient", "in place", "accumulate", ...threaded, "`simd` build, loss and gradient"].map((job) => `${job} (x ${name})`);
    return [...beside, name, "copy", "JavaScript loop", "errors"];
  };
  return markdownTable(["shape", ...headOf(records, named, columns)], lines);
}

const builds = /** @type {const} */ (["relaxed", "simd"]);

/** @param {readonly any[]} records @param {boolean} named */
function classTable(records, named) {
  const counts = [...new Set(classShapes.map(({ classes }) => classes))].sort((a, b) => a - b);
  const lines = counts.map((count) => [
    String(count),
    ...records.flatMap((record) =>
      ["in cache", "out of cache"].flatMap((why) => {
        const shape = classShapes.find((each) => each.classes === count && each.why === why)?.name ?? "";
        return builds.map((build) => times(ratioOf(record, find(record, "classes", shape, "loss+grad", build))));
      }),
    ),
  ]);
  return markdownTable(["classes", ...headOf(records, named, () => ["in cache, `relaxed`", "`simd`", "out of cache, `relaxed`", "`simd`"])], lines);
}

/** @param {readonly any[]} records @param {boolean} named */
function planeTable(records, named) {
  const counts = [...new Set(planeShapes.map(({ classes }) => classes))].sort((a, b) => a - b);
  const sizes = [...new Set(planeShapes.map(({ why }) => why))].filter((why) => planeShapes.filter((each) => each.why === why).length > 4);
  const lines = counts.map((count) => [
    String(count),
    ...records.flatMap((record) =>
      sizes.map((why) => {
        const shape = planeShapes.find((each) => each.classes === count && each.why === why)?.name ?? "";
        return builds.map((build) => times(ratioOf(record, find(record, "planes", shape, "loss+grad", build)))).join(", ");
      }),
    ),
  ]);
  return markdownTable(["planes", ...headOf(records, named, () => sizes.map((why) => `${why}, \`relaxed\` and \`simd\``))], lines);
}

/** What loses against the baseline. @param {any} record @param {boolean} named whether the processor is */
function slower(record, named) {
  const { family, parts } = record;
  const { name, apart } = baselineOf(record);
  const jobs = ["loss", "loss+grad", "in place", "accumulate"];
  /** @type {readonly Outcome[]} */
  const all = [parts.kernels, parts.classes ?? [], parts.planes ?? []].flat();
  const lost = all.filter((each) => jobs.includes(each.what) && each.threads === 1 && (ratioOf(record, each) ?? 1) < 1);
  const where = named ? ` on ${family}` : "";
  if (lost.length === 0) return `On one thread${where} nothing measured here is slower than the ${name} kernel of its build, at any shape.`;
  const lines = lost.map((each) => `${each.shape} ${each.what} ${each.build} (${times(ratioOf(record, each))})`);
  return `Slower than the ${name} kernel, on one thread${where}: ${lines.join(", ")}.${apart === "" ? "" : ` ${apart}`}`;
}

const kernelNames = /** @type {const} */ ({ Lanes16: "AVX-512", Lanes8: "AVX2", Lanes4: "plain Rust" });

/** The crate's kernels beside the wasm, where the record has them. @param {any} record @param {boolean} named whether the processor is @returns {string[]} */
function nativeKernels({ family, parts }, named) {
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
  const about = `The crate in a Rust program on one thread${named ? ` on ${family}` : ""}, as many times as fast as the \`${build}\` wasm: two processes that take turns
    (\`npm run bench -- --native\`). Plain Rust is for processors with neither AVX-512 nor AVX2.`;
  return [`${wrapped(about)}\n\n${markdownTable(head, lines)}`];
}

/** What is drawn: in older records the classes are in part "growth". @param {any} record @returns {any[]} */
export const byClasses = ({ parts }) => (parts.classes ?? parts.growth).filter((/** @type {{ classes?: number }} */ each) => each.classes !== undefined);

/** @param {any} record */
function picture(record) {
  const counts = byClasses(record).map((/** @type {{ classes: number }} */ each) => each.classes);
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

/** @param {readonly { what: string, threads?: number, best?: number, unrolled?: number, naive?: number }[]} measured @param {import("./record.mjs").Baseline} baseline */
function batch(measured, { key, name }) {
  const one = measured.find(({ what, threads: count }) => what === "in place" && count === 1);
  const all = measured.filter(({ what }) => what === "in place").at(-1);
  const more = all === one ? "" : `, ${figure(all?.best)} ms on ${all?.threads} threads`;
  return `- **A batch** of label images, logits [8, 512, 512, 33] with class weights and a tenth of the pixels ignored, takes ${figure(one?.best)} ms in place on one thread${more};
  the ${name} kernel, which knows neither and computes every pixel, takes ${times(one?.[key])} the former${key === "naive" ? " out of place" : ""}.`;
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
