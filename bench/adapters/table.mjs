// The table of a record, for ts/docs/adapters.md. Imports nothing.

/** @param {readonly (import("./main.mjs").Group & { entry: string })[]} groups @param {{ processor: string, node: string }} about @returns {string} */
export function tableOf(groups, { processor, node }) {
  const lines = groups.map(({ entry, what, timings: [own, ...others], memory }) => {
    const times = (/** @type {number} */ index) => (memory === undefined ? "" : `, ${memory[index]}x`);
    const beside = others.map(({ name, cpu }, index) => `${name}: ${(cpu / (own?.cpu ?? Number.NaN)).toFixed(1)}${times(index + 1)}`);
    return `| \`${entry}\` | ${what} | ${own?.name} | ${own?.cpu.toFixed(1)} ms${times(0)} | ${beside.join("<br>")} |`;
  });
  const head = `${processor}, Node ${node}, one thread, CPU time. The last column: how many times as long, and where memory was measured what it adds, in times the logits.`;
  return [head, "", "| entry | case | with | takes | in its place |", "|---|---|---|--:|---|", ...lines].join("\n");
}
