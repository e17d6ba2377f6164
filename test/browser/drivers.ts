// Starts the browsers of this machine and opens pages in them; what a page finds it reports by itself. Each browser is driven by what it speaks:
// Chromium by playwright, Firefox by Marionette, WebKitGTK by the WebDriver that comes with it. Runs in Node.
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { findBrowser, lacking, type Browser, type BrowserName } from "../../ts/build/browsers.mjs";
import { Marionette } from "./marionette.ts";

/** A running browser. */
export interface Driver {
  /** Shows a page in a tab of its own, or where there is one tab only, in that. Resolves when the page has been asked for. */
  open(url: string): Promise<void>;
  close(): Promise<void>;
}

/** What Safari has, this WebKit has behind switches. */
export const webkitFlags = { JSC_useSharedArrayBuffer: "1", JSC_useWasmRelaxedSIMD: "1" };

const startLimitMs = 60_000;

/** Whatever waits for a browser gives up: a wrong wait shows as a hang. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const late = sleep(ms, undefined, { signal: timer.signal, ref: true }).then(() => {
    throw new Error(`${what} took more than ${ms} ms`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

// A browser's own sandbox needs rights that root in a container does not have.
const isRoot = process.getuid?.() === 0;
export const chromiumArgs: readonly string[] = isRoot ? ["--no-sandbox"] : [];
const firefoxPrefs = isRoot ? { "security.sandbox.content.level": 0, "dom.ipc.forkserver.enable": false } : {};

async function startChromium({ program }: Browser): Promise<Driver> {
  const { chromium } = await import("playwright");
  const browser = await chromium.launch({ executablePath: program, args: [...chromiumArgs] });
  return {
    open: async (url) => void (await (await browser.newPage()).goto(url, { waitUntil: "commit" })),
    close: () => browser.close(),
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Starts a program that ends with this process, and with it what it has started itself: both are one process group. */
function spawnGroup(program: string, args: readonly string[], env: NodeJS.ProcessEnv): { child: ChildProcessByStdio<null, Readable, null>; end: () => Promise<void> } {
  const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "ignore"], detached: true });
  child.stdout.resume();
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // Gone already.
    }
  };
  const signalled = (signal: NodeJS.Signals): void => {
    kill();
    process.kill(process.pid, signal);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.once(signal, signalled);
  process.once("exit", kill);
  const end = async (): Promise<void> => {
    for (const signal of signals) process.off(signal, signalled);
    process.off("exit", kill);
    const exited = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
    kill();
    await exited;
  };
  return { child, end };
}

async function startFirefox({ program }: Browser): Promise<Driver> {
  const profile = mkdtempSync(join(tmpdir(), "firefox-"));
  // It chooses its port and writes it into its profile.
  const prefs = Object.entries({ ...firefoxPrefs, "marionette.port": 0 });
  writeFileSync(join(profile, "user.js"), prefs.map(([name, value]) => `user_pref("${name}", ${value});\n`).join(""));
  const firefox = spawnGroup(program, ["--headless", "--marionette", "--profile", profile], process.env);
  const end = async (): Promise<void> => {
    await firefox.end();
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };
  const port = (): number => {
    try {
      return Number(readFileSync(join(profile, "MarionetteActivePort"), "utf8"));
    } catch {
      return 0;
    }
  };
  try {
    while (port() === 0) {
      if (firefox.child.exitCode !== null) throw new Error(`${program} ended with ${firefox.child.exitCode}`);
      await sleep(50);
    }
    const marionette = await Marionette.connect(port());
    return {
      open: (url) => marionette.open(url),
      close: async () => {
        marionette.close();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

async function startWebkit({ program, miniBrowser = "", xvfb = "" }: Browser, flags: Readonly<Record<string, string>>): Promise<Driver> {
  // A screen nobody looks at; it says its number.
  const screen = spawnGroup(xvfb, ["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"], process.env);
  const [number] = (await once(screen.child.stdout, "data")) as [Buffer];
  const port = await freePort();
  const container = isRoot ? { WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1" } : {};
  const env = { ...process.env, ...flags, ...container, DISPLAY: `:${number.toString().trim()}`, LIBGL_ALWAYS_SOFTWARE: "1" };
  const driver = spawnGroup(program, [`--port=${port}`], env);
  /** The plain WebDriver protocol. */
  const ask = async (method: string, path: string, body?: object): Promise<{ value: { sessionId: string } }> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, ...(body && { body: JSON.stringify(body) }) });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${answer}`);
    return JSON.parse(answer) as { value: { sessionId: string } };
  };
  const end = async (): Promise<void> => {
    await driver.end();
    await screen.end();
  };
  const capabilities = { alwaysMatch: { "webkitgtk:browserOptions": { binary: miniBrowser, args: ["--automation"] } } };
  try {
    // The driver has no sign of being ready but that it answers.
    while (!(await fetch(`http://127.0.0.1:${port}/status`).then(({ ok }) => ok, () => false))) await sleep(50);
    const { sessionId } = (await ask("POST", "/session", { capabilities })).value;
    return {
      open: async (url) => void (await ask("POST", `/session/${sessionId}/url`, { url })),
      close: async () => {
        await ask("DELETE", `/session/${sessionId}`).catch(() => {});
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Starts a browser. `flags` are environment variables that switch features of WebKit on. */
export function startBrowser(name: BrowserName, flags: Readonly<Record<string, string>> = {}): Promise<Driver> {
  const found = findBrowser(name);
  if (found === undefined) throw new Error(lacking(name));
  const start = { chromium: startChromium, firefox: startFirefox, webkit: startWebkit }[name];
  return within(startLimitMs, `starting ${name}`, start(found, flags));
}
