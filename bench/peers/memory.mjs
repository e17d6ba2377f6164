// The memory that a call needs beside its logits and labels, each peer in a process of its own. May import entrants and meeting.
import { start } from "./entrants.mjs";
import { answerMs, reasonOf } from "./meeting.mjs";

/** @typedef {import("./peers.mjs").Peer} Peer @typedef {import("./peers.mjs").What} What */

// The words of the speed bench's memory part.
const whatOf = /** @type {const} */ ({ loss: "loss", "new gradient": "loss+grad", "in place": "in place" });
/** @typedef {keyof typeof whatOf} Mode */

/**
 * @typedef {object} Memory
 * @property {string} shape `ROWSxCLASSES` @property {Mode} mode @property {string} peer
 * @property {number} [residentBefore] bytes of the process with logits and labels in place
 * @property {number} [residentAdded] at the peak of a call, code compiled
 * @property {Record<string, number>} [own] bytes that the library counts itself
 * @property {string} [absent]
 */

/** @param {Peer} peer @returns {readonly Mode[]} */
export function modesOf({ name, does }) {
  if (!does.includes("loss+grad")) return ["loss"];
  return name === "sparse-xent" ? ["new gradient", "in place"] : ["new gradient"];
}

// Enough for V8's and the compilers' last tier.
const warmUps = 30;

/**
 * @param {Peer} peer @param {Mode} mode @param {import("./jobs.mjs").Job} job @param {import("./jobs.mjs").Job} small the same operation on little data
 * @param {string} python
 * @returns {Promise<Memory>}
 */
export async function measureMemory(peer, mode, job, small, python) {
  const what = whatOf[mode];
  const head = { shape: `${job.shape.rows}x${job.shape.classes}`, mode, peer: peer.name };
  let child;
  try {
    child = await start(peer, 1, python);
    // Code that is loaded, compiled or optimised at first uses is not what is asked for.
    await child.ask({ ask: "prepare", job: small.message }, answerMs);
    for (let i = 0; i < warmUps; i += 1) await child.ask({ ask: "run", what }, answerMs);
    await child.ask({ ask: "drop" }, answerMs);
    await child.ask({ ask: "prepare", job: job.message }, answerMs);
    // The first call compiles for this shape; what it keeps for the second counts, so `before` is of the first.
    const { before = Number.NaN } = await child.ask({ ask: "memory", what }, answerMs);
    const { peak = Number.NaN, own } = await child.ask({ ask: "memory", what }, answerMs);
    return { ...head, residentBefore: before, residentAdded: peak - before, ...(own && { own }) };
  } catch (error) {
    return { ...head, absent: reasonOf(error) };
  } finally {
    await child?.stop();
  }
}
