// What the wasm backend of TensorFlow.js 4.22 lacks to train models with embeddings. Imports the host.
import { assertKnown, type Host, type Kernel, type TensorFlow } from "./host.js";

/** A tensor as kernels see it. */
interface Info {
  readonly dataId: object;
  readonly shape: number[];
  readonly dtype: string;
}

interface Backend {
  makeOutput(shape: readonly number[], dtype: string): Info;
  typedArrayFromHeap(tensor: Info): Float32Array | Int32Array;
  disposeData(dataId: object): void;
}

/** The call of a kernel. */
interface Invocation {
  readonly inputs: Readonly<Record<string, Info>>;
  readonly backend: Backend;
  readonly attrs: Readonly<Record<string, unknown>>;
}

const wasm = "wasm";

/** The gradient of `tf.gather`, and with it of every embedding: rows added up by the row they came from. */
function unsortedSegmentSum({ inputs, backend, attrs }: Invocation): Info {
  const { x, segmentIds } = inputs as { x: Info; segmentIds: Info };
  const row = x.shape.slice(segmentIds.shape.length);
  const width = row.reduce((product, size) => product * size, 1);
  const segments = attrs["numSegments"] as number;
  const out = backend.makeOutput([segments, ...row], x.dtype);
  // Seen only now: a memory that grew for the output has a new buffer.
  const sums = backend.typedArrayFromHeap(out).fill(0);
  const values = backend.typedArrayFromHeap(x);
  const ids = backend.typedArrayFromHeap(segmentIds);
  for (let index = 0; index < ids.length; index += 1) {
    const segment = ids[index] as number;
    // As on other backends: rows without a segment are left out.
    if (segment < 0 || segment >= segments) continue;
    const [to, from] = [segment * width, index * width];
    for (let at = 0; at < width; at += 1) sums[to + at] = (sums[to + at] as number) + (values[from + at] as number);
  }
  return out;
}

/** The product of matrices with those that are to be transposed transposed first, which takes a tenth of the time of multiplying by them as they lie. */
function transposedFirst(original: Kernel, transpose: Kernel): Kernel["kernelFunc"] {
  return ({ inputs, backend, attrs }: Invocation) => {
    const made: Info[] = [];
    const plain = (matrix: Info, isTransposed: unknown): Info => {
      if (isTransposed !== true) return matrix;
      const rank = matrix.shape.length;
      const perm = matrix.shape.map((_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis));
      const turned = transpose.kernelFunc({ inputs: { x: matrix }, backend, attrs: { perm } }) as Info;
      made.push(turned);
      return turned;
    };
    const { a, b } = inputs as { a: Info; b: Info };
    const call = { inputs: { a: plain(a, attrs["transposeA"]), b: plain(b, attrs["transposeB"]) }, backend, attrs: { ...attrs, transposeA: false, transposeB: false } };
    try {
      return original.kernelFunc(call);
    } finally {
      for (const { dataId } of made) backend.disposeData(dataId);
    }
  };
}

/** The copies of TensorFlow.js whose products are exchanged already, by their kernel. */
const exchanged = new WeakSet<Kernel["kernelFunc"]>();

/**
 * Registers what the wasm backend of TensorFlow.js 4.22 lacks for training: `UnsortedSegmentSum`, without which an embedding has no gradient there, and a `BatchMatMul`
 * that transposes before it multiplies. Kernels that are there already are left alone, and other backends. Call it once, when the wasm backend is set up.
 *
 * @param tf your copy of TensorFlow.js, with the wasm backend imported
 * @returns the names of the kernels that were registered
 * @throws `SparseXentError` `OPTION_RANGE` for another release than 4.22
 */
export function registerMissingKernels(tf: TensorFlow): string[] {
  const host = tf as unknown as Host;
  assertKnown(host, "registerMissingKernels");
  const names: string[] = [];
  if (host.getKernel("UnsortedSegmentSum", wasm) === undefined) {
    host.registerKernel({ kernelName: "UnsortedSegmentSum", backendName: wasm, kernelFunc: unsortedSegmentSum });
    names.push("UnsortedSegmentSum");
  }
  const [product, transpose] = [host.getKernel("BatchMatMul", wasm), host.getKernel("Transpose", wasm)];
  if (product !== undefined && transpose !== undefined && !exchanged.has(product.kernelFunc)) {
    const kernelFunc = transposedFirst(product, transpose);
    exchanged.add(kernelFunc);
    host.unregisterKernel("BatchMatMul", wasm);
    host.registerKernel({ ...product, kernelFunc });
    names.push("BatchMatMul");
  }
  return names;
}
