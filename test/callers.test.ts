// What a caller's own objects may do to a call: change under it, have side effects when they are read, or only look like what they should be.
// Whatever it is, the call ends in a result or in an error of this package, and leaves no memory behind.
import { Tensor, type CrossEntropyAsyncOptions, type LabelsInput, type LogitsInput } from "sparse-xent";
import { describe, expect, test, vi } from "vitest";
import { errorOf, rejectionOf, useEngine } from "./support.ts";

const engine = useEngine();
/** Loss of two equal logits. */
const LN_2 = Math.log(2);
const rows = 4000;

describe("what is changed after an asynchronous call has begun changes nothing", () => {
  test("dims, shapes and lists of options", async () => {
    const { xent } = engine;
    const dims = [rows, 2];
    const labelShape = [rows, 1];
    const weightShape = [1, 1];
    const ignoreIndex = [7];
    const outputs: "predictions"[] = ["predictions"];
    const labels = { data: new Uint8Array(rows), shape: labelShape };
    const sampleWeight = { data: [1], shape: weightShape };
    const promise = xent.crossEntropyAsync({ data: new Float32Array(2 * rows), dims }, labels, { sampleWeight, reduction: "none", grad: true, ignoreIndex, outputs });
    for (const list of [dims, labelShape, weightShape, ignoreIndex]) list[0] = 2 ** 20;
    outputs.length = 0;
    const result = await promise;
    expect(result.grad.shape).toEqual([rows, 2]);
    expect(result.loss.shape).toEqual([rows, 1]);
    expect(result.predictions?.shape).toEqual([rows, 1]);
    expect(result.loss.view[rows - 1]).toBeCloseTo(LN_2, 6);
    for (const tensor of [result.loss, result.grad, result.predictions]) tensor?.dispose();
  });

  test("the shape option", async () => {
    const { xent } = engine;
    const shape = [rows, 2];
    const promise = xent.crossEntropyAsync(new Float32Array(2 * rows), new Uint8Array(rows), { shape, grad: true });
    shape[0] = 8;
    const { grad } = await promise;
    expect(grad.shape).toEqual([rows, 2]);
    expect(grad.view).toHaveLength(2 * rows);
    grad.dispose();
  });

  test("labels, in the error that names one: written over, or with their buffer gone", async () => {
    const { xent } = engine;
    const bad = (): BigInt64Array => BigInt64Array.from({ length: rows }, (_, row) => (row === 9 ? 2n ** 60n + 1n : 0n));
    const message = `labels[9] got 1152921504606846977, expected 0..1; 1 such label of ${rows}`;
    const changed = bad();
    const promise = xent.crossEntropyAsync(new Float32Array(2 * rows), changed, { shape: [rows, 2] });
    changed.fill(0n);
    expect((await rejectionOf(promise)).message).toBe(message);
    const moved = bad();
    const other = xent.crossEntropyAsync(new Float32Array(2 * rows), moved, { shape: [rows, 2] });
    structuredClone(moved, { transfer: [moved.buffer as ArrayBuffer] });
    expect((await rejectionOf(other)).message).toBe(message);
  });
});

