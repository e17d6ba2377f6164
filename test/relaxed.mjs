// Which build `load()` must choose on its own, asked of the instruction that makes the difference and not of a name or a version. Plain JavaScript that
// imports nothing: it also runs by itself in processes that a test starts, and in pages.

// (func (export "madd") (param f32 f32) (result f32)
//   (f32x4.extract_lane 0 (f32x4.relaxed_max
//     (f32x4.relaxed_madd (f32x4.splat (local.get 0)) (f32x4.splat (local.get 0)) (f32x4.splat (local.get 1)))
//     (f32x4.splat (local.get 1)))))
const probe = Uint8Array.of(
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
  0x01, 0x07, 0x01, 0x60, 0x02, 0x7d, 0x7d, 0x01, 0x7d,
  0x03, 0x02, 0x01, 0x00,
  0x07, 0x08, 0x01, 0x04, 0x6d, 0x61, 0x64, 0x64, 0x00, 0x00,
  0x0a, 0x1d, 0x01, 0x1b, 0x00, 0x20, 0x00, 0xfd, 0x13, 0x20, 0x00, 0xfd, 0x13, 0x20, 0x01, 0xfd, 0x13, 0xfd, 0x85, 0x02,
  0x20, 0x01, 0xfd, 0x13, 0xfd, 0x8e, 0x02, 0xfd, 0x1f, 0x00, 0x0b,
); // prettier-ignore

/** Whether this host knows the relaxed instructions of the build. There are engines that know one of them. */
export const hasRelaxed = () => WebAssembly.validate(probe);

/** Whether it rounds once when it multiplies and adds. */
export function fuses() {
  const { madd } = new WebAssembly.Instance(new WebAssembly.Module(probe)).exports;
  // The square ends in 2^-24, which rounding the product alone takes away. The maximum is with something negative.
  return madd(1 + 2 ** -12, -(1 + 2 ** -11)) === 2 ** -24;
}

/** @returns {"relaxed" | "simd"} the build that is faster here */
export const fastestBuild = () => (hasRelaxed() && fuses() ? "relaxed" : "simd");
