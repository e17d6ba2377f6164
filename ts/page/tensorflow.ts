// TensorFlow.js with its wasm backend, loaded when something asks for it: its files lie beside the bundle. Imports nothing of the page.
import type * as core from "@tensorflow/tfjs-core";

export type TensorFlow = typeof core;

export async function openTensorFlow(): Promise<{ readonly tf: TensorFlow; readonly threads: number }> {
  // Gradients register themselves when their module is loaded, which a bundler leaves out unless it is asked for by name.
  const gradients = import("@tensorflow/tfjs-core/dist/register_all_gradients");
  const [tf, { setWasmPaths, getThreadsCount }] = await Promise.all([import("@tensorflow/tfjs-core"), import("@tensorflow/tfjs-backend-wasm"), gradients]);
  setWasmPaths(new URL("./", import.meta.url).href);
  if (!(await tf.setBackend("wasm"))) throw new Error("TensorFlow.js has no wasm backend here");
  await tf.ready();
  return { tf, threads: getThreadsCount() };
}
