// Small wasm modules that an engine validates if it has what a build needs. Plain JavaScript without imports: set-up asks them too, before there are packages.

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
/** One function from nothing to one v128. */
const TYPE_AND_FUNCTION = [0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b, 0x03, 0x02, 0x01, 0x00];
/** One shared memory of one page. */
const SHARED_MEMORY = [0x05, 0x04, 0x01, 0x03, 0x01, 0x01];
/** `i8x16.splat(i32.const 0)`. */
const ZERO = [0x41, 0x00, 0xfd, 0x0f];

/** A module whose only function has this body. @param {readonly number[]} sections @param {readonly number[]} body */
function probe(sections, body) {
  const code = [0x00, ...body, 0x0b];
  return Uint8Array.from([...HEADER, ...TYPE_AND_FUNCTION, ...sections, 0x0a, code.length + 2, 0x01, code.length, ...code]);
}

/** `i8x16.splat(i32.atomic.load(0))`. */
export const SIMD_AND_ATOMICS = probe(SHARED_MEMORY, [0x41, 0x00, 0xfe, 0x10, 0x02, 0x00, 0xfd, 0x0f]);
/** `i32x4.relaxed_laneselect(f32x4.relaxed_max(f32x4.relaxed_madd(0, 0, 0), 0), 0, 0)`: every relaxed instruction of the build. An engine may know one and not the other. */
export const RELAXED = probe([], [...ZERO, ...ZERO, ...ZERO, 0xfd, 0x85, 0x02, ...ZERO, 0xfd, 0x8e, 0x02, ...ZERO, ...ZERO, 0xfd, 0x8b, 0x02]);
