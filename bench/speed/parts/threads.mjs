// Part "threads": what each further thread brings, and that small calls, which run on one thread however many there are, are not slower for having more.
import { ordinary, rowsOf, scaled, shapes } from "../cases.mjs";
import { ours } from "../ours.mjs";
import { pairedRatio, takeTurns } from "../rounds.mjs";
import { figure, textTable, times } from "../table.mjs";

export const about = "1 to all threads at every shape, and small calls with and without threads";

const what = /** @type {const} */ (["loss", "loss+grad"]);
// From one row to sizes at which threads begin to help on most machines, and single rows, which threads share from some length on.
const small = [
  ...[rowsOf(1, 10), rowsOf(64, 10), rowsOf(1024, 10), rowsOf(16_384, 10), rowsOf(65_536, 2), rowsOf(4096, 33), rowsOf(8192, 33)],
  ...[rowsOf(16, 1000), rowsOf(64, 1000), rowsOf(256, 1000), rowsOf(512, 1000), rowsOf(16, 32_000), rowsOf(4, 128_256)],
  ...[rowsOf(1, 1000), rowsOf(1, 128_256), rowsOf(1, 1_048_576)],
];
const leastMs = 2;
// What the median of a quiet machine's rounds still wanders by.
const slack = 1.1;

/** 1, 2, 4 and so on, and all. @param {number} all */
const counts = (all) => [...new Set([1, 2, 4, 8, 16, 32].filter((count) => count < all).concat(all))];

/**
 * One shape on every number of threads.
 * @param {import("../cases.mjs").Shape} shape @param {readonly number[]} threads @param {import("../contest.mjs").Context} context
 */
async function atShape(shape, threads, { builds, rounds, told }) {
  const data = ordinary(shape);
  const build = builds[0] ?? "simd";
  const sides = [];
  for (const count of threads) sides.push(await ours(shape, data, { build, threads: count, what }));
  const candidates = sides.flatMap((side) => side.candidates);
  // By the clock on the wall, one thread as well as many.
  const timed = takeTurns(candidates.map(({ run }) => ({ run })), { rounds, leastMs, told: (round) => told(`${shape.name}, threads: round ${round} of ${rounds}`) });
  await Promise.all(sides.map(({ xent }) => xent.dispose()));
  return candidates.map(({ what: job, threads: count }, index) => {
    const [mine, one] = [timed[index], timed[candidates.findIndex((each) => each.what === job)]];
    if (mine === undefined || one === undefined) throw new Error("a candidate was not timed");
    return { shape: shape.name, what: job, build, threads: count ?? 1, best: mine.best, median: mine.median, faster: one.best / mine.best, fasterMedian: pairedRatio(mine, one) };
  });
}

/**
 * Which of the small calls fares worst for having more than one thread.
 * @template {{ threads: number, fasterMedian: number }} Measured
 * @param {readonly Measured[]} measured
 */
export const worstOf = (measured) => measured.filter(({ threads }) => threads > 1).reduce((least, each) => (each.fasterMedian < least.fasterMedian ? each : least));

/** @param {import("../contest.mjs").Context} context */
export async function run(context) {
  const all = Math.max(...context.threads);
  if (all === 1) {
    context.print("\nthreads: this machine has one");
    return [];
  }
  /** @type {Awaited<ReturnType<typeof atShape>>} */
  const results = [];
  for (const whole of shapes.filter(context.wants)) {
    const shape = scaled(whole, context.divisor);
    results.push(...(await atShape(shape, counts(all), context)).map((each) => ({ ...each, shape: whole.name })));
  }
  const lines = shapes.filter(context.wants).flatMap(({ name }) =>
    what.map((job) => {
      const here = results.filter((each) => each.shape === name && each.what === job);
      return [`${name} ${job}`, ...here.flatMap((each) => [figure(each.best), times(each.faster)])];
    }),
  );
  const head = ["", ...counts(all).flatMap((count) => [`t${count}, ms`, ""])];
  if (lines.length > 0) context.print(`\nthreads: milliseconds, and how many times as fast as one\n${textTable(head, lines)}`);

  /** @type {Awaited<ReturnType<typeof atShape>>} */
  const smallResults = [];
  for (const shape of small.filter(context.wants)) smallResults.push(...(await atShape(shape, [1, all], context)));
  const rows = smallResults
    .filter(({ threads }) => threads > 1)
    .map(({ shape, what: job, best, faster, fasterMedian }) => {
      const verdict = fasterMedian * slack < 1 ? "SLOWER" : fasterMedian > slack ? "faster" : "equal";
      return [`${shape} ${job}`, figure((best * faster) * 1000), figure(best * 1000), times(fasterMedian), verdict];
    });
  if (rows.length > 0) {
    const worst = worstOf(smallResults);
    const note = `the worst: ${worst.shape} ${worst.what}, ${times(worst.fasterMedian)}`;
    context.print(`\nsmall calls in microseconds, with t1 and t${all}\n${textTable(["", "t1", `t${all}`, "in the median", ""], rows)}\n${note}`);
  }
  return [...results, ...smallResults.map((each) => ({ ...each, small: true }))];
}
