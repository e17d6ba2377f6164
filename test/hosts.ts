// The libraries that the adapters are for, as the packages in test/hosts bring them (put there by `npm test`). Those that are not here are named in the titles of the
// tests that are skipped for it. Imports Node built-ins only.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = new URL("./hosts/", import.meta.url);
const { dependencies: versions } = JSON.parse(readFileSync(new URL("package.json", folder), "utf8")) as { dependencies: Record<string, string> };

/** A library. */
export interface Host {
  /** Its name and version, and what is missing if it is not here: for test titles. */
  readonly title: string;
  readonly isHere: boolean;
  readonly version: string;
}

/** A package of test/hosts. */
export function host(name: string): Host {
  const isHere = existsSync(fileURLToPath(new URL(`node_modules/${name}/package.json`, folder)));
  const version = versions[name] ?? "";
  return { title: `${name} ${version}${isHere ? "" : ", whose npm package is not here"}`, isHere, version };
}

/** A module of test/hosts, which finds those packages. Types are left out: without the packages there are none. */
export const moduleOfHosts = (name: string): Promise<any> => import(new URL(`${name}.mjs`, folder).href);
