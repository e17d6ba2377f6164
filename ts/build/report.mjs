// What the build says and how it starts programs: one line per step with its time, a sign of life while it lasts, and the end of the output when it
// fails. Everything of its own goes to stderr, so that the standard output of `npm start` is the command line's own. Imports Node built-ins only.
import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import process from "node:process";
import { paths, root } from "./project.mjs";

/** A step that failed for a reason a person can act on. */
export class StepFailed extends Error {}

/** @param {string} line */
export const say = (line) => void process.stderr.write(`${line}\n`);

/** @param {number} start from performance.now() */
export const secondsSince = (start) => `${((performance.now() - start) / 1000).toFixed(1)} s`;

const live = process.stderr.isTTY === true;
const quietMs = 15_000;
const redrawMs = 250;

/** Makes cargo tell how far it is where no terminal is; a pulse shows it. */
export const cargoProgress = { CARGO_TERM_PROGRESS_WHEN: "always", CARGO_TERM_PROGRESS_WIDTH: "80" };

/** What is left of an output when its progress bars, which rewrite their line, are taken out. @param {string} output */
const withoutProgress = (output) => output.replaceAll(/^.*\r(?!\n)(?:\x1b\[K)?/gm, "");

/** @typedef {{ name: string, start: number, latest: string }} Beat a program that runs */

/** @type {Set<Beat>} */
const beats = new Set();
/** @type {NodeJS.Timeout | undefined} */
let timer;

function draw() {
  const text = [...beats].map(({ name, start, latest }) => `${name}  ${secondsSince(start)}${latest === "" ? "" : `  ${latest}`}`).join("  |  ");
  if (live) process.stderr.write(`\r\x1b[2K${`  ${text}`.slice(0, (process.stderr.columns ?? 80) - 1)}`);
  else say(`  ${text}`);
}

/**
 * Shows that programs are alive and how far each is: a line that rewrites itself on a terminal, one line every 15 s elsewhere.
 * @param {string} name
 */
function pulse(name) {
  const beat = { name, start: performance.now(), latest: "" };
  beats.add(beat);
  timer ??= setInterval(draw, live ? redrawMs : quietMs);
  return {
    /** @param {string} chunk */
    heard(chunk) {
      const [, done, all] = [...chunk.matchAll(/\[[=> ]*\] (\d+)\/(\d+)/g)].at(-1) ?? [];
      if (all !== undefined) beat.latest = `${done} of ${all}`;
      else if (!/ of \d+$/.test(beat.latest)) beat.latest = chunk.split(/[\r\n]+/).filter((line) => line.trim() !== "").at(-1)?.trim() ?? beat.latest;
    },
    stop() {
      beats.delete(beat);
      if (beats.size === 0) {
        clearInterval(timer);
        timer = undefined;
      }
      if (live) process.stderr.write("\r\x1b[2K");
    },
  };
}

/**
 * Runs one step and prints its name, what it says about itself, and its time.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @param {(result: T) => string} [describe]
 * @returns {Promise<T>}
 */
export async function step(name, work, describe = () => "") {
  const start = performance.now();
  const result = await work();
  say(`${name.padEnd(16)} ${secondsSince(start).padStart(8)}  ${describe(result)}`.trimEnd());
  return result;
}

/**
 * @typedef {object} RunOptions
 * @property {NodeJS.ProcessEnv} [env] the whole environment; this process's own when left out
 * @property {string} [cwd] the project when left out
 * @property {string} [name] what the sign of life and the log file are called; the program's name when left out
 * @property {boolean} [show] pass the output on to stdout as it comes instead of keeping it for a failure
 * @property {number} [timeoutMs] kill it after this long
 */

/**
 * Runs a program to its end. Its output goes to target/log/NAME.log.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<{ code: number, output: string }>}
 */
export async function attempt(program, args, { env = process.env, cwd = root, name = program, show = false, timeoutMs } = {}) {
  mkdirSync(paths.logs, { recursive: true });
  const log = createWriteStream(`${paths.logs}/${name.replaceAll(/[^\w.-]+/g, "-")}.log`);
  log.write(`${cwd}$ ${[program, ...args].join(" ")}\n`);
  const beat = show ? undefined : pulse(name);
  let output = "";
  try {
    const code = await new Promise((resolve) => {
      const child = spawn(program, args, { env, cwd, stdio: ["ignore", "pipe", "pipe"], ...(timeoutMs && { timeout: timeoutMs }) });
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8");
        stream.on("data", (chunk) => {
          output += chunk;
          log.write(chunk);
          beat?.heard(chunk);
          if (show) process.stdout.write(chunk);
        });
      }
      child.on("error", (error) => {
        output += `${error.message}\n`;
        resolve(127);
      });
      child.on("close", (status) => resolve(status ?? 1));
    });
    return { code, output: withoutProgress(output) };
  } finally {
    beat?.stop();
    log.end();
  }
}

const tailLines = 40;

/**
 * Like `attempt`, but anything except success is an error that shows the end of the output.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<string>} the output
 */
export async function run(program, args, options = {}) {
  const { code, output } = await attempt(program, args, options);
  if (code !== 0) {
    const tail = options.show ? "" : `${output.trimEnd().split("\n").slice(-tailLines).join("\n")}\n`;
    throw new StepFailed(`${tail}\n${options.name ?? program} failed with exit code ${code}: ${[program, ...args].join(" ")}`);
  }
  return output;
}
