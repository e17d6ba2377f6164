// Says what is going on: a line that rewrites itself on a terminal, elsewhere a line when the subject changes. Imports Node built-ins only.
import process from "node:process";

const quietMs = 10_000;

/** Progress goes to standard error, results to standard output; on a terminal the one makes room for the other. */
export function progress() {
  const stream = process.stderr;
  let subject = "";
  let last = 0;
  const clear = () => void (stream.isTTY && stream.write("\r\x1b[2K"));
  return {
    /** @param {string} text `subject: detail` */
    say(text) {
      if (stream.isTTY) {
        stream.write(`\r\x1b[2K${text.slice(0, (stream.columns ?? 80) - 1)}`);
        return;
      }
      const now = performance.now();
      const [about = ""] = text.split(":");
      if (about === subject && now - last < quietMs) return;
      [subject, last] = [about, now];
      stream.write(`... ${text}\n`);
    },
    /** @param {string} text */
    print(text) {
      clear();
      console.log(text);
    },
    end: clear,
  };
}
