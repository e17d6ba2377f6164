// Part "adversarial": rows that could send a kernel another way, beside ordinary ones: a logit 87 above or below all others, -inf masks, large offsets.
import { adversities, ordinary, scaled, shapeNamed } from "../cases.mjs";
import { contest } from "../contest.mjs";
import { ours } from "../ours.mjs";
import { error, figure, textTable, times } from "../table.mjs";

export const about = "a logit 87 above or below all others, -inf masks and large offsets, beside ordinary rows";

const at = ["65536x33", "8192x1000", "512x32000"];
const what = /** @type {const} */ (["loss", "loss+grad", "in place"]);

/** @param {import("../contest.mjs").Context} context */
export async function run({ builds, rounds, divisor, wants, print, told }) {
  const build = builds[0] ?? "simd";
  const results = [];
  for (const whole of at.map(shapeNamed).filter(wants)) {
    const shape = scaled(whole, divisor);
    /** @type {(import("../contest.mjs").Outcome & { rows: string, cost: number })[]} */
    const here = [];
    for (const { name, change } of adversities) {
      const plain = await ours(shape, ordinary(shape), { build, threads: 1, what });
      const data = ordinary(shape);
      change(shape, data);
      const hard = await ours(shape, data, { build, threads: 1, what });
      // The ordinary rows are there for their time only: they were validated in "kernels", and this contest's definition is of the other rows.
      const untold = plain.candidates.map(({ results: _, ...candidate }) => candidate);
      const outcomes = contest(shape, data, [...untold, ...hard.candidates], { rounds, told });
      await Promise.all([plain.xent.dispose(), hard.xent.dispose()]);
      const [easy, hardest] = [outcomes.slice(0, what.length), outcomes.slice(what.length)];
      here.push(
        ...hardest.map((each, index) => ({ ...each, shape: whole.name, rows: name, cost: (each.best ?? Number.NaN) / (easy[index]?.best ?? Number.NaN) })),
      );
    }
    const rows = adversities.map(({ name }) => [
      name,
      ...what.flatMap((job) => {
        const found = here.find((each) => each.rows === name && each.what === job);
        return found?.wrong === undefined ? [figure(found?.nsPerLogit), times(found?.cost), error(Math.max(found?.lossError ?? 0, found?.gradError ?? 0))] : ["FAIL", found.wrong, ""];
      }),
    ]);
    const head = ["", ...what.flatMap((job) => [`${job} ns/logit`, "", "error"])];
    print(`\n${shape.name}, rows that ask more, ${build} t1: time as a multiple of ordinary rows'\n${textTable(head, rows)}`);
    results.push(...here);
  }
  return results;
}
