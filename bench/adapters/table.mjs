// The tables of the records, for ts/docs/adapters.md. Imports nothing.

/** @typedef {{ file: string, processor: string, family: string, node: string, parts: { adapters: readonly (import("./main.mjs").Group & { entry: string })[] } }} Recorded */

/** One of each processor family. @param {readonly Recorded[]} records the newest first */
export const adapterTables = (records) => records.map(tableOf).join("\n\n");

/** @param {Recorded} record */
function tableOf({ file, processor, family, node, parts }) {
  const lines = parts.adapters.map(({ entry, what, timings: [own, ...others], memory }) => {
    const times = (/** @type {number} */ index) => (memory === undefined ? "" : `, ${memory[index]}x`);
    const beside = others.map(({ name, cpu }, index) => `${name}: ${(cpu / (own?.cpu ?? Number.NaN)).toFixed(1)}${times(index + 1)}`);
    return `| \`${entry}\` | ${what} | ${own?.name} | ${own?.cpu.toFixed(1)} ms${times(0)} | ${beside.join("<br>")} |`;
  });
  const head = `${processor} (${family}; [record](../../bench/record/${file})), Node ${node}, one thread, CPU time. The last column: how many times as long, and where memory was measured what it adds, in times the logits.`;
  return [head, "", "| entry | case | with | takes | in its place |", "|---|---|---|--:|---|", ...lines].join("\n");
}
