// `npm run soak`: calls of all kinds for a while, in Node and then in Chromium, while memory, threads and descriptors are watched: none may grow.
// `-- --minutes 60` takes as long in each.
import process from "node:process";
import { givenOptions } from "./arguments.mjs";
import { findBrowser, lacking } from "./browsers.mjs";
import { root } from "./project.mjs";
import { attempt, say } from "./report.mjs";
import { setUp } from "./set-up.mjs";

const defaultMinutes = "10";

const usage = `usage: npm run soak -- [--minutes N]
  Calls of all kinds in Node and then in Chromium, for so many minutes (default ${defaultMinutes}) in each; fails where memory, threads or descriptors grow.`;

/** @param {readonly string[]} argv @returns {Promise<number>} the exit code */
export async function soak(argv) {
  const given = givenOptions(usage, ["minutes"], [], argv);
  if (given === undefined) return 0;
  const wish = given["minutes"] ?? defaultMinutes;
  const minutes = Number(wish);
  if (!(minutes > 0)) {
    say(`minutes got ${wish}, expected a number above 0`);
    return 2;
  }
  await setUp();
  const milliseconds = String(minutes * 60_000);
  const chromium = findBrowser("chromium");
  const runs = [
    { name: `node-${process.versions.node}`, args: ["--expose-gc", `${root}/test/soak/node.mjs`, milliseconds] },
    ...(chromium === undefined ? [] : [{ name: "chromium", args: [`${root}/test/soak/chromium.mjs`, milliseconds, chromium.program] }]),
  ];
  let failed = 0;
  for (const { name, args } of runs) {
    say(`\n== ${name}, ${minutes} minutes`);
    const { code } = await attempt(process.execPath, args, { show: true, name: `soak in ${name}`, timeoutMs: minutes * 60_000 + 120_000 });
    if (code !== 0) failed += 1;
  }
  if (chromium === undefined) say(`not run: chromium: ${lacking("chromium")}`);
  say(`soak: ${runs.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}
