// One contest: candidates over the same data, validated, then timed in turns. May import judge and rounds.
import { judgeOf } from "./judge.mjs";
import { pairedRatio, takeTurns } from "./rounds.mjs";

/** @typedef {import("./cases.mjs").Shape} Shape */
/** @typedef {import("./judge.mjs").Candidate} Candidate */

/**
 * What is known of a candidate after a contest.
 * @typedef {object} Outcome
 * @property {string} shape
 * @property {string} what
 * @property {"relaxed" | "simd"} [build]
 * @property {number} [threads]
 * @property {number} [best] milliseconds of the best round; absent where the result is wrong
 * @property {number} [median] milliseconds
 * @property {number} [spread] quartile distance by median
 * @property {number} [nsPerLogit] of the best round
 * @property {number} [gigabytes] a second that had to move: read, and written where there is a gradient
 * @property {number} [unrolled] how many times as fast as the unrolled baseline of the same build and job, by best rounds
 * @property {number} [unrolledMedian] the same, in the median of the rounds
 * @property {number} [copy] share of the speed of a copy of the logits
 * @property {number} [plain] how many times as fast as the plain JavaScript loop
 * @property {number} [lossError] largest relative error of a row's loss
 * @property {number} [gradError] largest relative error of a gradient element in sampled rows
 * @property {string} [wrong]
 */

/**
 * @typedef {object} Context what every part is given
 * @property {readonly import("./ours.mjs").Build[]} builds that this engine can run, the fastest first
 * @property {readonly number[]} threads 1, and all of them if they are more
 * @property {number} rounds
 * @property {number} divisor of the rows of every shape: 1 for a full run
 * @property {(shape: { name: string }) => boolean} wants whether `--shapes` lets it through
 * @property {(text: string) => void} print a part's results
 * @property {(text: string) => void} told progress
 */

/** The job of a candidate, whoever does it. @param {Pick<Candidate, "what">} candidate */
const jobOf = ({ what }) => /** @type {import("./ours.mjs").Ours} */ (what.replace(/^(textbook|unrolled) /, ""));

const bytesPerLogit = /** @type {Readonly<Record<string, number>>} */ ({ loss: 4, accumulate: 12 });
const bytesOtherwise = 8;

/**
 * @param {Shape} shape @param {import("./cases.mjs").Data} data @param {readonly Candidate[]} candidates
 * @param {Pick<Context, "rounds" | "told"> & { leastMs?: number, warmMs?: number }} context `leastMs` and `warmMs`: see `takeTurns`
 * @returns {Outcome[]}
 */
export function contest(shape, data, candidates, { rounds, told, leastMs = 0, warmMs = 0 }) {
  told(`${shape.name}: validating`);
  const judge = judgeOf(shape, data);
  const verdicts = candidates.map(judge);
  // A candidate that is wrong prints no figure.
  const right = candidates.filter((_, index) => verdicts[index]?.wrong === undefined);
  const timed = takeTurns(right, { rounds, leastMs, warmMs, told: (round) => told(`${shape.name}: round ${round} of ${rounds}`) });
  const timesOf = new Map(right.map((candidate, index) => [candidate, timed[index]]));
  /** @param {(candidate: Candidate) => boolean} is */
  const other = (is) => {
    const found = right.find(is);
    return found && timesOf.get(found);
  };
  return candidates.map((candidate, index) => {
    const { what, build, threads } = candidate;
    const { loss: lossError, grad: gradError, wrong } = verdicts[index] ?? {};
    const head = { shape: shape.name, what, ...(build && { build }), ...(threads !== undefined && { threads }), ...(wrong !== undefined && { wrong }) };
    const times = timesOf.get(candidate);
    if (times === undefined) return head;
    const { best, median, spread } = times;
    const logits = shape.rows * shape.classes;
    const unrolled = build && other((rival) => rival.build === build && rival.what === `unrolled ${jobOf(candidate)}`);
    const copy = other((rival) => rival.what === "copy");
    const plain = other((rival) => rival.what === "plain loop");
    return {
      ...head,
      best,
      median,
      spread,
      nsPerLogit: (best * 1e6) / logits,
      gigabytes: (logits * (bytesPerLogit[jobOf(candidate)] ?? bytesOtherwise)) / best / 1e6,
      ...(unrolled && { unrolled: unrolled.best / best, unrolledMedian: pairedRatio(times, unrolled) }),
      ...(copy && { copy: copy.best / best }),
      ...(plain && { plain: plain.best / best }),
      ...(lossError !== undefined && { lossError }),
      ...(gradError !== undefined && { gradError }),
    };
  });
}
