// Tensors are windows onto the engine's memory: no copies, no stale windows, nothing readable after the end.
import { load, Tensor, type Dtype, type Engine } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { errorOf, rejectionOf, useEngine } from "./support.ts";

const engine = useEngine();

const arrays = {
  f32: Float32Array,
  f64: Float64Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
} as const satisfies Record<Dtype, unknown>;

describe.each(Object.entries(arrays) as [Dtype, (typeof arrays)[Dtype]][])("a tensor of %s", (dtype, array) => {
  test("starts as zeros at a multiple of 64", () => {
    const tensor = engine.xent.tensor(dtype, [3, 5]);
    expect(tensor).toMatchObject({ dtype, shape: [3, 5], length: 15, byteLength: 15 * array.BYTES_PER_ELEMENT });
    expect(tensor.byteOffset % 64).toBe(0);
    expect(tensor.view).toBeInstanceOf(array);
    expect([...tensor.view].every((value) => Number(value) === 0)).toBe(true);
    tensor.dispose();
  });

  test("has zeros again where another tensor has been", () => {
    const first = engine.xent.tensor(dtype, [1000]);
    new Uint8Array(first.view.buffer, first.byteOffset, first.byteLength).fill(0xff);
    first.dispose();
    const second = engine.xent.tensor(dtype, [1000]);
    expect([...second.view].every((value) => Number(value) === 0)).toBe(true);
    second.dispose();
  });
});

test("shapes without elements and without dimensions", () => {
  const { xent } = engine;
  const single = xent.tensor("f32", []);
  expect([single.length, single.view.length, single.shape]).toEqual([1, 1, []]);
  const empty = xent.tensor("f32", [4, 0, 2]);
  expect([empty.length, empty.view.length, empty.byteLength]).toEqual([0, 0, 0]);
  empty.dispose();
});

test("a shape is the tensor's own and cannot be changed", () => {
  const shape = [2, 3];
  const tensor = engine.xent.tensor("f32", shape);
  shape[0] = 9;
  expect(tensor.shape).toEqual([2, 3]);
  expect(Object.isFrozen(tensor.shape)).toBe(true);
});

describe("a view", () => {
  test("is over shared memory, and the same object every time", () => {
    const tensor = engine.xent.tensor("f32", [4]);
    expect(Object.prototype.toString.call(tensor.view.buffer)).toBe("[object SharedArrayBuffer]");
    expect(tensor.view).toBe(tensor.view);
    expect(tensor.view.byteOffset).toBe(tensor.byteOffset);
  });

  test("shows what calls write, and calls see what is written to it, without a copy", () => {
    const { xent } = engine;
    const logits = xent.tensor("f32", [1, 2]);
    const grad = xent.tensor("f32", [1, 2]);
    const [input, output] = [logits.view, grad.view];
    const before = xent.info.usedBytes;
    xent.crossEntropy(logits, [0], { grad });
    expect([...output]).toEqual([-0.5, 0.5]);
    input[1] = 100;
    xent.crossEntropy(logits, [0], { grad });
    expect([...output]).toEqual([-1, 1]);
    xent.crossEntropy(logits, [0], { grad: logits });
    expect([...input]).toEqual([-1, 1]);
    expect(xent.info.usedBytes).toBe(before);
  });

  test("stays valid when the memory grows", async () => {
    const xent = await load({ threads: 2 });
    const tensor = xent.tensor("f32", [1, 4]);
    const kept = tensor.view;
    kept.set([1, 2, 3, 4]);
    const before = xent.info.memoryBytes;
    const large = xent.tensor("u8", [64 * 2 ** 20]);
    expect(xent.info.memoryBytes).toBeGreaterThan(before);
    expect([...kept]).toEqual([1, 2, 3, 4]);
    kept[0] = 9;
    expect([...tensor.view]).toEqual([9, 2, 3, 4]);
    tensor.view[3] = 7;
    expect([...kept]).toEqual([9, 2, 3, 7]);
    xent.crossEntropy(tensor, [0], { grad: tensor });
    expect([...kept]).toEqual([...tensor.view]);
    large.view[large.length - 1] = 1;
    expect(large.toArray().at(-1)).toBe(1);
    await xent.dispose();
  });

  test("shows what an asynchronous call writes on its own thread", async () => {
    const { xent } = engine;
    const logits = xent.tensor("f32", [512, 100]);
    const kept = logits.view;
    await xent.crossEntropyAsync(logits, new Int32Array(512), { grad: logits, reduction: "sum" });
    expect(kept[0]).toBeCloseTo(-0.99, 6);
    expect(kept.at(-1)).toBeCloseTo(0.01, 6);
  });
});