describe("options and arguments are read once, before anything is checked", () => {
  test("a getter that disposes of an operand: DISPOSED, and nothing is written", () => {
    const { xent } = engine;
    for (const victim of ["logits", "labels", "grad"] as const) {
      const tensors = { logits: xent.tensor("f32", [2, 3]), labels: xent.tensor("i32", [2]), grad: xent.tensor("f32", [2, 3]) };
      tensors.grad.view.fill(42);
      const options = {
        grad: tensors.grad,
        get labelSmoothing() {
          tensors[victim].dispose();
          return 0.1;
        },
      };
      expect(errorOf(() => xent.crossEntropy(tensors.logits, tensors.labels, options))).toMatchObject({ code: "DISPOSED", message: `${victim} was disposed` });
      if (victim !== "grad") expect([...tensors.grad.view]).toEqual(Array(6).fill(42));
      for (const tensor of Object.values(tensors)) tensor.dispose();
    }
  });

  test("an element that disposes of an operand when it is read", () => {
    const { xent } = engine;
    const logits = xent.tensor("f32", [2, 3]);
    const labels = [0, 1];
    Object.defineProperty(labels, 1, { get: () => (logits.dispose(), 1) });
    expect(errorOf(() => xent.crossEntropy(logits, labels))).toMatchObject({ code: "DISPOSED", message: "logits was disposed" });
  });

  test("a getter that grows the memory", () => {
    const { xent } = engine;
    const logits = xent.tensor("f32", [2, 2]);
    const before = xent.info.memoryBytes;
    let large: Tensor | undefined;
    const options = {
      get reduction(): "sum" {
        large = xent.tensor("u8", [before]);
        return "sum";
      },
    };
    expect(xent.crossEntropy(logits, [0, 1], options).loss).toBeCloseTo(2 * LN_2, 6);
    expect(xent.info.memoryBytes).toBeGreaterThan(before);
    large?.dispose();
    logits.dispose();
  });

  test("each is asked for at most once, inherited ones too", () => {
    const asked: Record<string, number> = {};
    const counting = (name: string, target: object): object =>
      new Proxy(target, {
        get: (from, key) => {
          const place = `${name}.${String(key)}`;
          asked[place] = (asked[place] ?? 0) + 1;
          return Reflect.get(from, key) as unknown;
        },
      });
    class Options {
      get labelSmoothing(): number {
        return 0.5;
      }
      get classWeight(): readonly number[] {
        return [1, 1];
      }
    }
    const logits = counting("logits", { data: Float32Array.of(0, 0), dims: [1, 2], type: "float32" });
    const given = counting("options", Object.assign(new Options(), { reduction: "sum", sampleWeight: 2, outputs: ["perClass"], grad: false }));
    expect(engine.xent.crossEntropy(logits as LogitsInput, [0], given as object).loss).toBeCloseTo(2 * LN_2, 6);
    for (const key of ["labelSmoothing", "classWeight", "reduction", "sampleWeight", "outputs", "grad"]) expect(asked).toHaveProperty([`options.${key}`], 1);
    for (const key of ["data", "dims", "type"]) expect(asked).toHaveProperty([`logits.${key}`], 1);
    expect(Object.entries(asked).filter(([, times]) => times > 1)).toEqual([]);
  });
});

describe("what only looks like it", () => {
  const forged = (): readonly unknown[] => [
    Object.create(Tensor.prototype),
    Object.assign(Object.create(Tensor.prototype) as object, { dtype: "f32", shape: [2, 3], length: 6, byteLength: 24, byteOffset: 64 }),
    new Proxy(engine.xent.tensor("f32", [2, 3]), {}),
    Object.create(null),
    Object.assign(Object.create(null) as object, { data: Object.create(null) as unknown, shape: Object.create(null) as unknown, dtype: Object.create(null) as unknown }),
    Object.assign(Object.create(null) as object, { data: new Float32Array(6), shape: [2, 3], dtype: Symbol("f32") }),
    Symbol("x"),
    () => 1,
    [Object.create(null)],
    [Symbol("x"), 1n],
  ];
  const options = "axis shape dtype reduction denominator ignoreIndex invalidLabel classWeight sampleWeight labelSmoothing upstream grad accumulate classMask labelMatrix outputs signal".split(" ");

  test.each(["logits", "labels", "options", ...options])("as %s: an error of this package, and no memory is kept", async (place) => {
    const { xent } = engine;
    const logits = { data: new Float32Array(6), shape: [2, 3] };
    for (const value of forged()) {
      const used = xent.info.usedBytes;
      const call: [LogitsInput, LabelsInput, CrossEntropyAsyncOptions] = [logits, [0, 1], {}];
      if (place === "logits") call[0] = value as LogitsInput;
      else if (place === "labels") call[1] = value as LabelsInput;
      else if (place === "options") call[2] = value as object;
      else call[2] = { [place]: value };
      // An object without keys is a map of class weights that names none, options that set none, and outputs that ask for none.
      const isEmpty = ["options", "classWeight", "outputs"].includes(place) && typeof value === "object" && value !== null && Object.keys(value).length === 0 && !Array.isArray(value);
      if (isEmpty) expect((await xent.crossEntropyAsync(...call)).rowCount).toBe(2);
      else expect((await rejectionOf(xent.crossEntropyAsync(...call))).name).toBe("SparseXentError");
      expect(xent.info.usedBytes).toBe(used);
    }
  });

  test("a tensor cannot be made to say something else", () => {
    const tensor = engine.xent.tensor("f32", [2, 3]);
    for (const [name, value] of Object.entries({ byteOffset: 0, length: 600, dtype: "u8", shape: [200, 3], byteLength: 2400 })) {
      expect(() => Object.defineProperty(tensor, name, { value }), name).toThrow(TypeError);
    }
    expect(tensor.view).toHaveLength(6);
    tensor.dispose();
  });
});

