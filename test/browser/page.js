// The page of pages.test.ts: loads the engine from the shipped files with the options in its address, uses it, and posts what happened.
const query = new URLSearchParams(location.search);
const options = JSON.parse(query.get("options") ?? "{}");
if (options.wasm !== undefined) options.wasm = new URL(options.wasm, location.href);

// Minutes in the page pass in seconds here.
const hurry = Number(query.get("hurry") ?? 1);
const { setTimeout: wait } = globalThis;
globalThis.setTimeout = (use, ms = 0, ...rest) => wait(use, ms / hurry, ...rest);

const violations = [];
document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => violations.push(`${effectiveDirective} ${blockedURI}`));

async function use() {
  const { load } = await import(query.get("module") ?? "./index.js");
  const start = performance.now();
  const xent = await load(options);
  const loadMs = performance.now() - start;
  const logits = xent.tensor("f32", [512, 4096]);
  const labels = xent.tensor("i32", [512]);
  const sync = xent.crossEntropy(logits, labels).loss;
  const { loss, grad } = await xent.crossEntropyAsync(logits, labels, { grad: true });
  const isWindow = grad.view.buffer === logits.view.buffer;
  const { info } = xent;
  await xent.dispose();
  return { info, losses: [sync, loss], isWindow, loadMs };
}

const outcome = await use().catch((error) => ({ error: { name: error.name, code: error.code, message: error.message } }));
// A violation is told in a task of its own.
await new Promise((resolve) => wait(resolve, 100));
await fetch("report", { method: "POST", body: JSON.stringify({ ...outcome, violations, crossOriginIsolated }) });
