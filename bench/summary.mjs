// The few figures of the README, from the records and from nothing else. The pages of the documentation have all of them.
import { regimes } from "./accuracy/cases.mjs";
import { readRecord as readAccuracy } from "./accuracy/record.mjs";
import { writePlace } from "../ts/docs/places.mjs";
import { peers } from "./peers/peers.mjs";
import { shapes } from "./speed/cases.mjs";
import { baselineOf, readRecords } from "./speed/record.mjs";
import { bytesOf, figure } from "./speed/table.mjs";

/** @typedef {import("./accuracy/measure.mjs").Measured} Measured */
/** @typedef {{ speed: any, peers: any, accuracy: readonly Measured[] }} Records */

/** The newest record of each kind. @returns {Records} */
const records = () => ({ speed: readRecords("speed")[0], peers: readRecords("peers")[0], accuracy: readAccuracy() });

/** @param {number} ratio */
const times = (ratio) => `${ratio.toFixed(ratio < 10 ? 1 : 0)} times`;
/** @param {readonly number[]} ratios from least to most */
const range = (ratios) => `${Math.min(...ratios).toFixed(1)} to ${times(Math.max(...ratios))}`;
/** @param {{ processor: string, family: string, cores: number, node: string, date: string }} record */
const machine = ({ processor, family, cores, node, date }) => `${processor}, ${family}, ${cores} cores, Node ${node}, ${date}`;

const shown = shapes.find(({ name }) => name === "8192x1000") ?? /** @type {never} */ (shapes[0]);

/** What was measured of one job, on one thread in the build for fused arithmetic. @param {any} speed @param {string} what @param {string} [shape] */
const ofSpeed = (speed, what, shape = shown.name) =>
  speed.parts.kernels.find((/** @type {any} */ each) => each.shape === shape && each.what === what && each.threads === 1 && each.build === "relaxed") ??
  speed.parts.kernels.find((/** @type {any} */ each) => each.shape === shape && each.what === what);

/** The worst relative error of the loss. @param {readonly Measured[]} accuracy @param {string} dtype @param {RegExp} group @param {readonly string[]} of */
function worstLoss(accuracy, dtype, group, of) {
  const names = regimes.filter((regime) => group.test(regime.group)).map(({ name }) => name);
  const own = accuracy.filter((each) => each.dtype === dtype && names.includes(each.regime));
  return Math.max(...own.flatMap((each) => of.map((key) => each.of[key]?.loss.relative ?? 0)));
}

const builds = ["simd", "relaxed"];

/** Two points of the first screen. @param {Records} [all] */
export function headline({ speed, accuracy } = records()) {
  const ours = ofSpeed(speed, "loss+grad");
  const loop = ofSpeed(speed, "plain loop");
  const ms = figure(ours.best, 2);
  const { key, short } = baselineOf(speed);
  return [
    `- **Speed**: loss and gradient of 8192 rows of 1000 classes in ${ms} ms on one thread, ${times(ours[key])} as fast as ${short}, and`,
    `  ${times(loop.best / ours.best)} as fast as a JavaScript loop (${machine(speed)}).`,
    `- **Accuracy**: the loss of a row whose label leads by 17 to 80 has a relative error of at most ${worstLoss(accuracy, "f32", /^leads/, builds).toExponential(1)}; the textbook's`,
    "  formula in f32 rounds such a loss to 0.",
  ].join("\n");
}

/** Some lines of each page. @param {Records} [all] */
export function figures({ speed, peers: beside, accuracy } = records()) {
  const { threads, parts } = speed;
  const most = Math.max(...threads);
  const gains = parts.threads.filter((/** @type {any} */ each) => each.threads === most && each.small !== true && each.what === "loss+grad").map((/** @type {any} */ each) => each.faster);
  const { key, short } = baselineOf(speed);
  // A record may be older than a shape.
  const ratios = shapes.flatMap(({ name }) => ofSpeed(speed, "loss+grad", name)?.[key] ?? []);
  const added = (/** @type {string} */ peer, /** @type {string} */ mode) => bytesOf(beside.parts.memory.find((/** @type {any} */ each) => each.peer === peer && each.mode === mode)?.residentAdded ?? Number.NaN);
  const rivals = ["torch-compile", "torch", "jax", "tensorflow", "tfjs-wasm"].flatMap((name) => {
    const ratios = beside.parts.outcomes.filter((/** @type {any} */ each) => each.peer === name && each.what === "loss+grad" && each.threads === 1 && each.ratio !== undefined).map((/** @type {any} */ each) => each.ratio);
    const title = peers.find((peer) => peer.name === name)?.title;
    return ratios.length === 0 || title === undefined ? [] : [`${title} ${range(ratios)}`];
  });
  return [
    `- [Accuracy](ts/docs/accuracy.md): over all rows measured, f32 losses are within ${worstLoss(accuracy, "f32", /./, builds).toExponential(1)} of the exact ones (relative), f64 losses within ${worstLoss(accuracy, "f64", /./, builds).toExponential(1)}. \`npm run accuracy\` measures it.`,
    `- [Speed](ts/docs/speed.md): loss and gradient of ${ratios.length} shapes are ${range(ratios)} as fast as with ${short}, on one thread;`,
    `  ${most} threads are ${range(gains)} as fast as one. \`npm run bench\` measures it (${machine(speed)}).`,
    `- [Beside other libraries](ts/docs/peers.md), loss and gradient on one thread, over the shapes they can do: as fast as ${rivals.slice(0, 3).join("; ")};`,
    `  ${rivals.slice(3).join("; ")}. \`npm run bench:peers\` measures it (${machine(beside)}).`,
    `- Memory: for 2097152 rows of 33 classes a call in place adds ${added("sparse-xent", "in place")} to the process; a new gradient adds ${added("sparse-xent", "new gradient")}.`,
  ].join("\n");
}

/** @returns {string[]} the file written */
export function writeSummary() {
  writePlace("headline", headline());
  return [writePlace("figures", figures())];
}
