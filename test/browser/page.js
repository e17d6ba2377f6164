// The page of pages.test.ts: loads the engine from the shipped files with the options in its address, uses it, and posts what happened.
import { use } from "./page.use.js";

const query = new URLSearchParams(location.search);
const options = JSON.parse(query.get("options") ?? "{}");
if (options.wasm !== undefined) options.wasm = new URL(options.wasm, location.href);

// Minutes in the page pass in seconds here.
const hurry = Number(query.get("hurry") ?? 1);
const { setTimeout: wait } = globalThis;
globalThis.setTimeout = (use, ms = 0, ...rest) => wait(use, ms / hurry, ...rest);

const violations = [];
document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => violations.push(`${effectiveDirective} ${blockedURI}`));

/** The same in a service worker. */
async function useInServiceWorker() {
  const answer = new Promise((resolve) => navigator.serviceWorker.addEventListener("message", ({ data }) => resolve(data)));
  const { installing, waiting, active } = await navigator.serviceWorker.register("page.service.js", { type: "module" });
  (installing ?? waiting ?? active).postMessage(options);
  return answer;
}

const run = query.has("service") ? useInServiceWorker() : import(query.get("module") ?? "./index.js").then(({ load }) => use(load, options));
const outcome = await run.catch((error) => ({ error: { name: error.name, code: error.code, message: error.message } }));
// A violation is told in a task of its own.
await new Promise((resolve) => wait(resolve, 100));
await fetch("report", { method: "POST", body: JSON.stringify({ ...outcome, violations }) });
