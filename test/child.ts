// Runs a script in a Node process of its own, so that a wrong wait is a failure and not a hang of the tests. Imports Node built-ins only.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** How a process ended. */
export interface Ended {
  /** Exit code; null when the time limit ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const project = fileURLToPath(new URL("..", import.meta.url));

/**
 * Runs a script in the project's folder, where `sparse-xent` is the built package.
 *
 * @param node what starts Node: path and flags
 * @param script its text: an ES module, or CommonJS when it does not import
 * @param limitMs after this it is killed
 */
export function runScript(node: { readonly path: string; readonly flags: readonly string[] }, script: string, limitMs = 20_000): Promise<Ended> {
  const type = /^import /m.test(script) ? "module" : "commonjs";
  return new Promise((resolve, reject) => {
    const child = spawn(node.path, [...node.flags, `--input-type=${type}`, "--eval", script], {
      cwd: project,
      // Flags for the tests' own process are none of the script's.
      env: { ...process.env, NODE_OPTIONS: "" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const killer = setTimeout(() => child.kill("SIGKILL"), limitMs);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => void (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => void (stderr += text));
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(killer);
      resolve({ code, stdout, stderr });
    });
  });
}
