// Puts the records into the documentation, with their picture, and into the README. Loads the chart package, which only this needs.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { writePlace } from "../../ts/docs/places.mjs";
import { writeSummary } from "../summary.mjs";
import { byClasses, speedSection } from "./readme.mjs";
import { baselineOf, readRecords } from "./record.mjs";

export const pictureFile = fileURLToPath(new URL("../record/growth.svg", import.meta.url));

/** The line under the picture, by which a picture and its record are told to belong together. @param {any} record */
export const caption = ({ processor, family, node, date, commit, builds }) => `${builds[0]}, one thread; ${processor} (${family}), Node ${node}, ${date}, ${commit}`;

/** @returns {Promise<string[]>} the files written */
export async function publish() {
  const records = readRecords("speed");
  const { growthPicture } = await import("../chart/growth.mjs");
  const [newest] = records;
  writeFileSync(pictureFile, growthPicture(byClasses(newest), caption(newest), baselineOf(newest)));
  return [pictureFile, writePlace("speed", speedSection(records)), ...writeSummary()];
}
