// One vitest project per browser that is here and way to serve it: with the two isolation headers ("isolated") and without ("plain"). Runs in Node, as
// part of the configuration.
import { fileURLToPath } from "node:url";
import { defineBrowserProvider } from "@vitest/browser";
import { playwright } from "@vitest/browser-playwright";
import type { TestProjectInlineConfiguration } from "vitest/config";
import { adapters } from "../../ts/build/project.mjs";
import { browserNames, findBrowser, type BrowserName } from "../../ts/build/browsers.mjs";
import { chromiumArgs, startBrowser, webkitFlags, type Driver } from "./drivers.ts";
import { isolation } from "./site.ts";

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
/** Tests that open pages from outside. */
const inNode = ["test/browser/{pages,bundlers,inline,live,cdn}.test.ts"];

/** Drives a browser that vitest has no provider for. */
function driven(name: BrowserName, flags: Readonly<Record<string, string>>) {
  return defineBrowserProvider({
    name,
    providerFactory() {
      let driver: Promise<Driver> | undefined;
      return {
        name,
        supportsParallelism: false,
        getCommandsContext: () => ({}),
        async openPage(_session, url) {
          driver ??= startBrowser(name, flags);
          await (await driver).open(url);
        },
        close: async () => (await driver)?.close(),
      };
    },
  });
}

/** The projects of all browsers that are here. `include` are the files that run in them. */
export function browserProjects(include: readonly string[]): TestProjectInlineConfiguration[] {
  const project = (name: BrowserName, kind: string, headers: boolean, flags = {}): TestProjectInlineConfiguration[] => {
    const found = findBrowser(name);
    if (found === undefined) return [];
    const launchOptions = { executablePath: found.program, args: [...chromiumArgs] };
    return [
      {
        // The built file itself, as a page would load it.
        // The longer names first: an alias stands for what begins with it, too.
        resolve: { alias: { ...Object.fromEntries(adapters.map((entry) => [`sparse-xent/${entry}`, file(`dist/${entry}.js`)])), "sparse-xent": file("dist/index.js") } },
        // WebKit's parser has no `using`.
        oxc: { target: "es2022" },
        server: headers ? { headers: isolation } : {},
        optimizeDeps: { noDiscovery: true },
        test: {
          name: `${name}-${kind}`,
          include: [...include],
          exclude: [...inNode],
          provide: { host: { browser: name, headers, canBlock: false } },
          // The longest takes a sixth of this where other programs have the processors too; what takes all of it hangs.
          testTimeout: 60_000,
          hookTimeout: 60_000,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            instances: [{ browser: name }],
            provider: name === "chromium" ? playwright({ launchOptions }) : driven(name, flags),
          },
        },
      },
    ];
  };
  /** Pages served in many ways, opened by a test in Node. */
  const pages = (name: BrowserName): TestProjectInlineConfiguration[] => {
    if (findBrowser(name) === undefined) return [];
    const provide = { host: { browser: name, headers: true, canBlock: false } };
    return [{ test: { name: `${name}-pages`, include: [...inNode], provide, pool: "forks", hookTimeout: 90_000 } }];
  };
  return [
    ...browserNames.flatMap(pages),
    ...project("chromium", "isolated", true),
    ...project("chromium", "plain", false),
    ...project("firefox", "isolated", true),
    ...project("firefox", "plain", false),
    ...project("webkit", "isolated", true, webkitFlags),
    // As Debian builds it, the flag says isolated, and there is no SharedArrayBuffer.
    ...project("webkit", "as-shipped", true),
  ];
}
