// Tables over several parts.
import { judged } from "./targets.mjs";
import { figure, textTable } from "./table.mjs";

/** What was reached of every target. @param {readonly import("./contest.mjs").Outcome[]} outcomes of part "kernels" */
export function targetTable(outcomes) {
  const rows = judged(outcomes).filter(({ shape }) => outcomes.some((each) => each.shape === shape));
  const lines = rows.map(({ shape, what, build, of, must, stretch, reached, verdict }) => [
    `${shape} ${what} ${build}`,
    of,
    figure(must),
    figure(stretch),
    figure(reached),
    verdict,
  ]);
  /** @param {string} verdict */
  const count = (verdict) => rows.filter((row) => row.verdict === verdict).length;
  const sums = `${count("met") + count("stretch met")} met (${count("stretch met")} of them the stretch as well), ${count("missed")} missed, ${count("not measured")} not measured here`;
  return `targets, one thread: ${sums}\n${textTable(["", "of", "must", "stretch", "reached", ""], lines)}`;
}
