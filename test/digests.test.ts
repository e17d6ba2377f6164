// The battery of digests.json through the wasm files that ship: each must give, bit for bit, the digests of its native twin (digests.rs). Bits that differ
// between two machines or engines show here.
import { load, type Engine } from "sparse-xent";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { battery, digest } from "./battery.ts";

describe.each(["simd", "relaxed"] as const)("%s", (build) => {
  let xent: Engine | undefined;
  let refused: unknown;
  beforeAll(async () => {
    // Node 20 refuses relaxed SIMD without its flag, and features.test.ts says so; the flag's own project runs it here.
    xent = await load({ build, threads: 2 }).catch((error: unknown) => void (refused = error));
  });
  afterAll(() => xent?.dispose());

  it("loads unless the engine lacks it", () => {
    if (build === "simd") expect(refused).toBeUndefined();
    else expect([undefined, "LOAD_FAILED"]).toContain((refused as { code?: string } | undefined)?.code);
  });

  it.for(battery)("$name", async (seeded, { skip }) => {
    if (xent === undefined) skip("this engine has no relaxed SIMD");
    else expect(await digest(xent, seeded, "sync")).toBe(seeded[build]);
  });
});
