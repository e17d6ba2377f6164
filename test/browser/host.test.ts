// What a page is given follows from how it is served, and the engine says so: threads where it is isolated, one where it is not, and why.
import { load } from "sparse-xent";
import { expect, inject, test } from "vitest";

const { headers, canShare } = inject("host");

test("the page is isolated if it was served with the two headers", () => {
  expect(globalThis.crossOriginIsolated).toBe(headers);
});

test("threads where memory can be shared, otherwise one", async () => {
  const xent = await load({ threads: 3 });
  expect(xent.info).toMatchObject({ threads: canShare ? 3 : 1, isolated: canShare, canBlock: false });
  await xent.dispose();
});
