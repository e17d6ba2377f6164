// The browsers the tests run in: which there are, and on Debian as root what brings those that are missing. They come from the system's own packages
// only, never from a download of a test tool. Imports Node built-ins and its neighbours only.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import process from "node:process";
import { attempt, say, step } from "./report.mjs";

/** @typedef {{ program: string, miniBrowser?: string, xvfb?: string }} Browser paths of what starts it */

const folders = [...new Set([...(process.env["PATH"] ?? "").split(":"), "/usr/bin"])].filter((folder) => folder !== "");

/** The first of these programs that there is. @param {readonly string[]} names @returns {string | undefined} */
const onPath = (names) => names.flatMap((name) => folders.map((folder) => `${folder}/${name}`)).find((path) => existsSync(path));

/** The small browser that comes with WebKitGTK lies in a folder of libraries. @returns {string | undefined} */
function miniBrowser() {
  const lib = "/usr/lib";
  const under = existsSync(lib) ? readdirSync(lib).map((entry) => `${lib}/${entry}`) : [];
  const paths = [lib, "/usr/libexec", ...under].flatMap((folder) => ["4.1", "4.0"].map((api) => `${folder}/webkit2gtk-${api}/MiniBrowser`));
  return paths.find((path) => existsSync(path));
}

/**
 * Every browser by the name its tests have: what finds it, the programs it needs, and the Debian packages they are in.
 * @type {Readonly<Record<"chromium" | "firefox" | "webkit", { packages: readonly string[], needs: string, find: () => Browser | undefined }>>}
 */
const known = {
  chromium: {
    packages: ["chromium"],
    needs: "chromium, chromium-browser or google-chrome",
    find() {
      const program = onPath(["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]);
      return program === undefined ? undefined : { program };
    },
  },
  firefox: {
    packages: ["firefox-esr"],
    needs: "firefox-esr or firefox",
    find() {
      const program = onPath(["firefox-esr", "firefox"]);
      return program === undefined ? undefined : { program };
    },
  },
  webkit: {
    packages: ["webkit2gtk-driver", "xvfb"],
    needs: "WebKitWebDriver with WebKitGTK's MiniBrowser, and Xvfb",
    find() {
      const [program, mini, xvfb] = [onPath(["WebKitWebDriver"]), miniBrowser(), onPath(["Xvfb"])];
      return program === undefined || mini === undefined || xvfb === undefined ? undefined : { program, miniBrowser: mini, xvfb };
    },
  },
};

/** @typedef {keyof typeof known} BrowserName */

export const browserNames = /** @type {readonly BrowserName[]} */ (Object.keys(known));

/** @param {BrowserName} name @returns {Browser | undefined} */
export const findBrowser = (name) => known[name].find();

/** What to say of a browser that is not there. @param {BrowserName} name */
export const lacking = (name) => `no ${known[name].needs} here; Debian: apt-get install ${known[name].packages.join(" ")}`;

function isDebian() {
  const release = "/etc/os-release";
  return existsSync("/usr/bin/apt-get") && existsSync(release) && /^ID=debian$/m.test(readFileSync(release, "utf8"));
}

/** Brings the browsers that are missing, where one command does and it is ours to give. What stays missing is named by the tests as not run. */
export async function installBrowsers() {
  const missing = browserNames.filter((name) => findBrowser(name) === undefined);
  if (missing.length === 0 || process.getuid?.() !== 0 || !isDebian()) return;
  const packages = missing.flatMap((name) => known[name].packages);
  say(`installing Debian packages for the browser tests: ${packages.join(" ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await step("browsers", async () => {
    await attempt("apt-get", ["update", "-qq"], { env, name: "apt-get update" });
    // One by one: a package that cannot be had does not keep the others away.
    for (const name of missing) {
      const args = ["install", "-y", "-qq", "--no-install-recommends", "--no-remove", ...known[name].packages];
      const { code, output } = await attempt("apt-get", args, { env, name: `apt-get install ${name}` });
      if (code !== 0) say(`apt-get ${args.join(" ")}: ${output.trim().split("\n").at(-1)}`);
    }
  }, () => browserNames.filter((name) => findBrowser(name) !== undefined).join(", "));
}
