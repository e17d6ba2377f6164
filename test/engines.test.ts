// Engines come and go: independent of each other, and nothing of them answers after dispose.
import { isSparseXentError, type Engine } from "sparse-xent";
import { expect, test } from "vitest";
import { errorOf, loadForTest, rejectionOf } from "./support.ts";

const shape = { shape: [2, 4] };
const logits = Float32Array.of(1, 2, 3, 4, 4, 3, 2, 1);
const expected = Math.log(1 + Math.exp(-1) + Math.exp(-2) + Math.exp(-3));
const lossOf = (engine: Engine): number => engine.crossEntropy(logits, [3, 0], shape).loss;

test("two engines share nothing", async () => {
  const [one, two] = await Promise.all([loadForTest({ threads: 2 }), loadForTest({ threads: 2 })]);
  const tensors = [one, two].map((engine) => engine.tensor("f32", [1024]));
  tensors.forEach((tensor, index) => tensor.view.fill(index + 1));
  expect(tensors.map((tensor) => tensor.view[1023])).toEqual([1, 2]);
  expect(tensors[0]?.view.buffer).not.toBe(tensors[1]?.view.buffer);
  await one.dispose();
  expect(two.info.usedBytes).toBe(4096);
  expect(lossOf(two)).toBeCloseTo(expected, 6);
  expect((await two.crossEntropyAsync(logits, [3, 0], shape)).loss).toBeCloseTo(expected, 6);
  await two.dispose();
});

test("dispose rejects what is pending, and everything after", async () => {
  const engine = await loadForTest({ threads: 2 });
  const big = engine.tensor("f32", [256, 8192]);
  const labels = engine.tensor("i32", [256]);
  const pending = [1, 2, 3].map(() => engine.crossEntropyAsync(big, labels, { grad: big }));
  const rejections = Promise.all(pending.map(rejectionOf));
  await engine.dispose();
  expect((await rejections).map(({ code }) => code)).toEqual(["DISPOSED", "DISPOSED", "DISPOSED"]);
  expect(errorOf(() => lossOf(engine)).code).toBe("DISPOSED");
  expect(errorOf(() => big.view).code).toBe("DISPOSED");
  expect((await rejectionOf(engine.crossEntropyAsync(logits, [3, 0], shape))).code).toBe("DISPOSED");
  await engine.dispose();
});

test("dispose by symbol, also before Node has the symbols' syntax", async () => {
  const engine = await loadForTest({ threads: 2 });
  {
    using scoped = engine;
    expect(lossOf(scoped)).toBeCloseTo(expected, 6);
  }
  expect(errorOf(() => lossOf(engine)).code).toBe("DISPOSED");
  const other = await loadForTest({ threads: 2 });
  {
    await using scoped = other;
    expect(lossOf(scoped)).toBeCloseTo(expected, 6);
  }
  expect(isSparseXentError(errorOf(() => other.tensor("f32", [1])), "DISPOSED")).toBe(true);
});

test("thirty, twenty of them one after the other and ten at once", async () => {
  // Small memories: WebKit reserves no more address space than three times the machine's memory, and on a busy one it is late to take back that of engines
  // that have ended, so that there would be none for engines of other tests.
  const maximumPages = 256;
  for (let count = 0; count < 20; count++) {
    const engine = await loadForTest({ threads: 3, maximumPages });
    expect(lossOf(engine)).toBeCloseTo(expected, 6);
    expect((await engine.crossEntropyAsync(logits, [3, 0], shape)).loss).toBeCloseTo(expected, 6);
    await engine.dispose();
  }
  const many = await Promise.all(Array.from({ length: 10 }, () => loadForTest({ threads: 2, maximumPages })));
  const losses = await Promise.all(many.map((engine) => engine.crossEntropyAsync(logits, [3, 0], shape)));
  for (const { loss } of losses) expect(loss).toBeCloseTo(expected, 6);
  await Promise.all(many.map((engine) => engine.dispose()));
});
