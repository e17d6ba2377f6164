// The figures as tables: after each job on the terminal, and from the record for the documentation. May import peers and
// speed/.
import { bytesOf, error, figure, markdownTable, textTable, times } from "../speed/table.mjs";
import { peers } from "./peers.mjs";

/** @typedef {import("./meeting.mjs").Outcome} Outcome @typedef {import("./memory.mjs").Memory} Memory @typedef {import("./peers.mjs").What} What */

/** @param {readonly Outcome[]} outcomes of one job and kind of result */
export function outcomeTable(outcomes) {
  const head = ["", "ms", "spread", "1e9 logits/s", "sparse-xent is", "error", "of gradient", "busy threads", "first ms"];
  const rows = outcomes.map(({ peer, threads, best, spread, rate, ratio, lossError, gradError, busy, first, absent }) => {
    const name = `${peer} t${threads}`;
    if (absent !== undefined) return [name, ...head.slice(2).map(() => ""), absent];
    const share = spread === undefined ? "" : `${(spread * 100).toFixed(0)}%`;
    return [name, figure(best), share, figure(rate), peer === "sparse-xent" ? "" : times(ratio), error(lossError), error(gradError), figure(busy, 2), figure(first)];
  });
  const here = rows.filter((_, index) => outcomes[index]?.absent === undefined);
  const absent = rows.filter((_, index) => outcomes[index]?.absent !== undefined).map((row) => `  ${row[0]}: ${row.at(-1)}`);
  return [...(here.length === 0 ? [] : [textTable(head, here)]), ...absent].join("\n");
}

/** By how much the package is ahead of each other library, with as many threads, where it is the least. @param {readonly Outcome[]} outcomes */
export function leadTable(outcomes) {
  const rivals = [...new Set(outcomes.filter(({ ratio, peer }) => ratio !== undefined && peer !== "sparse-xent").map(({ peer, threads }) => `${peer} t${threads}`))];
  if (rivals.length === 0) return "";
  const rows = rivals.map((rival) => {
    const own = outcomes.filter(({ peer, threads, ratio }) => `${peer} t${threads}` === rival && ratio !== undefined);
    const worst = own.reduce((least, each) => ((each.ratio ?? Infinity) < (least.ratio ?? Infinity) ? each : least));
    return [rival, times(worst.ratio), `${worst.shape} ${worst.what}`, (worst.ratio ?? 0) > 1 ? "ahead everywhere" : "behind"];
  });
  return `the least that the package is ahead of each\n${textTable(["", "", "where", ""], rows)}`;
}

/** @param {readonly Memory[]} memory */
export function memoryTable(memory) {
  const rows = memory.map(({ peer, mode, residentBefore, residentAdded, own = {} }) => [
    `${peer} ${mode}`,
    residentBefore === undefined ? "" : bytesOf(residentBefore),
    residentAdded === undefined ? "absent" : bytesOf(residentAdded),
    Object.entries(own).map(([name, bytes]) => `${name} ${bytesOf(bytes)}`).join(", "),
  ]);
  return textTable(["", "process before", "added at its peak", "counted by the library"], rows);
}

/**
 * @typedef {object} Recorded a record of peers
 * @property {string} file its name
 * @property {string} date @property {string} processor @property {string} family @property {number} cores @property {string} node
 * @property {readonly number[]} threads @property {number} rounds
 * @property {Record<string, string>} versions
 * @property {{ outcomes: readonly Outcome[], memory: readonly Memory[] }} parts
 */

/** The tables of the documentation, of each processor family. @param {readonly Recorded[]} records the newest first */
export const pageTables = (records) => records.map(tablesOf).join("\n\n");

/** @param {Recorded} record */
function tablesOf({ file, date, processor, family, cores, node, threads, rounds, versions, parts }) {
  const { outcomes, memory } = parts;
  const shapes = [...new Set(outcomes.map(({ shape }) => shape))];
  /** @param {What} what */
  const table = (what) => {
    const rows = threads.flatMap((count) =>
      peers.flatMap(({ name, title }) => {
        const own = outcomes.filter((each) => each.what === what && each.peer === name && each.threads === count);
        if (own.every(({ rate }) => rate === undefined)) return [];
        const cells = shapes.map((shape) => {
          const { rate, ratio, absent } = own.find((each) => each.shape === shape) ?? {};
          if (rate === undefined) return absent?.startsWith("FAIL") ? "wrong" : "–";
          return name === "sparse-xent" ? figure(rate, 2) : `${figure(rate, 2)} (${figure(ratio, 2)}x)`;
        });
        const worst = Math.max(...own.map(({ lossError }) => lossError ?? 0));
        return [[`${title}, ${count === 1 ? "1 thread" : `${count} threads`}`, ...cells, error(worst)]];
      }),
    );
    return markdownTable([what === "loss" ? "loss" : "loss and gradient", ...shapes, "error"], rows);
  };
  const memoryRows = memory.flatMap(({ peer, mode, residentAdded }) =>
    residentAdded === undefined ? [] : [[`${peers.find(({ name }) => name === peer)?.title ?? peer}, ${mode}`, bytesOf(residentAdded)]],
  );
  return `${processor} (${family}), ${cores} cores, Node ${node}, ${date}, best of ${rounds} rounds in which all took turns ([record](../../bench/record/${file})):
${Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")}.

${table("loss+grad")}

${table("loss")}

What a call adds to a process that holds the logits and labels, for ${memory[0]?.shape ?? "no shape"} with class weights and ignored pixels, on one thread:

${markdownTable(["", "added"], memoryRows)}`;
}
