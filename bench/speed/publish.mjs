// Puts the record into the documentation, with its picture, and into the README. Loads the chart package, which only this needs.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { writePlace } from "../../ts/docs/places.mjs";
import { writeSummary } from "../summary.mjs";
import { speedSection } from "./readme.mjs";
import { readRecord } from "./record.mjs";

export const pictureFile = fileURLToPath(new URL("../record/growth.svg", import.meta.url));

/** The line under the picture, by which a picture and its record are told to belong together. @param {any} record */
export const caption = ({ processor, node, date, commit, builds }) => `${builds[0]}, one thread; ${processor}, Node ${node}, ${date}, ${commit}`;

/** @returns {Promise<string[]>} the files written */
export async function publish() {
  const record = readRecord("speed");
  const { growthPicture } = await import("../chart/growth.mjs");
  writeFileSync(pictureFile, growthPicture(record.parts.growth, caption(record)));
  return [pictureFile, writePlace("speed", speedSection(record)), ...writeSummary()];
}
