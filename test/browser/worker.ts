// A worker of the page's own, which loads an engine and calls it synchronously: such a thread may wait. It tells what it found in one message.
import { load, type Engine } from "sparse-xent";
import { battery, digest } from "../battery.ts";
import { canWait, faultError } from "./waits.ts";

/** What the worker found. */
export interface Findings {
  readonly info: Engine["info"];
  readonly digests: Readonly<Record<string, string>>;
  readonly canWait: boolean;
  /** The error code of a synchronous call in which a helper was made to trap. */
  readonly trap: string | undefined;
}

async function findings(): Promise<Findings> {
  const xent = await load({ threads: 3 });
  const digests: Record<string, string> = {};
  for (const seeded of battery) digests[seeded.name] = await digest(xent, seeded, "sync");
  return { info: xent.info, digests, canWait: canWait(), trap: (await faultError(xent, "helper traps", "sync"))?.code };
}

const { postMessage } = globalThis as unknown as { postMessage(message: Findings | { readonly error: string }): void };
findings().then(postMessage, (error: unknown) => postMessage({ error: String(error) }));
