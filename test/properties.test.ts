// Whole calls drawn at random, against the definition written out in plain loops, and against each other.
import fc from "fast-check";
import { type CrossEntropyOptions } from "sparse-xent";
import { describe, expect, test } from "vitest";
import { errorOf, expectClose, useEngine } from "./support.ts";

const engine = useEngine({ threads: 1 });

interface Drawn {
  readonly shape: readonly number[];
  readonly axis: number;
  readonly classes: number;
  readonly inner: number;
  readonly logits: Float64Array;
  readonly labels: readonly number[];
  readonly options: Omit<CrossEntropyOptions, "loss"> & {
    readonly classWeight: readonly number[];
    readonly sampleWeight: readonly number[];
    readonly labelSmoothing: number;
    readonly smoothingWeights: "class" | "row";
    readonly zLoss: number;
    readonly reduction: "none" | "sum" | "mean";
  };
}

const IGNORED = -100;
const finite = (min: number, max: number) => fc.double({ min, max, noNaN: true });
const list = (value: fc.Arbitrary<number>, length: number) => fc.array(value, { minLength: length, maxLength: length });
const sizeOf = (dims: readonly number[]): number => dims.reduce((total, size) => total * size, 1);

/** A call: one to four dimensions, any axis, every option that weighs or smooths. Shrinks to few rows and classes. */
const drawn: fc.Arbitrary<Drawn> = fc
  .array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 })
  .chain((shape) => fc.tuple(fc.constant(shape), fc.integer({ min: -shape.length, max: shape.length - 1 })))
  .chain(([shape, axis]) => {
    const position = axis < 0 ? axis + shape.length : axis;
    const classes = shape[position] ?? 0;
    const rows = sizeOf(shape) / classes;
    return fc.record({
      shape: fc.constant(shape),
      axis: fc.constant(axis),
      classes: fc.constant(classes),
      inner: fc.constant(sizeOf(shape.slice(position + 1))),
      logits: list(finite(-30, 30), sizeOf(shape)).map((numbers) => Float64Array.from(numbers)),
      labels: list(fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 0, max: classes - 1 }) }, fc.constant(IGNORED)), rows),
      options: fc.record({
        axis: fc.constant(axis),
        ignoreIndex: fc.constant(IGNORED),
        classWeight: list(finite(0.1, 3), classes),
        sampleWeight: list(finite(0.1, 3), rows),
        labelSmoothing: fc.oneof(fc.constant(0), finite(0.01, 1)),
        smoothingWeights: fc.constantFrom("class" as const, "row" as const),
        zLoss: fc.oneof(fc.constant(0), finite(1e-4, 0.1)),
        reduction: fc.constantFrom("none" as const, "sum" as const, "mean" as const),
      }),
    });
  });

/** The definition: row losses, then their gradient, in f64 and without a thought for speed. */
function definition({ classes, inner, logits, labels, options }: Drawn): { losses: number[]; grad: number[]; denominator: number } {
  const { classWeight: v, sampleWeight, labelSmoothing: e, smoothingWeights, zLoss } = options;
  const at = (list: ArrayLike<number>, index: number): number => list[index] ?? Number.NaN;
  const grad = new Array<number>(logits.length).fill(0);
  let weightSum = 0;
  const losses = labels.map((label, row) => {
    if (label === IGNORED) return 0;
    const index = (k: number): number => (Math.floor(row / inner) * classes + k) * inner + (row % inner);
    const x = Array.from({ length: classes }, (_, k) => at(logits, index(k)));
    const most = Math.max(...x);
    const lse = most + Math.log(x.reduce((sum, value) => sum + Math.exp(value - most), 0));
    const omega = at(sampleWeight, row);
    const w = at(v, label) * omega;
    weightSum += w;
    // The weight of -ln p[k] in the loss; the loss is linear in these, and so is its gradient.
    const share = x.map((_, k) => (k === label ? (1 - e) * w : 0) + (e / classes) * (smoothingWeights === "class" ? at(v, k) * omega : w));
    const total = share.reduce((sum, value) => sum + value, 0);
    x.forEach((value, k) => (grad[index(k)] = (total + 2 * zLoss * w * lse) * Math.exp(value - lse) - at(share, k)));
    return share.reduce((sum, part, k) => sum + part * (lse - at(x, k)), 0) + zLoss * w * lse * lse;
  });
  return { losses, grad, denominator: options.reduction === "mean" ? weightSum : 1 };
}

/** Compares to a tolerance that grows with the largest of the numbers, since sums of terms of both signs may come out small. */
function expectNear(actual: ArrayLike<number>, expected: readonly number[], tolerance = 1e-12): void {
  const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  const worst = expected.reduce((most, value, index) => Math.max(most, Math.abs(value - (actual[index] ?? Number.NaN))), 0);
  expect(worst).toBeLessThanOrEqual(tolerance * scale);
}

const run = ({ shape, logits, labels, options }: Drawn) => {
  const { loss, grad, denominator } = engine.xent.crossEntropy(logits, labels, { ...options, shape, grad: true });
  const result = { losses: typeof loss === "number" ? [loss] : [...loss.view].map(Number), grad: [...grad.toArray()].map(Number), denominator };
  if (typeof loss !== "number") loss.dispose();
  grad.dispose();
  return result;
};

