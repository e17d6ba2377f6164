// One job and one kind of result, by several processes in turns: each is validated, then timed. May import judge and rounds of speed/.
import { setTimeout as wait } from "node:timers/promises";
import { compare } from "../speed/judge.mjs";
import { timesOf } from "../speed/rounds.mjs";
import { PeerFailed } from "./child.mjs";

/** @typedef {import("./peers.mjs").Peer} Peer @typedef {import("./peers.mjs").What} What */
/** @typedef {{ peer: Peer, threads: number, child: import("./child.mjs").Child }} Entrant */

/**
 * @typedef {object} Outcome
 * @property {string} shape @property {What} what @property {string} peer @property {number} threads
 * @property {number} [first] milliseconds of the first call, compiling included
 * @property {number} [best] milliseconds of the best round @property {number} [median]
 * @property {number} [spread] quartile distance by median
 * @property {number} [rounds]
 * @property {number} [rate] 1e9 logits a second, in the best round
 * @property {number} [ratio] how many times as fast sparse-xent was with as many threads, by best rounds
 * @property {number} [busy] threads that were busy, on average over the rounds: more than `threads` would be unfair
 * @property {number} [lossError] relative error of the mean
 * @property {number} [gradError] largest error of a gradient element in sampled rows, as a share of the row's largest possible
 * @property {string} [absent] why it did not take part, or what went wrong
 */

// Some add millions of losses in one f32 sum, and p - 1 at the label loses digits; what is further off is another function.
const lossTolerance = { relative: 1e-2, absolute: 0 };
const gradTolerance = 1e-5;

/** Long enough for another process's threads to stop looking for work. */
const pauseMs = 20;
export const answerMs = 300_000;

/** @param {unknown} error */
export function reasonOf(error) {
  if (error instanceof PeerFailed) return error.message;
  throw error;
}

/**
 * @param {import("./child.mjs").Answer} answer @param {import("./jobs.mjs").Job} job @param {What} what
 * @returns {{ lossError: number, gradError?: number, absent?: string }}
 */
export function verdictOf({ loss, grad }, { loss: exact, probes }, what) {
  const mean = compare([loss ?? Number.NaN], [exact], lossTolerance);
  const verdict = { lossError: mean.error, ...(mean.wrong === 0 && { absent: `FAIL: the loss is ${loss} and not ${exact}` }) };
  if (what === "loss") return verdict;
  const errors = probes.grad.map((should, i) => Math.abs((grad?.[i] ?? Number.NaN) - should) / probes.scale);
  const wrong = errors.findIndex((error) => !(error <= gradTolerance));
  const gradError = Math.max(...errors);
  if (wrong < 0) return { ...verdict, gradError };
  return { ...verdict, gradError, absent: verdict.absent ?? `FAIL: gradient element ${probes.at[wrong]} is ${grad?.[wrong]} and not ${probes.grad[wrong]}` };
}

/**
 * @param {readonly Entrant[]} entrants prepared for the job @param {import("./jobs.mjs").Job} job @param {What} what
 * @param {{ rounds: number, budgetSeconds: number, told: (text: string) => void }} how nobody starts another round once its calls took `budgetSeconds`
 * @returns {Promise<Outcome[]>} in the order of the entrants
 */
export async function meet(entrants, job, what, { rounds, budgetSeconds, told }) {
  const states = entrants.map((entrant) => ({
    ...entrant,
    outcome: /** @type {Outcome} */ ({ shape: job.shape.name, what, peer: entrant.peer.name, threads: entrant.threads }),
    seconds: /** @type {number[]} */ ([]),
    cpuSeconds: 0,
    spent: 0,
  }));
  /** @param {typeof states[number]} state @param {object} question @param {boolean} counts */
  const ask = async (state, question, counts) => {
    await wait(pauseMs);
    const answer = await state.child.ask({ ask: "run", what, ...question }, answerMs);
    const { seconds = Number.NaN, cpuSeconds = Number.NaN } = answer;
    state.spent += seconds;
    if (counts) state.seconds.push(seconds);
    if (counts) state.cpuSeconds += cpuSeconds;
    return answer;
  };
  for (const state of states) {
    told(`${job.shape.name} ${what}: first call of ${state.peer.name} t${state.threads}`);
    try {
      const answer = await ask(state, { indices: job.probes.at }, false);
      Object.assign(state.outcome, { first: (answer.seconds ?? Number.NaN) * 1000, ...verdictOf(answer, job, what) });
      // The second call brings code to its final tier and memory into place.
      if (state.outcome.absent === undefined && state.spent < budgetSeconds / 2) await ask(state, {}, false);
      state.spent = 0;
    } catch (error) {
      state.outcome.absent = reasonOf(error);
    }
  }
  for (let round = 0; round < rounds; round += 1) {
    told(`${job.shape.name} ${what}: round ${round + 1} of ${rounds}`);
    // Every other round runs backwards, so that nobody has the same neighbour before it each time.
    for (const state of round % 2 === 0 ? states : states.toReversed()) {
      if (state.outcome.absent !== undefined || state.spent >= budgetSeconds) continue;
      await ask(state, {}, true).catch((error) => void (state.outcome.absent = reasonOf(error)));
    }
  }
  const timed = states.map(({ outcome, seconds, cpuSeconds }) => {
    if (outcome.absent !== undefined) return outcome;
    const { best, median, spread } = timesOf(seconds.map((each) => each * 1000));
    const rate = (job.shape.rows * job.shape.classes) / best / 1e6;
    return { ...outcome, best, median, spread, rounds: seconds.length, rate, busy: cpuSeconds / seconds.reduce((a, b) => a + b, 0) };
  });
  return timed.map((outcome) => {
    const own = timed.find(({ peer, threads }) => peer === "sparse-xent" && threads === outcome.threads);
    return own?.rate === undefined || outcome.rate === undefined ? outcome : { ...outcome, ratio: own.rate / outcome.rate };
  });
}
