// Candidates in turns, in one process, by the CPU time of the process: what other programs of a shared machine do meanwhile is not in it. Where several threads work
// the time on the wall is what counts, so both are kept. Imports statistics only.
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { medianSorted } from "simple-statistics";

/** @typedef {{ name: string, run: () => unknown, after?: (result: any) => void }} Candidate `after` cleans up, outside of the time */
/** @typedef {{ name: string, cpu: number, wall: number }} Timing medians over the rounds, in milliseconds */

/** @param {readonly number[]} all */
export const median = (all) => medianSorted([...all].sort((a, b) => a - b));

// V8 compiles on threads whose time counts as well.
const warmUps = 10;
/** Milliseconds in which other threads end what the candidate before has left them, such as its garbage: they are not in the time of the next. */
const restMs = 30;

/**
 * @param {readonly Candidate[]} candidates @param {number} rounds
 * @returns {Promise<Timing[]>}
 */
export async function inTurns(candidates, rounds) {
  const times = candidates.map(() => ({ cpu: /** @type {number[]} */ ([]), wall: /** @type {number[]} */ ([]) }));
  for (let round = -warmUps; round < rounds; round += 1) {
    for (const [index, { run, after }] of candidates.entries()) {
      await wait(restMs);
      const [cpu, wall] = [process.cpuUsage(), performance.now()];
      const result = await run();
      const passed = performance.now() - wall;
      const { user, system } = process.cpuUsage(cpu);
      after?.(result);
      if (round < 0) continue;
      times[index]?.cpu.push((user + system) / 1000);
      times[index]?.wall.push(passed);
    }
  }
  return candidates.map(({ name }, index) => ({ name, cpu: median(times[index]?.cpu ?? []), wall: median(times[index]?.wall ?? []) }));
}

/** Lines of a table: each candidate, and how many times the first one's CPU time it takes. @param {readonly Timing[]} timings @returns {string} */
export function linesOf(timings) {
  const first = timings[0]?.cpu ?? Number.NaN;
  return timings.map(({ name, cpu, wall }) => `  ${name.padEnd(40)} ${cpu.toFixed(1).padStart(9)} ms CPU ${wall.toFixed(1).padStart(9)} ms  ${(cpu / first).toFixed(1).padStart(6)}x`).join("\n");
}
