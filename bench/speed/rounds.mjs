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

/** Milliseconds that all threads of this process have computed. A page is not told, and takes the clock. */
function computed() {
  const used = globalThis.process?.cpuUsage();
  return used === undefined ? performance.now() : (used.user + used.system) / 1000;
}

/**
 * Milliseconds of one of `repeat` runs. Of a candidate on one thread no more than what the process computed in that time: what other
 * programs took of the processor is left out. A run that has something to put back before it is put back untimed each time.
 * @param {Pick<Candidate, "run" | "before" | "threads">} candidate @param {number} [repeat] @returns {number}
 */
export function once({ run, before, threads }, repeat = 1) {
  let [ms, own] = [0, 0];
  const runs = before === undefined ? repeat : 1;
  for (let left = repeat; left > 0; left -= runs) {
    before?.();
    const [start, ownStart] = [performance.now(), computed()];
    for (let i = 0; i < runs; i += 1) run();
    own += computed() - ownStart;
    ms += performance.now() - start;
  }
  return (threads === 1 ? Math.min(ms, own) : ms) / repeat;
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
 * Whose turn it is, in every round; rounds below 0 are warm-ups.
 * @param {number} count of candidates @param {number} rounds @param {(round: number) => void} told called after every round with its number
 */
function* turns(count, rounds, told) {
  for (let round = -warmUps; round < rounds; round += 1) {
    const order = Array.from({ length: count }, (_, index) => index);
    // Every other round runs backwards, so that nobody has the same neighbour before it each time.
    if (round % 2 !== 0) order.reverse();
    for (const index of order) yield { round, index };
    if (round >= 0) told(round + 1);
  }
}

/**
 * Like `takeTurns`, for those that are timed elsewhere or while this thread waits: each gives the milliseconds of a run.
 * @param {readonly (() => number | Promise<number>)[]} clocks @param {{ rounds: number, told?: (round: number) => void }} how
 * @returns {Promise<Times[]>} in the order of the clocks
 */
export async function takeTurnsByClock(clocks, { rounds, told = () => {} }) {
  /** @type {number[][]} */
  const times = clocks.map(() => []);
  for (const { round, index } of turns(clocks.length, rounds, told)) {
    const ms = (await clocks[index]?.()) ?? Number.NaN;
    if (round >= 0) times[index]?.push(ms);
  }
  return times.map(timesOf);
}

/**
 * @param {readonly Pick<Candidate, "run" | "before" | "threads">[]} candidates
 * @param {object} how
 * @param {number} how.rounds
 * @param {number} [how.leastMs] a run that takes less is repeated until it takes so long
 * @param {number} [how.warmMs] each runs for so long before any is timed: an engine compiles code that is hot once more, meanwhile, on a thread of its own
 * @param {(round: number) => void} [how.told] called after every round with its number
 * @returns {Times[]} in the order of the candidates
 */
export function takeTurns(candidates, { rounds, leastMs = 0, warmMs = 0, told = () => {} }) {
  for (const candidate of candidates) for (const start = performance.now(); performance.now() - start < warmMs; ) once(candidate);
  const repeats = candidates.map(() => 1);
  /** @type {number[][]} */
  const times = candidates.map(() => []);
  for (const { round, index } of turns(candidates.length, rounds, told)) {
    const candidate = candidates[index];
    if (candidate === undefined) continue;
    const repeat = repeats[index] ?? 1;
    const ms = once(candidate, repeat);
    if (round >= 0) times[index]?.push(ms);
    else repeats[index] = repeatsFor(leastMs, ms, repeat);
  }
  return times.map(timesOf);
}

/** How many times faster than `other` a candidate was, in the median of the rounds. @param {Times} times @param {Times} other */
export function pairedRatio(times, other) {
  const ratios = times.all.map((ms, round) => (other.all[round] ?? Number.NaN) / ms);
  return medianSorted(ratios.sort((a, b) => a - b));
}