describe("a signal", () => {
  const wrong: readonly (readonly [string, unknown])[] = [
    ["text", "soon"],
    ["a number", 0],
    ["a function", () => undefined],
    ["a controller", new AbortController()],
    ["an object that only says aborted", { aborted: false }],
    ["an object of the right class that is none", Object.create(AbortSignal.prototype)],
  ];
  test.each(wrong)("%s is refused, and no memory and no pin is kept", async (_, signal) => {
    const { xent } = engine;
    const used = xent.info.usedBytes;
    const logits = xent.tensor("f32", [2, 3]);
    const error = await rejectionOf(xent.crossEntropyAsync(logits, [0, 1], { grad: true, signal: signal as AbortSignal }));
    expect(error).toMatchObject({ code: "OPTION_RANGE", got: signal, expected: "an AbortSignal" });
    logits.dispose();
    expect(xent.info.usedBytes).toBe(used);
  });

  test("may be null, as for fetch", async () => {
    expect((await engine.xent.crossEntropyAsync(new Float32Array(2), [0], { shape: [1, 2], signal: null })).loss).toBeCloseTo(LN_2, 6);
  });

  test("that cannot be listened to: its own error, and no memory and no pin is kept", async () => {
    const { xent } = engine;
    const used = xent.info.usedBytes;
    const logits = xent.tensor("f32", [2, 3]);
    const broken = () => {
      throw new Error("not today");
    };
    const signal = { aborted: false, addEventListener: broken, removeEventListener: broken } as unknown as AbortSignal;
    await expect(xent.crossEntropyAsync(logits, [0, 1], { grad: true, signal })).rejects.toThrow("not today");
    await xent.crossEntropyAsync(new Float32Array(2), [0], { shape: [1, 2] });
    logits.dispose();
    expect(xent.info.usedBytes).toBe(used);
  });

  test("has one listener for all calls that stand by it, and none once they are over", async () => {
    const { xent } = engine;
    const { signal } = new AbortController();
    const joined = vi.spyOn(signal, "addEventListener");
    const left = vi.spyOn(signal, "removeEventListener");
    const call = () => xent.crossEntropyAsync(new Float32Array(2), [0], { shape: [1, 2], signal });
    await Promise.all(Array.from({ length: 30 }, call));
    expect([joined.mock.calls.length, left.mock.calls.length]).toEqual([1, 1]);
    await call();
    expect([joined.mock.calls.length, left.mock.calls.length]).toEqual([2, 2]);
  });

  test("ends a call that waits for others at once: it never runs", async () => {
    const { xent } = engine;
    const used = xent.info.usedBytes;
    const logits = xent.tensor("f32", [20_000, 500]);
    const grad = xent.tensor("f32", [20_000, 500]);
    const ended: string[] = [];
    const first = xent.crossEntropyAsync(logits, new Int32Array(20_000)).finally(() => ended.push("first"));
    const abort = new AbortController();
    const second = rejectionOf(xent.crossEntropyAsync(logits, new Int32Array(20_000), { grad, signal: abort.signal })).finally(() => ended.push("second"));
    const third = xent.crossEntropyAsync(logits, new Int32Array(20_000)).finally(() => ended.push("third"));
    abort.abort(new Error("changed my mind"));
    expect(await second).toMatchObject({ code: "ABORTED", cause: { message: "changed my mind" } });
    expect(ended).toEqual(["second"]);
    await Promise.all([first, third]);
    expect(ended).toEqual(["second", "first", "third"]);
    expect(grad.view.every((value) => value === 0)).toBe(true);
    for (const tensor of [logits, grad]) tensor.dispose();
    expect(xent.info.usedBytes).toBe(used);
  });
});

test("weights of a few of very many classes: an error in no time", () => {
  const start = performance.now();
  const logits = { data: new Float32Array(0), shape: [0, 2 ** 31 - 1] };
  expect(errorOf(() => engine.xent.crossEntropy(logits, [], { classWeight: { 0: 1 } }))).toMatchObject({ code: "SIZE", message: expect.stringMatching(/^classWeight size got 17179869176 bytes/) });
  const fewer = { data: new Float32Array(0), shape: [0, 2 ** 28] };
  expect(errorOf(() => engine.xent.crossEntropy(fewer, [], { classWeight: new Map([[0, 1]]) })).code).toBe("OUT_OF_MEMORY");
  expect(performance.now() - start).toBeLessThan(1000);
});
