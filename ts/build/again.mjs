// `npm run build -- --twice`: builds a copy of the sources in another folder and compares what comes out, byte by byte. What ships must not depend on where
// it was built.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { paths, root } from "./project.mjs";
import { run, say } from "./report.mjs";
import { sha256 } from "./sizes.mjs";

/** Made here, and made again there. */
const made = new Set([".git", "dist", "target", "node_modules"]);

/** @param {string} folder @returns {Map<string, string>} the digest of every file */
const digests = (folder) =>
  new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => /** @type {const} */ ([path.slice(folder.length + 1), sha256(path)]))
      .sort(([one], [other]) => (one < other ? -1 : 1)),
  );

/** Compares dist/, which is up to date, with that of a copy. @returns {Promise<number>} the exit code */
export async function buildAgain() {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "a-longer-name-than-here-")));
  try {
    const copy = join(folder, "sparse-xent");
    cpSync(root, copy, { recursive: true, filter: (path) => !made.has(path.slice(path.lastIndexOf("/") + 1)) });
    // The tools are pinned, and are not what is built.
    if (existsSync(paths.tools)) {
      mkdirSync(join(copy, "target"));
      symlinkSync(paths.tools, join(copy, "target", "tools"));
    }
    await run(process.execPath, [join(copy, "ts/build/run.mjs"), "build"], { cwd: copy, name: "build in another folder" });
    const [here, there] = [digests(paths.dist), digests(join(copy, "dist"))];
    const names = [...new Set([...here.keys(), ...there.keys()])];
    const different = names.filter((name) => here.get(name) !== there.get(name));
    for (const name of different) say(`${name}: ${here.get(name) ?? "absent"} here, ${there.get(name) ?? "absent"} in ${copy}`);
    say(different.length === 0 ? `the same ${names.length} files in both folders` : `${different.length} of ${names.length} files differ`);
    return different.length === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
