// The table of faults in ts/docs/faults.md and the tests it names are held together: each row has its test, and each test of a fault has its row.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const textOf = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
const document = textOf("../ts/docs/faults.md");

/** What the last column says: a file, and words of a test's title in it. */
const named = [...document.matchAll(/\| `([\w-]+\.test\.ts)`: ([^|]+?) \|$/gm)].map(([, file = "", words = ""]) => ({ file, words }));

/** Titles of the tests in a file, and of its groups. */
const titlesOf = (file: string): string[] => [...textOf(file).matchAll(/\b(?:test|describe)(?:\.\w+\([^\n]*?\))?\(\s*["`]([^"`]+)["`]/g)].map(([, title = ""]) => title);

const rows = document.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| fault") && !line.startsWith("|---"));

test("every row of the table names a test that there is", () => {
  expect(rows.length).toBeGreaterThan(10);
  expect(named).toHaveLength(rows.length);
  for (const { file, words } of named) expect(titlesOf(file).some((title) => title.includes(words)), `${file}: ${words}`).toBe(true);
});

test("every test of a fault is named", () => {
  // Tests of the tests' own means.
  const means = ["a byte beside a tensor is seen"];
  for (const file of ["faults.test.ts", "refusals.test.ts", "flips.test.ts"]) {
    const words = [...named.filter((row) => row.file === file).map((row) => row.words), ...[...document.matchAll(/`([\w-]+\.test\.ts)`: ([^|.]+)\./g)].map(([, , said = ""]) => said)];
    const inGroups = /, \$\{threads\} threads$/;
    const titles = titlesOf(file).filter((title) => !means.includes(title) && !inGroups.test(title));
    expect(titles).not.toEqual([]);
    expect(titles.filter((title) => !words.some((said) => title.includes(said) || said.includes(title)))).toEqual([]);
  }
});
