// What the bench of other packages (bench/peers) has recorded, where it has: this bench runs none of them. May import record.
import { readRecords } from "./record.mjs";

/**
 * What the process of another package added at its peak for the same job, from `memory` of the newest record of peers.
 * @param {string} shape
 * @returns {Required<Pick<import("../peers/memory.mjs").Memory, "peer" | "mode" | "residentAdded">>[]}
 */
export const peerMemory = (shape) =>
  readRecords("peers").slice(0, 1).flatMap(({ parts }) =>
    parts.memory.filter((/** @type {any} */ each) => each.shape === shape && each.peer !== "sparse-xent" && each.residentAdded !== undefined),
  );
