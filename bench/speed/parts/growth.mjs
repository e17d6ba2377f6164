// Part "growth": cost by the number of rows, up to what one tensor or this machine can hold.
import { freemem } from "node:os";
import { isSparseXentError, load } from "sparse-xent";
import { ordinary, rowsOf } from "../cases.mjs";
import { exactLosses } from "../definition.mjs";
import { timesOf } from "../rounds.mjs";
import { bytesOf, figure, textTable } from "../table.mjs";

export const about = "ns per logit over rows, up to the largest tensor";

const rowsClasses = 1000;
const largestTensor = 2 ** 31 - 1;
// For this process and the rest of the machine.
const spareBytes = 2 ** 30;

/**
 * In place, so that the largest tensor there is can be tried. Rows repeat every thousand, which makes the exact mean known without computing it again.
 * @param {import("../contest.mjs").Context} context
 */
async function byRows({ builds, rounds, divisor, told }) {
  const build = builds[0] ?? "simd";
  const period = rowsOf(1000, rowsClasses);
  const data = ordinary(period);
  const exact = exactLosses(period, data);
  const most = Math.floor(largestTensor / 4 / rowsClasses / divisor);
  const counts = [1, 10, 100, 1000, 10_000, 100_000, 200_000, most].filter((rows) => rows <= most);
  /**
   * @type {{ what: string, rows?: number, bytes?: number, build?: string, shape?: string, best?: number, median?: number, nsPerLogit?: number,
   *   lossError?: number, wrong?: string, skipped?: string, answer?: string }[]}
   */
  const results = [];
  for (const rows of counts) {
    const bytes = rows * rowsClasses * 4;
    if (bytes + spareBytes > freemem()) {
      results.push({ what: "rows", rows, bytes, skipped: `only ${bytesOf(freemem())} of memory are free` });
      continue;
    }
    told(`${rows}x${rowsClasses}, in place`);
    const xent = await load({ build, threads: 1 });
    const tensor = xent.tensor("f32", [rows, rowsClasses]);
    const labels = xent.tensor("i32", [rows]);
    for (let row = 0; row < rows; row += period.rows) {
      labels.view.set(data.labels.subarray(0, Math.min(period.rows, rows - row)), row);
    }
    const restore = () => {
      for (let row = 0; row < rows; row += period.rows) {
        tensor.view.set(data.logits.subarray(0, Math.min(period.rows, rows - row) * rowsClasses), row * rowsClasses);
      }
    };
    const options = { grad: tensor };
    // Small calls are repeated within a round, with what is written over put back untimed.
    const repeats = Math.max(1, Math.min(200, Math.ceil(1e6 / (rows * rowsClasses))));
    const sums = [];
    let loss = Number.NaN;
    for (let round = -1; round < Math.min(rounds, rows > 100_000 ? 3 : rounds); round += 1) {
      let sum = 0;
      for (let i = 0; i < repeats; i += 1) {
        restore();
        const start = performance.now();
        loss = xent.crossEntropy(tensor, labels, options).loss;
        sum += performance.now() - start;
      }
      if (round >= 0) sums.push(sum / repeats);
    }
    await xent.dispose();
    const whole = Math.floor(rows / period.rows);
    const sumOf = (/** @type {Float64Array} */ numbers) => numbers.reduce((a, b) => a + b, 0);
    const mean = (whole * sumOf(exact) + sumOf(exact.subarray(0, rows % period.rows))) / rows;
    const lossError = Math.abs(loss - mean) / mean;
    const { best, median } = timesOf(sums);
    const head = { what: "rows", build, rows, bytes };
    if (lossError < 1e-6) results.push({ ...head, best, median, nsPerLogit: (best * 1e6) / (rows * rowsClasses), lossError });
    else results.push({ ...head, shape: `${rows}x${rowsClasses}`, wrong: `the mean is ${loss} and not ${mean}` });
  }
  results.push({ what: "4 GiB of logits in one tensor", answer: await fourGibibytes() });
  return results;
}

/** What the package says to 4 GiB of logits. */
async function fourGibibytes() {
  const xent = await load({ threads: 1 });
  try {
    xent.tensor("f32", [2 ** 30]);
    return "allocated";
  } catch (error) {
    if (!isSparseXentError(error)) throw error;
    return `${error.code}: ${error.message}`;
  } finally {
    await xent.dispose();
  }
}

/** @param {import("../contest.mjs").Context} context */
export async function run(context) {
  if (!context.wants({ name: "rows" })) return [];
  const rows = await byRows(context);
  const table = rows.filter(({ answer }) => answer === undefined).map(({ rows: count, bytes, best, nsPerLogit, skipped, wrong }) => {
    const reason = skipped ?? wrong;
    return [`${count}x${rowsClasses}`, bytesOf(bytes ?? 0), reason === undefined ? figure(best) : "", reason ?? figure(nsPerLogit)];
  });
  const answers = rows.flatMap(({ what, answer }) => (answer === undefined ? [] : [`${what}: ${answer}`]));
  const title = `by rows of ${rowsClasses} classes, loss and gradient in place, ${context.builds[0]} t1`;
  context.print(`\n${title}\n${textTable(["", "logits", "ms", "ns/logit"], table)}\n${answers.join("\n")}`);
  return rows;
}
