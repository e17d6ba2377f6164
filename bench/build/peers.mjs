// What `npm run bench:peers` compares the package with: npm packages of bench/peers, and on request Python packages in target/peers-venv. Neither is part
// of any other set-up.
import process from "node:process";
import { forget, isFresh, keyOf, remember } from "../../ts/build/fresh.mjs";
import { installApart } from "../../ts/build/packages.mjs";
import { paths, root } from "../../ts/build/project.mjs";
import { run, step } from "../../ts/build/report.mjs";

const folder = "bench/peers";
const requirements = `${folder}/requirements.txt`;
const venv = `${paths.target}/peers-venv`;
const python = `${venv}/${process.platform === "win32" ? "Scripts/python.exe" : "bin/python"}`;

/** A peer that cannot be installed is one that the bench names as absent. */
export const installPeers = () => installApart("bench peers", `${root}/${folder}`);

/** The Python packages, of several gigabytes on Linux: only if asked for. */
export async function installPythonPeers() {
  const key = keyOf([requirements]);
  if (isFresh("peers-venv", key, [python])) return;
  forget("peers-venv");
  await step("Python peers", async () => {
    await run(process.platform === "win32" ? "python" : "python3", ["-m", "venv", venv], { name: "python venv" });
    await run(python, ["-m", "pip", "install", "--disable-pip-version-check", "-r", `${root}/${requirements}`], { name: "pip install" });
  });
  remember("peers-venv", key);
}
