// `npm run bench -- --against <folder>`: this build of the package and another one, from another checkout or its dist/, in one process and in turns.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { load } from "sparse-xent";
import { classShapes, ordinary, planeShapes, scaled, shapes } from "./speed/cases.mjs";
import { judgeOf } from "./speed/judge.mjs";
import { all, ours } from "./speed/ours.mjs";
import { pairedRatio, takeTurns } from "./speed/rounds.mjs";
import { textTable, times } from "./speed/table.mjs";

/** @typedef {import("./speed/cases.mjs").Shape} Shape */

// A shorter run is repeated until it takes so long: of a few microseconds a clock shows too little.
const leastMs = 2;
const warmMs = 40;

/** The `load` of a build in a folder: of a checkout, or a dist/ alone. @param {string} folder @returns {Promise<typeof load>} */
export async function loadOf(folder) {
  const files = ["dist/index.js", "index.js"].map((file) => resolve(folder, file));
  const file = files.find((each) => existsSync(each));
  if (file === undefined) throw new Error(`no build of the package: neither ${files.join(" nor ")} is there`);
  return (await import(pathToFileURL(file).href)).load;
}

/** Every shape that the other parts measure, without those that differ in name only. */
const everyShape = () => [...new Map([...shapes, ...classShapes, ...planeShapes].map((each) => [each.name, each])).values()];

/**
 * Prints, for every shape, build and number of threads, how many times as fast as the other build this one is, by the best rounds and in the median.
 * @param {string} folder
 * @param {import("./speed/contest.mjs").Context & { named: readonly Shape[], what?: readonly import("./speed/ours.mjs").Ours[] }} context `named`: shapes of any size
 * @returns {Promise<string[]>} what was wrong
 */
export async function against(folder, { builds, threads, rounds, divisor, wants, named, what = all, print, told }) {
  const [own, theirs] = [load, await loadOf(folder)];
  // One engine of each kind for all shapes: by the second shape its code is compiled for good.
  /** @type {Map<string, import("sparse-xent").Engine[]>} */
  const engines = new Map();
  for (const build of builds) {
    for (const count of threads) engines.set(`${build} t${count}`, [await own({ build, threads: count }), await theirs({ build, threads: count })]);
  }
  const list = named.length > 0 ? named : everyShape().filter(wants);
  const head = ["", ...what.flatMap((name) => [name, "median"])];
  /** @type {string[]} */
  const wrong = [];
  /** @type {{ name: string, ratio: number }[]} */
  const ratios = [];
  for (const whole of list) {
    const shape = scaled(whole, divisor);
    const data = ordinary(shape);
    const judge = judgeOf(shape, data);
    const lines = [];
    for (const build of builds) {
      for (const count of threads) {
        const sides = [];
        for (const engine of engines.get(`${build} t${count}`) ?? []) sides.push(await ours(shape, data, { build, threads: count, what, engine }));
        const candidates = sides.flatMap((side) => side.candidates);
        for (const [index, candidate] of candidates.entries()) {
          const verdict = judge(candidate);
          if (verdict.wrong !== undefined) wrong.push(`${shape.name} ${candidate.what} ${build}, ${index < what.length ? "this build" : folder}: ${verdict.wrong}`);
        }
        const timed = takeTurns(candidates, { rounds, leastMs, warmMs, told: (round) => told(`${shape.name} ${build} t${count}: round ${round} of ${rounds}`) });
        for (const side of sides) side.drop();
        const cells = what.flatMap((name, index) => {
          const [one, two] = [timed[index], timed[index + what.length]];
          if (one === undefined || two === undefined) return ["", ""];
          const median = pairedRatio(one, two);
          ratios.push({ name: `${shape.name} ${name} ${build} t${count}`, ratio: median });
          return [times(two.best / one.best), times(median)];
        });
        lines.push([`${build} t${count}`, ...cells]);
      }
    }
    print(`\n${shape.name}: this build as many times as fast as ${folder}\n${textTable(head, lines)}`);
  }
  for (const engine of [...engines.values()].flat()) await engine.dispose();
  const sorted = ratios.sort((a, b) => a.ratio - b.ratio);
  const some = (/** @type {typeof ratios} */ each) => each.map(({ name, ratio }) => `${name} ${times(ratio)}`).join(", ");
  print(`\nleast, in the median: ${some(sorted.slice(0, 5))}\nmost: ${some(sorted.slice(-5).reverse())}`);
  return wrong;
}
