// `npm start -- train`: a small next-token model with GPT-2's vocabulary learns the novels of the live page, in TensorFlow.js on wasm in Node, once with the loss of
// sparse-xent/tfjs and once with one-hot labels, from the same start and on the same batches, in turns. With --record also the picture of both curves.
import { existsSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { Command } from "commander";
import { load } from "sparse-xent";
import { registerMissingKernels, sparseLosses } from "sparse-xent/tfjs";
import { countOf } from "../speed/arguments.mjs";
import { machine } from "../speed/machine.mjs";
import { kernelSwitch } from "./kernels.mjs";
import { batches, makeTraining, tokenised, tokens, vocabulary } from "./model.mjs";
import { median } from "./turns.mjs";

const hosts = new URL("../../test/hosts/", import.meta.url);
const program = new Command("npm start -- train")
  .description("Trains a small language model in TensorFlow.js with sparse-xent/tfjs and, beside it, with one-hot labels.")
  .option("--steps <n>", "steps of each training (default 60)", countOf(4))
  .option("--only <name>", "only one of them: sparse-xent or one-hot")
  .option("--record", "write the picture of both curves, bench/record/train.svg")
  .parse();
/** @type {{ steps?: number, only?: string, record?: true }} */
const wishes = program.opts();
const steps = wishes.steps ?? 60;
if (!existsSync(fileURLToPath(new URL("node_modules/@tensorflow/tfjs", hosts)))) {
  console.error("train: TensorFlow.js is not here: test/hosts has no packages, and they could not be installed");
  process.exit(1);
}

/** @param {string} name @returns {Promise<any>} */
const hostModule = (name) => import(new URL(name, hosts).href);
const { encode } = (await hostModule("gpt2-encoder.mjs")).default;
const { tf } = await hostModule("tfjs.mjs");
await tf.setBackend("wasm");
const xent = await load({ threads: 1 });
const kernels = kernelSwitch(tf, registerMissingKernels);
const ids = tokenised(encode, 300_000);
const about = machine();
console.log(`${about.processor}; Node ${about.node}, TensorFlow.js ${tf.version["tfjs"]} wasm, one thread, sparse-xent ${xent.info.version} ${xent.info.build}`);
console.log(`${ids.length} tokens of text, ${vocabulary} classes, ${tokens} tokens a step\n`);

const names = /** @type {const} */ (["sparse-xent", "one-hot"]).filter((name) => wishes.only === undefined || wishes.only === name);
const losses = sparseLosses(tf, xent);
const none = tf.memory().numTensors;
const trainings = names.map((name) => ({ training: makeTraining(tf, name, losses), curve: /** @type {number[]} */ ([]), cpu: /** @type {number[]} */ ([]), wall: /** @type {number[]} */ ([]), peak: 0 }));
const next = batches(tf, ids);
for (let step = 0; step < steps; step += 1) {
  const { x, y } = next();
  for (const each of trainings) {
    if (each.training.name === "one-hot") kernels.stock();
    else kernels.own();
    const before = tf.memory().numBytes;
    const [cpu, wall] = [process.cpuUsage(), performance.now()];
    // The second step, where the optimizer has what it keeps, is watched for memory instead of timed.
    if (step === 1) {
      const { peakBytes } = await tf.profile(() => {
        each.curve.push(each.training.step(x, y));
      });
      each.peak = peakBytes - before;
      continue;
    }
    each.curve.push(each.training.step(x, y));
    const { user, system } = process.cpuUsage(cpu);
    if (step > 1) {
      each.cpu.push((user + system) / 1000);
      each.wall.push(performance.now() - wall);
    }
  }
  tf.dispose([x, y]);
  if (step % 10 === 0 || step === steps - 1) console.log(`step ${String(step).padStart(4)}  ${trainings.map(({ training, curve }) => `${training.name} ${curve.at(-1)?.toFixed(4)}`).join("   ")}`);
}

console.log("");
const logits = tokens * vocabulary * 4;
for (const { training, curve, cpu, wall, peak } of trainings) {
  const last = curve.slice(-5).reduce((sum, loss) => sum + loss, 0) / Math.min(5, curve.length);
  const engine = training.name === "sparse-xent" ? `, and ${(xent.info.memoryBytes / 1e6).toFixed(0)} MB of the engine` : "";
  console.log(
    `${training.name.padEnd(12)} loss ${curve[0]?.toFixed(3)} -> ${last.toFixed(3)}   ${(1000 / median(wall)).toFixed(2)} steps/s   ${median(cpu).toFixed(0)} ms CPU a step   ` +
      `${(peak / 1e6).toFixed(0)} MB of tf memory at the peak of a step, ${(peak / logits).toFixed(1)} times the logits${engine}`,
  );
}
const [own, other] = trainings;
if (own !== undefined && other !== undefined) {
  const apart = Math.max(...own.curve.map((loss, at) => Math.abs(loss - (other.curve[at] ?? Number.NaN)) / loss));
  console.log(`\n${(median(other.cpu) / median(own.cpu)).toFixed(1)} times as many steps in the same CPU time; the curves are at most ${apart.toExponential(1)} apart, relatively`);
  if (wishes.record) {
    const { trainPicture } = await import("../chart/train.mjs");
    const file = fileURLToPath(new URL("../record/train.svg", import.meta.url));
    writeFileSync(file, trainPicture(trainings.map(({ training, curve, cpu }) => ({ name: training.name, curve, secondsPerStep: median(cpu) / 1000 })), `${about.processor}, Node ${about.node}, TensorFlow.js ${tf.version["tfjs"]} on wasm, one thread`));
    console.log(`wrote ${file}`);
  }
}
for (const { training } of trainings) training.dispose();
console.log(`left behind: ${tf.memory().numTensors - none} tensors, ${xent.info.usedBytes} bytes of the engine`);
await xent.dispose();
