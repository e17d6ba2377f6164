// Deno and Bun, as the packages in test/runtimes bring them (put there by `npm test`). One that is not here stays in the list without a command, so that
// a test over `runtimes` names it as skipped. Imports Node built-ins only.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A runtime that answers as Node does. */
export interface Runtime {
  /** `bun 1.4.5`, and what is missing if it is not here: for test titles. */
  readonly name: string;
  /** What to put before a script's path; undefined when it is not here. Scripts get no permission that is not asked for by default. */
  readonly command: readonly [string, ...string[]] | undefined;
}

const folder = fileURLToPath(new URL("./runtimes/", import.meta.url));
const { optionalDependencies: versions } = JSON.parse(readFileSync(`${folder}package.json`, "utf8")) as { optionalDependencies: Record<string, string> };

/** The binary of this system's own package: the scripts that would copy it elsewhere are not run. */
function binary(scope: string, path: string): string | undefined {
  const packages = `${folder}node_modules/${scope}`;
  const candidates = existsSync(packages) ? readdirSync(packages).map((name) => `${packages}/${name}/${path}`) : [];
  return candidates.find((candidate) => existsSync(candidate));
}

function runtime(name: string, path: string | undefined, args: readonly string[]): Runtime {
  const title = `${name} ${versions[name]}`;
  return path === undefined ? { name: `${title}, whose npm package is not here`, command: undefined } : { name: title, command: [path, ...args] };
}

export const runtimes: readonly Runtime[] = [
  runtime("bun", binary("@oven", "bin/bun"), ["run"]),
  runtime("deno", binary("@deno", "deno"), ["run", "--no-remote", "--no-prompt", "--allow-read"]),
];
