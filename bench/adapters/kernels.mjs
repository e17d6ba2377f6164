// Lets one process train with the kernels that TensorFlow.js brings and with those of registerMissingKernels, in turns. Imports nothing.

/**
 * Registers the missing kernels, and gives what changes between its `BatchMatMul` and the stock one. `UnsortedSegmentSum` stays: without it nothing here can be trained.
 * @param {any} tf @param {(tf: any) => readonly string[]} registerMissingKernels
 */
export function kernelSwitch(tf, registerMissingKernels) {
  const stock = tf.getKernel("BatchMatMul", "wasm");
  registerMissingKernels(tf);
  const own = tf.getKernel("BatchMatMul", "wasm");
  /** @param {any} kernel */
  const use = (kernel) => {
    tf.unregisterKernel("BatchMatMul", "wasm");
    tf.registerKernel(kernel);
  };
  return { stock: () => use(stock), own: () => use(own) };
}
