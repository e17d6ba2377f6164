// Logits and gradients of 16 bits: every number is widened exactly and rounded to the nearest, ties to even. The wasm files convert by their own instructions, so
// this is shown here and not in Rust alone.
import { describe, expect, test } from "vitest";
import { useEngine } from "./support.ts";

interface Format {
  readonly dtype: "f16" | "bf16";
  /** Places after the leading 1, and the exponents of the smallest normal number and of infinity. */
  readonly places: number;
  readonly least: number;
  readonly end: number;
}

const formats: readonly Format[] = [
  { dtype: "f16", places: 10, least: -14, end: 16 },
  { dtype: "bf16", places: 7, least: -126, end: 128 },
];

/** The number that these bits are. */
function decoded({ places, least, end }: Format, bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> places;
  const fraction = (bits & (2 ** places - 1)) / 2 ** places;
  if (exponent === end - least + 1) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** least : sign * (1 + fraction) * 2 ** (least + exponent - 1);
}

/** The nearest number of the format, ties to even. */
function nearest({ places, least, end }: Format, x: number): number {
  if (!Number.isFinite(x) || x === 0) return x;
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x))), least) - places);
  const steps = Math.abs(x) / step;
  const below = Math.floor(steps);
  const up = steps - below > 0.5 || (steps - below === 0.5 && below % 2 === 1);
  const rounded = (below + (up ? 1 : 0)) * step;
  return Math.sign(x) * (rounded >= 2 ** end ? Infinity : rounded);
}

const classes = 32;

const builds = [{}, { build: "simd" }] as const;

describe.each(builds.flatMap((build) => formats.map((format) => ({ ...format, load: build }))))("$dtype, $load", ({ load, ...format }) => {
  const engine = useEngine(load);
  const { dtype } = format;

  test("each of the 65,536 logits is read as the number it is", () => {
    const { xent } = engine;
    const rows = 65_536 / classes;
    const neighbours = (bits: number) => bits;
    // Infinities are in one row without NaN.
    const spread = (bits: number) => (bits % rows) * classes + Math.floor(bits / rows);
    // By the larger scale small numbers count.
    for (const [place, logitScale] of [[neighbours, 1], [neighbours, 2 ** 12], [spread, 1]] as const) {
      const run = (kind: "f32" | typeof dtype) => {
        using logits = xent.tensor(kind, [rows, classes]);
        for (let bits = 0; bits < 65_536; bits++) logits.view[place(bits)] = kind === "f32" ? decoded(format, bits) : bits;
        using grad = xent.tensor("f32", [rows, classes]);
        using labels = xent.tensor("i32", [rows]);
        const { loss } = xent.crossEntropy(logits, labels, { grad, logitScale, reduction: "none" });
        return [...new Uint32Array(Float32Array.from(loss.view as Float32Array).buffer), ...new Uint32Array(Float32Array.from(grad.view as Float32Array).buffer)];
      };
      expect(run(dtype)).toEqual(run("f32"));
    }
  });

  test("a gradient is the nearest to the one in f32, at and beside the middle of any two neighbours", () => {
    const { xent } = engine;
    // Logits of 0 make an element of the gradient 1/32 of the upstream gradient, exactly.
    const single = new Float32Array(1);
    const upstream: number[] = [];
    const finite = (format.end - format.least + 1) * 2 ** format.places;
    for (let bits = 0; bits < finite; bits++) {
      const [low, high] = [decoded(format, bits), bits + 1 === finite ? 2 ** format.end : decoded(format, bits + 1)];
      if (high > 2 ** 120 || high < 2 ** -100) continue;
      single[0] = (low + high) / 2;
      const middle = single[0];
      const ulp = 2 ** (Math.floor(Math.log2(middle)) - 23);
      for (const x of [low, middle - ulp, middle, middle + ulp]) upstream.push(x * classes, -x * classes);
    }
    for (const x of [2 ** 17 * 1.5, 2 ** 100, Number.NaN]) upstream.push(x * classes, -x * classes);
    const rows = upstream.length;
    const run = (kind: "f32" | typeof dtype) => {
      using logits = xent.tensor(dtype, [rows, classes]);
      using labels = xent.tensor("i32", [rows]);
      using grad = xent.tensor(kind, [rows, classes]);
      xent.crossEntropy(logits, labels, { grad, upstream: Float32Array.from(upstream), reduction: "none" });
      return grad.view.slice();
    };
    const [given, wide] = [run(dtype), run("f32")];
    let wrong = 0;
    for (let row = 0; row < rows; row++) {
      for (const at of [row * classes, row * classes + 1, row * classes + classes - 1]) {
        const [want, got] = [nearest(format, Number(wide[at])), decoded(format, Number(given[at]))];
        if (!Object.is(got, want)) wrong += 1;
      }
      // The gradient in f32 is the number that was meant.
      const meant = Math.fround((upstream[row] ?? 0) / classes);
      if (meant !== 0 && !Object.is(wide[row * classes + 1], meant)) wrong += 1;
    }
    expect(wrong).toBe(0);
    expect(rows).toBeGreaterThan(50_000);
  });
});
