// Part "loading": from nothing to a first result, and a second engine in the same process; and what has to be loaded, in bytes.
import { medianSorted } from "simple-statistics";
import { brotliOf, overBudget, sizes } from "../../../ts/build/sizes.mjs";
import { inChild } from "../child.mjs";
import { figure, textTable } from "../table.mjs";

export const about = "load() cold and warm, time to a first result, bytes of what is loaded";

const steps = /** @type {const} */ (["node", "import", "coldLoad", "firstCall", "firstResult", "warmLoad"]);
const titles = { node: "Node's own start", import: "import", coldLoad: "load(), cold", firstCall: "first call", firstResult: "first result (the three before)", warmLoad: "load() again" };

/** @param {import("../contest.mjs").Context} context */
export async function run({ rounds, threads, print, told }) {
  /** @type {{ what: string, threads: number, best: number, median: number }[]} */
  const results = [];
  for (const count of threads) {
    const runs = Array.from({ length: rounds }, (_, round) => {
      told(`loading, ${count} threads: process ${round + 1} of ${rounds}`);
      return inChild("loading", { threads: count });
    });
    for (const step of steps) {
      const sorted = runs.map((each) => Number(each[step])).sort((a, b) => a - b);
      results.push({ what: step, threads: count, best: sorted[0] ?? Number.NaN, median: medianSorted(sorted) });
    }
  }
  const lines = steps.map((step) => [
    titles[step],
    ...threads.flatMap((count) => {
      const found = results.find((each) => each.what === step && each.threads === count);
      return [figure(found?.best), figure(found?.median)];
    }),
  ]);
  const head = ["", ...threads.flatMap((count) => [`ms, best, t${count}`, "median"])];
  print(`\nloading, ${rounds} fresh processes each\n${textTable(head, lines)}`);

  const measured = sizes().map((each) => ({ ...each, brotli: brotliOf(each.name) }));
  const rows = measured.map(({ name, bytes, gzip, brotli, budget }) => [name, ...[bytes, gzip, brotli, budget].map(String)]);
  const over = overBudget(measured);
  print(`\nbytes; the build fails over the budget (gzip)${over.length === 0 ? "" : `\nOVER: ${over.join("; ")}`}\n${textTable(["", "bytes", "gzip", "brotli", "budget"], rows)}`);
  return [...results, ...measured.map((each) => ({ what: "bytes", ...each }))];
}
