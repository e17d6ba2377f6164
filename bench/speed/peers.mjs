// What the bench of other packages (bench/peers) has recorded, where it has: this bench runs none of them. Imports Node built-ins only.
import { existsSync, readFileSync } from "node:fs";

const file = new URL("../record/peers.json", import.meta.url);

/** @returns {any} */
const recorded = () => (existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {});

/**
 * What the process of another package added at its peak for the same job, from `memory` of bench/record/peers.json.
 * @param {string} shape
 * @returns {{ peer: string, shape: string, mode: string, residentAdded: number }[]} bytes
 */
export const peerMemory = (shape) => (recorded().memory ?? []).filter((/** @type {{ shape: string }} */ each) => each.shape === shape);
