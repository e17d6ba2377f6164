// `npm run fuzz -- --minutes 30 [--seed N] [--cases N] [--only-wasm]`: calls drawn at random, each from a seed, by one program (test/fuzz). It checks the crate against
// the definition and against itself, and hands each call on with digests of what the native twins of the wasm files answer; the wasm files then make the
// same call, in a way of their own. A part of the time goes to the same program under AddressSanitizer, where a toolchain has it.
// With `--only-wasm` all of it goes to the wasm files: the crate gives the digests and is not checked itself.
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { Player } from "../../test/fuzz/player.mjs";
import { givenOptions } from "./arguments.mjs";
import { forget, isFresh, keyOf, remember } from "./fresh.mjs";
import { paths, root } from "./project.mjs";
import { StepFailed, attempt, run, step } from "./report.mjs";
import { toolchain as findToolchain } from "./toolchain.mjs";

/** @typedef {import("../../test/fuzz/player.mjs").Header} Header */
/** @typedef {Header | { failure: string } | { smallest: string } | { calls: number, failed: number }} Head what a record begins with */
/** @typedef {{ calls: number, failed: number, lines: string[] }} Outcome */

const folder = `${paths.target}/fuzz`;
const mostFailures = 10;
const everyMs = 10_000;
/** The part of the time that AddressSanitizer gets. */
const sanitized = 0.2;

/** @param {string} line */
const print = (line) => void process.stdout.write(`${line}\n`);

/**
 * The program, compiled where the crate or the fuzzer changed.
 * @param {string} name @param {string} cargo @param {readonly string[]} args @param {NodeJS.ProcessEnv} env
 */
async function build(name, cargo, args, env) {
  const program = `${folder}/${name}`;
  const key = keyOf(["crate", "test/fuzz", "test/bound.rs", "test/digest.rs", "test/support.rs", "Cargo.toml", "Cargo.lock", "ts/build/fuzz.mjs"]);
  if (isFresh(name, key, [program])) return program;
  forget(name);
  mkdirSync(folder, { recursive: true });
  await step(name, async () => {
    const all = ["bench", "--no-run", "--locked", "--profile=fuzz", "--bench=fuzz", ...args];
    const output = await run(cargo, all, { env: { ...env, CARGO_TARGET_DIR: `${folder}/${name}-target` }, name });
    // The file that cargo writes has a hash in its name.
    const built = /^ *Executable .*\((.+)\)$/m.exec(output)?.[1];
    if (built === undefined) throw new StepFailed("cargo built the fuzzer and named no program");
    copyFileSync(resolve(root, built), program);
  });
  remember(name, key);
  return program;
}

/** The program under AddressSanitizer, or why there is none. @returns {Promise<{ program: string } | { lacking: string }>} */
async function buildSanitized() {
  const found = await attempt("rustc", ["+nightly", "-vV"], { name: "look for a nightly" });
  const host = /^host: (\S+)/m.exec(found.output)?.[1];
  if (found.code !== 0 || host === undefined) return { lacking: "no nightly toolchain, which AddressSanitizer needs" };
  const env = { ...process.env, RUSTFLAGS: "-Zsanitizer=address" };
  try {
    return { program: await build("fuzz-sanitized", "cargo", [`--target=${host}`], { ...env, RUSTUP_TOOLCHAIN: "nightly" }) };
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    return { lacking: `nightly does not build with AddressSanitizer:\n${error.message}` };
  }
}

/**
 * The records that a program writes.
 * @param {NodeJS.ReadableStream} stream @returns {AsyncGenerator<{ head: Head, bytes: Uint8Array<ArrayBuffer> }>}
 */
async function* records(stream) {
  let left = Buffer.alloc(0);
  const lengths = 8;
  for await (const chunk of stream) {
    left = left.length === 0 ? /** @type {Buffer<ArrayBuffer>} */ (chunk) : Buffer.concat([left, /** @type {Buffer} */ (chunk)]);
    let from = 0;
    while (left.length - from >= lengths) {
      const end = from + lengths + left.readUInt32LE(from);
      if (end > left.length) break;
      const start = from + lengths + left.readUInt32LE(from + 4);
      // A copy of its own begins at a multiple of 8.
      const bytes = new Uint8Array(end - start);
      bytes.set(left.subarray(start, end));
      yield { head: JSON.parse(left.toString("utf8", from + lengths, start)), bytes };
      from = end;
    }
    left = left.subarray(from);
  }
}

/**
 * A call that fails in the wasm files, made smaller while it fails there.
 * @param {string} program @param {Player} player @param {"simd" | "relaxed"} build @param {string} seed
 */
async function shrink(program, player, build, seed) {
  const child = spawn(program, ["shrink", seed], { stdio: ["pipe", "pipe", "inherit"] });
  for await (const { head, bytes } of records(child.stdout)) {
    if ("smallest" in head) return head.smallest;
    if ("arrays" in head) child.stdin.write((await player.playWith(build, head, bytes)) === undefined ? "0\n" : "1\n");
  }
  return "the fuzzer ended before the call was small";
}

/**
 * @param {string} program @param {{ seed: bigint, cases: bigint, seconds: number }} limits @param {boolean} onlyWasm @returns {Promise<Outcome>}
 */
