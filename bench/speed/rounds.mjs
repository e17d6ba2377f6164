// Times candidates in turns, round by round, in one process: a machine that changes its speed changes it for all of them. Imports statistics only.
import { medianSorted, quantileSorted } from "simple-statistics";

/** @typedef {import("./judge.mjs").Candidate} Candidate */

/**
 * Milliseconds of one run.
 * @typedef {object} Times
 * @property {number} best the least
 * @property {number} median
 * @property {number} spread from the first to the third quartile, as a share of the median: how restless the machine was
 * @property {readonly number[]} all in the order of the rounds
 */

// They bring the code to its final tier and the memory into place.
const warmUps = 2;

/** @param {readonly number[]} all @returns {Times} */
export function timesOf(all) {
  const sorted = [...all].sort((a, b) => a - b);
  const median = medianSorted(sorted);
  return { best: sorted[0] ?? Number.NaN, median, spread: (quantileSorted(sorted, 0.75) - quantileSorted(sorted, 0.25)) / median, all };
}

/** @param {Pick<Candidate, "run" | "before">} candidate @param {number} repeat @returns {number} */
function once({ run, before }, repeat) {
  before?.();
  const start = performance.now();
  for (let i = 0; i < repeat; i += 1) run();
  return (performance.now() - start) / repeat;
}

/**
 * How often to run so that it takes `leastMs`, when one of `repeat` runs took `ms`; a coarse clock may show that it took no time at all.
 * @param {number} leastMs @param {number} ms @param {number} repeat
 */
function repeatsFor(leastMs, ms, repeat) {
  if (leastMs === 0) return 1;
  return ms === 0 ? 10 * repeat : Math.ceil(leastMs / ms);
}

/**
 * @param {readonly Pick<Candidate, "run" | "before">[]} candidates
 * @param {object} how
 * @param {number} how.rounds
 * @param {number} [how.leastMs] a run that takes less is repeated until it takes so long; not one that has something to put back before it
 * @param {(round: number) => void} [how.told] called after every round with its number
 * @returns {Times[]} in the order of the candidates
 */
export function takeTurns(candidates, { rounds, leastMs = 0, told = () => {} }) {
  const repeats = candidates.map(() => 1);
  /** @type {number[][]} */
  const times = candidates.map(() => []);
  for (let round = -warmUps; round < rounds; round += 1) {
    const order = [...candidates.keys()];
    // Every other round runs backwards, so that nobody has the same neighbour before it each time.
    if (round % 2 !== 0) order.reverse();
    for (const index of order) {
      const candidate = candidates[index];
      if (candidate === undefined) continue;
      const repeat = repeats[index] ?? 1;
      const ms = once(candidate, repeat);
      if (round >= 0) times[index]?.push(ms);
      else if (candidate.before === undefined) repeats[index] = repeatsFor(leastMs, ms, repeat);
    }
    if (round >= 0) told(round + 1);
  }
  return times.map(timesOf);
}

/** How many times faster than `other` a candidate was, in the median of the rounds. @param {Times} times @param {Times} other */
export function pairedRatio(times, other) {
  const ratios = times.all.map((ms, round) => (other.all[round] ?? Number.NaN) / ms);
  return medianSorted(ratios.sort((a, b) => a - b));
}
