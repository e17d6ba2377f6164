// The wasm files beside the bundle.
import type { Shipped } from "./platform.js";

const addresses = {
  // Written out twice, since bundlers look for this very form.
  relaxed: () => new URL("./sparse-xent.relaxed.wasm", import.meta.url),
  simd: () => new URL("./sparse-xent.simd.wasm", import.meta.url),
};

export const shipped: Shipped = {
  // Async, so that a bundle without an address of its own gives the same error as a missing file.
  read: async (build, platform) => platform.read(addresses[build]()),
  advice: "expected beside the file that holds this code: copy it there, pass its address as wasm, or import sparse-xent/inline, which holds it",
};