test("toArray gives a copy with a buffer of its own", () => {
  const tensor = engine.xent.tensor("f32", [3]);
  tensor.view.set([1, 2, 3]);
  const copy = tensor.toArray();
  expect(copy.buffer).toBeInstanceOf(ArrayBuffer);
  expect([copy.byteOffset, copy.buffer.byteLength]).toEqual([0, 12]);
  tensor.view[0] = 9;
  copy[1] = 8;
  expect([[...copy], [...tensor.view]]).toEqual([[1, 8, 3], [9, 2, 3]]); // prettier-ignore
  // What refuses shared memory takes it.
  expect(new Blob([copy]).size).toBe(12);
  tensor.dispose();
  expect(copy[0]).toBe(1);
});

describe("after dispose", () => {
  const uses: readonly (readonly [string, (tensor: Tensor<"f32">) => unknown])[] = [
    ["view", (tensor) => tensor.view],
    ["toArray", (tensor) => tensor.toArray()],
    ["use as logits", (tensor) => engine.xent.crossEntropy(tensor, [0])],
  ];
  test.each(uses)("%s throws DISPOSED", (_, use) => {
    const tensor = engine.xent.tensor("f32", [1, 4]);
    expect(() => use(tensor)).not.toThrow();
    tensor.dispose();
    expect(tensor.isDisposed).toBe(true);
    expect(errorOf(() => use(tensor)).code).toBe("DISPOSED");
    expect(tensor).toMatchObject({ shape: [1, 4], length: 4 });
  });

  test("the memory is free again, once", () => {
    const { xent } = engine;
    const before = xent.info.usedBytes;
    const tensor = xent.tensor("f32", [100]);
    expect(xent.info.usedBytes).toBe(before + 400);
    tensor.dispose();
    tensor.dispose();
    expect(xent.info.usedBytes).toBe(before);
  });

  test("of the engine, all its tensors throw", async () => {
    const xent = await load({ threads: 1 });
    const tensor = xent.tensor("f32", [4]);
    await xent.dispose();
    expect(tensor.isDisposed).toBe(true);
    expect(errorOf(() => tensor.view)).toMatchObject({ code: "DISPOSED", message: "tensor was disposed with its engine" });
    expect(() => tensor.dispose()).not.toThrow();
  });
});

describe("while an asynchronous call runs", () => {
  const rows = 4096;
  const start = (xent: Engine) => {
    const logits = xent.tensor("f32", [rows, 500]);
    const grad = xent.tensor("f32", [rows, 500]);
    return { logits, grad, promise: xent.crossEntropyAsync(logits, new Uint16Array(rows), { grad }) };
  };

  test("its tensors may be disposed of; their memory is kept until it ends", async () => {
    const { xent } = engine;
    const before = xent.info.usedBytes;
    const { logits, grad, promise } = start(xent);
    logits.dispose();
    grad.dispose();
    expect(errorOf(() => logits.view).code).toBe("DISPOSED");
    expect(xent.info.usedBytes).toBeGreaterThanOrEqual(before + 2 * rows * 500 * 4);
    expect((await promise).loss).toBeCloseTo(Math.log(500), 5);
    expect(xent.info.usedBytes).toBe(before);
  });

  test("arrays that were given may be changed at once", async () => {
    const logits = Float32Array.of(0, 0);
    const promise = engine.xent.crossEntropyAsync(logits, [0], { shape: [1, 2] });
    logits.fill(Number.NaN);
    expect((await promise).loss).toBeCloseTo(Math.LN2, 6);
  });

  test("the engine may be disposed of: the call rejects with DISPOSED, and a signal that fires later does nothing", async () => {
    const xent = await load();
    const { promise } = start(xent);
    const abort = new AbortController();
    const other = xent.crossEntropyAsync(xent.tensor("f32", [1, 2]), [0], { signal: abort.signal });
    const gone = xent.dispose();
    abort.abort();
    expect((await rejectionOf(promise)).code).toBe("DISPOSED");
    expect((await rejectionOf(other)).code).toBe("DISPOSED");
    await gone;
  });
});
