// Starts the peers' processes. May import peers and child.
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Child, PeerFailed } from "./child.mjs";

/** @typedef {import("./peers.mjs").Peer} Peer */

/** @param {string} path */
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Where `npm run bench:peers -- --install` puts the Python peers. */
export const ownPython = here(`../../target/peers-venv/${process.platform === "win32" ? "Scripts/python.exe" : "bin/python"}`);

// Read by OpenMP, MKL and XLA when they start, so that one thread means one wherever a library looks.
/** @param {number} threads */
const threadSettings = (threads) => ({ OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads), PYTHONDONTWRITEBYTECODE: "1" });

/**
 * A process of a peer, ready for jobs.
 * @param {Peer} peer @param {number} threads @param {string} python
 * @throws {PeerFailed} with the reason if it is not here
 */
export function start({ name, runtime, adapter }, threads, python) {
  const args = [adapter, String(threads)];
  const label = `${name} t${threads}`;
  if (runtime === "node") return Child.start(label, process.execPath, [here("serve/main.mjs"), ...args], process.env);
  if (!existsSync(python)) throw new PeerFailed(`no Python at ${python}; --install brings one up, --python names another`);
  return Child.start(label, python, [here("python/serve.py"), ...args], { ...process.env, ...threadSettings(threads) });
}
