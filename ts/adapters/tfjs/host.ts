// What is used of TensorFlow.js, described by its form: nothing of it is imported. Imports errors.
import { mismatch } from "../../errors.js";
import type { LinearCrossEntropyOptions } from "../../linear.js";
import type { CrossEntropyOptions } from "../../options.js";

/** The releases whose insides `compileSparse` and `registerMissingKernels` know. */
const KNOWN = /^4\.22\./;

/** TensorFlow.js, `import * as tf from "@tensorflow/tfjs"`, or its core alone: whatever has these functions. Its own signatures are overloaded and generic, so they are left open here. */
export type TensorFlow = Readonly<Record<UsedFunction, (...args: any[]) => any>> & { readonly version_core: string };

type UsedFunction =
  | "tensor" | "scalar" | "customGrad" | "mul" | "reshape"
  | "getBackend" | "backend" | "engine" | "getKernel" | "registerKernel" | "unregisterKernel"; // prettier-ignore

/** The tensors of a copy of TensorFlow.js. */
export type TensorOf<TF extends TensorFlow> = ReturnType<TF["tensor"]>;
/** Options of the loss: those of `crossEntropy` but for what the operations themselves decide. Weights may be arrays; classes are on the last axis. */
export type LossOptions = Omit<CrossEntropyOptions, "axis" | "shape" | "dtype" | "reduction" | "upstream" | "loss" | "grad" | "accumulate" | "outputs" | "k">;

/** Options of a last layer with its loss: those of the loss, and what trades time for memory. */
export type LinearLossOptions = Omit<LossOptions, "input" | "probsEpsilon" | "probsNormalize" | "labelMatrix"> & Pick<LinearCrossEntropyOptions, "chunkRows" | "recompute">;

/** A model of TensorFlow.js' layers. */
export interface Model {
  /** Configures it for training. */
  compile(args: any): void;
}

/** As much of a tensor as is used here. */
export interface HostTensor {
  readonly shape: number[];
  readonly dtype: string;
  readonly dataId: object;
  dataSync(): Float32Array | Int32Array;
  dispose(): void;
}

/** Keeps tensors for the gradient. */
export type Save = (tensors: HostTensor[]) => void;

/** What is given to `customGrad`: a function of tensors and, last, of what saves them for the way back. */
type Differentiable = (...inputs: any[]) => { value: HostTensor; gradFunc: (dy: HostTensor, saved: HostTensor[]) => HostTensor | HostTensor[] };

/** The same functions with the types that are used. */
export interface Host {
  readonly version_core: string;
  tensor(values: Float32Array, shape: readonly number[], dtype: "float32"): HostTensor;
  scalar(value: number, dtype: "float32"): HostTensor;
  customGrad(operation: Differentiable): (...inputs: HostTensor[]) => HostTensor;
  mul(a: HostTensor, b: HostTensor): HostTensor;
  reshape(a: HostTensor, shape: readonly number[]): HostTensor;
  getBackend(): string;
  backend(): { typedArrayFromHeap?(tensor: { readonly shape: readonly number[]; readonly dtype: string; readonly dataId: object }): Float32Array };
  engine(): { isTapeOn(): boolean };
  getKernel(name: string, backend: string): Kernel | undefined;
  registerKernel(kernel: Kernel): void;
  unregisterKernel(name: string, backend: string): void;
}

/** A kernel of a backend of TensorFlow.js. */
export interface Kernel {
  readonly kernelName: string;
  readonly backendName: string;
  readonly setupFunc?: (backend: unknown) => void;
  readonly disposeFunc?: (backend: unknown) => void;
  readonly kernelFunc: (call: any) => any;
}

/** Errors `OPTION_RANGE` for a release whose insides `who` does not know. */
export function assertKnown(host: Host, who: string): void {
  const release = host.version_core;
  if (!KNOWN.test(release)) throw mismatch("OPTION_RANGE", "tf version", release, `4.22, whose insides ${who} relies on`);
}

/** Whether tensors lie in this thread's memory, where reading one number waits for nothing. */
export const isAtHand = (host: Host): boolean => ["cpu", "wasm"].includes(host.getBackend());

/** The elements of a tensor of float32: where they lie if the backend lets that be seen, otherwise as it reads them. For use at once. */
export function elementsOf(host: Host, tensor: HostTensor, name = "logits"): Float32Array {
  const { dataId, shape, dtype } = tensor;
  if (dtype !== "float32") throw mismatch("DTYPE", `${name} dtype`, dtype, "float32", { shown: dtype });
  const backend = host.backend();
  if (host.getBackend() === "wasm" && typeof backend.typedArrayFromHeap === "function") return backend.typedArrayFromHeap({ dataId, shape, dtype });
  return tensor.dataSync() as Float32Array;
}

/** A tensor of TensorFlow.js with these elements. Its wasm backend copies them at once; the others keep the array they are given, so they get one of their own. */
export function tensorOf(host: Host, elements: Float32Array, shape: readonly number[]): HostTensor {
  return host.tensor(host.getBackend() === "wasm" ? elements : elements.slice(), shape, "float32");
}
