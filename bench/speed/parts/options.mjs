// Part "options": what each option of a call costs, beside the same call without it.
import { ordinary, scaled, shapeNamed } from "../cases.mjs";
import { takeTurns } from "../rounds.mjs";
import { ours } from "../ours.mjs";
import { figure, textTable, times } from "../table.mjs";

export const about = "the cost of weights, smoothing, z-loss and other options at two shapes";

const at = ["65536x33", "512x32000"];
const ignoring = "ignoreIndex, every eighth row";
const ignored = -100;
const what = /** @type {const} */ (["loss", "loss+grad"]);

/** @param {import("../cases.mjs").Shape} shape @returns {Record<string, import("../ours.mjs").Options>} */
const optionsAt = ({ rows, classes }) => {
  const classWeight = Float32Array.from({ length: classes }, (_, k) => 0.5 + (k % 7) / 7);
  return {
    none: {},
    classWeight: { classWeight },
    "sampleWeight, one per row": { sampleWeight: Float32Array.from({ length: rows }, (_, row) => 0.5 + (row % 5) / 5) },
    [ignoring]: { ignoreIndex: ignored },
    labelSmoothing: { labelSmoothing: 0.1 },
    "labelSmoothing and classWeight": { labelSmoothing: 0.1, classWeight },
    zLoss: { zLoss: 1e-4 },
    focalGamma: { focalGamma: 2 },
    poly1Epsilon: { poly1Epsilon: 1 },
    gceQ: { gceQ: 0.7 },
    softcap: { softcap: 30 },
    logitScale: { logitScale: 0.5 },
    "outputs: predictions": { outputs: ["predictions"] },
  };
};

/** @param {import("../contest.mjs").Context} context */
export async function run({ builds, rounds, divisor, wants, print, told }) {
  const build = builds[0] ?? "simd";
  const results = [];
  for (const whole of at.map(shapeNamed).filter(wants)) {
    const shape = scaled(whole, divisor);
    const data = ordinary(shape);
    const { xent, candidate, labelsTensor } = await ours(shape, data, { build, threads: 1 });
    const someIgnored = labelsTensor(data.labels.map((label, row) => (row % 8 === 0 ? ignored : label)));
    const entries = Object.entries(optionsAt(shape)).flatMap(([option, options]) =>
      what.map((name) => {
        const { run } = candidate(name, options, option === ignoring ? someIgnored : undefined);
        // Results that come in tensors are given back, as a user would.
        return { option, what: name, threads: 1, run: () => /** @type {{ predictions?: { dispose(): void } }} */ (run()).predictions?.dispose() };
      }),
    );
    const timed = takeTurns(entries, { rounds, told: (round) => told(`${shape.name}, options: round ${round} of ${rounds}`) });
    await xent.dispose();
    const here = entries.map(({ option, what: name }, index) => {
      const best = timed[index]?.best ?? Number.NaN;
      const without = timed[entries.findIndex((each) => each.option === "none" && each.what === name)]?.best ?? Number.NaN;
      return { shape: whole.name, build, option, what: name, best, nsPerLogit: (best * 1e6) / (shape.rows * shape.classes), cost: best / without };
    });
    results.push(...here);
    const rows = Object.keys(optionsAt(shape)).map((name) => {
      const [loss, grad] = what.map((each) => here.find((cell) => cell.option === name && cell.what === each));
      return [name, figure(loss?.nsPerLogit), times(loss?.cost), figure(grad?.nsPerLogit), times(grad?.cost)];
    });
    print(`\n${shape.name}, options, ${build} t1: time as a multiple of the call without them\n${textTable(["", "loss ns/logit", "", "loss+grad ns/logit", ""], rows)}`);
  }
  return results;
}
