// The call block has two descriptions, one in Rust and one in TypeScript; these tests read the Rust sources and compare.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { callFields } from "../ts/call.ts";
import { dtypes } from "../ts/dtypes.ts";
import { callCodes } from "../ts/errors.ts";
import { optionTable } from "../ts/settings.ts";

const source = (name: string): string => readFileSync(new URL(`../crate/js/${name}`, import.meta.url), "utf8");

test("both lists of words are the same", () => {
  const body = /^fields! \{([^}]*)\}/m.exec(source("fields.rs"))?.[1] ?? "";
  const words = body.split(",").map((word) => word.trim()).filter((word) => word !== ""); // prettier-ignore
  expect(words).toEqual([...callFields]);
});

test("a label type has the same number on both sides", () => {
  const rows = [...source("call.rs").matchAll(/(\d+) => self\.slice\(at, rows\)\.map\(Labels::(\w+)\)/g)];
  const labels = Object.fromEntries(rows.map(([, code, name]) => [String(name).toLowerCase(), Number(code)]));
  expect(Object.keys(labels)).toHaveLength(10);
  for (const [name, code] of Object.entries(labels)) expect(dtypes[name as keyof typeof dtypes].code).toBe(code);
});

test("a logits type has the same number on both sides", () => {
  const rows = [...source("call.rs").matchAll(/(\d) => \$elements\.map\(Typed::(\w+)\)/g)];
  const logits = Object.fromEntries(rows.map(([, code, name]) => [String(name).toLowerCase(), Number(code)]));
  expect(logits).toEqual({ f32: dtypes.f32.code, f64: dtypes.f64.code, f16: dtypes.f16.code, bf16: dtypes.bf16.code });
});

test("an error has the same number on both sides", () => {
  const sources = source("call/codes.rs") + source("pool.rs");
  const constant = (name: string): string => new RegExp(`const ${name}: u32 = (\\d+);`).exec(sources)?.[1] ?? name;
  const arms = [...sources.matchAll(/Error::(\w+)(?: \{[^}]*\})? => (?:\{[^]*?)?\(([A-Z_]+|\d+), /g)];
  const numbers = Object.fromEntries(arms.map(([, name = "", code = ""]) => [name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase(), Number(constant(code))]));
  expect(Object.keys(numbers)).toHaveLength(12);
  for (const [name, code] of Object.entries(numbers)) expect(callCodes[code], name).toBe(name);
});

describe("a choice has the same number on both sides", () => {
  const lists = {
    reduction: "Reduction",
    denominator: "Denominator",
    invalidLabel: "InvalidLabel",
    smoothingWeights: "SmoothingWeights",
    emptyMean: "EmptyMean",
    input: "Input",
    probsNormalize: "ProbsNormalize",
  } as const;
  test.each(Object.entries(lists))("%s", (name, type) => {
    const list = new RegExp(`\\[(${type}::\\w+(?:,\\s*(?:${type}::)?\\w+)*)\\]`).exec(source("call.rs"))?.[1] ?? "";
    const variants = list.split(",").map((variant) => variant.trim().replace(`${type}::`, "").toLowerCase());
    // The number that `denominator` may also be follows its words.
    const numbered = name === "denominator" ? ["count"] : [];
    const words: readonly string[] = optionTable[name as keyof typeof lists].words;
    expect(variants).toEqual([...words.map((word) => word.toLowerCase()), ...numbered]);
  });
});
