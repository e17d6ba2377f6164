// A table over several parts.
import { judged } from "./targets.mjs";
import { figure, textTable } from "./table.mjs";

/** What was reached of every target that was measured. @param {import("./targets.mjs").Results} results */
export function targetTable(results) {
  const rows = judged(results).filter(({ verdict }) => verdict !== "not measured");
  if (rows.length === 0) return "";
  const lines = rows.map(({ what, must, isMost, worst, missed, of, verdict }) => [
    what,
    `${isMost ? "at most" : "at least"} ${figure(must)}`,
    figure(worst?.value),
    verdict === "met" ? "met" : `missed by ${missed} of ${of}`,
    worst?.name ?? "",
  ]);
  const count = (/** @type {string} */ verdict) => rows.filter((row) => row.verdict === verdict).length;
  return `targets: ${count("met")} met, ${count("missed")} missed\n${textTable(["", "", "worst", "", "where"], lines)}`;
}
