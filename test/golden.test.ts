// Every golden case through the public API, in every build this engine has: out of place, in place or added to a gradient that is there, and loss
// alone.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { load, type CrossEntropyOptions, type Dtype, type Engine, type LabelsInput, type LogitsDtype, type PerClass, type Tensor } from "sparse-xent";
import { haveSameBits } from "./support.ts";

type Written = number | string;
interface Numbers {
  readonly dtype?: Dtype;
  readonly shape?: readonly number[];
  readonly values: readonly Written[];
  readonly bits?: readonly number[];
}
type Result = Written | readonly Written[];
/** By name; those of `perClass` once more. */
type Results = Readonly<Record<string, Result | Readonly<Record<string, Result>>>>;
interface Case {
  readonly name: string;
  readonly logits: Numbers;
  readonly labels: Numbers;
  readonly options: Readonly<Record<string, unknown>>;
  /** What the gradient is added to. */
  readonly previous?: Numbers;
  readonly expect: Results;
  readonly bound: Results;
}

/** Cases that each file must hold, so that none can go missing unseen. */
const counts: Readonly<Record<string, number>> = {
  "torch.json": 286,
  "torch_terms.json": 39,
  "tensorflow.json": 63,
  "keras.json": 101,
  "onnx.json": 52,
  "optax.json": 68,
  "mpmath.json": 73,
};

const cases = import.meta.glob<readonly Case[]>("./golden/*.json", { eager: true, import: "cases" });
const files = Object.keys(cases).map((path) => path.slice("./golden/".length));
const casesOf = (file: string): readonly Case[] => cases[`./golden/${file}`] ?? [];

const builds: ("relaxed" | "simd")[] = [];
const engines = new Map<string, Engine>();
const number = (written: Written): number => Number(written);

/** The numbers as a tensor of their dtype, rounded once. */
function tensorOf(xent: Engine, { dtype = "f64", shape, values, bits }: Numbers): Tensor {
  const tensor = xent.tensor(dtype, shape ?? [values.length]);
  if (bits) (tensor.view as Uint16Array).set(bits);
  else if (dtype === "i64" || dtype === "u64") (tensor.view as BigInt64Array).set(values.map((value) => BigInt(value)));
  else (tensor.view as Float32Array).set(values.map(number));
  return tensor;
}

/** The option as the API takes it: `{ dtype, shape, values }` becomes a tensor, and a large integer a bigint. */
function optionOf(xent: Engine, name: string, value: unknown): unknown {
  if (name === "ignoreIndex" && typeof value === "string") return BigInt(value);
  return typeof value === "object" && value !== null && !Array.isArray(value) && "values" in value ? tensorOf(xent, value as Numbers) : value;
}

/** The elements as numbers, 16-bit floats widened. */
function elements(tensor: Tensor): number[] {
  if (tensor.dtype === "bf16") return Array.from(tensor.view as Uint16Array, (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0] as number);
  if (tensor.dtype !== "f16") return Array.from(tensor.view as Float32Array, Number);
  return Array.from(tensor.view as Uint16Array, (bits) => {
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
  });
}

/** Fails unless `got` is within `bound` of `expected`; a bound of 0 asks for the same bits. */
function within(what: string, got: number | readonly number[], expected: Result, bound: Result | undefined): void {
  const list = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? (value as readonly T[]) : [value as T]);
  const [a, b, limits] = [list(got), list(expected).map(number), list(bound ?? 0).map(number)];
  expect(a.length, what).toBe(b.length);
  for (const [index, value] of a.entries()) {
    const limit = limits[limits.length === 1 ? 0 : index] as number;
    const wanted = b[index] as number;
    const fits = Object.is(value, wanted) || Math.abs(value - wanted) <= limit - (limit === 0 ? 1 : 0);
    if (!fits) expect.fail(`${what}[${index}] got ${value}, expected ${wanted} within ${limit}`);
  }
}

type Sums = Readonly<Partial<Record<keyof PerClass, Result>>>;

/** The same for sums by label, of which only those of the losses may differ. */
function sumsWithin(got: PerClass, expected: Sums, bound: Sums): void {
  expect(Object.keys(got)).toEqual(Object.keys(expected));
  for (const [column, sums] of Object.entries(expected) as [keyof PerClass, Result][]) within(`perClass.${column}`, Array.from(got[column]), sums, bound[column]);
}

function check(xent: Engine, golden: Case): void {
  const before = xent.info.usedBytes;
  const logits = tensorOf(xent, golden.logits);
  const labels = tensorOf(xent, golden.labels);
  const options = Object.fromEntries(Object.entries(golden.options).map(([name, value]) => [name, optionOf(xent, name, value)])) as CrossEntropyOptions;
  const grad = (golden.previous ? tensorOf(xent, golden.previous) : xent.tensor(logits.dtype, logits.shape)) as Tensor<LogitsDtype>;
  const made: unknown[] = [logits, labels, grad, ...Object.values(options)];
  const run = (more: CrossEntropyOptions): Record<string, unknown> => {
    const result = xent.crossEntropy(logits as Tensor<"f32">, labels as LabelsInput, { ...options, ...more }) as unknown as Record<string, unknown>;
    made.push(...Object.values(result));
    return result;
  };
  const values = (result: unknown): number | number[] => (typeof result === "number" ? result : elements(result as Tensor));

  const alone = run({});
  const result = run({ grad, accumulate: golden.previous !== undefined });
  expect(values(result["loss"]), "loss alone").toEqual(values(alone["loss"]));
  for (const [name, expected] of Object.entries(golden.expect)) {
    if (name === "weightSum" || name === "denominator") within(name, values(result[name]), expected as Written, Math.max(Math.abs(number(expected as Written)) * 1e-12, 0));
    else if (name === "perClass") sumsWithin(result[name] as PerClass, expected as Sums, golden.bound[name] as Sums);
    else within(name, values(name === "grad" ? grad : result[name]), expected as Result, golden.bound[name] as Result | undefined);
  }
  if (golden.previous === undefined) {
    run({ grad: logits as Tensor<LogitsDtype> });
    expect(haveSameBits(logits, grad), "in place has the same bits").toBe(true);
  }
  for (const value of made) (value as Partial<Tensor> | null)?.dispose?.();
  expect(xent.info.usedBytes, "memory returns").toBe(before);
}

beforeAll(async () => {
  for (const build of ["relaxed", "simd"] as const) {
    try {
      engines.set(build, await load({ build, threads: 2 }));
      builds.push(build);
    } catch {
      // Node 20 has no relaxed SIMD without its flag; features.test.ts says which build must be there.
    }
  }
});
afterAll(() => Promise.all([...engines.values()].map((xent) => xent.dispose())));

it("the golden files are all here, and so is an engine", () => {
  expect(files.sort()).toEqual(Object.keys(counts).sort());
  expect(builds).toContain("simd");
});

describe.each(Object.entries(counts))("golden %s", (file, count) => {
  const cases = casesOf(file);
  it(`has ${count} cases`, () => expect(cases.length).toBe(count));
  it.each(cases.map((golden) => [golden.name, golden] as const))("%s", (_, golden) => {
    for (const xent of engines.values()) check(xent, golden);
  });
});
