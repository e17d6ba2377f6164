// `npm test`: brings dist/ up to date, runs the Rust tests with the user's own toolchain and the TypeScript tests on every Node and in every browser
// there is, and ends with one line of totals. `npm test -- words` runs only the TypeScript test files whose names contain a word, on this Node.
import { existsSync, readFileSync, rmSync } from "node:fs";
import process from "node:process";
import { browserNames, findBrowser, installBrowsers, lacking } from "./browsers.mjs";
import { buildNaive } from "../../bench/build/naive.mjs";
import { buildNative } from "../../bench/build/native.mjs";
import { fuzzed } from "./fuzz.mjs";
import { installHosts, installNodes, installRuntimes } from "./packages.mjs";
import { buildPage, installPage } from "../page/build.mjs";
import { paths, root } from "./project.mjs";
import { attempt } from "./report.mjs";
import { setUp } from "./set-up.mjs";
import { buildFaultsWasm } from "./wasm.mjs";

/**
 * @typedef {object} Outcome
 * @property {string} name
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {string[]} titles of what was skipped
 * @property {boolean} [lost] no test failed, and a browser's page was gone before its tests had ended
 */

/** @param {string} line */
const print = (line) => void process.stdout.write(`${line}\n`);

/** @returns {Promise<Outcome>} */
async function cargoTest() {
  print("\n== cargo test");
  const { code, output } = await attempt("cargo", ["test", "--locked", "--no-fail-fast"], { show: true, name: "cargo test" });
  const results = [...output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm)];
  /** @param {1 | 2} column */
  const sum = (column) => results.reduce((total, result) => total + Number(result[column]), 0);
  const failed = sum(2);
  const titles = [...output.matchAll(/^test (.+) \.\.\. ignored(.*)$/gm)].map(([, name, reason]) => `${name}${reason}`);
  // Rust that does not compile fails without counting a test.
  return { name: "cargo", passed: sum(1), failed: code !== 0 && failed === 0 ? 1 : failed, skipped: titles.length, titles };
}

const fuzzMinutes = 2;
/** The same calls each time, so that what is red is red because of a change; `npm run fuzz` draws others. */
const fuzzSeed = 500_000_000n;

/** Some of `npm run fuzz`. @returns {Promise<Outcome>} */
async function fuzzTest() {
  print("\n== fuzz");
  const { failed, lines } = await fuzzed({ minutes: fuzzMinutes, seed: fuzzSeed, cases: 2n ** 63n - 1n, sanitizes: false });
  for (const line of lines) print(line);
  const titles = lines.filter((line) => line.startsWith("not run: ")).map((line) => line.slice("not run: ".length));
  return { name: "fuzz", passed: failed === 0 ? 1 : 0, failed, skipped: titles.length, titles };
}

// What vitest prints when a page is gone early: the browser has ended it, or has cut its connections. WebKit does that once in dozens of runs.
const lostPage = "Browser connection was closed while running tests";

// A run of all files takes a tenth of this on a slow machine. A page that waits where it must not hangs, and its browser with it.
const vitestLimitMs = 900_000;

/**
 * @param {string} name for the reader
 * @param {string} node the binary
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Outcome>}
 */
async function vitest(name, node, args, env = process.env) {
  print(`\n== vitest on ${name}`);
  const report = `${paths.target}/vitest-report.json`;
  rmSync(report, { force: true });
  const all = [`${root}/node_modules/vitest/vitest.mjs`, "run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...args];
  const { code, output } = await attempt(node, all, { show: true, env, name: `vitest on ${name}`, timeoutMs: vitestLimitMs });
  if (!existsSync(report)) {
    print(`vitest on ${name} ended with exit code ${code} and no report; the limit is ${vitestLimitMs / 1000} s`);
    return { name, passed: 0, failed: 1, skipped: 0, titles: [] };
  }
  /** @type {{ numPassedTests: number, numFailedTests: number, testResults: { assertionResults: Assertion[] }[] }} */
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, "utf8"));
  const skipped = testResults.flatMap((file) => file.assertionResults).filter(({ status }) => status !== "passed" && status !== "failed");
  return {
    name,
    passed: numPassedTests,
    // A file that cannot be loaded, or an error outside every test, fails without counting a test.
    failed: code !== 0 && numFailedTests === 0 ? 1 : numFailedTests,
    skipped: skipped.length,
    titles: titlesOf(skipped),
    lost: numFailedTests === 0 && output.includes(lostPage),
  };
}

/** @typedef {{ status: string, fullName: string, ancestorTitles: string[] }} Assertion */

