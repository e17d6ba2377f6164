// What the bench of other packages (bench/peers) has recorded, where it has: this bench runs none of them. Imports Node built-ins only.
import { existsSync, readFileSync } from "node:fs";

const file = new URL("../record/peers.json", import.meta.url);

/** @returns {any[]} */
const recorded = () => (existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).parts.memory : []);

/**
 * What the process of another package added at its peak for the same job, from `memory` of bench/record/peers.json.
 * @param {string} shape
 * @returns {Required<Pick<import("../peers/memory.mjs").Memory, "peer" | "mode" | "residentAdded">>[]}
 */
export const peerMemory = (shape) => recorded().filter((each) => each.shape === shape && each.peer !== "sparse-xent" && each.residentAdded !== undefined);
