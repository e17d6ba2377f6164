// The package as users get it: packed, and installed into an empty folder without the network. Imports Node built-ins only.
import { execFile } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));

/** A folder of a user's. */
export interface Consumer {
  /** Absolute, without a slash at the end. */
  readonly folder: string;
  /** Where the package lies in it. */
  readonly installed: string;
  /** The packed file. */
  readonly tarball: string;
  /** What is in it. */
  readonly files: readonly string[];
  remove(): void;
}

/** An empty folder with the packed package installed. */
export async function consumer(): Promise<Consumer> {
  const folder = mkdtempSync(`${realpathSync(tmpdir())}/sparse-xent-consumer-`);
  // --ignore-scripts: the files under test are the built ones; packing must not build them again.
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], { cwd: root });
  const [packed] = JSON.parse(stdout) as { filename: string; files: { path: string }[] }[];
  const tarball = `${folder}/${packed?.filename}`;
  writeFileSync(`${folder}/package.json`, JSON.stringify({ private: true, type: "module" }));
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], { cwd: folder });
  return {
    folder,
    installed: `${folder}/node_modules/sparse-xent`,
    tarball,
    files: (packed?.files ?? []).map(({ path }) => path),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
