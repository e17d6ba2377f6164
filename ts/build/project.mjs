// Where things lie in the project, and nothing else: every path of the build is named here once.
import { fileURLToPath } from "node:url";

/** The folder of package.json, without a slash at the end. */
export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/[\\/]$/, "");

/** @param {string} path relative to the project */
const inside = (path) => `${root}/${path}`;

export const paths = {
  dist: inside("dist"),
  /** What the build keeps between runs; native cargo builds use `target/` itself. */
  target: inside("target"),
  stamps: inside("target/stamps"),
  logs: inside("target/log"),
  /** What cargo makes of `ts/build/tools`: wasm-bindgen and wasm-pack. */
  tools: inside("target/tools"),
  cargoWasm: inside("target/wasm"),
  glue: inside("target/glue"),
  /** The wasm of the tests, in which allocations fail on demand and have canaries beside them. */
  faultsWasm: inside("target/pkg-faults/sparse_xent_bg.wasm"),
  testNodes: inside("test/nodes"),
  testRuntimes: inside("test/runtimes"),
  testHosts: inside("test/hosts"),
  docs: inside("ts/docs"),
};

/** The entries that bring the operation to other libraries, each a folder of ts/adapters and a sub-path of the package. */
export const adapters = /** @type {const} */ (["lm", "onnx", "tfjs"]);

/** The two wasm files. They differ in this one target feature; `builds` is also the order in which sizes are printed. */
export const builds = /** @type {const} */ ([
  { name: "simd", features: "" },
  { name: "relaxed", features: "+relaxed-simd" },
]);

/** @param {string} build */
export const packageOf = (build) => inside(`target/pkg-${build}`);
/** @param {string} build */
export const wasmOf = (build) => `${paths.dist}/sparse-xent.${build}.wasm`;
