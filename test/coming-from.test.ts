// The documentation's comparison with other systems: its rows are those of systems/features.ts, and every test that is named there exists.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { features, type Proof } from "./systems/features.ts";

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const section = read("ts/docs/coming-from.md");
const cells = (line: string): string[] => line.split("|").slice(1, -1).map((cell) => cell.trim()); // prettier-ignore
const lines = section.split("\n");
const start = lines.findIndex((line) => line.startsWith("| feature |"));
const end = lines.findIndex((line, index) => index > start && !line.startsWith("|"));
const [header = [], , ...rows] = lines.slice(start, end).map(cells);

/** Whether the file has a test of this title: the first argument of a call, or a Rust function without arguments after `#[test]`. */
function exists({ file, test: title }: Proof): boolean {
  const source = read(file);
  if (file.endsWith(".rs")) return new RegExp(`#\\[test\\]\\s+fn ${title}\\(\\)`).test(source);
  return source.split("\n").some((line) => /^\s*(test|it)\b/.test(line) && (line.includes(`("${title}",`) || line.includes(`('${title}',`)));
}

describe("the comparison", () => {
  test("has a column for every system that has tests here", () => {
    expect(header).toEqual(["feature", "sparse-xent", "TensorFlow op", "Keras", "PyTorch", "optax", "ONNX Runtime", "TF.js"]);
  });

  test("has the features that tests prove, and no others", () => {
    expect(rows.map(([feature]) => feature)).toEqual(Object.keys(features));
  });

  test("has every cell filled, and every one of ours with a yes", () => {
    for (const row of rows) {
      expect(row, row[0]).toHaveLength(header.length);
      expect(row, row[0]).not.toContain("");
      expect(row[1], row[0]).toMatch(/^✓/);
    }
  });
});

describe("a feature is proved by tests that exist", () => {
  test.each(Object.entries(features))("%s", (_, proofs) => {
    expect(proofs.filter((proof) => !exists(proof))).toEqual([]);
  });

  test("and one that does not exist is found missing", () => {
    expect(exists({ file: "test/systems/edges.test.ts", test: "a million" })).toBe(false);
    expect(exists({ file: "test/threads.rs", test: "same_bits" })).toBe(false);
    // A title in a comment or a table proves nothing.
    expect(exists({ file: "test/systems/features.ts", test: "a million added to every logit changes nothing" })).toBe(false);
  });
});
