// What the kernels are held to, as ratios within one run, on one thread; what a run reached is printed beside it, met or missed. No test depends on it.

/** @typedef {import("./contest.mjs").Outcome} Outcome */

/**
 * @typedef {object} Target
 * @property {string} shape
 * @property {"loss" | "loss+grad" | "in place"} what
 * @property {"relaxed" | "simd"} build
 * @property {"unrolled" | "copy" | "JAX"} of what the ratio is to: the unrolled baseline of the same job and build, or the one named
 * @property {number} must
 * @property {number} [stretch]
 */

/** @param {string} shape @param {Target["what"]} what @param {Target["of"]} of @param {number} must @param {number} [stretch] @returns {Target} */
const relaxed = (shape, what, of, must, stretch) => ({ shape, what, build: "relaxed", of, must, ...(stretch !== undefined && { stretch }) });

/** @param {string} shape @param {number} must @returns {Target[]} */
const simd = (shape, must) => [
  { shape, what: "loss", build: "simd", of: "unrolled", must },
  { shape, what: "loss+grad", build: "simd", of: "unrolled", must },
];

/** @type {readonly Target[]} */
export const targets = [
  relaxed("1048576x2", "loss+grad", "unrolled", 5),
  relaxed("1048576x10", "loss+grad", "unrolled", 1.9),
  relaxed("65536x33", "loss+grad", "unrolled", 1.45, 2.2),
  relaxed("65536x33", "loss+grad", "JAX", 2.1, 3.2),
  relaxed("65536x33", "loss", "unrolled", 1.75, 2.3),
  relaxed("65536x33", "in place", "unrolled", 1.4),
  relaxed("8192x1000", "loss+grad", "unrolled", 1.3, 1.6),
  relaxed("8192x1000", "loss+grad", "JAX", 2.1, 2.8),
  relaxed("8192x1000", "loss+grad", "copy", 0.42),
  relaxed("8192x1000", "loss", "unrolled", 1.45, 1.6),
  relaxed("8192x1000", "in place", "unrolled", 1.3),
  relaxed("512x32000", "loss+grad", "unrolled", 1.55, 1.9),
  relaxed("512x32000", "loss+grad", "JAX", 4.5, 6.5),
  relaxed("512x32000", "loss+grad", "copy", 0.48),
  relaxed("512x32000", "loss", "unrolled", 1.65, 2),
  relaxed("512x32000", "in place", "unrolled", 1.35),
  relaxed("128x128256", "loss+grad", "unrolled", 1.55, 1.9),
  relaxed("128x128256", "loss+grad", "JAX", 5, 6.8),
  relaxed("128x128256", "loss+grad", "copy", 0.48),
  relaxed("128x128256", "loss", "unrolled", 1.65, 2),
  relaxed("128x128256", "in place", "unrolled", 1.35),
  relaxed("33x512x512", "loss+grad", "unrolled", 1.45, 2.5),
  relaxed("33x512x512", "loss+grad", "copy", 0.18),
  ...["1048576x2", "1048576x10", "65536x33", "33x512x512", "8192x1000"].flatMap((shape) => simd(shape, 1)),
  ...["512x32000", "320x50257", "128x128256"].flatMap((shape) => simd(shape, 1.25)),
];

/**
 * What the outcomes of a run reached of each target; `reached` is absent where it was not measured.
 * @param {readonly Outcome[]} outcomes
 * @param {(target: Target) => number | undefined} [elsewhere] ratios that another program measures
 * @returns {(Target & { reached?: number, verdict: "missed" | "met" | "stretch met" | "not measured" })[]}
 */
export function judged(outcomes, elsewhere = () => undefined) {
  return targets.map((target) => {
    const found = outcomes.find(({ shape, what, build, threads }) => shape === target.shape && what === target.what && build === target.build && threads === 1);
    const reached = target.of === "JAX" ? elsewhere(target) : target.of === "copy" ? found?.copy : found?.unrolled;
    if (reached === undefined) return { ...target, verdict: "not measured" };
    const verdict = reached < target.must ? "missed" : target.stretch !== undefined && reached >= target.stretch ? "stretch met" : "met";
    return { ...target, reached, verdict };
  });
}
