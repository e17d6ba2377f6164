// The battery of digests.json: seeded calls, and the digest of what they give. The order of drawing and the hash are described in digests.rs.
/// <reference types="vite/types/importMeta.d.ts" />
import type { CrossEntropyOptions, Dtype, Engine, Tensor } from "sparse-xent";
import { digestOf, wordsOf } from "./digest.mjs";

/** One case: what is drawn from its seed, and the digest recorded for each build. */
export interface Seeded {
  readonly name: string;
  readonly seed: number;
  readonly dtype: "f32" | "f64" | "f16" | "bf16";
  readonly shape: readonly [number, number, number];
  readonly magnitude: number;
  readonly classWeight: boolean;
  readonly sampleWeight: boolean;
  readonly options: CrossEntropyOptions;
  readonly simd: string;
  readonly relaxed: string;
}

/** The recorded battery. */
export const { "./digests.json": battery = [] } = import.meta.glob<readonly Seeded[]>("./digests.json", { eager: true, import: "cases" });

/** The generator of draw.rs: u32 by u32. */
export class Draw {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  next(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state;
  }
  /** In -1..1, a multiple of 2^-23. */
  unit(): number {
    return ((this.next() >>> 8) - 8_388_608) / 8_388_608;
  }
  below(bound: number): number {
    return Math.floor((this.next() * bound) / 2 ** 32);
  }
  /** A 16-bit float as bits: a sign and a magnitude below that of `end`. */
  half(end: number): number {
    const bits = this.next() >>> 16;
    return (bits & 0x8000) | ((bits & 0x7fff) % end);
  }
}

/** The digest of a case's gradient and losses, computed by this engine. */
export async function digest(xent: Engine, seeded: Seeded, how: "sync" | "async"): Promise<string> {
  const [outer, classes, inner] = seeded.shape;
  const draw = new Draw(seeded.seed);
  const many = (count: number, draw: () => number): number[] => Array.from({ length: count }, draw);
  const wide = (): number => draw.unit() * seeded.magnitude;
  const drawn = { f32: wide, f64: wide, f16: () => draw.half(0x4c00), bf16: () => draw.half(0x4180) };

  const logits = xent.tensor(seeded.dtype as Dtype, seeded.shape) as Tensor<"f32">;
  logits.view.set(many(outer * classes * inner, drawn[seeded.dtype]));
  const labels = xent.tensor("i32", [outer, inner]);
  labels.view.set(many(outer * inner, () => draw.below(classes)));
  const weight = (): number => 1.25 + draw.unit();
  const options: CrossEntropyOptions = {
    ...seeded.options,
    axis: 1,
    ...(seeded.classWeight ? { classWeight: many(classes, weight) } : {}),
    ...(seeded.sampleWeight ? { sampleWeight: many(outer * inner, weight) } : {}),
  };
  const all = { ...options, grad: true } as const;
  const result: unknown = how === "sync" ? xent.crossEntropy(logits, labels, all) : await xent.crossEntropyAsync(logits, labels, all);
  const { loss, grad } = result as { loss: number | Tensor<"f32">; grad: Tensor<"f32"> };
  const losses = typeof loss === "number" ? Float64Array.of(loss) : loss.toArray();
  const found = digestOf(digestOf(seeded.seed, wordsOf(grad.toArray())), wordsOf(losses));
  for (const tensor of [logits, labels, grad, loss]) if (typeof tensor === "object") tensor.dispose();
  return found.toString(16).padStart(8, "0");
}
