// Holds the sources to the layers they claim: who may import whom, and which files may touch the things that are dangerous or tied to one host.
// The tables here are the rule; a source that has a good reason to break one changes the table, and says why.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Source files under a folder, as paths relative to the project; what is built or generated for tests is not among them. */
function sources(folder: string, extension: string): string[] {
  return readdirSync(`${root}${folder}`, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(extension) && !name.includes("node_modules"))
    .map((name) => `${folder}/${name}`)
    .sort();
}

/** Code without comments: a rule is about what runs, not about what is explained. Both languages write comments alike. */
const code = (file: string): string =>
  readFileSync(`${root}${file}`, "utf8").replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");

const rust = sources("crate", ".rs");
const typescript = sources("ts", ".ts");
const library = typescript.filter((file) => !file.startsWith("ts/cli/") && !file.startsWith("ts/page/"));

/** Files of `among` that contain `pattern`, other than those under one of the `homes`. */
const strangers = (among: readonly string[], pattern: RegExp, homes: readonly string[]): string[] =>
  among.filter((file) => pattern.test(code(file)) && !homes.some((home) => file === home || file.startsWith(home)));

const homes = [
  { what: "unsafe code", among: rust, pattern: /\bunsafe\b(?!_)/, homes: ["crate/js/", "crate/parallel.rs", "crate/parallel/", "crate/simd/x86.rs", "crate/simd/x86/"] },
  // The guard in js refuses a build without atomics; parallel waits with the wasm's own instruction.
  {
    what: "instruction sets",
    among: rust,
    pattern: /core::arch|std::arch|target_feature/,
    homes: ["crate/simd/", "crate/js/mod.rs", "crate/parallel/host.rs"],
  },
  { what: "rayon", among: rust, pattern: /\brayon::/, homes: ["crate/parallel/"] },
  { what: "wasm-bindgen", among: rust, pattern: /\bwasm_bindgen/, homes: ["crate/js/"] },
  { what: "the reference implementation", among: rust, pattern: /\b(crate|super)::reference\b/, homes: [] },
  { what: "the boundary to JavaScript", among: rust, pattern: /\b(crate|super)::js\b/, homes: [] },
  { what: "compiling or instantiating wasm", among: library, pattern: /WebAssembly\.(compile|instantiate)|new WebAssembly\./, homes: ["ts/load.ts", "ts/pool/"] },
  { what: "validating wasm", among: library, pattern: /WebAssembly\.validate/, homes: ["ts/features.ts"] },
  { what: "the generated glue", among: library, pattern: /"#(glue|worker|memory-limits|shipped|wasm)\b/, homes: ["ts/load.ts", "ts/pool/"] },
  { what: "the memory's buffer", among: library, pattern: /memory\.buffer/, homes: ["ts/memory.ts", "ts/pool/instance.ts"] },
  { what: "workers", among: library, pattern: /new Worker\(|\bpostMessage\(/, homes: ["ts/pool/", "ts/features.ts"] },
  { what: "atomics", among: library, pattern: /\bAtomics\.\w+\(/, homes: ["ts/pool/", "ts/features.ts"] },
  { what: "Node built-ins", among: library, pattern: /"node:/, homes: ["ts/pool/"] },
  // A static import would make a browser's bundler look for it.
  { what: "importing Node built-ins", among: library, pattern: /(from|import\(?)\s*"node:/, homes: [] },
  { what: "imports of packages", among: library, pattern: /from "[^.#]/, homes: [] },
];

describe("stays where it belongs", () => {
  for (const { what, among, pattern, homes: allowed } of homes) {
    test(what, () => expect(strangers(among, pattern, allowed)).toEqual([]));
    // A home nobody lives in is a rule that has outlived its reason.
    if (allowed.length > 0) {
      test(`${what}: every home is lived in`, () => {
        expect(allowed.filter((home) => !among.some((file) => file.startsWith(home) && pattern.test(code(file))))).toEqual([]);
      });
    }
  }
});

const moduleOf = (file: string): string => file.split("/")[1]?.replace(".rs", "") ?? "";

/** Words that mean one thing in the crate's middle, and the files that may speak of it; `Isa::Chunk` and what slices call chunks aside. */
const words: readonly { readonly word: string; readonly means: string; readonly pattern: RegExp; readonly homes: readonly string[] }[] = [
  {
    word: "group",
    means: "rows side by side that are concluded together",
    pattern: /group/i,
    homes: ["cross_entropy.rs", "cross_entropy/group.rs", "cross_entropy/route.rs", "kernels/rows/"],
  },
  {
    word: "block",
    means: "some classes of one long row",
    pattern: /block/i,
    homes: ["cross_entropy.rs", ...["by_block", "route", "rows", "scratch", "single", "small", "split", "strided"].map((name) => `cross_entropy/${name}.rs`), "kernels/rows.rs", "kernels/rows/"],
  },
  {
    word: "strip",
    means: "neighbouring rows through all planes",
    pattern: /strip/i,
    homes: ["cross_entropy.rs", ...["planes", "route", "strided", "strip"].map((name) => `cross_entropy/${name}.rs`), "kernels/planes.rs", "kernels/planes/"],
  },
  { word: "chunk", means: "some rows of the last layer; for kernels, a vector in memory", pattern: /chunk/i, homes: ["cross_entropy.rs", "cross_entropy/by_chunk.rs", "cross_entropy/by_block.rs", "kernels/"] },
  { word: "tile", means: "rows of planes that are copied for their distributions", pattern: /tile/i, homes: ["cross_entropy/distribution.rs", "cross_entropy/distribution/"] },
  { word: "piece", means: "some blocks of a row that are taken at once", pattern: /piece/i, homes: ["deliver", "small", "split"].map((name) => `cross_entropy/${name}.rs`) },
  {
    word: "batch",
    means: "rows of any layout from their labels to their gradient's scalars",
    pattern: /batch/i,
    homes: ["cross_entropy.rs", ...["batch", "group", "pairs", "strip"].map((name) => `cross_entropy/${name}.rs`)],
  },
];

describe("one meaning per word", () => {
  const middle = rust.filter((file) => ["cross_entropy", "kernels"].includes(moduleOf(file)));
  // What slices call chunks is no word of ours.
  const spoken = (file: string): string => code(file).replace(/\bI::Chunk\b|\b(as_)?r?chunks?_?\w*(?=\(|::)/g, "");
  for (const { word, means, pattern, homes: own } of words) {
    const speaks = (file: string): boolean => pattern.test(spoken(file));
    const isHome = (file: string, home: string): boolean => file.startsWith(`crate/${home}`);
    test(`${word}: ${means}`, () => {
      expect(middle.filter((file) => speaks(file) && !own.some((home) => isHome(file, home)))).toEqual([]);
      expect(own.filter((home) => !middle.some((file) => isHome(file, home) && speaks(file)))).toEqual([]);
    });
  }

  // The words of other libraries and papers for what has a name here.
  test("no second word for a row, a class or a logit", () => {
    expect(strangers(middle, /\b\w*?(tokens?|pixels?|y_true|vocab(ulary)?|scores?|examples?)\b/i, [])).toEqual([]);
  });
});

/** What each module of the crate may import, besides itself; `Error` and `Shape` are named by all. */
const crate: Record<string, readonly string[]> = {
  js: ["linear", "cross_entropy", "sigmoid", "options", "labels", "element", "parallel", "simd"],
  sigmoid: ["cross_entropy", "options", "element", "parallel"],
  linear: ["cross_entropy", "options", "labels", "element", "parallel", "simd"],
  cross_entropy: ["options", "labels", "element", "parallel", "kernels", "objective", "simd"],
  kernels: ["options", "objective", "element", "math", "parallel", "simd"],
  options: ["objective", "parallel", "simd"],
  labels: ["simd"],
  parallel: [],
  objective: ["element", "math", "simd"],
  // What a type known at run time is made of, which `parallel` can cut.
  element: ["parallel", "simd"],
  math: ["simd"],
  simd: [],
  shape: [],
  error: [],
  reference: [],
  derivation: [],
  // Programs of their own, which know the crate by its public surface only.
  examples: [],
};

/** Names that lib.rs re-exports, and the module each comes from. */
const reexports: Record<string, string> = { Element: "element", GradElement: "element", bf16: "element", f16: "element", Labels: "labels", Kernel: "simd",
  Executor: "parallel", WeightedSigmoid: "sigmoid", CrossEntropy: "options" };

function rustImports(file: string): string[] {
  const text = code(file);
  const single = [...text.matchAll(/\bcrate::(\w+)/g)].map(([, name]) => name ?? "");
  const grouped = [...text.matchAll(/\bcrate::\{([^}]*)\}/g)].flatMap(([, names]) => (names ?? "").split(",").map((name) => name.trim().split("::")[0] ?? ""));
  return [...single, ...grouped].filter((name) => name !== "").map((name) => reexports[name] ?? name);
}

describe("the crate's layers", () => {
  for (const [name, allowed] of Object.entries(crate)) {
    test(`${name} imports ${allowed.length === 0 ? "nothing above it" : allowed.join(", ")}`, () => {
      const files = rust.filter((file) => moduleOf(file) === name);
      expect(files).not.toEqual([]);
      const imports = new Set(files.flatMap(rustImports));
      expect([...imports].filter((used) => ![name, "Error", "Shape", ...allowed].includes(used))).toEqual([]);
    });
  }

  test("every module is in the table", () => {
    expect([...new Set(rust.map(moduleOf))].filter((name) => name !== "lib" && crate[name] === undefined)).toEqual([]);
  });

  test("no circle", () => expectNoCircle(crate));

  // What a file imports by `crate::` or `super::`; that a module's own file names the files of its folder is no import.
  test("no file is in a circle of imports", () => {
    const fileOf = new Map(rust.map((file) => [file.replace(/^crate\/|(\/mod)?\.rs$/g, ""), file]));
    const nearest = (path: readonly string[]): string | undefined =>
      path.length === 0 ? undefined : (fileOf.get(path.join("/")) ?? nearest(path.slice(0, -1)));
    const importsOf = (name: string, file: string): string[] => {
      const text = code(file).split("#[cfg(test)]\nmod tests {")[0] ?? "";
      const uses = [...text.matchAll(/\buse ((?:crate|super)::[^;]+);/g)].flatMap(([, use]) => expanded((use ?? "").replace(/\s+/g, "")));
      return uses
        .map((use) => {
          const parts = use.split("::");
          const ups = parts.filter((part) => part === "super").length;
          const base = parts[0] === "crate" ? [] : name.split("/").slice(0, -ups);
          return nearest([...base, ...parts.filter((part) => part !== "super" && part !== "crate")]);
        })
        .filter((found): found is string => found !== undefined && found !== file);
    };
    const graph = Object.fromEntries([...fileOf].map(([name, file]) => [file, importsOf(name, file)]));
    expect(graph["crate/cross_entropy/group.rs"]).toEqual(expect.arrayContaining(["crate/cross_entropy/rules.rs", "crate/kernels/rows.rs"]));
    expectNoCircle(graph);
  });
});

test("each way of a call is drawn where it is chosen, and is on the README's map", () => {
  const route = "crate/cross_entropy/route.rs";
  const ways = /enum Route \{([^}]*)\}/.exec(code(route))?.[1]?.match(/\w+/g) ?? [];
  expect(ways.length).toBeGreaterThan(1);
  const drawing = /```text\n([\s\S]*?)```/.exec(readFileSync(`${root}${route}`, "utf8").replace(/^\/\/! ?/gm, ""))?.[1] ?? "";
  const map = /^crate\/ .*$/m.exec(readFileSync(`${root}README.md`, "utf8"))?.[0] ?? "";
  for (const text of [drawing, map]) expect(ways.filter((way) => !new RegExp(`\\b${way}\\b`).test(text))).toEqual([]);
});

describe("the crate's types", () => {
  const most = 2;
  // The options are the crate's public surface: setters, outputs, and the calls of each operation have a file each.
  const surface = ["crate/options/builder.rs", "crate/options/outputs.rs", "crate/cross_entropy.rs", "crate/linear.rs"];
  const crateSources = rust.filter((file) => moduleOf(file) !== "examples");
  const withoutTests = (file: string): string => code(file).split("#[cfg(test)]\nmod tests {")[0] ?? "";
  const defined = (file: string): string[] => [...code(file).matchAll(/^\s*(?:pub(?:\([^)]*\))? )?(?:struct|enum|union|type) (\w+)/gm)].map(([, name]) => name ?? "");
  const homes = new Map<string, string[]>();
  for (const file of crateSources) for (const name of defined(file)) homes.set(name, [...(homes.get(name) ?? []), moduleOf(file)]);

  /** The files with `impl` blocks of each type. Those of traits do not count: a trait has its own home, which its implementors may share. */
  const files = new Map<string, Set<string>>();
  for (const file of crateSources) {
    for (const [, name] of withoutTests(file).matchAll(/^\s*impl(?:<(?:[^<>]|<[^<>]*>)*>)? (?:\w+::)*(\w+)(?:<(?:[^<>]|<[^<>]*>)*>)?(?: where[^{]*)? \{/gm)) {
      // A module's own type of that name, or else that of the one module which has one.
      const home = homes.get(name ?? "") ?? [];
      const type = `${home.includes(moduleOf(file)) ? moduleOf(file) : (home[0] ?? "?")}::${name}`;
      files.set(type, (files.get(type) ?? new Set()).add(file));
    }
  }

  test("the pattern finds types of one file and of two", () => {
    expect([...(files.get("cross_entropy::Rules") ?? [])]).toEqual(["crate/cross_entropy/rules.rs"]);
    expect(files.get("reference::Row")?.size).toBe(2);
    expect([...files.keys()].filter((type) => type.startsWith("?"))).toEqual([]);
  });

  test(`no type has its methods in more than ${most} files`, () => {
    const spread = [...files].filter(([type, names]) => names.size > most && type !== "options::CrossEntropy");
    expect(Object.fromEntries(spread.map(([type, names]) => [type, [...names]]))).toEqual({});
  });

  test("the options have methods only where users find them", () => {
    expect([...(files.get("options::CrossEntropy") ?? [])].sort()).toEqual([...surface].sort());
  });
});

/** The paths of a `use` without blanks, each by itself. */
function expanded(use: string): string[] {
  const open = use.indexOf("{");
  if (open < 0) return [use];
  const paths: string[] = [];
  let [depth, from] = [0, open + 1];
  for (let at = open + 1; at < use.length; at++) {
    const closes = use[at] === "}";
    if ((use[at] === "," || closes) && depth === 0) {
      if (at > from) paths.push(...expanded(use.slice(0, open) + use.slice(from, at)));
      from = at + 1;
    }
    depth += use[at] === "{" ? 1 : closes ? -1 : 0;
  }
  return paths;
}

/** The TypeScript layers, top to bottom: a file imports only from groups below its own, or from its own. */
const layers: readonly (readonly string[])[] = [
  ["index", "adapters"],
  ["load"],
  ["engine"],
  ["result", "call"],
  ["sigmoid", "linear"],
  ["arguments"],
  ["operands"],
  ["options", "settings", "tensor", "presets"],
  ["fill"],
  ["layout"],
  ["memory", "features"],
  ["pool"],
  ["aborts", "lists"],
  ["dtypes", "errors", "symbols", "probes"],
];

describe("the package's layers", () => {
  const layerOf = (name: string): number => layers.findIndex((names) => names.includes(name));
  const nameOf = (file: string): string => file.split("/")[1]?.replace(/\.ts$/, "") ?? "";

  for (const file of library) {
    test(`${file} imports downwards`, () => {
      const own = layerOf(nameOf(file));
      expect(own, `${file} is in no layer`).toBeGreaterThanOrEqual(0);
      const folder = file.slice(0, file.lastIndexOf("/"));
      // Types alone tie nothing together when the program runs.
      const imports = [...code(file).matchAll(/^(?:import|export)\s+(?!type\b)[^;]*?from "(\.[^"]+)"/gm)].map(([, path]) => new URL(path ?? "", `file:///${folder}/`).pathname.slice(1));
      expect(imports.filter((path) => layerOf(nameOf(path.replace(/\.js$/, ".ts"))) < own)).toEqual([]);
    });
  }

  test("no file is in a circle of imports, of types either", () => {
    const importsOf = (file: string): string[] =>
      [...code(file).matchAll(/^(?:import|export)\s[^;]*?from "(\.[^"]+)"/gm)]
        .map(([, path]) => new URL((path ?? "").replace(/\.js$/, ".ts"), `file:///${file}`).pathname.slice(1))
        .filter((path) => typescript.includes(path));
    const graph = Object.fromEntries(typescript.map((file) => [file, importsOf(file)]));
    // The pattern finds something: a file with imports, and one that is imported.
    expect(graph["ts/engine.ts"]).toContain("ts/memory.ts");
    expectNoCircle(graph);
  });

  test("the command line knows the library by its public surface only", () => {
    const insiders = typescript
      .filter((file) => file.startsWith("ts/cli/"))
      .filter((file) => [...code(file).matchAll(/from "(\.\.\/[^"]+)"/g)].some(([, path]) => path !== "../index.js"));
    expect(insiders).toEqual([]);
  });

  test("the adapters share only errors, element types, shapes and symbols with the library, and nothing that runs an engine", () => {
    const adapters = typescript.filter((file) => file.startsWith("ts/adapters/"));
    expect(adapters).not.toEqual([]);
    const shared = adapters.flatMap((file) => [...code(file).matchAll(/^(?:import|export)\s+(?!type\b)[^;]*?from "(\.[^"]+)"/gm)].map(([, path]) => new URL(path ?? "", `file:///${file}`).pathname.slice(1)));
    const allowed = ["ts/errors.js", "ts/dtypes.js", "ts/layout.js", "ts/symbols.js"];
    expect(shared.filter((path) => !path.startsWith("ts/adapters/") && !allowed.includes(path))).toEqual([]);
  });

  test("the live page knows the library by its name only", () => {
    const page = typescript.filter((file) => file.startsWith("ts/page/"));
    expect(page).not.toEqual([]);
    const outside = page.flatMap((file) => [...code(file).matchAll(/(?:from|import\() ?"(\.\.?\/[^"]+)"/g)].map(([, path]) => new URL(path ?? "", `file:///${file}`).pathname.slice(1)));
    expect(outside.filter((path) => !path.startsWith("ts/page/") && !path.startsWith("bench/speed/"))).toEqual([]);
  });
});

function expectNoCircle(graph: Record<string, readonly string[]>): void {
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    expect(path, `a circle: ${[...path, name].join(" -> ")}`).not.toContain(name);
    if (done.has(name)) return;
    for (const next of graph[name] ?? []) visit(next, [...path, name]);
    done.add(name);
  };
  for (const name of Object.keys(graph)) visit(name, []);
}

describe("the scripts' layers", () => {
  const scripts = ["ts/build", "ts/docs", "ts/page", "bench"].flatMap((folder) => sources(folder, ".mjs"));
  const importsOf = (file: string): string[] =>
    [...code(file).matchAll(/(?:^import\s[^;]*?from |\bimport\()"(\.[^"]+)"/gm)]
      .map(([, path]) => new URL(path ?? "", `file:///${file}`).pathname.slice(1))
      .filter((path) => scripts.includes(path));
  const graph = Object.fromEntries(scripts.map((file) => [file, importsOf(file)]));

  test("no file is in a circle of imports", () => {
    expect(graph["ts/build/run.mjs"]).toContain("bench/build/measure.mjs");
    expectNoCircle(graph);
  });

  test("what builds the package knows neither benches nor page; only the verbs do", () => {
    const verbs = ["check", "run", "start", "test"].map((name) => `ts/build/${name}.mjs`);
    const others = scripts.filter((file) => file.startsWith("ts/build/") && !verbs.includes(file));
    expect(others.filter((file) => graph[file]?.some((path) => /^(bench|ts\/page)\//.test(path)))).toEqual([]);
  });
});

describe("size", () => {
  const most = 400;
  test(`no source file over ${most} lines`, () => {
    const scripts = ["ts/build", "ts/docs", "ts/page", "bench"].flatMap((folder) => [".mjs", ".rs"].flatMap((extension) => sources(folder, extension)));
    const lines = (file: string): number => readFileSync(`${root}${file}`, "utf8").trimEnd().split("\n").length;
    expect([...rust, ...typescript, ...scripts].filter((file) => lines(file) > most)).toEqual([]);
  });
});