async function play(program, { seed, cases, seconds }, onlyWasm) {
  // Node 20 has relaxed SIMD behind a flag.
  if (process.versions.node.startsWith("20.")) setFlagsFromString("--experimental-wasm-relaxed-simd");
  const { load } = await import(`${paths.dist}/index.js`);
  const player = await new Player().start(load);
  const child = spawn(program, [onlyWasm ? "records" : "serve", `${seed}`, `${cases}`, `${seconds}`], { stdio: ["ignore", "pipe", "inherit"] });
  const [start, lines] = [performance.now(), /** @type {string[]} */ ([])];
  let [done, failed, told, isWhole] = [0, 0, start, false];
  const rate = () => `${done} calls in ${((performance.now() - start) / 1000).toFixed(0)} s, ${failed} failed`;
  try {
    for await (const { head, bytes } of records(child.stdout)) {
      if ("calls" in head) isWhole = true;
      else done++;
      if ("failure" in head) {
        failed++;
        print(head.failure);
      }
      if ("arrays" in head) {
        const wrong = await player.play(head, bytes);
        if (wrong !== undefined) {
          failed++;
          const build = wrong.startsWith("simd") ? "simd" : "relaxed";
          print(`seed ${head.seed}: ${wrong}\n  ${await shrink(program, player, build, head.seed)}`);
        }
      }
      if (failed >= mostFailures) break;
      if (performance.now() - told > everyMs) {
        told = performance.now();
        print(rate());
      }
    }
  } finally {
    child.kill();
  }
  if (!isWhole && failed < mostFailures) {
    failed++;
    print(`the fuzzer ended after ${done} calls, without its last record`);
  }
  if (player.usedBytes !== 0) {
    failed++;
    print(`${player.usedBytes} bytes of the engines' memory are still in use after the calls`);
  }
  player.dispose();
  const each = player.builds.map((build) => `${build} ${player.made[build]}`);
  lines.push(`crate and wasm: ${rate()}; the wasm files made ${each.join(", ")}; seeds ${seed}..${seed + BigInt(done)}`);
  if (!player.builds.includes("relaxed")) lines.push("not run: relaxed, which this Node does not load");
  return { calls: done, failed, lines };
}

/** @param {string} program @param {{ seed: bigint, cases: bigint, seconds: number }} limits @returns {Promise<Outcome>} */
async function sanitize(program, { seed, cases, seconds }) {
  const { code, output } = await attempt(program, ["check", `${seed}`, `${cases}`, `${seconds}`], { show: true, name: "fuzz under AddressSanitizer" });
  const [, calls = "0", failed = "0"] = /^(\d+) calls, (\d+) failed$/m.exec(output) ?? [];
  const lines = [`AddressSanitizer: ${calls} calls, ${failed} failed`];
  return { calls: Number(calls), failed: Number(failed) + (code !== 0 && failed === "0" ? 1 : 0), lines };
}

/**
 * Builds what it needs of the fuzzer, and fuzzes; the package is built.
 * @param {{ minutes: number, seed: bigint, cases: bigint, sanitizes: boolean, onlyWasm?: boolean }} limits @returns {Promise<Outcome>}
 */
export async function fuzzed({ minutes, seed, cases, sanitizes, onlyWasm = false }) {
  const { cargo, env } = await findToolchain();
  const program = await build("fuzz", cargo, [], env);
  const sanitizer = sanitizes ? await buildSanitized() : { lacking: "`npm run fuzz` has it, where the crate is checked" };
  const seconds = Math.ceil(60 * minutes);
  const sanitizing = "program" in sanitizer ? Math.ceil(seconds * sanitized) : 0;
  const outcomes = [await play(program, { seed, cases, seconds: seconds - sanitizing }, onlyWasm)];
  if ("program" in sanitizer) outcomes.push(await sanitize(sanitizer.program, { seed, cases, seconds: sanitizing }));
  else outcomes.push({ calls: 0, failed: 0, lines: [`not run: AddressSanitizer: ${sanitizer.lacking}`] });
  /** @param {"calls" | "failed"} what */
  const sum = (what) => outcomes.reduce((total, outcome) => total + outcome[what], 0);
  return { calls: sum("calls"), failed: sum("failed"), lines: outcomes.flatMap(({ lines }) => lines) };
}

const usage = `usage: npm run fuzz -- [options]
  Draws whole calls at random, makes them in the crate and in each wasm file, and compares both with the definition.
  --minutes N   how long (default 2; with --cases until they are made)
  --seed N      the first call's seed (default: others every second)
  --cases N     how many calls (default: as many as there is time for)
  --only-wasm   give all the time to the wasm files; the crate is not checked itself`;

/** @param {readonly string[]} argv @returns {Promise<number>} the exit code */
export async function fuzz(argv) {
  const given = givenOptions(usage, ["minutes", "seed", "cases"], ["only-wasm"], argv);
  if (given === undefined) return 0;
  const minutes = Number(given["minutes"] ?? (given["cases"] === undefined ? 2 : 24 * 60));
  /** A whole number, or -1. @param {string | boolean} text */
  const whole = (text) => (/^\d+$/.test(`${text}`) ? BigInt(text) : -1n);
  // Another stretch of seeds every second.
  const seed = whole(given["seed"] ?? `${Math.floor(Date.now() / 1000)}000000`);
  const cases = whole(given["cases"] ?? `${2n ** 63n - 1n}`);
  if (!(minutes > 0) || cases < 1n || seed < 0n) throw new StepFailed(usage);
  const { setUp } = await import("./set-up.mjs");
  await setUp();
  const onlyWasm = given["only-wasm"] === true;
  const { failed, lines } = await fuzzed({ minutes, seed, cases, sanitizes: !onlyWasm, onlyWasm });
  for (const line of lines) print(line);
  return failed === 0 ? 0 : 1;
}
