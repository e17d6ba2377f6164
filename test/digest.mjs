// The digest that results of two languages are compared by: digest.rs has the same.

/**
 * The body of MurmurHash3 (x86, 32 bits) over 32-bit words.
 * @param {number} seed @param {ArrayLike<number>} words @returns {number}
 */
export function digestOf(seed, words) {
  let hash = seed;
  for (let index = 0; index < words.length; index++) {
    let word = Math.imul(words[index] ?? 0, 0xcc9e2d51);
    word = Math.imul((word << 15) | (word >>> 17), 0x1b873593);
    hash ^= word;
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  return hash >>> 0;
}

/**
 * The bits of the elements: 16-bit floats one word each, doubles the low word first.
 * @param {Float32Array | Float64Array | Uint16Array} values @returns {ArrayLike<number>}
 */
export function wordsOf(values) {
  return values instanceof Uint16Array ? values : new Uint32Array(values.buffer, values.byteOffset, values.byteLength / 4);
}
