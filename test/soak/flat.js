// Whether what a process has stays what it is. Imports Node built-ins only.
import { readFileSync, readdirSync } from "node:fs";

/** @typedef {{ rss: number, threads: number, descriptors: number }} Sample of one process, or the sum over several */

/** What processes have now, as Linux shows it. @param {readonly (number | "self")[]} processes @returns {Sample} */
export function sample(processes) {
  const sum = { rss: 0, threads: 0, descriptors: 0 };
  for (const process of processes) {
    const status = readFileSync(`/proc/${process}/status`, "utf8");
    sum.rss += Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
    sum.threads += Number(/^Threads:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    sum.descriptors += readdirSync(`/proc/${process}/fd`).length;
  }
  return sum;
}

/** What may be more in the last third than in the second: a garbage collector's whim, and a thread that is on its way out. */
const slack = { rss: 48 * 2 ** 20, threads: 4, descriptors: 8 };

/** What grows, in words; nothing if all is flat. The first third is for warming up. @param {readonly Sample[]} samples @returns {string[]} */
export function growth(samples) {
  const third = Math.floor(samples.length / 3);
  if (third < 2) return [`too few samples: ${samples.length}`];
  return /** @type {const} */ (["rss", "threads", "descriptors"]).flatMap((what) => {
    // The least of a third: what stays when all that comes and goes is gone.
    const least = (/** @type {number} */ from) => Math.min(...samples.slice(from, from + third).map((each) => each[what]));
    const [before, after] = [least(third), least(samples.length - third)];
    return after - before > slack[what] ? [`${what} grew from ${before} to ${after}`] : [];
  });
}

/** @param {Sample} sample @param {Record<string, number>} counts */
export const line = ({ rss, threads, descriptors }, counts) =>
  `${(rss / 2 ** 20).toFixed(0).padStart(6)} MiB ${String(threads).padStart(4)} threads ${String(descriptors).padStart(4)} descriptors   ` +
  Object.entries(counts).map(([name, count]) => `${count} ${name}`).join(", ");
