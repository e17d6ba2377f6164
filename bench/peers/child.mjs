// One peer's process, as the driver sees it: a question is a line of JSON on its standard input, an answer a line that begins with "@". Whatever
// else the libraries print goes to target/log. Imports Node built-ins only.
import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const logs = fileURLToPath(new URL("../../target/log", import.meta.url));
const startMs = 180_000;
const lastLines = 3;

/** A peer that cannot take part, or not in this job; the message is what is printed. */
export class PeerFailed extends Error {}

/**
 * @typedef {object} Answer
 * @property {string} [error]
 * @property {Record<string, string>} [versions] of what was loaded, in the first answer
 * @property {number} [seconds] of the call
 * @property {number} [cpuSeconds] of all threads together
 * @property {number} [loss]
 * @property {number[]} [grad] the elements that were asked for
 * @property {number} [before] resident bytes before the call @property {number} [peak] and the most during it
 * @property {Record<string, number>} [own] what the library itself counts, in bytes
 */

export class Child {
  #process;
  /** @type {((answer: Answer) => void) | undefined} */
  #waiting;
  /** @type {string[]} */
  #said = [];
  /** @type {string | undefined} */
  #ended;
  /** @type {Record<string, string>} */
  versions = {};

  /** @param {string} name @param {string} program @param {readonly string[]} args @param {NodeJS.ProcessEnv} env */
  constructor(name, program, args, env) {
    mkdirSync(logs, { recursive: true });
    const log = createWriteStream(`${logs}/peers-${name.replaceAll(" ", "-")}.log`);
    this.#process = spawn(program, args, { env, stdio: ["pipe", "pipe", "pipe"] });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        if (line.startsWith("@") && stream === this.#process.stdout) return this.#answer(JSON.parse(line.slice(1)));
        log.write(`${line}\n`);
        this.#said = [...this.#said, line.trim()].filter((text) => text !== "").slice(-lastLines);
      });
    }
    // A write to a process that has ended; that it ended is what is told.
    this.#process.stdin.on("error", () => undefined);
    this.#process.on("error", (error) => this.#end(error.message));
    this.#process.on("close", (code, signal) => this.#end([`ended with ${signal ?? `exit code ${code}`}`, ...this.#said].join(" | ")));
  }

  /** Starts a process and waits until it is ready. @param {string} name @param {string} program @param {readonly string[]} args @param {NodeJS.ProcessEnv} env */
  static async start(name, program, args, env) {
    const child = new Child(name, program, args, env);
    const { versions } = await child.#next(startMs);
    child.versions = versions ?? {};
    return child;
  }

  get alive() {
    return this.#ended === undefined;
  }

  /** @param {object} question @param {number} timeoutMs @returns {Promise<Answer>} */
  ask(question, timeoutMs) {
    const answer = this.#next(timeoutMs);
    if (this.alive) this.#process.stdin.write(`${JSON.stringify(question)}\n`);
    return answer;
  }

  async stop() {
    if (!this.alive) return;
    const ended = new Promise((resolve) => this.#process.once("close", resolve));
    this.#process.kill("SIGKILL");
    await ended;
  }

  /** @param {number} timeoutMs @returns {Promise<Answer>} */
  #next(timeoutMs) {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(new PeerFailed(this.#ended));
      const timer = setTimeout(() => {
        this.#end(`no answer in ${timeoutMs / 1000} s`);
        this.#process.kill("SIGKILL");
      }, timeoutMs);
      this.#waiting = (answer) => {
        clearTimeout(timer);
        this.#waiting = undefined;
        if (answer.error === undefined) resolve(answer);
        else reject(new PeerFailed(answer.error));
      };
    });
  }

  /** @param {Answer} answer */
  #answer(answer) {
    this.#waiting?.(answer);
  }

  /** @param {string} why */
  #end(why) {
    this.#ended ??= why;
    this.#answer({ error: this.#ended });
  }
}
