// @ts-check
// The number formats that results are kept in: how far apart their values lie, and how 16-bit ones are written and read.
import { getFloat16, setFloat16 } from "@petamoriken/float16";

/**
 * @typedef {object} Format
 * @property {number} digits bits of the significand, the leading one included
 * @property {number} smallest exponent of the smallest normal value
 * @property {number} largest largest finite value
 * @property {Float32ArrayConstructor | Float64ArrayConstructor | Uint16ArrayConstructor} array what the package's tensors show
 */

/** @type {Readonly<Record<"f32" | "f64" | "f16" | "bf16", Format>>} */
export const formats = {
  f32: { digits: 24, smallest: -126, largest: 3.4028234663852886e38, array: Float32Array },
  f64: { digits: 53, smallest: -1022, largest: Number.MAX_VALUE, array: Float64Array },
  f16: { digits: 11, smallest: -14, largest: 65_504, array: Uint16Array },
  bf16: { digits: 8, smallest: -126, largest: 3.3895313892515355e38, array: Uint16Array },
};
/** @typedef {keyof typeof formats} Dtype */

// The biased exponent of a finite double is an index into the tables below.
const exponents = 2047;
const bias = 1023;

/** @param {Format} format */
const unitsOf = ({ digits, smallest }) => Float64Array.from({ length: exponents }, (_, biased) => 2 ** (Math.max(biased - bias, smallest) - digits + 1));

/**
 * The unit in the last place of a dtype, by the biased exponent of the exact value as a double: the distance of the two values of the dtype
 * between which it lies. Below the smallest normal value the distance stays what it is there.
 * @type {Readonly<Record<Dtype, Float64Array>>}
 */
export const unitsInTheLastPlace = { f32: unitsOf(formats.f32), f64: unitsOf(formats.f64), f16: unitsOf(formats.f16), bf16: unitsOf(formats.bf16) };

/** The biased exponents of doubles, which are in the upper half of each: `words[2 i + 1]` on every machine that JavaScript runs on. @param {Float64Array} numbers */
export function biasedExponents(numbers) {
  const words = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length * 2);
  return (/** @type {number} */ index) => (/** @type {number} */ (words[2 * index + 1]) >>> 20) & 0x7ff;
}

const scratch = new DataView(new ArrayBuffer(4));

/** @param {number} value @returns {number} the bits of the nearest bfloat16, ties to even */
function bf16Bits(value) {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** @param {number} value @returns {number} the bits of the nearest f16 */
function f16Bits(value) {
  setFloat16(scratch, 0, value);
  return scratch.getUint16(0);
}

/** @param {(bits: number) => number} valueOf */
const tableOf = (valueOf) => Float64Array.from({ length: 65_536 }, (_, bits) => valueOf(bits));

const values = {
  f16: tableOf((bits) => (scratch.setUint16(0, bits), getFloat16(scratch, 0))),
  bf16: tableOf((bits) => (scratch.setUint32(0, bits << 16), scratch.getFloat32(0))),
};

/** What a tensor of the dtype holds for a number: the nearest value, or its bits. @param {Dtype} dtype @returns {(value: number) => number} */
export function encoder(dtype) {
  if (dtype === "f16") return f16Bits;
  if (dtype === "bf16") return bf16Bits;
  return dtype === "f32" ? Math.fround : (value) => value;
}

/** The numbers that a tensor of the dtype holds. @param {Dtype} dtype @param {Float32Array | Float64Array | Uint16Array} stored @returns {Float64Array} */
export function decoded(dtype, stored) {
  if (dtype === "f32" || dtype === "f64") return new Float64Array(stored);
  const table = values[dtype];
  const numbers = new Float64Array(stored.length);
  for (let i = 0; i < numbers.length; i += 1) numbers[i] = /** @type {number} */ (table[/** @type {number} */ (stored[i])]);
  return numbers;
}
