// Numbers to measure with. Imports nothing.

/** A generator of numbers, evenly from -scale to scale and the same in every process: fills an array and gives it back. */
export function drawing() {
  let state = 1;
  /** @template {Float32Array} T @param {T} numbers @param {number} scale @returns {T} */
  return (numbers, scale) => {
    for (let i = 0; i < numbers.length; i += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      numbers[i] = (state / 2 ** 31) * scale;
    }
    return numbers;
  };
}