describe("a call drawn at random", () => {
  test("is what the definition says", () => {
    fc.assert(
      fc.property(drawn, (call) => {
        const expected = definition(call);
        const actual = run(call);
        const isEmpty = call.options.reduction === "mean" && expected.denominator === 0;
        const sum = expected.losses.reduce((total, loss) => total + loss, 0);
        const loss = call.options.reduction === "none" ? expected.losses : [isEmpty ? 0 : sum / expected.denominator];
        expectNear(actual.losses, loss);
        expectNear(actual.grad, isEmpty ? expected.grad.map(() => 0) : expected.grad.map((value) => value / expected.denominator));
        expectNear([actual.denominator], [expected.denominator]);
      }),
    );
  });

  test("shift_invariant: a whole number added to all logits of f64 changes next to nothing", () => {
    fc.assert(
      fc.property(drawn, fc.integer({ min: -100, max: 100 }), (call, offset) => {
        const plain = { ...call, options: { ...call.options, zLoss: 0 } };
        const shifted = { ...plain, logits: plain.logits.map((value) => value + offset) };
        const expected = run(plain);
        expectNear(run(shifted).losses, expected.losses, 1e-11);
        expectNear(run(shifted).grad, expected.grad, 1e-11);
      }),
    );
  });

  test("grad_rows_sum_to_zero: without z-loss the gradient of a row sums to 0", () => {
    fc.assert(
      fc.property(drawn, (call) => {
        const { grad } = run({ ...call, options: { ...call.options, zLoss: 0 } });
        const { classes, inner } = call;
        const sums = call.labels.map((_, row) => {
          const first = Math.floor(row / inner) * classes * inner + (row % inner);
          return Array.from({ length: classes }, (_unused, k) => grad[first + k * inner] ?? Number.NaN).reduce((sum, value) => sum + value, 0);
        });
        expectNear(sums, sums.map(() => 0), 1e-12);
      }),
    );
  });

  test("rows_are_independent: rows in reverse order give their losses and gradients in reverse order, bit for bit", () => {
    fc.assert(
      fc.property(drawn, ({ logits, labels, options, classes }) => {
        const byRow = (numbers: ArrayLike<number>, width: number): number[] =>
          Array.from({ length: numbers.length / width }, (_, row) => Array.from(numbers).slice(row * width, (row + 1) * width)).reverse().flat(); // prettier-ignore
        const rows: Drawn = { shape: [labels.length, classes], axis: -1, inner: 1, classes, logits, labels, options: { ...options, axis: -1, reduction: "none" } };
        const turned = {
          ...rows,
          logits: Float64Array.from(byRow(logits, classes)),
          labels: [...labels].reverse(),
          options: { ...rows.options, sampleWeight: [...options.sampleWeight].reverse() },
        };
        const [forth, back] = [run(rows), run(turned)];
        expect(back.losses).toEqual(byRow(forth.losses, 1));
        expect(back.grad).toEqual(byRow(forth.grad, classes));
      }),
    );
  });

  test("memory_returns, whether it succeeds or fails", () => {
    const { xent } = engine;
    fc.assert(
      fc.property(drawn, fc.constantFrom({}, { labelSmoothing: 2 }, { axis: 9 }, { classWeight: [] }, { sampleWeight: Number.NaN }, { ignoreIndex: null }), (call, wrong) => {
        const used = xent.info.usedBytes;
        const broken = { ...call, options: { ...call.options, ...wrong } } as Drawn;
        const mayFail = Object.keys(wrong).length > 0;
        try {
          run(broken);
        } catch (error) {
          if (!mayFail) throw error;
        }
        expect(xent.info.usedBytes).toBe(used);
      }),
    );
  });
});

test("any other shape of the labels is refused, and the message names both", () => {
  const { xent } = engine;
  fc.assert(
    fc.property(drawn, fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 5 }), ({ shape, axis, logits }, other) => {
      const position = axis < 0 ? axis + shape.length : axis;
      const allowed = [shape.toSpliced(position, 1), shape.with(position, 1)].map(String);
      fc.pre(!allowed.includes(String(other)) || (other.length === 0 && shape.length > 1));
      const error = errorOf(() => xent.crossEntropy({ data: logits, shape }, { data: new Uint8Array(sizeOf(other)), shape: other }, { axis }));
      expect(error).toMatchObject({ code: "SHAPE", got: other });
      expect(error.message).toContain(`labels shape got [${other.join(",")}], expected [${shape.toSpliced(position, 1).join(",")}] or `);
      expect(error.message).toContain(` for logits [${shape.join(",")}], axis ${axis}`);
    }),
  );
});

test("weights of the labels' rank are broadcast as written out", () => {
  const { xent } = engine;
  const dims = fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }));
  const keeps = fc.tuple(fc.boolean(), fc.boolean(), fc.boolean());
  fc.assert(
    fc.property(dims, keeps, ([a, b, c], [keepA, keepB, keepC]) => {
      const shape = [keepA ? a : 1, keepB ? b : 1, keepC ? c : 1] as const;
      const weights = Float64Array.from({ length: sizeOf(shape) }, (_, index) => 1 + index);
      const full = Array.from({ length: a * b * c }, (_, row) => {
        const [i, j, k] = [Math.floor(row / (b * c)), Math.floor(row / c) % b, row % c];
        return weights[((keepA ? i : 0) * shape[1] + (keepB ? j : 0)) * shape[2] + (keepC ? k : 0)] ?? Number.NaN;
      });
      const logits = { data: new Float64Array(a * b * c * 2), shape: [a, b, c, 2] };
      const { loss } = xent.crossEntropy(logits, new Uint8Array(a * b * c), { sampleWeight: { data: weights, shape }, reduction: "none" });
      expectClose(loss.toArray(), full.map((weight) => weight * Math.LN2));
      loss.dispose();
    }),
  );
});
