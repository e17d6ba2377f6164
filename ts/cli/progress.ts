// A bar on standard error while a long input is read. Off a terminal there is none: logs stay clean.

import cliProgress from "cli-progress";

/** Hears how many rows are done. */
export interface Progress {
  rows(done: number): void;
  stop(): void;
}

// Below this a run is over before a bar could be read.
const longBytes = 256 * 2 ** 20;

/** A bar for an input of so many rows and bytes, or nothing where nobody would see it. */
export function progressFor(rows: number, bytes: number, stream: NodeJS.WriteStream): Progress {
  if (stream.isTTY !== true || bytes < longBytes) return { rows: () => undefined, stop: () => undefined };
  const bar = new cliProgress.SingleBar({
    format: "scoring {bar} {percentage} % of {total} rows, {eta_formatted} left",
    stream,
    clearOnComplete: true,
    hideCursor: true,
  }, cliProgress.Presets.rect);
  bar.start(rows, 0);
  return { rows: (done) => bar.update(done), stop: () => bar.stop() };
}
