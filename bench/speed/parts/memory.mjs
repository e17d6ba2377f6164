// Part "memory": what a call adds to what its caller already holds, in processes of its own; beside other packages where their bench has recorded them.
import { inChild } from "../child.mjs";
import { peerMemory } from "../peers.mjs";
import { bytesOf, textTable } from "../table.mjs";

export const about = "what a call adds to memory: in place, into a tensor, with a new gradient, from bare arrays";

const at = [
  { rows: 65_536, classes: 33 },
  { rows: 512, classes: 32_000 },
  { rows: 2_097_152, classes: 33 },
];
const modes = /** @type {const} */ (["loss", "in place", "into a tensor", "new gradient", "bare arrays"]);

/** @param {import("../contest.mjs").Context} context */
export async function run({ divisor, wants, print, told }) {
  const results = [];
  for (const whole of at) {
    const name = `${whole.rows}x${whole.classes}`;
    if (!wants({ name })) continue;
    const { classes } = whole;
    const rows = Math.max(8, Math.floor(whole.rows / divisor));
    const logitsBytes = rows * classes * 4;
    const lines = [];
    for (const mode of modes) {
      told(`${name}, memory: ${mode}`);
      const { wasmBefore, wasmAdded, usedAdded, residentBefore, residentAdded } = inChild("memory", { rows, classes, mode });
      lines.push([mode, bytesOf(wasmBefore), bytesOf(wasmAdded), bytesOf(usedAdded), bytesOf(residentBefore), bytesOf(residentAdded)]);
      results.push({ shape: name, mode, logitsBytes, wasmBefore, wasmAdded, usedAdded, residentBefore, residentAdded });
    }
    for (const { peer, mode, residentAdded } of peerMemory(name)) lines.push([`${peer}: ${mode}`, "", "", "", "", bytesOf(residentAdded)]);
    const head = ["", "wasm before", "added", "kept by results", "process before", "added at its peak"];
    print(`\n${rows}x${classes}, memory: logits of ${bytesOf(logitsBytes)}, ${rows} rows\n${textTable(head, lines)}`);
  }
  return results;
}
