// Threads change the time and nothing else: `same_bits_any_threads`, `same_bits_sync_async`; an asynchronous call leaves the caller's event loop free.
import { describe, expect, test } from "vitest";
import { cases, digest, digests, inputs } from "./large.ts";
import { here, useEngine } from "./support.ts";

test("same_bits_any_threads, same_bits_sync_async", async () => {
  const alone = await digests(1, "sync");
  expect(new Set(Object.values(alone)).size).toBe(cases.length);
  expect(await digests(1, "async"), "1 thread, async").toEqual(alone);
  for (let threads = 2; threads <= 8; threads++) {
    const how = threads % 2 === 0 ? "sync" : "async";
    expect(await digests(threads, how), `${threads} threads, ${how}`).toEqual(alone);
  }
});

describe("at work", () => {
  const given = useEngine({ threads: 2 });

  // Without threads an asynchronous call runs here, in a turn of its own.
  if (here().canShare) {
    test("the event loop stays free during an asynchronous call", async () => {
      const { logits, labels } = inputs(given.xent, { name: "big", shape: [1024, 8192] });
      const { port1, port2 } = new MessageChannel();
      const turn = (): Promise<void> =>
        new Promise((resolve) => {
          port2.onmessage = () => resolve();
          port1.postMessage(undefined);
        });
      const count = 20;
      let isPending = true;
      const calls = Array.from({ length: count }, () => given.xent.crossEntropyAsync(logits, labels, { grad: logits }));
      const done = Promise.all(calls).finally(() => void (isPending = false));
      let turns = 0;
      while (isPending) {
        await turn();
        turns++;
      }
      await done;
      port1.close();
      // Were the calls to run here, there would be about one turn for each; a free loop makes hundreds in the time.
      expect(turns).toBeGreaterThan(3 * count);
      logits.dispose();
      labels.dispose();
    });
  }

  test("synchronous and asynchronous calls at the same time", async () => {
    const sizes = cases.slice(1, 4);
    const alone = await Promise.all(sizes.map((which) => digest(given.xent, which, "async")));
    const mixed = await Promise.all([...sizes, ...sizes].map((which, index) => digest(given.xent, which, index % 2 === 0 ? "async" : "sync")));
    expect(mixed).toEqual([...alone, ...alone]);
  });
});
