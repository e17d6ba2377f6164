// Part "dtypes": 16-bit logits beside f32 ones of the same values; gradients in f32, in place in the logits' own dtype.
import { ordinary, scaled, shapeNamed } from "../cases.mjs";
import { contest } from "../contest.mjs";
import { ours, roundTo } from "../ours.mjs";
import { error, figure, textTable, times } from "../table.mjs";

export const about = "f16 and bf16 logits beside f32 at two shapes";

const at = ["65536x33", "512x32000"];
const what = /** @type {const} */ (["loss", "loss+grad", "in place"]);

/** @param {import("../contest.mjs").Context} context */
export async function run({ builds, rounds, divisor, wants, print, told }) {
  const results = [];
  for (const whole of at.map(shapeNamed).filter(wants)) {
    const shape = scaled(whole, divisor);
    /** @type {(import("../contest.mjs").Outcome & { dtype: string, ratio?: number })[]} */
    const here = [];
    for (const build of builds) {
      const dtypes = /** @type {const} */ (["f32", "f16", "bf16"]);
      // One contest has one set of values: those of the coarser dtype, which f32 holds as well.
      for (const dtype of dtypes.slice(1)) {
        const data = ordinary(shape);
        roundTo(dtype, data);
        const sides = [await ours(shape, data, { build, threads: 1, what }), await ours(shape, data, { build, threads: 1, what, dtype })];
        const outcomes = contest(shape, data, sides.flatMap(({ candidates }) => candidates), { rounds, told });
        await Promise.all(sides.map(({ xent }) => xent.dispose()));
        const [plain, half] = [outcomes.slice(0, what.length), outcomes.slice(what.length)];
        here.push(...half.map((each, index) => ({ ...each, shape: whole.name, dtype, ratio: (plain[index]?.best ?? Number.NaN) / (each.best ?? Number.NaN) })));
      }
    }
    const rows = here.map(({ what: name, build, dtype, wrong, best, ratio, lossError, gradError }) =>
      wrong !== undefined
        ? [`${name} ${dtype} ${build}`, "FAIL", wrong]
        : [`${name} ${dtype} ${build}`, figure((shape.rows * shape.classes) / (best ?? Number.NaN) / 1e6), times(ratio), error(lossError), error(gradError)],
    );
    print(`\n${shape.name}, 16-bit logits on one thread; speed as a share of f32's in the same rounds\n${textTable(["", "Glogit/s", "of f32", "loss error", "grad error"], rows)}`);
    results.push(...here);
  }
  return results;
}