const mostTitles = 5;

/** Titles of tests; a group of many has one line. @param {readonly Assertion[]} tests @returns {string[]} */
function titlesOf(tests) {
  /** @type {Map<string, Set<string>>} */
  const groups = new Map();
  for (const { fullName, ancestorTitles } of tests) {
    const group = ancestorTitles.join(" ");
    groups.set(group, (groups.get(group) ?? new Set()).add(fullName));
  }
  return [...groups].flatMap(([group, names]) => (group !== "" && names.size > mostTitles ? [`${group}: ${names.size} tests`] : [...names]));
}

/** The binaries in test/nodes of other major versions than this process's. @returns {{ name: string, path: string }[]} */
function otherNodes() {
  const own = `node-${process.versions.node.split(".")[0]}`;
  const { optionalDependencies } = JSON.parse(readFileSync(`${paths.testNodes}/package.json`, "utf8"));
  return Object.keys(optionalDependencies)
    .filter((name) => name !== own)
    .map((name) => ({ name, path: `${paths.testNodes}/node_modules/${name}/bin/node` }));
}

/** The projects of vitest.config.ts that need no browser. */
const onNode = ["node", "relaxed", "worker"].map((project) => `--project=${project}`);

/** The browser's name, with its version if its program tells. @param {string} name @param {string} program */
async function versioned(name, program) {
  const { output } = await attempt(program, ["--version"], { name });
  const [version] = /\d+(\.\d+)+/.exec(output) ?? [];
  return version === undefined ? name : `${name}-${version}`;
}

/**
 * All tests of a browser. A browser that loses a page gets one more run, which alone counts: a page that a test ends is lost again.
 * @param {string} name
 * @param {string} program
 * @param {string[]} notes of what a reader should know
 */
async function browserTest(name, program, notes) {
  const title = await versioned(name, program);
  const run = () => vitest(title, process.execPath, [`--project=${name}-*`]);
  const first = await run();
  if (first.lost !== true) return first;
  notes.push(`run twice: ${title}: a page was gone before its tests had ended`);
  return run();
}

/** @param {readonly string[]} filters @returns {Promise<number>} the exit code */
export async function test(filters) {
  await setUp();
  await buildFaultsWasm();
  await buildNaive();
  if (filters.length === 0 || filters.some((words) => "test/bench.test.ts".includes(words))) await buildNative();
  await installNodes(paths.testNodes);
  await installRuntimes(paths.testRuntimes);
  await installHosts(paths.testHosts);
  /** @type {Outcome[]} */
  const outcomes = [];
  /** @type {string[]} */
  const absent = [];
  /** @type {string[]} */
  const notes = [];
  if (filters.length === 0) {
    await installBrowsers();
    if (await installPage()) await buildPage();
    else absent.push("the live page: its npm packages are not here");
  }
  if (filters.length === 0) outcomes.push(await cargoTest());
  else absent.push("cargo test: a filter names vitest files");
  if (filters.length === 0) outcomes.push(await fuzzTest());
  else absent.push("fuzz: a filter names vitest files");
  outcomes.push(await vitest(`node-${process.versions.node}`, process.execPath, [...onNode, ...filters]));
  for (const { name, path } of otherNodes()) {
    if (filters.length > 0) absent.push(`${name}: a filter runs on this Node only`);
    else if (existsSync(path)) outcomes.push(await vitest(name, path, onNode, { ...process.env, SPARSE_XENT_TESTS: "engine" }));
    else absent.push(`${name}: its npm package is not here (no network, or none for ${process.platform}-${process.arch})`);
  }
  for (const name of browserNames) {
    const browser = findBrowser(name);
    if (filters.length > 0) absent.push(`${name}: a filter runs on Node only`);
    else if (browser === undefined) absent.push(`${name}: ${lacking(name)}`);
    else outcomes.push(await browserTest(name, browser.program, notes));
  }

  print("");
  for (const { name, passed, failed, skipped } of outcomes) print(`${name.padEnd(24)} ${passed} passed, ${failed} failed, ${skipped} skipped`);
  for (const line of absent) print(`not run: ${line}`);
  for (const line of notes) print(line);
  for (const { name, titles } of outcomes) for (const title of titles) print(`skipped: ${name}: ${title}`);
  /** @param {(outcome: Outcome) => number} count */
  const total = (count) => outcomes.reduce((sum, outcome) => sum + count(outcome), 0);
  const passed = total((outcome) => outcome.passed);
  const failed = total((outcome) => outcome.failed);
  print(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}
